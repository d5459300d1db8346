"""A contract held against the registry that it was made with, when its model is registered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...contracts import drift
from ...integrations.feast import definition_hashes, registry
from ...records.contract import Contract
from ...records.retrieval import Retrieval

if TYPE_CHECKING:
    from feast import FeatureStore


def invented_changes(
    contract: Contract, retrievals: Sequence[Retrieval], stores: Sequence[FeatureStore]
) -> tuple[str, ...]:
    """What would be called drift though no definition has changed since the training.

    Any is a fault of ours. Nothing where the registry did change, or where its state at the
    training is not known (a registry of which Feast keeps no copy).
    """
    for store in stores:
        known = registry.at_hand(store) if store.project == contract.project else None
        if known is None or not retrievals or any(r.registry != known.digest for r in retrievals):
            continue
        try:
            records = known.records(drift.versions_named(contract))
        except registry.NotAtHand:
            continue
        parts = definition_hashes.parts_of(records.values())
        found = drift.compare(contract, records, parts)
        return tuple(c.said for c in found if c.grade != "safe" and c.kind != "unavailable")
    return ()
