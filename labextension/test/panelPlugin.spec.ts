// The panel's commands, in the least of a lab that they can live in.
import { type JupyterFrontEnd } from '@jupyterlab/application';
import { type INotebookTracker } from '@jupyterlab/notebook';
import { CommandRegistry } from '@lumino/commands';
import { Signal } from '@lumino/signaling';
import { beforeEach, expect, test } from 'vitest';

import { addPanel } from '../src/panelPlugin';
import { type IOptionalTokens, PANEL } from '../src/tokens';
import { FakeServer, partOf } from './fakes';

const NONE: IOptionalTokens = {
  palette: null,
  translator: null,
  restorer: null,
  settings: null,
  state: null,
  lab: null
};

interface IItem {
  command: string;
  selector: string;
  args: Record<string, string>;
}

let commands: CommandRegistry;
let added: string[];
let menu: IItem[];
let inserted: string[];

function app(): JupyterFrontEnd {
  return partOf<JupyterFrontEnd>({
    commands,
    contextMenu: { addItem: (item: IItem) => menu.push(item) },
    shell: {
      add: (widget: { id: string }, area: string) =>
        added.push(`${area} ${widget.id}`),
      activateById: () => undefined,
      widgets: () => []
    }
  });
}

function tracker(notebook: boolean): INotebookTracker {
  const content = {
    model: {
      readOnly: false,
      sharedModel: {
        insertCell: (_: number, cell: { source: string }) =>
          inserted.push(cell.source)
      }
    },
    activeCellIndex: 0,
    deselectAll: () => undefined,
    scrollToItem: () => Promise.resolve(),
    activate: () => undefined
  };
  return partOf<INotebookTracker>({
    currentWidget: notebook ? { id: 'n', content } : null,
    currentChanged: new Signal({})
  });
}

beforeEach(() => {
  commands = new CommandRegistry();
  added = [];
  menu = [];
  inserted = [];
});

/** A line of the panel, after a right click on it. */
function rightClicked(id: string): HTMLElement {
  const panel = addPanel(app(), tracker(true), NONE, new FakeServer().api);
  const line = document.createElement('div');
  line.dataset.fnbId = id;
  panel.node.append(line);
  line.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true }));
  return line;
}

test('the panel stands on the left, and activation waits for nothing', () => {
  addPanel(app(), tracker(true), NONE, new FakeServer().api);

  expect(added).toEqual([`left ${PANEL}`]);
});

test('a command of an object is disabled until one is known', () => {
  addPanel(app(), tracker(true), NONE, new FakeServer().api);

  expect(commands.isEnabled('feast-nb:insert-retrieval')).toBe(false);
  expect(
    commands.isEnabled('feast-nb:insert-retrieval', { service: 'activity' })
  ).toBe(true);
  expect(commands.isEnabled('feast-nb:open-panel')).toBe(true);
});

test('a line that is right-clicked is what its menu is about', async () => {
  const line = rightClicked('model=driver model');
  line.dataset.fnbId = 'model=another'; // a refresh, while the menu is open
  const item = menu.find(i => i.command === 'feast-nb:insert-score');
  await commands.execute('feast-nb:insert-score', item?.args);

  expect(inserted).toEqual([
    'scored = %feast_score "driver model" --entities entity_df'
  ]);
  expect(item?.selector).toContain('model');
});

test('the palette knows nothing of a line that was right-clicked before', () => {
  rightClicked('service=activity');

  expect(commands.isEnabled('feast-nb:insert-retrieval')).toBe(false);
});

test('without a notebook nothing is inserted', () => {
  addPanel(app(), tracker(false), NONE, new FakeServer().api);

  expect(
    commands.isEnabled('feast-nb:insert-train-on', { service: 'activity' })
  ).toBe(false);
});
