// The renderer of our notebook outputs: a graph that moves, a table that sorts, else their HTML.
import {
  type IRenderMime,
  type IRenderMimeRegistry
} from '@jupyterlab/rendermime';
import { Panel, Widget } from '@lumino/widgets';

import { LineageView } from './lineage/LineageView';
import { addActions, type InsertLine } from './outputActions';
import { type ILineage, type IUsage } from './records';
import { unreadable } from './schema';
import { showUsage } from './usageTable';

export const MIME = 'application/vnd.feast-nb.v1+json';

/** Take the outputs that `feast_nb` writes. They need no kernel and are escaped here: `safe`. */
export function addRenderer(
  registry: IRenderMimeRegistry,
  insert: InsertLine
): void {
  registry.addFactory(
    {
      safe: true,
      mimeTypes: [MIME],
      createRenderer: () => new OutputRenderer(registry, insert)
    },
    40 // before HTML
  );
}

/** One output. What is not drawn here is shown by the lab as the HTML that came with it. */
export class OutputRenderer extends Panel implements IRenderMime.IRenderer {
  private drawn: LineageView | null = null;
  private readonly width = new ResizeObserver(() => this.makeReachable());

  constructor(
    private readonly registry: IRenderMimeRegistry,
    private readonly insert: InsertLine
  ) {
    super();
    this.addClass('fnb-output');
    this.width.observe(this.node);
  }

  /** What is wider than the notebook is scrolled by the keyboard, too. */
  private makeReachable(): void {
    if (this.node.scrollWidth > this.node.clientWidth) {
      this.node.tabIndex = 0;
    } else {
      this.node.removeAttribute('tabindex');
    }
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.clear();
    const record: unknown = model.data[MIME];
    if (isDrawn(record)) {
      const host = new Widget();
      this.addWidget(host);
      if (record.kind === 'lineage') {
        this.drawn = new LineageView(host.node, record);
      } else {
        showUsage(host.node, record);
      }
      return;
    }
    for (const type of ['text/html', 'text/plain']) {
      if (model.data[type] !== undefined) {
        const plain = this.registry.createRenderer(type);
        this.addWidget(plain);
        await plain.renderModel(model);
        addActions(plain.node, this.insert);
        return;
      }
    }
    const said = new Widget();
    said.node.textContent = unreadable(record) ?? 'There is nothing to show.';
    this.addWidget(said);
  }

  dispose(): void {
    this.width.disconnect();
    this.drawn?.dispose();
    super.dispose();
  }

  private clear(): void {
    this.drawn?.dispose();
    this.drawn = null;
    for (const widget of [...this.widgets]) {
      widget.dispose();
    }
  }
}

/** Whether a record is one of those that are drawn here. */
function isDrawn(record: unknown): record is ILineage | IUsage {
  return (
    unreadable(record) === null &&
    ['lineage', 'usage'].includes((record as { kind: string }).kind)
  );
}
