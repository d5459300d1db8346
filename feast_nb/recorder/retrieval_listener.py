"""Feast's calls as they are noticed: each becomes a retrieval, with what it was asked and gave."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import frames
from ..frames import entity_frames, matching, parquet
from ..integrations.feast import sources, spark
from ..integrations.feast.calls import Call, WriteCall
from ..integrations.feast.jobs import JobResult
from ..integrations.feast.store import settings_of
from ..masking import masked_text, public_uri
from ..patching.interrupts import guarded
from ..records.retrieval import EntityFrame, Result, Write
from ..records.run import RunRef
from .frame_tasks import PendingRetrieval
from .loaded_models import LoadedModels
from .retrieval_details import (
    RequestedDefinitions,
    file_of,
    is_written,
    mark_online,
    online_frame,
    place_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from feast import FeatureStore
    from feast.mlflow_integration.config import MlflowConfig
    from feast.online_response import OnlineResponse
    from feast.saved_dataset import SavedDataset, SavedDatasetStorage
    from mlflow.entities.model_registry import ModelVersion

    from ..integrations.feast.calls import Owner
    from ..integrations.feast.repository_files.definition_calls import Guard
    from ..integrations.mlflow.model_lookup import ModelRef
    from ..notebook.cells import Cells
    from .open_runs import OpenRuns, RunOptions
    from .recording import Recording


class RetrievalListener:
    """Listens to Feast for the recorder."""

    def __init__(
        self,
        runs: OpenRuns,
        recording: Recording,
        cells: Cells,
        say: Callable[[str], None],
        before_call: Callable[[], None],
        before_reading: Callable[[], None],
        version_registered: Callable[[ModelVersion, str, str], None],
        guard: Guard,
    ) -> None:
        self._runs = runs
        self._recording = recording
        self._cells = cells
        self.say = say
        self.before_reading = before_reading
        self._before_call = before_call
        self._version_registered = version_registered
        self.changing = guard
        self.stores: list[FeatureStore] = []
        self._loaded = LoadedModels(runs, say)

    def opened(self, store: FeatureStore) -> None:
        """Keep the stores that are open, the last one last."""
        self.stores = [*[s for s in self.stores if s is not store][-4:], store]

    def last_store(self) -> FeatureStore | None:
        """The store that was opened last, of those that MLflow is enabled for.

        One that was opened before we were loaded is looked for among the notebook's variables.
        """
        space: Iterable[Any] = self._cells.namespace.values()
        bound = [v for v in list(space) if type(v).__name__ == "FeatureStore"]
        return next((s for s in reversed([*bound, *self.stores]) if settings_of(s)), None)

    def is_a_repositorys(self, uri: str) -> bool:
        """Whether a tracking server is that of an open store: chosen by nobody else."""
        found = (settings_of(s) for s in self.stores)
        return any(s is not None and s.get_tracking_uri() == uri for s in found)

    def at_work(self) -> AbstractContextManager[None]:
        """A time in which Feast works for the cell."""
        with guarded("sending what waits"):
            self._before_call()
        return self._recording.held()

    @property
    def auto_log(self) -> bool:
        """Whether any open store records in runs that nobody asked it for."""
        return any(s.auto_log for s in map(settings_of, self.stores) if s is not None)

    def entering(self) -> Owner:
        """Whose call is about to be made: asked before an await."""
        return self._runs.of_call(), self._cells.current

    def historical(self, call: Call) -> PendingRetrieval | None:
        if not self._wanted(call.store):
            return None
        asked = RequestedDefinitions(call)
        entity = entity_frames.describe(call.entity, (), call.start, call.end)
        draft = asked.whole(asked.draft("historical", entity))
        options = self._options()
        settings = settings_of(call.store)
        assert settings is not None
        copy = parquet.copied(call.entity) if frames.is_pandas(call.entity) else None
        engine = spark.SparkEntities(call.entity) if spark.is_frame(call.entity) else None
        id = self._recording.submitted(
            draft,
            copy if copy is not None else engine,
            archive=self._archives(settings, options),
            max_rows=settings.entity_df_max_rows,
            look=asked.look,
        )
        is_frame = copy is not None and entity.timestamp is not None
        training = options is not None and options.training
        return PendingRetrieval(
            id,
            entity=copy if is_frame else None,
            types=asked.types,
            explain=asked.dropped if is_frame else None,
            # The sources are read for it: where a training was asked for.
            late=asked.late if is_frame and training else None,
            keep_rows=options is not None and options.rows,
            keep=self._archives(settings, options),
            max_rows=settings.entity_df_max_rows,
        )

    def online(self, call: Call, response: OnlineResponse) -> None:
        if not self._wanted(call.store, call.owner):
            return
        asked = RequestedDefinitions(call)
        self._loaded.check(asked.named.refs, asked.named.service)
        draft = asked.draft("online", entity_frames.describe_rows(call.entity, ()))
        run, cell = call.owner or (None, None)
        id = self._recording.answered(
            replace(draft, cell=cell),
            call.seconds,
            lambda: online_frame(response, draft),
            whole=asked.whole,
            look=asked.look,
            types=asked.types,
            run=run,
        )
        mark_online(response, id)

    def dataset_read(self, store: FeatureStore, dataset: SavedDataset) -> PendingRetrieval | None:
        """The rows of a saved dataset are read: of its features, as they were when it was saved."""
        full, arguments = dataset.full_feature_names, {"name": dataset.name}
        call = Call(store, list(dataset.features), full_feature_names=full,
                    name="get_saved_dataset", arguments=arguments)  # fmt: skip
        if not self._wanted(store):
            return None
        asked = RequestedDefinitions(call)
        entity = EntityFrame("dataset", join_keys=tuple(dataset.join_keys or ()))
        draft = asked.whole(asked.draft("historical", entity))
        if dataset.feature_service_name:
            draft = replace(draft, service=dataset.feature_service_name, service_basis="given")
        where = sources.address_of(dataset.storage)
        id = self._recording.submitted(replace(draft, kept=where), look=asked.look)
        return PendingRetrieval(id, types=asked.types)

    def ran(self, token: PendingRetrieval, ran: JobResult) -> None:
        recording = self._recording
        where = place_of(ran)
        if token.started:
            if where:
                recording.named(token.id, where)
        else:
            token.started = True
            held = ran.table if ran.table is not None else ran.result
            if frames.is_pandas(held) or hasattr(held, "column_names"):
                recording.ran(token, ran.seconds, held, where)
            elif (file := file_of(ran)) is not None:
                read = functools.partial(_result_of_file, file, token)
                recording.ran(token, ran.seconds, read, where)
            else:
                recording.counted(token, ran.seconds, None, where)
        matching.mark(ran.result, token.id)

    def failed(self, token: PendingRetrieval, seconds: float, error: BaseException) -> None:
        if not token.started:
            self._recording.failed(token, seconds, error)

    def saved(self, token: PendingRetrieval, name: str, storage: SavedDatasetStorage) -> None:
        """A job's result is a saved dataset now."""
        where = sources.address_of(storage)
        self._recording.named(token.id, f"saved dataset {name} in {where}")

    def wrote(self, call: WriteCall) -> None:
        """Features were written, by a push or straight to a store."""
        if not self._wanted(call.store) or self._runs.of_call() is None:
            return
        from ..integrations.feast import definitions

        push = call.call == "push"
        frame = parquet.copied(call.frame) if frames.is_pandas(call.frame) else None
        if isinstance(call.frame, dict):
            frame = parquet.frame_of(call.frame)
        failed = call.error is not None
        self._recording.wrote(
            Write(
                id="",
                call=call.call,  # type: ignore[arg-type]
                to=call.to,  # type: ignore[arg-type]
                project=call.store.project,
                name=call.name,
                views=() if push else (call.name,),
                state="failed" if failed else "ran",
                seconds=round(call.seconds, 6),
                error=masked_text(f"{type(call.error).__name__}: {call.error}")[:500]
                if failed
                else None,
            ),
            frame,
            functools.partial(definitions.views_fed, call.store, call.name) if push else None,
        )

    def experiment_of_next_run(self, store: FeatureStore) -> str | None:
        """The experiment that the user chose, else the project's."""
        from ..integrations.mlflow import runs

        uri = runs.address(None)
        return runs.chosen_experiment(uri) or runs.experiment_id(uri, store.project)

    def resuming(self, run_id: str) -> AbstractContextManager[str]:
        """The experiment of a run that is to go on, with no other chosen meanwhile."""
        from ..integrations.mlflow import runs

        return runs.in_its_experiment(runs.address(None), run_id)

    def model_named(
        self, store: FeatureStore, named: str
    ) -> tuple[str, tuple[str, ModelRef] | None]:
        return self._loaded.find(store, named)

    def model_loaded(self, found: tuple[str, ModelRef] | None) -> None:
        self._loaded.note(found)

    def version_tagged(self, version: ModelVersion) -> None:
        """Feast has tagged a version from its run: say again what is true of its model."""
        from ..integrations.mlflow import runs

        self._version_registered(version, str(version.source), runs.address(None))

    def entity_frame_of(self, run_id: str) -> tuple[str | None, str | None]:
        """A recorded run's timestamp column, and why it keeps no entity frame where it says so."""
        from ..integrations.mlflow import runs

        tags = runs.tags_of(runs.address(None), run_id)
        said = tags.get("feast_nb.entity_archived", "")
        reason = said.removeprefix("false: ") if said.startswith("false") else None
        return tags.get("feast_nb.timestamp_column"), reason

    def server_of(self, store: FeatureStore) -> AbstractContextManager[None]:
        """The repository's tracking server, for a call of Feast's that would not choose it."""
        from ..integrations.mlflow import runs

        settings = settings_of(store)
        return runs.using_server(settings.get_tracking_uri() if settings else None)

    def _wanted(self, store: FeatureStore, owner: Owner | None = None) -> bool:
        """`auto_log: false` records only what a magic or a session asked for."""
        settings = settings_of(store)
        if settings is None or not self._runs.is_noticing:
            return False
        run = owner[0] if owner else self._runs.of_call()
        if run is not None:
            self._warn_of_another_server(store, settings, run)
        return settings.auto_log or (run is not None and self._runs.options_of(run.id) is not None)

    def _warn_of_another_server(
        self, store: FeatureStore, settings: MlflowConfig, run: RunRef
    ) -> None:
        mine = settings.get_tracking_uri()
        if mine and mine.rstrip("/") != run.tracking_uri.rstrip("/"):
            self.say(
                f"run {run.id[:8]} is on {public_uri(run.tracking_uri)}, and the repository "
                f"{store.project} names {public_uri(mine)}; what is retrieved is recorded with the "
                "run."
            )

    def _options(self) -> RunOptions | None:
        run = self._runs.of_call()
        return self._runs.options_of(run.id) if run else None

    def archives(self, options: RunOptions | None) -> bool:
        """Whether entity frames are kept, by the settings of the store opened last."""
        settings = settings_of(store) if (store := self.last_store()) is not None else None
        return settings is not None and self._archives(settings, options)

    def _archives(self, settings: MlflowConfig, options: RunOptions | None) -> bool:
        """An explicit magic archives unless it, or the YAML in so many words, says not to.

        What is retrieved with no run open is kept for one that may come to use it.
        """
        if options is None and self._runs.of_call() is None:
            return settings.auto_log_entity_df or not is_written(settings)
        if options is None or is_written(settings):
            return bool(settings.auto_log_entity_df) and (options is None or options.archive)
        return options.archive


def _result_of_file(file: Path, token: PendingRetrieval) -> Result:
    return parquet.result_of_file(file, token.types())
