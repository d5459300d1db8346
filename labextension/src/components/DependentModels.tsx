// The registered models that use an object, with the versions that do.
import * as React from 'react';

import { formatRanges } from '../format';
import { type IModelUse } from '../records';
import { useTranslation } from './TranslatorContext';

export function DependentModels(props: {
  models: IModelUse[];
}): React.ReactElement | null {
  const trans = useTranslation();
  if (!props.models.length) {
    return null;
  }
  return (
    <table className="fnb-small">
      <caption>{trans.__('Registered models that depend on it')}</caption>
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
