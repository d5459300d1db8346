"""What identifies the data that a retrieval read, to say later whether it changed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import FeatureError, brief
from ...masking import masked_text, public_uri
from ...records.retrieval import Source
from .registry import definitions_of
from .servers import object_store
from .views import View

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
    from feast.saved_dataset import SavedDatasetStorage


def identify(views: Iterable[View], repo: Path | None) -> tuple[Source, ...]:
    """Each view's batch source now: for local files and folders their size and time of change.

    On-demand views have none of their own. It asks the file system, and nobody else.
    """
    found = {}
    for view in views:
        if view.batch_source is not None:
            found[view.batch_source.name] = _seen(view.batch_source, repo)
    return tuple(found.values())


def _seen(source: Any, repo: Path | None) -> Source:
    path = getattr(source, "path", None) or None
    kind = type(source).__name__
    if not path:
        table = _table_of(source)
        if getattr(source, "artifact_path", None):  # a file of an MLflow run
            table = f"runs:/{source.run_id}/{source.artifact_path}"
        return Source(source.name, kind, table=table)
    record = Source(source.name, kind, public_uri(path))
    local = local_path(path, repo)
    if local is None or not local.exists():
        return record
    return record if local.is_dir() else _measured(record, [local])


def _table_of(source: Any) -> str | None:
    """The table of a source that is a database's; None of a query.

    Feast's contributed sources (PostgreSQL, ClickHouse, Couchbase, Oracle) have it in their options
    only, which are named after the database.
    """
    options = [held for name, held in vars(source).items() if name.endswith("_options")]
    for one in (source, *options):
        for name in ("table", "_table", "table_ref", "dataset_name"):
            if found := getattr(one, name, None):
                return str(found)
    return None


def _measured(record: Source, files: list[Path]) -> Source:
    stats = [f.stat() for f in files]
    if not stats:
        return record
    changed = datetime.fromtimestamp(max(s.st_mtime for s in stats), UTC).isoformat()
    return replace(record, size=sum(s.st_size for s in stats), modified=changed)


def local_path(path: str, repo: Path | None) -> Path | None:
    """Where a file of a source lies here: a relative path is one beside the repository's YAML."""
    if not path:
        return None
    if path.startswith("file://"):
        return Path(path.removeprefix("file://"))
    if "://" in path:
        return None
    return Path(path) if Path(path).is_absolute() or repo is None else repo / path


def looked_into(record: Source, view: View, repo: Path | None, *, imports: bool = False) -> Source:
    """The same source with what takes longer: a folder's files, an object's ETag, Parquet's rows.

    Rows and newest event come from the footer of a single file; other sources stay as they are.
    `imports`: whether an object store's driver may be imported for it, which no thread of ours may.
    """
    source = view.batch_source
    path = getattr(source, "path", None) or ""
    if source is None or not path:
        return record
    local = local_path(path, repo)
    if local is not None:
        if local.is_dir():
            files = [f for f in local.rglob("*") if f.is_file()]
            return replace(_measured(record, files), files=len(files))
        if not local.is_file():
            return record
        own = {new: old for old, new in (getattr(source, "field_mapping", None) or {}).items()}
        moment = own.get(source.timestamp_field, source.timestamp_field)
        rows, newest = _footer(local, moment, local.stat().st_mtime_ns)
        return replace(record, rows=rows, newest=newest)
    return _object(record, path, getattr(source, "s3_endpoint_override", None), imports)


@lru_cache(maxsize=256)
def _footer(path: Path, moment: str, changed: int) -> tuple[int | None, str | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return None, None  # a CSV, or a file that is being written
    names = footer.schema.to_arrow_schema().names
    if moment not in names or not footer.num_row_groups:
        return footer.num_rows, None
    place = [footer.schema.column(i).path for i in range(footer.num_columns)].index(moment)
    parts = [footer.row_group(g).column(place).statistics for g in range(footer.num_row_groups)]
    newest = [p.max for p in parts if p is not None and p.has_min_max]
    if len(newest) < len(parts) or not all(isinstance(n, datetime) for n in newest):
        return footer.num_rows, None
    last = max(newest)
    return footer.num_rows, (last if last.tzinfo else last.replace(tzinfo=UTC)).isoformat()


def _object(record: Source, path: str, endpoint: str | None, imports: bool) -> Source:
    """What the object store says of one object; `unseen` where it cannot be asked from here."""
    protocol = path.partition("://")[0]
    if not imports and not _is_loaded(protocol):
        return replace(record, unseen=f"this kernel has not loaded a driver for {protocol}://")
    try:
        system, inner = object_store.opened(path, endpoint)
        said = system.info(inner)
    except Exception as problem:  # a driver's own: no access, no such object, no such bucket
        why = f"{type(problem).__name__}: {masked_text(brief(problem, 150))}".rstrip(".")
        return replace(record, unseen=why)
    changed = said.get("LastModified") or said.get("mtime") or said.get("updated")
    return replace(
        record,
        size=said.get("size"),
        modified=changed.isoformat() if isinstance(changed, datetime) else None,
        etag=str(said.get("ETag") or said.get("etag") or "").strip('"') or None,
    )


def _is_loaded(protocol: str) -> bool:
    """Whether asking through fsspec imports nothing more."""
    room = sys.modules.get("fsspec.registry")
    known = getattr(room, "known_implementations", {}).get(protocol, {})
    return str(known.get("class", "")).partition(".")[0] in sys.modules


def address_of(storage: SavedDatasetStorage) -> str:
    """Where a saved dataset's storage is: a path, a table, or its kind."""
    source = storage.to_data_source()
    seen = _seen(source, None)
    return seen.path or seen.table or seen.kind


def duckdb_reads(protos: Iterable[DataSourceProto]) -> bool:
    """Whether Feast's DuckDB reads all of these sources, wherever the notebook is.

    It takes paths as they are written (Feast 0.67), from the process's folder; and an object
    store's only with DuckDB's `httpfs`.
    """
    paths = [str(proto.file_options.uri) for proto in protos]
    return bool(paths) and all(path.startswith(("/", "file:///")) for path in paths)


def check_found(store: FeatureStore, views: Iterable[View]) -> None:
    """Raise for a source of views that the offline store would not find from here.

    `FeatureError` for a relative path that Feast's DuckDB looks for elsewhere, `StoreError` for an
    object. On-demand views are looked through: it reads those of the views they compute from.
    """
    known = definitions_of(store).views
    read = [known[r.view] for view in views for r in view.reads if r.view in known]
    behind = [view for view in (*views, *read) if view.batch_proto is not None]
    if str(getattr(store.config.offline_store, "type", "")).endswith("duckdb"):
        _check_relative(store, behind)
    if object_store.is_read_here(store.config.offline_store):
        for source in {s.name: s for v in behind if (s := v.batch_source) is not None}.values():
            object_store.check(source)


def _check_relative(store: FeatureStore, views: Iterable[View]) -> None:
    for proto in (view.batch_proto for view in views if view.batch_proto is not None):
        path = str(proto.file_options.uri)
        if not path or "://" in path or Path(path).is_absolute() or glob(path, recursive=True):
            continue
        whole = Path(store.repo_path or ".") / path
        raise FeatureError(
            f"source {proto.name} is {path}, a relative path, which Feast's DuckDB looks for in "
            f"the notebook's folder ({Path.cwd()}). Write the whole path in its FileSource "
            f"({whole}), or take `offline_store: {{type: dask}}`, which looks in the repository."
        )
