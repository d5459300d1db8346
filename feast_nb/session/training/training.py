"""A tracked training: open a run, retrieve, let the user train, log the model, sum it up."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from ...errors import FeastNbError, ModelError, TrackingError
from ...frames import entity_frames
from ...integrations.feast import definitions, registry, repository
from ...integrations.feast.servers import store_door
from ...integrations.mlflow import http
from ...notebook import dataflow
from ...recorder.open_runs import RunOptions
from ...records.contract import ModelVersion
from ...records.retrieval import LinkedBy, Retrieval
from ...records.run import Comparison, TrainingSummary
from .. import made_models, models
from ..made_models import MadeModel
from ..runs import OpenRun
from . import earlier_version, late_values, summary
from .options import TrainingOptions

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

    from ...integrations.feast.calls import Features
    from ...integrations.feast.views import View
    from ...integrations.model_libraries.variables import ModelVariables
    from ...recorder.origins.logged_models import LoggedModel
    from ..session import Session


class Training:
    """One training as a context: `frame` is what was retrieved, `model` what is to be logged.

    The user's code runs inside. Leaving it logs the model (`model` if it was set, else what the
    code logged itself), ends the run, and fills `summary`.
    """

    def __init__(self, session: Session, options: TrainingOptions) -> None:
        options.check()
        self.options = options
        self.frame: pd.DataFrame | None = None
        self.model: object = None
        self.variable: str | None = None
        self.at_hand: list[object] = []
        self.summary: TrainingSummary | None = None
        self.made: list[ModelVersion] = []
        self._session = session
        self._run: OpenRun | None = None
        self._owned = False
        self._logged_before = 0
        self._only: LoggedModel | None = None
        self._registered: ModelVersion | None = None
        self._earlier: earlier_version.EarlierVersion | Comparison | None = None
        self._started = 0.0
        self.deferred: FeastNbError | None = None
        self._linked: set[str] = set()
        self._date_range: dict[str, datetime] = {}
        self._views: tuple[View, ...] = ()
        self._id = f"t-{uuid4().hex[:12]}"
        self._run_options = ExitStack()

    def __enter__(self) -> Self:
        features = self._checked_features()
        http.check_takes_models(self._session.runs.uri)
        self._started = time.perf_counter()
        recorder, options = self._session.recorder, self.options
        runs = self._session.runs
        joined = (runs.innermost or runs.foreign()) if options.name is None else None
        self._owned = joined is None
        self._run = joined or runs.start(
            options.name,
            experiment=options.experiment,
            tags=options.tags,
            description=options.description,
            nested=runs.innermost is not None or runs.foreign() is not None,
            archive=options.archive,
            archive_rows=options.archive_rows,
        )
        asked = RunOptions(options.archive, options.archive_rows, training=self._id)
        self._run_options.enter_context(recorder.runs.asked(self._run.ref.id, asked))
        self._logged_before = len(recorder.run_listener.logged)
        for frame in options.sources:
            for id in self._session.recorder.links.of(frame):
                self._link(id, "declared")
        if features is not None:
            try:
                self._retrieve(features)
            except BaseException as problem:
                self._close(problem)
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if problem is not None:
            self._close(problem)
            return
        try:
            if self.deferred is None:
                self._keep_model()
        except (ModelError, TrackingError) as asked:
            self.deferred = asked
        self._close(None)
        if self.deferred is not None:
            raise self.deferred

    @property
    def run(self) -> OpenRun:
        assert self._run is not None, "a training has a run from its start on"
        return self._run

    @property
    def retrievals(self) -> list[Retrieval]:
        """What this training retrieved, then what the frames it used came from."""
        table = self._session.recorder.recording.table
        new = table.of_training(self._id)
        found = table.of_run(self.run.ref.id)
        mine = [r for r in found if r.id in new and r.linked_by is None]
        return [*mine, *(r for r in found if r.id in self._linked)]

    def use(self, namespace: Mapping[str, object], source: str) -> None:
        """Look at the frames that a cell reads, before it runs: what they came from is linked."""
        loaded = dataflow.names_loaded(source)
        self.at_hand += [namespace[n] for n in sorted(loaded) if n in namespace]
        read = dataflow.names_read(source)
        for id, by in self._session.recorder.links.of_names(read, namespace).items():
            self._link(id, by)

    def _link(self, id: str, by: LinkedBy) -> None:
        recorder, run = self._session.recorder, self.run.ref
        recorder.recording.link_all(run, {id: by})
        if recorder.recording.table.retrievals[id].run_id != run.id:
            self._linked.add(id)

    def choose(
        self, space: Mapping[str, object], before: ModelVariables, source: str, name: str | None
    ) -> None:
        """Find the model that a cell made, and the frames it had to hand, among its variables.

        `name` says which variable; else it is the one candidate. Several are a question, which
        is asked when the run has ended: the training itself went well.
        """
        made = [v for k, v in space.items() if k in dataflow.names_stored(source)]
        self._session.recorder.links.learn_from(source, space)
        self.at_hand = [*made, *self.at_hand]  # what the cell made of a frame is what it fitted
        try:
            if name is not None:
                self.variable, self.model = name, made_models.named(space, name)
                return
            self._choose_of(made_models.found(space, before, self._logged))
        except ModelError as asked:
            self.deferred = asked

    def _choose_of(self, found: Sequence[MadeModel]) -> None:
        options = self.options
        if len(found) == 1:
            self.variable, self.model = found[0].variable, found[0].model
            self._only = found[0].logged
        elif found and (options.register or not all(m.logged for m in found)):
            raise made_models.question(found, options.register, options.aliases)

    @property
    def _logged(self) -> list[LoggedModel]:
        """What the user's own code, or autolog, logged in here."""
        return self._session.recorder.run_listener.logged[self._logged_before :]

    def _checked_features(self) -> Features | None:
        """What to retrieve, or None; everything that can be wrong is said before a run starts."""
        options, store = self.options, self._session.store
        if not options.retrieves:
            return None
        features: Features = list(options.features)
        if options.service:
            features = repository.service_named(store, options.service)
        else:
            repository.check_refs(store, options.features)
            if not options.full_feature_names:
                repository.check_collisions(options.features)
        known = registry.definitions_of(store)
        refs = definitions.refs_of(store, features, known)
        views = definitions.views_of(known, features, refs).values()
        self._views = tuple(views)
        definitions.check_available(views)
        if clash := definitions.key_clash(known, views):
            self._session.recorder.notices.tell(clash)
        self._date_range = {
            name: entity_frames.moment(text)
            for name, text in (("start_date", options.start), ("end_date", options.end))
            if text is not None
        }
        if options.entity_df is not None:
            keys, wanted = (
                definitions.join_keys_of(known, views),
                definitions.request_fields_of(views),
            )
            entity_frames.check(
                options.entity_df, options.entity_name, keys, wanted, options.target
            )
        return features

    def _retrieve(self, features: Features) -> None:
        options = self.options
        store = self._session.store
        further: dict[str, Any] = dict(self._date_range)
        if options.filter_by_created_timestamp:
            further["filter_by_created_timestamp"] = True
        with (
            warnings.catch_warnings(),
            store_door.asking(store, "offline store"),
            definitions.retrieving(store, self._views),
        ):
            # Feast's own use of its libraries; the user did not write this call.
            warnings.simplefilter("ignore", DeprecationWarning)
            job = store.get_historical_features(
                entity_df=options.entity_df,
                features=features,
                full_feature_names=options.full_feature_names,
                **further,
            )
            self.frame = job.to_df()
        self.at_hand.append(self.frame)
        late_values.look(self._session, features, self._views, options.entity_df, self.frame)

    def _keep_model(self) -> None:
        """Log and register the model; one that the user's code logged is not logged again."""
        options, recorder = self.options, self._session.recorder
        recorder.recording.settle()
        logged = self._logged
        self.made = [self._version_of(one) for one in logged]
        only = self._only or made_models.log_of(self.model, logged)
        if only is not None and options.flavor in (None, only.flavor):
            chosen: ModelVersion | None = self.made[logged.index(only)]
        elif self.model is not None:
            chosen = models.log(
                recorder,
                self.run.ref,
                self.model,
                variable=self.variable,
                flavor=options.flavor,
                at_hand=self.at_hand,
                retrievals=self.retrievals,
                by="declared" if self._declares_sources else "name",
            )
            self.made.append(chosen)
        else:
            chosen = self.made[0] if len(self.made) == 1 else None
        if self.model is not None:
            origin = recorder.models.find(self.model)
            recorder.models.note(self.model, replace(origin, runs=(self.run.ref,)))
        if options.register:
            self._register(options.register, chosen)

    @property
    def _declares_sources(self) -> bool:
        return any(self._session.recorder.links.of(frame) for frame in self.options.sources)

    def _version_of(self, one: LoggedModel) -> ModelVersion:
        contract = self._session.recorder.recording.table.contracts.get(one.model_id)
        return ModelVersion(
            one.model_id,
            one.run.id,
            f"models:/{one.model_id}",
            one.flavor,
            variable=self.variable if one.is_of(self.model) else None,
            contract=contract,
        )

    def _register(self, name: str, chosen: ModelVersion | None) -> None:
        if chosen is None and self.made:
            found = [MadeModel(None, one.model, one) for one in self._logged]
            raise made_models.question(found, name, self.options.aliases)
        if chosen is None:
            raise ModelError(
                f"no model was made here to register as {name}; assign it to a variable in the "
                f"cell, or log one now: %feast_log VAR --register {name}"
            )
        recorder, place = self._session.recorder, self.made.index(chosen)
        mine = [version.model_id for version in self.made]
        uri, aliases = self.run.ref.tracking_uri, self.options.aliases
        self._earlier = earlier_version.find(uri, name, aliases, mine)
        version = models.register(recorder, self.run.ref, chosen, name, aliases)
        self.made[place] = self._registered = version
        self._session.names.remember_model(name, aliases)

    def _cautions(self, retrievals: list[Retrieval]) -> tuple[str, ...]:
        """What to know of the cells that this training depends on."""
        recorder = self._session.recorder
        cells = [*(r.cell for r in retrievals), recorder.cells.current]
        return recorder.origins.cautions(cells)

    def _close(self, problem: BaseException | None) -> None:
        """End the run if it is ours, and sum up, whatever happened."""
        runs, options = self._session.runs, self.options
        status = "FINISHED" if problem is None else "FAILED"
        if isinstance(problem, KeyboardInterrupt):
            status = "KILLED"
        recorder = self._session.recorder
        recorder.recording.settle()
        runs.end_within(self.run, status)
        if not self._owned:
            self._run_options.close()
        record = runs.end(self.run, status) if self._owned else runs.described(self.run)
        retrievals = self.retrievals
        failed = problem is not None or self.deferred is not None
        features = summary.features_used(retrievals, self.made)
        said = [] if failed else summary.warnings(retrievals, self.made, features, options.target)
        metrics = {k: v for k, v in record.metrics.items() if not k.startswith("feast")}
        own = metrics if self._owned and len(self.made) == 1 else {}
        uri = self.run.ref.tracking_uri
        self.summary = TrainingSummary(
            run=replace(record, retrievals=(), writes=()),
            writes=record.writes,
            features=features,
            retrievals=tuple(retrievals),
            models=tuple(self.made),
            metrics=metrics,
            warnings=(*said, *self._cautions(retrievals), *record.warnings),
            seconds=round(time.perf_counter() - self._started, 2),
            compared=earlier_version.compare(uri, self._earlier, self._registered, own),
            rebuilt=summary.rebuilt(self._session.store, retrievals, self.made),
            entity_name=options.entity_name if options.entity_df is not None else None,
        )
