"""Keeps, for each open run, where it came from: commit, packages, the cells that ran."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from ...notebook import provenance
from ...patching import threads
from ...paths import private_folder
from ...records.outbox import CellsEntry, OriginEntry
from ...records.retrieval import Cell
from ...records.run import Origin, RunRef
from .. import spool_files

if TYPE_CHECKING:
    from ...notebook.cells import Cells
    from ..notices import Notices
    from ..recording import Recording


# What MLflow takes for the source of a headless notebook.
_LAUNCHERS = ("ipykernel_launcher.py", "ipykernel/__main__.py", "colab_kernel_launcher.py",
              "ipyparallel/engine/__main__.py", "jupyter-console", "spyder_kernels")  # fmt: skip
_FRESH = 60.0  # seconds for which the packages are taken as they were: a search starts many runs


class RunOrigins:
    """The notebook behind each open run: written beside the outbox, sent when the run ends."""

    def __init__(self, cells: Cells, recording: Recording, notices: Notices, spool: Path) -> None:
        self._cells = cells
        self._recording = recording
        self._notices = notices
        self._spool = spool
        self._kernel = uuid4().hex[:8]
        self._runs: dict[str, RunRef] = {}
        self._looking: threading.Thread | None = None
        self._found = Origin()
        self._packages: tuple[float, dict[str, str]] = (0.0, {})

    @property
    def cell(self) -> Cell | None:
        """The cell that runs."""
        return self._cells.current

    @property
    def notebook(self) -> str | None:
        """The notebook of the cell that runs."""
        return self.cell.notebook if self.cell else None

    @property
    def _keeps_cells(self) -> bool:
        return self._notices.interactive and self._cells.kept

    def source_instead_of(self, source: str) -> str | None:
        """What MLflow's Source column is to say, where MLflow took the launcher or the name alone.

        A notebook has one name there, by whichever door its run began.
        """
        known = self._cells.identity.source
        if known is None or source == known:
            return None
        guessed = source.endswith(_LAUNCHERS) or Path(source).name == Path(known).name
        return known if guessed else None

    def opened(self, run: RunRef) -> None:
        """A run began; a notebook's cells are kept from here on, and survive the kernel."""
        self._runs[run.id] = run
        self._look()
        if not self._keeps_cells:
            return
        path = self._path(run.id)
        self._write_cells(path)
        self._recording.put(run, CellsEntry(str(path)), soon=False)

    def cell_ended(self) -> None:
        """Another cell ran: the copies of all open runs have it too."""
        for run_id in list(self._runs) if self._keeps_cells else ():
            self._write_cells(self._path(run_id))

    def ends(self, run: RunRef, used: Iterable[Cell | None]) -> None:
        """A run is about to end: say where it came from, and what to beware of."""
        if self._runs.pop(run.id, None) is None:
            return
        if self._keeps_cells:
            self._write_cells(self._path(run.id))
        if self._looking is not None:
            self._looking.join(5.0)
        found = replace(self._found, cautions=self.cautions(used))
        self._recording.put(run, OriginEntry(found), soon=False)

    def forget(self, run: RunRef) -> None:
        """A script's run ended that retrieved nothing: nobody asks where it came from."""
        self._runs.pop(run.id, None)

    def cautions(self, used: Iterable[Cell | None]) -> tuple[str, ...]:
        """What to know of the cells that a run depends on."""
        return provenance.cautions(self._cells.executed, used)

    def _look(self) -> None:
        """Ask git and the installed packages, in the background: neither changes often."""
        if self._looking is not None and self._looking.is_alive():
            return
        notebook = self._cells.notebook

        def look() -> None:
            at, packages = self._packages
            if not packages or time.monotonic() - at > _FRESH:
                self._packages = time.monotonic(), provenance.packages()
            self._found = provenance.of(notebook, self._packages[1])

        def begun_anew() -> None:
            threads.do(look, wake=lambda: None, stopped=lambda: False)

        self._looking = threads.start(begun_anew, "origin")

    def _path(self, run_id: str) -> Path:
        return spool_files.cells_path(self._spool, run_id, self._kernel)

    def _write_cells(self, path: Path) -> None:
        cells = self._cells
        notebook = provenance.cells_notebook(cells.history, cells.executed, self._kernel)
        try:
            private_folder(path.parent)
            draft = path.with_suffix(f".{os.getpid()}")
            draft.touch(0o600)
            draft.write_text(json.dumps(notebook, indent=1), encoding="utf-8")
            draft.replace(path)
        except OSError as problem:
            self._notices.say(f"the cells of a run cannot be kept in {self._spool}: {problem}")
