"""Where Feast and MLflow meet: one method for each thing a notebook asks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import recorder as _recorder
from ..errors import ModelError
from ..integrations.mlflow.flavors import FLAVORS as FLAVORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..questions.source import HistorySource
    from ..records.answers import (
        ModelDiff,
        ModelFeatures,
        Operations,
        RecentRuns,
        Reproduction,
        Resolution,
    )
    from ..records.contract import ModelVersion
    from ..records.lineage import Impact, Lineage
    from ..records.run import Repository, RunRef, TrackedRun
    from ..records.usage import Usage
    from .online_vectors import ServingPlan
    from .runs import OpenRun
    from .training import Training


class Session:
    """One feature repository and its tracking server, in a notebook or a plain script."""

    def __init__(self, store: Any, yaml: Path) -> None:
        from .runs import Runs

        self.store = store
        self.yaml = yaml
        self.recorder = _recorder.current()
        self.recorder.retrieval_listener.opened(store)
        self.runs = Runs(self.recorder, store, on_open=self._opened)
        self.models: dict[str, tuple[str, ...]] = {}
        self.plans: dict[tuple[str, bool], ServingPlan] = {}
        self._names: dict[str, tuple[str, ...]] | None = None
        self._past: HistorySource | None = None

    @property
    def repository(self) -> Repository:
        """What the repository holds, read anew."""
        from ..integrations.feast import repository

        found = repository.describe(self.store, self.yaml)
        self._names = {
            "services": tuple(found.services),
            "refs": tuple(f"{v}:{f}" for v, features in found.views.items() for f in features),
        }
        return found

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Services and references as last read: what completion offers."""
        return self._names or {}

    @contextmanager
    def run(
        self,
        name: str | None = None,
        *,
        experiment: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
        nested: bool = False,
        archive: bool = True,
        archive_rows: bool = False,
    ) -> Iterator[OpenRun]:
        """A tracked run as a context: FINISHED, FAILED on an error, KILLED on an interrupt."""
        opened = self.runs.start(
            name,
            experiment=experiment,
            tags=tags,
            description=description,
            nested=nested,
            archive=archive,
            archive_rows=archive_rows,
        )
        try:
            yield opened
        except KeyboardInterrupt:
            opened.record = self.runs.end(opened, "KILLED")
            raise
        except BaseException:
            opened.record = self.runs.end(opened, "FAILED")
            raise
        opened.record = self.runs.end(opened)

    def train(self, name: str | None = None, **options: Any) -> Training:
        """A tracked training as a context; `options` are the fields of `training.TrainingOptions`.

        >>> with session.train("v1", service="driver_activity", entity_df=drivers) as training:
        ...     training.model = LinearRegression().fit(training.frame[["conv_rate"]], y)
        >>> training.summary
        """
        from .training import Training, TrainingOptions

        for several in ("features", "aliases", "sources"):
            given = options.get(several, ())
            options[several] = (given,) if isinstance(given, str) else tuple(given)
        return Training(self, TrainingOptions(name=name, **options))

    def log_model(
        self,
        model: Any,
        *,
        variable: str | None = None,
        flavor: str | None = None,
        register: str | None = None,
        aliases: Sequence[str] = (),
        at_hand: Sequence[Any] = (),
        run_id: str | None = None,
    ) -> ModelVersion:
        """Log a model that exists already, to the open run or to the last one of this session.

        Raises `ModelError` where there is no run to log it to.
        """
        from . import models

        recording = self.recorder.recording
        recording.settle()
        run = self._run_to_log_to(run_id, model)
        logged = models.log(
            self.recorder,
            run,
            model,
            variable=variable,
            flavor=flavor,
            at_hand=at_hand,
            retrievals=recording.table.of_run(run.id),
        )
        if register:
            logged = models.register(self.recorder, run, logged, register, aliases)
            self.learn(register, tuple(aliases))
        self.recorder.flush(run.id, final=True)
        return logged

    def load_model(self, model: str, flavor: str | None = None) -> Any:
        """A model in the library it was trained with, `predict_proba` and all.

        `model` as in `driver_model/3`, `driver_model@champion`, `driver_model` (latest version),
        or any of MLflow's URIs. Raises `ModelError` where there is no such model.
        """
        from ..integrations.mlflow import models

        return models.load(self.runs.uri, model, flavor)

    def resolve(self, model: str, allow_drift: bool = False) -> Resolution:
        """What to serve a model with; see `resolution.resolve`."""
        from . import resolution

        return resolution.resolve(self, model, allow_drift)

    def features(self, model: str) -> ModelFeatures:
        """A model's features in its own order; see `features.features`."""
        from . import model_report

        return model_report.features(self, model)

    def diff(self, one: str, other: str) -> ModelDiff:
        """Two models side by side; see `features.diff`."""
        from . import model_report

        return model_report.diff(self, one, other)

    def reproduce(
        self, run: str, retrieval: int | None = None, verify: bool = False
    ) -> Reproduction:
        """A run's or model's training set again; see `reproduction.reproduce`."""
        from . import reproduction

        return reproduction.reproduce(self, run, retrieval, verify)

    def vector(
        self, model: str, entity_rows: Sequence[Mapping[str, Any]], allow_drift: bool = False
    ) -> Any:
        """The array for a model's `predict`, from the online store; see `vectors.vector`.

        >>> model.predict(session.vector("driver_model@champion", [{"driver_id": 1001}]))
        """
        from . import online_vectors

        return online_vectors.vector(self, model, entity_rows, allow_drift)

    def score(self, model: str, entities: Any, **options: Any) -> Any:
        """Predictions for a frame of entity keys; `options` are the fields of `scoring.Wanted`.

        >>> session.score("driver_model@champion", drivers, with_features=True)
        """
        from . import scoring

        return scoring.score(self, entities, scoring.ScoringOptions(model, **options))

    @property
    def past(self) -> HistorySource:
        """The history of the repository's tracking server; raises where MLflow is not enabled."""
        from ..questions.source import HistorySource

        if self._past is None or self._past.uri != self.runs.uri:
            self._past = HistorySource(self.store, self.runs.uri, self._settle)
        return self._past

    def _settle(self) -> None:
        """What the cells before recorded goes to MLflow before it is asked."""
        self.recorder.recording.settle(2.0)
        self.recorder.outbox.flush(seconds=2.0)

    def usage(self, named: str | None = None, **options: Any) -> Usage:
        """Who uses each view and feature; see `asked.used`."""
        from ..questions import answers

        return answers.used(self.past, named, **options)

    def lineage(self, *names: str, **options: Any) -> Lineage:
        """What comes from what; see `asked.drawn`."""
        from ..questions import answers

        return answers.drawn(self.past, names, **options)

    def impact(self, named: str, refresh: bool = False) -> Impact:
        """What depends on an object; see `asked.impact`."""
        from ..questions import answers

        return answers.impact(self.past, named, refresh)

    def recent(self, **options: Any) -> RecentRuns:
        """The newest runs; see `asked.recent`."""
        from ..questions import answers

        return answers.recent_runs(self.past, **options)

    def operations(self, most: int = 50, refresh: bool = False) -> Operations:
        """What was applied and materialized; see `asked.operations`."""
        from ..questions import answers

        return answers.operations(self.past, most, refresh)

    def recorded(self, experiment: str | None = None, most: int = 50) -> tuple[TrackedRun, ...]:
        """What MLflow has of the newest runs, newest first: retrievals and model versions whole.

        Of the project's own experiment, where none is named.
        """
        from dataclasses import replace

        from ..integrations.mlflow import models, runs
        from ..recorder.delivery.run_document import earlier

        uri = self.runs.uri
        found = runs.newest(uri, experiment or self.store.project, most)
        return tuple(
            replace(
                run,
                retrievals=earlier(uri, run.id).retrievals,
                models=tuple(models.versions_of_run(uri, run.id)),
                url=self.runs.url(run),
            )
            for run in found
        )

    def _opened(self) -> None:
        """A run was opened: in a notebook, the registry of models is worth completing from now."""
        if self.recorder.notices.interactive and not self.models:
            self.learn_names()

    def learn(self, model: str, aliases: Sequence[str]) -> None:
        """Remember a registered model's name for completion."""
        self.models[model] = tuple(dict.fromkeys((*self.models.get(model, ()), *aliases)))

    def learn_names(self) -> None:
        """Read names for completion, in the background: a Tab asks nobody but memory.

        Those of the registry, and of the registered models once a run is open; whoever needs
        them in earnest is told what is wrong with either.
        """
        from ..errors import FeastNbError
        from ..integrations.feast import repository  # noqa: F401 (threads of ours load nothing)
        from ..integrations.mlflow import clients, models
        from ..patching import threads

        if self.recorder.runs:
            clients.connect(self.runs.uri)

        def read() -> None:
            try:
                _ = self.repository
                if self.recorder.runs:
                    self.models |= models.registered_names(self.runs.uri)
            except FeastNbError:
                return

        def begun_anew() -> None:
            threads.do(read, wake=lambda: None, stopped=lambda: False)

        threads.start(begun_anew, "names")

    def _run_to_log_to(self, run_id: str | None, model: Any) -> RunRef:
        """The run named, the one open, the one that made the model's frame, else the last ended."""
        from ..integrations.mlflow import models
        from ..records.run import RunRef

        if run_id:
            return RunRef(run_id, self.runs.uri)
        if self.runs.innermost is not None:
            return self.runs.innermost.ref
        inputs = models.inputs_of(model)
        used = self.recorder.links.now
        for source in self.recorder.recording.table.sources_of(
            "", inputs.names, inputs.width, used
        ):
            if source.run_id:
                return RunRef(source.run_id, self.runs.uri)
        if self.runs.last is not None:
            return self.runs.last
        raise ModelError("no run to log the model to; start one with %feast_run NAME.")


def open(path: str | os.PathLike[str] | None = None) -> Session:
    """The session of a feature repository: a folder, a `feature_store.yaml`, or the nearest one.

    Raises `RepositoryError` where there is none or Feast cannot use it.
    """
    from ..integrations.feast import store

    _recorder.current()
    yaml = store.find() if path is None else store.yaml_of(path)
    return Session(store.open_store(yaml), yaml)


def nearest() -> Session:
    """The session of the nearest repository, looked for from the running notebook upward."""
    from ..integrations.feast import store

    cell = _recorder.current().cells.current
    where = (
        Path(cell.notebook).parent
        if cell and cell.notebook and os.path.isabs(cell.notebook)
        else None
    )
    return open(store.find(where))


def of_store(opened: Any) -> Session:
    """The session of a `FeatureStore` that the user opened."""
    from ..integrations.feast import store

    store.mend_paths(opened)
    return Session(opened, Path(opened.repo_path).resolve() / "feature_store.yaml")
