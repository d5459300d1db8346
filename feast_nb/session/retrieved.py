"""Feast's calls as they are noticed: each becomes a retrieval, with what it was asked and gave."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import frames
from ..features.hooks import Call
from ..features.store import settings_of
from ..recording import Pending
from ..records import Retrieval, Seconds
from . import entities

if TYPE_CHECKING:
    from .recorder import Recorder, Wish


class Retrieved:
    """Listens to Feast for the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.stores: list[Any] = []

    def opened(self, store: Any) -> None:
        module = sys.modules.get("feast.mlflow")
        if module is not None and module._registered_store is None and settings_of(store):
            module._register_store(store)
        self.stores = [*[s for s in self.stores if s is not store][-4:], store]

    def last_store(self) -> Any:
        """The store that was opened last, if MLflow is enabled for it."""
        return next((s for s in reversed(self.stores) if settings_of(s)), None)

    def historical(self, call: Call) -> Pending | None:
        if not self._wanted(call.store):
            return None
        from ..features import catalog, losses

        draft, views = self._draft(call, "historical")
        entity = entities.describe(call.entity, draft.entity.join_keys, call.start, call.end)
        wish = self._wish()
        settings = settings_of(call.store)
        id = self._recorder.recording.submitted(
            replace(draft, entity=entity),
            call.entity,
            archive=self._archives(settings, wish),
            max_rows=settings.entity_df_max_rows,
        )
        column = entity.timestamp.column if entity.timestamp else None
        is_frame = frames.is_pandas(call.entity) and column

        def explain(asked: Any, given: Any) -> Any:
            keys = entity.join_keys
            return losses.explain(asked, given, keys, str(column), list(views.values()))

        return Pending(
            id,
            entity=call.entity.copy() if is_frame else None,
            types=catalog.types_of(views, draft.refs, call.full_feature_names),
            explain=explain if is_frame else None,
        )

    def online(self, call: Call, response: Any) -> None:
        if not self._wanted(call.store):
            return
        from ..features import catalog

        draft, views = self._draft(call, "online")
        entity = entities.describe_rows(call.entity, draft.entity.join_keys)
        id = self._recorder.recording.submitted(replace(draft, entity=entity))
        types = catalog.types_of(views, draft.refs, call.full_feature_names)
        frame = _online_frame(response, draft)
        self._recorder.recording.ran(Pending(id, types=types), call.seconds, frame)
        _mark_online(response, id)

    def ran(self, token: Pending, seconds: float, result: Any, table: Any) -> None:
        if not token.started:
            token.started = True
            held = table if table is not None else result
            if frames.is_pandas(held) or hasattr(held, "column_names"):
                self._recorder.recording.ran(token, seconds, held)
            else:
                self._recorder.recording.counted(token, seconds, None)
        frames.mark(result, token.id)

    def failed(self, token: Pending, seconds: float, error: BaseException) -> None:
        if not token.started:
            self._recorder.recording.failed(token, seconds, error)

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

    def version_tagged(self, version: Any) -> None:
        """Feast has tagged a version from its run: say again what is true of its model."""
        from ..runs import tracking

        self._recorder.models.version_registered(
            version, str(version.source), tracking.address(None)
        )

    def why_no_frame(self, run_id: str) -> str | None:
        """Why a run of ours keeps no copy of its entity frame, where it says so."""
        from ..runs import tracking

        said = tracking.tag_of(tracking.address(None), run_id, "feast_nb.entity_archived")
        return said.removeprefix("false: ") if said and said.startswith("false") else None

    def _wanted(self, store: Any) -> bool:
        """`auto_log: false` records only what a magic or a session asked for."""
        settings = settings_of(store)
        if settings is None or self._recorder.paused:
            return False
        if settings.auto_log:
            return True
        run = self._recorder.run_of_call()
        return run is not None and run.id in self._recorder.wishes

    def _wish(self) -> Wish | None:
        run = self._recorder.run_of_call()
        return self._recorder.wishes.get(run.id) if run else None

    def _archives(self, settings: Any, wish: Wish | None) -> bool:
        """An explicit magic archives unless it, or the YAML in so many words, says not to."""
        if wish is None or "auto_log_entity_df" in settings.model_fields_set:
            return bool(settings.auto_log_entity_df) and (wish is None or wish.archive)
        return wish.archive

    def _draft(self, call: Call, kind: Any) -> tuple[Retrieval, dict[str, Any]]:
        from ..features import catalog

        store = call.store
        refs = catalog.refs_of(store, call.features)
        service, basis, fitting = catalog.service_of(store, call.features, refs)
        views = catalog.views_of(store, call.features, refs)
        keys = catalog.join_keys_of(store, views.values())
        draft = Retrieval(
            id="",
            kind=kind,
            project=store.project,
            refs=refs,
            service=service,
            service_basis=basis,
            services=fitting,
            views=catalog.view_records(views),
            entity=entities.describe(None, keys),
            seconds=Seconds(round(call.seconds, 6)),
            sources=catalog.sources_of(views.values(), store.repo_path),
            full_feature_names=call.full_feature_names,
        )
        return draft, views


def _online_frame(response: Any, draft: Retrieval) -> Any:
    """An online answer as a frame in the order asked: Feast's own order changes by process."""
    frame = response.to_df()
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
