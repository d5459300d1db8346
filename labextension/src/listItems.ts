// A line of a list: what it stands for, and what is said in it.
import { type TranslationBundle } from '@jupyterlab/translation';

import { type Light } from './records';

export type Mark = 'unused' | 'stale' | 'gone' | 'running' | 'failed' | 'drift';

export interface IListItem {
  /** One for each object; of a feature it is its reference. */
  id: string;
  kind:
    | 'heading'
    | 'view'
    | 'feature'
    | 'source'
    | 'entity'
    | 'service'
    | 'model'
    | 'run'
    | 'operation'
    | 'health';
  name: string;
  /** What is said in quiet letters behind the name. */
  about: string;
  marks: [Mark, string][];
  badges: string[];
  /** How it is, by the last look at the repository's health, in a dot and in words. */
  light?: readonly [Light, string];
  open?: boolean;
  inner?: boolean;
}

/** What the registry's changes mean for a model; null where they mean nothing. */
export function drifted(
  drift: string,
  trans: TranslationBundle
): string | null {
  return (
    {
      'breaks serving': trans.__('breaks serving'),
      'needs retraining': trans.__('needs retraining')
    }[drift] ?? null
  );
}

/** An object's name without its kind. */
export function nameOf(id: string): string {
  return id.replace(/^\w+=/, '');
}

/** An object's kind, as it stands above it. */
export function kindOf(
  kind: IListItem['kind'],
  trans: TranslationBundle
): string {
  return {
    heading: '',
    view: trans.__('view'),
    feature: trans.__('feature'),
    source: trans.__('source'),
    entity: trans.__('entity'),
    service: trans.__('service'),
    model: trans.__('model'),
    run: trans.__('run'),
    operation: trans.__('operation'),
    health: trans.__('health')
  }[kind];
}

export function plain(
  kind: IListItem['kind'],
  id: string,
  name: string,
  about: string
): IListItem {
  return { id, kind, name, about, marks: [], badges: [] };
}

export function heading(name: string, count: number): IListItem {
  return plain('heading', `heading=${name}`, name, count.toLocaleString('en'));
}

export function fits(item: IListItem, wanted: string): boolean {
  return has([item.name, item.about, ...item.badges], wanted);
}

export function has(texts: string[], wanted: string): boolean {
  return texts.some(text => text.toLowerCase().includes(wanted));
}
