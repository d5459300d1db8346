"""Which runs are open, which of them a call belongs to, and what was asked of each.

The one owner of all three: MLflow's own stack knows the runs of one thread only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..records.run import RunRef


_apart: ContextVar[bool] = ContextVar("feast_nb_apart", default=False)
_unnoticed: ContextVar[bool] = ContextVar("feast_nb_unnoticed", default=False)
_inherited: ContextVar[RunRef | None] = ContextVar("feast_nb_run", default=None)


@dataclass(frozen=True)
class RunOptions:
    """What an explicit magic or call asked of the recording while it is open.

    `rows`: keep the entity rows of SQL queries and date ranges too. `training`: the training that
    is under way in the run, if one is.
    """

    archive: bool = True
    rows: bool = False
    training: str | None = None


class OpenRuns:
    """The open runs of this process, the outermost first."""

    def __init__(
        self,
        say: Callable[[str], None],
        auto_log: Callable[[], bool],
        elsewhere: Callable[[], bool] = lambda: False,
    ) -> None:
        """`elsewhere` says that this thread's calls are none of another thread's runs."""
        self._elsewhere = elsewhere
        self.paused = False
        self._say = say
        self._auto_log = auto_log
        self._open: dict[str, RunRef] = {}
        self._parents: dict[str, str] = {}
        self._options: dict[str, RunOptions] = {}
        self._processes: dict[str, int] = {}
        self._made: dict[str, int] = {}

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._open

    def __iter__(self) -> Iterator[RunRef]:
        return iter(list(self._open.values()))

    def __bool__(self) -> bool:
        return bool(self._open)

    def begin(self, run: RunRef, parent_id: str | None = None, resumed: bool = False) -> None:
        """A run was opened, or opened again; threads and tasks from here on belong to it."""
        self._open[run.id] = run
        if not resumed:
            self._made[run.id] = os.getpid()
        self._processes[run.id] = os.getpid()
        _inherited.set(run)
        if parent_id is not None:
            self._parents[run.id] = parent_id

    def end(self, run_id: str) -> RunRef | None:
        """A run is about to end; the run, if it was known to be open."""
        self._options.pop(run_id, None)
        self._processes.pop(run_id, None)
        return self._open.pop(run_id, None)

    def begun_here(self) -> list[RunRef]:
        """Those that this process opened: a forked child has its parent's, and may not end them."""
        return [run for run in self if self._processes.get(run.id) == os.getpid()]

    def made_here(self, run_id: str) -> bool:
        """Whether a run began in this process, and not in one before it or in its parent."""
        return self._made.get(run_id) == os.getpid()

    # ------------------------------------------------------------------ which run

    def of_call(self) -> RunRef | None:
        """The run a call belongs to: this thread's, the context's, or the innermost one open."""
        from ..integrations.mlflow import runs
        from ..records.run import RunRef

        if _apart.get():
            return None
        if found := runs.active():
            return RunRef(*found)
        inherited = _inherited.get()
        if inherited is not None and inherited.id in self._open:
            return inherited
        if self._elsewhere():
            return None
        outer = {self._parents[id] for id in self._open if id in self._parents}
        innermost = [r for r in self._open.values() if r.id not in outer]
        if len(innermost) > 1:
            self._say(
                "Several runs are open, and a call in a thread of its own belongs to none of them "
                "for sure: it is not recorded. Open the run in that thread."
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

    @contextmanager
    def unnoticed(self) -> Iterator[None]:
        """A look of ours, which is no retrieval of anybody's."""
        token = _unnoticed.set(True)
        try:
            yield
        finally:
            _unnoticed.reset(token)

    @property
    def is_noticing(self) -> bool:
        """Whether what is retrieved now is the user's, and is to be recorded."""
        return not (self.paused or _unnoticed.get())

    def outer_of(self, run_id: str) -> str | None:
        """The run that one is nested in."""
        return self._parents.get(run_id)

    def ancestor(self, run_id: str, other: str | None) -> str | None:
        """`other`, where it is a run that this one is nested in, however deep."""
        outer = self._parents.get(run_id)
        while outer is not None and outer != other:
            outer = self._parents.get(outer)
        return outer

    # ------------------------------------------------------------------ what was asked

    def records(self, run: RunRef) -> bool:
        """Whether a run is recorded: one that a magic opened always, others as `auto_log` says."""
        return not self.paused and (run.id in self._options or self._auto_log())

    def options_of(self, run_id: str) -> RunOptions | None:
        """What was asked of a run; None for one that no magic and no session opened."""
        return self._options.get(run_id)

    def ask(self, run_id: str, options: RunOptions) -> None:
        """Keep what was asked of a run until it ends."""
        self._options[run_id] = options

    @contextmanager
    def asked(self, run_id: str, options: RunOptions) -> Iterator[None]:
        """Ask something of a run for a while; what was asked before holds again afterwards."""
        before = self._options.get(run_id)
        self._options[run_id] = options
        try:
            yield
        finally:
            if before is not None and run_id in self._options:
                self._options[run_id] = before

    def training_of(self, run_id: str | None) -> str | None:
        """The training that is under way in a run, or in one that it is nested in."""
        while run_id is not None:
            options = self._options.get(run_id)
            if options is not None and options.training is not None:
                return options.training
            run_id = self._parents.get(run_id)
        return None
