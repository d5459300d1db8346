// The panel on a fake server, mounted anew for each test.
import { nullTranslator } from '@jupyterlab/translation';
import { act } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { afterEach, beforeEach, vi } from 'vitest';

import { type IActions } from '../src/components/ActionsContext';
import { PanelModel } from '../src/model';
import { Panel } from '../src/panel';
import { FakeServer } from './fakes';

export let server: FakeServer;
export let model: PanelModel;
export let host: HTMLElement;
/** What its buttons did. */
export let done: string[];
let root: Root;

const note =
  (name: string) =>
  (of: string): void => {
    done.push(`${name} ${of}`);
  };
const ACTIONS: IActions = {
  showLineage: note('lineage'),
  showImpact: note('impact'),
  insertRetrieval: note('retrieve'),
  insertTraining: note('train'),
  insertScoring: note('score'),
  copyReference: note('copy'),
  openInMlflow: note('web'),
  urlOfRun: run => run.mlflow_url,
  urlOfVersion: () => null
};

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse('2026-01-20T12:03:00Z') });
  (globalThis as Record<string, unknown>).IS_REACT_ACT_ENVIRONMENT = true;
  server = new FakeServer();
  model = new PanelModel(server.api);
  done = [];
  host = document.createElement('div');
  document.body.append(host);
  root = createRoot(host);
});

afterEach(() => {
  act(() => root.unmount());
  model.dispose();
  host.remove();
  vi.useRealTimers();
});

export async function show(
  trans = nullTranslator.load('feast_nb')
): Promise<void> {
  act(() =>
    root.render(
      <Panel
        model={model}
        trans={trans}
        actions={ACTIONS}
        onRemedy={remedy => done.push(remedy)}
        height={2800}
      />
    )
  );
  model.setVisible(true);
  await settle();
}

export async function settle(milliseconds = 0): Promise<void> {
  await act(async () => {
    await vi.advanceTimersByTimeAsync(milliseconds);
  });
}

export function lines(): string[] {
  return [...host.querySelectorAll('.fnb-row')].map(
    row => row.querySelector('.fnb-name')?.textContent ?? ''
  );
}

export function line(name: string): HTMLElement {
  const found = [...host.querySelectorAll<HTMLElement>('.fnb-row')].find(
    row => row.querySelector('.fnb-name')?.textContent === name
  );
  if (!found) {
    throw new Error(`no ${name} among ${lines().join(', ')}`);
  }
  return found;
}

export async function click(target: Element | null): Promise<void> {
  await act(async () => {
    target?.dispatchEvent(new MouseEvent('click', { bubbles: true }));
    await vi.advanceTimersByTimeAsync(0);
  });
}

export async function pick(tab: string): Promise<void> {
  await click(host.querySelector(`[data-tab=${tab}]`));
}

export function button(text: string): Element | null {
  return (
    [...host.querySelectorAll('button')].find(b => b.textContent === text) ??
    null
  );
}
