// The panel on a fake server: what it shows, why it shows nothing, and what its buttons do.
import { nullTranslator } from '@jupyterlab/translation';
import { act } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import catalog from '../../tests/data/catalog.json';
import { type IActions } from '../src/components/Facts';
import { Api, NotYet, Refused } from '../src/api';
import { PanelModel } from '../src/model';
import { objectTab } from '../src/mainAreaTabs';
import { type IProjectOverview, type IRun } from '../src/overview';
import { Panel } from '../src/panel';
import { type Remedy } from '../src/messages';

const OVERVIEW = catalog as unknown as IProjectOverview;

function run(id: string, more: Partial<IRun> = {}): IRun {
  return {
    run_id: id,
    run_name: `run ${id}`,
    status: 'FINISHED',
    start_time: Date.parse('2026-01-20T10:00:00Z'),
    end_time: Date.parse('2026-01-20T10:00:05Z'),
    feature_service: 'activity',
    feature_refs: ['hourly:trips'],
    entity_count: '10',
    mlflow_url: `https://mlflow.example.com/#/experiments/1/runs/${id}`,
    registered_models: [],
    counts_as: 'training',
    experiment: 'rides',
    experiment_id: '1',
    user: 'ann',
    notebook: null,
    predicts: null,
    metrics: { rmse: 1.5 },
    ...more
  };
}

/** A server that answers what it is given, and counts what it is asked. */
class Server {
  asked: string[] = [];
  answers: Record<string, unknown> = {
    repositories: {
      repositories: [{ repo: 'team/repo', project: 'rides' }],
      kernels: []
    },
    catalog: OVERVIEW,
    'mlflow-runs': { runs: [run('a'), run('b', { status: 'RUNNING' })] },
    operations: { operations: [] }
  };
  state = 'ready';

  readonly api = {
    get: (route: string, query: Record<string, unknown> = {}) => {
      this.asked.push(`${route} ${JSON.stringify(query)}`);
      const found =
        this.answers[`${route} ${String(query.object)}`] ??
        (query.object ? { runs: [] } : this.answers[route]);
      return found instanceof Error
        ? Promise.reject(found)
        : Promise.resolve({
            value: found,
            refreshing: this.state === 'refreshing',
            asOf: '2026-01-20T12:00:00+00:00'
          });
    }
  } as unknown as Api;

  constructor() {
    this.api.getSoon = Api.prototype.getSoon;
  }
}

let server: Server;
let model: PanelModel;
let host: HTMLElement;
let root: Root;
let done: string[];

const actions = new Proxy({} as IActions, {
  get: (_, name: string) => (of: unknown) => {
    if (name === 'link') {
      return (of as IRun).mlflow_url;
    }
    if (name === 'version') {
      return null;
    }
    done.push(`${name} ${String(of)}`);
    return null;
  }
});

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse('2026-01-20T12:03:00Z') });
  (globalThis as Record<string, unknown>).IS_REACT_ACT_ENVIRONMENT = true;
  server = new Server();
  model = new PanelModel(server.api);
  done = [];
  host = document.createElement('div');
  document.body.append(host);
  root = createRoot(host);
});

afterEach(() => {
  act(() => root.unmount());
  model.dispose();
  host.remove();
  vi.useRealTimers();
});

async function show(trans = nullTranslator.load('feast_nb')): Promise<void> {
  act(() =>
    root.render(
      <Panel
        model={model}
        trans={trans}
        actions={actions}
        remedy={(remedy: Remedy) => done.push(remedy)}
        height={2800}
      />
    )
  );
  model.setVisible(true);
  await settle();
}

async function settle(milliseconds = 0): Promise<void> {
  await act(async () => {
    await vi.advanceTimersByTimeAsync(milliseconds);
  });
}

function lines(): string[] {
  return [...host.querySelectorAll('.fnb-row')].map(
    row => row.querySelector('.fnb-name')?.textContent ?? ''
  );
}

function line(name: string): HTMLElement {
  const found = [...host.querySelectorAll<HTMLElement>('.fnb-row')].find(
    row => row.querySelector('.fnb-name')?.textContent === name
  );
  if (!found) {
    throw new Error(`no ${name} among ${lines().join(', ')}`);
  }
  return found;
}

async function click(target: Element | null): Promise<void> {
  await act(async () => {
    target?.dispatchEvent(new MouseEvent('click', { bubbles: true }));
    await vi.advanceTimersByTimeAsync(0);
  });
}

async function pick(tab: string): Promise<void> {
  await click(host.querySelector(`[data-tab=${tab}]`));
}

function button(text: string): Element | null {
  return (
    [...host.querySelectorAll('button')].find(b => b.textContent === text) ??
    null
  );
}

test('nothing is asked until the panel is seen', async () => {
  act(() => root.render(<div />));
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
  const box = host.querySelector<HTMLInputElement>('.fnb-search');
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
  expect(host.textContent).toContain('Nothing of that name here.');
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
    runs: [run('mine')]
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

test.each([
  [new Refused(404, '', 'Not Found'), 'extension is not enabled'],
  [new TypeError('Failed to fetch'), 'The Jupyter server does not answer'],
  [new Refused(503, 'Died', 'the process dies'), 'the process dies']
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
  ).toEqual(['Features', 'Services']);
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
  server.answers['mlflow-runs'] = { runs: [run('x', { run_name: evil })] };
  await show();
  await pick('runs');

  expect(lines()).toContain(evil);
  expect(host.querySelector('img')).toBeNull();
});

test('an answer that has not changed is not sent again', async () => {
  const seen: (string | null)[] = [];
  const api = new Api(
    { baseUrl: 'http://lab/' } as never,
    (_: string, init: RequestInit) => {
      const tag = new Headers(init.headers).get('If-None-Match');
      seen.push(tag);
      return Promise.resolve(
        tag
          ? new Response(null, { status: 304 })
          : new Response('{"x":1}', { headers: { ETag: 'W/"1"' } })
      );
    }
  );
  const first = await api.get<{ x: number }>('catalog', { repo: 'a' });
  const again = await api.get<{ x: number }>('catalog', { repo: 'a' });

  expect(seen).toEqual([null, 'W/"1"']);
  expect(again.value).toBe(first.value);
});

test('a worker that is starting is told, and asked again until it answers', async () => {
  server.answers.catalog = new NotYet('starting', '');
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
  server.answers.catalog = new NotYet('starting', '');
  model.refresh();
  await settle();

  expect(lines()).toContain('hourly');
  expect(host.textContent).not.toContain('Starting…');
});

test('a tab waits for a worker that is starting', async () => {
  server.answers['impact view=hourly'] = new NotYet('starting', '');
  const trans = nullTranslator.load('feast_nb');
  const { content } = objectTab(
    server.api,
    'impact',
    'team/repo',
    'view=hourly',
    trans
  );
  await settle();
  expect(content.node.textContent).toContain('Starting…');
  server.answers['impact view=hourly'] = new Refused(404, '', 'it is gone');
  await settle(1000);

  expect(content.node.textContent).toBe('it is gone');
});

test('answers are kept up to a number of bytes, the oldest go', async () => {
  const seen: (string | null)[] = [];
  const large = JSON.stringify('x'.repeat(6_000_000));
  const api = new Api(
    { baseUrl: 'http://lab/' } as never,
    (_: string, init: RequestInit) => {
      const tag = new Headers(init.headers).get('If-None-Match');
      seen.push(tag);
      return Promise.resolve(
        tag
          ? new Response(null, { status: 304 })
          : new Response(large, { headers: { ETag: 'W/"1"' } })
      );
    }
  );
  for (const repo of ['a', 'b', 'a', 'c', 'a', 'b']) {
    await api.get('catalog', { repo });
  }

  expect(seen).toEqual([null, null, 'W/"1"', null, 'W/"1"', null]);
});

test('an answer that is not there yet is no refusal', async () => {
  const api = new Api({ baseUrl: 'http://lab/' } as never, () =>
    Promise.resolve(
      new Response('{"message":"ask again","reason":"starting"}', {
        status: 202,
        headers: { 'Feast-Nb-State': 'starting' }
      })
    )
  );

  await expect(api.get('catalog')).rejects.toMatchObject({
    state: 'starting',
    message: 'ask again'
  });
});

test('a refusal carries its reason and one line', async () => {
  const api = new Api({ baseUrl: 'http://lab/' } as never, () =>
    Promise.resolve(
      new Response('{"message":"no view","reason":"FeatureError"}', {
        status: 404
      })
    )
  );

  await expect(api.get('lineage')).rejects.toMatchObject({
    status: 404,
    reason: 'FeatureError',
    message: 'no view'
  });
});

/** Words of the panel's own, in a language that marks them. */
const MARKED = {
  __: (text: string, ...given: unknown[]) =>
    `«${nullTranslator.load('feast_nb').__(text, ...given)}»`,
  _n: (one: string, many: string, n: number, ...given: unknown[]) =>
    `«${nullTranslator.load('feast_nb')._n(one, many, n, ...given)}»`
} as unknown as ReturnType<typeof nullTranslator.load>;

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
  for (const tab of ['features', 'services', 'models', 'runs', 'operations']) {
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

test('a magic is named as it is typed, in an empty tab', async () => {
  server.answers.catalog = { ...OVERVIEW, models: [] };
  await show();
  await pick('models');

  expect(host.textContent).toContain(' %%feast_train …');
});

test('metrics named as facts are both shown, after a refresh too', async () => {
  server.answers['mlflow-runs'] = {
    runs: [run('a', { metrics: { rows: 7, took: 2 } })]
  };
  await show();
  await pick('runs');
  await click(line('run a'));
  await settle(11_000);
  const names = [...host.querySelectorAll('dt')].map(n => n.textContent);

  expect(names.filter(n => n === 'rows' || n === 'took')).toHaveLength(4);
});

test('a tab that could not ask again draws the same answer once it can', async () => {
  const record = { schema_version: '1.0', project: 'rides', as_of: null };
  const lists = { models: [], views: [], services: [], notebooks: [] };
  const numbers = { runs: 0, predictions: 0 };
  const of = { object: 'view=hourly', notes: [] };
  const value = { ...record, ...lists, ...numbers, ...of };
  server.answers['impact view=hourly'] = value;
  const trans = nullTranslator.load('feast_nb');
  const { content } = objectTab(
    server.api,
    'impact',
    'team/repo',
    'view=hourly',
    trans
  );
  await settle();
  expect(content.node.textContent).toContain('If view=hourly changes');
  expect(content.node.textContent).not.toContain('0 model');

  server.answers['impact view=hourly'] = new Refused(503, '', 'it is away');
  content.renew();
  await settle();
  expect(content.node.textContent).toBe('it is away');

  server.answers['impact view=hourly'] = value;
  content.renew();
  await settle();
  expect(content.node.textContent).toContain('If view=hourly changes');
});
