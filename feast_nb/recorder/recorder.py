"""The one recorder of a process: what Feast and MLflow are seen to do becomes records.

It exists from `%load_ext feast_nb` or the first `feast_nb.open`, and imports neither library.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GoneError, Warned
from ..integrations.feast.retrieval_hooks import RetrievalHooks
from ..integrations.mlflow.hooks import RunHooks
from ..notebook.cells import Cells
from ..paths import state_folder
from ..records.outbox import FileEntry, RunEnd, RunStart
from .delivery.outbox import LeftBehind, Outbox
from .delivery.run_queue import Batch, RunQueue

if TYPE_CHECKING:
    from ..records.run import RunRef
    from .delivery.uploader import Uploader
    from .frame_links import FrameLinks
    from .recording import Recording
    from .retrieval_listener import RetrievalListener
    from .run_listener import RunListener
    from .run_origin import RunOrigins

_apart: ContextVar[bool] = ContextVar("feast_nb_apart", default=False)
_inherited: ContextVar[RunRef | None] = ContextVar("feast_nb_run", default=None)


@dataclass(frozen=True)
class RunOptions:
    """What an explicit magic or call asked of the recording while it is open.

    `rows`: keep the entity rows of SQL queries and date ranges too.
    """

    archive: bool = True
    rows: bool = False


class Recorder:
    """Listens to both libraries, keeps what happens, and sends it on its way.

    It sleeps until there is something to listen to: `%load_ext` costs what these few lines cost.
    """

    recording: Recording
    feast: RetrievalListener
    models: RunListener
    reading: FrameLinks
    origins: RunOrigins

    def __init__(self) -> None:
        folder = state_folder()
        self.spool = folder / "spool"
        self.cells = Cells()
        self.cells.before, self.cells.after = self._cell_starts, self._cell_ended
        self.uploader: Uploader | None = None
        self.outbox = Outbox(
            folder / "outbox", self._deliver, self._troubled, self._connect, self.say
        )
        self.paused = False
        self.interactive = False
        self.changed: Callable[[], None] = lambda: None  # a run was opened, or has ended
        self.wishes: dict[str, RunOptions] = {}
        self.open: dict[str, RunRef] = {}
        self.parents: dict[str, str] = {}
        self.notices: list[str] = []
        self._said: set[str] = set()
        self._awake = False
        self._waking = threading.Lock()
        self._feast_hooks = RetrievalHooks(lambda: self.wake().feast)
        self._mlflow_hooks = RunHooks(lambda: self.wake().models)

    def start(self) -> None:
        self._feast_hooks.install()
        self._mlflow_hooks.install()

    def wake(self) -> Recorder:
        """Make what does the work: once, when Feast or MLflow is there or a session is wanted."""
        with self._waking:
            if not self._awake:
                self._make()
                self._awake = True
        return self

    def _make(self) -> None:
        from .frame_links import FrameLinks
        from .recording import Recording
        from .retrieval_listener import RetrievalListener
        from .run_listener import RunListener
        from .run_origin import RunOrigins

        self.recording = Recording(
            self.outbox,
            run_of_call=self.run_of_call,
            cell=lambda: self.cells.current,
            spool=self.spool,
            warn=self.say,
            archives=self.archives,
        )
        self.feast = RetrievalListener(self)
        self.models = RunListener(self)
        self.reading = FrameLinks(self)
        self.origins = RunOrigins(self, self.spool)

    def stop(self) -> None:
        """Put both libraries back, send what is pending, and end our threads."""
        self._feast_hooks.remove()
        self._mlflow_hooks.remove()
        if self._awake:
            self.recording.close()
        self.outbox.close()
        if "mlflow" in sys.modules:
            from ..integrations.mlflow import runs

            runs.put_back()

    def say(self, message: str) -> None:
        """Tell the user once, in one line: after the cell in a notebook, at once in a script."""
        if message in self._said:
            return
        self._said.add(message)
        if self.interactive:
            self.notices.append(message)
        elif threading.current_thread() is threading.main_thread():
            warnings.warn(message, Warned, stacklevel=2)
        else:  # where warnings are errors, one would end the thread that sends the records
            print(f"feast_nb: {message}", file=sys.stderr)

    def tell(self, message: str) -> None:
        """As `say`, each time: it is about this one answer."""
        self._said.discard(message)
        self.say(message)

    # ------------------------------------------------------------------ which run

    def run_of_call(self) -> RunRef | None:
        """The run a call belongs to: this thread's, the context's, or the innermost one open."""
        from ..integrations.mlflow import runs
        from ..records.run import RunRef

        if _apart.get():
            return None
        if found := runs.active():
            return RunRef(*found)
        inherited = _inherited.get()
        if inherited is not None and inherited.id in self.open:
            return inherited
        innermost = [r for r in self.open.values() if r.id not in self._outer]
        if len(innermost) > 1:
            self.say(
                f"{len(innermost)} runs are open, and a call in a thread of its own belongs to "
                "none of them for sure: it is not recorded. Open the run in that thread."
            )
        return innermost[0] if len(innermost) == 1 else None

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is retrieved meanwhile belongs to no run, until a cell of one uses it."""
        token = _apart.set(True)
        try:
            yield
        finally:
            _apart.reset(token)

    @property
    def _outer(self) -> set[str]:
        """Open runs that have a nested one open."""
        return {self.parents[id] for id in self.open if id in self.parents}

    def archives(self, run_id: str) -> bool:
        """Whether a run keeps copies of entity frames."""
        wish = self.wishes.get(run_id)
        return self.feast.archives(wish)

    def records(self, run: RunRef) -> bool:
        """Whether a run is recorded: one that a magic opened always, others as `auto_log` says."""
        if self.paused:
            return False
        return run.id in self.wishes or self.feast.auto_log

    def inherited_from(self, run: RunRef, id: str) -> str | None:
        """The outer run of a nested one that made a retrieval, if one did."""
        made_in = self.recording.ledger.retrievals[id].run_id
        outer = self.parents.get(run.id)
        while outer is not None and outer != made_in:
            outer = self.parents.get(outer)
        return outer

    def _cell_starts(self) -> None:
        """Before a cell: the open run uses what it reads."""
        if self._awake:
            self.reading.begin()
            self._link_open()
        self.catch_up()

    def _link_open(self) -> None:
        if self.open and (run := self.run_of_call()):
            self.reading.link(run)

    def _cell_ended(self) -> None:
        if self._awake:
            self.reading.learn()
            self._link_open()
            self.origins.cell_ended()
        self.catch_up()

    def inherit(self, run: RunRef) -> None:
        """Threads and tasks started from here on belong to this run."""
        _inherited.set(run)

    def flush(self, run_id: str | None = None, final: bool = False, seconds: float = 15.0) -> bool:
        if not self.outbox.flush(run_id, seconds, final):
            left = self.outbox.pending(run_id)
            self.say(
                f"{left} records could not be sent to MLflow yet; they are kept on disk "
                "and go when it answers."
            )
            return False
        return True

    # ------------------------------------------------------------------ sending

    def catch_up(self) -> None:
        """In the user's thread, between two of its own steps: load what threads of ours lack."""
        self.outbox.connect()

    def _connect(self, uri: str) -> bool:
        """Make what sends records to a server; not before the user has loaded MLflow."""
        if "mlflow" not in sys.modules:
            return False
        from ..integrations.mlflow import clients
        from .delivery.uploader import Uploader

        if self.uploader is None:
            self.uploader = Uploader(self.outbox.set_aside)
        clients.connect(uri)
        return True

    def _deliver(self, batch: Batch) -> bool:
        from .delivery.uploader import remove_file

        try:
            assert self.uploader is not None
            return self.uploader.deliver(batch)
        except GoneError as gone:
            if batch.new:
                self.say(f"{len(batch.new)} records have nowhere to go: {gone}")
            for entry in batch.new:
                if isinstance(entry, FileEntry):
                    remove_file(Path(entry.path))
            return True

    def _troubled(self, queue: RunQueue) -> None:
        if queue.failures == 1:
            problem = " ".join(str(queue.trouble).split())[:200]
            self.say(f"records wait on disk: {problem}")

    def recover(self) -> None:
        """Take over what dead processes left: send their records, close the runs left open."""
        _sweep(self.spool)
        for left in self.outbox.recover():
            started: RunStart | None = None
            for entry in left.entries:
                if isinstance(entry, RunStart) and not entry.resumed:
                    started = entry
                elif isinstance(entry, RunEnd):
                    started = None
            if started is not None:
                self._close_left_open(left, started)

    def _close_left_open(self, left: LeftBehind, started: RunStart) -> None:
        self.outbox.put(left.run_id, left.tracking_uri, RunEnd("KILLED", late=True))
        where = f" in {started.notebook}" if started.notebook else ""
        self.say(
            f"run {started.name or left.run_id[:8]} was left open{where} by a kernel that "
            "died; it is being closed as KILLED."
        )


def _sweep(spool: Path) -> None:
    """Remove entity frames that no run came to use, of processes that are gone."""
    folders = list(spool.glob("loose-*"))
    if not folders:  # as nearly always: nothing is imported for it
        return
    import shutil

    import psutil

    for folder in folders:
        number = folder.name.removeprefix("loose-")
        if not number.isdigit() or not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)
