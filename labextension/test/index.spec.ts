// The plugin, activated with the least of a lab that it can live in.
import { CommandRegistry } from '@lumino/commands';
import { type JupyterFrontEnd } from '@jupyterlab/application';
import { beforeEach, expect, test } from 'vitest';

import plugins from '../src/index';
import { partOf } from './fakes';

const IDS = [
  'feast-nb:insert-load',
  'feast-nb:insert-train',
  'feast-nb:insert-run'
];

interface Inserted {
  index: number;
  cell_type: string;
  source: string;
}

/** A notebook of three cells, in the second of which the user is. */
function fakeNotebook(readOnly = false) {
  const inserted: Inserted[] = [];
  return {
    inserted,
    mode: 'command',
    activeCell: {},
    activeCellIndex: 1,
    model: {
      readOnly,
      sharedModel: {
        insertCell: (
          index: number,
          cell: { cell_type: string; source: string }
        ) =>
          inserted.push({
            index,
            cell_type: cell.cell_type,
            source: cell.source
          })
      }
    },
    deselectAll: () => undefined,
    scrollToItem: () => Promise.resolve(),
    activate: () => undefined
  };
}

let commands: CommandRegistry;
let listed: string[];
let shell: { currentWidget: unknown };
let tracker: { currentWidget: unknown };

beforeEach(() => {
  commands = new CommandRegistry();
  listed = [];
  shell = { currentWidget: null };
  tracker = { currentWidget: null };
});

function activate(palette = true): unknown {
  const items = {
    addItem: (item: { command: string; category: string }) =>
      listed.push(`${item.category}: ${item.command}`)
  };
  return plugins[0].activate(
    partOf<JupyterFrontEnd>({ commands, shell }),
    tracker,
    palette ? items : null,
    null
  );
}

/** Bring a notebook to the front, as a click on its tab does. */
function open(notebook: unknown) {
  shell.currentWidget = tracker.currentWidget = { content: notebook };
}

test('activation waits for nothing and lists the commands', () => {
  expect(activate()).toBeUndefined();

  expect(commands.listCommands()).toEqual(IDS);
  expect(listed).toEqual(IDS.map(id => `Feast: ${id}`));
});

test('a lab without a palette has the commands all the same', () => {
  activate(false);

  expect(commands.listCommands()).toEqual(IDS);
  expect(listed).toEqual([]);
});

test.each(IDS)('%s is disabled without a notebook', id => {
  activate();

  expect(commands.isEnabled(id)).toBe(false);
});

test.each(IDS)('%s is disabled while something else is in front', id => {
  activate();
  open(fakeNotebook());
  shell.currentWidget = { terminal: true };

  expect(commands.isEnabled(id)).toBe(false);
});

test('a command inserts a code cell below the active one', async () => {
  activate();
  const notebook = fakeNotebook();
  open(notebook);

  expect(commands.isEnabled('feast-nb:insert-load')).toBe(true);
  const done: unknown = await commands.execute('feast-nb:insert-load');

  expect(done).toBe(true);
  expect(notebook.inserted).toEqual([
    { index: 2, cell_type: 'code', source: '%load_ext feast_nb' }
  ]);
  expect(notebook.activeCellIndex).toBe(2);
  expect(notebook.mode).toBe('edit');
});

test('a read-only notebook stays as it is', async () => {
  activate();
  const notebook = fakeNotebook(true);
  open(notebook);

  const done: unknown = await commands.execute('feast-nb:insert-run');

  expect(done).toBe(false);
  expect(notebook.inserted).toEqual([]);
});
