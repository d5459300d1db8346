"""What is done to registry and stores, and how they are: plans, loads, a look at their health."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from typing_extensions import TypedDict

from .answers import Grade
from .document import Document
from .lineage import Dependent
from .record import Record

if TYPE_CHECKING:
    import pandas as pd

REFUSED = "Feast itself cannot plan it: "  # how a plan says what it could not compare


@dataclass(frozen=True)
class PlannedChange(Record):
    """What applying would do to one object, how grave that is and why.

    `object` as an impact is asked for (`view=…`, `entity=…`, `service=…`, `source=…`); `lines` are
    those of a diff, `aside` what no model depends on (descriptions, tags, owners). `models` are the
    versions that it touches, those with an alias first; `predictions` counts the prediction runs of
    the last 30 days of them, and of those that asked for a service by its name.
    """

    object: str
    action: Literal["create", "update", "delete"]
    grade: Grade = "safe"
    reason: str = ""
    lines: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    models: tuple[Dependent, ...] = ()
    services: tuple[str, ...] = ()
    notebooks: tuple[str, ...] = ()
    predictions: int = 0
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Plan(Document):
    """What the definition files would make of a registry.

    `against` is what they were held against; `applied` says that it was carried out, `reason` why
    in spite of what it breaks; `files` changes with the text of the files. `only_registered` names
    what is in the registry and in no file; `unchecked` says what could not be looked at.
    """

    kind: ClassVar[str] = "plan"
    project: str
    against: str = "the registry"
    changes: tuple[PlannedChange, ...] = ()
    only_registered: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    applied: bool = False
    reason: str | None = None
    files: str = ""

    @property
    def grade(self) -> Grade:
        """The gravest of its changes."""
        found = {change.grade for change in self.changes}
        if "breaks serving" in found:
            return "breaks serving"
        return "needs retraining" if "needs retraining" in found else "safe"

    @property
    def broken(self) -> tuple[str, ...]:
        """The model versions that it breaks, as they are shown."""
        broken = (c for c in self.changes if c.grade == "breaks serving")
        return tuple(dict.fromkeys(m.shown for c in broken for m in c.models))


LoadState = Literal["planned", "loaded", "failed", "interrupted", "running", "left out"]


@dataclass(frozen=True)
class ViewLoad(Record):
    """What a materialization did with one view.

    `start` and `end` are the range of event times, `newest` is the newest of what was loaded (ISO
    8601, UTC). `read` and `written` count rows; None where the store that does it does not say.
    """

    view: str
    state: LoadState
    start: str | None = None
    end: str | None = None
    read: int | None = None
    written: int | None = None
    newest: str | None = None
    seconds: float | None = None
    why: str | None = None


@dataclass(frozen=True)
class Materialization(Document):
    """Views that were loaded into the online store one by one, or would be (`dry_run`)."""

    kind: ClassVar[str] = "materialization"
    project: str
    views: tuple[ViewLoad, ...] = ()
    incremental: bool = False
    dry_run: bool = False
    online_store: str = ""
    seconds: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def state(self) -> LoadState:
        """That of all of it: the worst of its views."""
        found = {load.state for load in self.views}
        for state in ("failed", "interrupted", "running", "loaded", "planned"):
            if state in found:
                return state  # type: ignore[return-value]
        return "left out"

    def to_pandas(self) -> pd.DataFrame:
        """One row for each view."""
        import pandas as pd

        return pd.DataFrame([load.to_dict() for load in self.views])


Light = Literal["green", "amber", "red", "unknown"]


@dataclass(frozen=True)
class Snapshot(Document):
    """A file with a registry and the history of its models, for who can reach neither.

    `at` is when it was made (ISO 8601), `server` the tracking server that it is of, without
    credentials; `path` where it was written.
    """

    kind: ClassVar[str] = "snapshot"
    project: str
    at: str
    server: str | None = None
    views: int = 0
    models: int = 0
    runs: int = 0
    path: str | None = None


@dataclass(frozen=True)
class HealthLine(Record):
    """One thing that was looked at: how it is, why, and what to do where it is not well.

    `part` is `registry`, `source`, `online store`, `feature server`, `view`, `skew` or `model`;
    `name` the address, source, view or model. `facts` are what was measured, by name: numbers,
    seconds and bytes among them. `unknown` is what could not be seen from here. `at` is when it
    was looked at (ISO 8601), where lines of several looks are shown together.
    """

    part: str
    name: str
    light: Light
    said: str
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    at: str | None = None


@dataclass(frozen=True)
class Health(Document):
    """How a project's stores and views are, line by line; `at` is when it was looked (ISO 8601)."""

    kind: ClassVar[str] = "health"
    project: str
    at: str = ""
    lines: tuple[HealthLine, ...] = ()
    model: str | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def light(self) -> Light:
        """The worst of its lines; `unknown` ones count where nothing worse is known."""
        found = {line.light for line in self.lines}
        for light in ("red", "amber", "unknown"):
            if light in found:
                return light  # type: ignore[return-value]
        return "green"

    def to_pandas(self) -> pd.DataFrame:
        """One row for each line."""
        import pandas as pd

        rows = [line.to_dict() for line in self.lines]
        columns = ["part", "name", "light", "said", "remedy", "facts", "seconds"]
        return pd.DataFrame(rows, columns=columns)

    def to_prometheus(self) -> str:
        """The lines as metrics in Prometheus's text format: 0 green, 1 amber, 2 red, -1 unknown.

        For the node exporter's textfile collector. What was measured in numbers is a metric of its
        own, by its name.
        """
        from . import exports

        return exports.health_metrics(self)


class HealthAnswer(TypedDict):
    """`health`: the last look at each part, and whether somebody looks now.

    `health` is None before the first look. `trouble` says why the last one came to nothing.
    """

    health: Health | None
    looking: bool
    trouble: str | None
    as_of: str | None
