// Tabs of the main area: an answer, or the sentence in its place.
import { nullTranslator } from '@jupyterlab/translation';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { objectTab } from '../src/mainAreaTabs';
import { FakeServer, notYet, refusal } from './fakes';

const IMPACT = {
  schema_version: '1.0',
  project: 'rides',
  object: 'view=hourly',
  as_of: null,
  notes: [],
  models: [],
  views: [],
  services: [],
  notebooks: [],
  runs: 0,
  predictions: 0
};

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});

afterEach(() => {
  vi.useRealTimers();
});

function impactOf(object: string) {
  const trans = nullTranslator.load('feast_nb');
  return objectTab(server.api, 'impact', 'team/repo', object, trans).content;
}

function answer(found: unknown): void {
  server.answers['impact view=hourly'] = found;
}

async function settle(milliseconds = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(milliseconds);
}

test('a tab waits for a worker that is starting', async () => {
  answer(notYet('starting'));
  const { node } = impactOf('view=hourly');
  await settle();
  expect(node.textContent).toContain('Starting…');
  answer(refusal(404, '', 'it is gone'));
  await settle(1000);

  expect(node.textContent).toBe('it is gone');
});

test('a tab that is closed asks no more', async () => {
  answer(notYet('starting'));
  const tab = impactOf('view=hourly');
  await settle();
  tab.dispose();
  const before = server.asked.length;
  await settle(60_000);

  expect(server.asked).toHaveLength(before);
});

test('a tab that could not ask again draws the same answer once it can', async () => {
  answer(IMPACT);
  const tab = impactOf('view=hourly');
  await settle();
  expect(tab.node.textContent).toContain('If view=hourly changes');
  expect(tab.node.textContent).not.toContain('0 model');

  answer(refusal(503, '', 'it is away'));
  tab.renew();
  await settle();
  expect(tab.node.textContent).toBe('it is away');

  answer(IMPACT);
  tab.renew();
  await settle();
  expect(tab.node.textContent).toContain('If view=hourly changes');
});
