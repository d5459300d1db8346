"""A project at one look: what its registry holds, who uses it, and which models still fit.

What the side panel shows: the records of its `catalog` route.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from .documents import Document, Record
from .facts import Catalog, Model, View
from .usage import FeatureUsage, ModelUse, Usage, iso, uses

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
class KnownFeature(Record):
    """A feature of a view, and how often it was asked for."""

    name: str
    dtype: str = ""
    training: int = 0
    prediction: int = 0
    models: int = 0
    gone: bool = False


@dataclass(frozen=True)
class KnownView(Record):
    """A feature view and who uses it. `ttl` in seconds; `stale`: older than it in the online store.

    `fresh` is the end of what was materialized last, in ISO 8601, UTC, as all times are.
    """

    name: str
    kind: str = ""
    features: tuple[KnownFeature, ...] = ()
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
class KnownService(Record):
    """A feature service, its references, and the models that are served through it."""

    name: str
    refs: tuple[str, ...] = ()
    description: str = ""
    owner: str = ""
    models: tuple[ModelUse, ...] = ()
    gone: bool = False


@dataclass(frozen=True)
class KnownVersion(Record):
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
class KnownModel(Record):
    """A registered model of the project, newest version first."""

    name: str
    versions: tuple[KnownVersion, ...] = ()


@dataclass(frozen=True)
class Overview(Document):
    """A project's views, services and models. Trends count runs in stretches of `stretch` days."""

    kind: ClassVar[str] = "catalog"
    project: str
    views: tuple[KnownView, ...] = ()
    services: tuple[KnownService, ...] = ()
    models: tuple[KnownModel, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    entities: dict[str, str] = field(default_factory=dict)
    tracking: Tracking = Tracking("ready")
    since: str | None = None
    stretch: int = 1
    as_of: str | None = None
    notes: tuple[str, ...] = ()


def of(
    catalog: Catalog,
    usage: Usage | None,
    models: Iterable[Model],
    fit: Callable[[Model], tuple[str, tuple[str, ...]]],
    url: Callable[[str], str | None],
    now: int,
) -> Overview:
    """What is known of a project.

    `usage` is None where nothing is known of runs. `fit` gives a version's drift and changes,
    `url` the address of `name/3` in MLflow's UI; `now` is in milliseconds since 1970.
    """
    models = list(models)
    found = _models(models, fit, url)
    return Overview(
        project=catalog.project,
        views=_views(catalog, usage, now),
        services=_services(catalog, models),
        models=found,
        sources=dict(catalog.sources),
        entities=dict(catalog.entities),
        since=usage.since if usage else None,
        stretch=usage.stretch if usage else 1,
        notes=usage.notes if usage else (),
    )


def _views(catalog: Catalog, usage: Usage | None, now: int) -> tuple[KnownView, ...]:
    """What the registry has, by name, then what is gone from it."""
    used = {use.ref: use for use in usage.views} if usage else {}
    features: dict[str, dict[str, FeatureUsage]] = {}
    for use in usage.features if usage else ():
        view, _, name = use.ref.partition(":")
        features.setdefault(view, {})[name] = use
    through: dict[str, list[str]] = {}
    for service in catalog.services.values():
        for name in dict.fromkeys(ref.partition(":")[0] for ref in service.refs):
            through.setdefault(name, []).append(service.name)
    return tuple(
        _view(
            catalog.views.get(name),
            used.get(name, FeatureUsage(name)),
            features.get(name, {}),
            through.get(name, ()),
            now,
        )
        for name in (*sorted(catalog.views), *sorted(set(used) - set(catalog.views)))
    )


def _view(
    view: View | None,
    use: FeatureUsage,
    features: Mapping[str, FeatureUsage],
    services: Iterable[str],
    now: int,
) -> KnownView:
    known = KnownView(
        use.ref,
        training=use.training,
        prediction=use.prediction,
        last=use.last,
        users=use.users,
        models=use.models,
        trend=use.trend,
        services=tuple(services),
    )
    names = dict.fromkeys((*(view.features if view else ()), *features))
    dtypes = dict(zip(view.features, view.dtypes, strict=False)) if view else {}
    listed = tuple(
        _feature(name, features.get(name), dtypes.get(name, ""), bool(view and name in dtypes))
        for name in names
    )
    if view is None:
        return replace(known, features=listed, services=use.services, gone=True)
    old = view.online and view.ttl is not None and view.materialized is not None
    return replace(
        known,
        kind=view.kind,
        features=listed,
        entities=view.entities,
        sources=view.sources,
        reads=view.reads,
        description=view.description,
        owner=view.owner,
        tags=dict(view.tags),
        ttl=view.ttl,
        online=view.online,
        fresh=iso(view.materialized),
        stale=old and now - (view.materialized or 0) > (view.ttl or 0) * 1000,
    )


def _feature(name: str, use: FeatureUsage | None, dtype: str, there: bool) -> KnownFeature:
    if use is None:
        return KnownFeature(name, dtype)
    return KnownFeature(name, dtype, use.training, use.prediction, len(use.models), not there)


def _services(catalog: Catalog, models: Iterable[Model]) -> tuple[KnownService, ...]:
    served: dict[str, list[Model]] = {}
    for model in models:
        if model.service:
            served.setdefault(model.service, []).append(model)
    here = [
        KnownService(s.name, s.refs, s.description, s.owner, uses(served.pop(s.name, ())))
        for s in sorted(catalog.services.values(), key=lambda s: s.name)
    ]
    gone = [
        KnownService(name, tuple(dict.fromkeys(r for m in of for r in m.refs)), models=uses(of),
                     gone=True)
        for name, of in sorted(served.items())
    ]  # fmt: skip
    return (*here, *gone)


def _models(
    models: Iterable[Model],
    fit: Callable[[Model], tuple[str, tuple[str, ...]]],
    url: Callable[[str], str | None],
) -> tuple[KnownModel, ...]:
    by_name: dict[str, list[KnownVersion]] = {}
    for model in models:
        drift, changes = fit(model)
        by_name.setdefault(model.name, []).append(
            KnownVersion(
                version=model.version,
                aliases=model.aliases,
                stage=model.stage,
                created=iso(model.created),
                service=model.service,
                features=len(model.refs),
                drift=drift,
                changes=changes,
                predictions=model.predictions,
                last=iso(model.last_prediction),
                run=model.run,
                url=url(model.shown),
            )
        )
    return tuple(
        KnownModel(name, tuple(sorted(versions, key=lambda v: -v.version)))
        for name, versions in sorted(by_name.items())
    )
