// What is known of an object: its facts, its runs where it stands for several, its link.
import { element } from '../dom';
import { formatCount, formatTime } from '../format';
import { type INode } from '../records';
import { subtitle } from './canvas';

/** What is known of a node: its facts, its runs where it stands for several, its link. */
export function details(node: INode, around: string): HTMLElement[] {
  const title = element('div', 'fnb-title');
  const kind = element('span', 'fnb-kind');
  kind.textContent = node.kind;
  const name = element('b', '');
  name.textContent = node.label;
  title.append(kind, ' ', name);
  const parts = [title];
  const sub = element('div', 'fnb-quiet');
  sub.textContent = [subtitle(node), around].filter(Boolean).join(' · ');
  parts.push(sub);
  const list = element('dl', '');
  for (const [key, value] of Object.entries(node.details)) {
    const term = element('dt', '');
    term.textContent = key;
    const what = element('dd', '');
    what.textContent = value;
    list.append(term, what);
  }
  if (list.childElementCount) {
    parts.push(list);
  }
  if (node.members.length) {
    parts.push(members(node));
  }
  if (web(node.url)) {
    parts.push(link(node.url, 'Open in MLflow'));
  }
  return parts;
}

/** Whether an address is one of the web, and nothing else that a browser would run. */
function web(url: string | null | undefined): url is string {
  return Boolean(url && /^https?:\/\//.test(url));
}

function link(url: string | null | undefined, text: string): HTMLElement {
  if (!web(url)) {
    const plain = element('span', '');
    plain.textContent = text;
    return plain;
  }
  const made = document.createElement('a');
  made.href = url;
  made.target = '_blank';
  made.rel = 'noopener';
  made.textContent = text;
  return made;
}

function members(node: INode): HTMLElement {
  const open = document.createElement('details');
  open.open = true;
  const head = document.createElement('summary');
  const left = node.count - node.members.length;
  head.textContent = `${formatCount(node.count, 'run')}${left > 0 ? `, the newest ${node.members.length}` : ''}`;
  const list = element('ul', '');
  for (const member of node.members) {
    const line = element('li', '');
    line.append(
      link(member.url, member.name),
      ` · ${member.status.toLowerCase()} · ${formatTime(member.started)}`
    );
    list.append(line);
  }
  open.append(head, list);
  return open;
}
