// Saved outputs: what is drawn by the extension, and what the lab shows instead.
import {
  MimeModel,
  RenderMimeRegistry,
  standardRendererFactories
} from '@jupyterlab/rendermime';
import { expect, test } from 'vitest';

import { addRenderer, MIME } from '../src/renderer';
import { LINEAGE, partOf, USAGE } from './fakes';

type Bundle = NonNullable<MimeModel.IOptions['data']>;

test('outputs: graphs and usage are drawn, others are shown as their HTML', async () => {
  const registry = new RenderMimeRegistry({
    initialFactories: standardRendererFactories
  });
  addRenderer(registry, () => false);
  const shown = async (bundle: object) => {
    const data = partOf<Bundle>(bundle);
    const model = new MimeModel({ data, trusted: false });
    const renderer = registry.createRenderer(
      registry.preferredMimeType(model.data) ?? ''
    );
    await renderer.renderModel(model);
    return renderer.node;
  };

  const html = '<p>a summary</p>';
  const graph = await shown({ [MIME]: LINEAGE, 'text/html': html });
  expect(graph.querySelector('canvas')).not.toBeNull();
  const table = await shown({ [MIME]: USAGE, 'text/html': html });
  expect(table.querySelectorAll('table')).toHaveLength(3);
  expect(table.querySelectorAll('.fnb-heat .fnb-live')).not.toHaveLength(0);
  const other = await shown({
    [MIME]: { ...LINEAGE, kind: 'training' },
    'text/html': html
  });
  expect(other.querySelector('p')?.textContent).toBe('a summary');
  const newer = await shown({
    [MIME]: { ...LINEAGE, schema_version: '9.0' },
    'text/html': html
  });
  expect(newer.querySelector('p')?.textContent).toBe('a summary');
});

test('outputs: a line of ours becomes a button, any other stays a line; ids can be copied', async () => {
  const registry = new RenderMimeRegistry({
    initialFactories: standardRendererFactories
  });
  const inserted: string[] = [];
  addRenderer(registry, (_, line) => inserted.push(line) > 0);
  const html = `
    <code class="fnb-line" title="Diff">%feast_diff m/1 m/2</code>
    <code class="fnb-line">!feast init my_project</code>
    <code class="fnb-line">!rm -rf x</code>
    <code class="fnb-line">%feast_run a
import os</code>
    <code class="fnb-id" title="0123456789">01234567</code>`;
  const data = partOf<Bundle>({
    [MIME]: { ...LINEAGE, kind: 'training' },
    'text/html': html
  });
  const model = new MimeModel({ data, trusted: false });
  const renderer = registry.createRenderer(MIME);
  await renderer.renderModel(model);

  const buttons = [
    ...renderer.node.querySelectorAll<HTMLElement>('button.fnb-step')
  ];
  expect(buttons.map(b => b.textContent)).toEqual([
    'Diff',
    '!feast init my_project'
  ]);
  buttons[0].click();
  expect(inserted).toEqual(['%feast_diff m/1 m/2']);
  expect(renderer.node.querySelectorAll('code.fnb-line')).toHaveLength(2);
  expect(
    renderer.node.querySelector('button.fnb-copy')?.getAttribute('aria-label')
  ).toBe('Copy 0123456789');
});
