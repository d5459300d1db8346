"""Runs in a session: open one that later cells belong to, end it, see what it has recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import TrackingError, UsageError
from ..integrations.feast.store import settings_of
from ..integrations.mlflow import runs
from ..notebook.identity import source_type
from ..recorder.delivery.run_requests import RunRequest
from ..recorder.open_runs import RunOptions
from ..recorder.recorder import Recorder
from ..records.outbox import RunEnd, RunStart
from ..records.run import RunRef, RunState, TrackedRun

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass
class OpenRun:
    """A run that this session started and has not ended."""

    ref: RunRef
    record: TrackedRun
    outer: OpenRun | None = None


class SessionRuns:
    """The open runs of a session, innermost last."""

    def __init__(
        self, recorder: Recorder, store: FeatureStore, on_open: Callable[[], None]
    ) -> None:
        self._recorder = recorder
        self._on_open = on_open
        self._store = store
        self._innermost: OpenRun | None = None
        self.last: RunRef | None = None
        self.last_name = ""

    @property
    def innermost(self) -> OpenRun | None:
        """The run that a cell would join now; one that MLflow ended meanwhile does not count."""
        while self._innermost and self._innermost.ref.id not in self._recorder.runs:
            self._innermost = self._innermost.outer
        return self._innermost

    @property
    def uri(self) -> str:
        """The tracking server's address; raises `TrackingError` where MLflow is not enabled."""
        settings = settings_of(self._store)
        if settings is None:
            raise TrackingError(
                "MLflow is not enabled for this repository; add `mlflow: {enabled: true}` to its "
                "feature_store.yaml."
            )
        return runs.address(settings.get_tracking_uri())

    def start(
        self,
        name: str | None = None,
        *,
        experiment: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
        nested: bool = False,
        archive: bool = True,
        archive_rows: bool = False,
    ) -> OpenRun:
        """Start a run; raises `UsageError` where one is open and `nested` is not asked for."""
        uri = self.uri
        open_run = self.innermost
        if not nested:
            if open_run is not None:
                raise UsageError(
                    f"run {open_run.record.name} is open{_since(open_run.record)}; end it with "
                    "%feast_run --end, or add --nested."
                )
            if foreign := runs.active():
                raise UsageError(
                    f"run {foreign[0][:8]} was started by mlflow.start_run and is open; end it "
                    "with mlflow.end_run(), or add --nested."
                )
        cell = self._recorder.cells.current
        project = self._store.project
        request = RunRequest(uri, runs.experiment_of(uri, experiment, project), name)
        all_tags = {"feast.project": project, **self._origin, **(tags or {}), **request.tags}
        with self._recorder.requests.noted(request):
            record = runs.start(uri, name, request.experiment_id, all_tags, description, nested)
        return self._opened(
            RunRef(record.id, uri), replace(record, cell=cell), RunOptions(archive, archive_rows)
        )

    def foreign(self) -> OpenRun | None:
        """The run that the user's own `mlflow.start_run` opened here, on this server."""
        found = runs.active()
        if self.innermost is not None or found is None:
            return None
        run_id, uri = found
        if uri.rstrip("/") != self.uri.rstrip("/"):
            raise UsageError(
                f"run {run_id[:8]} is open on another server; end it with mlflow.end_run() first."
            )
        return OpenRun(RunRef(run_id, uri), runs.read(uri, run_id))

    def end_within(self, opened: OpenRun, status: str) -> None:
        """End what was started inside a run that is about to end, and left open."""
        try:
            runs.end_within(opened.ref.id, status)
        except TrackingError as problem:
            self._recorder.notices.say(f"a run inside {opened.record.name} is left open: {problem}")

    def resume(self, run_id: str) -> OpenRun:
        """Continue an earlier run."""
        if self.innermost is not None:
            raise UsageError(
                f"run {self.innermost.record.name} is open; end it with %feast_run --end first."
            )
        uri = self.uri
        record = runs.resume(uri, run_id)
        opened = self._opened(
            RunRef(record.id, uri), replace(record, cell=self._recorder.cells.current), RunOptions()
        )
        self._recorder.recording.put(opened.ref, RunStart(resumed=True))
        return opened

    def end(self, opened: OpenRun, status: str = "FINISHED") -> TrackedRun:
        """End a run: its records go first, then its status; neither is lost if MLflow is away."""
        if status not in runs.ENDINGS:
            raise UsageError(f"no status {status}; use one of {', '.join(runs.ENDINGS)}.")
        ended = opened.ref.id not in self._recorder.runs  # by the user's own `mlflow.end_run`
        self._recorder.run_listener.run_ends(opened.ref.id, status)
        self.last, self.last_name = opened.ref, opened.record.name
        if self._innermost is opened:
            self._innermost = opened.outer
        self._recorder.changed()
        try:
            if not ended:
                runs.end(opened.ref.tracking_uri, opened.ref.id, status)
        except TrackingError as problem:
            self._recorder.recording.put(opened.ref, RunEnd(status, late=True))
            self._recorder.notices.say(
                f"the end of run {opened.record.name} is kept on disk: {problem}"
            )
            self._recorder.run_listener.run_ended(opened.ref.id)
            return self.described(opened, status, away=str(problem))
        self._recorder.run_listener.run_ended(opened.ref.id)
        return self.described(opened, None if ended else status)

    def state(self) -> RunState:
        """What is open and what it has recorded so far."""
        found = []
        one = self.innermost
        while one is not None:
            found.append(self.described(one))
            one = one.outer
        return RunState(tuple(found), recording=not self._recorder.runs.paused)

    def described(
        self, opened: OpenRun, status: str | None = None, away: str | None = None
    ) -> TrackedRun:
        """The run with its retrievals and metrics, as far as the server answers.

        `away` says why it does not, where that is known already.
        """
        self._recorder.recording.settle()
        record = opened.record
        try:
            if away is not None:
                raise TrackingError(away)
            now = runs.read(opened.ref.tracking_uri, opened.ref.id)
            record = replace(record, metrics=now.metrics, status=now.status)
        except TrackingError as problem:
            record = replace(record, warnings=(str(problem),), status=status or record.status)
        return replace(
            record,
            retrievals=tuple(self._recorder.recording.table.of_run(opened.ref.id)),
            writes=tuple(self._recorder.recording.table.written_in(opened.ref.id)),
            pending=self._recorder.outbox.pending(opened.ref.id),
            url=self.url(record),
        )

    def newest(self, experiment: str, most: int) -> tuple[TrackedRun, ...]:
        """What MLflow has of the newest runs of an experiment, newest first."""
        from ..integrations.mlflow import models, retrieval_files

        uri = self.uri
        return tuple(
            replace(
                run,
                retrievals=retrieval_files.retrievals_of(uri, run.id).retrievals,
                models=tuple(models.versions_of_run(uri, run.id)),
                url=self.url(run),
            )
            for run in runs.newest(uri, experiment, most)
        )

    def url(self, record: TrackedRun) -> str | None:
        """Where MLflow's UI shows the run: `mlflow.ui_url`, else the server if it is one."""
        settings = settings_of(self._store)
        base = settings.get_ui_url() if settings else None
        return runs.run_url(base, record.experiment_id, record.id) or record.url

    def _opened(self, ref: RunRef, record: TrackedRun, options: RunOptions) -> OpenRun:
        self._recorder.runs.ask(ref.id, options)
        self._on_open()
        self._innermost = OpenRun(ref, record, self.innermost)
        self.last, self.last_name = ref, record.name
        self._recorder.changed()
        return self._innermost

    @property
    def _origin(self) -> dict[str, str]:
        """MLflow takes the kernel's launcher for the source of a headless notebook."""
        source = self._recorder.cells.identity.source
        if source is None:
            return {}
        return {"mlflow.source.name": source, "mlflow.source.type": source_type(source)}


def _since(record: TrackedRun) -> str:
    number = record.cell.number if record.cell else None
    return f" since cell {number}" if number is not None else ""
