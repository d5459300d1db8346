// What came of the features, at a closer look: a model's versions, a run, an operation.
import { type TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { type IState } from '../../model';
import {
  type IModelOverview,
  type IVersionOverview,
  type IOperation,
  type IRun
} from '../../overview';
import { formatAge, formatTime } from '../../format';
import {
  Buttons,
  action,
  drawn,
  Facts,
  type IPart,
  Ordered,
  runs
} from '../Facts';
import { drifted } from '../../listItems';

export function Model(
  props: IPart & { model: IModelOverview; state: IState }
): React.ReactElement {
  const { model } = props;
  return (
    <>
      {model.versions.map(version => (
        <Version key={version.version} {...props} version={version} />
      ))}
    </>
  );
}

function Version(
  props: IPart & {
    model: IModelOverview;
    version: IVersionOverview;
    state: IState;
  }
): React.ReactElement {
  const { model, version, state, actions, trans } = props;
  const named = `${model.name}/${version.version}`;
  const url = actions.version(model.name, version);
  const [alias] = version.aliases;
  const drift = drifted(version.drift, trans);
  return (
    <article className="fnb-version">
      <h4>
        {named}{' '}
        {version.aliases.map(name => (
          <span key={name} className="fnb-badge">
            {name}
          </span>
        ))}
        {drift && <span className="fnb-flag fnb-flag-drift">{drift}</span>}
      </h4>
      <Facts
        of={[
          [trans.__('registry'), fits(version.drift, trans)],
          [trans.__('changed'), version.changes.slice(0, 4).join(' ')],
          [trans.__('features'), version.features],
          [trans.__('service'), version.service],
          [trans.__('stage'), version.stage],
          [
            trans.__('registered'),
            version.created && formatAge(version.created, state.asOf, trans)
          ],
          [
            trans.__('predictions'),
            version.predictions && runs(version.predictions, trans)
          ]
        ]}
      />
      <Buttons>
        {action(trans.__('Insert scoring'), () =>
          actions.score(alias ? `${model.name}@${alias}` : named)
        )}
        {drawn(`model=${named}`, props, false)}
        {url && action(trans.__('Open in MLflow'), () => actions.web(url))}
      </Buttons>
    </article>
  );
}

/** How the registry of today fits what a model was trained on. */
function fits(drift: string, trans: TranslationBundle): string {
  return (
    {
      same: trans.__('as it was trained on'),
      safe: trans.__('changed, safely'),
      unknown: trans.__('what it was trained on is not known whole')
    }[drift] ??
    drifted(drift, trans) ??
    drift
  );
}

export function Run(props: IPart & { run: IRun }): React.ReactElement {
  const { run, actions, trans } = props;
  const url = actions.link(run);
  const took = run.end_time && (run.end_time - run.start_time) / 1000;
  const models = run.registered_models.map(m => `${m.model_name}/${m.version}`);
  return (
    <>
      <Facts
        of={[
          [trans.__('status'), run.status.toLowerCase()],
          [trans.__('counts as'), run.counts_as],
          [
            trans.__('started'),
            formatTime(new Date(run.start_time).toISOString())
          ],
          [trans.__('took'), took && `${took.toFixed(1)} s`],
          [trans.__('by'), run.user],
          [trans.__('experiment'), run.experiment],
          [trans.__('notebook'), run.notebook],
          [trans.__('service'), run.feature_service],
          [trans.__('rows'), run.entity_count],
          [trans.__('predicts'), run.predicts],
          [trans.__('models'), models.join(', ')],
          ...Object.entries(run.metrics)
            .slice(0, 8)
            .map(([name, value]): [string, string] => [
              name,
              String(+value.toPrecision(6))
            ])
        ]}
      />
      <Buttons>
        {drawn(`run=${run.run_id}`, props, false)}
        {url && action(trans.__('Open in MLflow'), () => actions.web(url))}
      </Buttons>
      <Ordered refs={run.feature_refs} trans={trans} />
    </>
  );
}

export function Operation(props: {
  done: IOperation;
  trans: TranslationBundle;
}): React.ReactElement {
  const { done, trans } = props;
  return (
    <Facts
      of={[
        [trans.__('what'), done.what],
        [trans.__('status'), done.status.toLowerCase()],
        [trans.__('at'), done.at && formatTime(done.at)],
        [trans.__('took'), done.seconds && `${done.seconds.toFixed(1)} s`],
        [trans.__('views'), done.views.join(', ')],
        [trans.__('from'), done.start],
        [trans.__('to'), done.end],
        [trans.__('created'), done.created.join(', ')],
        [trans.__('updated'), done.updated.join(', ')],
        [trans.__('deleted'), done.deleted.join(', ')],
        [trans.__('changed'), done.changed.join(', ')],
        [trans.__('by'), done.user]
      ]}
    />
  );
}
