// What a tab lists, line by line: pure, so that ten thousand lines are no more than an array.
import { type TranslationBundle } from '@jupyterlab/translation';

import { formatAge, formatRanges, formatTime } from './format';
import { healthItems, lightOf } from './healthItems';
import {
  drifted,
  fits,
  has,
  heading,
  type IListItem,
  plain
} from './listItems';
import { type IState, type Tab } from './panelState';
import {
  type IModelOverview,
  type IOperation,
  type IRun,
  type IViewOverview
} from './records';

const GRAVE = ['breaks serving', 'needs retraining']; // the worst first

/** The lines of a tab that fit what is searched for; of the views in `open` with their features. */
export function tabItems(
  state: IState,
  tab: Tab,
  search: string,
  open: ReadonlySet<string>,
  trans: TranslationBundle
): IListItem[] {
  const wanted = search.trim().toLowerCase();
  switch (tab) {
    case 'features':
      return features(state, wanted, open, trans);
    case 'services':
      return services(state, trans).filter(item => fits(item, wanted));
    case 'models':
      return (state.overview?.models ?? [])
        .map(of => ({
          ...model(of, trans),
          light: lightOf(state, 'model', of.name, trans)
        }))
        .filter(item => fits(item, wanted));
    case 'runs':
      return runs(state, wanted, trans);
    case 'operations':
      return (state.operations?.operations ?? [])
        .map((of, place) => operation(of, place, trans))
        .filter(item => fits(item, wanted));
    case 'health':
      return healthItems(state, trans).filter(
        item => !wanted || (item.kind !== 'heading' && fits(item, wanted))
      );
  }
}

function features(
  state: IState,
  wanted: string,
  open: ReadonlySet<string>,
  trans: TranslationBundle
): IListItem[] {
  const { overview } = state;
  if (!overview) {
    return [];
  }
  // Without MLflow nothing is known to be unused.
  const known = overview.as_of !== null;
  const items: IListItem[] = [];
  for (const view of overview.views) {
    const item = viewItem(view, known, trans);
    item.light = lightOf(state, 'view', view.name, trans);
    const text = [view.description, view.owner, ...Object.values(view.tags)];
    const own = !wanted || has([view.name, ...text], wanted);
    const inner = view.features.filter(
      f => own || has([f.name, `${view.name}:${f.name}`], wanted)
    );
    if (!own && !inner.length) {
      continue;
    }
    item.open = open.has(view.name) || (Boolean(wanted) && !own);
    items.push(item);
    if (item.open) {
      for (const f of inner) {
        const marks: IListItem['marks'] = [];
        if (f.gone) {
          marks.push(['gone', trans.__('gone')]);
        } else if (known && !f.training && !f.prediction && !f.models) {
          marks.push(['unused', trans.__('unused')]);
        }
        items.push({
          id: `${view.name}:${f.name}`,
          kind: 'feature',
          name: f.name,
          about: f.dtype,
          marks,
          badges: [],
          inner: true
        });
      }
    }
  }
  const others: [string, IListItem['kind'], Record<string, string>][] = [
    [trans.__('Entities'), 'entity', overview.entities],
    [trans.__('Sources'), 'source', overview.sources]
  ];
  for (const [title, kind, of] of others) {
    const names = Object.keys(of).filter(name => has([name], wanted));
    if (names.length) {
      items.push(heading(title, names.length));
      items.push(
        ...names.map(name => plain(kind, `${kind}=${name}`, name, of[name]))
      );
    }
  }
  return items;
}

function viewItem(
  view: IViewOverview,
  known: boolean,
  trans: TranslationBundle
): IListItem {
  const marks: IListItem['marks'] = [];
  if (view.gone) {
    marks.push(['gone', trans.__('gone')]);
  } else if (
    known &&
    !view.training &&
    !view.prediction &&
    !view.models.length
  ) {
    marks.push(['unused', trans.__('unused')]);
  }
  if (view.stale) {
    marks.push(['stale', trans.__('stale')]);
  }
  const kind = view.kind === 'batch' ? '' : view.kind.replace('_', '-');
  const count = view.training ? `${view.training.toLocaleString('en')}×` : '';
  const item = plain(
    'view',
    `view=${view.name}`,
    view.name,
    [kind, count].filter(Boolean).join(' · ')
  );
  return { ...item, marks };
}

function services(state: IState, trans: TranslationBundle): IListItem[] {
  return (state.overview?.services ?? []).map(service => {
    const item = plain(
      'service',
      `service=${service.name}`,
      service.name,
      `${service.refs.length}`
    );
    const badges = service.models.flatMap(m => Object.keys(m.aliases));
    return {
      ...item,
      badges: [...new Set(badges)].slice(0, 3),
      marks: service.gone ? [['gone', trans.__('gone')]] : []
    };
  });
}

function model(of: IModelOverview, trans: TranslationBundle): IListItem {
  const aliases = of.versions.flatMap(v => v.aliases);
  // What is served counts; of a model without an alias its newest version.
  const served = of.versions.filter(v => v.aliases.length);
  const drifts = (served.length ? served : of.versions.slice(0, 1)).map(
    v => v.drift
  );
  const grave = GRAVE.find(drift => drifts.includes(drift));
  const said = grave && drifted(grave, trans);
  return {
    ...plain(
      'model',
      `model=${of.name}`,
      of.name,
      formatRanges(of.versions.map(v => v.version))
    ),
    badges: aliases.slice(0, 3),
    marks: said ? [['drift', said]] : []
  };
}

function runs(
  state: IState,
  wanted: string,
  trans: TranslationBundle
): IListItem[] {
  const now = new Date().toISOString();
  const mine = state.mine.map(of => run(of, now, trans));
  const open = state.kernel?.run;
  if (open && !state.mine.some(r => r.run_id === open.id)) {
    mine.unshift({
      ...plain(
        'run',
        `run=${open.id}`,
        open.name ?? open.id.slice(0, 8),
        trans.__('open in this notebook')
      ),
      marks: [['running', trans.__('running')]]
    });
  }
  const known = new Set(mine.map(item => item.id));
  const others = (state.runs?.runs ?? [])
    .map(of => run(of, now, trans))
    .filter(item => !known.has(item.id));
  const items: IListItem[] = [];
  for (const [title, of] of [
    [trans.__('This notebook'), mine],
    [trans.__('Recent'), others]
  ] as const) {
    const found = of.filter(item => fits(item, wanted));
    if (found.length) {
      items.push(heading(title, found.length), ...found);
    }
  }
  return items;
}

function run(of: IRun, now: string, trans: TranslationBundle): IListItem {
  const marks: IListItem['marks'] = [];
  if (of.status === 'RUNNING') {
    marks.push(['running', trans.__('running')]);
  } else if (of.status !== 'FINISHED') {
    marks.push(['failed', of.status.toLowerCase()]);
  }
  const started = formatAge(new Date(of.start_time).toISOString(), now, trans);
  const what = of.predicts ?? of.feature_service ?? of.counts_as;
  return {
    ...plain('run', `run=${of.run_id}`, of.run_name, `${what} · ${started}`),
    marks,
    badges: of.registered_models
      .map(m => `${m.model_name}/${m.version}`)
      .slice(0, 2)
  };
}

function operation(
  of: IOperation,
  place: number,
  trans: TranslationBundle
): IListItem {
  const changed = [...of.created, ...of.updated, ...of.deleted, ...of.changed];
  const names = of.views.length ? of.views : changed;
  const item = plain(
    'operation',
    `operation=${of.at}-${place}`,
    `${of.what} ${names.slice(0, 3).join(', ')}`,
    of.at ? formatTime(of.at).slice(5) : ''
  );
  return {
    ...item,
    marks: of.status === 'FAILED' ? [['failed', trans.__('failed')]] : []
  };
}
