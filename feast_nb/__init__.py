"""Feast and MLflow in the notebook: tracked trainings, recorded retrievals, lineage to trust.

`%load_ext feast_nb` in a notebook; `feast_nb.open(path)` in a script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import os

    from IPython.core.interactiveshell import InteractiveShell

    from .session import Session

__version__: str  # as it was installed; package.json is the one place that says it
__all__ = ["load_ipython_extension", "open", "unload_ipython_extension"]


def open(
    path: str | os.PathLike[str] | None = None,
    *,
    record_cells: bool | None = None,
    guard: Literal["warn", "refuse", "off"] | None = None,
) -> Session:
    """The session of a feature repository, for scripts, papermill and worker processes.

    `record_cells=False` keeps no texts of cells (nor does `FEAST_NB_RECORD_CELLS=0`, nor
    `c.FeastNb.record_cells = False` in IPython's configuration). `guard` is what becomes of the
    store's own `apply` and deletions where they break a model that is served: they are done and it
    is said (`warn`, the default), they raise before (`refuse`), or nobody looks (`off`);
    `FEAST_NB_GUARD` and `c.FeastNb.guard` say the same.

    >>> session = feast_nb.open("feature_repo")
    >>> with session.train("v1", service="driver_activity", entity_df=drivers) as training:
    ...     training.model = fit(training.frame)
    """
    from . import session

    return session.open(path, record_cells, guard)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext feast_nb`: the magics, and recording of what Feast and MLflow do from here on."""
    from . import magics

    magics.load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext feast_nb`: everything that loading changed is put back."""
    from . import magics

    magics.unload(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "feast-nb"}]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "feast_nb.server"}]


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("feast-nb")
