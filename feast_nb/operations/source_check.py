"""Whether the sources have what the files declare of them: one look for each view that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import brief
from ..integrations.feast.health import source_columns
from ..records.answers import Grade
from .differences import Sides

if TYPE_CHECKING:
    from feast import FeatureStore


def look(store: FeatureStore, sides: Sides) -> tuple[list[str], dict[str, tuple[Grade, str]]]:
    """What could not be looked at, and what is wrong with a view: `view=name` → grade and why."""
    unchecked: list[str] = []
    faults: dict[str, tuple[Grade, str]] = {}
    for name, view in sides.want.views.items():
        was = sides.records_had.get(name)
        if was is not None and was.hashes == sides.records_wanted[name].hashes:
            continue
        if not view.is_timed or view.batch_proto is None:
            continue
        try:
            fault = source_columns.fault_of(store, view)
        except Exception as problem:  # a driver's: no credentials, no such file, no such table
            unchecked.append(
                f"the source of {name} cannot be looked at from here "
                f"({type(problem).__name__}: {brief(problem, 150).rstrip('.')}): whether it has "
                "the columns that are declared is not known."
            )
            continue
        if fault is not None:
            faults[f"view={name}"] = fault
    return unchecked, faults
