"""Which views Feast reads past its own copy of a registry, and when those were applied.

`get_historical_features` takes the views of a SQL or Snowflake registry from the database, while
the copy that Feast keeps of it may be as old as its `cache_ttl_seconds`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from ....patching.patches import Patches

if TYPE_CHECKING:
    from feast.base_feature_view import BaseFeatureView
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

# View → when it was applied last, as it was read.
Reads: TypeAlias = dict[str, datetime | None]
_noted: ContextVar[Reads | None] = ContextVar("feast_nb_registry_reads", default=None)


@contextmanager
def noted() -> Iterator[Reads]:
    """What is read past the copy meanwhile, in this thread."""
    found: Reads = {}
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def follow(patches: Patches) -> None:
    """Listen to registries of which Feast keeps a copy beside the database."""
    kinds = {"caching_registry": "CachingRegistry", "snowflake": "SnowflakeRegistry"}
    for module, kind in kinds.items():
        listen = functools.partial(_follow_registry, patches, kind)
        patches.on_import(f"feast.infra.registry.{module}", listen)


def _follow_registry(patches: Patches, kind: str, module: ModuleType) -> None:
    def wrap(original: Callable[..., BaseFeatureView]) -> Callable[..., BaseFeatureView]:
        @functools.wraps(original)
        def get_any_feature_view(
            registry: BaseRegistry, name: str, project: str, allow_cache: bool = False
        ) -> BaseFeatureView:
            view = original(registry, name, project, allow_cache)
            found = _noted.get()
            if found is not None and not allow_cache:
                found[name] = _in_utc(view.last_updated_timestamp)
            return view

        return get_any_feature_view

    patches.replace(getattr(module, kind), "get_any_feature_view", wrap)


def as_it_is(registry: BaseRegistry) -> RegistryProto:
    """A registry past the copy of a file that Feast keeps; that copy where the file is gone."""
    file = getattr(registry, "_registry_store", None)
    if file is not None:
        with suppress(FileNotFoundError):
            found: RegistryProto = file.get_registry_proto()
            return found
    return registry.proto()


def _in_utc(at: datetime | None) -> datetime | None:
    """Feast's moments have no zone, and are in UTC."""
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
