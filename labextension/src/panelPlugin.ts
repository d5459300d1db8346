// The side panel in the lab: where it stands, what it follows, what it keeps.
import { type JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard } from '@jupyterlab/apputils';
import {
  type INotebookTracker,
  type NotebookPanel
} from '@jupyterlab/notebook';
import { nullTranslator } from '@jupyterlab/translation';

import { Api } from './api';
import { type IActions } from './components/ActionsContext';
import { panelIcon } from './icons';
import { type IListItem } from './listItems';
import { LINES, type Remedy } from './messages';
import { PanelModel } from './model';
import { FeastPanel } from './panel';
import { addPanelCommands } from './panelCommands';
import { type Tab } from './panelState';
import { type IRun, type IVersionOverview } from './records';
import { type IOptionalTokens, PANEL } from './tokens';

export const SETTINGS = 'feast-nb:panel';

/** Add the panel and its commands; nothing is read until the panel is seen. */
export function addPanel(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  offered: IOptionalTokens,
  api = new Api()
): FeastPanel {
  const trans = (offered.translator ?? nullTranslator).load('feast_nb');
  const model = new PanelModel(api);
  let mlflow = ''; // the address of MLflow's UI, where the settings name one
  let seen: IListItem | null = null; // the object that the panel shows at a closer look

  const run = (command: string, args: Record<string, string> = {}) =>
    void app.commands.execute(`feast-nb:${command}`, args);
  const actions: IActions = {
    showLineage: object => run('show-lineage', { object }),
    showImpact: object => run('show-impact', { object }),
    insertRetrieval: service => run('insert-retrieval', { service }),
    insertTraining: service => run('insert-train-on', { service }),
    insertScoring: of => run('insert-score', { model: of }),
    copyReference: reference => run('copy-reference', { reference }),
    openInMlflow: url => run('open-mlflow', { url }),
    urlOfRun: of => urlOfRun(of, mlflow),
    urlOfVersion: (name, of) => urlOfVersion(name, of, mlflow)
  };
  const panel = new FeastPanel({
    model,
    trans,
    actions,
    onRemedy: remedy => cure(remedy),
    onTab: tab => void offered.state?.save(PANEL, { tab }),
    onShow: item => {
      seen = item;
      app.commands.notifyCommandChanged();
    }
  });
  panel.id = PANEL;
  panel.title.icon = panelIcon;
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
    } else if (remedy === 'health') {
      model.lookAtHealth();
    } else {
      model.refresh();
    }
  };

  follow(tracker, model);
  let clicked = '';
  // A line may stand for another object by the time that something is picked from the menu.
  panel.node.addEventListener(
    'contextmenu',
    event => {
      const line = (event.target as Element).closest<HTMLElement>(
        '[data-fnb-id]'
      );
      clicked = line?.dataset.fnbId ?? '';
    },
    true
  );
  addPanelCommands(app, tracker, offered, {
    api,
    model,
    trans,
    seen: () => seen,
    clicked: () => clicked
  });
  void offered.settings?.load(SETTINGS).then(settings => {
    let kept = ''; // the repository that the settings name
    const read = () => {
      const of = settings.composite;
      const seconds = Number(of.refreshInterval) || 10;
      model.setInterval(Math.min(3600, Math.max(2, seconds)));
      mlflow = String((of.mlflowUrl as string | undefined) ?? '').replace(
        /\/+$/,
        ''
      );
      const repository = (of.repository as string | undefined) ?? '';
      if (repository !== kept) {
        kept = repository;
        model.choose(repository);
      }
    };
    read();
    settings.changed.connect(read);
    model.stateChanged.connect(() => {
      // What was chosen by hand is remembered, where settings can be written.
      if (model.chosen !== kept) {
        kept = model.chosen;
        settings.set('repository', kept).catch(() => undefined);
      }
    });
  });
  return panel;
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

function urlOfRun(run: IRun, base: string): string | null {
  return base
    ? `${base}/#/experiments/${run.experiment_id}/runs/${run.run_id}`
    : run.mlflow_url;
}

function urlOfVersion(
  name: string,
  of: IVersionOverview,
  base: string
): string | null {
  return base
    ? `${base}/#/models/${encodeURIComponent(name)}/versions/${of.version}`
    : of.url;
}
