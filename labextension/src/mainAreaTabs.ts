// Lineage and impact in the lab's main area, where there is room for them.
import { MainAreaWidget } from '@jupyterlab/apputils';
import { type TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { type Api } from './api';
import { element } from './dom';
import { showImpact } from './impactTable';
import { LineageView } from './lineage/LineageView';
import { nameOf } from './listItems';
import { type IImpact, type ILineage } from './records';
import { unreadable } from './schema';

/** A tab that asks the server for one answer, and says so where there is none. */
export class QueryWidget<T> extends Widget {
  private readonly asking = new AbortController();
  private view: LineageView | null = null;
  private drawn: T | null = null;

  constructor(
    private readonly trans: TranslationBundle,
    private readonly ask: (
      signal: AbortSignal,
      waiting: (state: string) => void
    ) => Promise<{ value: T }>,
    private readonly draw: (host: HTMLElement, value: T) => LineageView | null
  ) {
    super();
    this.addClass('fnb-main-area');
    this.say(trans.__('Loading…'));
    this.renew();
  }

  /** Ask again; an answer that has not changed leaves the drawing as it was put. */
  renew(): void {
    const waiting = (state: string) => {
      if (this.drawn === null && !this.isDisposed) {
        this.say(
          state === 'starting'
            ? this.trans.__('Starting… Feast and MLflow are being imported.')
            : this.trans.__('Loading…')
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

  private fill(value: T): void {
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
    this.view = this.draw(host, value);
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
  kind: TabKind,
  repo: string,
  object: string,
  trans: TranslationBundle
): MainAreaWidget<QueryWidget<ILineage> | QueryWidget<IImpact>> {
  const query = { repo, object };
  const content =
    kind === 'lineage'
      ? new QueryWidget<ILineage>(
          trans,
          (signal, waiting) => api.getSoon(kind, query, signal, waiting),
          (host, record) => new LineageView(host, record)
        )
      : new QueryWidget<IImpact>(
          trans,
          (signal, waiting) => api.getSoon(kind, query, signal, waiting),
          (host, record) => {
            showImpact(host, record, trans);
            return null;
          }
        );
  const name = nameOf(object).slice(0, 60);
  const widget = new MainAreaWidget({ content });
  widget.title.label =
    kind === 'lineage'
      ? trans.__('Lineage of %1', name)
      : trans.__('Impact of %1', name);
  widget.title.closable = true;
  return widget;
}
