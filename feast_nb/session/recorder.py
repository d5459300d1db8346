"""The one recorder of a process: what Feast and MLflow are seen to do becomes records.

It exists from `%load_ext feast_nb` or the first `feast_nb.open`, and imports neither library.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import contract, frames
from ..errors import Warned
from ..features import hooks as feast_hooks
from ..features.store import settings_of, sqlite_file
from ..notebook import Cells
from ..outbox import Entry, Outbox, Parcel
from ..recording import Pending, Recording, RunRef
from ..records import Retrieval, Seconds
from ..runs import hooks as mlflow_hooks
from . import entities

_inherited: ContextVar[RunRef | None] = ContextVar("feast_nb_run", default=None)


@dataclass(frozen=True)
class Wish:
    """What an explicit magic or call asked of the recording while it is open."""

    archive: bool = True


@dataclass(frozen=True)
class Seen:
    """A model as it was logged, before it is known what it was trained on."""

    run: RunRef
    name: str
    flavor: str | None
    input_names: tuple[str, ...] | None
    signature: dict[str, str] | None


class Recorder:
    """Listens to both libraries, keeps what happens, and sends it on its way."""

    def __init__(self) -> None:
        folder = state_folder()
        self.cells = Cells()
        self.delivery: Any = None
        self.outbox = Outbox(folder / "outbox", self._deliver, self._troubled)
        self.recording = Recording(
            self.outbox,
            run_of_call=self.run_of_call,
            cell=lambda: self.cells.current,
            spool=folder / "spool",
            warn=self.say,
        )
        self.paused = False
        self.interactive = False
        self.wishes: dict[str, Wish] = {}
        self.open: dict[str, RunRef] = {}
        self.stores: list[Any] = []
        self.names: dict[str, dict[str, tuple[str, ...]]] = {}
        self.logged: list[str] = []
        self._models: dict[str, Seen] = {}
        self.notices: list[str] = []
        self._said: set[str] = set()
        self._feast = feast_hooks.Hooks(self)
        self._mlflow = mlflow_hooks.Hooks(self)

    def start(self) -> None:
        self._feast.install()
        self._mlflow.install()

    def stop(self) -> None:
        """Put both libraries back, send what is pending, and end our threads."""
        self._feast.remove()
        self._mlflow.remove()
        self.recording.close()
        self.outbox.close()

    def say(self, message: str) -> None:
        """Tell the user once, in one line: after the cell in a notebook, at once in a script."""
        if message in self._said:
            return
        self._said.add(message)
        if self.interactive:
            self.notices.append(message)
        else:
            warnings.warn(message, Warned, stacklevel=2)

    # ------------------------------------------------------------------ which run

    def run_of_call(self) -> RunRef | None:
        """The run a call belongs to: this thread's, the context's, or the only one open."""
        from ..runs import tracking

        if found := tracking.active():
            return RunRef(*found)
        inherited = _inherited.get()
        if inherited is not None and inherited.id in self.open:
            return inherited
        return next(iter(self.open.values())) if len(self.open) == 1 else None

    def run_started(self, run_id: str, tracking_uri: str) -> None:
        run = RunRef(run_id, tracking_uri)
        self.open[run_id] = run
        _inherited.set(run)
        if self.interactive:
            notebook = self.cells.current.notebook if self.cells.current else None
            self.recording.put(run, {"kind": "opened", "notebook": notebook, "pid": os.getpid()})

    def run_resumed(self, run: RunRef) -> None:
        self.recording.put(run, {"kind": "opened", "resumed": True})

    def run_ends(self, run_id: str, status: str) -> None:
        """Send all of a run's records before MLflow ends it; what cannot go stays on disk."""
        run = self.open.pop(run_id, None)
        self.wishes.pop(run_id, None)
        if run is None:
            return
        if self.recording.of_run(run_id) or self.interactive:
            self.recording.settle()
            self.recording.put(run, {"kind": "ended", "status": status})
        self.flush(run_id, final=True)

    def flush(self, run_id: str | None = None, final: bool = False, seconds: float = 15.0) -> bool:
        if not self.outbox.flush(run_id, seconds, final):
            left = self.outbox.pending(run_id)
            self.say(
                f"{left} records could not be sent to MLflow yet; they are kept on disk "
                "and go when it answers."
            )
            return False
        return True

    # ------------------------------------------------------------------ Feast's calls

    def opened(self, store: Any) -> None:
        self.stores = [*[s for s in self.stores if s is not store][-4:], store]

    def historical(self, call: feast_hooks.Call) -> Pending | None:
        if not self._wanted(call.store):
            return None
        from ..features import catalog, losses

        draft, views = self._draft(call, "historical")
        entity = entities.describe(call.entity, draft.entity.join_keys, call.start, call.end)
        wish = self._wish()
        settings = settings_of(call.store)
        id = self.recording.submitted(
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

    def online(self, call: feast_hooks.Call, response: Any) -> None:
        if not self._wanted(call.store):
            return
        from ..features import catalog

        draft, views = self._draft(call, "online")
        entity = entities.describe_rows(call.entity, draft.entity.join_keys)
        id = self.recording.submitted(replace(draft, entity=entity))
        types = catalog.types_of(views, draft.refs, call.full_feature_names)
        frame = _online_frame(response, draft)
        self.recording.ran(Pending(id, types=types), call.seconds, frame)
        _mark_online(response, id)

    def ran(self, token: Pending, seconds: float, result: Any, table: Any) -> None:
        if not token.started:
            token.started = True
            held = table if table is not None else result
            if frames.is_pandas(held) or hasattr(held, "column_names"):
                self.recording.ran(token, seconds, held)
            else:
                self.recording.counted(token, seconds, None)
        frames.mark(result, token.id)

    def failed(self, token: Pending, seconds: float, error: BaseException) -> None:
        if not token.started:
            self.recording.failed(token, seconds, error)

    def before_reading(self) -> None:
        """Feast is about to read a run's tags back: everything goes first."""
        if self.outbox.pending():
            self.recording.settle()
            self.flush()

    def chosen_experiment(self) -> str | None:
        from ..runs import tracking

        return tracking.chosen_experiment(tracking.address(None))

    def _wanted(self, store: Any) -> bool:
        """`auto_log: false` records only what a magic or a session asked for."""
        settings = settings_of(store)
        if settings is None or self.paused:
            return False
        if settings.auto_log:
            return True
        run = self.run_of_call()
        return run is not None and run.id in self.wishes

    def _wish(self) -> Wish | None:
        run = self.run_of_call()
        return self.wishes.get(run.id) if run else None

    def _archives(self, settings: Any, wish: Wish | None) -> bool:
        """An explicit magic archives unless it, or the YAML in so many words, says not to."""
        if wish is None or "auto_log_entity_df" in settings.model_fields_set:
            return bool(settings.auto_log_entity_df) and (wish is None or wish.archive)
        return wish.archive

    def _draft(self, call: feast_hooks.Call, kind: Any) -> tuple[Retrieval, dict[str, Any]]:
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

    # ------------------------------------------------------------------ MLflow's calls

    def model_logged(self, info: Any, model: Any, tracking_uri: str) -> None:
        """Give every model that is logged in a run its contract, whoever logged it."""
        from ..runs import models

        if self.paused or not info.run_id:
            return
        run = RunRef(str(info.run_id), tracking_uri)
        found = models.inputs_of(model) if model is not None else models.Inputs()
        signature = _signature(info)
        candidates = self.recording.of_run(run.id)
        names = found.names or (tuple(signature) if signature else None)
        mine = frames.of_model(names, found.width, candidates)
        self.logged.append(str(info.model_id))
        if mine is None and run.id not in self.wishes:
            return
        self._models[str(info.model_id)] = Seen(
            run=run,
            name=str(getattr(info, "name", None) or "model"),
            flavor=models.flavor_of(model) if model is not None else None,
            input_names=found.names,
            signature=signature,
        )
        self.link(str(info.model_id), [mine] if mine else [], "columns")

    def link(self, model_id: str, retrievals: Sequence[Retrieval], by: frames.LinkedBy) -> None:
        """Say which retrievals a logged model was trained on, and how that is known."""
        seen = self._models[model_id]
        built = contract.build(
            model_id=model_id,
            run_id=seen.run.id,
            name=seen.name,
            flavor=seen.flavor,
            input_names=seen.input_names,
            signature=seen.signature,
            retrievals=retrievals,
            linked_by=by if retrievals else None,
            cell=self.cells.current,
        )
        self.recording.modelled(seen.run, built)

    def version_registered(self, version: Any, model_uri: str, tracking_uri: str) -> None:
        model_id = model_uri.removeprefix("models:/") if "models:/m-" in model_uri else None
        if model_id is None and str(version.source).startswith("models:/m-"):
            model_id = str(version.source).removeprefix("models:/")
        known = self.recording.contracts.get(model_id or "")
        run_id = version.run_id or (known.run_id if known else None)
        if run_id and known:
            entry = {"name": version.name, "version": str(version.version), "model_id": model_id}
            run = RunRef(str(run_id), tracking_uri)
            self.recording.put(run, {"kind": "version", **entry})

    def artifact_root(self, tracking_uri: str) -> Path | None:
        """Artifacts lie beside the SQLite tracking store of a repository, wherever one stands."""
        file = sqlite_file(tracking_uri)
        if file is None or not file.is_absolute():
            return None
        for store in self.stores:
            repo = Path(store.repo_path).resolve()
            if repo in file.resolve().parents:
                return file.parent / "mlartifacts"
        return None

    # ------------------------------------------------------------------ sending

    def _deliver(self, parcel: Parcel) -> None:
        if self.delivery is None:
            from .delivery import Delivery

            self.delivery = Delivery()
        self.delivery.deliver(parcel)

    def _troubled(self, parcel: Parcel) -> None:
        if parcel.failures == 1:
            problem = " ".join(str(parcel.trouble).split())[:200]
            self.say(f"records wait on disk: {problem}")

    def adopt(self) -> list[Entry]:
        """Take over what dead processes left; returns the runs that they left open."""
        left: dict[str, Entry] = {}
        for entry in self.outbox.adopt():
            if entry["kind"] == "opened" and not entry.get("resumed"):
                left[entry["run"]] = entry
            elif entry["kind"] == "ended":
                left.pop(entry["run"], None)
        for entry in left.values():
            run = RunRef(entry["run"], entry["uri"])
            self.recording.put(run, {"kind": "ended", "status": "KILLED", "late": True})
        return list(left.values())


def _signature(info: Any) -> dict[str, str] | None:
    """Column → type of a logged model's signature, where it has named columns."""
    inputs = getattr(getattr(info, "signature", None), "inputs", None)
    if inputs is None or not inputs.has_input_names():
        return None
    return {str(c.name): str(getattr(c.type, "name", c.type)) for c in inputs.inputs}


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


def state_folder() -> Path:
    """Where records wait until MLflow has them: the user's state folder, ours within it."""
    import platformdirs

    return Path(os.environ.get("FEAST_NB_STATE", platformdirs.user_state_dir("feast-nb")))


_recorder: Recorder | None = None


def current() -> Recorder:
    """The recorder of this process, started on first use."""
    global _recorder
    if _recorder is None:
        import atexit

        _recorder = Recorder()
        _recorder.start()
        atexit.register(shut)
    return _recorder


def shut() -> None:
    """Stop the recorder, if there is one; the next `current` starts a new one."""
    global _recorder
    if _recorder is not None:
        stopping, _recorder = _recorder, None
        if "mlflow" in sys.modules and stopping.interactive:
            _end_open(stopping)
        stopping.stop()


def _end_open(recorder: Recorder) -> None:
    """A kernel that shuts down with runs open did not finish them."""
    from ..errors import TrackingError
    from ..runs import tracking

    for run in reversed(list(recorder.open.values())):
        recorder.run_ends(run.id, "KILLED")
        try:
            tracking.end(run.tracking_uri, run.id, "KILLED")
        except TrackingError:
            recorder.recording.put(run, {"kind": "ended", "status": "KILLED", "late": True})
