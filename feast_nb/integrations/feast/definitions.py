"""What a retrieval asked for, as the registry defined it at that moment: services, views, keys."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

from ...errors import FeatureError, brief
from ...records.references import column_names
from ...records.retrieval import ViewDefinition
from . import definition_hashes, sources
from .registry import Definitions, definitions_of, refs_of_service, registry_hash, state_of
from .views import View, sources_of

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureService, FeatureStore
    from feast.feature_view_projection import FeatureViewProjection
    from feast.infra.registry.base_registry import BaseRegistry

    from .calls import Features


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


_known: WeakKeyDictionary[FeatureStore, tuple[object, dict[Hashable, ResolvedRequest]]] = (
    WeakKeyDictionary()
)
_MOST = 256  # requests: who asks for another choice of features each time asks for none again


def resolve_request(store: FeatureStore, features: Features) -> ResolvedRequest:
    """What a call of `store` with these `features` asked for.

    Looked up once for each state of the registry: it costs milliseconds, on the cell's time.
    """
    state, key = state_of(store.registry), _key_of(features)
    before, found = _known.get(store, (None, {}))
    if state is None or before != state or len(found) >= _MOST:
        found = {}
        _known[store] = (state, found)
    if key not in found:
        found[key] = _looked_up(store, features)
    return found[key]


def _looked_up(store: FeatureStore, features: Features) -> ResolvedRequest:
    known = definitions_of(store)
    refs = refs_of(store, features)
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
        registry_hash(store),
    )


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
    registry = store.registry
    if not hasattr(registry, "_registry_store"):
        found = registry.list_feature_services(store.project, allow_cache=False)
        return _exactly({s.name: service_refs(s) for s in found}, refs)
    written = _written(registry)
    before, services = _now.get(store, (None, {}))
    if written is None or before != written:
        proto = registry._registry_store.get_registry_proto()
        specs = [s.spec for s in proto.feature_services if s.spec.project == store.project]
        services = {spec.name: refs_of_service(spec) for spec in specs}
        _now[store] = (written, services)
    return _exactly(services, refs)


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


def _exactly(
    services: Mapping[str, Sequence[str]], refs: Sequence[str]
) -> tuple[str | None, Literal["exact", "none"], tuple[str, ...]]:
    fitting = tuple(sorted(n for n, theirs in services.items() if set(theirs) == set(refs)))
    if len(fitting) == 1:
        return fitting[0], "exact", fitting
    return None, "none", fitting


def refs_of(store: FeatureStore, features: Features) -> tuple[str, ...]:
    """The references that `features` (a list, or a feature service) stands for, in its order."""
    from feast import utils

    return tuple(utils._get_features(store.registry, store.project, features, allow_cache=True))


def service_of(
    known: Definitions, features: Features, refs: Sequence[str]
) -> tuple[str | None, Literal["given", "exact", "none"], tuple[str, ...]]:
    """The service that a retrieval truly used, how that is known, and all that would fit.

    A list of references is a service's only where it is exactly one service's; where two services
    hold the same features it is neither's, and both are named.
    """
    from feast import FeatureService

    if isinstance(features, FeatureService):
        return features.name, "given", (features.name,)
    return _exactly({n: refs_of_service(s) for n, s in known.services.items()}, refs)


def service_refs(service: FeatureService) -> tuple[str, ...]:
    """A service's references, in its order."""
    return tuple(
        f"{p.name_to_use()}:{f.name}" for p in service.feature_view_projections for f in p.features
    )


def views_of(known: Definitions, features: Features, refs: Sequence[str]) -> dict[str, View]:
    """The view for each view name in `refs`, in first-seen order.

    A service may rename a view (`with_name`) and its join keys, and pin a version of it; the name
    is the one in the references.
    """
    projections = {
        p.name_to_use(): p for p in getattr(features, "feature_view_projections", None) or ()
    }
    found: dict[str, View] = {}
    for ref in refs:
        name = ref.partition(":")[0]
        if name not in found:
            found[name] = _view_of(known, name, projections.get(name))
    return found


def _view_of(known: Definitions, name: str, projection: FeatureViewProjection | None) -> View:
    if projection is None:
        return known.view(name)
    version = projection.version_tag
    registered = projection.name if version is None else f"{projection.name}@v{version}"
    return known.view(registered, name, projection.join_key_map)


def views_behind(known: Definitions, views: Mapping[str, View]) -> dict[str, View]:
    """The views that on-demand views compute from, beside those that were asked for."""
    found: dict[str, View] = {}
    for view in views.values():
        for read in view.inputs:
            if read.name not in views and read.name not in found:
                source = known.view(read.address, read.name)
                found |= {read.name: source, **views_behind(known, {read.name: source})}
    return found


def join_keys_of(known: Definitions, views: Iterable[View]) -> tuple[str, ...]:
    """The entity keys that a retrieval needs, on-demand views' inputs included."""
    keys: dict[str, None] = {}
    for view in views:
        for read in view.inputs:
            source = known.view(read.address)
            keys.update(dict.fromkeys(join_keys_of(known, [source])))
        keys.update(dict.fromkeys(view.join_keys(known.join_keys)))
    return tuple(keys)


def request_fields_of(views: Iterable[View]) -> tuple[str, ...]:
    """The columns that on-demand views take from the caller."""
    return tuple(dict.fromkeys(name for view in views for name in view.request_fields))


def key_clash(known: Definitions, views: Iterable[View]) -> str | None:
    """Why Feast cannot serve some views online: a join key is request data as well (#6790).

    Feast sorts each column that a caller gives into one of the two; historical retrieval is not
    touched by it.
    """
    views = list(views)
    keys = set(join_keys_of(known, views))
    for view in views:
        both = [name for name in view.request_fields if name in keys]
        if both:
            return (
                f"{both[0]} is a join key, and request data of {view.view} too: Feast cannot "
                "serve that online; give the request field another name."
            )
    return None


@contextmanager
def retrieving(store: FeatureStore, views: Iterable[View]) -> Iterator[None]:
    """A historical retrieval of ours; raises `FeatureError` where `singleton` code ends it.

    The same for a source that the offline store would not find. Feast's offline stores hand whole
    columns to code that takes one row (Feast 0.67). Whose code it was is read from the traceback.
    """
    views = tuple(views)
    sources.check_found(store, views)
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError) as problem:
        from feast import OnDemandFeatureView

        single = {view.view for view in views if view.is_singleton}
        frames = [
            frame.f_locals
            for frame, _ in walk_tb(problem.__traceback__)
            if not frame.f_code.co_filename.startswith("pyarrow")  # Cython's, without locals
        ]
        # Its own methods, or the job's that was about to take what they gave (`odfv`).
        met = [*(own.get("self") for own in frames), frames[-1].get("odfv")]
        computing = [str(view.name) for view in met if isinstance(view, OnDemandFeatureView)]
        if not computing or computing[-1] not in single:
            raise
        raise FeatureError(
            f"{computing[-1]} computes one row at a time (singleton), and Feast's offline stores "
            f"hand it whole columns ({brief(problem, 150)}); write it so that it takes both."
        ) from problem


def check_available(views: Iterable[View]) -> None:
    """Raise `FeatureError` for the first view that Feast does not serve now."""
    for view in views:
        if view.unavailable == "disabled":
            raise FeatureError(
                f"view {view.view} is disabled; enable it with "
                f"store.enable_feature_view({view.view!r})."
            )
        if view.unavailable:
            raise FeatureError(
                f"view {view.view} is {view.unavailable}, in which Feast serves nothing of it; "
                "materialize it, or wait until that has ended."
            )


def types_of(
    views: Mapping[str, View], refs: Sequence[str], full_feature_names: bool
) -> dict[str, pa.DataType]:
    """Result column → the Arrow type that Feast declares for it, lists left as they come."""
    from feast.type_map import feast_value_type_to_pa
    from feast.value_type import ValueType

    types: dict[str, pa.DataType] = {}
    for ref in refs:
        name, _, feature = ref.partition(":")
        for declared in views[name].features:
            if declared.name == feature:
                try:
                    arrow = feast_value_type_to_pa(ValueType(declared.value_type))
                except (KeyError, TypeError, AttributeError, ValueError):
                    continue  # a type without one Arrow twin (a struct, an image): as it comes
                types |= dict.fromkeys(column_names(ref, full_feature_names), arrow)
    return types


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


def views_written(store: FeatureStore, call: str, name: str) -> tuple[str, ...]:
    """The views that a write reaches: the one named, or all that a push source feeds."""
    if call != "push":
        return (name,)
    views = definitions_of(store).views.values()
    fed = [v.view for v in views if v.is_timed and name in (s.name for s in sources_of(v.spec))]
    return tuple(sorted(fed))
