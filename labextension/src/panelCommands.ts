// The panel's commands: what can be done with an object, from its buttons, the palette, a menu.
import { type JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, type MainAreaWidget } from '@jupyterlab/apputils';
import { type INotebookTracker } from '@jupyterlab/notebook';
import { type TranslationBundle } from '@jupyterlab/translation';
import { SplitPanel, type Widget } from '@lumino/widgets';

import { type Api } from './api';
import { insertBelow, retrievalCell, scoreCell, trainOnCell } from './cells';
import { panelIcon } from './icons';
import { type IListItem, nameOf } from './listItems';
import { objectTab, QueryWidget, type TabKind } from './mainAreaTabs';
import { type PanelModel } from './model';
import { type IOptionalTokens, PANEL } from './tokens';

/** The kinds of objects that can be drawn, that others depend on, that code names. */
const DRAWN = [
  'view',
  'feature',
  'service',
  'model',
  'source',
  'entity',
  'run'
];
const CHANGED = ['view', 'feature', 'service', 'source', 'entity'];
const NAMED = ['view', 'feature', 'service', 'model'];

/** What a command of the menu is given: it is about the line that was right-clicked. */
const CLICKED = { clicked: 'yes' };

interface IPanelOfCommands {
  api: Api;
  model: PanelModel;
  trans: TranslationBundle;
  /** The object that the panel shows at a closer look. */
  seen: () => IListItem | null;
  /** The object whose line was right-clicked last; '' for none. */
  clicked: () => string;
}

interface IPanelCommand {
  id: string;
  label: string;
  execute: (args: Record<string, string>) => unknown;
  /** The argument that it cannot do without. */
  needs?: string;
  /** The kinds of objects that it can be about. */
  kinds?: string[];
  isEnabled?: () => boolean;
}

/** Add the commands, to the palette and to the menu of the panel's lines too. */
export function addPanelCommands(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  offered: IOptionalTokens,
  panel: IPanelOfCommands
): void {
  const category = panel.trans.__('Feast');
  const place: IPlace = { app, tracker, offered, panel };
  panelCommands(place).forEach((action, rank) => {
    const command = `feast-nb:${action.id}`;
    addCommand(place, command, action);
    if (action.needs !== 'url') {
      offered.palette?.addItem({ command, category });
    }
    for (const kind of action.kinds ?? []) {
      const selector = `.fnb-panel [data-fnb-kind="${kind}"]`;
      app.contextMenu?.addItem({ command, args: CLICKED, selector, rank });
    }
  });
}

interface IPlace {
  app: JupyterFrontEnd;
  tracker: INotebookTracker;
  offered: IOptionalTokens;
  panel: IPanelOfCommands;
}

function panelCommands(place: IPlace): IPanelCommand[] {
  const { app, tracker, panel } = place;
  const { trans } = panel;
  const some = () => tracker.currentWidget !== null;
  return [
    {
      id: 'open-panel',
      label: trans.__('Show the Feast Panel'),
      execute: () => app.shell.activateById(PANEL)
    },
    {
      id: 'refresh',
      label: trans.__('Refresh'),
      execute: () => panel.model.refresh()
    },
    {
      id: 'show-lineage',
      label: trans.__('Show Lineage'),
      execute: ({ object }) => show(place, 'lineage', object),
      needs: 'object',
      kinds: DRAWN
    },
    {
      id: 'show-impact',
      label: trans.__('Show Impact'),
      execute: ({ object }) => show(place, 'impact', object),
      needs: 'object',
      kinds: CHANGED
    },
    {
      id: 'insert-retrieval',
      label: trans.__('Insert Cell: Retrieve this Service'),
      execute: ({ service }) => insert(place, retrievalCell(service)),
      needs: 'service',
      kinds: ['service'],
      isEnabled: some
    },
    {
      id: 'insert-train-on',
      label: trans.__('Insert Cell: Train on this Service'),
      execute: ({ service }) => insert(place, trainOnCell(service)),
      needs: 'service',
      kinds: ['service'],
      isEnabled: some
    },
    {
      id: 'insert-score',
      label: trans.__('Insert Cell: Score this Model'),
      execute: ({ model }) => insert(place, scoreCell(model)),
      needs: 'model',
      kinds: ['model'],
      isEnabled: some
    },
    {
      id: 'copy-reference',
      label: trans.__('Copy Reference'),
      execute: ({ reference }) => Clipboard.copyToSystem(reference),
      needs: 'reference',
      kinds: NAMED
    },
    {
      id: 'open-mlflow',
      label: trans.__('Open in MLflow'),
      execute: ({ url }) =>
        /^https?:\/\//.test(url) && window.open(url, '_blank', 'noopener'),
      needs: 'url'
    }
  ];
}

function addCommand(
  { app, panel }: IPlace,
  command: string,
  { label, execute, needs, kinds = [], isEnabled = () => true }: IPanelCommand
): void {
  // Without arguments it is about the object that the panel shows.
  const about = (given: object): Record<string, string> => {
    const { clicked, ...args } = given as Record<string, string>;
    const shown = panel.seen();
    if (clicked) {
      return named(panel.clicked());
    }
    return {
      ...(shown && kinds.includes(shown.kind) ? named(shown.id) : {}),
      ...args
    };
  };
  app.commands.addCommand(command, {
    label,
    describedBy: {
      args: {
        type: 'object',
        properties: needs ? { [needs]: { type: 'string' } } : {}
      }
    },
    isEnabled: given => isEnabled() && (!needs || Boolean(about(given)[needs])),
    execute: given => execute(about(given))
  });
}

/** Insert a cell below the active one of the notebook in front; whether there is one. */
function insert({ app, tracker }: IPlace, source: string): boolean {
  const notebook = tracker.currentWidget;
  if (!notebook) {
    return false;
  }
  app.shell.activateById(notebook.id);
  return insertBelow(notebook.content, source);
}

/** Draw an object in the main area, or bring the drawing of it to the front. */
function show({ app, offered, panel }: IPlace, what: TabKind, object: string) {
  const { api, model, trans } = panel;
  const repo = model.state.repo ?? '';
  const id = `feast-nb-${what}-${repo}-${object}`;
  // Notebook 7 has room for one notebook in its main area, and for others below.
  const area = offered.lab ? 'main' : 'down';
  for (const widget of app.shell.widgets(area)) {
    if (widget.id === id) {
      const { content } = widget as MainAreaWidget;
      if (content instanceof QueryWidget) {
        content.renew();
      }
      app.shell.activateById(id);
      return;
    }
  }
  const tab = objectTab(api, what, repo, object, trans);
  tab.id = id;
  tab.title.icon = panelIcon;
  app.shell.add(tab, area, { type: 'Feast' });
  app.shell.activateById(id);
  if (area === 'down') {
    raise(tab);
  }
}

/** Give what lies below the notebook the room that a drawing needs. */
function raise(widget: Widget): void {
  for (let at = widget.parent; at; at = at.parent) {
    if (at instanceof SplitPanel && at.orientation === 'vertical') {
      const below = at.relativeSizes().pop() ?? 0;
      if (below < 0.4) {
        at.setRelativeSizes([1, 1]);
      }
      return;
    }
  }
}

/** An object as the arguments that the commands take. */
function named(id: string): Record<string, string> {
  const name = nameOf(id);
  return { object: id, reference: name, service: name, model: name };
}
