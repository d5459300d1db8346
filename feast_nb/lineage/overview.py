"""A project at one look: what its registry holds, who uses it, and which models still fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ..records.facts import RegisteredModel, Registry, RegistryView
from ..records.lineage import FeatureUsage, Usage
from ..records.overview import (
    FeatureOverview,
    ModelOverview,
    ProjectOverview,
    ServiceOverview,
    VersionOverview,
    ViewOverview,
)
from .usage import iso, models_using


def build(
    catalog: Registry,
    usage: Usage | None,
    models: Iterable[RegisteredModel],
    fit: Callable[[RegisteredModel], tuple[str, tuple[str, ...]]],
    url: Callable[[str], str | None],
    now: int,
) -> ProjectOverview:
    """What is known of a project.

    `usage` is None where nothing is known of runs. `fit` gives a version's drift and changes,
    `url` the address of `name/3` in MLflow's UI; `now` is in milliseconds since 1970.
    """
    models = list(models)
    found = _models(models, fit, url)
    return ProjectOverview(
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


def _views(catalog: Registry, usage: Usage | None, now: int) -> tuple[ViewOverview, ...]:
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
    view: RegistryView | None,
    use: FeatureUsage,
    features: Mapping[str, FeatureUsage],
    services: Iterable[str],
    now: int,
) -> ViewOverview:
    known = ViewOverview(
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


def _feature(name: str, use: FeatureUsage | None, dtype: str, there: bool) -> FeatureOverview:
    if use is None:
        return FeatureOverview(name, dtype)
    return FeatureOverview(name, dtype, use.training, use.prediction, len(use.models), not there)


def _services(catalog: Registry, models: Iterable[RegisteredModel]) -> tuple[ServiceOverview, ...]:
    served: dict[str, list[RegisteredModel]] = {}
    for model in models:
        if model.service:
            served.setdefault(model.service, []).append(model)
    here = [
        ServiceOverview(
            s.name, s.refs, s.description, s.owner, models_using(served.pop(s.name, ()))
        )
        for s in sorted(catalog.services.values(), key=lambda s: s.name)
    ]
    gone = [
        ServiceOverview(
            name,
            tuple(dict.fromkeys(ref for model in of for ref in model.refs)),
            models=models_using(of),
            gone=True,
        )
        for name, of in sorted(served.items())
    ]
    return (*here, *gone)


def _models(
    models: Iterable[RegisteredModel],
    fit: Callable[[RegisteredModel], tuple[str, tuple[str, ...]]],
    url: Callable[[str], str | None],
) -> tuple[ModelOverview, ...]:
    by_name: dict[str, list[VersionOverview]] = {}
    for model in models:
        drift, changes = fit(model)
        by_name.setdefault(model.name, []).append(
            VersionOverview(
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
        ModelOverview(name, tuple(sorted(versions, key=lambda v: -v.version)))
        for name, versions in sorted(by_name.items())
    )
