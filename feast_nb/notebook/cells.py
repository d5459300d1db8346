"""The notebook in which all this happens: its path, and the cells as they were executed."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..patching.interrupts import guarded
from . import dataflow
from .identity import UNKNOWN, Identity, holds, identify

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

    from ..records.retrieval import Cell

_OFF = ("0", "false", "no", "off")
_LOOKS = 20  # cells after which an unknown notebook stays unknown


class ExecutedCell(NamedTuple):
    """A cell as it ran: which one, its text, and when (seconds since 1970)."""

    cell: Cell
    source: str
    at: float


class Cells:
    """The cells that run, told by IPython's events; outside IPython there is none.

    `before` is called when a cell starts, `after` when it has ended; cells that a magic runs do
    not count: the outer one is the user's. Where they are not `kept`, a run says which cells it was
    made by, and not what stood in them. A subshell (JupyterLab 4.4) runs cells of its own
    beside the main one, in a thread of its own: there `current` is its, and nobody is called.
    """

    def __init__(self) -> None:
        self.kept = os.environ.get("FEAST_NB_RECORD_CELLS", "").lower() not in _OFF
        self.identity = Identity("none")
        self.executed: list[ExecutedCell] = []
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self._shell: InteractiveShell | None = None
        self._looks = 0
        self._main: ExecutedCell | None = None
        self._beside: dict[int, ExecutedCell] = {}

    def watch(self, shell: InteractiveShell) -> None:
        """Follow a shell from here on; the cell that runs now, if one does, is the first.

        `c.FeastNb.record_cells = False` in IPython's configuration keeps no texts of cells.
        """
        self._shell = shell
        self.kept = self.kept and self.setting("record_cells") is not False
        shell.events.register("pre_run_cell", self._started)
        shell.events.register("post_run_cell", self._ended)
        if self.line is not None:
            with guarded("looking at the running cell"):
                texts = _inputs(shell)
                self._begin(str(texts[-1]), len(texts) - 1, _id_of_request(shell))

    def setting(self, name: str) -> object:
        """What IPython's configuration says under `c.FeastNb`; None where it says nothing."""
        section = getattr(self._shell, "config", {}).get("FeastNb", {})
        return section.get(name)

    def unwatch(self) -> None:
        if self._shell is not None:
            self._shell.events.unregister("pre_run_cell", self._started)
            self._shell.events.unregister("post_run_cell", self._ended)
            self._shell = None

    @property
    def in_subshell(self) -> bool:
        """Whether this thread runs the cells of a subshell, which are no cells of the main one."""
        return type(threading.current_thread()).__name__ == "SubshellThread"

    @property
    def _running(self) -> ExecutedCell | None:
        return self._beside.get(threading.get_ident()) if self.in_subshell else self._main

    @property
    def current(self) -> Cell | None:
        """The cell that runs in this thread, else the main shell's."""
        running = self._running
        return running.cell if running else None

    @property
    def source(self) -> str:
        """The text of the running cell."""
        running = self._running
        return running.source if running else ""

    @property
    def notebook(self) -> str | None:
        """The notebook's path; None where there is none."""
        return self.identity.notebook

    @property
    def namespace(self) -> Mapping[str, object]:
        """The notebook's variables; none outside of one."""
        return self._shell.user_ns if self._shell is not None else {}

    @property
    def code(self) -> str:
        """The Python of the running cell, without its magics."""
        plain = dataflow.without_time(dataflow.without_magic(self.source))
        return str(self._shell.transform_cell(plain)) if self._shell is not None else plain

    @property
    def line(self) -> int | None:
        """The line of `code` that runs now, in this thread; None between cells and elsewhere.

        None too while a cell's magic is at work before or after what stands below it.
        """
        if self._shell is None:
            return None
        cells = getattr(self._shell.compile, "_filename_map", {})
        frame = sys._getframe()
        while frame is not None:
            name = frame.f_code.co_filename
            is_cells = name in cells or name.startswith("<timed")  # as `%%time` compiles it
            if is_cells and frame.f_globals is self._shell.user_ns:
                magic = "run_cell_magic" in frame.f_code.co_names and self.source[:2] == "%%"
                return None if magic else frame.f_lineno  # the magic itself: none of its lines
            frame = frame.f_back  # type: ignore[assignment]
        return None

    @property
    def history(self) -> list[str]:
        """The text of every cell that ran in this kernel, in the order in which they ran."""
        if self._shell is None:
            return []
        return [str(text) for text in _inputs(self._shell)[1:]]

    def _started(self, info: ExecutionInfo) -> None:
        if not info.store_history:  # a cell run by a magic: the outer one is the user's
            return
        # IPython 9 counts up before this event, IPython 8 after it; the inputs kept so far are
        # the same in both.
        assert self._shell is not None
        number = len(_inputs(self._shell))
        self._begin(info.raw_cell or "", number, getattr(info, "cell_id", None))
        if not self.in_subshell:
            with guarded("looking at what a cell reads"):
                self.before()

    def _begin(self, source: str, number: int, id: str | None) -> None:
        from ..records.retrieval import Cell

        with guarded("looking for the notebook"):  # its folder may be gone, say
            self._look(source, number)
        digest = text_digest(source)
        cell = Cell(number=number, notebook=self.identity.notebook, digest=digest, id=id)
        running = ExecutedCell(cell, source, time.time())
        if self.in_subshell:
            self._beside[threading.get_ident()] = running
            return
        self._main = running
        self.executed.append(running)

    def _look(self, source: str, number: int) -> None:
        """Which notebook it is: until a launcher says so for sure, each cell may tell."""
        if self._looks >= _LOOKS or (self._looks and self.identity.sure):
            return
        self._looks += 1
        guessed = self.identity.notebook
        if guessed not in (None, UNKNOWN) and holds(Path(guessed), [source]):
            return  # it agrees with what was guessed: the others need not be read again
        assert self._shell is not None
        texts = [str(t) for t in _inputs(self._shell)[1:number]]
        self.identity = identify(self._shell, [*texts, source])

    def _ended(self, result: ExecutionResult | None) -> None:
        if (
            result is None
            or result.info is None
            or not result.info.store_history
            or self.in_subshell
        ):
            return
        with guarded("looking at what a cell made"):
            self.after()


def _inputs(shell: InteractiveShell) -> Sequence[str]:
    """The cells that ran, as they were typed; the first stands for none."""
    assert shell.history_manager is not None
    texts: Sequence[str] = shell.history_manager.input_hist_raw
    return texts


def text_digest(source: str) -> str:
    """A short hash of a cell's text, to see whether it was edited since."""
    return hashlib.blake2b(
        source.strip().encode("utf-8", "surrogatepass"), digest_size=6
    ).hexdigest()


def _id_of_request(shell: InteractiveShell) -> str | None:
    """The id that the frontend gave the cell whose message is being answered."""
    kernel: object = getattr(shell, "kernel", None)
    parent = kernel.get_parent() if hasattr(kernel, "get_parent") else {}
    found = (parent or {}).get("metadata", {}).get("cellId")
    return found if isinstance(found, str) else None
