// What the panel shows, or the reason that it shows nothing.
import {
  type IHealth,
  type IKernel,
  type IOperations,
  type IProjectOverview,
  type IRepositories,
  type IRun,
  type IRuns
} from './records';

export type Tab =
  'features' | 'services' | 'models' | 'runs' | 'operations' | 'health';

/** Why there is nothing to show; the panel has a sentence for each. */
export type Reason =
  | 'loading'
  | 'starting'
  | 'no-extension'
  | 'no-server'
  | 'no-repository'
  | 'choose'
  | 'outside'
  | 'refused';

/** The notebook in front. */
export interface IFront {
  path: string;
  kernel: string | null;
}

export interface IState {
  reason: Reason | null;
  /** What the server said, where the reason is a refusal. */
  said: string;
  repositories: IRepositories['repositories'];
  repo: string | null;
  kernel: IKernel | null;
  overview: IProjectOverview | null;
  runs: IRuns | null;
  /** Runs of the notebook in front. */
  mine: IRun[];
  operations: IOperations | null;
  /** The last look at the repository's health. */
  health: IHealth | null;
  /** When what is shown was true. */
  asOf: string | null;
  refreshing: boolean;
  tab: Tab;
}

export function initialState(): IState {
  return {
    reason: 'loading',
    said: '',
    repositories: [],
    repo: null,
    kernel: null,
    overview: null,
    runs: null,
    mine: [],
    operations: null,
    health: null,
    asOf: null,
    refreshing: false,
    tab: 'features'
  };
}
