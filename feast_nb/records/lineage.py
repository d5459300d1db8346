"""What comes from what, who uses it, and what depends on it: graphs and lists as they are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from .document import Document
from .record import Record

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    import plotly.graph_objects as go
    from anywidget import AnyWidget

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

    def to_networkx(self) -> nx.DiGraph:
        """The graph as a `networkx.DiGraph`; a node's record is its attributes."""
        from . import exports

        return exports.lineage_graph(self)

    def to_openlineage(self, namespace: str | None = None) -> list[dict[str, object]]:
        """OpenLineage run events, one for each run: its inputs and outputs as datasets."""
        from . import exports

        return exports.openlineage(self, namespace)

    def widget(self) -> AnyWidget:
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

    def to_pandas(self) -> pd.DataFrame:
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
class ModelUse(Record):
    """A registered model that uses a feature: which versions, and `alias → version`."""

    name: str
    versions: tuple[int, ...]
    aliases: dict[str, int] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """`driver_model/1–3 (champion → 2)`."""
        shown = ", ".join(f"{a} → {v}" for a, v in sorted(self.aliases.items()))
        return f"{self.name}/{spans(self.versions)}" + (f" ({shown})" if shown else "")


@dataclass(frozen=True)
class FeatureUsage(Record):
    """A feature, or a whole view, and who uses it; times in ISO 8601, UTC.

    `through` names on-demand views that compute from it where runs asked for those only.
    """

    ref: str
    kind: str = ""
    training: int = 0
    prediction: int = 0
    last: str | None = None
    first: str | None = None
    users: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    models: tuple[ModelUse, ...] = ()
    through: tuple[str, ...] = ()
    trend: tuple[int, ...] = ()
    gone: bool = False

    @property
    def runs(self) -> int:
        return self.training + self.prediction

    @property
    def unused(self) -> bool:
        """Whether no run asked for it and no registered model needs it."""
        return not self.runs and not self.models


@dataclass(frozen=True)
class Usage(Document):
    """What a project's features are used for.

    `trend` counts runs in stretches of `stretch` days, the first of which begins at `since`.
    """

    kind: ClassVar[str] = "usage"
    project: str
    views: tuple[FeatureUsage, ...] = ()
    features: tuple[FeatureUsage, ...] = ()
    training: int = 0
    prediction: int = 0
    trend: tuple[int, ...] = ()
    since: str | None = None
    stretch: int = 1
    named: str | None = None
    as_of: str | None = None
    now: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def unused(self) -> tuple[str, ...]:
        """References that the registry offers and nobody uses."""
        return tuple(f.ref for f in self.features if f.unused)

    def to_pandas(self) -> pd.DataFrame:
        """One row for each feature."""
        from . import exports

        return exports.usage_frame(self)

    def figure(self) -> go.Figure:
        """The use over time and the features by models, as a plotly figure."""
        from ..display import figures

        return figures.usage(self)


def spans(numbers: Iterable[int]) -> str:
    """`1–3, 7`."""
    shown: list[list[int]] = []
    for number in sorted(numbers):
        if shown and shown[-1][-1] == number - 1:
            shown[-1][1:] = [number]
        else:
            shown.append([number])
    return ", ".join("–".join(map(str, span)) for span in shown)
