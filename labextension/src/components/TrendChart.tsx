// Runs over time as bars; the highest is in the label for those who do not see them.
import * as React from 'react';

import { useTranslation } from './TranslatorContext';

export function TrendChart(props: {
  trend: number[];
  /** Days that a bar stands for. */
  stretch: number;
}): React.ReactElement | null {
  const trans = useTranslation();
  const most = Math.max(0, ...props.trend);
  if (!most) {
    return null;
  }
  const said = trans._n(
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
