"""Who uses which feature: how often, since when, through which services and models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypedDict

from ..records.facts import RegisteredModel, Registry, RunGroup
from ..records.lineage import FeatureUsage, ModelUse, Usage


def build(
    catalog: Registry,
    groups: Iterable[RunGroup],
    models: Iterable[RegisteredModel],
    *,
    days: int = 1,
    since: int | None = None,
    now: int,
) -> Usage:
    """The usage of every view and feature that the registry has, or that a run asked for.

    `days` is how long the groups' stretches of time are; `since` and `now` are in milliseconds.
    """
    groups = list(groups)
    shown = _stretches(groups, days, since, now)
    asked = _Requests(catalog, groups, models, shown)
    kinds = {name: view.kind for name, view in catalog.views.items()}
    offered = [f"{v.name}:{f}" for v in catalog.views.values() for f in v.features]
    counted = [g for g in groups if g.kind != "inherited"]
    return Usage(
        project=catalog.project,
        views=_sorted(
            asked.use(name, asked.views, kinds.get(name, ""), name not in kinds)
            for name in dict.fromkeys((*kinds, *asked.views))
        ),
        features=_sorted(
            asked.use(ref, asked.features, kinds.get(_view(ref), ""), ref not in asked.offered)
            for ref in dict.fromkeys((*offered, *asked.features))
        ),
        training=sum(g.runs for g in counted if g.kind not in _PREDICTING),
        prediction=sum(g.runs for g in counted if g.kind in _PREDICTING),
        trend=tuple(sum(g.spread.get(at, 0) for g in counted) for at in shown),
        since=iso(shown[0] * days * _DAY) if shown else None,
        stretch=days,
        now=iso(now),
        notes=_notes(groups),
    )


@dataclass
class _FeatureList:
    """A list of references, and the runs and models that asked for it."""

    groups: list[RunGroup] = field(default_factory=list)
    models: list[RegisteredModel] = field(default_factory=list)


class AddedUse(TypedDict):
    """What some lists add up to, as fields of a `FeatureUsage`."""

    training: int
    prediction: int
    last: str | None
    first: str | None
    users: tuple[str, ...]
    services: tuple[str, ...]
    models: tuple[ModelUse, ...]
    trend: tuple[int, ...]


class _Requests:
    """Which lists of references each feature and view is in.

    Thousands of runs and models share a few hundred lists, and all features of a service the same
    ones: what adds up is worked out once for each set of lists.
    """

    def __init__(
        self,
        catalog: Registry,
        groups: Iterable[RunGroup],
        models: Iterable[RegisteredModel],
        shown: Sequence[int],
    ) -> None:
        self.offered = {
            f"{v.name}:{f}" for v in catalog.views.values() for f in (*v.features, *v.earlier)
        }
        # Of a feature or view: its lists, each with the on-demand view that computes from it.
        self.features: dict[str, dict[int, str | None]] = {}
        self.views: dict[str, dict[int, str | None]] = {}
        self._shown = shown
        self._lists: dict[tuple[str, ...], _FeatureList] = {}
        self._known: dict[tuple[int, ...], AddedUse] = {}
        for group in groups:
            names = {**catalog.names, **_renamed(catalog, group.service)}
            self._list(registered(group.refs, names, catalog)).groups.append(group)
        for model in models:
            self._list(registered(model.refs, catalog.names, catalog)).models.append(model)
        self._all = list(self._lists.values())
        for number, refs in enumerate(self._lists):
            found: dict[str, str | None] = dict.fromkeys(refs)
            for ref, reader in catalog.behind(refs).items():
                found.setdefault(ref, reader)
            for ref, through in found.items():
                self.features.setdefault(ref, {})[number] = through
                lists = self.views.setdefault(_view(ref), {})
                lists[number] = None if through is None else lists.get(number, through)

    def _list(self, refs: tuple[str, ...]) -> _FeatureList:
        return self._lists.setdefault(refs, _FeatureList())

    def use(
        self, ref: str, of: Mapping[str, Mapping[int, str | None]], kind: str, gone: bool
    ) -> FeatureUsage:
        """The use of a feature or view."""
        lists = of.get(ref, {})
        key = tuple(lists)
        if key not in self._known:
            self._known[key] = self._added([self._all[number] for number in key])
        asked = [t for n, t in lists.items() if self._all[n].groups]
        through = () if None in asked else tuple(sorted({t for t in asked if t}))
        return FeatureUsage(ref, kind, gone=gone, through=through, **self._known[key])

    def _added(self, lists: Iterable[_FeatureList]) -> AddedUse:
        """What some lists add up to, as fields of a `FeatureUsage`."""
        lists = list(lists)
        # An inherited retrieval counts with its models, not as another training.
        groups = [g for of in lists for g in of.groups if g.kind != "inherited"]
        spread: Counter[int] = Counter()
        for group in groups:
            spread.update(group.spread)
        return {
            "training": sum(g.runs for g in groups if g.kind not in _PREDICTING),
            "prediction": sum(g.runs for g in groups if g.kind in _PREDICTING),
            "last": iso(max((g.last for g in groups), default=None)),
            "first": iso(min((g.first for g in groups), default=None)),
            "users": tuple(sorted({user for g in groups for user in g.users})),
            "services": tuple(sorted({g.service for g in groups if g.service})),
            "models": models_using(m for of in lists for m in of.models),
            "trend": tuple(spread[at] for at in self._shown) if spread else (),
        }


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


def iso(at: int | None) -> str | None:
    """Milliseconds since 1970 in ISO 8601, UTC; None for what is no time (nanoseconds, say)."""
    try:
        found = None if at is None else datetime.fromtimestamp(at / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found.isoformat("T", "seconds") if found else None


def _renamed(catalog: Registry, service: str | None) -> Mapping[str, str]:
    """What a service calls views: Feast's own runs name them so."""
    found = catalog.services.get(service or "")
    return found.renamed if found else {}


def registered(
    refs: tuple[str, ...], names: Mapping[str, str], catalog: Registry
) -> tuple[str, ...]:
    """References by the views' registered names; `names` are other names for views."""
    if not names:
        return refs
    found = []
    for ref in refs:
        view, colon, feature = ref.partition(":")
        found.append(ref if view in catalog.views else f"{names.get(view, view)}{colon}{feature}")
    return tuple(dict.fromkeys(found))


def _view(ref: str) -> str:
    return ref.partition(":")[0]


def models_using(models: Iterable[RegisteredModel]) -> tuple[ModelUse, ...]:
    """Model versions, by their models' names."""
    versions: dict[str, dict[int, tuple[str, ...]]] = {}
    for model in models:
        versions.setdefault(model.name, {})[model.version] = model.aliases
    return tuple(_model_use(name, of) for name, of in sorted(versions.items()))


def _model_use(name: str, versions: Mapping[int, tuple[str, ...]]) -> ModelUse:
    aliases = {alias: v for v, of in sorted(versions.items()) for alias in of}
    return ModelUse(name, tuple(sorted(versions)), aliases)


def _sorted(used: Iterable[FeatureUsage]) -> tuple[FeatureUsage, ...]:
    return tuple(sorted(used, key=lambda u: (-u.runs, -len(u.models), u.ref)))


def _stretches(groups: Sequence[RunGroup], days: int, since: int | None, now: int) -> list[int]:
    """The stretches to show: from the first run, or from `since`, to now; at most 60."""
    length = days * _DAY
    firsts = [g.first for g in groups] or [now]
    start = (since if since is not None else min(firsts)) // length
    end = max(now // length, start)
    if since is None:  # room for a project of a few days to be seen as one
        start = min(start, end - 13)
    return list(range(max(start, end - 59), end + 1))


def _notes(groups: Iterable[RunGroup]) -> tuple[str, ...]:
    cut = sum(g.cut for g in groups)
    if not cut:
        return ()
    one = cut == 1
    return (
        f"{cut:,} run{'' if one else 's'} recorded by Feast alone kept only a part of "
        f"{'its' if one else 'their'} references: what is unused may have been used there.",
    )
