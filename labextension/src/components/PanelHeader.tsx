// The head of the panel: which repository is shown, how old that is, and a refresh.
import { HTMLSelect, refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { formatAge } from '../format';
import { type PanelModel } from '../model';
import { useTranslation } from './TranslatorContext';

export function PanelHeader(props: { model: PanelModel }): React.ReactElement {
  const { model } = props;
  const { state } = model;
  const trans = useTranslation();
  const age = state.refreshing
    ? trans.__('reading…')
    : state.asOf
      ? formatAge(state.asOf, new Date().toISOString(), trans)
      : '';
  return (
    <header className="fnb-top">
      {state.repositories.length > 1 ? (
        <RepositorySelect model={model} />
      ) : (
        <b className="fnb-name">{state.overview?.project ?? 'Feast'}</b>
      )}
      <span
        className="fnb-quiet fnb-age"
        aria-live="polite"
        title={state.asOf ?? ''}
      >
        {age}
      </span>
      <button
        className="fnb-button fnb-icon-button"
        title={trans.__('Look again')}
        aria-label={trans.__('Look again')}
        onClick={() => model.refresh()}
      >
        <refreshIcon.react tag="span" elementSize="normal" />
      </button>
    </header>
  );
}

function RepositorySelect(props: { model: PanelModel }): React.ReactElement {
  const { model } = props;
  const { state } = model;
  const trans = useTranslation();
  return (
    <HTMLSelect
      className="fnb-repository"
      aria-label={trans.__('Feature repository')}
      value={model.chosen}
      onChange={event => model.choose(event.target.value)}
    >
      <option value="">
        {state.repo === null
          ? trans.__('Choose a repository')
          : trans.__('%1, of the notebook', state.repo)}
      </option>
      {state.repositories.map(({ repo, project }) => (
        <option key={repo} value={repo}>
          {project ? `${project} (${repo})` : repo}
        </option>
      ))}
    </HTMLSelect>
  );
}
