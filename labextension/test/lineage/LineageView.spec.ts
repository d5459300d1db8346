// The drawing as a page holds it; what it looks like is seen in tests/browser.
import { beforeEach, expect, test } from 'vitest';

import { details } from '../../src/lineage/details';
import { LineageView } from '../../src/lineage/LineageView';
import { LINEAGE } from '../fakes';

const EVIL = '<img src=x onerror=alert(1)>';

let host: HTMLElement;
beforeEach(() => {
  host = document.createElement('div');
  document.body.replaceChildren(host);
});

const text = (selector: string) =>
  host.querySelector(selector)?.textContent ?? '';

test('selecting tells about an object and is heard of', () => {
  const heard: string[] = [];
  const view = new LineageView(host, LINEAGE, id => heard.push(id));
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
  new LineageView(host, LINEAGE).select('runs:0');

  expect(text('.fnb-details summary')).toBe('12 runs, the newest 2');
  expect(host.querySelectorAll('.fnb-details li')).toHaveLength(2);
});

test('keys choose, and Escape lets go', () => {
  new LineageView(host, LINEAGE).select('service:activity');
  const canvas = host.querySelector('canvas');
  const key = (name: string) =>
    canvas?.dispatchEvent(new KeyboardEvent('keydown', { key: name }));

  key('ArrowRight');
  expect(host.dataset.selected).toBe('runs:0');
  key('Escape');
  expect(host.dataset.selected).toBe('');
});

test('what is typed is found, and Enter goes there', () => {
  new LineageView(host, LINEAGE);
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
  const node = { ...LINEAGE.nodes[0], label: EVIL, url: 'javascript:alert(1)' };
  host.append(...details({ ...node, details: { [EVIL]: EVIL } }, ''));

  expect(host.querySelector('img')).toBeNull();
  expect(host.querySelector('a')).toBeNull();
  expect(host.textContent).toContain(EVIL);
});

test('disposing leaves nothing behind', () => {
  new LineageView(host, LINEAGE).dispose();

  expect(host.childElementCount).toBe(0);
});
