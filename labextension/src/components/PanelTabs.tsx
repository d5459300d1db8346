// The panel's tabs, as a tab list that arrow keys go through.
import { type TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { type IState, type Tab } from '../panelState';
import { type ITracking } from '../records';
import { useTranslation } from './TranslatorContext';

const TABS: Tab[] = [
  'features',
  'services',
  'models',
  'runs',
  'operations',
  'health'
];
// What there is nothing to tell of without MLflow, and before anything is applied.
const TRACKED: Tab[] = ['models', 'runs', 'operations'];
const OFF: Partial<Record<ITracking['state'], Tab[]>> = {
  disabled: TRACKED,
  unapplied: [...TRACKED, 'health']
};

export function PanelTabs(props: {
  state: IState;
  onPick: (tab: Tab) => void;
}): React.ReactElement {
  const { state, onPick } = props;
  const trans = useTranslation();
  // Without MLflow there are no models and no runs to speak of.
  const tracking = state.overview?.tracking.state;
  const tabs = TABS.filter(
    tab => !(tracking && (OFF[tracking] ?? []).includes(tab))
  );
  const step = (event: React.KeyboardEvent<HTMLDivElement>) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) {
      const place = tabs.indexOf(state.tab) + by + tabs.length;
      const next = tabs[place % tabs.length];
      onPick(next);
      event.currentTarget
        .querySelector<HTMLElement>(`[data-tab=${next}]`)
        ?.focus();
    }
  };
  return (
    <div className="fnb-tabs" role="tablist" onKeyDown={step}>
      {tabs.map(tab => (
        <button
          key={tab}
          role="tab"
          data-tab={tab}
          aria-selected={tab === state.tab}
          tabIndex={tab === state.tab ? 0 : -1}
          onClick={() => onPick(tab)}
        >
          {tabLabel(tab, trans)}
        </button>
      ))}
    </div>
  );
}

export function tabLabel(tab: Tab, trans: TranslationBundle): string {
  return {
    features: trans.__('Features'),
    services: trans.__('Services'),
    models: trans.__('Models'),
    runs: trans.__('Runs'),
    operations: trans.__('Ops'),
    health: trans.__('Health')
  }[tab];
}
