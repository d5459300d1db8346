// One object at a closer look: its facts, who depends on it, and what can be done with it.
import { type TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { type IState } from './model';
import {
  type IKnownModel,
  type IKnownService,
  type IKnownVersion,
  type IKnownView,
  type IRun
} from './overview';
import { count, moment } from './page';
import { type IModelUse } from './records';
import { type IRow } from './rows';
import { ago, spans } from './table';

/** What the buttons do; each is a command of the lab. */
export interface IDeeds {
  lineage: (object: string) => void;
  impact: (object: string) => void;
  retrieve: (service: string) => void;
  train: (service: string) => void;
  score: (model: string) => void;
  copy: (reference: string) => void;
  web: (url: string) => void;
  link: (run: IRun) => string | null;
  version: (name: string, version: IKnownVersion) => string | null;
}

interface IAboutProps {
  row: IRow;
  state: IState;
  deeds: IDeeds;
  trans: TranslationBundle;
  onBack: () => void;
}

export function About(props: IAboutProps): React.ReactElement {
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
        <span className="fnb-kind">{row.kind}</span>
        <b className="fnb-name" title={row.name}>
          {row.name}
        </b>
      </header>
      <div className="fnb-scroll">{body(props)}</div>
    </section>
  );
}

function body({ row, state, deeds, trans }: IAboutProps): React.ReactNode {
  const known = state.overview;
  const name = row.id.replace(/^\w+=/, '');
  switch (row.kind) {
    case 'view': {
      const view = known?.views.find(v => v.name === name);
      return view && <View view={view} state={state} {...{ deeds, trans }} />;
    }
    case 'feature': {
      const [of, feature] = row.id.split(':');
      const view = known?.views.find(v => v.name === of);
      return view && <Feature {...{ view, feature, state, deeds, trans }} />;
    }
    case 'service': {
      const service = known?.services.find(s => s.name === name);
      return service && <Service {...{ service, deeds, trans }} />;
    }
    case 'model': {
      const model = known?.models.find(m => m.name === name);
      return model && <Model {...{ model, state, deeds, trans }} />;
    }
    case 'run': {
      const run = [...state.mine, ...(state.runs?.runs ?? [])].find(
        r => r.run_id === name
      );
      return run ? (
        <Run {...{ run, deeds, trans }} />
      ) : (
        <p className="fnb-quiet">
          {trans.__('Nothing of this run has reached MLflow yet.')}
        </p>
      );
    }
    case 'operation': {
      const place = Number(row.id.split('-').pop());
      const done = state.operations?.operations[place];
      return (
        done && (
          <Facts
            of={{
              what: done.what,
              status: done.status.toLowerCase(),
              at: done.at && moment(done.at),
              took: done.seconds && `${done.seconds.toFixed(1)} s`,
              views: done.views.join(', '),
              from: done.start,
              to: done.end,
              created: done.created.join(', '),
              updated: done.updated.join(', '),
              deleted: done.deleted.join(', '),
              changed: done.changed.join(', '),
              by: done.user
            }}
          />
        )
      );
    }
    default:
      return (
        <>
          <Facts of={{ [row.kind]: name, type: row.about }} />
          <Buttons>
            {deed(trans.__('Show lineage'), () => deeds.lineage(row.id))}
            {deed(trans.__('Impact'), () => deeds.impact(row.id))}
          </Buttons>
        </>
      );
  }
}

interface IPart {
  deeds: IDeeds;
  trans: TranslationBundle;
}

function View(
  props: IPart & { view: IKnownView; state: IState }
): React.ReactElement {
  const { view, state, deeds, trans } = props;
  const id = `view=${view.name}`;
  const now = state.asOf;
  return (
    <>
      {view.description && <p>{view.description}</p>}
      <Facts
        of={{
          kind: view.kind.replace('_', '-'),
          trained: count(view.training, 'run'),
          predicted: view.prediction && count(view.prediction, 'run'),
          'last used': view.last ? ago(view.last, now) : trans.__('never'),
          'used by': view.users.slice(0, 5).join(', '),
          entities: view.entities.join(', '),
          sources: view.sources.join(', '),
          'computed from': view.reads.join(', '),
          services: view.services.join(', '),
          TTL: view.ttl && duration(view.ttl),
          fresh:
            view.fresh &&
            `${trans.__('up to')} ${moment(view.fresh)}${view.stale ? ` (${trans.__('older than its TTL')})` : ''}`,
          owner: view.owner,
          tags: Object.entries(view.tags)
            .map(([k, v]) => `${k}=${v}`)
            .join(', ')
        }}
      />
      <Buttons>
        {deed(trans.__('Show lineage'), () => deeds.lineage(id))}
        {deed(trans.__('Impact'), () => deeds.impact(id))}
        {deed(trans.__('Copy reference'), () => deeds.copy(view.name))}
      </Buttons>
      <Trend trend={view.trend} stretch={state.overview?.stretch ?? 1} />
      <Models models={view.models} trans={trans} />
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

function Feature(
  props: IPart & { view: IKnownView; feature: string; state: IState }
): React.ReactElement {
  const { view, feature, deeds, trans } = props;
  const id = `${view.name}:${feature}`;
  const found = view.features.find(f => f.name === feature);
  return (
    <>
      <Facts
        of={{
          reference: id,
          type: found?.dtype,
          trained: found && count(found.training, 'run'),
          predicted: found?.prediction && count(found.prediction, 'run'),
          models: found && count(found.models, 'model')
        }}
      />
      <Buttons>
        {deed(trans.__('Show lineage'), () => deeds.lineage(id))}
        {deed(trans.__('Impact'), () => deeds.impact(id))}
        {deed(trans.__('Copy reference'), () => deeds.copy(id))}
      </Buttons>
    </>
  );
}

function Service(
  props: IPart & { service: IKnownService }
): React.ReactElement {
  const { service, deeds, trans } = props;
  const id = `service=${service.name}`;
  return (
    <>
      {service.description && <p>{service.description}</p>}
      <Facts
        of={{
          owner: service.owner,
          registry: service.gone && trans.__('gone from it')
        }}
      />
      <Buttons>
        {deed(trans.__('Insert retrieval'), () => deeds.retrieve(service.name))}
        {deed(trans.__('Insert training'), () => deeds.train(service.name))}
        {deed(trans.__('Show lineage'), () => deeds.lineage(id))}
        {deed(trans.__('Impact'), () => deeds.impact(id))}
      </Buttons>
      <Models models={service.models} trans={trans} />
      <table className="fnb-small">
        <caption>{trans.__('Features, in order')}</caption>
        <tbody>
          {service.refs.map(ref => (
            <tr key={ref}>
              <th scope="row">{ref}</th>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function Model(
  props: IPart & { model: IKnownModel; state: IState }
): React.ReactElement {
  const { model, state, deeds, trans } = props;
  return (
    <>
      {model.versions.map(version => {
        const named = `${model.name}/${version.version}`;
        const url = deeds.version(model.name, version);
        return (
          <article key={version.version} className="fnb-version">
            <h4>
              {named}{' '}
              {version.aliases.map(alias => (
                <span key={alias} className="fnb-badge">
                  {alias}
                </span>
              ))}
              {DRIFTED.includes(version.drift) && (
                <span className="fnb-flag fnb-flag-drift">{version.drift}</span>
              )}
            </h4>
            <Facts
              of={{
                registry: fits(version.drift, trans),
                changed: version.changes.slice(0, 4).join(' '),
                features: version.features,
                service: version.service,
                stage: version.stage,
                registered: version.created && ago(version.created, state.asOf),
                predictions:
                  version.predictions && count(version.predictions, 'run')
              }}
            />
            <Buttons>
              {deed(trans.__('Insert scoring'), () =>
                deeds.score(
                  version.aliases.length
                    ? `${model.name}@${version.aliases[0]}`
                    : named
                )
              )}
              {deed(trans.__('Show lineage'), () =>
                deeds.lineage(`model=${named}`)
              )}
              {url && deed(trans.__('Open in MLflow'), () => deeds.web(url))}
            </Buttons>
          </article>
        );
      })}
    </>
  );
}

function Run(props: IPart & { run: IRun }): React.ReactElement {
  const { run, deeds, trans } = props;
  const url = deeds.link(run);
  return (
    <>
      <Facts
        of={{
          status: run.status.toLowerCase(),
          'counts as': run.counts_as,
          started: moment(new Date(run.start_time).toISOString()),
          took:
            run.end_time &&
            `${((run.end_time - run.start_time) / 1000).toFixed(1)} s`,
          by: run.user,
          experiment: run.experiment,
          notebook: run.notebook,
          service: run.feature_service,
          rows: run.entity_count,
          predicts: run.predicts,
          models: run.registered_models
            .map(m => `${m.model_name}/${m.version}`)
            .join(', '),
          ...Object.fromEntries(
            Object.entries(run.metrics)
              .slice(0, 8)
              .map(([name, value]) => [name, String(+value.toPrecision(6))])
          )
        }}
      />
      <Buttons>
        {deed(trans.__('Show lineage'), () =>
          deeds.lineage(`run=${run.run_id}`)
        )}
        {url && deed(trans.__('Open in MLflow'), () => deeds.web(url))}
      </Buttons>
      <table className="fnb-small">
        <caption>{trans.__('Features, in order')}</caption>
        <tbody>
          {run.feature_refs.slice(0, 200).map(ref => (
            <tr key={ref}>
              <th scope="row">{ref}</th>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

const DRIFTED = ['breaks serving', 'needs retraining'];

function fits(drift: string, trans: TranslationBundle): string {
  return (
    {
      same: trans.__('as it was trained on'),
      safe: trans.__('changed, safely'),
      unknown: trans.__('what it was trained on is not known whole')
    }[drift] ?? drift
  );
}

function Facts(props: {
  of: Record<string, string | number | false | null | undefined>;
}): React.ReactElement {
  return (
    <dl className="fnb-facts">
      {Object.entries(props.of)
        .filter(([, value]) => value)
        .map(([name, value]) => (
          <React.Fragment key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </React.Fragment>
        ))}
    </dl>
  );
}

function Models(props: {
  models: IModelUse[];
  trans: TranslationBundle;
}): React.ReactElement | null {
  if (!props.models.length) {
    return null;
  }
  return (
    <table className="fnb-small">
      <caption>{props.trans.__('Registered models that depend on it')}</caption>
      <tbody>
        {props.models.map(model => (
          <tr key={model.name}>
            <th scope="row">{model.name}</th>
            <td>{spans(model.versions)}</td>
            <td>
              {Object.entries(model.aliases).map(([alias, version]) => (
                <span key={alias} className="fnb-badge">
                  {alias} → {version}
                </span>
              ))}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Trend(props: {
  trend: number[];
  stretch: number;
}): React.ReactElement | null {
  const most = Math.max(0, ...props.trend);
  if (!most) {
    return null;
  }
  const said = `Runs over time: at most ${most} in ${count(props.stretch, 'day')}`;
  return (
    <div className="fnb-trend" role="img" aria-label={said} title={said}>
      {props.trend.map((value, n) => (
        <span
          key={n}
          style={{
            height: `${value ? Math.max(4, (100 * value) / most) : 0}%`
          }}
        />
      ))}
    </div>
  );
}

function Buttons(props: { children: React.ReactNode }): React.ReactElement {
  return <div className="fnb-buttons">{props.children}</div>;
}

function deed(label: string, act: () => void): React.ReactElement {
  return (
    <button className="fnb-button" onClick={act}>
      {label}
    </button>
  );
}

/** `3 d`, `12 h`. */
function duration(seconds: number): string {
  for (const [length, unit] of [
    [86_400, 'd'],
    [3_600, 'h'],
    [60, 'min']
  ] as const) {
    if (seconds >= length) {
      return `${+(seconds / length).toFixed(1)} ${unit}`;
    }
  }
  return `${seconds} s`;
}
