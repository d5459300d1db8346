// The TypeScript face of the records that Python draws; see feast_nb/lineage and feast_nb/usage.

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

/** The newest shape that this code reads; `records.py` writes it. */
const MAJOR = 1;

/** Why a record cannot be drawn, or null if it can. */
export function unreadable(record: unknown): string | null {
  const version =
    typeof record === 'object' && record !== null
      ? (record as { schema_version?: unknown }).schema_version
      : undefined;
  if (typeof version !== 'string') {
    return 'This output holds no record of feast_nb.';
  }
  return Number(version.split('.')[0]) > MAJOR
    ? `This was written in shape ${version}; upgrade the feast-nb lab extension to draw it.`
    : null;
}
