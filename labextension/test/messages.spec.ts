// Why the panel shows nothing, and what it shows in spite of that.
import { expect, test } from 'vitest';

import { notYet, OVERVIEW, refusal } from './fakes';
import {
  button,
  click,
  done,
  host,
  line,
  lines,
  model,
  pick,
  server,
  settle,
  show
} from './panelHarness';

test.each([
  [refusal(404, '', 'Not Found'), 'extension is not enabled'],
  [new TypeError('Failed to fetch'), 'The Jupyter server does not answer'],
  [refusal(503, 'Died', 'the process dies'), 'the process dies']
])('%s: a sentence and a button', async (problem, said) => {
  server.answers.repositories = problem;
  await show();

  expect(host.textContent).toContain(said);
  await click(button('Look again'));
  expect(done).toEqual(['refresh']);
});

test.each([
  [{ repositories: [], kernels: [] }, 'There is no feature_store.yaml'],
  [
    {
      repositories: [],
      kernels: [
        {
          kernel: 'k',
          notebook: null,
          repo: null,
          tracking_uri: null,
          run: null
        }
      ]
    },
    'lies outside'
  ]
])('no repository: %s', async (repositories, said) => {
  server.answers.repositories = repositories;
  model.setFront({ path: 'x.ipynb', kernel: 'k' });
  await show();

  expect(host.textContent).toContain(said);
});

test('of several repositories one is chosen, and looked at', async () => {
  server.answers.repositories = {
    repositories: [
      { repo: 'one', project: 'p1' },
      { repo: 'two', project: 'p2' }
    ],
    kernels: []
  };
  await show();
  expect(host.textContent).toContain('choose one');
  await click(button('p2 (two)'));
  await settle();

  expect(model.chosen).toBe('two');
  expect(server.asked).toContain('catalog {"repo":"two"}');
});

test('the nearest repository above the notebook is looked at', async () => {
  server.answers.repositories = {
    repositories: [
      { repo: 'team', project: 'p1' },
      { repo: 'team/inner', project: 'p2' },
      { repo: 'other', project: 'p3' }
    ],
    kernels: []
  };
  model.setFront({ path: 'team/inner/notebooks/a.ipynb', kernel: null });
  await show();

  expect(model.state.repo).toBe('team/inner');
});

test('with MLflow switched off the features stay, and the lines to add are shown', async () => {
  server.answers.catalog = {
    ...OVERVIEW,
    models: [],
    as_of: null,
    tracking: { state: 'disabled', said: '', url: null, read: 1 }
  };
  await show();

  expect(host.querySelector('pre')?.textContent).toContain('enabled: true');
  expect(lines()).toContain('hourly');
  expect(line('idle').textContent).not.toContain('unused');
  expect(
    [...host.querySelectorAll('[role=tab]')].map(t => t.textContent)
  ).toEqual(['Features', 'Services', 'Health']);
  await click(button('Copy the lines'));
  expect(done).toEqual(['copy-lines']);
});

test('a tracking server that is away is said, above what is known', async () => {
  server.answers.catalog = {
    ...OVERVIEW,
    tracking: { state: 'away', said: 'as of Monday', url: null, read: 1 }
  };
  await show();

  expect(host.textContent).toContain(
    'does not answer. What is shown is as of Monday'
  );
  expect(lines()).toContain('hourly');
});

test('a worker that is starting is told, and asked again until it answers', async () => {
  server.answers.catalog = notYet('starting');
  await show();
  expect(host.textContent).toContain('Starting…');
  const before = server.asked.length;
  server.answers.catalog = OVERVIEW;
  await settle(1000);

  expect(server.asked.length).toBeGreaterThan(before);
  expect(lines()).toContain('hourly');
  expect(host.textContent).not.toContain('Starting…');
});

test('what is shown stays while the worker is starting again', async () => {
  await show();
  server.answers.catalog = notYet('starting');
  model.refresh();
  await settle();

  expect(lines()).toContain('hourly');
  expect(host.textContent).not.toContain('Starting…');
});

test('a magic is named as it is typed, in an empty tab', async () => {
  server.answers.catalog = { ...OVERVIEW, models: [] };
  await show();
  await pick('models');

  expect(host.textContent).toContain(' %%feast_train …');
});
