// Lineage and impact in the lab's main area, where there is room for them.
import { MainAreaWidget } from '@jupyterlab/apputils';
import { type TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { type Api } from './api';
import { type IDependent, type IImpact } from './overview';
import { element, outputHeader, formatTime } from './format';
import { type ILineage, unreadable } from './records';
import { nameOf } from './listItems';
import { LineageView } from './lineage/LineageView';

/** A tab that asks the server for one answer, and says so where there is none. */
export class QueryWidget extends Widget {
  private readonly asking = new AbortController();
  private view: LineageView | null = null;

  private drawn: unknown = null;

  constructor(
    private readonly trans: TranslationBundle,
    private readonly ask: (
      signal: AbortSignal,
      waiting: (state: string) => void
    ) => Promise<{ value: unknown }>,
    private readonly draw: (host: HTMLElement, value: never) => unknown
  ) {
    super();
    this.addClass('fnb-main-area');
    this.say(trans.__('This is being read…'));
    this.renew();
  }

  /** Ask again; an answer that has not changed leaves the drawing as it was put. */
  renew(): void {
    const waiting = (state: string) => {
      if (this.drawn === null && !this.isDisposed) {
        this.say(
          state === 'starting'
            ? this.trans.__('Starting… Feast and MLflow are being imported.')
            : this.trans.__('This is being read…')
        );
      }
    };
    void this.ask(this.asking.signal, waiting).then(
      ({ value }) => this.fill(value),
      (problem: unknown) => {
        if (!this.asking.signal.aborted) {
          this.say(
            problem instanceof Error ? problem.message : String(problem)
          );
        }
      }
    );
  }

  dispose(): void {
    this.asking.abort();
    this.view?.dispose();
    super.dispose();
  }

  private fill(value: unknown): void {
    if (this.isDisposed || value === this.drawn) {
      return;
    }
    this.drawn = value;
    const why = unreadable(value);
    if (why !== null) {
      this.say(why);
      return;
    }
    const host = document.createElement('div');
    this.view?.dispose();
    this.node.replaceChildren(host);
    const made = this.draw(host, value as never);
    this.view = made instanceof LineageView ? made : null;
  }

  /** A sentence in the place of the drawing: the same answer is drawn again after it. */
  private say(text: string): void {
    this.view?.dispose();
    this.view = null;
    this.drawn = null;
    const said = element('p', 'fnb-sentence');
    said.setAttribute('role', 'status');
    said.textContent = text;
    this.node.replaceChildren(said);
  }
}

/** What a tab of the main area can show about an object. */
export type TabKind = 'lineage' | 'impact';

/** Its lineage, or everything that depends on it, as a tab of the main area. */
export function objectTab(
  api: Api,
  shown: TabKind,
  repo: string,
  object: string,
  trans: TranslationBundle
): MainAreaWidget<QueryWidget> {
  const draw = {
    lineage: (host: HTMLElement, record: ILineage) =>
      new LineageView(host, record),
    impact: (host: HTMLElement, record: IImpact) =>
      showImpact(host, record, trans)
  }[shown] as (host: HTMLElement, record: never) => unknown;
  const content = new QueryWidget(
    trans,
    (signal, waiting) => api.getSoon(shown, { repo, object }, signal, waiting),
    draw
  );
  const name = nameOf(object).slice(0, 60);
  const widget = new MainAreaWidget({ content });
  widget.title.label =
    shown === 'lineage'
      ? trans.__('Lineage of %1', name)
      : trans.__('Impact of %1', name);
  widget.title.closable = true;
  return widget;
}

function showImpact(
  host: HTMLElement,
  record: IImpact,
  trans: TranslationBundle
): void {
  host.className = 'fnb-usage fnb-impact';
  // Without MLflow no number of runs or models is known: not even none.
  const known = record.as_of !== null;
  const about = [
    known &&
      trans._n('%1 model version', '%1 model versions', record.models.length),
    trans._n('%1 service', '%1 services', record.services.length),
    known && trans._n('%1 training run', '%1 training runs', record.runs),
    known &&
      trans._n('%1 prediction run', '%1 prediction runs', record.predictions),
    record.since ? trans.__('since %1 UTC', formatTime(record.since)) : ''
  ]
    .filter(Boolean)
    .join(' · ');
  const title = trans.__('If %1 changes', record.object);
  host.append(outputHeader(title, about, record.notes));
  for (const [caption, of] of [
    [trans.__('Models; those with an alias first'), record.models],
    [trans.__('Views that compute from it'), record.views],
    [trans.__('Feature services'), record.services],
    [trans.__('Notebooks'), record.notebooks]
  ] as [string, IDependent[]][]) {
    if (of.length) {
      host.append(table(caption, of));
    }
  }
}

function table(caption: string, of: IDependent[]): HTMLElement {
  const host = element('div', 'fnb-table');
  const made = element('table', '');
  const said = element('caption', '');
  said.textContent = caption;
  made.append(said);
  for (const one of of) {
    const row = element('tr', '');
    const name = element('th', '');
    name.setAttribute('scope', 'row');
    name.textContent = one.name;
    const aliases = element('td', '');
    for (const alias of one.aliases) {
      const badge = element('span', 'fnb-badge');
      badge.textContent = alias;
      aliases.append(badge);
    }
    const through = element('td', 'fnb-quiet');
    through.textContent = [
      one.through ?? '',
      one.last ? formatTime(one.last) : ''
    ]
      .filter(Boolean)
      .join(' · ');
    row.append(name, aliases, through);
    made.append(row);
  }
  host.append(made);
  return host;
}
