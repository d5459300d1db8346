"""What a retrieval asked for, as the registry defined it at that moment: services, views, keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

from ...records.retrieval import NO_ENTITY, ViewDefinition
from . import definition_hashes


class ResolvedRequest(NamedTuple):
    """Everything about a retrieval that follows from its features and the registry alone."""

    refs: tuple[str, ...]
    service: str | None
    basis: Literal["given", "exact", "none"]
    fitting: tuple[str, ...]
    views: dict[str, Any]
    behind: dict[str, Any]
    records: tuple[ViewDefinition, ...]
    behind_records: tuple[ViewDefinition, ...]
    join_keys: tuple[str, ...]
    registry: str | None


_known: WeakKeyDictionary[Any, tuple[Any, dict[Any, ResolvedRequest]]] = WeakKeyDictionary()


def resolve_request(store: Any, features: Any) -> ResolvedRequest:
    """What a call of `store` with these `features` asked for.

    Looked up once for each state of the registry: it costs milliseconds, on the cell's time.
    """
    state, key = state_of(store.registry), _key_of(features)
    before, found = _known.get(store, (None, {}))
    if state is None or before != state:
        found = {}
        _known[store] = (state, found)
    if key not in found:
        found[key] = _looked_up(store, features)
    return found[key]


def _looked_up(store: Any, features: Any) -> ResolvedRequest:
    refs = refs_of(store, features)
    views = views_of(store, features, refs)
    behind, keys = views_behind(store, views), keys_of_entities(store)
    return ResolvedRequest(
        refs,
        *service_of(store, features, refs),
        views,
        behind,
        definition_hashes.view_records(views, keys),
        definition_hashes.view_records(behind, keys),
        join_keys_of(store, views.values()),
        registry_hash(store),
    )


def state_of(registry: Any) -> Any:
    """What changes whenever Feast's own copy of the registry does; None where it keeps none.

    A file registry gives each writing a version of its own, and is read anew by every historical
    retrieval.
    """
    proto = getattr(registry, "cached_registry_proto", None)
    if proto is None:
        return None
    if proto.version_id:
        return proto.version_id, proto.last_updated.ToNanoseconds()
    return id(proto), getattr(registry, "cached_registry_proto_created", None)


def _key_of(features: Any) -> Any:
    projections = getattr(features, "feature_view_projections", None)
    if projections is None:
        return tuple(features)
    parts = tuple(
        (p.name, p.name_to_use(), tuple(sorted(p.join_key_map.items())), len(p.features))
        for p in projections
    )
    return features.name, parts


def registry_hash(store: Any) -> str | None:
    """A hash of every definition in the store's copy of the registry, whenever it was applied."""
    proto = getattr(store.registry, "cached_registry_proto", None)
    if proto is None:
        return None
    specs = sorted(
        f"{field.name}:".encode() + item.spec.SerializeToString(deterministic=True)
        for field, items in proto.ListFields()
        if field.message_type is not None and "spec" in field.message_type.fields_by_name
        for item in items
        if getattr(item.spec, "project", store.project) == store.project
    )
    return hashlib.blake2b(b"\0".join(specs), digest_size=8).hexdigest()


def service_now(
    store: Any, refs: Sequence[str]
) -> tuple[str | None, Literal["exact", "none"], tuple[str, ...]]:
    """As `service_of` for a list, from the registry as it stands, not the store's copy of it.

    Another process may have applied a service since; the store's own copy is left as it is.
    """
    registry = store.registry
    if not hasattr(registry, "_registry_store"):
        found = registry.list_feature_services(store.project, allow_cache=False)
        return _exactly({s.name: service_refs(s) for s in found}, refs)
    written = _written(registry)
    before, services = _now.get(store, (None, {}))
    if written is None or before != written:
        proto = registry._registry_store.get_registry_proto()
        specs = [s.spec for s in proto.feature_services if s.spec.project == store.project]
        services = {spec.name: _refs_of_spec(spec) for spec in specs}
        _now[store] = (written, services)
    return _exactly(services, refs)


_now: WeakKeyDictionary[Any, tuple[Any, dict[str, tuple[str, ...]]]] = WeakKeyDictionary()


def _written(registry: Any) -> tuple[int, int] | None:
    """When a registry's file was written last, where it is a local one."""
    path = getattr(registry, "_file_path", None)
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found else None


def _refs_of_spec(spec: Any) -> tuple[str, ...]:
    return tuple(
        f"{p.feature_view_name_alias or p.feature_view_name}"
        f"{f'@v{p.version_tag}' if p.HasField('version_tag') else ''}:{column.name}"
        for p in spec.features
        for column in p.feature_columns
    )


def _exactly(
    services: Mapping[str, Sequence[str]], refs: Sequence[str]
) -> tuple[str | None, Literal["exact", "none"], tuple[str, ...]]:
    fitting = tuple(sorted(n for n, theirs in services.items() if set(theirs) == set(refs)))
    if len(fitting) == 1:
        return fitting[0], "exact", fitting
    return None, "none", fitting


def refs_of(store: Any, features: Any) -> tuple[str, ...]:
    """The references that `features` (a list, or a feature service) stands for, in its order."""
    from feast import utils

    return tuple(utils._get_features(store.registry, store.project, features, allow_cache=True))


def service_of(
    store: Any, features: Any, refs: Sequence[str]
) -> tuple[str | None, Literal["given", "exact", "none"], tuple[str, ...]]:
    """The service that a retrieval truly used, how that is known, and all that would fit.

    A list of references is a service's only where it is exactly one service's; where two services
    hold the same features it is neither's, and both are named.
    """
    from feast import FeatureService

    if isinstance(features, FeatureService):
        return features.name, "given", (features.name,)
    services = store.registry.list_feature_services(store.project, allow_cache=True)
    return _exactly({s.name: service_refs(s) for s in services}, refs)


def service_refs(service: Any) -> tuple[str, ...]:
    """A service's references, in its order."""
    return tuple(
        f"{p.name_to_use()}:{f.name}" for p in service.feature_view_projections for f in p.features
    )


def views_of(store: Any, features: Any, refs: Sequence[str]) -> dict[str, Any]:
    """Feast's own view for each view name in `refs`, in first-seen order.

    A service may rename a view (`with_name`) and its join keys; the name is the one in the
    references.
    """
    projections = {
        p.name_to_use(): p for p in getattr(features, "feature_view_projections", None) or ()
    }
    found: dict[str, Any] = {}
    for ref in refs:
        name = ref.partition(":")[0]
        if name not in found:
            projection = projections.get(name)
            plain = projection.name if projection else name.partition("@")[0]
            view = store.registry.get_any_feature_view(plain, store.project, allow_cache=True)
            if projection is not None and projection.join_key_map:
                view = view.with_join_key_map(projection.join_key_map)
            found[name] = view
    return found


def views_behind(store: Any, views: Mapping[str, Any]) -> dict[str, Any]:
    """The views that on-demand views compute from, beside those that were asked for."""
    found: dict[str, Any] = {}
    for view in views.values():
        for projection in getattr(view, "source_feature_view_projections", {}).values():
            name = projection.name_to_use()
            if name not in views and name not in found:
                source = store.registry.get_any_feature_view(
                    projection.name, store.project, allow_cache=True
                )
                found |= {name: source, **views_behind(store, {name: source})}
    return found


def keys_of_entities(store: Any) -> dict[str, str]:
    """Entity → join key as it is registered: a view keeps the one that it was applied with."""
    found = store.registry.list_entities(store.project, allow_cache=True)
    return {entity.name: entity.join_key for entity in found}


def join_keys_of(store: Any, views: Iterable[Any]) -> tuple[str, ...]:
    """The entity keys that a retrieval needs, on-demand views' inputs included."""
    keys: dict[str, None] = {}
    registered = keys_of_entities(store)
    for view in views:
        for projection in getattr(view, "source_feature_view_projections", {}).values():
            source = store.registry.get_any_feature_view(
                projection.name, store.project, allow_cache=True
            )
            keys.update(dict.fromkeys(join_keys_of(store, [source])))
        mapping = getattr(view.projection, "join_key_map", {})
        columns = list(getattr(view, "entity_columns", ()))
        for name, column in definition_hashes.keyed(
            list(getattr(view, "entities", ())), columns, registered
        ):
            if not column.name.startswith(NO_ENTITY):
                keys[mapping.get(name, name)] = None
    return tuple(keys)


def request_fields_of(views: Iterable[Any]) -> tuple[str, ...]:
    """The columns that on-demand views take from the caller."""
    fields: dict[str, None] = {}
    for view in views:
        if hasattr(view, "get_request_data_schema"):
            fields.update(dict.fromkeys(view.get_request_data_schema()))
    return tuple(fields)


def types_of(
    views: Mapping[str, Any], refs: Sequence[str], full_feature_names: bool
) -> dict[str, Any]:
    """Result column → the Arrow type that Feast declares for it, lists left as they come."""
    from feast.type_map import feast_value_type_to_pa

    types = {}
    for ref in refs:
        name, _, feature = ref.partition(":")
        for declared in views[name].features:
            if declared.name == feature:
                column = f"{name.partition('@')[0]}__{feature}" if full_feature_names else feature
                try:
                    types[column] = feast_value_type_to_pa(declared.dtype.to_value_type())
                except (KeyError, TypeError, AttributeError):
                    continue  # a type without one Arrow twin (a struct, an image): as it comes
    return types


def unasked(asked: ResolvedRequest, full_feature_names: bool) -> dict[str, str]:
    """Column → reference of what comes unasked: the features that on-demand views compute from."""
    wanted = set(asked.refs)
    found = {}
    for view in asked.views.values():
        for projection in getattr(view, "source_feature_view_projections", {}).values():
            name = projection.name_to_use()
            for feature in projection.features:
                if f"{name}:{feature.name}" not in wanted:
                    plain = f"{name}__{feature.name}" if full_feature_names else feature.name
                    found[plain] = f"{name}:{feature.name}"
    return found


def views_written(store: Any, call: str, name: str) -> tuple[str, ...]:
    """The views that a write reaches: the one named, or all that a push source feeds."""
    if call != "push":
        return (name,)
    views = store.registry.list_all_feature_views(store.project, allow_cache=True)
    fed = [v.name for v in views if getattr(getattr(v, "stream_source", None), "name", "") == name]
    return tuple(sorted(fed))
