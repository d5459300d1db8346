"""A column of any frame as 64 bits for each value: pandas and Arrow give the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .arrow_values import canonical, gaps_of, is_number, kind_of, may_cast
from .hashing import bits_of, filled, moment_bits, numbers

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

    Bits = npt.NDArray[np.uint64]
    Gaps = npt.NDArray[np.bool_]


class HashedColumn(NamedTuple):
    """A column as bits: `at(start, stop)` gives those of some rows, and which rows are missing.

    `kind` is the name of its type in a schema: one name for all the ways to hold the same values.
    """

    name: str
    kind: str
    length: int
    at: Callable[[int, int], tuple[Bits, Gaps | None]]


def of_series(name: str, series: pd.Series, declared: pa.DataType | None = None) -> HashedColumn:
    """A pandas column; numbers and moments are read where they lie, the rest through Arrow."""
    import numpy as np
    import pyarrow as pa

    values = _plain_numbers(series)
    if values is not None:
        found = pa.from_numpy_dtype(values.dtype)
        if declared is None or declared == found or not may_cast(found, declared):
            return HashedColumn(name, kind_of(found), len(values), numbers(values))
    if series.dtype.kind == "M":
        unit = str(getattr(series.dt, "unit", "ns"))
        moments = np.asarray(series.array, dtype=f"datetime64[{unit}]").view("int64")
        return HashedColumn(
            name, "timestamp", len(moments), moment_bits(moments, unit, np.iinfo("int64").min)
        )
    return of_arrow(name, _from_pandas(series), declared)


def of_arrow(
    name: str, array: pa.Array | pa.ChunkedArray, declared: pa.DataType | None = None
) -> HashedColumn:
    """An Arrow column, chunked or not."""
    import pyarrow as pa

    special = isinstance(array.type, pa.ExtensionType)
    flat = canonical(array, declared)
    kind = kind_of(array.type if special else flat.type)
    if is_number(flat.type):
        gaps = gaps_of(flat)
        return HashedColumn(name, kind, len(flat), numbers(filled(flat), gaps))
    bits, gaps = bits_of(flat), gaps_of(flat)

    def at(start: int, stop: int) -> tuple[Bits, Gaps | None]:
        return bits[start:stop].copy(), None if gaps is None else gaps[start:stop]

    return HashedColumn(name, kind, len(flat), at)


def _plain_numbers(series: pd.Series) -> npt.NDArray[np.generic] | None:
    """The NumPy array under a column of plain numbers or booleans, else None."""
    import numpy as np

    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iufb":
        values = series.to_numpy()
        return values.astype("float32") if values.dtype == np.float16 else values
    return None


def _from_pandas(series: pd.Series) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        array = pa.Array.from_pandas(series)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError):
        # A column of mixed Python objects has no Arrow type: each value by type and text.
        array = pa.array([None if v is None else f"{type(v).__name__}:{v!r}" for v in series])
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
