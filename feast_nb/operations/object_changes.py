"""What a call on objects at hand changes of a registry, graded as a plan is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import Drift, UsageError, brief
from ..integrations.feast import registry, repository
from ..integrations.feast.registry import Definitions
from ..integrations.feast.repository_files import definition_calls
from ..integrations.feast.repository_files.definition_calls import DefinitionCall
from ..masking import masked_text
from ..records.operation import Plan
from .affected_models import MODELS, AffectedModels
from .apply import refuse_what_breaks, served_by
from .change_grades import ORDER, ChangeGrades
from .differences import ObjectDifference, Sides, object_named
from .operation_log import Log, log_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from feast import FeatureStore
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

    from ..questions.source import HistorySource
    from ..records.facts import Registry

    # The history of a store's tracking server beside a registry, or why there is none.
    Past = Callable[[FeatureStore, Registry], tuple[HistorySource | None, str]]


def between(store: FeatureStore, had: RegistryProto, has: RegistryProto, past: Past) -> Plan:
    """What of a registry is another now, or would be, and which models that touches.

    The history is read only where something that models may use has changed.
    """
    before, after = (Definitions(proto, store.project, store.registry) for proto in (had, has))
    sides = Sides(before, after, full=True)
    differences = sides.differences()
    known: tuple[HistorySource | None, str] = (None, "")
    if any(map(_matters, differences)):
        known = past(store, repository.catalog_of(before))
    found = ChangeGrades(sides, AffectedModels(*known), {})
    changes = [found.of(one) for one in differences]
    return Plan(
        project=store.project,
        changes=tuple(sorted(changes, key=lambda c: (ORDER.index(c.grade), c.object))),
        unchecked=tuple(
            masked_text(text) for text in dict.fromkeys([*found.models.unchecked, *sides.restored])
        ),
        notes=tuple(found.models.notes),
    )


def _matters(one: ObjectDifference) -> bool:
    return bool(one.lines) and one.action != "create"


def refuse(call: DefinitionCall, past: Past) -> None:
    """Raise `Drift` for a call that would break what is served, or where that is not known."""
    had = definition_calls.registered(call.store)
    try:
        expected = definition_calls.expected(call, had)
    except Exception as problem:  # of Feast's, or of an on-demand function that it tries
        raise Drift(
            f"what store.{call.name} would change is not known ({type(problem).__name__}: "
            f"{brief(problem, 200)}); feast_nb.open(..., guard='warn') lets it be tried."
        ) from problem
    wanted = between(call.store, had, expected, past)
    if any(change.action != "create" for change in wanted.changes):
        refuse_what_breaks(wanted, "or feast_nb.open(..., guard='warn')")


def told(done: Plan, call: str) -> list[str]:
    """Lines for what a call that nobody was asked about has changed of what models use."""
    lines = []
    for change in done.changes:
        if change.grade == "safe":
            continue
        served = served_by(change)
        named = served or [model.shown for model in change.models]
        models = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
        verb = "breaks" if change.grade == "breaks serving" else "calls for retraining of"
        what = f" It {verb} {models}." if models else ""
        lines.append(
            f"store.{call} changed what models use: {change.object}: {change.reason}.{what} "
            f"%feast_impact {change.object} says who uses it."
        )
    unknown = [text.removeprefix(MODELS) for text in done.unchecked if text.startswith(MODELS)]
    if unknown and any(change.action != "create" for change in done.changes):
        lines.append(f"which models store.{call} breaks is not known: {unknown[0]}")
    return lines


def delete(
    store: FeatureStore,
    names: Sequence[str],
    past: Past,
    *,
    force: bool,
    reason: str | None,
    origin: dict[str, str],
    log: Log,
) -> Plan:
    """Delete objects from a registry and what the online store has of them; what was done.

    Each by its name, or as `view=NAME` where two kinds have it. Raises `Drift` for what breaks a
    version with an alias, unless `force` with a `reason`; `FeatureError` for a name that is none.
    """
    if force and not (reason or "").strip():
        raise UsageError("force needs a reason: force=True, reason='why it is right to break it'.")
    had = definition_calls.registered(store)
    known = Definitions(had, store.project, store.registry)
    objects = [object_named(known, name, "the registry") for name in names]
    call = DefinitionCall(store, "apply", deleted=objects)
    wanted = between(store, had, definition_calls.expected(call, had), past)
    if not force:
        refuse_what_breaks(wanted, "or delete with force=True, reason='…'")
    done = replace(wanted, reason=reason if force else None)
    try:
        definition_calls.delete(store, [_object(store, name) for name in objects])
    except BaseException as problem:
        trouble = f"{type(problem).__name__}: {brief(problem, 300)}"
        log_plan(store, done, masked_text(trouble), origin, log)
        raise
    registry.refresh(store)
    return log_plan(store, replace(done, applied=True), None, origin, log)


def _object(store: FeatureStore, name: str) -> Any:
    kind, _, plain = name.partition("=")
    if kind == "service":
        return store.get_feature_service(plain)
    if kind == "entity":
        return store.get_entity(plain)
    return store.registry.get_any_feature_view(plain, store.project)
