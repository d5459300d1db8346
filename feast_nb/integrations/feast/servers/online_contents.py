"""What an online store holds of a view, where its kind can be asked: SQLite and Redis.

Feast has no call for it; these are its own tables and keys (Feast 0.67).
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.base_feature_view import BaseFeatureView
    from feast.infra.online_stores.redis import RedisOnlineStore
    from feast.infra.online_stores.sqlite import SqliteOnlineStore

_MOMENT = 1.0  # seconds to look through the keys of Redis


@dataclass(frozen=True)
class RedisFacts:
    """What a Redis server says of itself: bytes, keys, and how long it runs, in seconds."""

    used: int
    most: int
    policy: str
    evicted: int
    keys: int
    uptime: float


def is_empty(store: FeatureStore, view: str) -> bool | None:
    """Whether the online store has no row of a view; None where nothing says it from here.

    Raises what the store's own client raises.
    """
    kind = str(getattr(store.config.online_store, "type", ""))
    online: Any = store._get_provider().online_store
    if kind == "sqlite":
        return _sqlite_is_empty(store, online, view)
    if kind == "redis":
        return _redis_is_empty(store, online, view)
    return None


def redis_facts(store: FeatureStore) -> RedisFacts | None:
    """What its Redis says; None for an online store of another kind.

    Raises what Redis's client raises.
    """
    if str(getattr(store.config.online_store, "type", "")) != "redis":
        return None
    online: Any = store._get_provider().online_store
    client = online._get_client(store.config.online_store)
    said = client.info()
    return RedisFacts(
        used=int(said.get("used_memory", 0)),
        most=int(said.get("maxmemory", 0)),
        policy=str(said.get("maxmemory_policy", "")),
        evicted=int(said.get("evicted_keys", 0)),
        keys=int(client.dbsize()),
        uptime=float(said.get("uptime_in_seconds", 0)),
    )


def _sqlite_is_empty(store: FeatureStore, online: SqliteOnlineStore, view: str) -> bool | None:
    from feast.infra.online_stores.helpers import compute_table_id

    connection = online._get_conn(store.config)
    table = compute_table_id(store.project, *_versioned(store, view))
    try:
        return connection.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone() is None
    except sqlite3.OperationalError as problem:
        if "no such table" in str(problem):
            return True
        raise


def _versioned(store: FeatureStore, view: str) -> tuple[BaseFeatureView, bool]:
    """Feast's view, and whether its version is a part of its name in the store."""
    versions = bool(getattr(store.config.registry, "enable_online_feature_view_versioning", False))
    return store.registry.get_any_feature_view(view, store.project), versions


def _redis_is_empty(store: FeatureStore, online: RedisOnlineStore, view: str) -> bool | None:
    """A hash for each entity, with a field `_ts:<view>` of each view's own.

    None where that many keys are looked through that it would take longer than a moment.
    """
    from feast.infra.online_stores.helpers import compute_versioned_name

    client = online._get_client(store.config.online_store)
    name = f"_ts:{compute_versioned_name(*_versioned(store, view))}"
    cursor, stop = 0, time.monotonic() + _MOMENT
    while time.monotonic() < stop:
        cursor, keys = client.scan(cursor, match=f"*{store.project}", count=1_000)
        with client.pipeline(transaction=False) as asked:
            for key in keys:
                asked.hexists(key, name)
            if any(asked.execute()):
                return False
        if not cursor:
            return True
    return None
