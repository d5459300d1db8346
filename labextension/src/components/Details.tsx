// One object at a closer look: its facts, who depends on it, and what can be done with it.
import { caretLeftIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { healthLine } from '../healthItems';
import { type IListItem, kindOf, nameOf } from '../listItems';
import { type IState } from '../panelState';
import { ButtonRow, GraphButtons } from './ActionButton';
import { Feature } from './details/Feature';
import { HealthLine } from './details/HealthLine';
import { Model } from './details/Model';
import { Operation } from './details/Operation';
import { Run } from './details/Run';
import { Service } from './details/Service';
import { View } from './details/View';
import { Facts } from './Facts';
import { useTranslation } from './TranslatorContext';

interface IDetailsProps {
  item: IListItem;
  state: IState;
}

export function Details(
  props: IDetailsProps & { onBack: () => void }
): React.ReactElement {
  const { item, onBack } = props;
  const trans = useTranslation();
  const back = React.useRef<HTMLButtonElement>(null);
  React.useEffect(() => back.current?.focus(), [item.id]);
  return (
    <section className="fnb-object" aria-label={item.name}>
      <header>
        <button
          ref={back}
          className="fnb-button fnb-icon-button"
          onClick={onBack}
          title={trans.__('Back to the list')}
          aria-label={trans.__('Back to the list')}
        >
          <caretLeftIcon.react tag="span" elementSize="normal" />
        </button>
        <span className="fnb-kind">{kindOf(item.kind, trans)}</span>
        <b className="fnb-name" title={item.name}>
          {item.name}
        </b>
      </header>
      <div className="fnb-scroll">
        <Body {...props} />
      </div>
    </section>
  );
}

/** Nothing where the object is no longer known. */
function Body({ item, state }: IDetailsProps): React.ReactElement | null {
  const trans = useTranslation();
  const overview = state.overview;
  const name = nameOf(item.id);
  switch (item.kind) {
    case 'view': {
      const view = overview?.views.find(v => v.name === name);
      return view ? <View view={view} state={state} /> : null;
    }
    case 'feature': {
      const [of, feature] = item.id.split(':');
      const view = overview?.views.find(v => v.name === of);
      return view ? <Feature view={view} name={feature} /> : null;
    }
    case 'service': {
      const service = overview?.services.find(s => s.name === name);
      return service ? <Service service={service} /> : null;
    }
    case 'model': {
      const model = overview?.models.find(m => m.name === name);
      return model ? <Model model={model} state={state} /> : null;
    }
    case 'run': {
      const run = [...state.mine, ...(state.runs?.runs ?? [])].find(
        r => r.run_id === name
      );
      return run ? (
        <Run run={run} />
      ) : (
        <p className="fnb-quiet">
          {trans.__('Nothing of this run is in MLflow yet.')}
        </p>
      );
    }
    case 'operation': {
      const place = Number(item.id.split('-').pop());
      const operation = state.operations?.operations[place];
      return operation ? <Operation operation={operation} /> : null;
    }
    case 'health': {
      const line = healthLine(state, item.id);
      return line ? <HealthLine line={line} /> : null;
    }
    default:
      return (
        <>
          <Facts
            facts={[
              [kindOf(item.kind, trans), name],
              [trans.__('type'), item.about]
            ]}
          />
          <ButtonRow>
            <GraphButtons id={item.id} />
          </ButtonRow>
        </>
      );
  }
}
