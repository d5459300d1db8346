// The JupyterLab side of feast_nb: what it adds to the lab.
import {
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator } from '@jupyterlab/translation';

import { addCommands } from './commands';

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

export default [commands];
