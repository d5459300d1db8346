// Versions and times as words.
import { expect, test } from 'vitest';

import { formatAge, formatRanges } from '../src/format';

test.each([
  [[3, 1, 2], '1–3'],
  [[1, 2, 4, 7, 8], '1–2, 4, 7–8'],
  [[], '']
])('spans of %j', (numbers, said) => {
  expect(formatRanges(numbers)).toBe(said);
});

test('how long ago', () => {
  expect(
    formatAge('2026-01-01T00:00:00+00:00', '2026-01-04T12:00:00+00:00')
  ).toBe('3 d ago');
  expect(
    formatAge('2026-01-01T00:00:00+00:00', '2026-01-01T00:00:20+00:00')
  ).toBe('just now');
  expect(formatAge('2026-01-01T00:00:00+00:00', null)).toBe('2026-01-01 00:00');
});
