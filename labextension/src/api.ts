// The only place that asks the server. An answer that has not changed is not sent again.
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { type Route } from './routeNames';

/** What came, whether a newer one is on its way, and what it was true of. */
export interface IAnswer<T> {
  value: T;
  refreshing: boolean;
  asOf: string | null;
}

export type Query = Record<string, string | number | undefined>;

/** A refusal: one line that says what to do, and the server's word for why. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    message: string
  ) {
    super(message);
  }
}

type Request = (
  url: string,
  init: RequestInit,
  settings: ServerConnection.ISettings
) => Promise<Response>;

export class Api {
  private readonly kept = new Map<string, { etag: string; value: unknown }>();

  constructor(
    private readonly settings = ServerConnection.makeSettings(),
    private readonly request: Request = ServerConnection.makeRequest
  ) {}

  /**
   * Ask a route. `wait` is how many seconds a newer answer may take; an older one comes sooner.
   *
   * Rejects with `Refused`, or as `fetch` does where there is no server.
   */
  async get<T>(
    route: Route,
    query: Query = {},
    wait?: number,
    signal?: AbortSignal
  ): Promise<IAnswer<T>> {
    const url = this.url(route, query);
    const before = this.kept.get(url);
    const headers: Record<string, string> = {};
    if (before) {
      headers['If-None-Match'] = before.etag;
    }
    if (wait !== undefined) {
      headers['Prefer'] = `wait=${wait}`;
    }
    const response = await this.request(
      url,
      { headers, signal },
      this.settings
    );
    const refreshing = response.headers.get('Feast-Nb-State') === 'refreshing';
    const asOf = response.headers.get('Feast-Nb-As-Of');
    if (response.status === 304 && before) {
      return { value: before.value as T, refreshing, asOf };
    }
    const value: unknown = await response.json().catch(() => null);
    if (!response.ok || value === null) {
      throw refusal(response.status, value);
    }
    const etag = response.headers.get('ETag');
    if (etag) {
      this.kept.set(url, { etag, value });
    }
    return { value: value as T, refreshing, asOf };
  }

  private url(route: Route, query: Query): string {
    const base = URLExt.join(this.settings.baseUrl, 'feast-nb', 'api', route);
    const given = Object.entries(query).filter(([, v]) => v !== undefined);
    const text = new URLSearchParams(
      given.map(([k, v]) => [k, String(v)])
    ).toString();
    return text ? `${base}?${text}` : base;
  }
}

function refusal(status: number, value: unknown): Refused {
  const told = (value ?? {}) as { message?: string; reason?: string };
  return new Refused(
    status,
    told.reason ?? '',
    told.message ?? `the server answers ${status}`
  );
}
