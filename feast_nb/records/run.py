"""Runs as a notebook shows them: where each came from, what a training made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from .contract import ModelVersion
from .document import Document
from .record import Record
from .retrieval import Cell, Retrieval, Write


class RunRef(NamedTuple):
    """The run that a record belongs to, and where its server is."""

    id: str
    tracking_uri: str


@dataclass(frozen=True)
class Origin(Document):
    """Where a run came from: notebook or script, commit, packages. `feast/notebook.json`.

    `cautions` say which of the cells that the run depends on were edited, deleted or run out of
    order.
    """

    kind: ClassVar[str] = "origin"
    notebook: str | None = None
    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None
    python: str | None = None
    platform: str | None = None
    packages: dict[str, str] = field(default_factory=dict)
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrackedRun(Document):
    """An MLflow run as a notebook sees it; `tracking_uri` never holds credentials."""

    kind: ClassVar[str] = "run"
    id: str
    name: str
    experiment: str
    experiment_id: str = ""
    status: str = "RUNNING"
    tracking_uri: str = ""
    url: str | None = None
    parent_id: str | None = None
    started: str | None = None
    cell: Cell | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    retrievals: tuple[Retrieval, ...] = ()
    writes: tuple[Write, ...] = ()
    models: tuple[ModelVersion, ...] = ()
    warnings: tuple[str, ...] = ()
    pending: int = 0


@dataclass(frozen=True)
class RunState(Document):
    """The answer to a bare `%feast_run`: what is open here, and whether recording is on."""

    kind: ClassVar[str] = "run_state"
    open: tuple[TrackedRun, ...] = ()
    recording: bool = True
    ended: TrackedRun | None = None


@dataclass(frozen=True)
class FeatureUse(Record):
    """A feature of a training frame: where it came from and how much of it is missing."""

    ref: str
    column: str
    dtype: str | None = None
    nulls: int | None = None
    rows: int | None = None
    input: int | None = None

    @property
    def null_share(self) -> float | None:
        if self.nulls is None or not self.rows:
            return None
        return self.nulls / self.rows


@dataclass(frozen=True)
class MetricChange(Record):
    """A metric that two models both have; `better` is None where its direction is not known."""

    name: str
    value: float
    before: float
    better: bool | None = None


@dataclass(frozen=True)
class Comparison(Record):
    """A new version held against an earlier one: `model` with its `aliases` before the new one.

    `new` and `gone` are features that only one of the two uses; None where either model's inputs
    are not known. `unknown` says why the two could not be compared.
    """

    model: str
    aliases: tuple[str, ...] = ()
    metrics: tuple[MetricChange, ...] = ()
    new: tuple[str, ...] | None = None
    gone: tuple[str, ...] | None = None
    unknown: str | None = None


@dataclass(frozen=True)
class TrainingSummary(Document):
    """What a tracked training made and was shaped by.

    `compared` holds the version that it registered against an earlier one. `entity_name` is the
    variable that held the entity frame, `rebuilt` says whether the training set can be asked for
    again. `verbose` shows the details unasked; it is no part of the record.
    """

    kind: ClassVar[str] = "training"
    run: TrackedRun
    features: tuple[FeatureUse, ...] = ()
    retrievals: tuple[Retrieval, ...] = ()
    writes: tuple[Write, ...] = ()
    models: tuple[ModelVersion, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float | None = None
    compared: Comparison | None = None
    entity_name: str | None = None
    rebuilt: str = ""
    verbose: bool = field(default=False, compare=False, metadata={"kept": False})

    @property
    def sources(self) -> tuple[Retrieval, ...]:
        """The retrievals that the models were trained on; where that is not known, all of them."""
        all_of_them = tuple(r for r in self.retrievals if r.kind == "historical")
        known = {id for m in self.models if m.contract for id in m.contract.retrievals}
        return tuple(r for r in all_of_them if r.id in known) or all_of_them


@dataclass(frozen=True)
class LibraryWarnings(Document):
    """What other libraries warned of while a magic worked."""

    kind: ClassVar[str] = "library_warnings"
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repository(Document):
    """What a feature repository holds and which stores it uses; no credentials."""

    kind: ClassVar[str] = "repository"
    project: str
    path: str
    registry: str = ""
    offline_store: str = ""
    online_store: str = ""
    tracking_uri: str | None = None
    ui_url: str | None = None
    mlflow: dict[str, Any] = field(default_factory=dict)
    entities: tuple[str, ...] = ()
    views: dict[str, tuple[str, ...]] = field(default_factory=dict)
    services: dict[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
