"""Copies and fingerprints of frames, made on a thread of our own while the cell goes on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Condition, Thread
from typing import Any

from . import fingerprint, frames, threads
from .records import Column, Result, Span

_MODULES = (
    "numpy.rec",
    "pandas.core.arrays.arrow.extension_types",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pyarrow.parquet",
)
_PAUSE, _LONGEST = 0.05, 2.0  # seconds without a new task before work begins, and at most
_POLL = 0.5  # seconds between two looks whether the thread lacks a module
_PATIENCE = 60.0  # seconds for which a retrieval that runs holds it up


class Background:
    """One thread that does what may take longer, in the order in which it was asked for.

    It begins when nothing was asked for a moment: what a call leaves behind waits until the cell
    has the result, since Python runs one thread at a time.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._changed = Condition()
        self._queue: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._thread: Thread | None = None
        self._busy = self._hurried = self._closing = False
        self._first = self._last = 0.0
        self._waiting_for = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Begin nothing while Feast works for the cell: it needs the processor more."""
        with self._changed:
            self._waiting_for += 1
        try:
            yield
        finally:
            with self._changed:
                self._waiting_for -= 1
                self._last = time.monotonic()
                if self._queue:
                    self._changed.notify_all()

    def later(self, task: Callable[..., None], *args: Any) -> None:
        """Do a task soon; what goes wrong in it is said, and stops nothing else."""
        with self._changed:
            self._last = time.monotonic()
            if not self._queue:
                self._first = self._last
            self._queue.append((task, args))
            if self._thread is None or not self._thread.is_alive():
                self._closing = False
                _load()
                self._thread = threads.start(self._run, "hash")
            elif not self._busy and len(self._queue) == 1:
                self._changed.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait for everything asked for so far, at most `seconds`; whether all is done."""
        deadline = time.monotonic() + seconds
        self._hurried = True
        self._wake()
        try:
            while True:
                threads.load_wanted()
                with self._changed:
                    if not (self._queue or self._busy):
                        return True
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return False
                    self._changed.wait(min(left, _POLL))
        finally:
            self._hurried = False

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            task, args = work
            try:
                threads.do(partial(task, *args), self._wake, lambda: self._closing)
            except Exception as problem:  # the background thread's door: it warns
                self._warn(f"a frame could not be hashed ({type(problem).__name__}: {problem}).")
            del work, task, args  # a frame is let go of as soon as it is hashed
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> tuple[Callable[..., None], tuple[Any, ...]] | None:
        with self._changed:
            while not self._closing:
                now = time.monotonic()
                ready = min(self._last + _PAUSE, self._first + _LONGEST)
                if self._waiting_for:
                    ready = self._first + _PATIENCE
                if self._queue and (self._hurried or now >= ready):
                    self._busy = True
                    return self._queue.popleft()
                self._changed.wait(max(ready - now, 0.001) if self._queue else None)
            return None


def _load() -> None:
    """Load, in the user's thread, what hashes and copies are made with: Feast has most of it."""
    threads.load(*_MODULES)


def copied(frame: Any) -> Any:
    """A copy of a pandas frame that the user's later changes leave alone, without its mark."""
    copy = frame.copy()
    copy.attrs = {}
    return copy


def frame_of(columns: Mapping[str, Any]) -> Any:
    """A frame of columns given as a dictionary."""
    import pandas as pd

    return pd.DataFrame(dict(columns))


def write(frame: Any, path: Path) -> tuple[bool, str | None, tuple[str, ...]]:
    """Write a frame as Parquet: whether it was written, else why not; and what the file changed.

    The index is kept. The file is read back to see whether it gives the frame as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if frames.is_pandas(frame):
            frame.to_parquet(path)
        else:
            import pyarrow.parquet as pq

            pq.write_table(frame, path)
            return True, None, ()
    except OSError as problem:
        return False, f"it could not be written to {path.parent} ({problem.strerror})", ()
    except Exception as problem:  # Arrow's many; the reason is recorded and shown
        text = " ".join(str(problem).split())[:200]
        return False, f"Parquet cannot hold it: {text}", ()
    return True, None, changes(frame, path)


def changes(frame: Any, path: Path) -> tuple[str, ...]:
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
    if not found and fingerprint.of(back).rows != fingerprint.of(frame).rows:
        found.append("values")
    return tuple(found)


def span(frame: Any, column: str) -> Span:
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


def result_of(held: Any, types: Mapping[str, Any], asked: int | None) -> Result:
    """What came back, as a record: rows, columns, fingerprint."""
    found = fingerprint.of(held, types)
    return Result(
        rows=len(held),
        dropped=asked - len(held) if asked is not None else 0,
        columns=columns_of(held, types),
        fingerprint=found.digest,
        row_order=found.row_order,
    )


def result_of_file(path: Path, types: Mapping[str, Any]) -> Result:
    """What a job wrote to a Parquet file or folder, read piece by piece."""
    import pyarrow.dataset as ds

    data = ds.dataset(path, format="parquet")
    sums = fingerprint.Sums()
    nulls: dict[str, int] = {}
    kinds: list[Any] = []
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


def part_of(held: Any, names: Sequence[str]) -> Any:
    """Some columns of a pandas frame or an Arrow table."""
    return held[list(names)] if frames.is_pandas(held) else held.select(list(names))


def columns_of(held: Any, types: Mapping[str, Any]) -> tuple[Column, ...]:
    """Name, type and missing values of each column of an Arrow table or pandas frame."""
    if frames.is_pandas(held):
        nulls = held.isna().sum()
        return tuple(
            Column(
                str(name),
                _type_of(held.iloc[:, i], types.get(str(name))),
                int(nulls.iloc[i]),
                *_range(held.iloc[:, i]),
            )
            for i, name in enumerate(held.columns)
        )
    return tuple(
        Column(name, str(array.type), _missing(array), *_range(array))
        for name, array in zip(held.schema.names, held.columns, strict=True)
    )


def _type_of(series: Any, declared: Any) -> str:
    """The declared type, as integers with gaps come as floats; floats are as wide as they are."""
    import pandas as pd
    import pyarrow as pa

    if declared is None:
        text = series.dtype == object and pd.api.types.infer_dtype(series) == "string"
        return "string" if text else str(series.dtype)
    if pa.types.is_floating(declared) and str(series.dtype) in ("float32", "float64"):
        return "float" if str(series.dtype) == "float32" else "double"
    return str(declared)


def _range(column: Any) -> tuple[float | None, float | None]:
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
    numbers = np.asarray(column.dropna(), dtype="float64")
    numbers = numbers[np.isfinite(numbers)]
    return (float(numbers.min()), float(numbers.max())) if len(numbers) else (None, None)


def _missing(array: Any) -> int:
    """Nulls of an Arrow column, and for floats the NaNs that stand for nulls in pandas."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(array.type):
        return int(array.null_count)
    return int(pc.sum(pc.is_null(array, nan_is_null=True)).as_py() or 0)
