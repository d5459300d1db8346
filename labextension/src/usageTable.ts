// The use of features as a table that sorts by any of its columns.
import { button, element, outputHeader } from './dom';
import { formatAge, formatCount, formatRanges, formatTime } from './format';
import { type IFeatureUsage, type IModelUse, type IUsage } from './records';

interface IColumn {
  name: string;
  number?: boolean;
  /** What is shown, and by what it is sorted. */
  shown: (use: IFeatureUsage, usage: IUsage) => string;
  by: (use: IFeatureUsage) => string | number;
}

const COLUMNS: IColumn[] = [
  { name: 'name', shown: use => use.ref, by: use => use.ref },
  {
    name: 'training',
    number: true,
    shown: use => number(use.training),
    by: use => -use.training
  },
  {
    name: 'prediction',
    number: true,
    shown: use => number(use.prediction),
    by: use => -use.prediction
  },
  {
    name: 'over time',
    shown: () => '',
    by: use => -(use.trend[use.trend.length - 1] ?? 0)
  },
  {
    name: 'last used',
    shown: (use, usage) =>
      use.last ? `${formatAge(use.last, usage.now)}` : 'never',
    by: use => -(use.last ? Date.parse(use.last) : 0)
  },
  { name: 'by', shown: use => some(use.users), by: use => -use.users.length },
  {
    name: 'services',
    shown: use => some(use.services),
    by: use => -use.services.length
  },
  {
    name: 'models',
    shown: use => some(use.models.map(model)),
    by: use => -use.models.length
  }
];
const AT_ONCE = 100;

/** Fill an element with a usage's tables: of views, and of features. */
export function showUsage(host: HTMLElement, usage: IUsage): void {
  host.classList.add('fnb-usage');
  const runs = `${formatCount(usage.training, 'training run')} · ${formatCount(usage.prediction, 'prediction run')}`;
  const asOf = usage.as_of ? ` · as of ${formatTime(usage.as_of)} UTC` : '';
  const top = outputHeader(
    usage.named ?? usage.project,
    runs + asOf,
    usage.notes
  );
  host.replaceChildren(top);
  if (usage.trend.some(Boolean)) {
    host.append(trend(usage));
  }
  if (usage.views.length > 1) {
    host.append(new Table('Views', usage.views, usage).node);
  }
  host.append(new Table('Features', usage.features, usage).node);
  host.append(...heat(usage));
}

/** Features by models: full where an alias points at a version that uses the feature. */
function heat(usage: IUsage): HTMLElement[] {
  const features = usage.features.filter(use => use.models.length).slice(0, 40);
  const counts = new Map<string, number>();
  features.forEach(use =>
    use.models.forEach(m => counts.set(m.name, (counts.get(m.name) ?? 0) + 1))
  );
  const models = [...counts.keys()]
    .sort(
      (a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0) || (a < b ? -1 : 1)
    )
    .slice(0, 30)
    .sort();
  if (!models.length) {
    return [];
  }
  const table = element('table', 'fnb-heat');
  const caption = element('caption', '');
  caption.textContent =
    'Features by model; bold where a version with an alias uses the feature';
  const head = element('tr', '');
  head.append(element('td', ''));
  for (const name of models) {
    const cell = element('th', '');
    cell.setAttribute('scope', 'col');
    const turned = element('span', '');
    turned.textContent = name;
    turned.title = name;
    cell.append(turned);
    head.append(cell);
  }
  table.append(caption, head);
  for (const use of features) {
    const row = element('tr', '');
    const name = element('th', '');
    name.setAttribute('scope', 'row');
    name.textContent = use.ref;
    row.append(name);
    const using = new Map(use.models.map(m => [m.name, m]));
    for (const name of models) {
      const cell = element('td', '');
      const found = using.get(name);
      cell.className = !found
        ? ''
        : Object.keys(found.aliases).length
          ? 'fnb-live'
          : 'fnb-used';
      cell.title = found ? `${model(found)} · ${use.ref}` : '';
      const said = element('span', 'fnb-hidden');
      said.textContent = found ? model(found) : 'not used';
      cell.append(said);
      row.append(cell);
    }
    table.append(row);
  }
  const host = element('div', 'fnb-table');
  host.append(table);
  return [host];
}

/** A table of uses; a click on a head sorts by it, a second one the other way round. */
class Table {
  readonly node = element('div', 'fnb-table');
  private sorted = -1;
  private down = false;
  private shown = AT_ONCE;

  constructor(
    private readonly title: string,
    private uses: IFeatureUsage[],
    private readonly usage: IUsage
  ) {
    this.uses = [...uses];
    this.fill();
  }

  private sort(column: number): void {
    this.down = this.sorted === column && !this.down;
    this.sorted = column;
    const { by } = COLUMNS[column];
    const sign = this.down ? -1 : 1;
    this.uses.sort((a, b) => {
      const [one, other] = [by(a), by(b)];
      return sign * (one < other ? -1 : one > other ? 1 : 0);
    });
    this.fill();
    const heads = this.node.querySelectorAll<HTMLElement>('th button');
    heads[column]?.focus();
  }

  private fill(): void {
    const table = element('table', '');
    const caption = element('caption', '');
    caption.textContent = this.title;
    const row = element('tr', '');
    COLUMNS.forEach((column, n) => {
      const cell = element('th', column.number ? 'fnb-number' : '');
      cell.setAttribute('scope', 'col');
      if (n === this.sorted) {
        cell.setAttribute('aria-sort', this.down ? 'descending' : 'ascending');
      }
      cell.append(button(column.name, '', () => this.sort(n)));
      row.append(cell);
    });
    const head = element('thead', '');
    head.append(row);
    const body = element('tbody', '');
    this.uses.slice(0, this.shown).forEach(use => body.append(this.line(use)));
    table.append(caption, head, body);
    this.node.replaceChildren(table);
    if (this.uses.length > this.shown) {
      const more = `${(this.uses.length - this.shown).toLocaleString('en')} more`;
      this.node.append(
        button(more, '', () => {
          this.shown *= 4;
          this.fill();
        })
      );
    }
  }

  private line(use: IFeatureUsage): HTMLElement {
    const row = element('tr', '');
    COLUMNS.forEach((column, n) => {
      const cell = element('td', column.number ? 'fnb-number' : '');
      const text = column.shown(use, this.usage);
      if (n === 0) {
        const code = element('code', '');
        code.textContent = text;
        cell.append(code, ...marks(use));
      } else if (column.name === 'over time') {
        cell.append(...bars(use));
      } else {
        cell.textContent = text;
      }
      if (column.name === 'last used' && use.last) {
        cell.title = `${formatTime(use.last)} UTC`;
      }
      row.append(cell);
    });
    return row;
  }
}

/** A small chart of runs over time. */
function bars(use: IFeatureUsage): HTMLElement[] {
  const most = Math.max(0, ...use.trend);
  if (!most) {
    return [];
  }
  const chart = element('div', 'fnb-bars');
  chart.setAttribute('role', 'img');
  chart.setAttribute(
    'aria-label',
    `${formatCount(use.training + use.prediction, 'run')} over time`
  );
  for (const value of use.trend) {
    const bar = element('span', '');
    bar.style.height = `${value ? Math.max(8, (100 * value) / most) : 0}%`;
    chart.append(bar);
  }
  return [chart];
}

function marks(use: IFeatureUsage): HTMLElement[] {
  const said = use.gone
    ? 'gone'
    : use.through.length
      ? `through ${use.through.join(', ')}`
      : use.training + use.prediction + use.models.length === 0
        ? 'unused'
        : '';
  if (!said) {
    return [];
  }
  const mark = element('span', 'fnb-mark');
  mark.textContent = ` ${said}`;
  return [mark];
}

/** Runs over time as bars; the numbers are in its label for those who do not see them. */
function trend(usage: IUsage): HTMLElement {
  const chart = element('div', 'fnb-trend');
  const most = Math.max(...usage.trend);
  chart.setAttribute('role', 'img');
  chart.setAttribute(
    'aria-label',
    `Runs over time: at most ${most} in ${formatCount(usage.stretch, 'day')}, since ${(usage.since ?? '').slice(0, 10)}`
  );
  for (const value of usage.trend) {
    const bar = element('span', '');
    bar.style.height = `${value ? Math.max(4, (100 * value) / most) : 0}%`;
    bar.title = formatCount(value, 'run');
    chart.append(bar);
  }
  return chart;
}

function number(value: number): string {
  return value ? value.toLocaleString('en') : '–';
}

function some(names: string[]): string {
  const more = names.length > 3 ? ` and ${names.length - 3} more` : '';
  return names.length ? names.slice(0, 3).join(', ') + more : '–';
}

function model(use: IModelUse): string {
  const aliases = Object.entries(use.aliases)
    .map(([alias, version]) => `${alias} → ${version}`)
    .join(', ');
  return `${use.name}/${formatRanges(use.versions)}${aliases ? ` (${aliases})` : ''}`;
}
