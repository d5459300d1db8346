// The server's routes: the same list as feast_nb/server/route_names.py, which a test compares.
export const ROUTES = [
  'repositories',
  'catalog',
  'lineage',
  'impact',
  'operations',
  'health',
  'mlflow-runs',
  'mlflow-feature-usage',
  'mlflow-feature-models'
] as const;

export type Route = (typeof ROUTES)[number];
