"""What was done to a registry or a store, as an entry of the outbox: logged as Feast logs it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from uuid import uuid4

from ..errors import TrackingError
from ..integrations.feast.store import settings_of
from ..integrations.mlflow import clients, runs, writer
from ..records.operation import Materialization, Plan
from ..records.outbox import OperationEntry

if TYPE_CHECKING:
    from feast import FeatureStore

# Keeps an entry for the tracking server at an address: it is sent beside the cell.
Log: TypeAlias = Callable[[str, OperationEntry], None]
Done = TypeVar("Done", Plan, Materialization)
_KINDS = {"view": "feature_views", "service": "feature_services", "entity": "entities"}


def log_plan(
    store: FeatureStore, done: Plan, trouble: str | None, origin: Mapping[str, str], log: Log
) -> Plan:
    """What of a plan was carried out, or why not; where it cannot be logged, a note says so."""
    tags = {**origin, "feast_nb.grade": done.grade}
    if done.reason:
        tags["feast_nb.reason"] = done.reason
    counts: dict[str, float] = {}
    for kind, actions in _names(done).items():
        changed = [name for named in actions.values() for name in named]
        counts[f"feast.apply.{kind}_count"] = float(len(changed))
        if changed:
            tags[f"feast.{kind}_changed"] = ",".join(changed)
        for action, named in actions.items():
            tags[f"feast.{kind}_{action}"] = ",".join(named)
    return _logged(store, done, "apply", tags, counts, {}, trouble, log)


def log_load(
    store: FeatureStore, done: Materialization, origin: Mapping[str, str], log: Log
) -> Materialization:
    """What was loaded, or failed; where it cannot be logged, a note says so."""
    if not done.views or settings_of(store) is None:
        return done
    if any(load.state == "running" for load in done.views):
        why = "not logged as an operation: how it ends is not known yet."
        return replace(done, notes=(*done.notes, why))
    begun = [load for load in done.views if load.state != "left out"]
    failed = [load for load in begun if load.state in ("failed", "interrupted")]
    trouble = f"{failed[0].view}: {failed[0].state}: {failed[0].why}" if failed else None
    params = {"feast.materialize.end_date": str(begun[0].end)}
    if not done.incremental:
        params["feast.materialize.start_date"] = str(begun[0].start)
    counts = {"feast.materialize.duration_sec": float(done.seconds or 0)}
    if all(load.written is not None for load in begun):
        counts["feast_nb.rows_written"] = float(sum(load.written or 0 for load in begun))
    what = "materialize_incremental" if done.incremental else "materialize"
    tags = {**origin, "feast.materialize.feature_views": ",".join(load.view for load in begun)}
    return _logged(store, done, what, tags, counts, params, trouble, log)


def _logged(
    store: FeatureStore,
    done: Done,
    what: str,
    tags: Mapping[str, str],
    counts: dict[str, float],
    params: dict[str, str],
    trouble: str | None,
    log: Log,
) -> Done:
    settings = settings_of(store)
    if settings is None:
        return done
    try:
        uri = runs.address(settings.get_tracking_uri())
    except TrackingError as problem:
        return replace(done, notes=(*done.notes, f"not logged as an operation: {problem}"))
    now = int(time.time() * 1000)
    entry = OperationEntry(
        id=uuid4().hex,
        experiment=f"{store.project}{settings.ops_experiment_suffix}",
        project=store.project,
        what=what,
        began=now - int(1000 * counts.get("feast.materialize.duration_sec", 0.0)),
        at=now,
        # Who, from where, at which commit: as MLflow says it of a run, and as it is now.
        tags={**writer.context(), **tags},
        counts=counts,
        params=params,
        record=json.dumps(done.to_dict(), ensure_ascii=False),
        trouble=trouble,
        had_database=clients.database_exists(uri),
    )
    log(uri, entry)
    return done


def _names(done: Plan) -> dict[str, dict[str, list[str]]]:
    """Feast's word for a kind → created, updated, deleted → names."""
    found: dict[str, dict[str, list[str]]] = {kind: {} for kind in _KINDS.values()}
    for change in done.changes:
        kind, _, name = change.object.partition("=")
        if kind in _KINDS:
            found[_KINDS[kind]].setdefault(f"{change.action}d", []).append(name)
    return found
