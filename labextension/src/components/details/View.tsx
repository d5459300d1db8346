// A feature view at a closer look.
import { type TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import {
  formatAge,
  formatDuration,
  formatRuns,
  formatTime
} from '../../format';
import { type IState } from '../../panelState';
import { type IViewOverview } from '../../records';
import { ActionButton, ButtonRow, GraphButtons } from '../ActionButton';
import { useActions } from '../ActionsContext';
import { DependentModels } from '../DependentModels';
import { type Fact, Facts } from '../Facts';
import { useTranslation } from '../TranslatorContext';
import { TrendChart } from '../TrendChart';

export function View(props: {
  view: IViewOverview;
  state: IState;
}): React.ReactElement {
  const { view, state } = props;
  const trans = useTranslation();
  const actions = useActions();
  return (
    <>
      {view.description && <p>{view.description}</p>}
      <Facts facts={factsOf(view, state, trans)} />
      <ButtonRow>
        <GraphButtons id={`view=${view.name}`} />
        <ActionButton
          label={trans.__('Copy reference')}
          onClick={() => actions.copyReference(view.name)}
        />
      </ButtonRow>
      <TrendChart trend={view.trend} stretch={state.overview?.stretch ?? 1} />
      <DependentModels models={view.models} />
      <table className="fnb-small">
        <caption>{trans.__('Features')}</caption>
        <tbody>
          {view.features.map(feature => (
            <tr key={feature.name}>
              <th scope="row">{feature.name}</th>
              <td>{feature.dtype}</td>
              <td>
                {feature.gone ? trans.__('gone') : `${feature.training}×`}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function factsOf(
  view: IViewOverview,
  state: IState,
  trans: TranslationBundle
): Fact[] {
  const stale = view.stale ? ` (${trans.__('older than its TTL')})` : '';
  const tags = Object.entries(view.tags).map(([k, v]) => `${k}=${v}`);
  return [
    [trans.__('kind'), view.kind.replace('_', '-')],
    [trans.__('used in training'), formatRuns(view.training, trans)],
    [
      trans.__('predicted'),
      view.prediction && formatRuns(view.prediction, trans)
    ],
    [
      trans.__('last used'),
      view.last ? formatAge(view.last, state.asOf, trans) : trans.__('never')
    ],
    [trans.__('used by'), view.users.slice(0, 5).join(', ')],
    [trans.__('entities'), view.entities.join(', ')],
    [trans.__('sources'), view.sources.join(', ')],
    [trans.__('computed from'), view.reads.join(', ')],
    [trans.__('services'), view.services.join(', ')],
    [trans.__('TTL'), view.ttl && formatDuration(view.ttl)],
    [
      trans.__('fresh'),
      view.fresh && trans.__('up to %1', formatTime(view.fresh)) + stale
    ],
    [trans.__('owner'), view.owner],
    [trans.__('tags'), tags.join(', ')]
  ];
}
