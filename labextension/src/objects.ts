// Lineage and impact in the lab's main area, where there is room for them.
import { MainAreaWidget } from '@jupyterlab/apputils';
import { type TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { type Api } from './api';
import { type IDependent, type IImpact } from './overview';
import { count, element, moment } from './page';
import { type ILineage, unreadable } from './records';
import { LineageView } from './view';

/** A tab that asks the server for one answer, and says so where there is none. */
class Asking extends Widget {
  private readonly asking = new AbortController();
  private view: LineageView | null = null;

  constructor(
    trans: TranslationBundle,
    ask: (signal: AbortSignal) => Promise<{ value: unknown }>,
    private readonly draw: (host: HTMLElement, value: never) => unknown
  ) {
    super();
    this.addClass('fnb-main-area');
    this.say(trans.__('This is being read…'));
    void ask(this.asking.signal).then(
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
    if (this.isDisposed) {
      return;
    }
    const why = unreadable(value);
    if (why !== null) {
      this.say(why);
      return;
    }
    const host = document.createElement('div');
    this.node.replaceChildren(host);
    const made = this.draw(host, value as never);
    this.view = made instanceof LineageView ? made : null;
  }

  private say(text: string): void {
    const said = element('p', 'fnb-sentence');
    said.setAttribute('role', 'status');
    said.textContent = text;
    this.node.replaceChildren(said);
  }
}

/** The lineage of an object, as a tab of the main area. */
export function lineageTab(
  api: Api,
  repo: string,
  object: string,
  trans: TranslationBundle
): MainAreaWidget {
  const content = new Asking(
    trans,
    signal => api.get('lineage', { repo, object }, undefined, signal),
    (host, record: ILineage) => new LineageView(host, record)
  );
  return tab(content, trans.__('Lineage of %1', named(object)));
}

/** Everything that depends on an object, as a tab of the main area. */
export function impactTab(
  api: Api,
  repo: string,
  object: string,
  trans: TranslationBundle
): MainAreaWidget {
  const content = new Asking(
    trans,
    signal => api.get('impact', { repo, object }, undefined, signal),
    (host, record: IImpact) => showImpact(host, record, trans)
  );
  return tab(content, trans.__('Impact of %1', named(object)));
}

function tab(content: Widget, label: string): MainAreaWidget {
  const widget = new MainAreaWidget({ content });
  widget.title.label = label;
  widget.title.closable = true;
  return widget;
}

function named(object: string): string {
  return object.replace(/^\w+=/, '').slice(0, 60);
}

function showImpact(
  host: HTMLElement,
  record: IImpact,
  trans: TranslationBundle
): void {
  host.className = 'fnb-usage fnb-impact';
  const head = element('div', 'fnb-head');
  const title = element('b', '');
  title.textContent = trans.__('If %1 changes', record.object);
  const about = element('div', 'fnb-quiet');
  about.textContent = [
    count(record.models.length, 'model version'),
    count(record.services.length, 'service'),
    count(record.runs, 'training run'),
    count(record.predictions, 'prediction run'),
    record.since ? `since ${moment(record.since)} UTC` : ''
  ]
    .filter(Boolean)
    .join(' · ');
  head.append(title, about);
  for (const note of record.notes) {
    const line = element('div', 'fnb-note');
    line.textContent = note;
    head.append(line);
  }
  host.append(head);
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
    through.textContent = [one.through ?? '', one.last ? moment(one.last) : '']
      .filter(Boolean)
      .join(' · ');
    row.append(name, aliases, through);
    made.append(row);
  }
  host.append(made);
  return host;
}
