// A sentence, and a way on, for every reason that there is nothing to show.
import { type TranslationBundle } from '@jupyterlab/translation';

import { type IState } from './panelState';

export type Remedy = 'refresh' | 'choose' | 'copy-lines' | 'train' | 'health';

export interface IMessage {
  text: string;
  /** Lines to be copied into a file. */
  lines?: string;
  remedy: Remedy;
  button: string;
}

export const LINES =
  'mlflow:\n  enabled: true\n  tracking_uri: sqlite:///mlflow.db';

/** Why the whole panel is empty; null where it is not. */
export function panelMessage(
  state: IState,
  trans: TranslationBundle
): IMessage | null {
  const refresh = {
    remedy: 'refresh' as const,
    button: trans.__('Look again')
  };
  switch (state.reason) {
    case null:
      return null;
    case 'loading':
      return { text: trans.__('Loading the repository…'), ...refresh };
    case 'starting':
      return {
        text: trans.__(
          'Starting… Feast and MLflow are being imported; the list appears when they are.'
        ),
        ...refresh
      };
    case 'no-extension':
      return {
        text: trans.__(
          'The server does not answer for feast_nb: its extension is not enabled. Run `jupyter server extension enable feast_nb` and start the server again.'
        ),
        ...refresh
      };
    case 'no-server':
      return {
        text: trans.__(
          'The Jupyter server does not answer: %1',
          state.said || '?'
        ),
        ...refresh
      };
    case 'no-repository':
      return {
        text: trans.__(
          'There is no feature_store.yaml below the folder that this server serves. Make a repository with `feast init`, or have its folder listed in c.FeastNb.folders.'
        ),
        ...refresh
      };
    case 'outside':
      return {
        text: trans.__(
          "This notebook's feature repository lies outside of what the server may read. An administrator can list its folder in c.FeastNb.folders."
        ),
        ...refresh
      };
    case 'choose':
      return {
        text: trans.__('There are several feature repositories: choose one.'),
        remedy: 'choose',
        button: trans.__('Choose')
      };
    case 'refused':
      return { text: state.said, ...refresh };
  }
}

/** What is to be known of MLflow, above what can be shown; null where it answers. */
export function trackingMessage(
  state: IState,
  trans: TranslationBundle
): IMessage | null {
  const tracking = state.overview?.tracking;
  const again = { remedy: 'refresh' as const, button: trans.__('Look again') };
  switch (tracking?.state) {
    case 'disabled':
      return {
        text: trans.__(
          'MLflow is off for this repository: add these lines to its feature_store.yaml.'
        ),
        lines: LINES,
        remedy: 'copy-lines',
        button: trans.__('Copy the lines')
      };
    case 'away':
      return {
        text: tracking.said.startsWith('as of')
          ? trans.__(
              'The tracking server does not answer. What is shown is %1',
              tracking.said
            )
          : tracking.said,
        ...again
      };
    case 'refused':
      return { text: tracking.said, ...again };
    case 'reading':
      return {
        text: trans.__(
          'MLflow is being read for the first time: %1 %.',
          Math.round(tracking.read * 100)
        ),
        ...again
      };
    default:
      return null;
  }
}

/** Why a tab lists nothing. */
export function tabMessage(
  state: IState,
  searched: boolean,
  trans: TranslationBundle
): IMessage {
  const refresh = {
    remedy: 'refresh' as const,
    button: trans.__('Look again')
  };
  if (searched) {
    return { text: trans.__('No match.'), ...refresh };
  }
  switch (state.tab) {
    case 'features':
      return {
        text: trans.__('The registry is empty: run `feast apply`.'),
        ...refresh
      };
    case 'services':
      return {
        text: trans.__(
          'The registry has no feature service. Define one, and run `feast apply`.'
        ),
        ...refresh
      };
    case 'models':
      return {
        text: trans.__(
          'No model of this project is registered yet. %1 … --register NAME does.',
          '%%feast_train'
        ),
        remedy: 'train',
        button: trans.__('Insert a training cell')
      };
    case 'runs':
      return {
        text: trans.__('No run has used features of this project yet.'),
        remedy: 'train',
        button: trans.__('Insert a training cell')
      };
    case 'health':
      return {
        text: state.health?.looking
          ? trans.__('Looking… its lines appear as they are known.')
          : trans.__(
              'Nobody has looked at the stores of this repository from this machine yet. A look reads registry, sources and online store, and takes seconds.'
            ),
        remedy: 'health',
        button: trans.__('Look now')
      };
    case 'operations':
      return {
        text: trans.__(
          'No operation was logged. Feast logs them with `log_operations: true` in the mlflow block.'
        ),
        ...refresh
      };
  }
}
