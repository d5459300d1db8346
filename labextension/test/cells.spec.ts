// The text of the inserted cells.
import { expect, test } from 'vitest';

import { loadCell, runCell, trainCell } from '../src/cells';

test('the load cell is one line', () => {
  expect(loadCell()).toBe('%load_ext feast_nb');
});

test('the train cell is a template line and a body of two lines', () => {
  const [magic, ...body] = trainCell().split('\n');

  expect(magic).toBe(
    '%%feast_train NAME --service SERVICE --entity-df entity_df --target TARGET'
  );
  expect(body).toHaveLength(2);
  expect(body.every(line => line.trim() !== '')).toBe(true);
});

test('the run cell names the run', () => {
  expect(runCell()).toBe('%feast_run NAME');
});
