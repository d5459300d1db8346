// The text of the cells that the commands write into a notebook.

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
