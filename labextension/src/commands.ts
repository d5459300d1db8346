// The commands of the palette: each inserts one cell into the notebook in front.
import { type JupyterFrontEnd } from '@jupyterlab/application';
import { type ICommandPalette } from '@jupyterlab/apputils';
import { type INotebookTracker, type Notebook } from '@jupyterlab/notebook';
import { type ITranslator, nullTranslator } from '@jupyterlab/translation';

import { insertBelow, loadCell, runCell, trainCell } from './cells';

/** Register the commands, and list them in the palette where there is one. */
export function addCommands(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  palette: ICommandPalette | null,
  translator: ITranslator | null
): void {
  const trans = (translator ?? nullTranslator).load('feast_nb');
  const category = trans.__('Feast');

  const inFront = (): Notebook | null => {
    const panel = tracker.currentWidget;
    // The tracker remembers the last notebook also while a terminal is in front.
    return panel && panel === app.shell.currentWidget ? panel.content : null;
  };

  const add = (
    command: string,
    label: string,
    caption: string,
    source: () => string
  ) => {
    app.commands.addCommand(command, {
      label,
      caption,
      describedBy: { args: { type: 'object', properties: {} } },
      isEnabled: () => inFront() !== null,
      execute: () => {
        const notebook = inFront();
        return notebook !== null && insertBelow(notebook, source());
      }
    });
    palette?.addItem({ command, category });
  };

  add(
    'feast-nb:insert-load',
    trans.__('Insert Cell: Load feast_nb'),
    trans.__('Insert a cell that loads the magics of feast_nb'),
    loadCell
  );
  add(
    'feast-nb:insert-train',
    trans.__('Insert Cell: Train a Model on Features'),
    trans.__('Insert a %1 cell to fill in', '%%feast_train'),
    trainCell
  );
  add(
    'feast-nb:insert-run',
    trans.__('Insert Cell: Start a Run'),
    trans.__('Insert a %feast_run line to fill in'),
    runCell
  );
}
