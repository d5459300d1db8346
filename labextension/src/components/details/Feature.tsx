// A feature at a closer look.
import * as React from 'react';

import { formatRuns } from '../../format';
import { type IViewOverview } from '../../records';
import { ActionButton, ButtonRow, GraphButtons } from '../ActionButton';
import { useActions } from '../ActionsContext';
import { Facts } from '../Facts';
import { useTranslation } from '../TranslatorContext';

export function Feature(props: {
  view: IViewOverview;
  name: string;
}): React.ReactElement {
  const { view, name } = props;
  const trans = useTranslation();
  const actions = useActions();
  const id = `${view.name}:${name}`;
  const feature = view.features.find(f => f.name === name);
  return (
    <>
      <Facts
        facts={[
          [trans.__('reference'), id],
          [trans.__('type'), feature?.dtype],
          [
            trans.__('used in training'),
            feature && formatRuns(feature.training, trans)
          ],
          [
            trans.__('predicted'),
            feature?.prediction && formatRuns(feature.prediction, trans)
          ],
          [
            trans.__('models'),
            feature && trans._n('%1 model', '%1 models', feature.models)
          ]
        ]}
      />
      <ButtonRow>
        <GraphButtons id={id} />
        <ActionButton
          label={trans.__('Copy reference')}
          onClick={() => actions.copyReference(id)}
        />
      </ButtonRow>
    </>
  );
}
