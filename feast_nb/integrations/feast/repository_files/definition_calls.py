"""The store's own calls that change what is defined: `apply` with objects, and deletions."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ....patching.interrupts import guarded
from ....patching.patches import Patches
from .. import registry

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

NAMES = ("apply", "delete_feature_view", "delete_feature_service", "disable_feature_view")
_FIELDS = {"view": ("feature_views", "on_demand_feature_views", "stream_feature_views",
                    "label_views"),
           "service": ("feature_services",), "entity": ("entities",),
           "source": ("data_sources",)}  # fmt: skip

# A call that is made on the way of another one, or by us, is no other change.
_changing: ContextVar[bool] = ContextVar("feast_nb_changing_definitions", default=False)


@dataclass(frozen=True)
class DefinitionCall:
    """One such call: the objects that it applies, and `view=NAME` of each that it deletes."""

    store: FeatureStore
    name: str
    objects: Sequence[object] = ()
    deleted: Sequence[str] = ()
    disabled: str | None = None
    kept_aside: bool = False  # a new version of a view is kept, and the view stays what it is


# Asked before a call, which it refuses by raising; what it returns is called afterwards.
Guard: TypeAlias = Callable[[DefinitionCall], Callable[[], None] | None]


class Listener(Protocol):
    """Who has the guard, when it is asked for."""

    changing: Guard


def follow(patches: Patches, listener: Callable[[], Listener]) -> None:
    """Ask the listener's guard before each such call, from the import of Feast until `undo`."""

    def put(module: ModuleType) -> None:
        for name in NAMES:
            if hasattr(module.FeatureStore, name):
                patches.replace(module.FeatureStore, name, wrap)

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def changing(store: FeatureStore, *args: Any, **kwargs: Any) -> Any:
            if not patches.active or _changing.get():
                return original(store, *args, **kwargs)
            try:
                asked = signature.bind(store, *args, **kwargs).arguments
            except TypeError:  # Feast says what is wrong with it
                return original(store, *args, **kwargs)
            token = _changing.set(True)
            after: Callable[[], None] | None = None
            try:
                after = listener().changing(_call_of(store, original.__name__, asked))
                return original(store, *args, **kwargs)
            except KeyboardInterrupt:
                after = None  # who interrupts waits for nothing more
                raise
            finally:
                _changing.reset(token)
                if after is not None:  # where it failed, too: a part of it may be done
                    with guarded("looking at what a change of definitions breaks"):
                        after()

        return changing

    patches.on_import("feast.feature_store", put)


def _call_of(store: FeatureStore, name: str, asked: dict[str, Any]) -> DefinitionCall:
    if name != "apply":
        kind = "service" if name.endswith("service") else "view"
        if name.startswith("disable"):
            return DefinitionCall(store, name, disabled=str(asked["name"]))
        return DefinitionCall(store, name, deleted=(f"{kind}={asked['name']}",))
    objects = asked["objects"]
    gone = () if asked.get("partial", True) else asked.get("objects_to_delete") or ()
    several = objects if isinstance(objects, (list, tuple)) else [objects]
    deleted = [f"{kind_of(one)}={one.name}" for one in gone]
    aside = bool(asked.get("no_promote"))
    return DefinitionCall(store, name, tuple(several), tuple(deleted), kept_aside=aside)


def kind_of(one: object) -> str | None:
    """View, service, entity or source; None for another kind of object."""
    from feast import Entity, FeatureService
    from feast.base_feature_view import BaseFeatureView
    from feast.data_source import DataSource

    kinds = {BaseFeatureView: "view", FeatureService: "service", Entity: "entity",
             DataSource: "source"}  # fmt: skip
    return next((name for kind, name in kinds.items() if isinstance(one, kind)), None)


def delete(store: FeatureStore, objects: Sequence[Any]) -> None:
    """Delete objects and what the online store has of them; Feast itself logs nothing of it."""
    from ..calls import timed

    token = _changing.set(True)
    try:
        timed(store.apply, [], objects_to_delete=list(objects), partial=False)
    finally:
        _changing.reset(token)


def expected(call: DefinitionCall, have: RegistryProto) -> RegistryProto:
    """The registry as it will be after a call, with what Feast infers; nothing is written.

    Raises what Feast raises for objects that it does not take.
    """
    want = type(have)()
    want.CopyFrom(have)
    _remove(want, set(call.deleted), call.store.project)
    for view in (one for field in _FIELDS["view"] for one in getattr(want, field)):
        if view.spec.name == call.disabled and hasattr(view.spec, "disabled"):
            view.spec.disabled = True
    if not call.objects:
        return want
    # Copied together: views share what Feast infers of them.
    made = _inferred(call.store, copy.deepcopy(list(call.objects)))
    there = {view.spec.name for field in _FIELDS["view"] for view in getattr(want, field)}
    for field in _FIELDS["view"] if call.kept_aside else ():
        for view in [v for v in getattr(made, field) if v.spec.name in there]:
            getattr(made, field).remove(view)
    return with_objects(want, made, call.store.project)


def with_objects(
    have: RegistryProto, made: RegistryProto, project: str, only: Collection[str] | None = None
) -> RegistryProto:
    """A registry with the views, services, entities and sources of another in place of its own.

    `only` names those that are meant: `view=NAME`.
    """
    want, new = type(have)(), type(have)()
    want.CopyFrom(have)
    names = set()
    for kind, fields in _FIELDS.items():
        for field in fields:
            for one in getattr(made, field):
                name = f"{kind}={_spec(one).name}"
                if only is None or name in only:
                    names.add(name)
                    (item := getattr(new, field).add()).CopyFrom(one)
                    _spec(item).project = project
    _remove(want, names, project)
    want.MergeFrom(new)
    return want


def _spec(message: Any) -> Any:
    return getattr(message, "spec", message)


def _remove(proto: RegistryProto, names: set[str], project: str) -> None:
    for kind, fields in _FIELDS.items():
        for field in fields:
            items = getattr(proto, field)
            for one in list(items):
                mine = _spec(one).project in ("", project)
                if mine and f"{kind}={_spec(one).name}" in names:
                    items.remove(one)


def _inferred(store: FeatureStore, objects: Sequence[Any]) -> RegistryProto:
    """The protos of objects with the types and keys that Feast infers of their sources."""
    from feast import Entity, FeatureService, FeatureView
    from feast.data_source import DataSource
    from feast.labeling.label_view import LabelView
    from feast.on_demand_feature_view import OnDemandFeatureView
    from feast.repo_contents import RepoContents
    from feast.stream_feature_view import StreamFeatureView

    def of(kind: type, *but: type) -> list[Any]:
        return [one for one in objects if isinstance(one, kind) and not isinstance(one, but)]

    contents = RepoContents(
        projects=[],
        data_sources=list({one.name: one for one in of(DataSource)}.values()),
        feature_views=of(FeatureView, StreamFeatureView),
        on_demand_feature_views=of(OnDemandFeatureView),
        stream_feature_views=of(StreamFeatureView),
        label_views=of(LabelView),
        entities=of(Entity),
        feature_services=of(FeatureService),
        permissions=[],
    )
    store.plan(contents, skip_feature_view_validation=True)
    found: RegistryProto = contents.to_registry_proto()
    return found


def registered(store: FeatureStore) -> RegistryProto:
    """The registry as it is now, which stays so. Raises `StoreError` where it does not answer."""
    now = registry.proto_of(store, now=True)
    kept: RegistryProto = type(now)()
    kept.CopyFrom(now)  # Feast deletes from its own in place
    return kept
