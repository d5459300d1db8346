"""How the registry, the online store and a feature server are."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ....masking import public_uri
from ....patching.patches import Patches
from ....records.operation import HealthLine
from .. import registry
from ..servers import (
    client_limits,
    online_contents,
    remote_answers,
    store_door,
    store_faults,
)
from ..views import View

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

_LOOKUPS = 50
_FULL = 0.9  # of Redis's memory


def limit(seconds: float) -> None:
    """Have the clients of this process give up after so many seconds, as those of a notebook do."""
    patches = Patches()
    client_limits.follow(patches)
    remote_answers.follow(patches)
    store_door.SECONDS = seconds


def registry_line(store: FeatureStore) -> list[HealthLine]:
    """Its kind, how soon it answers, when it was last changed, how old a copy of it may be."""
    kind = str(getattr(store.config.registry, "registry_type", "file"))
    began = time.monotonic()
    known = registry.definitions_now(store)
    took = time.monotonic() - began
    changed = [_changed(view) for view in known.views.values()]
    newest = max((at for at in changed if at is not None), default=None)
    facts: dict[str, object] = {"views": len(known.views), "services": len(known.services)}
    said = f"{kind}, {len(known.views)} views, {len(known.services)} services"
    if newest is not None:
        said += f", last applied {newest:%Y-%m-%d %H:%M}"
        facts["last_applied"] = newest.timestamp()
    cache = getattr(store.config.registry, "cache_ttl_seconds", None)
    if kind != "file" and cache:
        said += f", a client's copy of it up to {cache} s old"
        facts["cache_seconds"] = cache
    return [HealthLine("registry", _place(store.config.registry, kind), "green", said,
                       facts=facts, seconds=round(took, 4))]  # fmt: skip


def _changed(view: View) -> datetime | None:
    at = getattr(view.message.meta, "last_updated_timestamp", None)
    if at is None or not at.ToNanoseconds():
        return None
    found: datetime = at.ToDatetime(UTC)
    return found


def _place(config: RepoConfig, kind: str) -> str:
    if kind == "redis":
        return store_faults.redis_address(config)
    return public_uri(str(getattr(config, "path", "") or "")) or kind


def online_line(store: FeatureStore) -> list[HealthLine]:
    """How soon it answers real look-ups, and what Redis says of itself."""
    kind = str(getattr(store.config.online_store, "type", ""))
    views = [v for v in registry.definitions_of(store).views.values() if v.is_loaded]
    facts: dict[str, object] = {}
    said, light, remedy = kind, "green", ""
    with store_door.asking(store, "online store"):
        loaded = [view for view in views if view.loaded_to is not None]
        asked = [view for view in loaded if view.unavailable is None and row_of(store, view)]
        if asked:
            times = _times(store, asked[0])
            p50, p95, p99 = (quantile(times, q) for q in (0.5, 0.95, 0.99))
            facts |= {"p50_seconds": p50, "p95_seconds": p95, "p99_seconds": p99}
            said += (f", {len(times)} look-ups p50 {p50 * 1000:.1f} ms, p95 {p95 * 1000:.1f} ms, "
                     f"p99 {p99 * 1000:.1f} ms")  # fmt: skip
        redis = online_contents.redis_facts(store)
        if redis is not None:
            said += f", {redis.keys:,} keys, {redis.used / 1e6:.1f} MB"
            facts |= {"keys": redis.keys, "used_bytes": redis.used, "most_bytes": redis.most,
                      "evicted": redis.evicted, "uptime_seconds": redis.uptime}  # fmt: skip
            light, remedy, more = _of_redis(store, redis, loaded)
            said += more
    place = _place(store.config.online_store, kind)
    return [HealthLine("online store", place, light, said, remedy, facts)]  # type: ignore[arg-type]


def _of_redis(
    store: FeatureStore, redis: online_contents.RedisFacts, loaded: list[View]
) -> tuple[str, str, str]:
    """The light, what to do, and what is said; whether entities are missing, views' lines say."""
    emptied = [v.view for v in loaded if online_contents.is_empty(store, v.view)]
    if emptied:
        began = datetime.fromtimestamp(time.time() - redis.uptime, UTC)
        return ("amber", f"where rows are expected: %feast_materialize {' '.join(emptied)} --start "
                "DATE (an incremental run loads only what is newer)",
                f"; no row of {', '.join(emptied)} is there: it was emptied (it runs since "
                f"{began:%Y-%m-%d %H:%M}), or no row was in what was loaded")  # fmt: skip
    if redis.evicted:
        return ("amber", "give it more memory (maxmemory), then load the views whole",
                f"; it evicted {redis.evicted:,} keys since it runs ({redis.policy})")  # fmt: skip
    if redis.most and redis.used > _FULL * redis.most:
        full = f"; {redis.used / redis.most:.0%} of its memory is used ({redis.policy})"
        return "amber", "give it more memory (maxmemory)", full
    return "green", "", ""


def _times(store: FeatureStore, view: View) -> list[float]:
    """Seconds of single look-ups, the first one (which opens a connection) left out."""
    refs = [f"{view.view}:{view.features[0].name}"]
    row = row_of(store, view)
    found = []
    stop = time.monotonic() + store_door.SECONDS / 2
    for _ in range(_LOOKUPS + 1):
        began = time.perf_counter()
        store.get_online_features(features=refs, entity_rows=[row])
        found.append(time.perf_counter() - began)
        if time.monotonic() > stop:
            break
    return found[1:] or found


def row_of(store: FeatureStore, view: View) -> dict[str, object]:
    """A row of keys that can be asked for; empty where their types are others than these."""
    from feast.value_type import ValueType

    kinds = {ValueType.STRING: "-", ValueType.INT32: 0, ValueType.INT64: 0}
    known = registry.definitions_of(store)
    types = {c.name: ValueType(c.value_type) for c in view.spec.entity_columns}
    registered = view.join_keys(known.join_keys)
    if not registered or any(types.get(key) not in kinds for key in registered):
        return {}
    return {key: kinds[types[key]] for key in registered}


def quantile(times: list[float], share: float) -> float:
    """Seconds within which a share of some look-ups was answered."""
    import numpy as np

    return round(float(np.quantile(times, share)), 6)
