// The table of uses; what it looks like is seen in tests/browser.
import { beforeEach, expect, test } from 'vitest';

import { showUsage } from '../src/usageTable';
import { USAGE } from './fakes';

let host: HTMLElement;
beforeEach(() => {
  host = document.createElement('div');
  document.body.replaceChildren(host);
});

const rows = (table = 0) =>
  [...host.querySelectorAll('table')[table].querySelectorAll('tbody tr')].map(
    row => row.querySelector('code')?.textContent
  );
const press = (name: string, table = 0) =>
  [...host.querySelectorAll('table')[table].querySelectorAll('th button')]
    .find((head): head is HTMLButtonElement => head.textContent === name)
    ?.click();

test('a table sorts by each of its columns, and back', () => {
  showUsage(host, USAGE);
  press('name');
  expect(rows()).toEqual(['derived', 'hourly', 'idle', 'lost', 'profile']);
  expect(host.querySelector('th')?.getAttribute('aria-sort')).toBe('ascending');
  press('name');
  expect(rows()[0]).toBe('profile');
  press('training');
  expect(rows()[0]).toBe('hourly');
  press('models', 1);
  expect(rows(1)[0]).toBe('hourly:trips');
});

test('gone and unused are words, not only colours', () => {
  showUsage(host, USAGE);

  expect(host.textContent).toContain('lost gone');
  expect(host.textContent).toContain('idle unused');
});

test('a usage of thousands shows a hundred at first', () => {
  const features = Array.from({ length: 450 }, (_, n) => ({
    ...USAGE.features[0],
    ref: `v:f${n}`
  }));
  showUsage(host, { ...USAGE, views: [], features });

  expect(rows()).toHaveLength(100);
  host.querySelector<HTMLButtonElement>('.fnb-table > button')?.click();
  expect(rows()).toHaveLength(400);
});
