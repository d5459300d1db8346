// The records that Python writes and what the panel's routes answer (feast_nb/records), generated
// from their JSON Schema by `npm run records`.
import type * as generated from './generatedRecords';
import type * as routes from './generatedRoutes';

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

export type IRun = routes.RunOfPage;
export type IRuns = routes.RunsPage;
export type IOperations = routes.OperationsAnswer;
export type IHealth = routes.HealthAnswer;
export type IHealthLine = routes.HealthLine;
export type Light = IHealthLine['light'];
export type IKernel = routes.KernelAnswer;
export type IRepositories = routes.RepositoriesAnswer;
