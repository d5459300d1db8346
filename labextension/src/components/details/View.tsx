// What the registry defines, at a closer look: a view, a feature, a service.
import * as React from 'react';

import { type IState } from '../../model';
import { type IServiceOverview, type IViewOverview } from '../../overview';
import { formatAge, formatTime } from '../../format';
import {
  Buttons,
  action,
  drawn,
  duration,
  Facts,
  type IPart,
  Models,
  Ordered,
  runs,
  Trend
} from '../Facts';

export function View(
  props: IPart & { view: IViewOverview; state: IState }
): React.ReactElement {
  const { view, state, actions, trans } = props;
  const { trend, models } = view;
  return (
    <>
      {view.description && <p>{view.description}</p>}
      <Facts of={facts(props)} />
      <Buttons>
        {drawn(`view=${view.name}`, props)}
        {action(trans.__('Copy reference'), () => actions.copy(view.name))}
      </Buttons>
      <Trend {...{ trend, trans }} stretch={state.overview?.stretch ?? 1} />
      <Models {...{ models, trans }} />
      <table className="fnb-small">
        <caption>{trans.__('Features')}</caption>
        <tbody>
          {view.features.map(f => (
            <tr key={f.name}>
              <th scope="row">{f.name}</th>
              <td>{f.dtype}</td>
              <td>{f.gone ? trans.__('gone') : `${f.training}×`}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function facts(
  props: IPart & { view: IViewOverview; state: IState }
): React.ComponentProps<typeof Facts>['of'] {
  const { view, state, trans } = props;
  const stale = view.stale ? ` (${trans.__('older than its TTL')})` : '';
  const tags = Object.entries(view.tags).map(([k, v]) => `${k}=${v}`);
  return [
    [trans.__('kind'), view.kind.replace('_', '-')],
    [trans.__('trained'), runs(view.training, trans)],
    [trans.__('predicted'), view.prediction && runs(view.prediction, trans)],
    [
      trans.__('last used'),
      view.last ? formatAge(view.last, state.asOf, trans) : trans.__('never')
    ],
    [trans.__('used by'), view.users.slice(0, 5).join(', ')],
    [trans.__('entities'), view.entities.join(', ')],
    [trans.__('sources'), view.sources.join(', ')],
    [trans.__('computed from'), view.reads.join(', ')],
    [trans.__('services'), view.services.join(', ')],
    [trans.__('TTL'), view.ttl && duration(view.ttl)],
    [
      trans.__('fresh'),
      view.fresh && trans.__('up to %1', formatTime(view.fresh)) + stale
    ],
    [trans.__('owner'), view.owner],
    [trans.__('tags'), tags.join(', ')]
  ];
}

export function Feature(
  props: IPart & { view: IViewOverview; feature: string }
): React.ReactElement {
  const { view, feature, actions, trans } = props;
  const id = `${view.name}:${feature}`;
  const found = view.features.find(f => f.name === feature);
  return (
    <>
      <Facts
        of={[
          [trans.__('reference'), id],
          [trans.__('type'), found?.dtype],
          [trans.__('trained'), found && runs(found.training, trans)],
          [
            trans.__('predicted'),
            found?.prediction && runs(found.prediction, trans)
          ],
          [
            trans.__('models'),
            found && trans._n('%1 model', '%1 models', found.models)
          ]
        ]}
      />
      <Buttons>
        {drawn(id, props)}
        {action(trans.__('Copy reference'), () => actions.copy(id))}
      </Buttons>
    </>
  );
}

export function Service(
  props: IPart & { service: IServiceOverview }
): React.ReactElement {
  const { service, actions, trans } = props;
  return (
    <>
      {service.description && <p>{service.description}</p>}
      <Facts
        of={[
          [trans.__('owner'), service.owner],
          [trans.__('registry'), service.gone && trans.__('gone from it')]
        ]}
      />
      <Buttons>
        {action(trans.__('Insert retrieval'), () =>
          actions.retrieve(service.name)
        )}
        {action(trans.__('Insert training'), () => actions.train(service.name))}
        {drawn(`service=${service.name}`, props)}
      </Buttons>
      <Models models={service.models} trans={trans} />
      <Ordered refs={service.refs} trans={trans} />
    </>
  );
}
