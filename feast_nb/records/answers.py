"""What the session answers when it is asked about a model or a run."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NotRequired

from typing_extensions import TypedDict

from .contract import Contract
from .document import Document
from .record import Record

if TYPE_CHECKING:
    import pandas as pd

_PARTS = {"ttl": "TTL", "query": "source's query", "code": "code", "entities": "join key",
          "location": "source's place", "schema": "schema", "view": "view",
          "policy": "label policy"}  # fmt: skip

Grade = Literal["breaks serving", "needs retraining", "safe"]


@dataclass(frozen=True)
class Change(Record):
    """A difference between what a contract expects and what the registry says today.

    `what` is a reference or a view's name; `old` and `new` are shown as they are.
    """

    kind: Literal[
        "removed", "renamed", "retyped", "redefined", "added", "reordered", "moved", "unavailable"
    ]
    what: str
    grade: Grade
    part: str | None = None
    old: str | None = None
    new: str | None = None

    @property
    def said(self) -> str:
        """The change in one line; of long texts the first line that differs."""
        if self.kind == "renamed":
            return f"{self.old} is gone; {self.new} is defined the same (renamed?)"
        if self.kind == "unavailable":
            return f"{self.what} is {self.new}"
        if self.kind == "retyped" and self.old:
            return f"{self.what} was {self.old}, is {self.new}"
        if self.kind in ("redefined", "moved"):
            if (self.old is None or self.new is None) and self.part == "code":
                return f"the code of {self.what} is another one"
            old, new = _first_difference(self.old or "unknown", self.new or "unknown")
            return f"the {_PARTS.get(str(self.part), self.part)} of {self.what} was {old}, is {new}"
        return f"{self.what} {'was' if self.kind == 'retyped' else 'is'} {self.kind}"

    @property
    def diff(self) -> str:
        """Old and new text line by line, where either has several lines; else nothing."""
        old, new = (self.old or "").splitlines(), (self.new or "").splitlines()
        if len(old) < 2 and len(new) < 2:
            return ""
        return "\n".join(difflib.unified_diff(old, new, "trained on", "today", lineterm=""))


@dataclass(frozen=True)
class Resolution(Document):
    """What to serve a model with: its service where that is still right, and its references.

    `refs` are in the model's order. `features` is what `get_online_features` and
    `get_historical_features` take as `features=`; it is no part of the record. `basis` says
    where the answer is from: the model's contract, or a tag or artifact of Feast's.
    """

    kind: ClassVar[str] = "resolution"
    model: str
    refs: tuple[str, ...]
    service: str | None = None
    basis: Literal["contract", "version tag", "run tag", "feast_features.json"] = "contract"
    drift: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    contract: Contract | None = None
    features: Any = field(default=None, compare=False, metadata={"kept": False})


@dataclass(frozen=True)
class Feature(Record):
    """A feature that a model takes: where it comes from, and how it was in training.

    `nulls` is a share; `ttl` is in words; `input` counts from one.
    """

    input: int
    ref: str
    column: str
    dtype: str | None = None
    declared: str | None = None
    source: str | None = None
    owner: str | None = None
    description: str | None = None
    ttl: str | None = None
    nulls: float | None = None
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class ModelFeatures(Document):
    """The features of a model, in its own order, and its other inputs."""

    kind: ClassVar[str] = "features"
    model: str
    features: tuple[Feature, ...] = ()
    others: tuple[str, ...] = ()
    order: str = "unknown"
    service: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference(Record):
    """Something that two models have each in their own way; None where one has it not."""

    what: str
    one: str | None = None
    other: str | None = None


@dataclass(frozen=True)
class ModelDiff(Document):
    """Two models side by side: features and order, definitions, data, metrics."""

    kind: ClassVar[str] = "model_diff"
    one: str
    other: str
    features: tuple[Difference, ...] = ()
    definitions: tuple[Change, ...] = ()
    data: tuple[Difference, ...] = ()
    metrics: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing but names and metrics tells them apart."""
        return not (self.features or self.definitions or self.data)


@dataclass(frozen=True)
class ColumnDifference(Record):
    """How many values of a column differ, and a few of them: where, what was, what is."""

    name: str
    differ: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reproduction(Document):
    """A training frame retrieved again, and how it compares with what the run recorded.

    `missing` and `new` count rows; `frame` is no part of the record. `because` says which
    definition or source changed since.
    """

    kind: ClassVar[str] = "reproduction"
    run_id: str
    refs: tuple[str, ...]
    retrieval: str | None = None
    rows: int = 0
    verdict: Literal["not compared", "identical", "reordered", "different"] = "not compared"
    missing: int = 0
    new: int = 0
    columns: tuple[ColumnDifference, ...] = ()
    because: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    frame: Any = field(default=None, compare=False, metadata={"kept": False})


@dataclass(frozen=True)
class Score(Document):
    """What a model was fed and how much of it was missing: `feast/score.json` of its run.

    `absent` counts entities that the store does not know, `stale` those with a value older than
    its view's TTL, `nulls` the missing values of each input.
    """

    kind: ClassVar[str] = "score"
    model: str
    run_id: str
    rows: int
    mode: Literal["online", "historical"] = "online"
    absent: int = 0
    stale: int = 0
    nulls: dict[str, int] = field(default_factory=dict)
    fingerprint: str | None = None
    notes: tuple[str, ...] = ()
    verbose: bool = field(default=False, compare=False, metadata={"kept": False})


@dataclass(frozen=True)
class RecentRun(Record):
    """A run as a list of runs shows it: `counts_as` says what for."""

    id: str
    name: str
    status: str
    counts_as: str
    started: str | None = None
    seconds: float | None = None
    user: str | None = None
    service: str | None = None
    features: int = 0
    rows: int | None = None
    models: tuple[str, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    notebook: str | None = None
    experiment: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class RecentRuns(Document):
    """The newest runs of a project, newest first."""

    kind: ClassVar[str] = "runs"
    project: str
    runs: tuple[RecentRun, ...] = ()
    as_of: str | None = None
    now: str | None = None
    notes: tuple[str, ...] = ()

    def to_pandas(self) -> pd.DataFrame:
        """One row for each run."""
        from . import exports

        return exports.runs_frame(self)


@dataclass(frozen=True)
class Operation(Record):
    """One `apply` or `materialize`: what it changed or wrote, over which range, how long.

    `changed` is what Feast's log names without saying how. `grade` is the gravest of an apply's
    changes, `reason` why it was applied all the same, `trouble` why it failed.
    """

    what: str
    status: str
    at: str | None = None
    seconds: float | None = None
    views: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    user: str | None = None
    url: str | None = None
    grade: str | None = None
    reason: str | None = None
    trouble: str | None = None


@dataclass(frozen=True)
class Erasure(Document):
    """Which of a run's rows were erased, and what could not be reached and why."""

    kind: ClassVar[str] = "erasure"
    run_id: str
    erased: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operations(Document):
    """What was done to a project's registry and stores, newest first."""

    kind: ClassVar[str] = "operations"
    project: str
    operations: tuple[Operation, ...] = ()
    as_of: str | None = None
    now: str | None = None
    notes: tuple[str, ...] = ()

    def to_pandas(self) -> pd.DataFrame:
        """One row for each operation."""
        from . import exports

        return exports.operations_frame(self)


class OperationsAnswer(TypedDict):
    """`operations`: of an `Operations` what the panel reads, or why there are none."""

    operations: tuple[Operation, ...]
    as_of: str | None
    notes: NotRequired[list[str]]
    reason: NotRequired[str]


def _first_difference(old: str, new: str) -> tuple[str, str]:
    """The first line of each of two texts that the other has not."""
    if "\n" not in old and "\n" not in new:
        return old, new
    gone, came = "", ""
    for line in difflib.ndiff(old.splitlines(), new.splitlines()):
        if line.startswith("- ") and not gone:
            gone = line[2:].strip()
        elif line.startswith("+ ") and not came:
            came = line[2:].strip()
    return gone or "without it", came or "without it"
