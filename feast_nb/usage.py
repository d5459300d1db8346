"""Who uses which feature: how often, since when, through which services and models."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from .facts import Catalog, Group, Model
from .records import Document, Record


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
        from .display import exports

        return exports.usage_frame(self)

    def figure(self) -> Any:
        """The use over time and the features by models, as a plotly figure."""
        from .display import figures

        return figures.usage(self)


@dataclass
class _Tally:
    """What adds up for one feature or view while groups are counted."""

    training: int = 0
    prediction: int = 0
    first: int | None = None
    last: int | None = None
    users: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    through: set[str] = field(default_factory=set)
    direct: bool = False
    spread: dict[int, int] = field(default_factory=dict)
    models: dict[str, dict[int, tuple[str, ...]]] = field(default_factory=dict)

    def add(self, group: Group, through: str | None) -> None:
        if group.kind == "inherited":  # counts with its models, not as another training
            return
        if group.kind in _PREDICTING:
            self.prediction += group.runs
        else:
            self.training += group.runs
        self.first = min(self.first or group.first, group.first)
        self.last = max(self.last or group.last, group.last)
        self.users.update(group.users)
        if group.service:
            self.services.add(group.service)
        if through is None:
            self.direct = True
        else:
            self.through.add(through)
        for at, count in group.spread.items():
            self.spread[at] = self.spread.get(at, 0) + count

    def used(self, ref: str, kind: str, gone: bool, shown: Sequence[int]) -> FeatureUsage:
        return FeatureUsage(
            ref=ref,
            kind=kind,
            training=self.training,
            prediction=self.prediction,
            last=iso(self.last),
            first=iso(self.first),
            users=tuple(sorted(self.users)),
            services=tuple(sorted(self.services)),
            models=tuple(_model_use(name, of) for name, of in sorted(self.models.items())),
            through=() if self.direct else tuple(sorted(self.through)),
            trend=tuple(self.spread.get(at, 0) for at in shown) if self.spread else (),
            gone=gone,
        )


def of(
    catalog: Catalog,
    groups: Iterable[Group],
    models: Iterable[Model],
    *,
    days: int = 1,
    since: int | None = None,
    now: int,
) -> Usage:
    """The usage of every view and feature that the registry has, or that a run asked for.

    `days` is how long the groups' stretches of time are; `since` and `now` are in milliseconds.
    """
    groups = [_by_registered_names(g, catalog) for g in groups]
    views: dict[str, _Tally] = {name: _Tally() for name in catalog.views}
    features = {f"{v.name}:{f}": _Tally() for v in catalog.views.values() for f in v.features}
    closures: dict[tuple[str, ...], dict[str, str | None]] = {}
    for group in groups:
        asked = closures.setdefault(group.refs, _closure(catalog, group.refs))
        for ref, through in asked.items():
            features.setdefault(ref, _Tally()).add(group, through)
        for view, through in _views_of(asked).items():
            views.setdefault(view, _Tally()).add(group, through)
    for model in models:
        refs = tuple(_registered(ref, catalog.names, catalog) for ref in model.refs)
        asked = closures.setdefault(refs, _closure(catalog, refs))
        for ref in asked:
            features.setdefault(ref, _Tally()).models.setdefault(model.name, {})[model.version] = (
                model.aliases
            )
        for view in _views_of(asked):
            views.setdefault(view, _Tally()).models.setdefault(model.name, {})[model.version] = (
                model.aliases
            )
    shown = _stretches(groups, days, since, now)
    counted = [g for g in groups if g.kind != "inherited"]
    return Usage(
        project=catalog.project,
        views=_sorted(
            t.used(n, _kind(catalog, n), n not in catalog.views, shown) for n, t in views.items()
        ),
        features=_sorted(
            t.used(ref, _kind(catalog, _view(ref)), not _is_there(catalog, ref), shown)
            for ref, t in features.items()
        ),
        training=sum(g.runs for g in counted if g.kind not in _PREDICTING),
        prediction=sum(g.runs for g in counted if g.kind in _PREDICTING),
        trend=tuple(sum(g.spread.get(at, 0) for g in counted) for at in shown),
        since=iso(shown[0] * days * _DAY) if shown else None,
        stretch=days,
        now=iso(now),
        notes=_notes(groups),
    )


_DAY = 86_400_000
_PREDICTING = ("prediction", "lookup")


def part(usage: Usage, named: str, refs: Collection[str]) -> Usage:
    """The same of some features only, and of their views."""
    wanted = set(refs)
    views = {_view(ref) for ref in wanted}
    return replace(
        usage,
        named=named,
        features=tuple(f for f in usage.features if f.ref in wanted),
        views=tuple(v for v in usage.views if v.ref in views),
    )


def unused(usage: Usage) -> Usage:
    """What the registry offers and nobody uses."""
    return replace(
        usage,
        features=tuple(f for f in usage.features if f.unused),
        views=tuple(v for v in usage.views if v.unused),
        trend=(),
    )


def spans(numbers: Iterable[int]) -> str:
    """`1–3, 7`."""
    shown: list[list[int]] = []
    for number in sorted(numbers):
        if shown and shown[-1][-1] == number - 1:
            shown[-1][1:] = [number]
        else:
            shown.append([number])
    return ", ".join("–".join(map(str, span)) for span in shown)


def iso(at: int | None) -> str | None:
    """Milliseconds since 1970 in ISO 8601, UTC."""
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC).isoformat("T", "seconds")


def _closure(catalog: Catalog, refs: tuple[str, ...]) -> dict[str, str | None]:
    """What was asked for, and what on-demand views among it compute from, with their names."""
    found: dict[str, str | None] = dict.fromkeys(refs)
    for ref, through in catalog.behind(refs).items():
        found.setdefault(ref, through)
    return found


def _views_of(asked: Mapping[str, str | None]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for ref, through in asked.items():
        view = _view(ref)
        found[view] = None if through is None else found.get(view, through)
    return found


def _by_registered_names(group: Group, catalog: Catalog) -> Group:
    """Feast's own runs name views as their service does; the registry may tell which is meant."""
    service = catalog.services.get(group.service or "")
    names = {**catalog.names, **(service.renamed if service else {})}
    if not names:
        return group
    refs = tuple(dict.fromkeys(_registered(ref, names, catalog) for ref in group.refs))
    return replace(group, refs=refs)


def _registered(ref: str, names: Mapping[str, str], catalog: Catalog) -> str:
    view, colon, feature = ref.partition(":")
    return ref if view in catalog.views else f"{names.get(view, view)}{colon}{feature}"


def _view(ref: str) -> str:
    return ref.partition(":")[0]


def _kind(catalog: Catalog, view: str) -> str:
    return catalog.views[view].kind if view in catalog.views else ""


def _is_there(catalog: Catalog, ref: str) -> bool:
    view, _, feature = ref.partition(":")
    return view in catalog.views and feature in catalog.views[view].features


def _model_use(name: str, versions: Mapping[int, tuple[str, ...]]) -> ModelUse:
    aliases = {alias: v for v, of in sorted(versions.items()) for alias in of}
    return ModelUse(name, tuple(sorted(versions)), aliases)


def _sorted(used: Iterable[FeatureUsage]) -> tuple[FeatureUsage, ...]:
    return tuple(sorted(used, key=lambda u: (-u.runs, -len(u.models), u.ref)))


def _stretches(groups: Sequence[Group], days: int, since: int | None, now: int) -> list[int]:
    """The stretches to show: from the first run, or from `since`, to now; at most 60."""
    length = days * _DAY
    firsts = [g.first for g in groups] or [now]
    start = (since if since is not None else min(firsts)) // length
    end = max(now // length, start)
    if since is None:  # room for a project of a few days to be seen as one
        start = min(start, end - 13)
    return list(range(max(start, end - 59), end + 1))


def _notes(groups: Iterable[Group]) -> tuple[str, ...]:
    cut = sum(g.cut for g in groups)
    if not cut:
        return ()
    one = cut == 1
    return (
        f"{cut:,} run{'' if one else 's'} recorded by Feast alone kept only a part of "
        f"{'its' if one else 'their'} references: what is unused may have been used there.",
    )
