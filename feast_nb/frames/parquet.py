"""Frames as Parquet files, and what is recorded of a frame: columns, types, gaps, moments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .. import frames
from ..errors import ArtifactError, brief
from ..paths import private_folder
from ..records.retrieval import Column, Result, Span
from . import fingerprint

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from . import Tabular
    from .columns import HashedColumn

T = TypeVar("T")


def copied(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy of a pandas frame that the user's later changes leave alone, without its mark."""
    copy = frame.copy()
    copy.attrs = {}
    return copy


def frame_of(columns: Mapping[str, Sequence[object]]) -> pd.DataFrame:
    """A frame of columns given as a dictionary."""
    import pandas as pd

    return pd.DataFrame(dict(columns))


def write(frame: Tabular, path: Path) -> tuple[bool, str | None, tuple[str, ...]]:
    """Write a frame as Parquet: whether it was written, else why not; and what the file changed.

    The index is kept. The file is read back to see whether it gives the frame as it was.
    """
    try:
        private_folder(path.parent)
        path.touch(0o600)  # the rows that somebody trained on are not everybody's
        if frames.is_pandas(frame):
            frame.to_parquet(path)
        else:
            import pyarrow.parquet as pq

            pq.write_table(frame, path)
            return True, None, ()
    except OSError as problem:
        return False, f"it could not be written to {path.parent} ({problem.strerror})", ()
    except Exception as problem:  # Arrow's many; the reason is recorded and shown
        text = brief(problem, 200)
        return False, f"Parquet cannot hold it: {text}", ()
    return True, None, changes(frame, path)


def read_table(path: Path, rows: int | None, what: str) -> pa.Table:
    """A Parquet file (or a folder of some) as an Arrow table, of the types it was written with.

    Raises `ArtifactError`, which names `what`, where it is no Parquet, has other than the `rows`
    that were recorded, or more than this machine's memory can hold.
    """
    import pyarrow.parquet as pq

    return _checked(pq.read_table, path, rows, what)


def read_frame(path: Path, rows: int | None, what: str) -> pd.DataFrame:
    """The same as a pandas frame, with the index that it was written with."""
    import pandas as pd

    return _checked(pd.read_parquet, path, rows, what)


def _checked(read: Callable[[Path], T], path: Path, rows: int | None, what: str) -> T:
    import pyarrow as pa

    try:
        _check(path, rows, what)
        return read(path)
    except (pa.ArrowException, ValueError) as problem:
        text = brief(problem, 200)
        raise ArtifactError(f"{what} is damaged, or no Parquet: {text}") from problem


def check_file(path: Path, rows: int | None, what: str) -> None:
    """Raise `ArtifactError` where `read_table` would, by what the footers say alone."""
    _checked(lambda file: None, path, rows, what)


def _check(path: Path, rows: int | None, what: str) -> None:
    """Compare what the footers say with what was recorded, before anything is unpacked."""
    import psutil
    import pyarrow.parquet as pq

    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    footers = [pq.ParquetFile(file).metadata for file in files]
    found = sum(footer.num_rows for footer in footers)
    if rows is not None and found != rows:
        raise ArtifactError(f"{what} has {found:,} rows, and {rows:,} were recorded.")
    groups = [f.row_group(n) for f in footers for n in range(f.num_row_groups)]
    size, free = sum(g.total_byte_size for g in groups), psutil.virtual_memory().available
    if size > free / 2:
        raise ArtifactError(
            f"{what} takes {size / 1e9:.1f} GB of memory, and {free / 1e9:.1f} are free."
        )


def changes(frame: pd.DataFrame, path: Path) -> tuple[str, ...]:
    """What a Parquet file does not give back as the frame had it, in words."""
    import pandas as pd

    back = pd.read_parquet(path)
    found = []
    if list(back.columns) != list(frame.columns):
        pairs = zip(frame.columns, back.columns, strict=False)
        renamed = [f"{a!r} is {b!r}" for a, b in pairs if (a, type(a)) != (b, type(b))]
        found.append(f"column names: {', '.join(renamed)}")
    if not back.index.equals(frame.index) or back.index.names != frame.index.names:
        found.append("the index")
    for place, (old, new) in enumerate(zip(frame.dtypes, back.dtypes, strict=False)):
        if old != new:
            found.append(f"{frame.columns[place]}: {old} is {new}")
        elif old.kind == "O" and (lost := _lost(frame.iloc[:, place], back.iloc[:, place])):
            found.append(f"{frame.columns[place]}: {lost}")
    if not found and fingerprint.of(back).rows != fingerprint.of(frame).rows:
        found.append("values")
    return tuple(found)


def _lost(was: pd.Series, back: pd.Series) -> str | None:
    """What a column of Python objects is not any more when it comes back from a file."""
    import pandas as pd

    if pd.api.types.infer_dtype(was, skipna=True) in ("string", "empty", "boolean", "date"):
        return None
    for one, other in zip(was, back, strict=False):
        one, other = (v.tolist() if hasattr(v, "tolist") else v for v in (one, other))
        if one is None or other is None or one is other:
            continue
        if type(one) is not type(other):
            return f"{type(one).__name__} is {type(other).__name__}"
        if isinstance(one, dict) and one != other:
            return "each dict comes back with the keys of all"
    return None


def span(frame: Tabular, column: str) -> Span:
    """The first and last moment in a column, in UTC."""
    import warnings

    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # text of no one format: each is read by itself
        moments = pd.to_datetime(frame[column], utc=True, errors="coerce")
    if moments.dropna().empty:
        return Span(column)
    return Span(column, moments.min().isoformat(), moments.max().isoformat())


def result_of(held: Tabular, types: Mapping[str, pa.DataType], asked: int | None) -> Result:
    """What came back, as a record: rows, columns, fingerprint."""
    found = fingerprint.of(held, types)
    return Result(
        rows=len(held),
        dropped=asked - len(held) if asked is not None else 0,
        columns=columns_of(held, types),
        fingerprint=found.digest,
        row_order=found.row_order,
    )


def result_of_file(path: Path, types: Mapping[str, pa.DataType]) -> Result:
    """What a job wrote to a Parquet file or folder, read piece by piece."""
    import pyarrow.dataset as ds

    data = ds.dataset(path, format="parquet")
    sums = fingerprint.Sums()
    nulls: dict[str, int] = {}
    kinds: list[HashedColumn] = []
    for batch in data.to_batches():
        columns = fingerprint.columns_of(batch, types)
        kinds = kinds or columns
        sums.add(columns, batch.num_rows)
        for column in columns_of(batch, types):
            nulls[column.name] = nulls.get(column.name, 0) + (column.nulls or 0)
    kinds = kinds or fingerprint.columns_of(data.schema.empty_table(), types)
    digest = sums.fingerprint((c.name, c.kind) for c in kinds).digest
    columns_found = tuple(Column(f.name, str(f.type), nulls.get(f.name, 0)) for f in data.schema)
    return Result(sums.length, columns=columns_found, fingerprint=digest)


def part_of(held: Tabular, names: Sequence[str]) -> Tabular:
    """Some columns of a pandas frame or an Arrow table."""
    return held[list(names)] if frames.is_pandas(held) else held.select(list(names))


def columns_of(
    held: Tabular | pa.RecordBatch, types: Mapping[str, pa.DataType]
) -> tuple[Column, ...]:
    """Name, type and missing values of each column of an Arrow table or pandas frame."""
    if frames.is_pandas(held):
        nulls = held.isna().sum()
        named = zip(held.items(), nulls.tolist(), strict=True)
        return tuple(
            Column(
                sys.intern(str(name)),
                sys.intern(_type_of(series, types.get(str(name)))),
                missing,
                *_range(series, missing),
            )
            for (name, series), missing in named
        )
    return tuple(
        Column(sys.intern(name), sys.intern(str(array.type)), _missing(array), *_range(array))
        for name, array in zip(held.schema.names, held.columns, strict=True)
    )


def _type_of(series: pd.Series, declared: pa.DataType | None) -> str:
    """The declared type, as integers with gaps come as floats; floats are as wide as they are."""
    import pandas as pd
    import pyarrow as pa

    if declared is None:
        text = series.dtype == object and pd.api.types.infer_dtype(series) == "string"
        return "string" if text else str(series.dtype)
    if pa.types.is_floating(declared) and str(series.dtype) in ("float32", "float64"):
        return "float" if str(series.dtype) == "float32" else "double"
    return str(declared)


def _range(column: Any, missing: int | None = None) -> tuple[float | None, float | None]:
    """The least and greatest of a column of numbers, gaps and infinities left out."""
    import numpy as np

    kind = getattr(column, "type", None)
    if kind is not None:
        import pyarrow as pa

        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return None, None
        column = column.to_pandas()
    if getattr(column.dtype, "kind", "O") not in "iuf":
        return None, None
    numbers = np.asarray(column if missing == 0 else column.dropna(), dtype="float64")
    numbers = numbers[np.isfinite(numbers)]
    return (float(numbers.min()), float(numbers.max())) if len(numbers) else (None, None)


def _missing(array: pa.Array | pa.ChunkedArray) -> int:
    """Nulls of an Arrow column, and for floats the NaNs that stand for nulls in pandas."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(array.type):
        return int(array.null_count)
    return int(pc.sum(pc.is_null(array, nan_is_null=True)).as_py() or 0)
