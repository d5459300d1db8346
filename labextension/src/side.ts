// The side panel in the lab: where it stands, what it follows, and its commands.
import {
  type ILabShell,
  type ILayoutRestorer,
  type JupyterFrontEnd
} from '@jupyterlab/application';
import { Clipboard, type ICommandPalette } from '@jupyterlab/apputils';
import {
  type INotebookTracker,
  type NotebookPanel
} from '@jupyterlab/notebook';
import { type ISettingRegistry } from '@jupyterlab/settingregistry';
import { type IStateDB } from '@jupyterlab/statedb';
import { type ITranslator, nullTranslator } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';

import { type IDeeds } from './about';
import { Api } from './api';
import { retrievalCell, scoreCell, trainOnCell } from './cells';
import { insertBelow } from './insert';
import { PanelModel, type Tab } from './model';
import { impactTab, lineageTab } from './objects';
import { type IKnownVersion, type IRun } from './overview';
import { FeastPanel } from './panel';
import { type IRow } from './rows';
import { LINES, type Remedy } from './sentences';

export const PANEL = 'feast-nb-panel';
export const SETTINGS = 'feast-nb:panel';

const ICON = new LabIcon({
  name: 'feast-nb:panel',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><g class="jp-icon3" fill="#616161"><path d="M4 4h6v4H4zM4 10h6v4H4zM4 16h6v4H4z"/><circle cx="18" cy="12" r="3"/><path d="M10 5.4c4 0 5 2.600 5.600 4.600l-1.500.500C13.600 8.600 12.700 7 10 7zM10 11.200h5v1.600h-5zM10 18.600c4 0 5-2.600 5.600-4.600l-1.500-.500c-.5 1.900-1.400 3.500-4.100 3.500z"/></g></svg>'
});

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

/** What the lab may offer, and does not everywhere. */
export interface IOffered {
  palette: ICommandPalette | null;
  translator: ITranslator | null;
  restorer: ILayoutRestorer | null;
  settings: ISettingRegistry | null;
  state: IStateDB | null;
  lab: ILabShell | null;
}

/** Add the panel and its commands; nothing is read until the panel is seen. */
export function addPanel(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  offered: IOffered,
  api = new Api()
): FeastPanel {
  const trans = (offered.translator ?? nullTranslator).load('feast_nb');
  const model = new PanelModel(api);
  let mlflow = ''; // the address of MLflow's UI, where the settings name one
  let seen: IRow | null = null; // the object that the panel shows at a closer look

  const run = (command: string, args: Record<string, string> = {}) =>
    void app.commands.execute(`feast-nb:${command}`, args);
  const deeds: IDeeds = {
    lineage: object => run('show-lineage', { object }),
    impact: object => run('show-impact', { object }),
    retrieve: service => run('insert-retrieval', { service }),
    train: service => run('insert-train-on', { service }),
    score: of => run('insert-score', { model: of }),
    copy: reference => run('copy-reference', { reference }),
    web: url => run('open-mlflow', { url }),
    link: of => linkOfRun(of, mlflow),
    version: (name, of) => linkOfVersion(name, of, mlflow)
  };
  const panel = new FeastPanel({
    model,
    trans,
    deeds,
    remedy: remedy => cure(remedy),
    onTab: tab => void offered.state?.save(PANEL, { tab }),
    onShow: row => {
      seen = row;
      app.commands.notifyCommandChanged();
    }
  });
  panel.id = PANEL;
  panel.title.icon = ICON;
  panel.title.caption = trans.__('Feast features and their models');
  panel.node.setAttribute('role', 'region');
  panel.node.setAttribute('aria-label', trans.__('Feast'));
  app.shell.add(panel, 'left', { rank: 600, type: 'Feast' });
  offered.restorer?.add(panel, PANEL);
  void offered.state?.fetch(PANEL).then(kept => {
    const tab = (kept as { tab?: Tab } | undefined)?.tab;
    if (tab) {
      model.setTab(tab);
    }
  });
  const cure = (remedy: Remedy) => {
    if (remedy === 'copy-lines') {
      Clipboard.copyToSystem(LINES);
    } else if (remedy === 'train') {
      run('insert-train');
    } else {
      model.refresh();
    }
  };

  follow(tracker, model);
  addCommands();
  void offered.settings?.load(SETTINGS).then(settings => {
    const read = () => {
      const of = settings.composite;
      model.interval = Math.max(2, Number(of.refreshInterval) || 10);
      mlflow = String((of.mlflowUrl as string | undefined) ?? '').replace(
        /\/+$/,
        ''
      );
      const repository = (of.repository as string | undefined) ?? '';
      if (repository !== model.chosen) {
        model.choose(repository);
      }
    };
    read();
    settings.changed.connect(read);
    model.stateChanged.connect(() => {
      // What was chosen by hand is remembered.
      if (model.chosen !== ((settings.composite.repository as string) ?? '')) {
        void settings.set('repository', model.chosen);
      }
    });
  });
  return panel;

  function addCommands(): void {
    const category = trans.__('Feast');
    const add = (
      id: string,
      label: string,
      execute: (args: Record<string, string>) => unknown,
      args: string[] = [],
      kinds: string[] = [],
      isEnabled: () => boolean = () => true
    ) => {
      const command = `feast-nb:${id}`;
      // Without arguments it is about the line that was right-clicked, else the object shown.
      const about = (given: object) => ({
        ...clicked(app),
        ...(seen && kinds.includes(seen.kind) ? named(seen.id) : {}),
        ...(given as Record<string, string>)
      });
      app.commands.addCommand(command, {
        label,
        describedBy: {
          args: {
            type: 'object',
            properties: Object.fromEntries(
              args.map(name => [name, { type: 'string' }])
            )
          }
        },
        isEnabled: given => {
          const known: Record<string, string> = about(given);
          return isEnabled() && args.every(name => known[name]);
        },
        execute: given => execute(about(given))
      });
      if (id !== 'open-mlflow') {
        offered.palette?.addItem({ command, category });
      }
    };
    const insert = (source: string) => {
      const notebook = tracker.currentWidget;
      if (!notebook) {
        return false;
      }
      app.shell.activateById(notebook.id);
      return insertBelow(notebook.content, source);
    };
    const someNotebook = () => tracker.currentWidget !== null;
    add('open-panel', trans.__('Show the Feast Panel'), () =>
      app.shell.activateById(PANEL)
    );
    add('refresh', trans.__('Look at the Repository Again'), () =>
      model.refresh()
    );
    add(
      'show-lineage',
      trans.__('Show Lineage'),
      ({ object }) => show(lineageTab, 'lineage', object),
      ['object'],
      DRAWN
    );
    add(
      'show-impact',
      trans.__('Show Impact'),
      ({ object }) => show(impactTab, 'impact', object),
      ['object'],
      CHANGED
    );
    add(
      'insert-retrieval',
      trans.__('Insert Cell: Retrieve this Service'),
      ({ service }) => insert(retrievalCell(service)),
      ['service'],
      ['service'],
      someNotebook
    );
    add(
      'insert-train-on',
      trans.__('Insert Cell: Train on this Service'),
      ({ service }) => insert(trainOnCell(service)),
      ['service'],
      ['service'],
      someNotebook
    );
    add(
      'insert-score',
      trans.__('Insert Cell: Score this Model'),
      ({ model: of }) => insert(scoreCell(of)),
      ['model'],
      ['model'],
      someNotebook
    );
    add(
      'copy-reference',
      trans.__('Copy Reference'),
      ({ reference }) => Clipboard.copyToSystem(reference),
      ['reference'],
      NAMED
    );
    add(
      'open-mlflow',
      trans.__('Open in MLflow'),
      ({ url }) =>
        /^https?:\/\//.test(url) && window.open(url, '_blank', 'noopener'),
      ['url']
    );
    const menu: [string, string[]][] = [
      ['show-lineage', DRAWN],
      ['show-impact', CHANGED],
      ['insert-retrieval', ['service']],
      ['insert-train-on', ['service']],
      ['insert-score', ['model']],
      ['copy-reference', NAMED]
    ];
    menu.forEach(([id, kinds], rank) =>
      kinds.forEach(kind =>
        app.contextMenu?.addItem({
          command: `feast-nb:${id}`,
          selector: `.fnb-panel [data-fnb-kind="${kind}"]`,
          rank
        })
      )
    );
  }

  function show(make: typeof lineageTab, what: string, object: string): void {
    const id = `feast-nb-${what}-${model.state.repo ?? ''}-${object}`;
    // Notebook 7 has room for one notebook in its main area, and for others below.
    const area = offered.lab ? 'main' : 'down';
    for (const widget of app.shell.widgets(area)) {
      if (widget.id === id) {
        app.shell.activateById(id);
        return;
      }
    }
    const tab = make(api, model.state.repo ?? '', object, trans);
    tab.id = id;
    tab.title.icon = ICON;
    app.shell.add(tab, area, { type: 'Feast' });
    app.shell.activateById(id);
  }
}

/** Tell the model which notebook is in front, and which kernel is its. */
function follow(tracker: INotebookTracker, model: PanelModel): void {
  let before: NotebookPanel | null = null;
  const tell = () => {
    const notebook = tracker.currentWidget;
    model.setFront(
      notebook && {
        path: notebook.context?.path ?? '',
        kernel: notebook.sessionContext?.session?.kernel?.id ?? null
      }
    );
  };
  tracker.currentChanged?.connect((_, notebook) => {
    before?.sessionContext?.kernelChanged.disconnect(tell);
    before?.context?.pathChanged.disconnect(tell);
    before = notebook;
    notebook?.sessionContext?.kernelChanged.connect(tell);
    notebook?.context?.pathChanged.connect(tell);
    tell();
  });
  tell();
}

/** What the line that was right-clicked stands for, as arguments of a command. */
function clicked(app: JupyterFrontEnd): Record<string, string> {
  const node = app.contextMenuHitTest?.(n => n.dataset.fnbId !== undefined);
  const id = node?.isConnected ? node.dataset.fnbId : undefined;
  return id ? named(id) : {};
}

/** An object as the arguments that the commands take. */
function named(id: string): Record<string, string> {
  const name = id.replace(/^\w+=/, '');
  return { object: id, reference: name, service: name, model: name };
}

function linkOfRun(run: IRun, base: string): string | null {
  return base
    ? `${base}/#/experiments/${run.experiment_id}/runs/${run.run_id}`
    : run.mlflow_url;
}

function linkOfVersion(
  name: string,
  of: IKnownVersion,
  base: string
): string | null {
  return base
    ? `${base}/#/models/${encodeURIComponent(name)}/versions/${of.version}`
    : of.url;
}
