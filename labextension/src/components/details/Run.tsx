// A run at a closer look.
import * as React from 'react';

import { formatTime } from '../../format';
import { type IRun } from '../../records';
import { ButtonRow, GraphButtons, MlflowButton } from '../ActionButton';
import { useActions } from '../ActionsContext';
import { Facts } from '../Facts';
import { FeatureList } from '../FeatureList';
import { useTranslation } from '../TranslatorContext';

const METRICS = 8; // that are listed

export function Run(props: { run: IRun }): React.ReactElement {
  const { run } = props;
  const trans = useTranslation();
  const actions = useActions();
  const took = run.end_time && (run.end_time - run.start_time) / 1000;
  const models = run.registered_models.map(m => `${m.model_name}/${m.version}`);
  return (
    <>
      <Facts
        facts={[
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
            .slice(0, METRICS)
            .map(([name, value]): [string, string] => [
              name,
              String(+value.toPrecision(6))
            ])
        ]}
      />
      <ButtonRow>
        <GraphButtons id={`run=${run.run_id}`} impact={false} />
        <MlflowButton url={actions.urlOfRun(run)} />
      </ButtonRow>
      <FeatureList refs={run.feature_refs} />
    </>
  );
}
