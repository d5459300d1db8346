// What a saved page cannot do and the lab can: a line goes into a cell, an id to the clipboard.
import { Clipboard } from '@jupyterlab/apputils';
import { type INotebookTracker } from '@jupyterlab/notebook';

import { insertBelow } from './cells';

/** Insert a line below the cell whose output holds `node`; whether one was inserted. */
export type InsertLine = (node: HTMLElement, line: string) => boolean;

/** Into the notebook that shows the output, whichever is in front. */
export function insertInto(tracker: INotebookTracker): InsertLine {
  return (node, line) => {
    const panel = tracker.find(found => found.node.contains(node));
    if (!panel) {
      return false;
    }
    const { content } = panel;
    const index = content.widgets.findIndex(cell => cell.node.contains(node));
    if (index >= 0) {
      content.activeCellIndex = index;
    }
    return insertBelow(content, line);
  };
}

/**
 * Only lines of ours become buttons: a saved output may come from anybody, and IPython runs what
 * stands in braces in a magic's line.
 */
const OURS =
  /^(?:\w+ = )?%{1,2}feast(?:_\w+)?(?: [^{}$\r\n]*)?$|^!feast (?:init \w+|apply)$/;

/** Make the lines and ids in an output's HTML into buttons. */
export function addActions(host: HTMLElement, insert: InsertLine): void {
  for (const code of host.querySelectorAll<HTMLElement>('code.fnb-line')) {
    const line = code.textContent ?? '';
    if (OURS.test(line)) {
      const button = document.createElement('button');
      button.type = 'button';
      button.className = 'fnb-button fnb-step';
      button.textContent = code.title || line;
      button.title = `Insert in a new cell: ${line}`;
      button.addEventListener('click', () => insert(button, line));
      code.replaceWith(button);
    }
  }
  for (const code of host.querySelectorAll<HTMLElement>('code.fnb-id')) {
    if (!/^[\w-]{1,64}$/.test(code.title)) {
      continue; // it would be pasted somewhere
    }
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'fnb-copy';
    button.textContent = '⧉';
    button.title = `Copy ${code.title}`;
    button.setAttribute('aria-label', `Copy ${code.title}`);
    button.addEventListener('click', event => {
      event.preventDefault(); // the id may stand in a link
      event.stopPropagation();
      Clipboard.copyToSystem(code.title);
      button.textContent = '✓';
      setTimeout(() => (button.textContent = '⧉'), 1200);
    });
    (code.closest('a') ?? code).after(button);
  }
}
