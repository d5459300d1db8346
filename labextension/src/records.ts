// The records that Python writes (feast_nb/records), generated from their JSON Schema by
// `npm run records`; and what the panel's routes answer beside them (feast_nb/questions/feast_ui.py).
import type * as generated from './generatedRecords';

export type INode = generated.Node;
export type ILineage = generated.LineageDocument;
export type IModelUse = generated.ModelUse;
export type IFeatureUsage = generated.FeatureUsage;
export type IUsage = generated.UsageDocument;
export type ITracking = generated.Tracking;
export type IFeatureOverview = generated.FeatureOverview;
export type IViewOverview = generated.ViewOverview;
export type IServiceOverview = generated.ServiceOverview;
export type IVersionOverview = generated.VersionOverview;
export type IModelOverview = generated.ModelOverview;
export type IProjectOverview = generated.ProjectOverviewDocument;
export type IOperation = generated.Operation;
export type IDependent = generated.Dependent;
export type IImpact = generated.Impact;

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
