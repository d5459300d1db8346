// Everything that depends on an object, by kind, in tables.
import { type TranslationBundle } from '@jupyterlab/translation';

import { element, outputHeader } from './dom';
import { formatTime } from './format';
import { type IDependent, type IImpact } from './records';

export function showImpact(
  host: HTMLElement,
  record: IImpact,
  trans: TranslationBundle
): void {
  host.className = 'fnb-usage fnb-impact';
  // Without MLflow no number of runs or models is known: not even none.
  const known = record.as_of !== null;
  const about = [
    known &&
      trans._n('%1 model version', '%1 model versions', record.models.length),
    trans._n('%1 service', '%1 services', record.services.length),
    known && trans._n('%1 training run', '%1 training runs', record.runs),
    known &&
      trans._n('%1 prediction run', '%1 prediction runs', record.predictions),
    record.since ? trans.__('since %1 UTC', formatTime(record.since)) : ''
  ]
    .filter(Boolean)
    .join(' · ');
  const title = trans.__('If %1 changes', record.object);
  host.append(outputHeader(title, about, record.notes));
  for (const [caption, of] of [
    [trans.__('Models (with an alias first)'), record.models],
    [trans.__('Views that compute from it'), record.views],
    [trans.__('Feature services'), record.services],
    [trans.__('Notebooks'), record.notebooks]
  ] as [string, IDependent[]][]) {
    if (of.length) {
      host.append(table(caption, of));
    }
  }
}

function table(caption: string, of: IDependent[]): HTMLElement {
  const host = element('div', 'fnb-table');
  const made = element('table', '');
  const said = element('caption', '');
  said.textContent = caption;
  made.append(said);
  for (const one of of) {
    const row = element('tr', '');
    const name = element('th', '');
    name.setAttribute('scope', 'row');
    name.textContent = one.name;
    const aliases = element('td', '');
    for (const alias of one.aliases) {
      const badge = element('span', 'fnb-badge');
      badge.textContent = alias;
      aliases.append(badge);
    }
    const through = element('td', 'fnb-quiet');
    through.textContent = [
      one.through ?? '',
      one.last ? formatTime(one.last) : ''
    ]
      .filter(Boolean)
      .join(' · ');
    row.append(name, aliases, through);
    made.append(row);
  }
  host.append(made);
  return host;
}
