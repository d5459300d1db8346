// The panel on a fake server: what it lists, and what its buttons do.
import {
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import { act } from 'react';
import { expect, test, vi } from 'vitest';

import { fakeRun, partOf } from './fakes';
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

const ENGLISH = nullTranslator.load('feast_nb');

/** Words of the panel's own, in a language that marks them. */
const MARKED = partOf<TranslationBundle>({
  __: (text: string, ...given: unknown[]) => `«${ENGLISH.__(text, ...given)}»`,
  _n: (one: string, many: string, n: number, ...given: unknown[]) =>
    `«${ENGLISH._n(one, many, n, ...given)}»`
});

test('nothing is asked until the panel is seen', async () => {
  await settle(60_000);
  expect(server.asked).toEqual([]);

  await show();
  expect(server.asked.length).toBeGreaterThan(0);
});

test('views are listed with their marks, then entities and sources', async () => {
  await show();

  expect(lines()).toEqual([
    'derived',
    'hourly',
    'idle',
    'profile',
    'lost',
    'Entities',
    'driver',
    'Sources',
    'trips',
    'people',
    'bonus'
  ]);
  expect(line('idle').textContent).toContain('unused');
  expect(line('hourly').textContent).toContain('stale');
  expect(line('hourly').textContent).toContain('15×');
  expect(line('lost').textContent).toContain('gone');
  expect(host.textContent).toContain('3 min ago');
});

test('a view opens to its features, which can be dragged as references', async () => {
  await show();
  await click(line('hourly').querySelector('.fnb-caret'));
  expect(lines().slice(1, 4)).toEqual(['hourly', 'trips', 'rating']);

  const data: Record<string, string> = {};
  const drag = new Event('dragstart', { bubbles: true });
  Object.assign(drag, {
    dataTransfer: {
      setData: (type: string, text: string) => (data[type] = text)
    }
  });
  act(() => {
    line('trips').dispatchEvent(drag);
  });
  expect(data).toEqual({ 'text/plain': '"hourly:trips"' });
});

test('a search finds features in views that are closed, owners and tags', async () => {
  await show();
  const box = host.querySelector<HTMLInputElement>('.fnb-search input');
  const type = async (text: string) => {
    await act(async () => {
      Object.getOwnPropertyDescriptor(
        HTMLInputElement.prototype,
        'value'
      )?.set?.call(box, text);
      box?.dispatchEvent(new Event('input', { bubbles: true }));
      await vi.advanceTimersByTimeAsync(0);
    });
  };
  await type('RATING');
  expect(lines()).toEqual(['hourly', 'rating']);
  await type('rides@example.com');
  expect(lines()).toEqual(['hourly']);
  await type('no such thing');
  expect(lines()).toEqual([]);
  expect(host.textContent).toContain('No match.');
});

test('the detail of a view says who depends on it, and what can be done', async () => {
  await show();
  await click(line('hourly'));

  const text = host.querySelector('.fnb-object')?.textContent ?? '';
  for (const said of [
    '15 runs',
    '42 runs',
    'rides@example.com',
    'team=rides',
    '1 d',
    'older than its TTL',
    'champion → 2',
    'Float32'
  ]) {
    expect(text).toContain(said);
  }
  await click(button('Show lineage'));
  await click(button('Impact'));
  expect(done).toEqual(['lineage view=hourly', 'impact view=hourly']);
  await click(host.querySelector('.fnb-object header button'));
  expect(lines()).toContain('profile');
});

test('services insert cells, models show their drift', async () => {
  await show();
  await pick('services');
  expect(lines()).toEqual(['activity', 'pay', 'spare', 'old']);
  await click(line('activity'));
  await click(button('Insert retrieval'));
  await click(button('Insert training'));
  await pick('models');
  expect(line('pay').textContent).toContain('breaks serving');
  expect(line('eta').textContent).not.toContain('retraining');
  await click(line('eta'));
  expect(host.textContent).toContain('TTL of hourly changed');
  await click(button('Insert scoring'));

  expect(done).toEqual([
    'retrieve activity',
    'train activity',
    'score eta@champion'
  ]);
});

test('runs of the notebook in front come first; one that is open is there at once', async () => {
  server.answers['mlflow-runs notebook=team/repo/a.ipynb'] = {
    runs: [fakeRun('mine')]
  };
  server.answers.repositories = {
    repositories: [{ repo: 'team/repo', project: 'rides' }],
    kernels: [
      {
        kernel: 'k1',
        notebook: 'team/repo/a.ipynb',
        repo: 'team/repo',
        tracking_uri: null,
        run: { id: 'new', name: 'training now', url: null }
      }
    ]
  };
  model.setFront({ path: 'team/repo/a.ipynb', kernel: 'k1' });
  await show();
  await pick('runs');

  expect(lines()).toEqual([
    'This notebook',
    'training now',
    'run mine',
    'Recent',
    'run a',
    'run b'
  ]);
  expect(line('training now').textContent).toContain('running');
  expect(line('run b').textContent).toContain('running');
  await click(line('run mine'));
  expect(host.textContent).toContain('1.5');
  await click(button('Open in MLflow'));
  expect(done.pop()).toContain('web https://mlflow.example.com');
});

test('it looks again after the interval, sooner while something newer is on its way', async () => {
  await show();
  const looks = () => server.asked.filter(a => a.startsWith('catalog')).length;
  expect(looks()).toBe(1);
  await settle(9_000);
  expect(looks()).toBe(1);
  await settle(1_500);
  expect(looks()).toBe(2);

  server.state = 'refreshing';
  await settle(9_600);
  expect(looks()).toBe(3);
  expect(host.textContent).toContain('reading…');
  await settle(1_100);
  expect(looks()).toBe(4);

  model.setVisible(false);
  await settle(60_000);
  expect(looks()).toBe(4);
});

test('operations are read when someone looks at them', async () => {
  await show();
  const looked = () => server.asked.some(a => a.startsWith('operations'));
  expect(looked()).toBe(false);
  await pick('operations');
  await settle();
  expect(looked()).toBe(true);
  expect(host.textContent).toContain('log_operations: true');
});

function operated(what: string, status: string, day: number, more = {}) {
  const lists = {
    views: [],
    created: [],
    updated: [],
    deleted: [],
    changed: []
  };
  const at = `2026-01-${day}T12:00:00+00:00`;
  return { what, status, at, seconds: 60, ...lists, ...more };
}

test('operations stand on a time axis, by grade, and what failed is crossed', async () => {
  server.answers.operations = {
    operations: [
      operated('materialize', 'FAILED', 20, {
        trouble: 'hourly: Redis is away'
      }),
      operated('materialize', 'FINISHED', 18),
      operated('apply', 'FINISHED', 16, { grade: 'breaks serving' }),
      operated('apply', 'FINISHED', 14, { grade: 'safe' }),
      operated('apply', 'FINISHED', 12)
    ]
  };
  await show();
  await pick('operations');
  await settle();
  const axis = host.querySelector('.fnb-axis');
  expect(axis?.getAttribute('aria-label')).toBe(
    '5 operations over time; one failed'
  );
  const classes = [...(axis?.querySelectorAll('g[class]') ?? [])].map(g =>
    g.getAttribute('class')
  );
  expect(classes.sort()).toEqual([
    'fnb-axis-bar',
    'fnb-axis-green',
    'fnb-axis-red',
    'fnb-axis-red',
    'fnb-axis-unknown'
  ]);
  expect(axis?.querySelectorAll('.fnb-axis-cross').length).toBe(1);
});

const LOOKED = {
  project: 'rides',
  at: '2026-01-20T11:00:00+00:00',
  lines: [
    healthLine('view', 'hourly', 'red', 'no row of it is online'),
    healthLine('online store', 'redis', 'amber', 'it evicted 3 keys'),
    healthLine('model', 'tips@champion', 'green', '3 inputs lie within'),
    healthLine('skew', 'hourly', 'green', 'every value is that of the source')
  ],
  model: null,
  seconds: 2,
  notes: []
};

function healthLine(part: string, name: string, light: string, said: string) {
  const remedy = light === 'red' ? '%feast_materialize hourly' : '';
  const at = '2026-01-20T11:00:00+00:00';
  return { part, name, light, said, remedy, facts: {}, seconds: null, at };
}

test('the last look at health is a dot, and a tab with its age', async () => {
  server.answers.health = {
    health: LOOKED,
    looking: false,
    trouble: null,
    as_of: LOOKED.at
  };
  await show();
  const dot = line('hourly').querySelector('.fnb-dot');
  expect(dot?.className).toContain('fnb-dot-red');
  expect(dot?.getAttribute('aria-label')).toBe('red: no row of it is online');

  await pick('health');
  expect(host.textContent).toContain('1 red, 1 amber');
  expect(lines()).toContain('redis');
  await click(line('hourly'));
  const shown = host.querySelector('.fnb-object')?.textContent;
  expect(shown).toContain('no row of it is online');
  expect(shown).toContain('%feast_materialize hourly');
});

test('a look is asked for once, and its lines are waited for', async () => {
  await show();
  await pick('health');
  expect(host.textContent).toContain('Nobody has looked');
  server.answers.health = {
    health: { ...LOOKED, lines: LOOKED.lines.slice(0, 1) },
    looking: true,
    trouble: null,
    as_of: LOOKED.at
  };
  await act(async () => {
    model.lookAtHealth();
    await vi.advanceTimersByTimeAsync(0);
  });
  await settle();
  expect(host.textContent).toContain('Looking…');
  await settle(1_100);
  const asked = server.asked.filter(a => a.startsWith('health'));
  expect(asked.filter(a => a.includes('"anew":"1"'))).toHaveLength(1);

  server.answers.health = {
    health: LOOKED,
    looking: false,
    trouble: null,
    as_of: LOOKED.at
  };
  await settle(1_100);
  expect(host.textContent).toContain('1 red, 1 amber');
});

test('the list is worked by keys', async () => {
  await show();
  const list = host.querySelector<HTMLElement>('[role=listbox]');
  const press = async (key: string) => {
    await act(async () => {
      list?.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
      await vi.advanceTimersByTimeAsync(0);
    });
  };
  await press('ArrowDown');
  const active = list?.getAttribute('aria-activedescendant') ?? '';
  expect(document.getElementById(active)?.textContent).toContain('hourly');
  await press('ArrowRight');
  expect(lines()).toContain('trips');
  await press('ArrowLeft');
  expect(lines()).not.toContain('rating');
  await press('Enter');
  expect(host.querySelector('.fnb-object')?.textContent).toContain('hourly');
});

test('names are text, whatever they hold', async () => {
  const evil = '<img src=x onerror=alert(1)>';
  server.answers['mlflow-runs'] = { runs: [fakeRun('x', { run_name: evil })] };
  await show();
  await pick('runs');

  expect(lines()).toContain(evil);
  expect(host.querySelector('img')).toBeNull();
});

test('whatever the panel says itself can be translated', async () => {
  await show(MARKED);
  const own =
    'dt, caption, .fnb-button, .fnb-flag, .fnb-kind, .fnb-tabs button, .fnb-row-heading .fnb-name, .fnb-sentence p, .fnb-age';
  const bare = new Set<string>();
  const look = () => {
    for (const node of host.querySelectorAll(own)) {
      const text = node.textContent ?? '';
      const metric = text === 'rmse';
      if (/[a-z]/i.test(text) && !text.startsWith('«') && !metric) {
        bare.add(text);
      }
    }
  };
  for (const tab of [
    'features',
    'services',
    'models',
    'runs',
    'operations',
    'health'
  ]) {
    await pick(tab);
    look();
    for (const name of lines().filter(n => !n.startsWith('«'))) {
      await click(line(name));
      look();
      await click(host.querySelector('.fnb-object .fnb-button'));
    }
  }

  expect([...bare]).toEqual([]);
  await pick('runs');
  expect(line('run a').textContent).toMatch(/«\d+ h ago»|«\d+ d ago»/);
});

test('metrics named as facts are both shown, after a refresh too', async () => {
  server.answers['mlflow-runs'] = {
    runs: [fakeRun('a', { metrics: { rows: 7, took: 2 } })]
  };
  await show();
  await pick('runs');
  await click(line('run a'));
  await settle(11_000);
  const names = [...host.querySelectorAll('dt')].map(n => n.textContent);

  expect(names.filter(n => n === 'rows' || n === 'took')).toHaveLength(4);
});
