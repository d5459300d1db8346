// A graph as a picture: on a canvas, which stays quick at thousands of nodes, and as an SVG file.
import { BOX, type Graph } from './graph';
import { type INode } from '../records';

/** Mid tones under white text, as in the pictures that Python draws. */
export const COLOURS: Record<string, string> = {
  source: '#5f6b7a',
  entity: '#7a6a4f',
  view: '#2f6f9f',
  service: '#2e7d5b',
  run: '#6b5b95',
  model: '#a4503c',
  prediction: '#8a6d1f'
};
// XML takes none of them, and a name may hold any.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f\ud800-\udfff\ufffe\uffff]/g;
const OTHER = '#6b6b6b';

/** Which part of the picture is seen: its place in pixels of the canvas, and how large. */
export interface IViewport {
  x: number;
  y: number;
  scale: number;
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

function trace(points: [number, number][], curve: Curve): void {
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
  const colour = COLOURS[node.kind] ?? OTHER;
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

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

/** The whole graph as an SVG file. */
export function toSvg(graph: Graph, ink: string): string {
  const { width, height } = graph.record;
  const edges = graph.record.edges.map((_, edge) => {
    const points = graph.points(edge);
    const parts = [`M${points[0].map(Math.round).join(' ')}`];
    trace(points, (...numbers) =>
      parts.push(`C${numbers.map(Math.round).join(' ')}`)
    );
    return parts.join('');
  });
  const nodes = graph.nodes.map(node => {
    const colour = COLOURS[node.kind] ?? OTHER;
    const sub = subtitle(node);
    const fill = node.gone
      ? `fill="none" stroke="${ink}" stroke-dasharray="4 3"`
      : `fill="${colour}"`;
    const text = `fill="${node.gone ? ink : '#fff'}"`;
    const lines = [
      `<text x="9" y="${sub ? 15 : 21}" ${text}>${escaped(cut(node.label, 27))}</text>`,
      sub
        ? `<text x="9" y="28" font-size="10" ${text}>${escaped(cut(sub, 34))}</text>`
        : ''
    ];
    return (
      `<g transform="translate(${Math.round(node.x)} ${Math.round(node.y)})">` +
      `<rect width="${BOX.width}" height="${BOX.height}" rx="5" ${fill}/>${lines.join('')}</g>`
    );
  });
  const [w, h] = [Math.ceil(width) + 8, Math.ceil(height) + 8];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-4 -4 ${w} ${h}" width="${w}" height="${h}" ` +
    `font-family="system-ui,sans-serif" font-size="12"><path d="${edges.join('')}" fill="none" ` +
    `stroke="${ink}" stroke-opacity=".7"/>${nodes.join('')}</svg>`
  );
}

function escaped(text: string): string {
  return text
    .replace(CONTROL, '\ufffd')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}
