// Putting a new code cell below the one the user is in.
import { type Notebook } from '@jupyterlab/notebook';

/**
 * Insert `source` below the active cell and put the cursor in it.
 *
 * Returns whether a cell was inserted: a notebook that is still loading or is
 * read-only takes none.
 */
export function insertBelow(notebook: Notebook, source: string): boolean {
  const { model } = notebook;
  if (!model || model.readOnly) {
    return false;
  }
  const index = notebook.activeCell ? notebook.activeCellIndex + 1 : 0;
  // Not NotebookActions.insertBelow: the kind of its cell is a user's setting.
  model.sharedModel.insertCell(index, {
    cell_type: 'code',
    source,
    metadata: { trusted: true }
  });
  notebook.activeCellIndex = index;
  notebook.deselectAll();
  notebook.mode = 'edit';
  void showCursor(notebook, index);
  return true;
}

/** Focus the cell's editor, once it is there to be focused. */
async function showCursor(notebook: Notebook, index: number): Promise<void> {
  // In a long notebook the new cell may lie outside the part that is drawn. A
  // newer scroll cancels this one by rejecting it, which needs no answer.
  await notebook.scrollToItem(index, 'smart').catch(() => undefined);
  const cell = notebook.activeCell;
  await cell?.ready;
  if (!notebook.isDisposed && notebook.activeCell === cell) {
    // Setting the mode only keeps a focus that the notebook has; the palette has it.
    notebook.activate();
  }
}
