// What the last look at a repository's health found, as lines and as the dots of views and models.
import { type TranslationBundle } from '@jupyterlab/translation';

import { heading, type IListItem, plain } from './listItems';
import { type IState } from './panelState';
import { type IHealthLine, type Light } from './records';

const WORST: Light[] = ['red', 'amber', 'unknown', 'green'];

/** A light in words: colour is not all that tells. */
export function lightName(light: Light, trans: TranslationBundle): string {
  return {
    red: trans.__('red'),
    amber: trans.__('amber'),
    unknown: trans.__('not known'),
    green: trans.__('green')
  }[light];
}

/** The lines of a look, by what was looked at, the worst part first. */
export function healthItems(
  state: IState,
  trans: TranslationBundle
): IListItem[] {
  const lines = state.health?.health?.lines ?? [];
  const parts = new Map<string, IHealthLine[]>();
  for (const line of lines) {
    parts.set(line.part, [...(parts.get(line.part) ?? []), line]);
  }
  return [...parts].flatMap(([part, of]) => [
    heading(partName(part, trans), of.length),
    ...of.map(line => ({
      ...plain('health', idOf(line), line.name || part, line.said),
      light: [line.light, lightName(line.light, trans)] as const
    }))
  ]);
}

/** The line that an item of the list stands for. */
export function healthLine(state: IState, id: string): IHealthLine | undefined {
  return state.health?.health?.lines.find(line => idOf(line) === id);
}

function idOf(line: IHealthLine): string {
  return `health=${line.part}/${line.name}`;
}

/** What was found of a view or a model, the worst of it; none where nobody looked. */
export function lightOf(
  state: IState,
  kind: 'view' | 'model',
  name: string,
  trans: TranslationBundle
): IListItem['light'] {
  const mine = (state.health?.health?.lines ?? []).filter(line =>
    kind === 'view'
      ? ['view', 'skew'].includes(line.part) && line.name === name
      : line.part === 'model' && line.name.split(/[/@]/)[0] === name
  );
  const worst = WORST.find(light => mine.some(line => line.light === light));
  const line = mine.find(of => of.light === worst);
  // Which version of a model was looked at, is part of what was found.
  const which = kind === 'model' ? `${line?.name}: ` : '';
  return worst && line
    ? [worst, `${lightName(worst, trans)}: ${which}${line.said}`]
    : undefined;
}

/** `1 red, 2 amber`; of a look with none of these, that all is well. */
export function summary(
  lines: readonly IHealthLine[],
  trans: TranslationBundle
): string {
  const told = WORST.filter(light => light !== 'green')
    .map(
      light =>
        [light, lines.filter(line => line.light === light).length] as const
    )
    .filter(([, count]) => count)
    .map(([light, count]) => `${count} ${lightName(light, trans)}`);
  return told.join(', ') || trans.__('all green');
}

/** What was looked at, as a heading has it. */
export function partName(part: string, trans: TranslationBundle): string {
  const names: Record<string, string> = {
    registry: trans.__('Registry'),
    source: trans.__('Sources'),
    'online store': trans.__('Online store'),
    'feature server': trans.__('Feature server'),
    view: trans.__('Views'),
    skew: trans.__('Online beside offline'),
    model: trans.__('Models')
  };
  return names[part] ?? part;
}
