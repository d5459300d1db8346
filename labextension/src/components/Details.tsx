// One object at a closer look: its facts, who depends on it, and what can be done with it.
import { type TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Feature, Service, View } from './details/View';
import { Model, Operation, Run } from './details/Model';
import { type IState } from '../model';
import { Buttons, drawn, Facts, type IActions } from './Facts';
import { type IListItem, kindOf, nameOf } from '../listItems';

interface IDetailsProps {
  row: IListItem;
  state: IState;
  actions: IActions;
  trans: TranslationBundle;
  onBack: () => void;
}

export function Details(props: IDetailsProps): React.ReactElement {
  const { row, trans, onBack } = props;
  const back = React.useRef<HTMLButtonElement>(null);
  React.useEffect(() => back.current?.focus(), [row.id]);
  return (
    <section className="fnb-object" aria-label={row.name}>
      <header>
        <button
          ref={back}
          className="fnb-button"
          onClick={onBack}
          aria-label={trans.__('Back to the list')}
        >
          ←
        </button>
        <span className="fnb-kind">{kindOf(row.kind, trans)}</span>
        <b className="fnb-name" title={row.name}>
          {row.name}
        </b>
      </header>
      <div className="fnb-scroll">{body(props)}</div>
    </section>
  );
}

function body({ row, state, actions, trans }: IDetailsProps): React.ReactNode {
  const known = state.overview;
  const name = nameOf(row.id);
  switch (row.kind) {
    case 'view': {
      const view = known?.views.find(v => v.name === name);
      return view && <View view={view} state={state} {...{ actions, trans }} />;
    }
    case 'feature': {
      const [of, feature] = row.id.split(':');
      const view = known?.views.find(v => v.name === of);
      return view && <Feature {...{ view, feature, actions, trans }} />;
    }
    case 'service': {
      const service = known?.services.find(s => s.name === name);
      return service && <Service {...{ service, actions, trans }} />;
    }
    case 'model': {
      const model = known?.models.find(m => m.name === name);
      return model && <Model {...{ model, state, actions, trans }} />;
    }
    case 'run': {
      const run = [...state.mine, ...(state.runs?.runs ?? [])].find(
        r => r.run_id === name
      );
      return run ? (
        <Run {...{ run, actions, trans }} />
      ) : (
        <p className="fnb-quiet">
          {trans.__('Nothing of this run has reached MLflow yet.')}
        </p>
      );
    }
    case 'operation': {
      const place = Number(row.id.split('-').pop());
      const done = state.operations?.operations[place];
      return done && <Operation {...{ done, trans }} />;
    }
    default:
      return (
        <>
          <Facts
            of={[
              [kindOf(row.kind, trans), name],
              [trans.__('type'), row.about]
            ]}
          />
          <Buttons>{drawn(row.id, { actions, trans })}</Buttons>
        </>
      );
  }
}
