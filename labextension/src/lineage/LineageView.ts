// The drawing as people use it: pan, zoom, search, the details of what is clicked, export.
import { element, outputHeader } from '../dom';
import { formatCount, formatTime } from '../format';
import { type ILineage, type INode } from '../records';
import { draw, type IDrawingState, subtitle } from './canvas';
import { details } from './details';
import { Graph } from './graph';
import { GraphToolbar } from './GraphToolbar';
import { save } from './svg';
import {
  fitted,
  type ISize,
  type IViewport,
  revealed,
  zoomed
} from './viewport';

const TALLEST = 460;
const HINT =
  'Arrow keys follow the edges, + and − zoom, 0 fits the graph, Escape clears the selection.';

/** A graph in an element of the page; `onSelect` hears the id of the clicked object, or ''. */
export class LineageView {
  private readonly graph: Graph;
  private readonly canvas = document.createElement('canvas');
  private readonly aside = document.createElement('div');
  private readonly said = document.createElement('div');
  private readonly toolbar: GraphToolbar;
  private readonly undo: (() => void)[] = [];
  private view: IViewport = { x: 4, y: 4, scale: 1 };
  private look: IDrawingState = {
    ink: '#777',
    font: 'sans-serif',
    lit: null,
    selected: -1,
    found: new Set()
  };
  private asked = 0;
  private moved = false;

  constructor(
    private readonly host: HTMLElement,
    record: ILineage,
    private readonly onSelect: (id: string) => void = () => undefined
  ) {
    this.graph = new Graph(record);
    this.toolbar = new GraphToolbar({
      search: text => this.find(text),
      step: by => this.next(by),
      zoom: by => this.zoom(by),
      fit: () => this.fit(),
      save: kind => save(this.graph, kind)
    });
    host.classList.add('fnb-lineage');
    host.setAttribute('role', 'group');
    host.setAttribute('aria-label', `Lineage of ${record.title}`);
    this.said.className = 'fnb-said';
    this.said.setAttribute('aria-live', 'polite');
    this.aside.className = 'fnb-details';
    this.aside.hidden = true;
    const main = element('div', 'fnb-main');
    main.append(this.canvas, this.aside);
    const asOf = record.as_of ? ` · as of ${formatTime(record.as_of)} UTC` : '';
    const about = formatCount(record.nodes.length, 'object') + asOf;
    const top = outputHeader(record.title, about, record.notes);
    host.replaceChildren(top, this.toolbar.node, main, this.said);
    this.prepareCanvas(record);
    this.fit();
  }

  dispose(): void {
    this.undo.splice(0).forEach(undo => undo());
    cancelAnimationFrame(this.asked);
    this.host.replaceChildren();
  }

  /** Select an object by its id; '' lets go. */
  select(id: string): void {
    this.choose(id ? this.graph.place(id) : -1);
  }

  // ------------------------------------------------------------- what is there

  private prepareCanvas(record: ILineage): void {
    const { canvas } = this;
    canvas.tabIndex = 0;
    canvas.setAttribute('role', 'application');
    canvas.setAttribute(
      'aria-label',
      `Graph of ${formatCount(record.nodes.length, 'object')}. ${HINT}`
    );
    canvas.title = '';
    this.listen(canvas, 'pointerdown', event => this.grab(event));
    this.listen(canvas, 'pointermove', event => this.hover(event));
    this.listen(canvas, 'pointerleave', () => this.light(this.look.selected));
    this.listen(canvas, 'keydown', event => this.key(event));
    this.listen(canvas, 'dblclick', event => {
      const rect = canvas.getBoundingClientRect();
      this.zoom(1.5, event.clientX - rect.left, event.clientY - rect.top);
    });
    canvas.addEventListener('wheel', event => this.wheel(event), {
      passive: false
    });
    // Until someone moves it, the picture fits what room there is.
    const resized = new ResizeObserver(() =>
      this.moved || !this.aside.hidden ? this.later() : this.fit()
    );
    resized.observe(canvas);
    // The theme is an attribute of the body; colours are read when it is painted.
    const themed = new MutationObserver(() => this.later());
    themed.observe(document.body, { attributes: true });
    this.undo.push(
      () => resized.disconnect(),
      () => themed.disconnect()
    );
  }

  private listen<K extends keyof HTMLElementEventMap>(
    target: HTMLElement,
    name: K,
    heard: (event: HTMLElementEventMap[K]) => void
  ): void {
    target.addEventListener(name, heard);
    this.undo.push(() => target.removeEventListener(name, heard));
  }

  // ------------------------------------------------------------------ painting

  /** Paint before the next frame, once however often it is asked for. */
  private later(): void {
    cancelAnimationFrame(this.asked);
    this.asked = requestAnimationFrame(() => this.paint());
  }

  private paint(): void {
    const context = this.canvas.getContext('2d');
    const { width, height } = this.size();
    if (!context || !width) {
      return;
    }
    const ratio = window.devicePixelRatio || 1;
    const [wide, high] = [
      Math.round(width * ratio),
      Math.round(height * ratio)
    ];
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      this.canvas.width = wide;
      this.canvas.height = high;
    }
    const style = getComputedStyle(this.host);
    this.look.ink = style.color || '#777';
    this.look.font = style.fontFamily || 'sans-serif';
    draw(context, this.graph, this.view, width, height, this.look);
    const { x, y, scale } = this.view;
    this.canvas.dataset.painted = 'yes';
    this.canvas.dataset.view = `${x} ${y} ${scale}`;
  }

  private size(): ISize {
    return { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }

  /** All of it in sight, no larger than it is; a large graph from its left. */
  private fit(): void {
    this.moved = false;
    const { height } = this.graph.record;
    const tall = `${Math.min(TALLEST, Math.max(90, height + 16))}px`;
    if (this.canvas.style.height !== tall) {
      this.canvas.style.height = tall;
    }
    cancelAnimationFrame(this.asked);
    this.asked = requestAnimationFrame(() => {
      this.view = fitted(this.graph.record, this.size());
      this.paint();
    });
  }

  private zoom(by: number, x?: number, y?: number): void {
    this.moved = true;
    const { width, height } = this.size();
    this.view = zoomed(this.view, by, x ?? width / 2, y ?? height / 2);
    this.later();
  }

  // ------------------------------------------------------------------- pointing

  private wheel(event: WheelEvent): void {
    // Without a key the page scrolls: a notebook must not stop at every picture.
    if (!event.ctrlKey && !event.metaKey) {
      return;
    }
    event.preventDefault();
    const rect = this.canvas.getBoundingClientRect();
    this.zoom(
      Math.exp(-event.deltaY / 300),
      event.clientX - rect.left,
      event.clientY - rect.top
    );
  }

  private grab(event: PointerEvent): void {
    const begin = { ...this.view, px: event.clientX, py: event.clientY };
    let moved = false;
    const move = (next: PointerEvent) => {
      const [dx, dy] = [next.clientX - begin.px, next.clientY - begin.py];
      moved ||= Math.hypot(dx, dy) > 4;
      if (moved) {
        this.moved = true;
        this.view = { ...this.view, x: begin.x + dx, y: begin.y + dy };
        this.later();
      }
    };
    const drop = (last: PointerEvent) => {
      window.removeEventListener('pointermove', move);
      window.removeEventListener('pointerup', drop);
      if (!moved) {
        this.choose(this.under(last));
      }
    };
    window.addEventListener('pointermove', move);
    window.addEventListener('pointerup', drop);
  }

  private hover(event: PointerEvent): void {
    if (event.buttons) {
      return;
    }
    const place = this.under(event);
    this.canvas.style.cursor = place < 0 ? 'grab' : 'pointer';
    const node = this.graph.nodes[place];
    this.canvas.title = node ? `${node.kind} ${node.label}` : '';
    this.light(place < 0 ? this.look.selected : place);
  }

  private under(event: PointerEvent): number {
    const rect = this.canvas.getBoundingClientRect();
    return this.graph.at(
      (event.clientX - rect.left - this.view.x) / this.view.scale,
      (event.clientY - rect.top - this.view.y) / this.view.scale
    );
  }

  private key(event: KeyboardEvent): void {
    const zoom = { '+': 1.25, '=': 1.25, '-': 0.8 }[event.key];
    if (event.key.startsWith('Arrow')) {
      const from = this.look.selected;
      const first = this.graph.nodes.findIndex(node => node.focus);
      this.choose(
        from < 0 ? Math.max(first, 0) : this.graph.step(from, event.key)
      );
      this.reveal();
    } else if (zoom) {
      this.zoom(zoom);
    } else if (event.key === '0') {
      this.fit();
    } else if (event.key === 'Escape') {
      this.choose(-1);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  // ------------------------------------------------------------------- choosing

  private light(place: number): void {
    this.look.lit = place < 0 ? null : this.graph.reach(place);
    this.later();
  }

  private choose(place: number): void {
    this.look.selected = place;
    this.light(place);
    const node = this.graph.nodes[place];
    this.host.dataset.selected = node ? node.id : '';
    this.tell(node, place);
    this.onSelect(node ? node.id : '');
  }

  private tell(node: INode | undefined, place: number): void {
    this.aside.hidden = node === undefined;
    this.said.textContent = '';
    if (node === undefined) {
      return;
    }
    const { before, after } = this.graph;
    const around = `${before[place].length} upstream, ${after[place].length} downstream`;
    this.said.textContent = `${node.kind} ${node.label} ${subtitle(node)}, ${around}`;
    this.aside.replaceChildren(...details(node, around));
  }

  /** Bring the selected node into sight. */
  private reveal(): void {
    const node = this.graph.nodes[this.look.selected];
    if (!node) {
      return;
    }
    this.view = revealed(this.view, node, this.size());
    this.later();
  }

  private find(text: string): void {
    const found = this.graph.search(text);
    this.look.found = new Set(found);
    this.toolbar.showHits(found.length);
    this.later();
  }

  private next(by: number): void {
    const found = [...this.look.found];
    if (found.length) {
      const here = found.indexOf(this.look.selected);
      this.choose(found[(here + by + found.length) % found.length]);
      this.reveal();
    }
  }
}
