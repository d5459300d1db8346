"""The registered models and runs that a change touches, by the local history."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import ArtifactError, TrackingError
from ..history import queries
from ..integrations.mlflow import contract_store
from ..lineage.impact import AffectedRefs, alias_first
from ..lineage.state import ProjectState
from ..masking import public_uri
from ..records.contract import Contract
from ..records.facts import RegisteredModel

if TYPE_CHECKING:
    from feast import FeatureStore

    from ..questions.source import HistorySource
    from .snapshot import SnapshotSource

RECENT = 30 * queries.DAY
MODELS = "which models it breaks: "
_OF_PREDICTION = ("prediction", "lookup")


def tracked_at(store: FeatureStore) -> tuple[str | None, str]:
    """The address of a store's tracking server; where it says nothing, why that is not known.

    A tracking database that no run has made yet has no models: that is known.
    """
    from ..integrations.feast.store import settings_of
    from ..integrations.mlflow import clients, database, runs
    from ..questions import source

    settings = settings_of(store)
    if settings is None:
        return None, "MLflow is off in feature_store.yaml (mlflow: {enabled: true})."
    try:
        uri = runs.address(settings.get_tracking_uri())
    except TrackingError as problem:
        return None, str(problem)
    if not database.has_current_schema(uri):
        kept = source.place_of(uri, clients.registry_uri(uri), store.project).exists()
        return None, f"the tracking database {public_uri(uri)} is not there now." if kept else ""
    return uri, ""


class AffectedModels:
    """Who depends on an object; `unchecked` says what could not be known, `notes` what to know."""

    def __init__(self, past: HistorySource | SnapshotSource | None, unknown: str = "") -> None:
        self._past = past
        self.unchecked: list[str] = [MODELS + unknown] if unknown else []
        self.notes: list[str] = []
        self._contracts: dict[str, Contract | None] = {}
        if past is None:
            return
        try:
            past.refresh()
            away = [note for note in past.notes if note.startswith("as of ")]
            self.unchecked += [f"{MODELS}{note}" for note in away]  # newer ones are not known
            self.notes += [note for note in past.notes if note not in away]
        except TrackingError as problem:
            self.unchecked.append(f"{MODELS}{problem}")
            self._past = None

    @cached_property
    def _state(self) -> ProjectState | None:
        return self._past.known() if self._past is not None else None

    def touched_by(self, kind: str, name: str) -> list[RegisteredModel]:
        """Every version whose references touch an object, those with an alias first."""
        if self._state is None:
            return []
        touch = AffectedRefs(self._state.catalog, kind, name)
        found = [m for m in self._state.models if touch.through(m.refs, m.service)]
        self._read_contracts(found)
        return sorted(found, key=alias_first)

    def by_name(self, service: str) -> tuple[list[RegisteredModel], int]:
        """Versions that were trained by a service's name, and prediction runs that asked by it."""
        if self._state is None:
            return [], 0
        models = [m for m in self._state.models if m.service == service]
        self._read_contracts(models)
        by_name = [m for m in models if _was_given(self.contract(m.contract))]
        runs = sum(
            g.runs for g in self._state.groups
            if g.kind in _OF_PREDICTION and g.service == service
        )  # fmt: skip
        return sorted(by_name, key=alias_first), runs

    def read_all_contracts(self) -> int:
        """Have the contract of every version beside the history; how many versions there are."""
        if self._state is None:
            return 0
        self._read_contracts(self._state.models)
        return len(self._state.models)

    def contract(self, address: str | None) -> Contract | None:
        return self._contracts.get(address or "")

    def notebooks_of(self, models: Iterable[RegisteredModel]) -> tuple[str, ...]:
        """The notebooks that trained them."""
        if self._past is None:
            return ()
        found = queries.notebooks(self._past.history, {m.refs for m in models})
        return tuple(dict.fromkeys(path.replace("\\", "/").rpartition("/")[2]
                                   for path, _, _ in found))  # fmt: skip

    def predictions_of(self, models: Iterable[RegisteredModel]) -> int:
        """Runs of the last thirty days that predicted with them."""
        if self._past is None:
            return 0
        since = int(time.time() * 1000) - RECENT
        counted = queries.predictions_since(self._past.history, since)
        return sum(counted.get((m.name, str(m.version)), 0) for m in models)

    def _read_contracts(self, models: Sequence[RegisteredModel]) -> None:
        """From the copy beside the history, which never changes; else from MLflow, once."""
        assert self._past is not None
        wanted = {m.contract for m in models if m.contract} - set(self._contracts)
        if not wanted:
            return
        kept = self._past.history.contract_texts(wanted)
        for address, text in kept.items():
            self._contracts[address] = _read(text, address)
        left = sorted(wanted - set(kept))
        if not left or self._past.uri is None:
            return
        try:
            found = contract_store.contracts_at(self._past.uri, left)
        except TrackingError as problem:
            found = {}
            self.unchecked.append(f"{MODELS}contracts of {len(left):,} models: {problem}")
        self._contracts |= found
        self._past.history.keep_contract_texts(
            {a: json.dumps(c.to_dict()) for a, c in found.items() if c is not None}
        )
        missing = [a for a in left if a not in found]
        if missing:
            self.unchecked.append(
                f"{MODELS}{len(missing):,} of their contracts could not be read now."
            )


def _read(text: str, address: str) -> Contract | None:
    try:
        return Contract.read(text, address)
    except ArtifactError:
        return None


def _was_given(contract: Contract | None) -> bool:
    return contract is not None and contract.service_basis == "given"
