// One thing that a look at the health of a repository was about.
import * as React from 'react';

import { formatTime } from '../../format';
import { lightName, partName } from '../../healthItems';
import { type IHealthLine } from '../../records';
import { Facts } from '../Facts';
import { useTranslation } from '../TranslatorContext';

export function HealthLine(props: { line: IHealthLine }): React.ReactElement {
  const { line } = props;
  const trans = useTranslation();
  const measured = Object.entries(line.facts)
    .filter(([, value]) => ['number', 'string'].includes(typeof value))
    .map(
      ([name, value]) =>
        [name.replaceAll('_', ' '), shown(value)] as [string, string]
    );
  return (
    <>
      <p>
        <span className={`fnb-dot fnb-dot-${line.light}`} aria-hidden="true" />{' '}
        <b>{lightName(line.light, trans)}</b> {line.said}
      </p>
      {line.remedy && (
        <p className="fnb-remedy">
          {line.remedy.startsWith('%') ? (
            <code>{line.remedy}</code>
          ) : (
            line.remedy
          )}
        </p>
      )}
      <Facts
        facts={[
          [trans.__('what'), partName(line.part, trans)],
          [trans.__('looked at'), line.at && formatTime(line.at)],
          ...measured
        ]}
      />
    </>
  );
}

function shown(value: unknown): string {
  return typeof value === 'number'
    ? value.toLocaleString('en', { maximumSignificantDigits: 4 })
    : String(value);
}
