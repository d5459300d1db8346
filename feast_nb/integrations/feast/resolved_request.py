"""A call's features as the registry defined them at that moment: by a copy of it, or looked up."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

from ...errors import FeatureError
from ...records.retrieval import ViewDefinition
from . import definition_hashes, registry
from .definitions import (
    exactly,
    join_keys_of,
    refs_of,
    service_of,
    service_refs,
    services_of,
    views_behind,
    views_of,
)
from .registry import Definitions
from .servers import store_door
from .views import View, refs_of_service

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.infra.registry.base_registry import BaseRegistry

    from .calls import Features
    from .servers.registry_reads import Reads


class ResolvedRequest(NamedTuple):
    """Everything about a retrieval that follows from its features and the registry alone."""

    refs: tuple[str, ...]
    service: str | None
    basis: Literal["given", "exact", "none"]
    fitting: tuple[str, ...]
    views: dict[str, View]
    behind: dict[str, View]
    records: tuple[ViewDefinition, ...]
    behind_records: tuple[ViewDefinition, ...]
    join_keys: tuple[str, ...]
    registry: str | None
    applied: tuple[tuple[str, datetime | None], ...] = ()


_known: WeakKeyDictionary[FeatureStore, tuple[object, dict[Hashable, ResolvedRequest]]] = (
    WeakKeyDictionary()
)
_MOST = 256  # requests: who asks for another choice of features each time asks for none again


def at_hand(store: FeatureStore, features: Features, read: Reads) -> ResolvedRequest | None:
    """What a call of `store` with these `features` asked for, as far as nobody is to be asked.

    None where the registry would be: a call is noticed on the cell's time. `read` is what Feast
    itself asked it in that call: a copy that has an earlier state of it is no answer.
    """
    known = registry.at_hand(store)
    try:
        found = _resolved(store, features, known) if known is not None else None
    except (registry.NotAtHand, FeatureError):  # the copy may be of before something was applied
        return None
    return found if found is not None and _is_as_read(found, read) else None


def look_up(store: FeatureStore, features: Features, read: Reads) -> ResolvedRequest:
    """The same by the registry, a moment after the call. Raises `StoreError` where it is away."""
    by: Definitions | None = None
    for definitions in (
        registry.definitions_after,
        registry.definitions_lately,
        registry.definitions_now,
    ):
        known = definitions(store)
        resolve = functools.partial(_resolved, store, features, known)
        if by is not None:
            resolve = functools.partial(_looked_up, store, features, known, by)
        try:
            found = store_door.answered(store, "registry", resolve)
        except FeatureError:
            if definitions is registry.definitions_now:
                raise
            continue
        if _is_as_read(found, read):
            break
        by = by or known  # a service's references Feast takes from its copy
    return found


def _is_as_read(found: ResolvedRequest, read: Reads) -> bool:
    """Whether each view is in the state in which Feast read it; one of a version stays as it is."""
    views = (*found.views.values(), *found.behind.values())
    return all(v.applied_at == read.get(v.view, v.applied_at) for v in views if v.version is None)


def _resolved(store: FeatureStore, features: Features, known: Definitions) -> ResolvedRequest:
    """Looked up once for each state of the registry: it costs milliseconds."""
    state, key = known.state, _key_of(features)
    before, found = _known.get(store, (None, {}))
    if state is None or before != state or len(found) >= _MOST:
        found = {}
        _known[store] = (state, found)
    if key not in found:
        found[key] = _looked_up(store, features, known)
    return found[key]


def _looked_up(
    store: FeatureStore, features: Features, known: Definitions, by: Definitions | None = None
) -> ResolvedRequest:
    """By what is `known`; which references a service has, `by` another copy where one is given."""
    refs = refs_of(store, features, by or known)
    views = views_of(known, features, refs)
    behind = views_behind(known, views)
    return ResolvedRequest(
        refs,
        *service_of(known, features, refs),
        views,
        behind,
        definition_hashes.view_records(views, known.join_keys),
        definition_hashes.view_records(behind, known.join_keys),
        join_keys_of(known, views.values()),
        known.digest,
        tuple(_moments(known, features, [*views.values(), *behind.values()])),
    )


def _moments(
    known: Definitions, features: Features, views: Sequence[View]
) -> Iterator[tuple[str, datetime | None]]:
    """When each object that a call stands on was applied last."""
    for view in views:
        if view.version is None:  # a pinned one stays what it was
            yield view.view, view.applied_at
        for entity in getattr(view.spec, "entities", ()):
            yield f"entity {entity}", known.applied_at("entities", entity)
    if not isinstance(features, list):
        name = str(features.name)
        yield f"service {name}", known.applied_at("feature_services", name)


def by_name(features: Features) -> ResolvedRequest:
    """What a call names, with nothing of what that is: the registry was not asked yet."""
    from feast import FeatureService

    if isinstance(features, FeatureService):
        refs, name = service_refs(features), features.name
        return ResolvedRequest(refs, name, "given", (name,), {}, {}, (), (), (), None)
    return ResolvedRequest(tuple(features), None, "none", (), {}, {}, (), (), (), None)


def changed_since(asked: ResolvedRequest, at: str, seconds: float) -> tuple[str, ...]:
    """What was applied again, or loaded, since a call began that took so long and ended `at`.

    What it was in that call is not known. `at` is in ISO 8601.
    """
    then = datetime.fromisoformat(at) - timedelta(seconds=seconds)
    later = (name for name, at in asked.applied if at is not None and at > then)
    return tuple(dict.fromkeys(later))


def _key_of(features: Any) -> Hashable:
    projections = getattr(features, "feature_view_projections", None)
    if projections is None:
        return tuple(features)
    parts = tuple(
        (p.name, p.name_to_use(), tuple(sorted(p.join_key_map.items())), len(p.features))
        for p in projections
    )
    return features.name, parts


def service_now(
    store: FeatureStore, refs: Sequence[str]
) -> tuple[str | None, Literal["exact", "none"], tuple[str, ...]]:
    """As `service_of` for a list, from the registry as it stands, not the store's copy of it.

    Another process may have applied a service since; the store's own copy is left as it is.
    """
    asked = store.registry
    if getattr(asked, "stub", None) is not None:
        return exactly(services_of(registry.definitions_after(store)), refs)
    if not hasattr(asked, "_registry_store"):
        found = store_door.answered(
            store, "registry", lambda: asked.list_feature_services(store.project, allow_cache=False)
        )
        return exactly({s.name: service_refs(s) for s in found}, refs)
    written = _written(asked)
    before, services = _now.get(store, (None, {}))
    if written is None or before != written:
        proto = asked._registry_store.get_registry_proto()
        specs = [s.spec for s in proto.feature_services if s.spec.project == store.project]
        services = {spec.name: refs_of_service(spec) for spec in specs}
        _now[store] = (written, services)
    return exactly(services, refs)


_now: WeakKeyDictionary[FeatureStore, tuple[tuple[int, int] | None, dict[str, tuple[str, ...]]]] = (
    WeakKeyDictionary()
)


def _written(registry: BaseRegistry) -> tuple[int, int] | None:
    """When a registry's file was written last, where it is a local one."""
    path = getattr(registry, "_file_path", None)
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found else None


def unasked(asked: ResolvedRequest, full_feature_names: bool) -> dict[str, str]:
    """Column → reference of what comes unasked: the features that on-demand views compute from."""
    wanted = set(asked.refs)
    found = {}
    for view in asked.views.values():
        for read in view.inputs:
            for feature in read.features:
                if f"{read.name}:{feature}" not in wanted:
                    plain = f"{read.name}__{feature}" if full_feature_names else feature
                    found[plain] = f"{read.name}:{feature}"
    return found
