// What the tests stand in for: a server of answers, records that Python wrote, parts of a lab.
import { ServerConnection } from '@jupyterlab/services';

import catalog from '../../tests/data/catalog.json';
import lineage from '../../tests/data/lineage.json';
import usage from '../../tests/data/usage.json';
import { Api, type IResponse } from '../src/api';
import {
  type ILineage,
  type IProjectOverview,
  type IRun,
  type IUsage
} from '../src/records';

/** The least of something that a test needs of it; its type is the test's word. */
export function partOf<T>(parts: object): T {
  return parts as T;
}

export const OVERVIEW = partOf<IProjectOverview>(catalog);
export const LINEAGE = partOf<ILineage>(lineage);
export const USAGE = partOf<IUsage>(usage);

export function fakeRun(id: string, more: Partial<IRun> = {}): IRun {
  return {
    run_id: id,
    run_name: `run ${id}`,
    status: 'FINISHED',
    start_time: Date.parse('2026-01-20T10:00:00Z'),
    end_time: Date.parse('2026-01-20T10:00:05Z'),
    feature_service: 'activity',
    feature_views: ['hourly'],
    feature_refs: ['hourly:trips'],
    retrieval_type: 'historical',
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

/** A response of the server; `body` as it is sent. */
export function response(
  status: number,
  body: string,
  headers: Record<string, string> = {}
): IResponse {
  return {
    status,
    ok: status >= 200 && status < 300,
    headers: new Headers(headers),
    text: () => Promise.resolve(body)
  };
}

export function refusal(status: number, reason: string, message: string) {
  return response(status, JSON.stringify({ reason, message }));
}

/** The worker has no answer yet. */
export function notYet(state: 'starting' | 'reading'): IResponse {
  const body = JSON.stringify({ reason: state, message: 'ask again' });
  return response(202, body, { 'Feast-Nb-State': state });
}

/** A client of the routes whose requests `answer` answers. */
export function fakeApi(
  answer: (url: URL, headers: Headers) => IResponse | Error
): Api {
  const settings = ServerConnection.makeSettings({ baseUrl: 'http://lab/' });
  return new Api(settings, (url, init) => {
    const found = answer(new URL(url), new Headers(init.headers));
    return found instanceof Error
      ? Promise.reject(found)
      : Promise.resolve(found);
  });
}

/** A server that answers what it is given, and counts what it is asked. */
export class FakeServer {
  asked: string[] = [];
  /** By route, or by route and object. A response and an error are given as they are. */
  answers: Record<string, unknown> = {
    repositories: {
      repositories: [{ repo: 'team/repo', project: 'rides' }],
      kernels: []
    },
    catalog: OVERVIEW,
    'mlflow-runs': {
      runs: [fakeRun('a'), fakeRun('b', { status: 'RUNNING' })]
    },
    operations: { operations: [] },
    health: { health: null, looking: false, trouble: null, as_of: null }
  };
  state = 'ready';

  readonly api = fakeApi(url => this.answer(url));

  private answer(url: URL): IResponse | Error {
    const route = url.pathname.split('/').pop() ?? '';
    const query = Object.fromEntries(url.searchParams);
    this.asked.push(`${route} ${JSON.stringify(query)}`);
    const found =
      this.answers[`${route} ${query.object}`] ??
      (query.object ? { runs: [] } : this.answers[route]);
    if (found instanceof Error || isResponse(found)) {
      return found;
    }
    return response(200, JSON.stringify(found), {
      'Feast-Nb-State': this.state,
      'Feast-Nb-As-Of': '2026-01-20T12:00:00+00:00'
    });
  }
}

function isResponse(found: unknown): found is IResponse {
  return typeof found === 'object' && found !== null && 'text' in found;
}
