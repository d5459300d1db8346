"""What the running cell reads: frames that came from retrievals, here or in earlier cells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ... import frames
from ...frames import matching
from ...notebook import dataflow
from ...notebook.run_region import RunRegion
from ...records.retrieval import LinkedBy

if TYPE_CHECKING:
    from ...notebook.cells import Cells
    from ..retrieval_table import RetrievalTable


# The first line of a training that retrieves, which binds the training frame's variable.
_INTO = re.compile(r"\s*%%feast_train\b(.*)")
_RETRIEVES = re.compile(r"--(?:service|features)\b")
_NAMED = re.compile(r"--into[ =](\w+)")


class FrameLinks:
    """Follows frames from the retrieval that gave them through the variables of a notebook."""

    def __init__(self, cells: Cells, table: RetrievalTable) -> None:
        self._cells = cells
        self._table = table
        self._kin = matching.FrameLineage()
        self._stale: dict[str, int] = {}
        self._begun: dict[str, int | None] = {}
        self._held: dict[str, frozenset[str]] = {}

    def of(self, value: object) -> dict[str, LinkedBy]:
        """Retrieval → how it is known that a value came from it."""
        known = self._table.retrievals
        return {id: by for id, by in self._kin.of(value).items() if id in known}

    def of_names(self, names: set[str], namespace: Mapping[str, object]) -> dict[str, LinkedBy]:
        """What variables came from: by marks and making, and frames of nobody's by their shape."""
        found: dict[str, LinkedBy] = {}
        strangers = []
        for name in sorted(names):
            value = namespace.get(name)
            mine = self.of(value)
            if not mine and frames.is_pandas(value):
                strangers.append(value)
            for id, by in mine.items():
                if matching.more_certain(by, found.get(id)):
                    found[id] = by
        retrievals = list(self._table.retrievals.values())
        for frame in strangers:
            match = matching.of_shape(frame, retrievals)
            if match is not None:
                found.setdefault(match.id, "columns")
        return found

    def begin(self) -> None:
        """A cell starts: what it binds before it reads it holds another cell's value until then."""
        cells = self._cells
        self._begun = {}
        own = dataflow.names_loaded(cells.code) - dataflow.names_read(cells.code)
        into = _INTO.match(dataflow.magic_line(cells.source))
        if into is not None and _RETRIEVES.search(into[1]):
            named = _NAMED.search(into[1])
            own.add(named[1] if named else "training_df")
        self._stale = {n: id(cells.namespace[n]) for n in own if n in cells.namespace}
        read = dataflow.names_read(cells.code) - own if self._table.retrievals else set()
        self._held = {n: frozenset(self.of(cells.namespace.get(n))) for n in read}

    def run_begun(self, run_id: str) -> dict[str, LinkedBy]:
        """A run begins: what the code that follows reads of what is there already."""
        line = self._begun[run_id] = self._cells.line
        if line is None or not self._table.retrievals:
            return self.now
        return self._now_of(self._region(line).names_read)

    def of_run(self, run_id: str) -> dict[str, LinkedBy]:
        """What the cell's code read while a run was open, as the variables are now."""
        start = self._begun.get(run_id)
        if start is None:  # it was open before the cell, or is of another thread
            return self.now
        return self._now_of(self._region(start, self._cells.line).names_loaded)

    def _region(self, start: int, end: int | None = None) -> RunRegion:
        cells = self._cells
        data = {n for n, v in list(cells.namespace.items()) if hasattr(v, "shape")
                or type(v) in (list, dict)}  # fmt: skip
        return RunRegion(cells.code, start, end, data)

    @property
    def now(self) -> dict[str, LinkedBy]:
        """What the running cell reads, as its variables are now; nothing outside a notebook."""
        return self._now_of(dataflow.names_loaded(self._cells.code))

    def _now_of(self, names: set[str]) -> dict[str, LinkedBy]:
        space = self._cells.namespace
        if not space or not self._table.retrievals:
            return {}
        fresh = {n for n in names if n in space and self._stale.get(n) != id(space[n])}
        return self.of_names(fresh, space)

    def learn(self) -> None:
        """After a cell: what it made from frames of retrievals came from these too."""
        cells = self._cells
        if self._table.retrievals:
            self.learn_from(cells.code, cells.namespace)

    def learn_from(self, source: str, namespace: Mapping[str, object]) -> None:
        """Follow the assignments of some code that has run.

        What a variable held before the cell counts for the value that is made of it and takes its
        place: `df = pd.DataFrame(df.to_dict())`.
        """
        for changed, read in dataflow.flows(source):
            ids = {id for name in read for id in self.of(namespace.get(name))}
            for name in changed & read:
                ids |= self._held.get(name, frozenset())
            for name in changed if ids else ():
                self._kin.learn(namespace.get(name), ids)
