"""What features stand for, by the definitions of a registry: services, views, keys, types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from traceback import walk_tb
from typing import TYPE_CHECKING, Literal

from ...errors import FeatureError, brief, nearest
from ...records.references import column_names
from . import registry, sources
from .registry import Definitions
from .views import View, refs_of_service, sources_of

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureService, FeatureStore
    from feast.feature_view_projection import FeatureViewProjection
    from feast.protos.feast.core.FeatureService_pb2 import FeatureServiceSpec

    from .calls import Features


class _Service:
    """A service of a copy of the registry, as far as Feast asks for it."""

    def __init__(self, spec: FeatureServiceSpec) -> None:
        from feast.feature_view_projection import FeatureViewProjection

        self.feature_view_projections = [FeatureViewProjection.from_proto(p) for p in spec.features]

    def __ne__(self, other: object) -> bool:
        return False  # that it differs from the one given was said in the call that this is about


class _Services:
    """The registry, as Feast asks it for a service: a copy of it, beside Feast's own memory."""

    def __init__(self, store: FeatureStore, known: Definitions) -> None:
        self._feature_service_cache = getattr(store.registry, "_feature_service_cache", {})
        self._known = known

    def get_feature_service(self, name: str, project: str, allow_cache: bool) -> _Service:
        if name not in self._known.services:
            raise FeatureError(f"no feature service {name}; {nearest(name, self._known.services)}")
        return _Service(self._known.services[name])


def refs_of(store: FeatureStore, features: Features, known: Definitions) -> tuple[str, ...]:
    """The references that `features` (a list, or a feature service) stands for, in its order.

    Of a service those that Feast itself has for it at the moment; nobody is asked.
    """
    from feast import utils

    asked = _Services(store, known)
    return tuple(utils._get_features(asked, store.project, features, allow_cache=True))


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
    return exactly(services_of(known), refs)


def services_of(known: Definitions) -> dict[str, tuple[str, ...]]:
    """The references of each service."""
    return {name: refs_of_service(spec) for name, spec in known.services.items()}


def service_refs(service: FeatureService) -> tuple[str, ...]:
    """A service's references, in its order."""
    return tuple(
        f"{p.name_to_use()}:{f.name}" for p in service.feature_view_projections for f in p.features
    )


def exactly(
    services: Mapping[str, Sequence[str]], refs: Sequence[str]
) -> tuple[str | None, Literal["exact", "none"], tuple[str, ...]]:
    """The one service that is exactly these references; and all that are."""
    fitting = tuple(sorted(n for n, theirs in services.items() if set(theirs) == set(refs)))
    if len(fitting) == 1:
        return fitting[0], "exact", fitting
    return None, "none", fitting


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


def views_fed(store: FeatureStore, source: str) -> tuple[str, ...]:
    """The views that a push to a source writes to. The registry may be asked."""
    views = registry.definitions_after(store).views.values()
    fed = [v.view for v in views if v.is_timed and source in (s.name for s in sources_of(v.spec))]
    return tuple(sorted(fed))
