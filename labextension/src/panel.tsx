// The side panel: what a project offers and what becomes of it, beside the notebook.
import { type TranslationBundle } from '@jupyterlab/translation';
import { InputGroup, ReactWidget, searchIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { ActionsContext, type IActions } from './components/ActionsContext';
import { Details } from './components/Details';
import { HealthHead } from './components/HealthHead';
import { ItemList } from './components/ItemList';
import { Message } from './components/Message';
import { OperationsAxis } from './components/OperationsAxis';
import { PanelHeader } from './components/PanelHeader';
import { PanelTabs, tabLabel } from './components/PanelTabs';
import {
  TranslatorContext,
  useTranslation
} from './components/TranslatorContext';
import { type IListItem, nameOf } from './listItems';
import {
  panelMessage,
  type Remedy,
  tabMessage,
  trackingMessage
} from './messages';
import { type PanelModel } from './model';
import { type Tab } from './panelState';
import { tabItems } from './tabItems';

export interface IPanelProps {
  model: PanelModel;
  trans: TranslationBundle;
  actions: IActions;
  onRemedy: (remedy: Remedy) => void;
  /** Hears the tab that is looked at. */
  onTab?: (tab: Tab) => void;
  /** Hears the object that is looked at; null for the list. */
  onShow?: (item: IListItem | null) => void;
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
  return (
    <TranslatorContext.Provider value={props.trans}>
      <ActionsContext.Provider value={props.actions}>
        <PanelBody {...props} />
      </ActionsContext.Provider>
    </TranslatorContext.Provider>
  );
}

function PanelBody(props: IPanelProps): React.ReactElement {
  const { model, trans, onRemedy } = props;
  const [, again] = React.useReducer((n: number) => n + 1, 0);
  // Kept here, they outlast an object that is shown and a server that is away.
  const [search, setSearch] = React.useState('');
  const [open, setOpen] = React.useState<ReadonlySet<string>>(new Set());
  const [shown, show] = React.useState<IListItem | null>(null);
  const setShown = (item: IListItem | null) => {
    show(item);
    props.onShow?.(item);
  };
  React.useEffect(() => {
    model.stateChanged.connect(again);
    return () => {
      model.stateChanged.disconnect(again);
    };
  }, [model]);

  const { state } = model;
  const pick = (tab: Tab) => {
    setShown(null);
    model.setTab(tab);
    props.onTab?.(tab);
  };
  const message = panelMessage(state, trans);
  if (message) {
    return (
      <>
        <PanelHeader model={model} />
        <Message message={message} model={model} onRemedy={onRemedy} />
      </>
    );
  }
  const tracking = trackingMessage(state, trans);
  return (
    <>
      <PanelHeader model={model} />
      {tracking && (
        <Message message={tracking} model={model} onRemedy={onRemedy} />
      )}
      <PanelTabs state={state} onPick={pick} />
      {shown ? (
        <Details item={shown} state={state} onBack={() => setShown(null)} />
      ) : (
        <TabBody
          {...props}
          search={search}
          onSearch={setSearch}
          open={open}
          onOpen={setOpen}
          onShow={setShown}
        />
      )}
    </>
  );
}

/** What a tab lists, and the search in it. */
function TabBody(
  props: IPanelProps & {
    search: string;
    onSearch: (search: string) => void;
    /** The views whose features are listed. */
    open: ReadonlySet<string>;
    onOpen: (open: ReadonlySet<string>) => void;
    onShow: (item: IListItem) => void;
  }
): React.ReactElement {
  const { model, search, open, onRemedy } = props;
  const { state } = model;
  const trans = useTranslation();
  const items = tabItems(state, state.tab, search, open, trans);
  const toggle = (item: IListItem) => {
    const name = nameOf(item.id);
    const next = new Set(open);
    if (!next.delete(name)) {
      next.add(name);
    }
    props.onOpen(next);
  };
  const label = tabLabel(state.tab, trans);
  return (
    <div className="fnb-tab" role="tabpanel" aria-label={label}>
      {state.tab === 'health' && <HealthHead model={model} />}
      {state.tab === 'operations' && (
        <OperationsAxis operations={state.operations?.operations ?? []} />
      )}
      <InputGroup
        className="fnb-search"
        type="search"
        rightIcon={searchIcon}
        placeholder={trans.__('Search')}
        aria-label={trans.__('Search')}
        value={search}
        onChange={event => props.onSearch(event.target.value)}
      />
      {items.length ? (
        <ItemList
          items={items}
          label={label}
          height={props.height}
          onToggle={toggle}
          onOpen={item => item.kind !== 'heading' && props.onShow(item)}
        />
      ) : (
        <Message
          message={tabMessage(state, search.trim() !== '', trans)}
          model={model}
          onRemedy={onRemedy}
        />
      )}
    </div>
  );
}
