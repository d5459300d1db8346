"""Where one stands: a project at one look, as the side panel shows it, and what `%feast` says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from .document import Document
from .lineage import ModelUse
from .record import Record

TrackingState = Literal["ready", "away", "reading", "unmade", "refused", "disabled", "unapplied"]


@dataclass(frozen=True)
class Tracking(Record):
    """Whether MLflow answers: `said` is what to know or to do, `read` the part read so far.

    `unmade` is a database that has no tables yet: the first run makes it, and nobody else;
    `unapplied` a repository whose registry is not there yet.
    """

    state: TrackingState
    said: str = ""
    url: str | None = None
    read: float = 1.0


@dataclass(frozen=True)
class FeatureOverview(Record):
    """A feature of a view, and how often it was asked for."""

    name: str
    dtype: str = ""
    training: int = 0
    prediction: int = 0
    models: int = 0
    gone: bool = False


@dataclass(frozen=True)
class ViewOverview(Record):
    """A feature view and who uses it. `ttl` in seconds; `stale`: older than it in the online store.

    `fresh` is the end of what was materialized last, in ISO 8601, UTC, as all times are.
    """

    name: str
    kind: str = ""
    features: tuple[FeatureOverview, ...] = ()
    entities: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    description: str = ""
    owner: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    ttl: float | None = None
    online: bool = False
    fresh: str | None = None
    stale: bool = False
    training: int = 0
    prediction: int = 0
    last: str | None = None
    users: tuple[str, ...] = ()
    models: tuple[ModelUse, ...] = ()
    trend: tuple[int, ...] = ()
    gone: bool = False


@dataclass(frozen=True)
class ServiceOverview(Record):
    """A feature service, its references, and the models that are served through it."""

    name: str
    refs: tuple[str, ...] = ()
    description: str = ""
    owner: str = ""
    models: tuple[ModelUse, ...] = ()
    gone: bool = False


@dataclass(frozen=True)
class VersionOverview(Record):
    """A registered model version. `drift` says how today's registry differs, at the gravest.

    `same`, `safe`, `needs retraining` or `breaks serving`; `unknown` where only its references
    are known and all are there, or nothing is. `changes` are the differences in words.
    """

    version: int
    aliases: tuple[str, ...] = ()
    stage: str | None = None
    created: str | None = None
    service: str | None = None
    features: int = 0
    drift: str = "unknown"
    changes: tuple[str, ...] = ()
    predictions: int = 0
    last: str | None = None
    run: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class ModelOverview(Record):
    """A registered model of the project, newest version first."""

    name: str
    versions: tuple[VersionOverview, ...] = ()


@dataclass(frozen=True)
class ProjectOverview(Document):
    """A project's views, services and models. Trends count runs in stretches of `stretch` days."""

    kind: ClassVar[str] = "catalog"
    project: str
    views: tuple[ViewOverview, ...] = ()
    services: tuple[ServiceOverview, ...] = ()
    models: tuple[ModelOverview, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    entities: dict[str, str] = field(default_factory=dict)
    tracking: Tracking = Tracking("ready")
    since: str | None = None
    stretch: int = 1
    as_of: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MagicEntry(Record):
    """A magic, the task that it is for, what it does, and how it is written: `%%` heads a cell."""

    name: str
    task: str
    does: str
    sign: str = "%"


@dataclass(frozen=True)
class Guide(Document):
    """What `%feast` shows: `next` is the line to write now, `asked` the words that were looked for.

    `project`, `path` and `tracking_uri` are the repository's, as far as one is open or found; `run`
    says what is open, or what was recorded last.
    """

    kind: ClassVar[str] = "guide"
    magics: tuple[MagicEntry, ...]
    project: str | None = None
    path: str | None = None
    tracking_uri: str | None = None
    run: str | None = None
    next: str | None = None
    why: str | None = None
    asked: str | None = None
