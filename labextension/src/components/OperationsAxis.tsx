// Operations on a time axis: applies by their grade, materializations as bars, what failed crossed.
import * as React from 'react';

import { formatTime } from '../format';
import { type IOperation } from '../records';
import { useTranslation } from './TranslatorContext';

const WIDTH = 300;
const LEFT = 66;
const LANES = ['apply', 'materialize'];
const CLASSES: Record<string, string> = {
  safe: 'green',
  'needs retraining': 'amber',
  'breaks serving': 'red'
};

export function OperationsAxis(props: {
  operations: IOperation[];
}): React.ReactElement | null {
  const trans = useTranslation();
  const dated = props.operations
    .map(of => ({ of, at: Date.parse(of.at ?? '') }))
    .filter(one => !Number.isNaN(one.at));
  if (!dated.length) {
    return null;
  }
  const ends = dated.map(one => one.at + 1000 * (one.of.seconds ?? 0));
  const first = Math.min(...dated.map(one => one.at));
  const last = Math.max(...ends);
  const room = Math.max((last - first) * 0.04, 30_000);
  const x = (at: number) =>
    LEFT +
    ((WIDTH - LEFT - 10) * (at - first + room)) / (last - first + 2 * room);
  const failed = dated.filter(one => hasFailed(one.of)).length;
  const said = trans._n(
    'One operation over time',
    '%1 operations over time',
    dated.length
  );
  const label = failed
    ? `${said}; ${trans._n('one failed', '%1 failed', failed)}`
    : said;
  return (
    <svg
      className="fnb-axis"
      role="img"
      aria-label={label}
      viewBox={`0 0 ${WIDTH} 58`}
    >
      {LANES.map((lane, n) => (
        <g key={lane}>
          <text x={0} y={middle(n) + 3}>
            {lane}
          </text>
          <path d={`M${LEFT} ${middle(n)}H${WIDTH}`} />
        </g>
      ))}
      {dated.map((one, n) => (
        <Mark key={n} of={one.of} from={x(one.at)} to={x(ends[n])} />
      ))}
      <text x={LEFT} y={55}>
        {formatTime(new Date(first).toISOString())}
      </text>
      {last > first && (
        <text x={WIDTH} y={55} textAnchor="end">
          {formatTime(new Date(last).toISOString())}
        </text>
      )}
    </svg>
  );
}

function middle(lane: number): number {
  return 10 + 20 * lane;
}

function hasFailed(of: IOperation): boolean {
  return of.status === 'FAILED' || of.status === 'KILLED';
}

/** A diamond for what is done at once, a bar for what took its time; a cross for what failed. */
function Mark(props: {
  of: IOperation;
  from: number;
  to: number;
}): React.ReactElement {
  const { of, from } = props;
  const apply = of.what === 'apply';
  const y = middle(apply ? 0 : 1);
  const width = Math.max(props.to - from, 3);
  const cross = apply ? from : from + width + 5;
  const colour = apply ? (CLASSES[of.grade ?? ''] ?? 'unknown') : 'bar';
  const title = [of.what, of.status.toLowerCase(), of.grade, of.at]
    .filter(Boolean)
    .join(', ');
  return (
    <g className={`fnb-axis-${hasFailed(of) ? 'red' : colour}`}>
      <title>{title}</title>
      {!apply && <rect x={from} y={y - 5} width={width} height={10} rx={1.5} />}
      {apply && !hasFailed(of) && (
        <path d={`M${from} ${y - 6}l5 6l-5 6l-5 -6z`} />
      )}
      {hasFailed(of) && (
        <path
          className="fnb-axis-cross"
          d={`M${cross - 4} ${y - 4}l8 8m0 -8l-8 8`}
        />
      )}
    </g>
  );
}
