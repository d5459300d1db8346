"""How a view is: loaded, fresh, complete, and the same online as offline; how a source is."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypedDict

from ....errors import brief
from ....masking import masked_text
from ....records.operation import HealthLine
from ....records.retrieval import NO_ENTITY
from .. import registry
from ..servers import store_door
from ..views import View
from . import source_columns
from .online_sample import OnlineSample, fetched

if TYPE_CHECKING:

    class TrainedInput(TypedDict):
        """An input of a model, and what was seen of it in training."""

        ref: str
        nulls: float | None
        min: float | None
        max: float | None

    import pandas as pd
    from feast import FeatureStore

_LATE = 0.8  # of a TTL: what is older than that expires soon
_RHYTHM = 3  # loads, from which on there is one
_EVERYTHING = datetime(1970, 1, 2, tzinfo=UTC)


def source_line(store: FeatureStore, name: str, views: list[str]) -> list[HealthLine]:
    """Whether a source can be read, and has the columns that views declare of it."""
    known = registry.definitions_of(store).views
    began = time.monotonic()
    try:
        faults = [source_columns.fault_of(store, known[view]) for view in views]
    except Exception as problem:  # a driver's: no credentials, no such file, no such table
        why = f"{type(problem).__name__}: {masked_text(brief(problem, 200))}".rstrip(".")
        if _is_elsewhere(store):
            said = f"it cannot be looked at from here ({why}); the offline server reads it"
            return [HealthLine("source", name, "unknown", said)]
        return [HealthLine("source", name, "red", f"it cannot be read: {why}",
                           "see its path, and your credentials")]  # fmt: skip
    took = round(time.monotonic() - began, 4)
    said = "; ".join(dict.fromkeys(fault[1] for fault in faults if fault is not None))
    if said:
        return [HealthLine("source", name, "red", said, "put the source right, or the view",
                           seconds=took)]  # fmt: skip
    return [HealthLine("source", name, "green", "it has what is declared of it", seconds=took)]


def _is_elsewhere(store: FeatureStore) -> bool:
    return str(getattr(store.config.offline_store, "type", "")) == "remote"


def view_lines(store: FeatureStore, name: str, sample: int) -> list[HealthLine]:
    """How fresh a view is, how much of it is there, and whether it is what the source has."""
    known = registry.definitions_now(store)
    view = known.views[name]
    end = view.loaded_to
    if view.unavailable:
        said = f"Feast does not serve it: {view.unavailable}"
        return [HealthLine("view", name, "red", said, "enable it, or load it")]
    if end is None and view.is_streamed:
        said = "it was never materialized; what is pushed or streamed to it is not known here"
        return [HealthLine("view", name, "unknown", said)]
    if end is None:
        return [HealthLine("view", name, "red", "it was never materialized",
                           f"%feast_materialize {name}")]  # fmt: skip
    keys = view.join_keys(known.join_keys)
    with store_door.asking(store, "offline store"):
        latest = latest_rows(store, view)
        newer = int((latest["event_timestamp"] > end).sum())
        # What is online is held against what there was when it was loaded.
        loaded = latest_rows(store, view, end) if newer else latest
    began = time.monotonic()
    with store_door.asking(store, "online store"):
        seen = fetched(store, view, keys, loaded, sample)
    took = round(time.monotonic() - began, 4)
    seen.behind = newer
    lines = [_freshness(view, end, latest, seen, took)]
    return [*lines, _skew(view, seen)] if seen.there else lines


def latest_rows(store: FeatureStore, view: View, end: datetime | None = None) -> pd.DataFrame:
    """The newest row of each entity in the view's source, as a whole materialization reads it."""
    import pandas as pd
    from feast import utils

    whole: Any = store.registry.get_any_feature_view(view.view, store.project)
    entities = [store.registry.get_entity(e, store.project) for e in whole.entities
                if not e.startswith(NO_ENTITY)]  # fmt: skip
    joins, columns, moment, created = utils._get_column_names(whole, entities)
    source = view.batch_source
    assert source is not None
    provider = store._get_provider()
    job = provider.offline_store.pull_latest_from_table_or_query(
        config=store.config,
        data_source=source,
        join_key_columns=joins,
        # Of a computed view only the moments are in its source.
        feature_name_columns=[] if source_columns.is_computed(view) else columns,
        timestamp_field=moment,
        created_timestamp_column=created,
        start_date=_EVERYTHING,
        end_date=end or datetime.now(UTC) + timedelta(days=1),
    )
    found = job.to_df()
    mapping = dict(source.field_mapping or {})
    frame: pd.DataFrame = found.rename(columns={**mapping, moment: "event_timestamp"})
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], utc=True)
    if not entities:  # Feast's dask store gives every row of a view without entities
        return frame.nlargest(1, "event_timestamp")
    return frame


def _freshness(
    view: View, end: datetime, latest: pd.DataFrame, seen: OnlineSample, took: float
) -> HealthLine:
    now = datetime.now(UTC)
    offline = latest["event_timestamp"].max() if len(latest) else None
    facts: dict[str, object] = {
        "materialized_to": end.timestamp(), "entities": len(latest), "sampled": seen.asked,
        "online": seen.found, "expected": seen.expected,
    }  # fmt: skip
    parts = [f"loaded up to {end:%Y-%m-%d %H:%M}"]
    if offline is not None:
        parts.append(f"newest event {offline:%Y-%m-%d %H:%M} offline")
    if seen.newest is not None:
        parts[-1] += f", {seen.newest:%Y-%m-%d %H:%M} online"
        facts["age_seconds"] = round((now - seen.newest).total_seconds(), 1)
    if seen.expected:
        parts.append(f"{seen.found} of {seen.expected} sampled entities are online")
        facts["coverage"] = round(seen.found / seen.expected, 4)
    light, more, remedy = _judged(view, seen, now)
    nothing_newer = offline is None or (seen.newest is not None and offline <= seen.newest)
    if nothing_newer and remedy == _load(view):
        remedy = "its source has nothing newer: see what writes it"
    said = "; ".join([*more, *parts])
    return HealthLine("view", view.view, light, said, remedy, facts, took)  # type: ignore[arg-type]


def _judged(view: View, seen: OnlineSample, now: datetime) -> tuple[str, list[str], str]:
    """The light, what is wrong, and what to do about the gravest of it."""
    red, amber, remedies = [], [], []
    if seen.found < seen.expected:
        gone = seen.expected - seen.found
        red.append(f"{gone} of {seen.expected} entities that were loaded are missing"
                   if seen.found else "nothing of it is online")  # fmt: skip
    if seen.late:
        red.append(
            f"rows of {_entities(seen.late)} came after their range was loaded: no incremental run "
            "loads them"
        )
    if red and seen.since is not None:
        remedies.append(f"{_load(view)} --start {seen.since:%Y-%m-%d}")
    age = (now - seen.newest).total_seconds() if seen.newest is not None else 0.0
    if view.ttl and age > view.ttl:
        red.append(f"expired: the newest is {_days(age)} old, its TTL is {_days(view.ttl)}")
        remedies.append(_load(view))
    elif view.ttl and age > _LATE * view.ttl:
        amber.append(f"late: the newest is {_days(age)} old, its TTL is {_days(view.ttl)}")
        remedies.append(_load(view))
    elif seen.expired:
        amber.append(f"{seen.expired} of {seen.there} are older than its TTL, and are served")
        remedies.append("Feast serves them all the same: session.vector(expired='null'), or let "
                        "Redis drop them (key_ttl_seconds)")  # fmt: skip
    overdue = _overdue(view, now)
    if overdue:
        amber.append(overdue)
        remedies.append(_load(view))
    elif seen.behind and len(view.loads) < _RHYTHM:  # nothing says when it is loaded again
        amber.append(f"newer values of {_entities(seen.behind)} are not loaded yet")
        remedies.append(_load(view))
    light = "red" if red else "amber" if amber else "green"
    return light, [*red, *amber], remedies[0] if remedies else ""


def _overdue(view: View, now: datetime) -> str:
    """Whether it was not loaded for twice as long as between any two of its last loads."""
    last = [end for _, end in view.loads[-_RHYTHM:]]
    gaps = [(b - a).total_seconds() for a, b in pairwise(last)]
    since = (now - last[-1]).total_seconds() if last else 0.0
    if len(last) < _RHYTHM or max(gaps) <= 0 or since <= 2 * max(gaps):
        return ""
    return f"overdue: loaded every {_days(max(gaps))} before, and not for {_days(since)}"


def _entities(number: int) -> str:
    return f"{number:,} entit{'y' if number == 1 else 'ies'}"


def _load(view: View) -> str:
    return f"%feast_materialize {view.view}"


def _days(seconds: float) -> str:
    for size, word in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} seconds"


def _skew(view: View, seen: OnlineSample) -> HealthLine:
    """Whether what is served is what the source has, value by value."""
    facts: dict[str, object] = {
        "compared": seen.compared,
        "different": sum(seen.different.values()),
    }
    if not seen.compared or len(seen.passed_over) == len(view.features):
        said = "no value could be compared"
        if source_columns.is_computed(view):
            said = "its features are computed: its source does not have them"
        return HealthLine("skew", view.view, "unknown", said, facts=facts)
    if seen.different:
        told = [f"{view.view}:{name} {count} of {seen.compared} ({seen.examples[name]})"
                for name, count in seen.different.items()]  # fmt: skip
        return HealthLine("skew", view.view, "red", f"online is not offline: {'; '.join(told)}",
                          "see who writes to the online store, then load the view whole",
                          facts)  # fmt: skip
    said = f"{seen.compared} entities, every value is that of the source"
    if seen.passed_over:
        said += f" ({', '.join(seen.passed_over)} not compared)"
    return HealthLine("skew", view.view, "green", said, facts=facts)
