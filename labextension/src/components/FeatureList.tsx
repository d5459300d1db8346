// Features as a run or a service asks for them, in order.
import * as React from 'react';

import { useTranslation } from './TranslatorContext';

const MOST = 200;

export function FeatureList(props: {
  refs: readonly string[];
}): React.ReactElement {
  const trans = useTranslation();
  const more = props.refs.length - MOST;
  return (
    <table className="fnb-small">
      <caption>{trans.__('Features, in order')}</caption>
      <tbody>
        {props.refs.slice(0, MOST).map(ref => (
          <tr key={ref}>
            <th scope="row">{ref}</th>
          </tr>
        ))}
        {more > 0 && (
          <tr>
            <td>{trans._n('and %1 more', 'and %1 more', more)}</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}
