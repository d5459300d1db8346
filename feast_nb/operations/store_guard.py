"""The guard of a store's own calls: `store.apply`, deletions; what breaks a model is said.

`guard`: `warn` says it when it is done, `refuse` raises before, `off` looks at nothing. It is
chosen by `feast_nb.open(..., guard=…)`, `c.FeastNb.guard` in IPython's configuration, or
`FEAST_NB_GUARD`, in that order.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import FeastNbError, UsageError, nearest

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

    from ..integrations.feast.repository_files.definition_calls import DefinitionCall
    from ..questions.source import HistorySource
    from ..recorder.recorder import Recorder
    from ..records.facts import Registry

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
        self._chosen: Guard | None = None

    @property
    def mode(self) -> Guard:
        """What was chosen, by the nearest door."""
        if self._chosen is not None:
            return self._chosen
        configured = self._recorder.cells.setting("guard") or os.environ.get("FEAST_NB_GUARD")
        return checked(str(configured)) if configured else "warn"

    def choose(self, value: str) -> None:
        """For the rest of this process."""
        self._chosen = checked(value)

    def changing(self, call: DefinitionCall) -> Callable[[], None] | None:
        """Before a call: raises `Drift` where it is refused; what is to be done afterwards."""
        from ..integrations.feast.repository_files import definition_calls
        from . import object_changes

        mode = self.mode
        if mode == "refuse":
            object_changes.refuse(call, past_of)
        if mode != "warn":
            return None
        try:
            had = definition_calls.registered(call.store)
        except FeastNbError:  # the call itself says that the registry is away
            return None
        return lambda: self._tell(call, had)

    def _tell(self, call: DefinitionCall, had: RegistryProto) -> None:
        from ..integrations.feast.repository_files import definition_calls
        from . import object_changes

        has = definition_calls.registered(call.store)
        done = object_changes.between(call.store, had, has, past_of)
        for line in object_changes.told(done, call.name):
            self._recorder.notices.tell(line)


def stand(recorder: Recorder, choice: str | None = None) -> None:
    """Have a recorder's store calls guarded; with a choice from here on by that."""
    held = getattr(recorder.guard, "__self__", None)
    if not isinstance(held, StoreGuard):
        held = StoreGuard(recorder)
        recorder.guard = held.changing
    if choice is not None:
        held.choose(choice)


def past_of(store: FeatureStore, catalog: Registry) -> tuple[HistorySource | None, str]:
    """The history of a store's tracking server beside a registry; None where there is none: why."""
    from ..questions.source import HistorySource
    from . import affected_models

    uri, unknown = affected_models.tracked_at(store)
    return (HistorySource(store, uri, catalog=catalog) if uri else None), unknown
