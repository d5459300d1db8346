// What the panel's buttons do; each is a command of the lab.
import * as React from 'react';

import { type IRun, type IVersionOverview } from '../records';

export interface IActions {
  showLineage: (object: string) => void;
  showImpact: (object: string) => void;
  insertRetrieval: (service: string) => void;
  insertTraining: (service: string) => void;
  insertScoring: (model: string) => void;
  copyReference: (reference: string) => void;
  openInMlflow: (url: string) => void;
  /** The addresses in MLflow's UI; null where it has none. */
  urlOfRun: (run: IRun) => string | null;
  urlOfVersion: (name: string, version: IVersionOverview) => string | null;
}

export const ActionsContext = React.createContext<IActions | null>(null);

export function useActions(): IActions {
  const actions = React.useContext(ActionsContext);
  if (!actions) {
    throw new Error('No ActionsContext around this component');
  }
  return actions;
}
