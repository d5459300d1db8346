"""The one recorder of a process: what Feast and MLflow are seen to do becomes records.

It makes the parts and gives each what it uses; it imports neither library.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GoneError, brief
from ..integrations.feast.retrieval_hooks import RetrievalHooks
from ..integrations.mlflow.run_hooks import RunHooks
from ..notebook.cells import Cells
from ..patching import threads
from ..patching.interrupts import guarded
from ..paths import state_folder
from . import spool_files
from .delivery.outbox import Outbox
from .delivery.run_queue import Batch, LeftBehind, RunQueue
from .delivery.run_requests import MARK, RunRequest, RunRequests
from .notices import Notices
from .open_runs import OpenRuns

if TYPE_CHECKING:
    from ..integrations.feast.repository_files.definition_calls import Guard
    from ..records.outbox import OperationEntry, RunStart
    from ..records.run import RunRef
    from .delivery.uploader import Uploader
    from .origins.frame_links import FrameLinks
    from .origins.model_origins import ModelOrigins
    from .origins.run_origin import RunOrigins
    from .recording import Recording
    from .retrieval_listener import RetrievalListener
    from .run_listener import RunListener


class Recorder:
    """Listens to both libraries, keeps what happens, and sends it on its way.

    It sleeps until there is something to listen to: `%load_ext` costs what these few lines cost.
    Each part is given what it uses; none knows the recorder.
    """

    recording: Recording
    links: FrameLinks
    models: ModelOrigins
    origins: RunOrigins
    retrieval_listener: RetrievalListener
    run_listener: RunListener

    def __init__(self, last_at_exit: Callable[[], None]) -> None:
        folder = state_folder()
        self.spool = folder / "spool"
        self.notices = Notices()
        self.cells = Cells()
        self.runs = OpenRuns(
            self.notices.say,
            lambda: self.retrieval_listener.auto_log,
            elsewhere=lambda: self.cells.in_subshell,
        )
        self.cells.before, self.cells.after = self._cell_starts, self._cell_ended
        self.uploader: Uploader | None = None
        self.outbox = Outbox(
            folder / "outbox",
            self._deliver,
            self._troubled,
            self._connect,
            self.notices.say,
            _workspace,
        )
        self.requests = RunRequests(folder / "requests")
        self.changed: Callable[[], None] = lambda: None  # a run was opened, or has ended
        self.guard: Guard = lambda call: None  # asked before a store's definitions are changed
        self._last_at_exit = last_at_exit
        self._took_over = self._may_load = False
        self._awake = False
        self._waking = threading.Lock()
        self._retrieval_hooks = RetrievalHooks(lambda: self.wake().retrieval_listener)
        self._run_hooks = RunHooks(lambda: self.wake().run_listener)

    def start(self) -> None:
        self._retrieval_hooks.install()
        self._run_hooks.install()

    def wake(self) -> Recorder:
        """Make what does the work: once, when Feast or MLflow is there or a session is wanted."""
        with self._waking:
            if not self._awake:
                self._make()
                self._awake = True
        return self

    def _make(self) -> None:
        from .origins.frame_links import FrameLinks
        from .origins.model_origins import ModelOrigins
        from .origins.run_origin import RunOrigins
        from .recording import Recording
        from .retrieval_listener import RetrievalListener
        from .retrieval_table import RetrievalTable
        from .run_listener import RunListener

        table = RetrievalTable()
        self.recording = Recording(
            self.outbox,
            table,
            runs=self.runs,
            cell=lambda: self.cells.current,
            spool=self.spool,
            warn=self.notices.say,
            archives=lambda run_id: self.retrieval_listener.archives(self.runs.options_of(run_id)),
        )
        self.links = FrameLinks(self.cells, table)
        self.models = ModelOrigins(self.cells, self.links, self.runs)
        self.origins = RunOrigins(self.cells, self.recording, self.notices, self.spool)
        self.run_listener = RunListener(
            self.runs,
            self.recording,
            self.links,
            self.origins,
            self.notices,
            stores=lambda: self.retrieval_listener.stores,
            models=self.models,
            begun=self._run_begun,
            flush=self.flush,
        )
        self.retrieval_listener = RetrievalListener(
            self.runs,
            self.recording,
            self.cells,
            self.notices.say,
            before_call=self.catch_up,
            before_reading=self.send_all,
            version_registered=self.run_listener.version_registered,
            guard=lambda call: self.guard(call),
        )

    def stop(self) -> None:
        """Put both libraries back, send what is pending, and end our threads."""
        if self._awake:
            self.recording.close()
        self.outbox.close()
        self._retrieval_hooks.remove()
        self._run_hooks.remove()
        if "mlflow" in sys.modules:
            from ..integrations.mlflow import runs, silence

            runs.put_back()
            silence.put_back()
        threads.forget()

    # ------------------------------------------------------------------ cells

    def _link_open(self) -> None:
        if self.runs and (run := self.runs.of_call()):
            self.run_listener.link_reads(run)

    def _cell_starts(self) -> None:
        """Before a cell: the open run uses what it reads."""
        if self._awake:
            self.links.begin()
            self.models.begin()
            self._link_open()
        self.catch_up()

    def _cell_ended(self) -> None:
        if self._awake:
            self.links.learn()
            self.models.learn()
            self._link_open()
            self.origins.cell_ended()
        self.catch_up()

    def after_cell(self) -> None:
        """Nobody waits for a cell: what a dead kernel left is sent, be MLflow loaded or not."""
        self._catch_up_for_the_dead()

    def _catch_up_for_the_dead(self) -> None:
        if self._took_over and not self._may_load:
            self._may_load = True
            with guarded("closing a run that a dead kernel began"):
                self.requests.look_after(self._end_requested)
            self.catch_up()

    def _run_begun(self, run: RunRef) -> None:
        if self.notices.interactive:
            # MLflow finishes open runs at exit; the last to register comes first.
            atexit.unregister(self._last_at_exit)
            atexit.register(self._last_at_exit)
        self.outbox.connect(run.tracking_uri)

    # ------------------------------------------------------------------ sending

    def flush(self, run_id: str | None = None, final: bool = False, seconds: float = 15.0) -> bool:
        """Send all records (of a run) now; where that fails they wait, and the user is told."""
        from ..integrations.mlflow import http

        self._catch_up_for_the_dead()  # somebody asks: what a dead process left goes, too
        if not self.outbox.flush(run_id, http.allowed(seconds), final):
            left = self.outbox.pending(run_id)
            self.notices.say(
                f"{left} records could not be sent to MLflow yet; they are kept on disk "
                "and go when it answers."
            )
            return False
        return True

    def send_all(self) -> None:
        """Everything goes first: somebody is about to read it back from MLflow."""
        if self.outbox.pending():
            self.recording.settle()
            self.flush()

    def forget_rows(self, run_id: str) -> None:
        """The rows of a run are erased: what was sent of it is not sent again."""
        if self.uploader is not None:
            self.uploader.forget(run_id)

    def catch_up(self) -> None:
        """In the user's thread, between two of its own steps: load what threads of ours lack."""
        self.outbox.connect()

    def log_operation(self, uri: str, entry: OperationEntry) -> None:
        """Keep what was done to a registry or a store: on disk now, in MLflow soon."""
        from ..records.outbox import OPERATION

        self.outbox.put(f"{OPERATION}{entry.id}", uri, entry)
        self.outbox.connect(uri)

    def _connect(self, uri: str) -> bool:
        """Make what sends records to a server.

        Not before the user has loaded MLflow; for what a dead kernel left, after the next cell.
        """
        if "mlflow" not in sys.modules and not self._may_load:
            return False
        from ..integrations.mlflow import clients
        from .delivery.uploader import Uploader

        if self.uploader is None:
            self.uploader = Uploader(self.outbox.set_aside)
        clients.connect(uri)
        return True

    def _deliver(self, batch: Batch) -> bool:
        from ..records.outbox import FileEntry
        from .delivery.uploader import remove_file

        try:
            assert self.uploader is not None
            return self.uploader.deliver(batch)
        except GoneError as gone:
            if batch.new:
                self.notices.say(f"{len(batch.new)} records have nowhere to go: {gone}")
            for entry in batch.new:
                if isinstance(entry, FileEntry):
                    remove_file(Path(entry.path))
            return True

    def _troubled(self, queue: RunQueue) -> None:
        if queue.failures == 1:
            problem = brief(queue.trouble, 200)
            self.notices.say(f"records wait on disk: {problem}")

    def recover(self) -> None:
        """Take over what dead processes left: send their records, close the runs left open."""
        for left in self.outbox.recover():
            from ..records.outbox import RunEnd, RunStart

            self._took_over = True
            started: RunStart | None = None
            ended: RunEnd | None = None
            for entry in left.entries:
                if isinstance(entry, RunStart):
                    mine = entry.kernel or not entry.resumed  # 0.1 kept those of kernels only
                    started, ended = (entry if mine else None), None
                elif isinstance(entry, RunEnd):
                    started, ended = None, entry
            if (started or ended) and left.run_id in self.outbox.held_by_others():
                continue  # another process here goes on with it
            if started is not None:
                self._close_left_open(left, started)
            elif ended is not None:
                # The process died while it ended: MLflow may never have been told.
                again = RunEnd(ended.status, late=True)
                self.outbox.put(left.run_id, left.tracking_uri, again)
        self._took_over = self._took_over or self.requests.any_waits
        if self.outbox.keeps_all:
            spool_files.sweep(self.spool, self.outbox.folder)

    def _end_requested(self, request: RunRequest) -> None:
        from ..integrations.mlflow import http, writer

        with http.short_timeouts():
            uri, experiment = request.tracking_uri, request.experiment_id
            ended = writer.end_marked(uri, experiment, MARK, request.mark)
        if ended:
            self.notices.say(
                f"run {request.name or request.mark} was left open by a kernel that died as it "
                "began; it was closed as KILLED."
            )

    def _close_left_open(self, left: LeftBehind, started: RunStart) -> None:
        from ..records.outbox import RunEnd

        self.outbox.put(left.run_id, left.tracking_uri, RunEnd("KILLED", late=True))
        where = f" in {started.notebook}" if started.notebook else ""
        self.notices.say(
            f"run {started.name or left.run_id[:8]} was left open{where} by a kernel that "
            "died; it is being closed as KILLED."
        )


def _workspace() -> str | None:
    from ..integrations.mlflow import clients

    return clients.workspace()
