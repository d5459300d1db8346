"""Carrying out a plan: refused where it breaks what is served, and logged with who and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Drift, FeastNbError, RepositoryError, StoreError, TrackingError, UsageError
from ..integrations.feast import registry
from ..integrations.feast.repository_files import definition_files
from ..integrations.feast.store import folder_of, settings_of
from ..integrations.mlflow import runs, writer
from ..records.operation import REFUSED, Plan, PlannedChange
from .affected_models import MODELS
from .plan import plan

if TYPE_CHECKING:
    from feast import FeatureStore

    from ..questions.source import HistorySource


def apply(
    yaml: Path,
    store: FeatureStore,
    past: HistorySource | None,
    unknown: str,
    *,
    force: bool,
    reason: str | None,
    agreed: Callable[[Plan], bool],
    origin: dict[str, str],
) -> Plan:
    """Apply a repository's files, where they break nothing that is served; what was done.

    `agreed` is shown the plan and says whether to go on; `origin` are tags that say who asked.
    Raises `Drift` for what breaks a version with an alias, unless `force` with a `reason`;
    `RepositoryError` where Feast fails, with what is done and what is not.
    """
    if force and not (reason or "").strip():
        raise UsageError("--force needs a reason: --force --reason 'why it is right to break it'.")
    wanted = plan(yaml, store, past, unknown, full=True)
    if not force:
        _check(wanted)
        if not wanted.changes:
            return wanted
    if not agreed(wanted):
        return wanted
    if definition_files.digest(folder_of(yaml)) != wanted.files:
        raise UsageError("the files changed since the plan was shown; plan again.")
    try:
        trouble = definition_files.apply(yaml)
    except KeyboardInterrupt:
        trouble = "interrupted"
    except RepositoryError as problem:  # what it had done by then is looked at, too
        trouble = str(problem)
    with suppress(StoreError):  # `_left` says it
        registry.refresh(store)
    done = replace(wanted, applied=trouble is None, reason=reason if force else None)
    done = _logged(store, done, trouble, origin)
    if trouble is not None:
        raise RepositoryError(f"Feast could not apply it ({trouble}). {_left(yaml, store, wanted)}")
    return done


def _left(yaml: Path, store: FeatureStore, wanted: Plan) -> str:
    """What of a plan that failed is done, and what is not, by the registry as it is now."""
    try:
        left = plan(yaml, store, None, "", full=True)
    except FeastNbError as problem:
        return f"What of it is done is not known: {problem}"
    if not left.changes and any(text.startswith(REFUSED) for text in left.unchecked):
        return f"What of it is done is not known: {left.unchecked[0]}"
    names = {change.object for change in left.changes}
    applied = [c.object for c in wanted.changes if c.object not in names]
    return (
        f"Done: {', '.join(applied) or 'nothing'}; not done: "
        f"{', '.join(sorted(names)) or 'nothing'}. Applying again completes it."
    )


def _check(wanted: Plan) -> None:
    """Raise `Drift` for what breaks a served version, or where nobody knows whether it does."""
    unknown = [text for text in wanted.unchecked if text.startswith((MODELS, REFUSED))]
    if unknown:
        raise Drift(
            f"{unknown[0].rstrip('.')}. Apply when that is known, or with --force --reason TEXT."
        )
    for change in wanted.changes:
        served = _served(change)
        if served:
            raise Drift(
                f"{change.object}: {change.reason}. It breaks {', '.join(served)}: keep what that "
                "needs, move the alias first, or apply with --force --reason TEXT."
            )


def _served(change: PlannedChange) -> list[str]:
    if change.grade != "breaks serving":
        return []
    return [model.shown for model in change.models if model.aliases]


def _logged(store: FeatureStore, done: Plan, trouble: str | None, origin: dict[str, str]) -> Plan:
    """The same, logged as an operation; where MLflow cannot take it, a note says so."""
    settings = settings_of(store)
    if settings is None:
        return done
    text = json.dumps(done.to_dict(), indent=1, ensure_ascii=False)
    try:
        writer.log_apply(
            runs.address(settings.get_tracking_uri()),
            f"{store.project}{settings.ops_experiment_suffix}",
            store.project,
            _names(done),
            text,
            {**origin, **({"feast_nb.reason": done.reason} if done.reason else {}),
             "feast_nb.grade": done.grade},
            trouble,
        )  # fmt: skip
    except TrackingError as problem:
        return replace(done, notes=(*done.notes, f"not logged as an operation: {problem}"))
    return done


_KINDS = {"view": "feature_views", "service": "feature_services", "entity": "entities"}


def _names(done: Plan) -> dict[str, dict[str, list[str]]]:
    """Feast's word for a kind → created, updated, deleted → names."""
    found: dict[str, dict[str, list[str]]] = {kind: {} for kind in _KINDS.values()}
    for change in done.changes:
        kind, _, name = change.object.partition("=")
        if kind in _KINDS:
            found[_KINDS[kind]].setdefault(f"{change.action}d", []).append(name)
    return found
