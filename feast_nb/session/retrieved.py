"""Feast's calls as they are noticed: each becomes a retrieval, with what it was asked and gave."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import archive, frames
from ..features import sources, spark
from ..features.hooks import Call, WriteCall
from ..features.jobs import Ran
from ..features.store import settings_of
from ..recording import Pending, RunRef
from ..records import EntityFrame, Retrieval, Seconds, Write, public_uri
from . import entities
from .loading import Loading

if TYPE_CHECKING:
    from ..features.definitions import Asked
    from .recorder import Recorder, Wish


class Retrieved:
    """Listens to Feast for the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.stores: list[Any] = []
        self._loaded = Loading(recorder)

    def opened(self, store: Any) -> None:
        """Keep the stores that are open, the last one last."""
        self.stores = [*[s for s in self.stores if s is not store][-4:], store]

    def last_store(self) -> Any:
        """The store that was opened last, of those that MLflow is enabled for.

        One that was opened before we were loaded is looked for among the notebook's variables.
        """
        space = self._recorder.cells.namespace.values()
        bound = [v for v in list(space) if type(v).__name__ == "FeatureStore"]
        return next((s for s in reversed([*bound, *self.stores]) if settings_of(s)), None)

    def is_a_repositorys(self, uri: str) -> bool:
        """Whether a tracking server is that of an open store: chosen by nobody else."""
        found = (settings_of(s) for s in self.stores)
        return any(s is not None and s.get_tracking_uri() == uri for s in found)

    def at_work(self) -> AbstractContextManager[None]:
        """A time in which Feast works for the cell."""
        self._recorder.catch_up()
        return self._recorder.recording.held()

    @property
    def auto_log(self) -> bool:
        """Whether any open store records in runs that nobody asked it for."""
        return any(s.auto_log for s in map(settings_of, self.stores) if s is not None)

    def entering(self) -> tuple[Any, Any]:
        """Whose call is about to be made: asked before an await."""
        return self._recorder.run_of_call(), self._recorder.cells.current

    def historical(self, call: Call) -> Pending | None:
        if not self._wanted(call.store):
            return None
        from ..features import definitions, losses

        asked = definitions.asked(call.store, call.features)
        entity = entities.describe(call.entity, asked.join_keys, call.start, call.end)
        wish = self._wish()
        settings = settings_of(call.store)
        copy = archive.copied(call.entity) if frames.is_pandas(call.entity) else None
        engine = spark.SparkEntities(call.entity) if spark.is_frame(call.entity) else None
        id = self._recorder.recording.submitted(
            self._draft(call, asked, "historical", entity),
            copy if copy is not None else engine,
            archive=self._archives(settings, wish),
            max_rows=settings.entity_df_max_rows,
            look=_look(call, asked),
        )
        column = entity.timestamp.column if entity.timestamp else None
        is_frame = copy is not None and column

        def explain(wanted: Any, given: Any) -> Any:
            views = list(asked.views.values())
            return losses.explain(wanted, given, entity.join_keys, str(column), views)

        return Pending(
            id,
            entity=copy if is_frame else None,
            types=definitions.types_of(asked.views, asked.refs, call.full_feature_names),
            explain=explain if is_frame else None,
            keep_rows=wish is not None and wish.rows,
            keep=self._archives(settings, wish),
            max_rows=settings.entity_df_max_rows,
        )

    def online(self, call: Call, response: Any) -> None:
        if not self._wanted(call.store, call.owner):
            return
        from ..features import definitions

        asked = definitions.asked(call.store, call.features)
        self._loaded.check(asked.refs, asked.service)
        entity = entities.describe_rows(call.entity, asked.join_keys)
        draft = self._draft(call, asked, "online", entity)
        recording = self._recorder.recording
        run, cell = call.owner or (None, None)
        draft = replace(draft, cell=cell)
        id = recording.submitted(draft, look=_look(call, asked), run=run)
        types = definitions.types_of(asked.views, asked.refs, call.full_feature_names)
        recording.ran(
            Pending(id, types=types), call.seconds, lambda: _online_frame(response, draft)
        )
        _mark_online(response, id)

    def ran(self, token: Pending, ran: Ran) -> None:
        recording = self._recorder.recording
        where = _where(ran)
        if token.started:
            if where:
                recording.named(token.id, where)
        else:
            token.started = True
            held = ran.table if ran.table is not None else ran.result
            if frames.is_pandas(held) or hasattr(held, "column_names"):
                recording.ran(token, ran.seconds, held, where)
            elif (file := _file_of(ran)) is not None:
                read = functools.partial(archive.result_of_file, file, token.types)
                recording.ran(token, ran.seconds, read, where)
            else:
                recording.counted(token, ran.seconds, None, where)
        frames.mark(ran.result, token.id)

    def failed(self, token: Pending, seconds: float, error: BaseException) -> None:
        if not token.started:
            self._recorder.recording.failed(token, seconds, error)

    def saved(self, token: Pending, name: str, storage: Any) -> None:
        """A job's result is a saved dataset now."""
        where = sources.address_of(storage)
        self._recorder.recording.named(token.id, f"saved dataset {name} in {where}")

    def wrote(self, call: WriteCall) -> None:
        """Features were written, by a push or straight to a store."""
        if not self._wanted(call.store) or self._recorder.run_of_call() is None:
            return
        from ..features import definitions

        frame = archive.copied(call.frame) if frames.is_pandas(call.frame) else None
        if isinstance(call.frame, dict):
            frame = archive.frame_of(call.frame)
        failed = call.error is not None
        self._recorder.recording.wrote(
            Write(
                id="",
                call=call.call,  # type: ignore[arg-type]
                to=call.to,  # type: ignore[arg-type]
                project=call.store.project,
                name=call.name,
                views=definitions.views_written(call.store, call.call, call.name),
                state="failed" if failed else "ran",
                seconds=round(call.seconds, 6),
                error=f"{type(call.error).__name__}: {call.error}"[:500] if failed else None,
            ),
            frame,
        )

    def before_reading(self) -> None:
        """Feast is about to read a run's tags back: everything goes first."""
        if self._recorder.outbox.pending():
            self._recorder.recording.settle()
            self._recorder.flush()

    def experiment_of_next_run(self, store: Any) -> str | None:
        """The experiment that the user chose, else the project's."""
        from ..runs import tracking

        uri = tracking.address(None)
        return tracking.chosen_experiment(uri) or tracking.experiment_id(uri, store.project)

    def resuming(self, run_id: str) -> AbstractContextManager[str]:
        """The experiment of a run that is to go on, with no other chosen meanwhile."""
        from ..runs import tracking

        return tracking.in_its_experiment(tracking.address(None), run_id)

    def model_named(self, store: Any, named: str) -> tuple[str, Any]:
        return self._loaded.find(store, named)

    def model_loaded(self, found: Any) -> None:
        self._loaded.note(found)

    def version_tagged(self, version: Any) -> None:
        """Feast has tagged a version from its run: say again what is true of its model."""
        from ..runs import tracking

        self._recorder.models.version_registered(
            version, str(version.source), tracking.address(None)
        )

    def entity_frame_of(self, run_id: str) -> tuple[str | None, str | None]:
        """A recorded run's timestamp column, and why it keeps no entity frame where it says so."""
        from ..runs import tracking

        tags = tracking.tags_of(tracking.address(None), run_id)
        said = tags.get("feast_nb.entity_archived", "")
        reason = said.removeprefix("false: ") if said.startswith("false") else None
        return tags.get("feast_nb.timestamp_column"), reason

    def server_of(self, store: Any) -> AbstractContextManager[None]:
        """The repository's tracking server, for a call of Feast's that would not choose it."""
        from ..runs import tracking

        settings = settings_of(store)
        return tracking.at(settings.get_tracking_uri() if settings else None)

    def say(self, message: str) -> None:
        self._recorder.say(message)

    def _wanted(self, store: Any, owner: Any = None) -> bool:
        """`auto_log: false` records only what a magic or a session asked for."""
        settings = settings_of(store)
        if settings is None or self._recorder.paused:
            return False
        run = owner[0] if owner else self._recorder.run_of_call()
        if run is not None:
            self._warn_of_another_server(store, settings, run)
        return settings.auto_log or (run is not None and run.id in self._recorder.wishes)

    def _warn_of_another_server(self, store: Any, settings: Any, run: RunRef) -> None:
        mine = settings.get_tracking_uri()
        if mine and mine.rstrip("/") != run.tracking_uri.rstrip("/"):
            self._recorder.say(
                f"run {run.id[:8]} is on {public_uri(run.tracking_uri)}, and the repository "
                f"{store.project} names {public_uri(mine)}; what is retrieved is recorded with the "
                "run."
            )

    def _wish(self) -> Wish | None:
        run = self._recorder.run_of_call()
        return self._recorder.wishes.get(run.id) if run else None

    def archives(self, wish: Wish | None) -> bool:
        """Whether entity frames are kept, by the settings of the store opened last."""
        store = self.last_store()
        return store is not None and self._archives(settings_of(store), wish)

    def _archives(self, settings: Any, wish: Wish | None) -> bool:
        """An explicit magic archives unless it, or the YAML in so many words, says not to.

        What is retrieved with no run open is kept for one that may come to use it.
        """
        if wish is None and self._recorder.run_of_call() is None:
            return settings.auto_log_entity_df or not _said(settings)
        if wish is None or _said(settings):
            return bool(settings.auto_log_entity_df) and (wish is None or wish.archive)
        return wish.archive

    def _draft(
        self, call: Call, asked: Asked, kind: Literal["historical", "online"], entity: EntityFrame
    ) -> Retrieval:
        from ..features import definitions

        store = call.store
        return Retrieval(
            id="",
            kind=kind,
            project=store.project,
            refs=asked.refs,
            service=asked.service,
            service_basis=asked.basis,
            services=asked.fitting,
            views=asked.records,
            entity=entity,
            seconds=Seconds(round(call.seconds, 6)),
            behind=asked.behind_records,
            sources=sources.of([*asked.views.values(), *asked.behind.values()], store.repo_path),
            full_feature_names=call.full_feature_names,
            registry=asked.registry,
            beside=definitions.unasked(asked, call.full_feature_names),
        )


def _said(settings: Any) -> bool:
    """Whether the YAML says in so many words whether entity frames are kept."""
    return "auto_log_entity_df" in settings.model_fields_set


def _look(call: Call, asked: Asked) -> Callable[[Retrieval], Retrieval]:
    """What takes longer to find out: a service that was just applied, what the sources hold."""

    def look(retrieval: Retrieval) -> Retrieval:
        from ..features import definitions

        if retrieval.service_basis != "given":
            service, basis, fitting = definitions.service_now(call.store, asked.refs)
            retrieval = replace(retrieval, service=service, service_basis=basis, services=fitting)
        if retrieval.kind == "online":
            return retrieval
        by_source = {
            v.batch_source.name: v
            for v in (*asked.views.values(), *asked.behind.values())
            if getattr(v, "batch_source", None)
        }
        repo = call.store.repo_path
        found = (sources.looked_into(s, by_source[s.name], repo) for s in retrieval.sources)
        return replace(retrieval, sources=tuple(found))

    return look


def _where(ran: Ran) -> str | None:
    """Where a job's result was written to, if it was."""
    if ran.storage is not None:
        return sources.address_of(ran.storage)
    if ran.method == "to_remote_storage" and ran.result:
        first = str(ran.result[0])
        return public_uri(first.rpartition("/")[0] if len(ran.result) > 1 else first)
    return None


def _file_of(ran: Ran) -> Path | None:
    """A local file or folder that a job wrote, and from which its result can be read."""
    where = _where(ran)
    if where is None or "://" in where.removeprefix("file://"):
        return None
    path = Path(where.removeprefix("file://"))
    return path if path.exists() else None


def _online_frame(response: Any, draft: Retrieval) -> Any:
    """An online answer as a frame in the order asked: Feast's own order changes by process."""
    frame = type(response).to_df(response)
    wanted = [c for c in draft.columns() if c in frame.columns]
    rest = sorted(c for c in frame.columns if c not in wanted)
    return frame[[*rest, *wanted]]


def _mark_online(response: Any, id: str) -> None:
    original = response.to_df

    def to_df(*args: Any, **kwargs: Any) -> Any:
        frame = original(*args, **kwargs)
        frames.mark(frame, id)
        return frame

    response.to_df = to_df
