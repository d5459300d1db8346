// The head of the Health tab: how old the last look is, what it came to, and a new one.
import * as React from 'react';

import { formatAge } from '../format';
import { summary } from '../healthItems';
import { type PanelModel } from '../model';
import { ActionButton } from './ActionButton';
import { useTranslation } from './TranslatorContext';

export function HealthHead(props: { model: PanelModel }): React.ReactElement {
  const { model } = props;
  const trans = useTranslation();
  const found = model.state.health;
  const lines = found?.health?.lines ?? [];
  const now = new Date().toISOString();
  const oldest = lines
    .map(line => line.at ?? found?.health?.at ?? '')
    .sort()
    .find(Boolean);
  return (
    <div className="fnb-health-head">
      <span role="status">
        {found?.looking
          ? trans.__('Looking…')
          : lines.length
            ? `${summary(lines, trans)} · ${formatAge(oldest ?? now, now, trans)}`
            : ''}
      </span>
      {!found?.looking && lines.length > 0 && (
        <ActionButton
          label={trans.__('Look now')}
          onClick={() => model.lookAtHealth()}
        />
      )}
      {found?.trouble && <p className="fnb-quiet">{found.trouble}</p>}
    </div>
  );
}
