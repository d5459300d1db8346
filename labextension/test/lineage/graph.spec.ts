// What is known of a graph: the same file that Python's tests assert is read here.
import { expect, test } from 'vitest';

import { Graph } from '../../src/lineage/graph';
import { toSvg } from '../../src/lineage/svg';
import { unreadable } from '../../src/schema';
import { LINEAGE } from '../fakes';

const record = LINEAGE;
const graph = new Graph(record);
const ids = (places: Iterable<number>) =>
  [...places].map(place => graph.nodes[place].id).sort();

test('the record is one that can be read', () => {
  expect(unreadable(record)).toBeNull();
  expect(unreadable({ ...record, schema_version: '2.0' })).toContain('upgrade');
  expect(unreadable(null)).toContain('no record');
});

test('a node lights what it comes from and what comes of it, and nothing else', () => {
  const lit = ids(graph.reach(graph.place('model:old/1')));

  expect(lit).toEqual([
    'entity:driver',
    'model:old/1',
    'runs:3',
    'service:old',
    'source:people',
    'view:profile'
  ]);
});

test('a point lies in a node or in none', () => {
  const node = graph.nodes[graph.place('view:hourly')];

  expect(graph.at(node.x + 5, node.y + 5)).toBe(graph.place('view:hourly'));
  expect(graph.at(-50, -50)).toBe(-1);
});

test('arrow keys go along edges and within a layer', () => {
  const activity = graph.place('service:activity');
  const right = graph.step(activity, 'ArrowRight');

  expect(graph.nodes[right].id).toBe('runs:0');
  expect(graph.step(right, 'ArrowLeft')).toBe(activity);
  const down = graph.step(activity, 'ArrowDown');
  expect(graph.nodes[down].layer).toBe(graph.nodes[activity].layer);
  expect(graph.step(graph.place('prediction:eta/2'), 'ArrowRight')).toBe(
    graph.place('prediction:eta/2')
  );
});

test.each([
  ['champion', ['model:eta/2']],
  ['service gone', ['service:old']],
  ['RUN PAID', ['runs:1']],
  ['', []],
  ['nothing like it', []]
])('a search for %j', (text, found) => {
  expect(ids(graph.search(text))).toEqual(found);
});

test('an edge begins and ends at its nodes', () => {
  record.edges.forEach(([from, to], edge) => {
    const points = graph.points(edge);
    expect(points[0][0]).toBe(graph.nodes[from].x + 190);
    expect(points[points.length - 1][0]).toBe(graph.nodes[to].x);
  });
});

test('the SVG file holds every node, and text only as text', () => {
  const evil = '<img src=x onerror=alert(1)>';
  const [first, ...others] = record.nodes;
  const nodes = [{ ...first, label: evil }, ...others];
  const svg = toSvg(new Graph({ ...record, nodes }), '#777');
  const drawn = new DOMParser().parseFromString(svg, 'image/svg+xml');

  expect(drawn.querySelector('parsererror')).toBeNull();
  expect(drawn.querySelectorAll('g')).toHaveLength(nodes.length);
  expect(drawn.querySelector('img')).toBeNull();
  expect(drawn.documentElement.textContent).toContain('<img src=x');
});
