// What the closer looks at objects are made of: facts, buttons, models that depend, a small chart.
import { type TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { type IVersionOverview, type IRun } from '../overview';
import { formatRanges } from '../format';
import { type IModelUse } from '../records';

/** What the buttons do; each is a command of the lab. */
export interface IActions {
  lineage: (object: string) => void;
  impact: (object: string) => void;
  retrieve: (service: string) => void;
  train: (service: string) => void;
  score: (model: string) => void;
  copy: (reference: string) => void;
  web: (url: string) => void;
  link: (run: IRun) => string | null;
  version: (name: string, version: IVersionOverview) => string | null;
}

/** What every closer look is given. */
export interface IPart {
  actions: IActions;
  trans: TranslationBundle;
}

const MOST = 200; // features that a closer look lists

type Value = string | number | false | null | undefined;

/** Names and values; what is not known, is none or is zero is left out. */
export function Facts(props: { of: [string, Value][] }): React.ReactElement {
  return (
    <dl className="fnb-facts">
      {props.of
        .filter(([, value]) => value)
        .map(([name, value], place) => (
          <React.Fragment key={place}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </React.Fragment>
        ))}
    </dl>
  );
}

export function Models(props: {
  models: IModelUse[];
  trans: TranslationBundle;
}): React.ReactElement | null {
  if (!props.models.length) {
    return null;
  }
  return (
    <table className="fnb-small">
      <caption>{props.trans.__('Registered models that depend on it')}</caption>
      <tbody>
        {props.models.map(model => (
          <tr key={model.name}>
            <th scope="row">{model.name}</th>
            <td>{formatRanges(model.versions)}</td>
            <td>
              {Object.entries(model.aliases).map(([alias, version]) => (
                <span key={alias} className="fnb-badge">
                  {alias} → {version}
                </span>
              ))}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function Trend(props: {
  trend: number[];
  stretch: number;
  trans: TranslationBundle;
}): React.ReactElement | null {
  const most = Math.max(0, ...props.trend);
  if (!most) {
    return null;
  }
  const said = props.trans._n(
    'Runs over time: at most %2 in a day',
    'Runs over time: at most %2 in %1 days',
    props.stretch,
    most
  );
  return (
    <div className="fnb-trend" role="img" aria-label={said} title={said}>
      {props.trend.map((value, n) => (
        <span
          key={n}
          style={{
            height: `${value ? Math.max(4, (100 * value) / most) : 0}%`
          }}
        />
      ))}
    </div>
  );
}

export function Buttons(props: {
  children: React.ReactNode;
}): React.ReactElement {
  return <div className="fnb-buttons">{props.children}</div>;
}

export function action(label: string, act: () => void): React.ReactElement {
  return (
    <button className="fnb-button" onClick={act}>
      {label}
    </button>
  );
}

/** Whatever can be drawn has a lineage; what others depend on, an impact. */
export function drawn(
  id: string,
  { actions, trans }: IPart,
  changes = true
): React.ReactNode {
  return (
    <>
      {action(trans.__('Show lineage'), () => actions.lineage(id))}
      {changes && action(trans.__('Impact'), () => actions.impact(id))}
    </>
  );
}

/** Features as a run or a service asks for them. */
export function Ordered(props: {
  refs: readonly string[];
  trans: TranslationBundle;
}): React.ReactElement {
  const more = props.refs.length - MOST;
  return (
    <table className="fnb-small">
      <caption>{props.trans.__('Features, in order')}</caption>
      <tbody>
        {props.refs.slice(0, MOST).map(ref => (
          <tr key={ref}>
            <th scope="row">{ref}</th>
          </tr>
        ))}
        {more > 0 && (
          <tr>
            <td>{props.trans._n('and %1 more', 'and %1 more', more)}</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

export function runs(number: number, trans: TranslationBundle): string {
  return trans._n('%1 run', '%1 runs', number);
}

/** `3 d`, `12 h`. */
export function duration(seconds: number): string {
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
