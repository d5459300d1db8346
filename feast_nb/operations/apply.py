"""Carrying out a plan: refused where it breaks what is served, and logged with who and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Drift, FeastNbError, RepositoryError, StoreError, UsageError
from ..integrations.feast import registry
from ..integrations.feast.repository_files import definition_files
from ..integrations.feast.store import folder_of
from ..records.operation import REFUSED, Plan, PlannedChange
from .affected_models import MODELS
from .operation_log import Log, log_plan
from .plan import plan

if TYPE_CHECKING:
    from feast import FeatureStore
    from tqdm.auto import tqdm

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
    log: Log,
    only: Sequence[str] = (),
    told: Callable[[str], None] = lambda name: None,
) -> Plan:
    """Apply a repository's files, where they break nothing that is served; what was done.

    `agreed` is shown the plan and says whether to go on; `origin` are tags that say who asked,
    and `log` keeps what was done for MLflow.
    `only` names objects of the files that are applied and no others; `told` hears of each object
    of the plan (`view=NAME`) once the registry has it.
    Raises `Drift` for what breaks a version with an alias, unless `force` with a `reason`;
    `RepositoryError` where Feast fails, with what is done and what is not.
    """
    if force and not (reason or "").strip():
        raise UsageError("--force needs a reason: --force --reason 'why it is right to break it'.")
    wanted = plan(yaml, store, past, unknown, full=True, only=only)
    if not force:
        refuse_what_breaks(wanted, "or apply with --force --reason TEXT")
        if not wanted.changes:
            return wanted
    names = [change.object for change in wanted.changes] if only else []
    if not agreed(wanted) or (only and not names):
        return wanted
    if definition_files.digest(folder_of(yaml)) != wanted.files:
        raise UsageError("the files changed since the plan was shown; plan again.")
    try:
        trouble = definition_files.apply(yaml, names, told)
    except KeyboardInterrupt:
        trouble = "interrupted"
    except RepositoryError as problem:  # what it had done by then is looked at, too
        trouble = str(problem)
    with suppress(StoreError):  # `_left` says it
        registry.refresh(store)
    done = replace(wanted, applied=trouble is None, reason=reason if force else None)
    done = log_plan(store, done, trouble, origin, log)
    if trouble is not None:
        raise RepositoryError(
            f"Feast could not apply it ({trouble}). {_left(yaml, store, wanted, only)}"
        )
    return done


def _left(yaml: Path, store: FeatureStore, wanted: Plan, only: Sequence[str]) -> str:
    """What of a plan that failed is done, and what is not, by the registry as it is now."""
    try:
        left = plan(yaml, store, None, "", full=True, only=only)
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


def refuse_what_breaks(wanted: Plan, otherwise: str) -> None:
    """Raise `Drift` for what breaks a served version, or where nobody knows whether it does.

    `otherwise` is how to do it all the same. What is new breaks nobody.
    """
    only_new = all(change.action == "create" for change in wanted.changes)
    says = (REFUSED,) if only_new else (MODELS, REFUSED)
    unknown = [text for text in wanted.unchecked if text.startswith(says)]
    if unknown:
        raise Drift(f"{unknown[0].rstrip('.')}. Do it when that is known, {otherwise}.")
    for change in wanted.changes:
        served = served_by(change)
        if served:
            raise Drift(
                f"{change.object}: {change.reason}. It breaks {', '.join(served)}: keep what that "
                f"needs, move the alias first, {otherwise}."
            )


def served_by(change: PlannedChange) -> list[str]:
    """The versions with an alias that a change breaks."""
    if change.grade != "breaks serving":
        return []
    return [model.shown for model in change.models if model.aliases]


class ApplyBar:
    """A bar of a plan's objects that the registry was given, where one is `shown`; a context."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._left: set[str] = set()
        self._bar: tqdm[Any] | None = None

    def begin(self, wanted: Plan) -> bool:
        """The plan is agreed to: so says who asks."""
        self._left = {change.object for change in wanted.changes}
        if self._shown:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=len(self._left), desc="applying", unit="object", leave=False)
        return True

    def told(self, name: str) -> None:
        """One object is in the registry, or gone from it."""
        if self._bar is not None and name in self._left:
            self._left.discard(name)
            self._bar.set_postfix_str(name, refresh=False)
            self._bar.update(1)

    def __enter__(self) -> ApplyBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
