// The side panel: what a project offers and what becomes of it, beside the notebook.
import { type TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import { Details } from './components/Details';
import { ItemList } from './components/ItemList';
import { type PanelModel, type Tab } from './model';
import { formatAge } from './format';
import { type IActions } from './components/Facts';
import { type IListItem, nameOf, listItems } from './listItems';
import {
  panelMessage,
  tabMessage,
  type IMessage,
  type Remedy,
  trackingMessage
} from './messages';

export interface IPanelProps {
  model: PanelModel;
  trans: TranslationBundle;
  actions: IActions;
  remedy: (remedy: Remedy) => void;
  /** Hears the tab that is looked at. */
  onTab?: (tab: Tab) => void;
  /** Hears the object that is looked at; null for the list. */
  onShow?: (row: IListItem | null) => void;
  /** How tall the list is where nothing has been laid out. */
  height?: number;
}

/** The panel's frame in the lab: it tells the model whether anyone can see it. */
export class FeastPanel extends ReactWidget {
  constructor(private readonly props: IPanelProps) {
    super();
    this.addClass('fnb-panel');
  }

  render(): React.ReactElement {
    return <Panel {...this.props} />;
  }

  protected onAfterShow(): void {
    this.props.model.setVisible(true);
  }

  protected onAfterHide(): void {
    this.props.model.setVisible(false);
  }

  dispose(): void {
    this.props.model.dispose();
    super.dispose();
  }
}

export function Panel(props: IPanelProps): React.ReactElement {
  const { model, trans, remedy } = props;
  const [, again] = React.useReducer((n: number) => n + 1, 0);
  const [search, setSearch] = React.useState('');
  const [open, setOpen] = React.useState<ReadonlySet<string>>(new Set());
  const [shown, show] = React.useState<IListItem | null>(null);
  const setShown = (row: IListItem | null) => {
    show(row);
    props.onShow?.(row);
  };
  React.useEffect(() => {
    model.stateChanged.connect(again);
    return () => {
      model.stateChanged.disconnect(again);
    };
  }, [model]);

  const { state } = model;
  const rows = listItems(state, state.tab, search, open, trans);
  const sentence = panelMessage(state, trans);
  const toggle = (row: IListItem) => {
    const name = nameOf(row.id);
    const next = new Set(open);
    if (!next.delete(name)) {
      next.add(name);
    }
    setOpen(next);
  };
  const pick = (tab: Tab) => {
    setShown(null);
    model.setTab(tab);
    props.onTab?.(tab);
  };
  const tracking = trackingMessage(state, trans);
  return (
    <>
      <Head {...{ model, trans }} />
      {sentence ? (
        <Message of={sentence} {...{ remedy, model }} />
      ) : (
        <>
          {tracking && <Message of={tracking} {...{ remedy, model }} />}
          <Tabs {...{ model, trans }} onPick={pick} />
          {shown ? (
            <Details
              row={shown}
              state={state}
              actions={props.actions}
              trans={trans}
              onBack={() => setShown(null)}
            />
          ) : (
            <div
              className="fnb-tab"
              role="tabpanel"
              aria-label={label(state.tab, trans)}
            >
              <input
                className="fnb-search"
                type="search"
                placeholder={trans.__('Search')}
                aria-label={trans.__('Search')}
                value={search}
                onChange={event => setSearch(event.target.value)}
              />
              {rows.length ? (
                <ItemList
                  rows={rows}
                  label={label(state.tab, trans)}
                  height={props.height}
                  onToggle={toggle}
                  onOpen={row => row.kind !== 'heading' && setShown(row)}
                />
              ) : (
                <Message
                  of={tabMessage(state, search.trim() !== '', trans)}
                  {...{ remedy, model }}
                />
              )}
            </div>
          )}
        </>
      )}
    </>
  );
}

function Head(props: {
  model: PanelModel;
  trans: TranslationBundle;
}): React.ReactElement {
  const { model, trans } = props;
  const { state } = model;
  const now = new Date().toISOString();
  const names = state.repositories;
  const age = state.refreshing
    ? trans.__('reading…')
    : state.asOf
      ? formatAge(state.asOf, now, trans)
      : '';
  return (
    <header className="fnb-top">
      {names.length > 1 ? (
        <select
          aria-label={trans.__('Feature repository')}
          value={model.chosen}
          onChange={event => model.choose(event.target.value)}
        >
          <option value="">
            {state.repo === null
              ? trans.__('Choose a repository')
              : trans.__('%1, of the notebook', state.repo)}
          </option>
          {names.map(({ repo, project }) => (
            <option key={repo} value={repo}>
              {project ? `${project} (${repo})` : repo}
            </option>
          ))}
        </select>
      ) : (
        <b className="fnb-name">{state.overview?.project ?? 'Feast'}</b>
      )}
      <span
        className="fnb-quiet fnb-age"
        aria-live="polite"
        title={state.asOf ?? ''}
      >
        {age}
      </span>
      <button
        className="fnb-button"
        title={trans.__('Look again')}
        aria-label={trans.__('Look again')}
        onClick={() => model.refresh()}
      >
        ⟳
      </button>
    </header>
  );
}

const TABS: Tab[] = ['features', 'services', 'models', 'runs', 'operations'];

function Tabs(props: {
  model: PanelModel;
  trans: TranslationBundle;
  onPick: (tab: Tab) => void;
}): React.ReactElement {
  const { state } = props.model;
  // Without MLflow there are no models and no runs to speak of.
  const off = ['disabled', 'unapplied'].includes(
    state.overview?.tracking.state ?? ''
  );
  const tabs = off ? TABS.slice(0, 2) : TABS;
  const key = (event: React.KeyboardEvent<HTMLDivElement>) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      const place = tabs.indexOf(state.tab) + step + tabs.length;
      const next = tabs[place % tabs.length];
      props.onPick(next);
      event.currentTarget
        .querySelector<HTMLElement>(`[data-tab=${next}]`)
        ?.focus();
    }
  };
  return (
    <div className="fnb-tabs" role="tablist" onKeyDown={key}>
      {tabs.map(tab => (
        <button
          key={tab}
          role="tab"
          data-tab={tab}
          aria-selected={tab === state.tab}
          tabIndex={tab === state.tab ? 0 : -1}
          onClick={() => props.onPick(tab)}
        >
          {label(tab, props.trans)}
        </button>
      ))}
    </div>
  );
}

function Message(props: {
  of: IMessage;
  model: PanelModel;
  remedy: (remedy: Remedy) => void;
}): React.ReactElement {
  const { of, model, remedy } = props;
  return (
    <div className="fnb-sentence" role="status">
      <p>{of.text}</p>
      {of.lines && <pre>{of.lines}</pre>}
      {of.remedy === 'choose' ? (
        <ul>
          {model.state.repositories.map(({ repo, project }) => (
            <li key={repo}>
              <button className="fnb-button" onClick={() => model.choose(repo)}>
                {project ? `${project} (${repo})` : repo}
              </button>
            </li>
          ))}
        </ul>
      ) : (
        <button className="fnb-button" onClick={() => remedy(of.remedy)}>
          {of.button}
        </button>
      )}
    </div>
  );
}

function label(tab: Tab, trans: TranslationBundle): string {
  return {
    features: trans.__('Features'),
    services: trans.__('Services'),
    models: trans.__('Models'),
    runs: trans.__('Runs'),
    operations: trans.__('Ops')
  }[tab];
}
