"""Where Feast and MLflow meet: one method for each thing a notebook asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from .. import recorder as _recorder
from .known_names import KnownNames
from .store_operations import StoreOperations

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from feast import FeatureStore
    from pyspark.sql import DataFrame as SparkDataFrame

    from ..records.answers import Erasure, ModelDiff, ModelFeatures, Reproduction, Resolution, Score
    from ..records.contract import ModelVersion
    from ..records.run import Repository, TrackedRun
    from .online_vectors import Array, Expired, Missing, Rows, ServingPlan
    from .runs import OpenRun
    from .training import Training


class Session(StoreOperations):
    """One feature repository and its tracking server, in a notebook or a plain script."""

    def __init__(self, store: FeatureStore, yaml: Path) -> None:
        from .runs import SessionRuns

        self.store = store
        self.yaml = yaml
        self.recorder = _recorder.current()
        self.recorder.retrieval_listener.opened(store)
        self.runs = SessionRuns(self.recorder, store, on_open=self._opened)
        self.names = KnownNames()
        self.serving_plans: dict[tuple[object, ...], ServingPlan] = {}

    @property
    def repository(self) -> Repository:
        """What the repository holds, read anew."""
        from ..integrations.feast import repository

        found = repository.describe(self.store, self.yaml)
        self.names.note(found)
        return found

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

    def train(
        self,
        name: str | None = None,
        *,
        service: str | None = None,
        features: str | Sequence[str] = (),
        entity_df: pd.DataFrame | SparkDataFrame | str | None = None,
        entity_name: str = "entity_df",
        start: str | None = None,
        end: str | None = None,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        target: str | None = None,
        flavor: str | None = None,
        register: str | None = None,
        aliases: str | Sequence[str] = (),
        experiment: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
        archive: bool = True,
        archive_rows: bool = False,
        sources: Sequence[object] = (),
    ) -> Training:
        """A tracked training as a context; each keyword is an option of `%%feast_train`.

        >>> with session.train("v1", service="driver_activity", entity_df=drivers) as training:
        ...     training.model = LinearRegression().fit(training.frame[["conv_rate"]], y)
        >>> training.summary
        """
        from .training import Training, TrainingOptions

        options = TrainingOptions(
            name=name,
            service=service,
            features=_several(features),
            entity_df=entity_df,
            entity_name=entity_name,
            start=start,
            end=end,
            full_feature_names=full_feature_names,
            filter_by_created_timestamp=filter_by_created_timestamp,
            target=target,
            flavor=flavor,
            register=register,
            aliases=_several(aliases),
            experiment=experiment,
            tags=tags or {},
            description=description,
            archive=archive,
            archive_rows=archive_rows,
            sources=tuple(sources),
        )
        return Training(self, options)

    def log_model(
        self,
        model: object,
        *,
        variable: str | None = None,
        flavor: str | None = None,
        register: str | None = None,
        aliases: Sequence[str] = (),
        at_hand: Sequence[object] = (),
        run_id: str | None = None,
    ) -> ModelVersion:
        """Log a model that exists already to the run that made it, and register it.

        `variable` is its name in the notebook; `at_hand` are frames that it may have been fitted
        on, of which one that was retrieved gives it its features. What is logged of it already, as
        it is now, is registered and not logged again. Raises `ModelError` where there is no run to
        log it to (`run_id` names one), or where nobody knows which of several.
        """
        from . import models

        return models.log_trained(
            self, model, run_id, register, aliases, variable=variable, flavor=flavor,
            at_hand=at_hand,
        )  # fmt: skip

    def load_model(self, model: str, flavor: str | None = None) -> Any:
        """A model in the library it was trained with, `predict_proba` and all.

        `model` as in `driver_model/3`, `driver_model@champion`, `driver_model` (latest version),
        or any of MLflow's URIs. Raises `ModelError` where there is no such model.
        """
        from ..integrations.mlflow import models

        return models.load(self.runs.uri, model, flavor)

    def resolve(self, model: str, allow_drift: bool = False) -> Resolution:
        """What to serve a model with, checked against the registry as it is now.

        From its contract; only without one by Feast's own chain (version tag, run tag,
        `feast_features.json`). Raises `Drift` for a change that breaks serving, and for one that
        needs retraining unless `allow_drift`; `ModelError` for a model that has nothing to do with
        Feast, or with this project.
        """
        from . import resolution

        return resolution.resolve(self, model, allow_drift)

    def features(self, model: str) -> ModelFeatures:
        """A model's features in its own order, with what the registry says of each today.

        Drift is told, and refused nowhere: this only shows. Raises `ModelError` as `resolve` does.
        """
        from . import model_report

        return model_report.features(self, model)

    def diff(self, one: str, other: str) -> ModelDiff:
        """Two models side by side: features and their order, definitions, data, metrics.

        Raises `ModelError` for a model that is not there.
        """
        from . import model_report

        return model_report.diff(self, one, other)

    def reproduce(
        self, run: str, retrieval: int | None = None, verify: bool = False
    ) -> Reproduction:
        """Retrieve a run's or model's training frame again; with `verify` say whether it is equal.

        `run` is its id, the beginning of it, its name, or a model; `retrieval` (from 1) chooses
        among several. The new frame is `.frame`, rows and columns as they were in training. Raises
        `FeatureError` where it cannot be retrieved again, with the reason.
        """
        from . import reproduction

        return reproduction.reproduce(self, run, retrieval, verify)

    @overload
    def vector(self, model: str, entity_rows: Rows, allow_drift: bool = ...,
               columns: Sequence[str] = ..., *, missing: Missing = ..., expired: Expired = ...,
               with_status: Literal[False] = ...) -> Array: ...  # fmt: skip

    @overload
    def vector(self, model: str, entity_rows: Rows, allow_drift: bool = ...,
               columns: Sequence[str] = ..., *, missing: Missing = ..., expired: Expired = ...,
               with_status: Literal[True]) -> tuple[Array, Array]: ...  # fmt: skip

    def vector(
        self,
        model: str,
        entity_rows: Rows,
        allow_drift: bool = False,
        columns: Sequence[str] = (),
        *,
        missing: Missing = "raise",
        expired: Expired = "serve",
        with_status: bool = False,
    ) -> Array | tuple[Array, Array]:
        """The array for a model's `predict`, from the online store: rows × its inputs, in order.

        `entity_rows` are dictionaries of join keys, request data and inputs that are no features.
        Nulls are NaN; float32 where every input was in training, else float64; of objects where an
        input is no number. A row without any value raises `FeatureError` (`missing="nan"` serves it
        as gaps, `"skip"` leaves it out); a value older than its view's TTL is served
        (`expired="null"` makes a gap of it, `"raise"` raises).

        `with_status` gives the array and an array of the same columns that says of each value
        `present`, `null`, `expired` or `missing`, with a row for each one asked for. What is served
        is counted by `feast_nb_features_served_total` of `prometheus_client`.

        The model is resolved at the first call, when the registry changes, and once a minute (an
        alias may have moved). Raises as `resolve` and `score` do. A model that takes its columns by
        name or as categories predicts from `session.frame`.

        >>> model.predict(session.vector("driver_model@champion", [{"driver_id": 1001}]))
        """
        from . import online_vectors

        fetched = online_vectors.fetch(
            self, model, entity_rows, allow_drift, columns, missing, expired
        )
        return (fetched.vector, fetched.statuses) if with_status else fetched.vector

    def frame(
        self,
        model: str,
        entity_rows: Sequence[Mapping[str, object]],
        allow_drift: bool = False,
        columns: Sequence[str] = (),
        *,
        missing: Missing = "raise",
        expired: Expired = "serve",
    ) -> pd.DataFrame:
        """What `vector` gives as a DataFrame: the model's input names, of their training's types.

        >>> model.predict(session.frame("driver_model@champion", [{"driver_id": 1001}]))
        """
        from . import online_vectors

        return online_vectors.fetch(
            self, model, entity_rows, allow_drift, columns, missing, expired
        ).frame

    def score(
        self,
        model: str,
        entities: pd.DataFrame,
        *,
        as_of: str | None = None,
        batch: int = 1000,
        prefer_given: bool = False,
        with_features: bool = False,
        experiment: str | None = None,
        allow_drift: bool = False,
        columns: Sequence[str] = (),
        progress: bool = False,
        told: Callable[[Score], None] | None = None,
    ) -> pd.DataFrame:
        """Predictions for a frame of entity keys; each keyword is an option of `%feast_score`.

        The frame as given with a column `prediction` (one for each output where the model has
        several), a row for each of `entities`. `as_of` names the column with the moments as of
        which features are taken from the offline store; without it they come from the online
        store, `batch` rows at a time. `told` is given the record of what the model was fed; without
        it its notes are told.

        Raises `Drift` as `resolve` does, `FeatureError` for a column that is missing, of another
        type than in training, or given although it is a feature, `ModelError` for a model whose
        order of inputs nobody knows.

        >>> session.score("driver_model@champion", drivers, with_features=True)
        """
        from . import scoring

        options = scoring.ScoringOptions(
            model,
            as_of=as_of,
            batch=batch,
            prefer_given=prefer_given,
            with_features=with_features,
            experiment=experiment,
            allow_drift=allow_drift,
            columns=tuple(columns),
            progress=progress,
            told=told,
        )
        return scoring.score(self, entities, options)

    def forget(self, run: str) -> Erasure:
        """Remove a run's entity frames and results; what proves a rebuilt frame equal is kept.

        Raises `UsageError` for a run that goes on: its processes would write them again.
        """
        from .erasure import erase

        return erase(self, run)

    def recorded(self, experiment: str | None = None, most: int = 50) -> tuple[TrackedRun, ...]:
        """What MLflow has of the newest runs, newest first: retrievals and model versions whole.

        Of the project's own experiment, where none is named.
        """
        return self.runs.newest(experiment or self.store.project, most)

    def _opened(self) -> None:
        """A run was opened: in a notebook, the registry of models is worth completing from now."""
        if self.recorder.notices.interactive and not self.names.models:
            self.names.refresh(self)


def _several(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
