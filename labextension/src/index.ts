// The JupyterLab side of feast_nb: what it adds to the lab.
import {
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator } from '@jupyterlab/translation';

import { addCommands } from './commands';
import { addRenderer } from './mime';

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
  description:
    'Draws the outputs of feast_nb: lineage that moves, usage that sorts.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  activate: (_: JupyterFrontEnd, registry: IRenderMimeRegistry) =>
    addRenderer(registry)
};

export default [commands, outputs];
