"""The notebook in which all this happens: its path, and the cells as they were executed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..patching.interrupts import guarded
from . import dataflow

if TYPE_CHECKING:
    from ..records.retrieval import Cell

UNKNOWN = "notebook"
_LOOKS = 20  # cells after which an unknown notebook stays unknown


class ExecutedCell(NamedTuple):
    """A cell as it ran: which one, its text, and when (seconds since 1970)."""

    cell: Cell
    source: str
    at: float


class Cells:
    """The cells that run, told by IPython's events; outside IPython there is none.

    `before` is called when a cell starts, `after` when it has ended; cells that a magic runs do
    not count: the outer one is the user's.
    """

    def __init__(self) -> None:
        self.current: Cell | None = None
        self.source = ""
        self.notebook: str | None = None
        self.executed: list[ExecutedCell] = []
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self._shell: Any = None
        self._looks = 0

    def watch(self, shell: Any) -> None:
        self._shell = shell
        shell.events.register("pre_run_cell", self._started)
        shell.events.register("post_run_cell", self._ended)

    def unwatch(self) -> None:
        if self._shell is not None:
            self._shell.events.unregister("pre_run_cell", self._started)
            self._shell.events.unregister("post_run_cell", self._ended)
            self._shell = None

    @property
    def namespace(self) -> Mapping[str, Any]:
        """The notebook's variables; none outside of one."""
        return self._shell.user_ns if self._shell is not None else {}

    @property
    def code(self) -> str:
        """The Python of the running cell, without its magics."""
        plain = dataflow.without_magic(self.source)
        return str(self._shell.transform_cell(plain)) if self._shell is not None else plain

    @property
    def line(self) -> int | None:
        """The line of `code` that runs now, in this thread; None between cells and elsewhere."""
        if self._shell is None:
            return None
        cells = getattr(self._shell.compile, "_filename_map", {})
        frame = sys._getframe()
        while frame is not None:
            name = frame.f_code.co_filename
            is_cells = name in cells or name.startswith("<timed")  # as `%%time` compiles it
            if is_cells and frame.f_globals is self._shell.user_ns:
                return frame.f_lineno
            frame = frame.f_back  # type: ignore[assignment]
        return None

    @property
    def history(self) -> list[str]:
        """The text of every cell that ran in this kernel, in the order in which they ran."""
        if self._shell is None:
            return []
        return [str(text) for text in self._shell.history_manager.input_hist_raw[1:]]

    def _started(self, info: Any) -> None:
        if not info.store_history:  # a cell run by a magic: the outer one is the user's
            return
        self.source = info.raw_cell or ""
        if self.notebook in (None, UNKNOWN) and self._looks < _LOOKS:
            # A cell that several notebooks hold (`%load_ext feast_nb`) tells nothing; later ones
            # do.
            self._looks += 1
            self.notebook = path_of(self._shell.user_ns, self.source)
        from ..records.retrieval import Cell

        self.current = Cell(
            # IPython 9 counts up before this event, IPython 8 after it; the inputs kept so far
            # are the same in both.
            number=len(self._shell.history_manager.input_hist_raw),
            notebook=self.notebook,
            digest=text_digest(self.source),
            id=getattr(info, "cell_id", None),
        )
        self.executed.append(ExecutedCell(self.current, self.source, time.time()))
        with guarded("looking at what a cell reads"):
            self.before()

    def _ended(self, result: Any) -> None:
        if result is None or not result.info.store_history:
            return
        with guarded("looking at what a cell made"):
            self.after()


def text_digest(source: str) -> str:
    """A short hash of a cell's text, to see whether it was edited since."""
    return hashlib.blake2b(
        source.strip().encode("utf-8", "surrogatepass"), digest_size=6
    ).hexdigest()


def path_of(namespace: dict[str, Any], source: str = "") -> str | None:
    """The path of the running notebook, or None in a plain script or terminal.

    In this order: VS Code's variable, the Jupyter server's session name (only where the parent
    process is a Jupyter server: kernels that nbclient starts inherit a stale one), a path on the
    command line of what runs the notebook headless, the only notebook here that holds the cell.
    """
    if "ipykernel" not in sys.modules:
        return None
    if isinstance(vscode := namespace.get("__vsc_ipynb_file__"), str):
        return vscode
    parent = _parent_arguments()
    session = os.environ.get("JPY_SESSION_NAME", "")
    named = [a for a in parent[1:] if a.endswith(".ipynb") and Path(a).is_file()]
    if session.endswith(".ipynb") and any("jupyter" in a for a in parent) and not named:
        return session
    if named:
        return str(Path(named[0]).resolve())
    return _only_holder(source) or UNKNOWN


def _parent_arguments() -> list[str]:
    import psutil

    try:
        parent = psutil.Process().parent()
        return parent.cmdline() if parent else []
    except psutil.Error:
        return []


def _only_holder(source: str) -> str | None:
    """The one notebook in the working folder that has this text as a cell."""
    wanted = source.strip()
    if not wanted:
        return None
    holders = []
    for path in sorted(Path.cwd().glob("*.ipynb"))[:50]:
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            texts = ["".join(cell["source"]).strip() for cell in cells]
        except (OSError, ValueError, TypeError, KeyError):
            continue  # no notebook, or a broken one
        if wanted in texts:
            holders.append(str(path.resolve()))
    return holders[0] if len(holders) == 1 else None
