// The JupyterLab side of feast_nb: what it adds to the lab.
import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator } from '@jupyterlab/translation';

import { addCommands } from './commands';
import { insertInto } from './outputActions';
import { addPanel, SETTINGS } from './panelPlugin';
import { addRenderer } from './renderer';

const commands: JupyterFrontEndPlugin<void> = {
  id: 'feast-nb:commands',
  description: 'Inserts cells with the magics of feast_nb.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => addCommands(app, tracker, palette, translator)
};

const outputs: JupyterFrontEndPlugin<void> = {
  id: 'feast-nb:outputs',
  description: 'Renders feast_nb outputs: interactive lineage, sortable usage.',
  autoStart: true,
  requires: [IRenderMimeRegistry, INotebookTracker],
  activate: (
    _: JupyterFrontEnd,
    registry: IRenderMimeRegistry,
    tracker: INotebookTracker
  ) => addRenderer(registry, insertInto(tracker))
};

const panel: JupyterFrontEndPlugin<void> = {
  id: SETTINGS,
  description:
    'A side panel: features, services, models, runs and their lineage.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [
    ICommandPalette,
    ITranslator,
    ILayoutRestorer,
    ISettingRegistry,
    IStateDB,
    ILabShell
  ],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    palette: ICommandPalette | null,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    settings: ISettingRegistry | null,
    state: IStateDB | null,
    lab: ILabShell | null
  ) => {
    performance.mark('feast-nb:panel');
    addPanel(app, tracker, {
      palette,
      translator,
      restorer,
      settings,
      state,
      lab
    });
    performance.measure('feast-nb:panel', 'feast-nb:panel'); // what it costs
  }
};

export default [commands, outputs, panel];
