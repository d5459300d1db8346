// A registered model at a closer look: its versions, and how the registry fits each.
import { type TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { formatAge, formatRuns } from '../../format';
import { drifted } from '../../listItems';
import { type IState } from '../../panelState';
import { type IModelOverview, type IVersionOverview } from '../../records';
import {
  ActionButton,
  ButtonRow,
  GraphButtons,
  MlflowButton
} from '../ActionButton';
import { useActions } from '../ActionsContext';
import { Facts } from '../Facts';
import { useTranslation } from '../TranslatorContext';

export function Model(props: {
  model: IModelOverview;
  state: IState;
}): React.ReactElement {
  const { model, state } = props;
  return (
    <>
      {model.versions.map(version => (
        <Version
          key={version.version}
          name={model.name}
          version={version}
          asOf={state.asOf}
        />
      ))}
    </>
  );
}

function Version(props: {
  name: string;
  version: IVersionOverview;
  asOf: string | null;
}): React.ReactElement {
  const { name, version, asOf } = props;
  const trans = useTranslation();
  const actions = useActions();
  const named = `${name}/${version.version}`;
  const [alias] = version.aliases;
  const drift = drifted(version.drift, trans);
  return (
    <article className="fnb-version">
      <h4>
        {named}{' '}
        {version.aliases.map(each => (
          <span key={each} className="fnb-badge">
            {each}
          </span>
        ))}
        {drift && <span className="fnb-flag fnb-flag-drift">{drift}</span>}
      </h4>
      <Facts
        facts={[
          [trans.__('definitions'), fits(version.drift, trans)],
          [trans.__('changed'), version.changes.slice(0, 4).join(' ')],
          [trans.__('features'), version.features],
          [trans.__('service'), version.service],
          [trans.__('stage'), version.stage],
          [
            trans.__('registered'),
            version.created && formatAge(version.created, asOf, trans)
          ],
          [
            trans.__('predictions'),
            version.predictions && formatRuns(version.predictions, trans)
          ]
        ]}
      />
      <ButtonRow>
        <ActionButton
          label={trans.__('Insert scoring')}
          onClick={() =>
            actions.insertScoring(alias ? `${name}@${alias}` : named)
          }
        />
        <GraphButtons id={`model=${named}`} impact={false} />
        <MlflowButton url={actions.urlOfVersion(name, version)} />
      </ButtonRow>
    </article>
  );
}

/** How the registry of today fits what a model was trained on. */
function fits(drift: string, trans: TranslationBundle): string {
  return (
    {
      same: trans.__('unchanged since training'),
      safe: trans.__('changed (safe)'),
      unknown: trans.__('definitions at training only partly known')
    }[drift] ??
    drifted(drift, trans) ??
    drift
  );
}
