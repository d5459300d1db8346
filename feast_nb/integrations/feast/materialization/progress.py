"""How far a materialization of this process is: Feast passes a hook for it that no engine calls.

The rows that are read and written are counted where Feast's local engine reads and writes them
(`LocalSourceReadNode`, `LocalOutputNode`, `online_write_batch`; Feast 0.67). Where a Feast has no
such place, it loads as before, and less is known of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ....patching.patches import INHERITED, Patches
from ..servers import store_door

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureStore, FeatureView
    from feast.base_feature_view import BaseFeatureView
    from feast.infra.compute_engines.dag.context import ExecutionContext
    from feast.infra.compute_engines.dag.value import DAGValue
    from feast.infra.compute_engines.local.nodes import LocalOutputNode, LocalSourceReadNode
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.repo_config import RepoConfig

BATCH = 5_000  # rows in one write: without a number Feast writes all of them at once
_NODES = "feast.infra.compute_engines.local.nodes"


@dataclass
class Counts:
    """What of one view was read, is to be written, and is written; `newest` of its event times."""

    read: int | None = None
    rows: int | None = None
    written: int = 0
    newest: datetime | None = None

    @property
    def phase(self) -> str:
        if self.rows is None:
            return "reading"
        return f"writing {self.written:,} of {self.rows:,}"


@contextmanager
def watched(store: FeatureStore, tell: Callable[[Counts], None]) -> Iterator[Counts]:
    """The counts of what is materialized within; `tell` is called whenever they change."""
    counts = Counts()

    def changed() -> None:
        tell(counts)

    patches = Patches()
    patches.on_import("feast.feature_store", lambda module: _silence(patches, module))
    patches.on_import(_NODES, lambda nodes: _follow_nodes(patches, nodes, counts, changed))
    _follow_writes(patches, type(store._get_provider().online_store), counts, changed)
    settings = store.config.materialization_config
    before = settings.online_write_batch_size
    if before is None:
        settings.online_write_batch_size = BATCH
    try:
        yield counts
    finally:
        settings.online_write_batch_size = before
        patches.undo()


@contextmanager
def state_kept(store: FeatureStore, view: str) -> Iterator[None]:
    """An interrupt puts back the state that Feast has given a view for the time of its loading.

    Feast itself does so for errors only, and serves no view that is left so (0.67).
    """
    before = getattr(_now(store, view), "state", None)
    try:
        yield
    except KeyboardInterrupt:
        found = _now(store, view)
        if before is not None and getattr(found, "state", before) != before:
            found.state = before
            with store_door.asking(store, "registry"):
                store.registry.apply_feature_view(found, store.project, commit=True)
        raise


def _now(store: FeatureStore, view: str) -> Any:
    with store_door.asking(store, "registry"):
        return store.registry.get_any_feature_view(view, store.project, allow_cache=False)


def _silence(patches: Patches, module: ModuleType) -> None:
    """Feast prints a line for each view, in colours for a terminal: `tell` says more."""
    patches.put(module, "print", lambda *texts, **options: None, INHERITED)


def _follow_nodes(
    patches: Patches, nodes: ModuleType, counts: Counts, changed: Callable[[], None]
) -> None:
    def reads(original: Callable[..., DAGValue]) -> Callable[..., DAGValue]:
        @functools.wraps(original)
        def execute(node: LocalSourceReadNode, context: ExecutionContext) -> DAGValue:
            found = original(node, context)
            counts.read = (counts.read or 0) + int(found.data.num_rows)
            changed()
            return found

        return execute

    def writes(original: Callable[..., DAGValue]) -> Callable[..., DAGValue]:
        @functools.wraps(original)
        def execute(node: LocalOutputNode, context: ExecutionContext) -> DAGValue:
            table = node.get_single_table(context).data
            counts.rows = (counts.rows or 0) + int(table.num_rows)
            counts.newest = _newest(table, node.feature_view, counts.newest)
            changed()
            return original(node, context)

        return execute

    for name, wrap in (("LocalSourceReadNode", reads), ("LocalOutputNode", writes)):
        if hasattr(nodes, name):
            patches.replace(getattr(nodes, name), "execute", wrap)


def _newest(table: pa.Table, view: FeatureView, before: datetime | None) -> datetime | None:
    import pyarrow.compute as pc

    column = getattr(view.batch_source, "timestamp_field", "")
    if column not in table.column_names or not table.num_rows:
        return before
    found = pc.max(table[column]).as_py()
    if not isinstance(found, datetime):
        return before
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found if before is None else max(before, found)


def _follow_writes(
    patches: Patches, kind: type, counts: Counts, changed: Callable[[], None]
) -> None:
    def wrap(original: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(original)
        def write(
            online: OnlineStore,
            config: RepoConfig,
            table: BaseFeatureView,
            data: Sequence[object],
            progress: Callable[[int], object] | None,
        ) -> object:
            found = original(online, config, table, data, progress)
            counts.written += len(data)
            changed()
            return found

        return write

    if hasattr(kind, "online_write_batch"):
        patches.replace(kind, "online_write_batch", wrap)
