// Elements and words that every part of an output is made of.

export function element(tag: string, kind: string): HTMLElement {
  const made = document.createElement(tag);
  if (kind) {
    made.className = kind;
  }
  return made;
}

export function count(number: number, thing: string): string {
  return `${number.toLocaleString('en')} ${thing}${number === 1 ? '' : 's'}`;
}

/** An ISO time as `2026-01-20 12:00`, as it is written: in UTC. */
export function moment(text: string): string {
  return text.slice(0, 16).replace('T', ' ');
}
