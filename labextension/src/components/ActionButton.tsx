// Buttons of the details: each runs one of the panel's actions.
import * as React from 'react';

import { useActions } from './ActionsContext';
import { useTranslation } from './TranslatorContext';

export function ButtonRow(props: {
  children: React.ReactNode;
}): React.ReactElement {
  return <div className="fnb-buttons">{props.children}</div>;
}

export function ActionButton(props: {
  label: string;
  onClick: () => void;
}): React.ReactElement {
  return (
    <button className="fnb-button" onClick={props.onClick}>
      {props.label}
    </button>
  );
}

/** Whatever can be drawn has a lineage; what others depend on has an impact. */
export function GraphButtons(props: {
  id: string;
  impact?: boolean;
}): React.ReactElement {
  const { id, impact = true } = props;
  const trans = useTranslation();
  const actions = useActions();
  return (
    <>
      <ActionButton
        label={trans.__('Show lineage')}
        onClick={() => actions.showLineage(id)}
      />
      {impact && (
        <ActionButton
          label={trans.__('Impact')}
          onClick={() => actions.showImpact(id)}
        />
      )}
    </>
  );
}

/** Nothing where MLflow's UI has no address for it. */
export function MlflowButton(props: {
  url: string | null;
}): React.ReactElement | null {
  const { url } = props;
  const trans = useTranslation();
  const actions = useActions();
  return url ? (
    <ActionButton
      label={trans.__('Open in MLflow')}
      onClick={() => actions.openInMlflow(url)}
    />
  ) : null;
}
