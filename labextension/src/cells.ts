// The cells that the commands write into a notebook: their text, and how they get there.
import { type Notebook } from '@jupyterlab/notebook';

/** What a newly inserted training or run is called until the user names it. */
const NAME = 'NAME';

/** Load the extension. */
export function loadCell(): string {
  return '%load_ext feast_nb';
}

/** Train a model on a feature service; capitals mark what the user fills in. */
export function trainCell(): string {
  return [
    `%%feast_train ${NAME} --service SERVICE --entity-df entity_df --target TARGET`,
    'model = LinearRegression()',
    'model.fit(training_df[COLUMNS], training_df[TARGET])'
  ].join('\n');
}

/** Open a run that the cells after it belong to. */
export function runCell(): string {
  return `%feast_run ${NAME}`;
}

/** Retrieve a feature service's features for the rows of `entity_df`. */
export function retrievalCell(service: string): string {
  return [
    'store = %feast_store',
    'training_df = store.get_historical_features(',
    '    entity_df=entity_df,  # entity keys and event_timestamp',
    `    features=store.get_feature_service(${text(service)}),`,
    ').to_df()'
  ].join('\n');
}

/** Train on a feature service. */
export function trainOnCell(service: string): string {
  return trainCell().replace('SERVICE', word(service));
}

/** Score a model, as `name/3` or `name@alias`. */
export function scoreCell(model: string): string {
  return `scored = %feast_score ${word(model)} --entities entity_df`;
}

/** A Python string. */
function text(value: string): string {
  return JSON.stringify(value);
}

/** A word of a magic's line: quoted where it would be several. */
function word(value: string): string {
  return /^[\w@/.:=-]+$/.test(value) ? value : text(value);
}

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
