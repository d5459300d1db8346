// What the panel knows: a state or a reason, and one signal when either changed.
import { type ISignal, Signal } from '@lumino/signaling';

import { type Api, NotYet, type Query, Refused, SOON } from './api';
import { type IFront, initialState, type IState, type Tab } from './panelState';
import { pickRepository } from './pickRepository';
import {
  type IHealth,
  type IOperations,
  type IProjectOverview,
  type IRepositories,
  type IRuns
} from './records';
import { type Route } from './routeNames';

const PAGE = 50;

export class PanelModel {
  private interval = 10;
  /** The repository that the settings name. */
  chosen = '';

  private readonly changed = new Signal<this, void>(this);
  private front: IFront | null = null;
  private visible = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asking: AbortController | null = null;
  private disposed = false;
  private anew = false;
  private found: IRepositories | null = null;

  readonly state: IState = initialState();

  constructor(private readonly api: Api) {}

  get stateChanged(): ISignal<this, void> {
    return this.changed;
  }

  dispose(): void {
    this.disposed = true;
    this.stop();
    Signal.clearData(this);
  }

  /** Only what is looked at is kept up to date. */
  setVisible(visible: boolean): void {
    if (visible !== this.visible) {
      this.visible = visible;
      if (visible) {
        this.refresh();
      } else {
        this.stop();
      }
    }
  }

  setFront(front: IFront | null): void {
    const same =
      front?.path === this.front?.path && front?.kernel === this.front?.kernel;
    this.front = front;
    if (!same && this.visible) {
      this.refresh();
    }
  }

  setTab(tab: Tab): void {
    this.state.tab = tab;
    this.changed.emit();
    if ((tab === 'operations' || tab === 'health') && this.visible) {
      this.refresh();
    }
  }

  /** Seconds between two looks, while the panel can be seen. */
  setInterval(seconds: number): void {
    if (seconds !== this.interval) {
      this.interval = seconds;
      this.refresh();
    }
  }

  /** Look at another repository. */
  choose(repo: string): void {
    this.chosen = repo;
    this.refresh();
  }

  /** Have the stores looked at: it takes seconds, and its lines come one by one. */
  lookAtHealth(): void {
    this.anew = true;
    if (this.state.health) {
      this.state.health = { ...this.state.health, looking: true };
      this.changed.emit();
    }
    this.refresh();
  }

  /** Look now; what was being asked is not waited for. */
  refresh(): void {
    if (this.visible && !this.disposed) {
      this.stop();
      void this.look();
    }
  }

  /** Seconds to wait for something newer; none while there is nothing to look at. */
  private get patience(): number {
    return this.state.overview ? 5 : 0;
  }

  /** Whether an answer is on its way for which nothing can be shown yet. */
  private get waiting(): boolean {
    const { reason } = this.state;
    return reason === 'starting' || reason === 'loading';
  }

  private stop(): void {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.asking = null;
  }

  private async look(): Promise<void> {
    const asking = new AbortController();
    this.asking = asking;
    try {
      await this.read(asking.signal);
    } catch (problem) {
      if (asking.signal.aborted) {
        return;
      }
      this.refuse(problem);
    }
    if (!asking.signal.aborted) {
      this.changed.emit();
      const soon =
        this.state.refreshing || this.waiting ? SOON : this.interval * 1000;
      this.timer = setTimeout(() => void this.look(), soon);
    }
  }

  private async read(signal: AbortSignal): Promise<void> {
    const { state } = this;
    const { value } = await this.api.get<IRepositories>(
      'repositories',
      {},
      undefined,
      signal
    );
    this.found = value;
    state.repositories = value.repositories;
    if (!this.place()) {
      return;
    }
    const repo = state.repo ?? '';
    const overview = await this.api.get<IProjectOverview>(
      'catalog',
      { repo },
      this.patience,
      signal
    );
    state.overview = overview.value;
    state.asOf = overview.asOf ?? overview.value.as_of;
    state.refreshing =
      overview.refreshing || overview.value.tracking.state === 'reading';
    state.reason = null;
    state.said = '';
    this.changed.emit();
    await Promise.all([
      this.readRuns(repo, signal),
      this.readMine(repo, signal),
      this.readOperations(repo, signal),
      this.readHealth(repo, signal)
    ]);
  }

  private async readRuns(repo: string, signal: AbortSignal): Promise<void> {
    const query = { repo, max_results: PAGE };
    const found = await this.part<IRuns>('mlflow-runs', query, signal);
    this.state.runs = found ?? this.state.runs;
  }

  /** The runs of the notebook in front. */
  private async readMine(repo: string, signal: AbortSignal): Promise<void> {
    const path = this.front?.path;
    if (!path) {
      this.state.mine = [];
      return;
    }
    const query = { repo, object: `notebook=${path}`, max_results: 20 };
    const found = await this.part<IRuns>('mlflow-runs', query, signal);
    this.state.mine = found?.runs ?? this.state.mine;
  }

  private async readOperations(
    repo: string,
    signal: AbortSignal
  ): Promise<void> {
    if (this.state.tab === 'operations') {
      const found = await this.part<IOperations>(
        'operations',
        { repo },
        signal
      );
      this.state.operations = found ?? this.state.operations;
    }
  }

  /** The last look, or the lines of the one that is under way. */
  private async readHealth(repo: string, signal: AbortSignal): Promise<void> {
    const query = this.anew ? { repo, anew: 1 } : { repo };
    const found = await this.part<IHealth>('health', query, signal);
    if (found) {
      this.anew = false;
      this.state.health = found;
      this.state.refreshing ||= found.looking;
      this.changed.emit();
    }
  }

  /** A part of what is shown; a refusal of it is no refusal of the rest. */
  private async part<T>(
    route: Route,
    query: Query,
    signal: AbortSignal
  ): Promise<T | null> {
    try {
      const got = await this.api.get<T>(route, query, this.patience, signal);
      if (signal.aborted) {
        return null;
      }
      this.state.refreshing ||= got.refreshing;
      this.changed.emit();
      return got.value;
    } catch (problem) {
      if (problem instanceof Refused) {
        return null;
      }
      if (problem instanceof NotYet) {
        this.state.refreshing = true;
        return null;
      }
      throw problem;
    }
  }

  /** Which repository to look at; false where that is a reason to show nothing. */
  private place(): boolean {
    const { state, front } = this;
    const found = this.found ?? { repositories: [], kernels: [] };
    const names = found.repositories.map(r => r.repo);
    state.kernel =
      found.kernels.find(k => front !== null && k.kernel === front.kernel) ??
      null;
    const repo = pickRepository(names, {
      chosen: this.chosen,
      told: state.kernel?.repo ?? null,
      front: front?.path ?? null,
      before: state.repo
    });
    if (repo !== state.repo) {
      state.overview = state.runs = state.operations = state.health = null;
      state.mine = [];
      state.repo = repo;
      state.reason = 'loading';
      this.changed.emit();
    }
    if (repo !== null) {
      return true;
    }
    state.refreshing = false;
    state.reason =
      state.kernel && !state.kernel.repo && !names.length
        ? 'outside'
        : names.length
          ? 'choose'
          : 'no-repository';
    return false;
  }

  private refuse(problem: unknown): void {
    const { state } = this;
    if (problem instanceof NotYet) {
      state.refreshing = state.overview !== null;
      if (!state.overview) {
        state.reason = problem.state === 'starting' ? 'starting' : 'loading';
      }
      return;
    }
    state.refreshing = false;
    state.said = problem instanceof Error ? problem.message : String(problem);
    if (!(problem instanceof Refused)) {
      state.reason = 'no-server';
    } else if (problem.status === 404 && !problem.reason) {
      state.reason = 'no-extension';
    } else {
      state.reason = 'refused';
    }
  }
}
