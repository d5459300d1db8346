"""The guard of a store's own calls: `store.apply`, deletions; what breaks a model is said.

`guard`: `warn` says it when it is done, `refuse` raises before, `off` looks at nothing. It is
chosen by `feast_nb.open(..., guard=…)`, `c.FeastNb.guard` in IPython's configuration, or
`FEAST_NB_GUARD`, in that order.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import StoreError, UsageError, nearest
from ..patching.interrupts import guarded

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

    from ..integrations.feast.repository_files.definition_calls import DefinitionCall
    from ..questions.source import HistorySource
    from ..recorder.recorder import Recorder
    from ..records.facts import Registry
    from ..records.operation import Plan

Guard = Literal["warn", "refuse", "off"]


def checked(value: str) -> Guard:
    """A choice; raises `UsageError`, with the nearest one, for a word that is none."""
    for one in get_args(Guard):
        if value == one:
            found: Guard = one
            return found
    raise UsageError(f"guard={value!r}: {nearest(value, get_args(Guard))}")


class StoreGuard:
    """Holds each such call against what is served; the recorder asks it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.chosen: Guard | None = None  # by `open`, until the extension is unloaded

    @property
    def mode(self) -> Guard:
        """What was chosen, by the nearest door; a word that is none is said, and warns."""
        if self.chosen is not None:
            return self.chosen
        configured = self._recorder.cells.setting("guard") or os.environ.get("FEAST_NB_GUARD")
        try:
            return checked(str(configured)) if configured else "warn"
        except UsageError as problem:
            self._recorder.notices.say(str(problem))
            return "warn"

    def changing(self, call: DefinitionCall) -> Callable[[], None] | None:
        """Before a call: raises `Drift` where it is refused; what is to be done afterwards."""
        from . import object_changes

        mode = self.mode
        if mode == "refuse":
            object_changes.refuse(call, self._past_of)
        if mode != "warn":
            return None
        with guarded("looking at what a change of definitions breaks"):
            return self._before(call)
        return None

    def _before(self, call: DefinitionCall) -> Callable[[], None] | None:
        """What is there now, and of a deletion what it breaks: versions go with their view."""
        from ..integrations.feast.repository_files import definition_calls
        from . import object_changes

        try:
            had = definition_calls.registered(call.store)
        except StoreError:  # the call itself says that the registry is away
            return None
        if call.objects:
            return lambda: self._tell(call, had, None)
        expected = definition_calls.expected(call, had)
        done = object_changes.between(call.store, had, expected, self._past_of)
        return lambda: self._tell(call, had, done)

    def _tell(self, call: DefinitionCall, had: RegistryProto, done: Plan | None) -> None:
        """What has changed and whom it breaks; nothing where the call has changed nothing."""
        from ..integrations.feast.repository_files import definition_calls
        from . import object_changes

        has = definition_calls.registered(call.store)
        if has == had:
            return
        if done is None:
            done = object_changes.between(call.store, had, has, self._past_of)
        for line in object_changes.told(done, call.name):
            self._recorder.notices.tell(line)

    def _past_of(self, store: FeatureStore, catalog: Registry) -> tuple[HistorySource | None, str]:
        return past_of(store, catalog, self._settle)

    def _settle(self) -> None:
        """What this process has yet to write goes first: a version may be of this very cell."""
        self._recorder.recording.settle(2.0)
        self._recorder.outbox.flush(seconds=2.0)


def stand(recorder: Recorder, choice: str | None = None) -> None:
    """Have a recorder's store calls guarded; with a choice from here on by that."""
    guard = getattr(recorder.guard, "__self__", None)
    if not isinstance(guard, StoreGuard):
        guard = StoreGuard(recorder)
        recorder.guard = guard.changing
    if choice is not None:
        guard.chosen = checked(choice)


def past_of(
    store: FeatureStore, catalog: Registry, settle: Callable[[], None] = lambda: None
) -> tuple[HistorySource | None, str]:
    """The history of a store's tracking server beside a registry; None where there is none: why."""
    from ..questions.source import HistorySource
    from . import affected_models

    uri, unknown = affected_models.tracked_at(store)
    return (HistorySource(store, uri, settle, catalog=catalog) if uri else None), unknown
