"""A retrieval: what was asked of which views, with which entities, and what came back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from .document import Document
from .record import Record
from .references import column_names, split_version

# Feast's own entity of views without one: `__dummy`, with the join key `__dummy_id`. Its objects
# have it or not, as they were asked before; nothing of the user's is called so.
NO_ENTITY = "__dummy"

TRAINING_FRAME = "entity_df.parquet"  # the artifact in which Feast's tools look for one

LinkedBy = Literal["attrs", "name", "columns", "declared", "parent"]


ViewKind = Literal["batch", "stream", "on_demand", "label"]


@dataclass(frozen=True, slots=True)
class ViewDefinition(Record):
    """A feature view as it was defined when it was read.

    `name` is the one used in references (a service may rename a view), `view` the registry's.
    `hashes` holds one short hash for each of schema, entities, ttl, code, query and location;
    `reads` are the references that an on-demand view computes from. `unavailable` is why Feast
    does not serve it now (`disabled`, say).
    """

    name: str
    view: str
    kind: ViewKind = "batch"
    version: str | None = None
    hashes: dict[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    unavailable: str | None = None

    @property
    def address(self) -> str:
        """Its registered name, with the version where references pin one: `stats@v1`."""
        pinned = split_version(self.name)[1]
        return self.view if pinned is None else f"{self.view}@v{pinned}"

    @property
    def is_of_its_version(self) -> bool:
        """Whether the hashes are those of a pinned version: 0.1 recorded the newest one's."""
        pinned = split_version(self.name)[1]
        return pinned is None or self.version == str(pinned)


def entity_place(id: str) -> str:
    """The artifact that holds the entity frame of a retrieval, where it is not the first."""
    return f"feast/entities/{id}.parquet"


@dataclass(frozen=True)
class Span(Record):
    """A timestamp column and the first and last moment in it, in ISO 8601, UTC."""

    column: str
    min: str | None = None
    max: str | None = None


_ELSEWHERE = "it is kept in "


@dataclass(frozen=True, slots=True)
class EntityFrame(Record):
    """The keys and timestamps that were asked for: none of them in a saved dataset, in a search.

    `artifact` is where the run keeps a copy; without one, `reason` says why. `changed` says what
    the copy does not give back as it was (an index, say). For SQL and date ranges `rows` and
    `fingerprint` are those of the entity rows that came back.
    """

    kind: Literal["dataframe", "sql", "range", "spark", "rows", "dataset", "search"]
    rows: int | None = None
    columns: tuple[str, ...] = ()
    join_keys: tuple[str, ...] = ()
    timestamp: Span | None = None
    query: str | None = None
    start: str | None = None
    end: str | None = None
    fingerprint: str | None = None
    artifact: str | None = None
    reason: str | None = None
    changed: tuple[str, ...] = ()

    def kept_in(self, address: str) -> EntityFrame:
        """The same for a further run: the copy is that of the run which retrieved it."""
        return replace(self, artifact=None, reason=f"{_ELSEWHERE}{address}")

    @property
    def elsewhere(self) -> str | None:
        """The address of the copy that another run keeps: `runs:/…`."""
        address = (self.reason or "").removeprefix(_ELSEWHERE)
        return address if address.startswith("runs:/") else None


@dataclass(frozen=True, slots=True)
class Column(Record):
    """A column of a result: its Arrow type, its missing values, and of numbers the range."""

    name: str
    dtype: str
    nulls: int | None = None
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class DroppedRows(Record):
    """Rows asked for that did not come back as asked, and which kind of rows they were."""

    rows: int
    why: str


@dataclass(frozen=True)
class LateValues(Record):
    """Values of a view that were not there yet at the moment of their row.

    `rows` of the `looked_at` ones; `by` says what is later: the value's own moment (`event`), or
    only when it was written (`created`). `alone`: the offline store gives another value where it is
    asked for the row by itself, and what the source holds cannot be read from here.
    """

    view: str
    rows: int
    looked_at: int
    by: Literal["event", "created", "alone"] = "event"

    @property
    def said(self) -> str:
        head = f"{self.rows:,} of {self.looked_at:,} rows that were looked up have a value of"
        if self.by == "event":
            return f"{head} {self.view} from after their own moment, which nobody had then."
        if self.by == "alone":
            return (
                f"{self.rows:,} of {self.looked_at:,} rows that were asked for again by themselves "
                f"have other values of {self.view}: theirs may be from after their own moment."
            )
        return (
            f"{head} {self.view} that was written after their own moment; "
            "filter_by_created_timestamp=True leaves such values out."
        )


@dataclass(frozen=True, slots=True)
class Result(Record):
    """What came back. `dropped` is rows asked less rows given: negative where rows doubled.

    `artifact` is where the run keeps a copy, by which a later one is compared value by value.
    `late` are values that were not there yet at the moment of their row.
    """

    rows: int
    dropped: int = 0
    losses: tuple[DroppedRows, ...] = ()
    columns: tuple[Column, ...] = ()
    fingerprint: str | None = None
    row_order: str | None = None
    artifact: str | None = None
    late: tuple[LateValues, ...] = ()


@dataclass(frozen=True, slots=True)
class Seconds(Record):
    """Wall time: of the call that made the job, and of the job itself once it ran."""

    submit: float
    run: float | None = None


@dataclass(frozen=True, slots=True)
class Source(Record):
    """What identifies a data source at the time it was read.

    `path` of files and objects (`files` counts those of a folder), `table` of databases; `rows`
    and `newest` (its last event) where a Parquet footer tells them. `unseen` says why it could not
    be looked at from where it was read.
    """

    name: str
    kind: str
    path: str | None = None
    size: int | None = None
    modified: str | None = None
    etag: str | None = None
    files: int | None = None
    rows: int | None = None
    newest: str | None = None
    table: str | None = None
    unseen: str | None = None


@dataclass(frozen=True)
class Cell(Record):
    """The cell that did it: its number in this kernel, its notebook, its id, a hash of its text."""

    number: int | None = None
    notebook: str | None = None
    digest: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Retrieval(Record):
    """One call of Feast's that reads features, with what came back.

    `call` names it where it is another than `get_historical_features` or `get_online_features`.
    `arguments` are those that this record has no field for, each where it is not Feast's default.
    `refs` are complete and in the order asked. `service` is set only where it is true: given to
    the call, or exactly equal to what was asked (`service_basis`). `count` is how many identical
    online calls this record stands for. `registry` hashes every definition of the project,
    `kept` says where the result was written to, if it was; `beside` names columns that came
    unasked, those that on-demand views compute from, with their references, and `behind` holds the
    views that these read and nobody asked for. `unseen` says why the registry could not be looked
    at: views, sources and join keys are not known then.

    A run that trained on a frame retrieved elsewhere has a copy: `linked_by` says how the two
    were brought together (the frame's own mark, the variables that the cell reads, matching
    columns, the user's word, or the parent run that a nested run inherits from), and `origin` in
    which run it was made, if in one.
    """

    id: str
    kind: Literal["historical", "online"]
    project: str
    refs: tuple[str, ...]
    state: Literal["submitted", "ran", "failed"] = "submitted"
    service: str | None = None
    service_basis: Literal["given", "exact", "none"] = "none"
    services: tuple[str, ...] = ()
    views: tuple[ViewDefinition, ...] = ()
    behind: tuple[ViewDefinition, ...] = ()
    entity: EntityFrame = field(default_factory=lambda: EntityFrame("dataframe"))
    result: Result | None = None
    seconds: Seconds = field(default_factory=lambda: Seconds(0.0))
    sources: tuple[Source, ...] = ()
    full_feature_names: bool = False
    call: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    cell: Cell | None = None
    run_id: str | None = None
    linked_by: LinkedBy | None = None
    origin: str | None = None
    registry: str | None = None
    kept: str | None = None
    beside: dict[str, str] = field(default_factory=dict)
    count: int = 1
    at: str | None = None
    last: str | None = None
    error: str | None = None
    unseen: str | None = None

    def column_of(self, ref: str) -> str:
        """The name that a reference's values have in the result, short or full."""
        names = column_names(ref, self.full_feature_names)
        given = {c.name for c in self.result.columns} if self.result and len(names) > 1 else ()
        return next((name for name in names if name in given), names[0])

    def columns(self) -> dict[str, str]:
        """Result column → reference, in the order asked."""
        return {self.column_of(ref): ref for ref in self.refs}

    def columns_given(self) -> dict[str, str]:
        """Result column → reference, in the order of the frame: Feast groups them by view."""
        asked = self.columns()
        frame = [c.name for c in self.result.columns if c.name in asked] if self.result else []
        return {name: asked[name] for name in dict.fromkeys((*frame, *asked))}


@dataclass(frozen=True)
class Write(Record):
    """Features that a run wrote: by a push, or straight to the online or offline store."""

    id: str
    call: Literal["push", "write_to_online_store", "write_to_offline_store"]
    to: Literal["online", "offline", "online_and_offline"]
    project: str
    name: str
    views: tuple[str, ...] = ()
    state: Literal["ran", "failed"] = "ran"
    rows: int | None = None
    columns: tuple[Column, ...] = ()
    fingerprint: str | None = None
    seconds: float | None = None
    cell: Cell | None = None
    run_id: str | None = None
    at: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Retrievals(Document):
    """Every retrieval of a run, whole and in order, and what it wrote: `feast/retrievals.json`.

    `definitions` holds what the hashes of the views stand for. A run that several processes wrote
    to has a file of each; `writer` says whose one is.
    """

    kind: ClassVar[str] = "retrievals"
    run_id: str
    retrievals: tuple[Retrieval, ...] = ()
    writes: tuple[Write, ...] = ()
    definitions: dict[str, Any] = field(default_factory=dict)
    writer: str | None = None
