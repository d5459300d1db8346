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

/** There is no answer yet: `starting` while the worker is, else `reading`. Ask again. */
export class NotYet extends Error {
  constructor(
    readonly state: string,
    message: string
  ) {
    super(message);
  }
}

export const SOON = 1000; // milliseconds until a newer answer is asked for

/** What is read of a response. */
export type IResponse = Pick<Response, 'status' | 'ok' | 'headers' | 'text'>;

type Request = (
  url: string,
  init: RequestInit,
  settings: ServerConnection.ISettings
) => Promise<IResponse>;

const KEPT = 16_000_000; // characters of answers that are kept

interface IKept {
  etag: string;
  value: unknown;
  size: number;
}

export class Api {
  /** The answers asked for last, the oldest first. */
  private readonly kept = new Map<string, IKept>();
  private size = 0;

  constructor(
    private readonly settings = ServerConnection.makeSettings(),
    private readonly request: Request = ServerConnection.makeRequest
  ) {}

  /**
   * Ask a route. `wait` is how many seconds a newer answer may take; an older one comes sooner.
   *
   * Rejects with `NotYet` where it is to be asked again, with `Refused`, or as `fetch` does where there is no server.
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
    const state = response.headers.get('Feast-Nb-State') ?? '';
    const refreshing = state === 'refreshing';
    const asOf = response.headers.get('Feast-Nb-As-Of');
    if (response.status === 304 && before) {
      this.keep(url, before);
      return { value: before.value as T, refreshing, asOf };
    }
    const text = await response.text();
    const value = parsed(text);
    if (response.status === 202) {
      throw new NotYet(state, told(value).message ?? state);
    }
    if (!response.ok || value === null) {
      throw refusal(response.status, value);
    }
    const etag = response.headers.get('ETag');
    if (etag) {
      this.keep(url, { etag, value, size: text.length });
    } else {
      this.leave(url);
    }
    return { value: value as T, refreshing, asOf };
  }

  /** Ask until there is an answer; `waiting` is called each time that there is none yet. */
  async getSoon<T>(
    route: Route,
    query: Query,
    signal: AbortSignal,
    waiting: (state: string) => void
  ): Promise<IAnswer<T>> {
    for (;;) {
      try {
        return await this.get<T>(route, query, undefined, signal);
      } catch (problem) {
        if (!(problem instanceof NotYet)) {
          throw problem;
        }
        waiting(problem.state);
        await new Promise(resolve => setTimeout(resolve, SOON));
        signal.throwIfAborted();
      }
    }
  }

  private keep(url: string, answer: IKept): void {
    this.leave(url);
    this.kept.set(url, answer);
    this.size += answer.size;
    for (const oldest of this.kept.keys()) {
      if (this.size <= KEPT) {
        return;
      }
      this.leave(oldest);
    }
  }

  private leave(url: string): void {
    this.size -= this.kept.get(url)?.size ?? 0;
    this.kept.delete(url);
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

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function refusal(status: number, value: unknown): Refused {
  const { reason, message } = told(value);
  return new Refused(
    status,
    reason ?? '',
    message ?? `the server answers ${status}`
  );
}

function told(value: unknown): { message?: string; reason?: string } {
  return value ?? {};
}
