// The drawing and the table as a page holds them; what they look like is seen in tests/browser.
import {
  RenderMimeRegistry,
  standardRendererFactories
} from '@jupyterlab/rendermime';
import { MimeModel } from '@jupyterlab/rendermime';
import { beforeEach, expect, test } from 'vitest';

import goldenLineage from '../../../tests/data/lineage.json';
import goldenUsage from '../../../tests/data/usage.json';
import { addRenderer, MIME } from '../../src/renderer';
import { type ILineage, type IUsage } from '../../src/records';
import { formatAge, formatRanges } from '../../src/format';
import { showUsage } from '../../src/usageTable';
import { details } from '../../src/lineage/details';
import { LineageView } from '../../src/lineage/LineageView';

const lineage = goldenLineage as unknown as ILineage;
const usage = goldenUsage as unknown as IUsage;
const EVIL = '<img src=x onerror=alert(1)>';

let host: HTMLElement;
beforeEach(() => {
  host = document.createElement('div');
  document.body.replaceChildren(host);
});

const text = (selector: string) =>
  host.querySelector(selector)?.textContent ?? '';
const rows = (table = 0) =>
  [...host.querySelectorAll('table')[table].querySelectorAll('tbody tr')].map(
    row => row.querySelector('code')?.textContent
  );
const press = (name: string, table = 0) =>
  [...host.querySelectorAll('table')[table].querySelectorAll('th button')]
    .find((head): head is HTMLButtonElement => head.textContent === name)
    ?.click();

test('selecting tells about an object and is heard of', () => {
  const heard: string[] = [];
  const view = new LineageView(host, lineage, id => heard.push(id));
  view.select('model:eta/2');

  expect(heard).toEqual(['model:eta/2']);
  expect(host.dataset.selected).toBe('model:eta/2');
  expect(text('.fnb-details')).toContain('@champion');
  expect(text('.fnb-said')).toContain('model eta/2');
  expect(
    host.querySelector<HTMLAnchorElement>('.fnb-details a')?.href
  ).toContain('/models/eta/');
  view.select('');
  expect(host.querySelector<HTMLElement>('.fnb-details')?.hidden).toBe(true);
});

test('a node of many runs opens to the newest', () => {
  new LineageView(host, lineage).select('runs:0');

  expect(text('.fnb-details summary')).toBe('12 runs, the newest 2');
  expect(host.querySelectorAll('.fnb-details li')).toHaveLength(2);
});

test('keys choose, and Escape lets go', () => {
  new LineageView(host, lineage).select('service:activity');
  const canvas = host.querySelector('canvas');
  const key = (name: string) =>
    canvas?.dispatchEvent(new KeyboardEvent('keydown', { key: name }));

  key('ArrowRight');
  expect(host.dataset.selected).toBe('runs:0');
  key('Escape');
  expect(host.dataset.selected).toBe('');
});

test('what is typed is found, and Enter goes there', () => {
  new LineageView(host, lineage);
  const input = host.querySelector('input');
  if (input) {
    input.value = 'champion';
    input.dispatchEvent(new Event('input'));
    input.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter' }));
  }

  expect(text('.fnb-toolbar .fnb-quiet')).toBe('1 found');
  expect(host.dataset.selected).toBe('model:eta/2');
});

test('text is text, and only web addresses are links', () => {
  const node = { ...lineage.nodes[0], label: EVIL, url: 'javascript:alert(1)' };
  host.append(...details({ ...node, details: { [EVIL]: EVIL } }, ''));

  expect(host.querySelector('img')).toBeNull();
  expect(host.querySelector('a')).toBeNull();
  expect(host.textContent).toContain(EVIL);
});

test('disposing leaves nothing behind', () => {
  new LineageView(host, lineage).dispose();

  expect(host.childElementCount).toBe(0);
});

test('a table sorts by each of its columns, and back', () => {
  showUsage(host, usage);
  press('name');
  expect(rows()).toEqual(['derived', 'hourly', 'idle', 'lost', 'profile']);
  expect(host.querySelector('th')?.getAttribute('aria-sort')).toBe('ascending');
  press('name');
  expect(rows()[0]).toBe('profile');
  press('training');
  expect(rows()[0]).toBe('hourly');
  press('models', 1);
  expect(rows(1)[0]).toBe('hourly:trips');
});

test('gone and unused are words, not only colours', () => {
  showUsage(host, usage);

  expect(host.textContent).toContain('lost gone');
  expect(host.textContent).toContain('idle unused');
});

test('a usage of thousands shows a hundred at first', () => {
  const features = Array.from({ length: 450 }, (_, n) => ({
    ...usage.features[0],
    ref: `v:f${n}`
  }));
  showUsage(host, { ...usage, views: [], features });

  expect(rows()).toHaveLength(100);
  host.querySelector<HTMLButtonElement>('.fnb-table > button')?.click();
  expect(rows()).toHaveLength(400);
});

test.each([
  [[3, 1, 2], '1–3'],
  [[1, 2, 4, 7, 8], '1–2, 4, 7–8'],
  [[], '']
])('spans of %j', (numbers, said) => {
  expect(formatRanges(numbers)).toBe(said);
});

test('how long ago', () => {
  expect(
    formatAge('2026-01-01T00:00:00+00:00', '2026-01-04T12:00:00+00:00')
  ).toBe('3 d ago');
  expect(
    formatAge('2026-01-01T00:00:00+00:00', '2026-01-01T00:00:20+00:00')
  ).toBe('just now');
  expect(formatAge('2026-01-01T00:00:00+00:00', null)).toBe('2026-01-01 00:00');
});

test('outputs: graphs and usage are drawn, others are shown as their HTML', async () => {
  const registry = new RenderMimeRegistry({
    initialFactories: standardRendererFactories
  });
  addRenderer(registry);
  const shown = async (data: Record<string, unknown>) => {
    const model = new MimeModel({ data: data as never, trusted: false });
    const renderer = registry.createRenderer(
      registry.preferredMimeType(model.data) ?? ''
    );
    await renderer.renderModel(model);
    return renderer.node;
  };

  const html = '<p>a summary</p>';
  const graph = await shown({ [MIME]: lineage, 'text/html': html });
  expect(graph.querySelector('canvas')).not.toBeNull();
  const table = await shown({ [MIME]: usage, 'text/html': html });
  expect(table.querySelectorAll('table')).toHaveLength(3);
  expect(table.querySelectorAll('.fnb-heat .fnb-live')).not.toHaveLength(0);
  const other = await shown({
    [MIME]: { ...lineage, kind: 'training' },
    'text/html': html
  });
  expect(other.querySelector('p')?.textContent).toBe('a summary');
  const newer = await shown({
    [MIME]: { ...lineage, schema_version: '9.0' },
    'text/html': html
  });
  expect(newer.querySelector('p')?.textContent).toBe('a summary');
});
