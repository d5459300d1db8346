"""The session of a feature repository: one method for each thing that a notebook asks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .. import recorder as _recorder
from ..operations import store_guard
from .session import Session

if TYPE_CHECKING:
    from feast import FeatureStore

__all__ = ["Session", "nearest", "of_store", "open"]


def open(
    path: str | os.PathLike[str] | None = None,
    record_cells: bool | None = None,
    guard: str | None = None,
) -> Session:
    """The session of a feature repository: a folder, a `feature_store.yaml`, or the nearest one.

    `record_cells=False` keeps no texts of cells from here on; `guard` is what becomes of a store's
    own call that breaks a served model (`warn`, `refuse`, `off`). Raises `RepositoryError` where
    there is none or Feast cannot use it, `UsageError` for another `guard`.
    """
    from ..integrations.feast import store

    recorder = _recorder.current()
    store_guard.stand(recorder, guard)
    if record_cells is not None:
        recorder.cells.kept = record_cells
    yaml = store.find() if path is None else store.yaml_of(path)
    return Session(store.open_store(yaml), yaml)


def nearest() -> Session:
    """The session of the nearest repository, looked for from the running notebook upward."""
    from ..integrations.feast import store

    cell = _recorder.current().cells.current
    where = (
        Path(cell.notebook).parent
        if cell and cell.notebook and os.path.isabs(cell.notebook)
        else None
    )
    return open(store.find(where))


def of_store(opened: FeatureStore) -> Session:
    """The session of a `FeatureStore` that the user opened."""
    from ..integrations.feast import store

    store.mend_paths(opened)
    store_guard.stand(_recorder.current())
    return Session(opened, store.yaml_of_store(opened))
