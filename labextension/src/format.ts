// Numbers, times and versions as words.
import { type TranslationBundle } from '@jupyterlab/translation';

export function formatCount(number: number, thing: string): string {
  return `${number.toLocaleString('en')} ${thing}${number === 1 ? '' : 's'}`;
}

/** An ISO time as `2026-01-20 12:00`, as it is written: in UTC. */
export function formatTime(text: string): string {
  return text.slice(0, 16).replace('T', ' ');
}

/** What the lab's translations offer; an output outside of the lab has English. */
interface IWords {
  __(text: string, ...given: unknown[]): string;
}

const ENGLISH: IWords = {
  __: (text, ...given) =>
    text.replace(/%(\d)/g, (_, place: string) => String(given[+place - 1]))
};

/** How long ago an ISO time was. */
export function formatAge(
  text: string,
  now: string | null,
  words: IWords = ENGLISH
): string {
  const passed = (Date.parse(now ?? '') - Date.parse(text)) / 1000;
  for (const [length, said] of [
    [31_536_000, (n: number) => words.__('%1 y ago', n)],
    [86_400, (n: number) => words.__('%1 d ago', n)],
    [3_600, (n: number) => words.__('%1 h ago', n)],
    [60, (n: number) => words.__('%1 min ago', n)]
  ] as const) {
    if (passed >= length) {
      return said(Math.floor(passed / length));
    }
  }
  return Number.isNaN(passed) ? formatTime(text) : words.__('just now');
}

/** `1–3, 5` of the versions 1, 2, 3 and 5. */
export function formatRanges(numbers: number[]): string {
  const found: number[][] = [];
  for (const value of [...numbers].sort((a, b) => a - b)) {
    const last = found[found.length - 1];
    if (last && last[last.length - 1] === value - 1) {
      last[1] = value;
    } else {
      found.push([value]);
    }
  }
  return found.map(span => span.join('–')).join(', ');
}

export function formatRuns(number: number, trans: TranslationBundle): string {
  return trans._n('%1 run', '%1 runs', number);
}

/** `3 d`, `12 h`. */
export function formatDuration(seconds: number): string {
  for (const [length, unit] of [
    [86_400, 'd'],
    [3_600, 'h'],
    [60, 'min']
  ] as const) {
    if (seconds >= length) {
      return `${+(seconds / length).toFixed(1)} ${unit}`;
    }
  }
  return `${seconds} s`;
}
