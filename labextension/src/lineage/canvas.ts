// A graph on a canvas, which stays quick at thousands of nodes.
import { type INode } from '../records';
import { BOX, type Graph } from './graph';
import { type IViewport } from './viewport';

/** Mid tones under white text, as in the pictures that Python draws. */
const COLOURS: Record<string, string> = {
  source: '#5f6b7a',
  entity: '#7a6a4f',
  view: '#2f6f9f',
  service: '#2e7d5b',
  run: '#6b5b95',
  model: '#a4503c',
  prediction: '#8a6d1f'
};
const OTHER = '#6b6b6b';

export function colourOf(node: INode): string {
  return COLOURS[node.kind] ?? OTHER;
}

export interface IDrawingState {
  ink: string;
  font: string;
  /** The nodes that stand out; all do where there is none. */
  lit: Set<number> | null;
  selected: number;
  found: Set<number>;
}

/** Draw what is seen of a graph. `width` and `height` are those of the canvas on the page. */
export function draw(
  context: CanvasRenderingContext2D,
  graph: Graph,
  view: IViewport,
  width: number,
  height: number,
  look: IDrawingState
): void {
  const ratio = window.devicePixelRatio || 1;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.translate(view.x, view.y);
  context.scale(view.scale, view.scale);
  const seen = {
    left: -view.x / view.scale,
    top: -view.y / view.scale,
    right: (width - view.x) / view.scale,
    bottom: (height - view.y) / view.scale
  };
  drawEdges(context, graph, look, seen);
  context.font = `12px ${look.font}`;
  context.textBaseline = 'middle';
  graph.nodes.forEach((node, place) => {
    if (
      node.x > seen.right ||
      node.x + BOX.width < seen.left ||
      node.y > seen.bottom ||
      node.y + BOX.height < seen.top
    ) {
      return;
    }
    drawNode(context, node, place, look, view.scale);
  });
}

interface ISeen {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

function drawEdges(
  context: CanvasRenderingContext2D,
  graph: Graph,
  look: IDrawingState,
  seen: ISeen
): void {
  context.strokeStyle = look.ink;
  // Two strokes for all of them: one of the edges that stand out, one of the others.
  for (const bright of [false, true]) {
    context.beginPath();
    graph.record.edges.forEach(([from, to], edge) => {
      const lit = look.lit === null || (look.lit.has(from) && look.lit.has(to));
      if (lit !== bright) {
        return;
      }
      const points = graph.points(edge);
      const ys = points.map(point => point[1]);
      if (
        points[0][0] > seen.right ||
        points[points.length - 1][0] < seen.left ||
        Math.min(...ys) > seen.bottom ||
        Math.max(...ys) < seen.top
      ) {
        return;
      }
      context.moveTo(...points[0]);
      trace(points, (x1, y1, x2, y2, x, y) =>
        context.bezierCurveTo(x1, y1, x2, y2, x, y)
      );
    });
    context.globalAlpha = bright ? 0.75 : 0.15;
    context.lineWidth = bright && look.lit !== null ? 1.8 : 1;
    context.stroke();
  }
  context.globalAlpha = 1;
}

type Curve = (
  x1: number,
  y1: number,
  x2: number,
  y2: number,
  x: number,
  y: number
) => void;

export function trace(points: [number, number][], curve: Curve): void {
  for (let n = 1; n < points.length; n++) {
    const [[x1, y1], [x2, y2]] = [points[n - 1], points[n]];
    const middle = (x1 + x2) / 2;
    curve(middle, y1, middle, y2, x2, y2);
  }
}

function drawNode(
  context: CanvasRenderingContext2D,
  node: INode,
  place: number,
  look: IDrawingState,
  scale: number
): void {
  const colour = colourOf(node);
  context.globalAlpha = look.lit === null || look.lit.has(place) ? 1 : 0.3;
  if (node.count > 1) {
    context.save();
    context.globalAlpha *= 0.45;
    context.fillStyle = colour;
    box(context, node.x + 4, node.y + 4);
    context.fill();
    context.restore();
  }
  box(context, node.x, node.y);
  if (node.gone) {
    context.setLineDash([4, 3]);
    context.strokeStyle = look.ink;
    context.lineWidth = 1;
    context.stroke();
    context.setLineDash([]);
  } else {
    context.fillStyle = colour;
    context.fill();
  }
  if (place === look.selected || node.focus || look.found.has(place)) {
    context.strokeStyle = look.found.has(place) ? '#e0a800' : look.ink;
    context.lineWidth = place === look.selected ? 3 : 2;
    context.stroke();
  }
  if (scale >= 0.35) {
    context.fillStyle = node.gone ? look.ink : '#fff';
    const sub = subtitle(node);
    const shift = BOX.height / 2 - (sub ? 6 : 0);
    context.fillText(cut(node.label, 27), node.x + 9, node.y + shift);
    if (sub) {
      context.save();
      context.font = `10px ${look.font}`;
      context.fillText(cut(sub, 34), node.x + 9, node.y + shift + 13);
      context.restore();
    }
  }
  context.globalAlpha = 1;
}

function box(context: CanvasRenderingContext2D, x: number, y: number): void {
  context.beginPath();
  context.roundRect(x, y, BOX.width, BOX.height, 5);
}

/** Aliases and what else is said under a name. */
export function subtitle(node: INode): string {
  return [node.aliases.map(a => `@${a}`).join(' '), node.sub]
    .filter(Boolean)
    .join(' · ');
}

export function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
