// The TypeScript face of the records that Python writes (feast_nb/records): outputs first, then what
// the panel's routes answer (Feast's own in feast_nb/questions/feast_ui.py).

export interface INode {
  id: string;
  kind: string;
  label: string;
  sub: string;
  gone: boolean;
  focus: boolean;
  aliases: string[];
  count: number;
  members: Record<string, string>[];
  details: Record<string, string>;
  url: string | null;
  layer: number;
  x: number;
  y: number;
}

export interface ILineage {
  schema_version: string;
  kind: 'lineage';
  project: string;
  title: string;
  nodes: INode[];
  edges: [number, number][];
  bends: number[][];
  width: number;
  height: number;
  as_of: string | null;
  notes: string[];
}

export interface IModelUse {
  name: string;
  versions: number[];
  aliases: Record<string, number>;
}

export interface IFeatureUsage {
  ref: string;
  kind: string;
  training: number;
  prediction: number;
  last: string | null;
  first: string | null;
  users: string[];
  services: string[];
  models: IModelUse[];
  through: string[];
  trend: number[];
  gone: boolean;
}

export interface IUsage {
  schema_version: string;
  kind: 'usage';
  project: string;
  views: IFeatureUsage[];
  features: IFeatureUsage[];
  training: number;
  prediction: number;
  trend: number[];
  since: string | null;
  stretch: number;
  named: string | null;
  as_of: string | null;
  now: string | null;
  notes: string[];
}

export interface ITracking {
  state:
    | 'ready'
    | 'away'
    | 'reading'
    | 'unmade'
    | 'refused'
    | 'disabled'
    | 'unapplied';
  said: string;
  url: string | null;
  read: number;
}

export interface IFeatureOverview {
  name: string;
  dtype: string;
  training: number;
  prediction: number;
  models: number;
  gone: boolean;
}

export interface IViewOverview {
  name: string;
  kind: string;
  features: IFeatureOverview[];
  entities: string[];
  sources: string[];
  reads: string[];
  services: string[];
  description: string;
  owner: string;
  tags: Record<string, string>;
  ttl: number | null;
  online: boolean;
  fresh: string | null;
  stale: boolean;
  training: number;
  prediction: number;
  last: string | null;
  users: string[];
  models: IModelUse[];
  trend: number[];
  gone: boolean;
}

export interface IServiceOverview {
  name: string;
  refs: string[];
  description: string;
  owner: string;
  models: IModelUse[];
  gone: boolean;
}

export interface IVersionOverview {
  version: number;
  aliases: string[];
  stage: string | null;
  created: string | null;
  service: string | null;
  features: number;
  drift: string;
  changes: string[];
  predictions: number;
  last: string | null;
  run: string | null;
  url: string | null;
}

export interface IModelOverview {
  name: string;
  versions: IVersionOverview[];
}

export interface IProjectOverview {
  schema_version: string;
  kind: 'catalog';
  project: string;
  views: IViewOverview[];
  services: IServiceOverview[];
  models: IModelOverview[];
  sources: Record<string, string>;
  entities: Record<string, string>;
  tracking: ITracking;
  since: string | null;
  stretch: number;
  as_of: string | null;
  notes: string[];
}

export interface IRun {
  run_id: string;
  run_name: string;
  status: string;
  start_time: number;
  end_time: number | null;
  feature_service: string | null;
  feature_refs: string[];
  entity_count: string | null;
  mlflow_url: string | null;
  registered_models: {
    model_name: string;
    version: string;
    aliases: string[];
  }[];
  counts_as: string;
  experiment: string | null;
  experiment_id: string;
  user: string | null;
  notebook: string | null;
  predicts: string | null;
  metrics: Record<string, number>;
}

export interface IRuns {
  runs: IRun[];
  mlflow_uri: string | null;
  next_page_token: string | null;
  as_of: string | null;
  reason?: string;
}

export interface IOperation {
  what: string;
  status: string;
  at: string | null;
  seconds: number | null;
  views: string[];
  created: string[];
  updated: string[];
  deleted: string[];
  changed: string[];
  start: string | null;
  end: string | null;
  user: string | null;
  url: string | null;
}

export interface IOperations {
  operations: IOperation[];
  notes?: string[];
  reason?: string;
  as_of: string | null;
}

export interface IKernel {
  kernel: string;
  notebook: string | null;
  repo: string | null;
  tracking_uri: string | null;
  run: { id: string; name: string; url: string | null } | null;
}

export interface IRepositories {
  repositories: { repo: string; project: string | null }[];
  kernels: IKernel[];
}

export interface IDependent {
  name: string;
  kind: string;
  aliases: string[];
  count: number;
  since: string | null;
  last: string | null;
  through: string | null;
  predictions: number;
  url: string | null;
}

export interface IImpact {
  project: string;
  object: string;
  models: IDependent[];
  views: IDependent[];
  services: IDependent[];
  runs: number;
  predictions: number;
  since: string | null;
  last: string | null;
  notebooks: IDependent[];
  as_of: string | null;
  notes: string[];
}
