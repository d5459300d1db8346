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
  addRenderer(registry);
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
