// Elements that every output is made of.

export function element(tag: string, kind: string): HTMLElement {
  const made = document.createElement(tag);
  if (kind) {
    made.className = kind;
  }
  return made;
}

/** The head of an output: what it is of, quiet words beside that, and its notes. */
export function outputHeader(
  title: string,
  about: string,
  notes: readonly string[]
): HTMLElement {
  const made = element('div', 'fnb-head');
  const name = element('b', '');
  name.textContent = title;
  const quiet = element('span', 'fnb-quiet');
  quiet.textContent = about;
  made.append(name, ' ', quiet);
  for (const note of notes) {
    const line = element('div', 'fnb-note');
    line.textContent = note;
    made.append(line);
  }
  return made;
}

/** `label` says what `text` means where that is a few letters; '' where it says it itself. */
export function button(
  text: string,
  label: string,
  pressed: () => void
): HTMLButtonElement {
  const made = document.createElement('button');
  made.type = 'button';
  made.textContent = text;
  if (label) {
    made.title = label;
    made.setAttribute('aria-label', label);
  }
  made.addEventListener('click', pressed);
  return made;
}
