"""Who uses which feature, view by view, as a table and a figure show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .document import Document
from .record import Record


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

    def to_pandas(self) -> Any:
        """One row for each feature."""
        from . import exports

        return exports.usage_frame(self)

    def figure(self) -> Any:
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
