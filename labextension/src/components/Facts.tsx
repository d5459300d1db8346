// Names and values of an object.
import * as React from 'react';

type Value = string | number | false | null | undefined;

export type Fact = [name: string, value: Value];

/** What is not known, is none or is zero is left out. */
export function Facts(props: { facts: Fact[] }): React.ReactElement {
  return (
    <dl className="fnb-facts">
      {props.facts
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
