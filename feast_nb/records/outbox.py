"""What waits for MLflow on disk: each thing that happened in a run is an entry of the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from .contract import Contract
from .record import Record, check_fields
from .retrieval import Retrieval, Write
from .run import Origin

SCHEMA_VERSION = "1.3"
OPERATION = "operation-"  # before the id of one, where a run's id would be: it has none yet


class OutboxEntry(Record):
    """One thing that happened; a later entry of the same `key` takes its place."""

    kind: ClassVar[str]

    @property
    def key(self) -> str:
        return self.kind

    def after(self, earlier: OutboxEntry) -> Self:
        """This entry where it takes the place of an earlier one that MLflow does not have yet."""
        return self

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **super().to_dict()}


@dataclass(frozen=True)
class RunStart(OutboxEntry):
    """A run was opened in a notebook, or opened again.

    `kernel`: by a kernel, which ends it when it ends; where it dies, the next session does.
    """

    kind: ClassVar[str] = "opened"
    notebook: str | None = None
    name: str | None = None
    source: str | None = None
    resumed: bool = False
    kernel: bool = False

    @property
    def key(self) -> str:
        """A run that goes on was begun all the same: one does not replace the other."""
        return "opened again" if self.resumed else "opened"

    def after(self, earlier: OutboxEntry) -> Self:
        if not isinstance(earlier, RunStart):
            return self
        return replace(
            self,
            notebook=self.notebook or earlier.notebook,
            name=self.name or earlier.name,
            source=self.source or earlier.source,
            resumed=self.resumed or earlier.resumed,
            kernel=self.kernel or earlier.kernel,
        )


@dataclass(frozen=True)
class RunEnd(OutboxEntry):
    """A run ended; `late` where MLflow has yet to be told so."""

    kind: ClassVar[str] = "ended"
    status: str
    late: bool = False


@dataclass(frozen=True)
class RetrievalEntry(OutboxEntry):
    """A retrieval as it is known now, for the run that made or uses it."""

    kind: ClassVar[str] = "retrieval"
    retrieval: Retrieval
    inherited_from: str | None = None

    @property
    def key(self) -> str:
        return f"retrieval {self.retrieval.id}"

    def after(self, earlier: OutboxEntry) -> Self:
        if isinstance(earlier, RetrievalEntry) and self.inherited_from is None:
            return replace(self, inherited_from=earlier.inherited_from)
        return self


@dataclass(frozen=True)
class RepeatEntry(OutboxEntry):
    """A call that was made again: what is recorded of it counts it, and says when the last was."""

    kind: ClassVar[str] = "repeat"
    retrieval_id: str
    count: int
    last: str | None = None

    @property
    def key(self) -> str:
        return f"retrieval {self.retrieval_id}"

    def counted(self, earlier: OutboxEntry | None) -> RetrievalEntry:
        """The whole entry that it changes. Raises `ValueError` where that is not there."""
        if not isinstance(earlier, RetrievalEntry):
            raise ValueError(f"it repeats {self.retrieval_id}, which is not there")
        counted = replace(earlier.retrieval, count=self.count, last=self.last)
        return replace(earlier, retrieval=counted)


@dataclass(frozen=True)
class WriteEntry(OutboxEntry):
    """Features that the run wrote to a store."""

    kind: ClassVar[str] = "write"
    write: Write

    @property
    def key(self) -> str:
        return f"write {self.write.id}"


@dataclass(frozen=True)
class ContractEntry(OutboxEntry):
    """The contract of a model that the run logged."""

    kind: ClassVar[str] = "contract"
    contract: Contract

    @property
    def key(self) -> str:
        return f"contract {self.contract.model_id}"


@dataclass(frozen=True)
class VersionEntry(OutboxEntry):
    """A model of the run that was registered, as a version of a name."""

    kind: ClassVar[str] = "version"
    name: str
    version: str
    model_id: str | None = None

    @property
    def key(self) -> str:
        return f"version {self.name}/{self.version}"


@dataclass(frozen=True)
class OriginEntry(OutboxEntry):
    """The notebook, commit and packages behind the run."""

    kind: ClassVar[str] = "origin"
    origin: Origin


@dataclass(frozen=True)
class CellsEntry(OutboxEntry):
    """The file that holds the cells as they ran."""

    kind: ClassVar[str] = "cells"
    path: str

    @property
    def key(self) -> str:
        """Each kernel that worked on a run has its own."""
        return f"cells {self.path}"


@dataclass(frozen=True)
class FileEntry(OutboxEntry):
    """A file or folder that becomes an artifact, and is removed when MLflow has it."""

    kind: ClassVar[str] = "file"
    path: str
    artifact: str

    @property
    def key(self) -> str:
        return f"file {self.artifact}"


@dataclass(frozen=True)
class OperationEntry(OutboxEntry):
    """Something that was done to a registry or a store: it becomes a run of its own.

    `what` is Feast's own word for it, `began` and `at` when it began and ended, in ms; `record` is
    the JSON of the plan or the materialization, `trouble` why it failed. `had_database`: the file
    of a SQLite address was there; one that is away now is not to be made anew.
    """

    kind: ClassVar[str] = "operation"
    id: str
    experiment: str
    project: str
    what: str
    began: int
    at: int
    tags: dict[str, str] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    record: str = ""
    trouble: str | None = None
    had_database: bool = False

    @property
    def key(self) -> str:
        return f"operation {self.id}"


_KINDS: dict[str, type[OutboxEntry]] = {
    each.kind: each
    for each in (
        RunStart, RunEnd, RetrievalEntry, RepeatEntry, WriteEntry, ContractEntry, VersionEntry,
        OriginEntry, CellsEntry, FileEntry, OperationEntry,
    )
}  # fmt: skip


def entry_of(line: Mapping[str, Any]) -> OutboxEntry:
    """The entry in a line of an outbox; lines without a `schema_version` are of 0.1.

    Raises `ValueError` that says why for one that this version cannot read.
    """
    version = str(line.get("schema_version", SCHEMA_VERSION))
    if version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise ValueError(f"it has shape {version}, and this version reads {SCHEMA_VERSION}")
    try:
        data = line["entry"]
        kind = _KINDS[data["kind"]]
    except (TypeError, KeyError) as problem:
        raise ValueError(f"it is of no known kind ({problem})") from None
    try:
        check_fields(kind, data)
        return kind.from_dict(data)
    except (TypeError, KeyError, AttributeError, ValueError) as problem:
        raise ValueError(f"it is no {kind.kind}: {problem}") from None
