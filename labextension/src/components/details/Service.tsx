// A feature service at a closer look.
import * as React from 'react';

import { type IServiceOverview } from '../../records';
import { ActionButton, ButtonRow, GraphButtons } from '../ActionButton';
import { useActions } from '../ActionsContext';
import { DependentModels } from '../DependentModels';
import { Facts } from '../Facts';
import { FeatureList } from '../FeatureList';
import { useTranslation } from '../TranslatorContext';

export function Service(props: {
  service: IServiceOverview;
}): React.ReactElement {
  const { service } = props;
  const trans = useTranslation();
  const actions = useActions();
  return (
    <>
      {service.description && <p>{service.description}</p>}
      <Facts
        facts={[
          [trans.__('owner'), service.owner],
          [trans.__('registry'), service.gone && trans.__('gone from it')]
        ]}
      />
      <ButtonRow>
        <ActionButton
          label={trans.__('Insert retrieval')}
          onClick={() => actions.insertRetrieval(service.name)}
        />
        <ActionButton
          label={trans.__('Insert training')}
          onClick={() => actions.insertTraining(service.name)}
        />
        <GraphButtons id={`service=${service.name}`} />
      </ButtonRow>
      <DependentModels models={service.models} />
      <FeatureList refs={service.refs} />
    </>
  );
}
