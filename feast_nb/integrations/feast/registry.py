"""The one reader of a registry: what it defines, by name and version, from its protos.

Stored code is never run. `definitions_of` keeps what it read for as long as Feast's own copy of
the registry stays as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal, TypeVar
from weakref import WeakKeyDictionary

from ...errors import FeatureError, StoreError, nearest
from ...records.references import split_version
from ...records.retrieval import ViewDefinition, ViewKind
from . import definition_hashes
from .servers import registry_copy, registry_listing, registry_reads, store_door
from .views import KINDS, View, moment_of

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
    from feast.protos.feast.core.Entity_pb2 import EntitySpecV2
    from feast.protos.feast.core.FeatureService_pb2 import FeatureServiceSpec
    from feast.protos.feast.core.FeatureViewVersion_pb2 import FeatureViewVersionRecord
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

    from .views import ViewProto

T = TypeVar("T")


class NotAtHand(Exception):
    """Something is to be asked of the registry, and it is not to be asked now."""


class Definitions:
    """What the registry of one project defines, as it stood when it was read.

    `registry` is asked only for a version that it keeps apart from its `proto` (SQL), which is not
    to be changed. `state` is that of the copy that was read, None where none is kept.
    """

    def __init__(
        self,
        proto: RegistryProto,
        project: str,
        registry: BaseRegistry | None,
        state: object = None,
    ) -> None:
        self.project = project
        self.state = state
        self._registry = registry
        self.proto = proto
        self._may_ask = True
        self._pinned: dict[tuple[str, int], tuple[ViewKind, ViewProto]] = {}
        # Feast serves a view that is being filled only where the registry is told so.
        self._while_filled = bool(getattr(registry, "serve_features_while_materializing", False))

    @cached_property
    def at_hand(self) -> Definitions:
        """The same, which raises `NotAtHand` where the registry would be asked."""
        found = copy(self)
        found._may_ask = False
        return found

    @cached_property
    def digest(self) -> str:
        """A hash of every definition, whenever it was applied."""
        specs = sorted(
            f"{field.name}:".encode() + item.spec.SerializeToString(deterministic=True)
            for field, items in self.proto.ListFields()
            if field.message_type is not None and "spec" in field.message_type.fields_by_name
            for item in items
            if getattr(item.spec, "project", self.project) == self.project
        )
        return hashlib.blake2b(b"\0".join(specs), digest_size=8).hexdigest()

    def applied_at(
        self, kind: Literal["entities", "feature_services"], name: str
    ) -> datetime | None:
        """When an entity or a service was applied last, by the registry's clock."""
        for one in getattr(self.proto, kind):
            if one.spec.name == name and one.spec.project in ("", self.project):
                return moment_of(one)
        return None

    @cached_property
    def views(self) -> Mapping[str, View]:
        """Every view as it is now, by name."""
        return {
            message.spec.name: self._view(message.spec.name, kind, message)
            for field, kind in KINDS.items()
            for message in getattr(self.proto, field)
            if message.spec.project in ("", self.project)
        }

    @cached_property
    def join_keys(self) -> Mapping[str, str]:
        """Entity → join key as it is registered: a view keeps the one that it was applied with."""
        return {name: spec.join_key for name, spec in self.entities.items()}

    @cached_property
    def entities(self) -> Mapping[str, EntitySpecV2]:
        """The protos of the entities, by name."""
        mine = (e.spec for e in self.proto.entities if e.spec.project in ("", self.project))
        return {spec.name: spec for spec in mine}

    @cached_property
    def services(self) -> Mapping[str, FeatureServiceSpec]:
        """The protos of the feature services, by name."""
        mine = (s.spec for s in self.proto.feature_services)
        return {spec.name: spec for spec in mine if spec.project in ("", self.project)}

    @property
    def sources(self) -> Iterator[DataSourceProto]:
        """The protos of the data sources that were applied by themselves."""
        return (s for s in self.proto.data_sources if s.project in ("", self.project))

    @cached_property
    def _versions(self) -> Mapping[tuple[str, int], FeatureViewVersionRecord]:
        """The earlier versions that the proto itself holds."""
        kept = getattr(self.proto, "feature_view_version_history", None)
        return {
            (record.feature_view_name, record.version_number): record
            for record in (kept.records if kept is not None else ())
            if record.project_id == self.project
        }

    def versions_of(self, view: str) -> tuple[int, ...]:
        """The numbers of the versions of a view that the proto itself holds."""
        return tuple(sorted(number for name, number in self._versions if name == view))

    def _view(
        self,
        name: str,
        kind: ViewKind,
        message: ViewProto,
        version: int | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> View:
        return View(name, kind, message, version, keys or {}, self._while_filled)

    def view(
        self, name: str, as_: str | None = None, keys: Mapping[str, str] | None = None
    ) -> View:
        """A view by its name in a reference: `stats`, or `stats@v1` for a version of it.

        `as_` is what a service calls it, `keys` what it makes of its join keys. Raises
        `FeatureError`, with the nearest name, where there is none.
        """
        plain, version = split_version(name)
        if version is None:
            if plain not in self.views:
                raise FeatureError(f"no feature view {plain}; {nearest(plain, self.views)}")
            found = self.views[plain]
            return self._view(as_ or name, found.kind, found.message, keys=keys)
        if (plain, version) not in self._pinned:
            self._pinned[plain, version] = self._version(plain, version)
        kind, message = self._pinned[plain, version]
        return self._view(as_ or name, kind, message, version, keys)

    def _version(self, plain: str, version: int) -> tuple[ViewKind, ViewProto]:
        """A version of a view, from the proto's history, or from where SQL registries keep it."""
        record = self._versions.get((plain, version))
        if record is not None:
            return self._parsed(record.feature_view_type, record.feature_view_proto)
        if not self._may_ask:
            raise NotAtHand
        apart = getattr(self._registry, "_get_version_snapshot", None)  # makes no object of it
        kept = apart(plain, self.project, version) if apart is not None else None
        if kept is not None:
            return self._parsed(*kept)
        if version == 0 and plain in self.views and not self._counts_versions:
            now = self.views[plain]  # as Feast does it: the first is the only one
            return now.kind, now.message
        numbers = self.versions_of(plain)
        if self._registry is not None and apart is not None:
            told = self._registry.list_feature_view_versions(plain, self.project)
            numbers = tuple(one["version_number"] for one in told)
        known = ", ".join(f"v{n}" for n in numbers)
        has = f"it has {known}." if known else "no version of it is kept."
        raise FeatureError(f"view {plain} has no version v{version}; {has}")

    @property
    def _counts_versions(self) -> bool:
        """Whether the registry is of a kind that finds a view by its version."""
        from feast.infra.registry.base_registry import BaseRegistry

        own = getattr(type(self._registry), "get_feature_view_by_version", None)
        return own is not BaseRegistry.get_feature_view_by_version

    def _parsed(self, kind: str, text: bytes) -> tuple[ViewKind, ViewProto]:
        field = f"{kind}s"
        message = getattr(type(self.proto)(), field).add()
        message.ParseFromString(text)
        return KINDS[field], message

    def records(self, names: Iterable[str] = ()) -> dict[str, ViewDefinition]:
        """Each view as it is defined now, and the pinned ones among `names` that are still kept."""
        wanted = dict(self.views)
        for name in names:
            if split_version(name)[1] is not None:
                try:
                    wanted[name] = self.view(name)
                except FeatureError:
                    continue  # it is gone: so says who compares
        records = definition_hashes.view_records(wanted, self.join_keys)
        return {record.name: record for record in records}


# ------------------------------------------------------------------ read once for each state

_read: WeakKeyDictionary[FeatureStore, Definitions] = WeakKeyDictionary()


def definitions_of(store: FeatureStore) -> Definitions:
    """What a store's registry defines, by Feast's own copy of it, which Feast keeps fresh."""
    proto, state = _copy_of(store)
    return _kept(store, proto if proto is not None else proto_of(store), state)


def at_hand(store: FeatureStore) -> Definitions | None:
    """The same as this process has it: the registry is not asked; None where it would have to be.

    Feast has just read its own copy anew where it was too old, for the call that this is about.
    What it holds raises `NotAtHand` for what the copy has not.
    """
    registry = store.registry
    proto = getattr(registry, "cached_registry_proto", None)
    if proto is not None:
        return _kept(store, proto, _state_of_copy(registry, proto)).at_hand
    copy = registry_copy.latest(registry)
    return _kept(store, copy.proto, copy.digest).at_hand if copy is not None else None


def _kept(store: FeatureStore, proto: RegistryProto, state: object) -> Definitions:
    """What a copy holds, read once for each `state` of it."""
    before = _read.get(store)
    if before is not None and state is not None and before.state == state:
        return before
    found = _read[store] = Definitions(proto, store.project, store.registry, state)
    return found


def _copy_of(store: FeatureStore) -> tuple[RegistryProto | None, object]:
    """The copy of the registry that Feast keeps, or that we keep of a server, with its state."""
    registry = store.registry
    if getattr(registry, "stub", None) is not None:
        copy = registry_copy.kept(registry, lambda: proto_of(store))
        return copy.proto, copy.digest
    if hasattr(registry, "cached_registry_proto"):  # Feast reads it anew where it is too old
        _answered(store, lambda: registry.list_projects(allow_cache=True))
    proto = getattr(registry, "cached_registry_proto", None)
    return proto, _state_of_copy(registry, proto) if proto is not None else None


def definitions_after(store: FeatureStore) -> Definitions:
    """The same for a call that was just made and is looked up afterwards; the registry is asked.

    Not by a server's copy of before the call, unless that is a fresh one.
    """
    registry = store.registry
    if getattr(registry, "stub", None) is None:
        return definitions_of(store)
    copy = registry_copy.renewed(registry, lambda: proto_of(store))
    return _kept(store, copy.proto, copy.digest)


def definitions_lately(store: FeatureStore) -> Definitions:
    """As the registry itself had it at most ten seconds ago, whatever copy of it Feast keeps."""
    copy = registry_copy.renewed(store.registry, lambda: proto_of(store))
    return Definitions(copy.proto, store.project, store.registry, copy.digest)


def definitions_now(store: FeatureStore) -> Definitions:
    """The same as the registry itself has it now, whatever copy of it Feast keeps."""
    return Definitions(proto_of(store, now=True), store.project, store.registry)


def refresh(store: FeatureStore) -> None:
    """Have Feast read its copy of the registry anew: another process may have applied something.

    A registry server lets only those have its copy read anew who may change the project; what it
    lists is read past that copy. Raises `StoreError` for a registry that is away.
    """
    try:
        _answered(store, store.refresh_registry)
    except StoreError as problem:
        if type(problem.__cause__).__name__ != "FeastPermissionError":
            raise


def _answered(store: FeatureStore, ask: Callable[[], T]) -> T:
    return store_door.answered(store, "registry", ask)


def nothing(project: str) -> Definitions:
    """A registry that nothing was applied to."""
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

    return Definitions(RegistryProto(), project, None)


def proto_of(store: FeatureStore, now: bool = False) -> RegistryProto:
    """The registry's proto; of a registry server what is asked for here.

    `now`: its data sources, too. A server's own `Proto` mixes all projects. Raises `StoreError`
    where it does not answer.
    """
    if getattr(store.registry, "stub", None) is None:
        ask = partial(registry_reads.as_it_is, store.registry) if now else store.registry.proto
        found: RegistryProto = _answered(store, ask)
        return found
    return _answered(store, lambda: registry_listing.everything(store, now))


def state_of(registry: BaseRegistry) -> object:
    """What changes whenever what the copy of the registry holds does; None where none is kept.

    A file registry gives each writing a version of its own; a SQL registry's copy is another one
    after each refresh, and is told by its content.
    """
    proto = getattr(registry, "cached_registry_proto", None)
    return registry_copy.digest_of(registry) if proto is None else _state_of_copy(registry, proto)


def _state_of_copy(registry: BaseRegistry, proto: RegistryProto) -> object:
    if proto.version_id:
        return proto.version_id, proto.last_updated.ToNanoseconds()
    copied = id(proto), getattr(registry, "cached_registry_proto_created", None)
    known = _contents.get(registry)
    if known is None or known[0] != copied:
        known = _contents[registry] = copied, registry_copy.content_of(proto)
    return known[1]


_contents: WeakKeyDictionary[BaseRegistry, tuple[tuple[int, object], str]] = WeakKeyDictionary()


def registry_hash(store: FeatureStore) -> str | None:
    """A hash of every definition in the copy of the registry that is here; None without one."""
    known = at_hand(store)
    return known.digest if known is not None else None
