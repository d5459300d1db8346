"""What comes from what, and what depends on an object: graphs and lists as they are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from .answers import Grade
from .document import Document
from .record import Record

REFUSED = "Feast itself cannot plan it: "  # how a plan says what it could not compare
BOX = (190.0, 34.0)  # width and height of a node as it is drawn


@dataclass(frozen=True)
class Node(Record):
    """An object of a graph; `id` is its kind and name. `layer`, `x` and `y` say where it is drawn.

    A node that stands for several runs says how many (`count`), and the newest (`members`).
    """

    id: str
    kind: str
    label: str
    sub: str = ""
    gone: bool = False
    focus: bool = False
    aliases: tuple[str, ...] = ()
    count: int = 1
    members: tuple[dict[str, str], ...] = ()
    details: dict[str, str] = field(default_factory=dict)
    url: str | None = None
    layer: int = 0
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Lineage(Document):
    """A graph of objects: `edges` are pairs of places in `nodes`, from what is used to its user.

    `bends` are the points (x, y, x, y, …) at which each edge enters the layers that it passes.
    """

    kind: ClassVar[str] = "lineage"
    project: str
    title: str = ""
    nodes: tuple[Node, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    bends: tuple[tuple[float, ...], ...] = ()
    width: float = 0.0
    height: float = 0.0
    as_of: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise `ValueError` for edges of nodes that are not there, and bends of no edge."""
        inside = range(len(self.nodes))
        if any(len(ends) != 2 or not all(end in inside for end in ends) for ends in self.edges):
            raise ValueError("edges: pairs of places in nodes expected")
        whole = not self.bends or len(self.bends) == len(self.edges)
        if not whole or any(len(points) % 2 for points in self.bends):
            raise ValueError("bends: the points of each edge expected")

    def upstream(self, id: str) -> set[str]:
        """The ids of everything that a node comes from."""
        return self._reach(id, backwards=True)

    def downstream(self, id: str) -> set[str]:
        """The ids of everything that comes from a node."""
        return self._reach(id, backwards=False)

    def _reach(self, id: str, backwards: bool) -> set[str]:
        place = {n.id: i for i, n in enumerate(self.nodes)}
        found = reach(self.edges, {place[id]: 0}, backwards)
        return {self.nodes[i].id for i in found} - {id}

    def to_networkx(self) -> Any:
        """The graph as a `networkx.DiGraph`; a node's record is its attributes."""
        from . import exports

        return exports.lineage_graph(self)

    def to_openlineage(self, namespace: str | None = None) -> list[dict[str, Any]]:
        """OpenLineage run events, one for each run: its inputs and outputs as datasets."""
        from . import exports

        return exports.openlineage(self, namespace)

    def widget(self) -> Any:
        """A live drawing (anywidget) whose `selected` is the id of the clicked object."""
        from ..display import widget

        return widget.widget(self)


@dataclass(frozen=True)
class Dependent(Record):
    """A model version, service, run or notebook that depends on an object."""

    name: str
    kind: str
    aliases: tuple[str, ...] = ()
    count: int = 1
    since: str | None = None
    last: str | None = None
    through: str | None = None
    predictions: int = 0
    url: str | None = None

    @property
    def shown(self) -> str:
        """`arrival_delay/2 @champion`."""
        return " ".join([self.name, *(f"@{alias}" for alias in self.aliases)])


@dataclass(frozen=True)
class Impact(Document):
    """Everything downstream of an object: models with an alias first. `notes`: what is unknown."""

    kind: ClassVar[str] = "impact"
    project: str
    object: str
    models: tuple[Dependent, ...] = ()
    views: tuple[Dependent, ...] = ()
    services: tuple[Dependent, ...] = ()
    runs: int = 0
    predictions: int = 0
    since: str | None = None
    last: str | None = None
    notebooks: tuple[Dependent, ...] = ()
    as_of: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def live(self) -> tuple[Dependent, ...]:
        """The model versions that an alias points at."""
        return tuple(m for m in self.models if m.aliases)

    def to_pandas(self) -> Any:
        """One row for each dependent."""
        from . import exports

        return exports.impact_frame(self)


def reach(
    edges: Iterable[tuple[int, int]],
    begin: Mapping[int, int],
    backwards: bool,
    most: int | None = None,
) -> dict[int, int]:
    """Place → how many edges it is away from the nearest of `begin`, that way, up to `most`."""
    next_of: dict[int, list[int]] = {}
    for a, b in edges:
        next_of.setdefault(b if backwards else a, []).append(a if backwards else b)
    found = dict(begin)
    waiting = list(begin)
    for at in waiting:
        if most is not None and found[at] >= most:
            continue
        for other in next_of.get(at, ()):
            if other not in found:
                found[other] = found[at] + 1
                waiting.append(other)
    return found


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
