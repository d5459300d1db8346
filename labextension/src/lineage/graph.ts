// What there is to know of a graph without drawing it: neighbours, reach, what lies under a point.
import { type ILineage, type INode } from '../records';

export const BOX = { width: 190, height: 34 };

export class Graph {
  readonly nodes: INode[];
  readonly after: number[][];
  readonly before: number[][];

  constructor(readonly record: ILineage) {
    this.nodes = record.nodes;
    this.after = record.nodes.map(() => []);
    this.before = record.nodes.map(() => []);
    for (const [from, to] of record.edges) {
      this.after[from].push(to);
      this.before[to].push(from);
    }
  }

  /** Everything up and down of a node, itself included. */
  reach(start: number): Set<number> {
    const found = new Set([start]);
    for (const next of [this.before, this.after]) {
      const waiting = [start];
      const seen = new Set([start]);
      for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
        for (const other of next[at]) {
          if (!seen.has(other)) {
            seen.add(other);
            found.add(other);
            waiting.push(other);
          }
        }
      }
    }
    return found;
  }

  /** The node under a point of the picture, or -1. */
  at(x: number, y: number): number {
    return this.nodes.findIndex(
      node =>
        x >= node.x &&
        x <= node.x + BOX.width &&
        y >= node.y &&
        y <= node.y + BOX.height
    );
  }

  /** The place of a node by its id, or -1. */
  place(id: string): number {
    return this.nodes.findIndex(node => node.id === id);
  }

  /** Where an arrow key leads from a node: along an edge, or within its layer. */
  step(from: number, key: string): number {
    const node = this.nodes[from];
    if (key === 'ArrowRight' || key === 'ArrowLeft') {
      const next = (key === 'ArrowRight' ? this.after : this.before)[from];
      const near = [...next].sort(
        (a, b) =>
          Math.abs(this.nodes[a].y - node.y) -
          Math.abs(this.nodes[b].y - node.y)
      );
      return near[0] ?? from;
    }
    const layer = this.nodes
      .map((other, place) => ({ other, place }))
      .filter(({ other }) => other.layer === node.layer)
      .sort((a, b) => a.other.y - b.other.y);
    const here = layer.findIndex(({ place }) => place === from);
    const there = layer[here + (key === 'ArrowDown' ? 1 : -1)];
    return there ? there.place : from;
  }

  /** The nodes whose kind, name, alias or text holds every word that was typed. */
  search(text: string): number[] {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) {
      return [];
    }
    return this.nodes.flatMap((node, place) => {
      const said = [
        node.kind,
        node.label,
        node.sub,
        ...node.aliases.map(a => `@${a}`)
      ]
        .join(' ')
        .toLowerCase();
      return words.every(word => said.includes(word)) ? [place] : [];
    });
  }

  /** The points of an edge: where it begins, each bend with the lane through it, where it ends. */
  points(edge: number): [number, number][] {
    const [from, to] = this.record.edges[edge];
    const [one, other] = [this.nodes[from], this.nodes[to]];
    const middle = BOX.height / 2;
    const points: [number, number][] = [[one.x + BOX.width, one.y + middle]];
    const bends = this.record.bends[edge] ?? [];
    for (let n = 0; n + 1 < bends.length; n += 2) {
      points.push(
        [bends[n], bends[n + 1]],
        [bends[n] + BOX.width, bends[n + 1]]
      );
    }
    points.push([other.x, other.y + middle]);
    return points;
  }
}
