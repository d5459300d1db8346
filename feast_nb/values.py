"""The content hash of a column: one 64-bit number for each value, the same however it is held.

Numbers are told by their value (1, 1.0 and true agree), moments by their instant in UTC, texts by
their bytes, lists and structs by their parts; what is missing is missing in every kind of column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    Bits = np.ndarray[Any, np.dtype[np.uint64]]
    Gaps = np.ndarray[Any, np.dtype[np.bool_]]

MISSING = 0x9E3779B97F4A7C15
_EXACT = 2**53  # up to here a double tells every integer from the next


class Column(NamedTuple):
    """A column as bits: `at(start, stop)` gives those of some rows, and which rows are missing.

    `kind` is the name of its type in a schema: one name for all the ways to hold the same values.
    """

    name: str
    kind: str
    length: int
    at: Callable[[int, int], tuple[Bits, Gaps | None]]


def of_series(name: str, series: pd.Series[Any], declared: Any = None) -> Column:
    """A pandas column; numbers and moments are read where they lie, the rest through Arrow."""
    import numpy as np
    import pyarrow as pa

    values = _plain_numbers(series)
    if values is not None:
        found = pa.from_numpy_dtype(values.dtype)
        if declared is None or declared == found or not _may_cast(found, declared):
            return Column(name, kind_of(found), len(values), _numbers(values))
    if series.dtype.kind == "M":
        unit = str(getattr(series.dt, "unit", "ns"))
        moments = np.asarray(series.array, dtype=f"datetime64[{unit}]").view("int64")
        return Column(
            name, "timestamp", len(moments), _moments(moments, unit, np.iinfo("int64").min)
        )
    return of_arrow(name, _from_pandas(series), declared)


def of_arrow(name: str, array: Any, declared: Any = None) -> Column:
    """An Arrow column, chunked or not."""
    import pyarrow as pa

    special = isinstance(array.type, pa.ExtensionType)
    flat = _canonical(array, declared)
    kind = kind_of(array.type if special else flat.type)
    if _is_number(flat.type):
        gaps = _gaps(flat)
        return Column(name, kind, len(flat), _numbers(_filled(flat), gaps))
    bits, gaps = bits_of(flat), _gaps(flat)

    def at(start: int, stop: int) -> tuple[Bits, Gaps | None]:
        return bits[start:stop].copy(), None if gaps is None else gaps[start:stop]

    return Column(name, kind, len(flat), at)


def _plain_numbers(series: pd.Series[Any]) -> Any:
    """The NumPy array under a column of plain numbers or booleans, else None."""
    import numpy as np

    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iufb":
        values = series.to_numpy()
        return values.astype("float32") if values.dtype == np.float16 else values
    return None


def _from_pandas(series: pd.Series[Any]) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        array = pa.Array.from_pandas(series)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError):
        # A column of mixed Python objects has no Arrow type: each value by type and text.
        array = pa.array([None if v is None else f"{type(v).__name__}:{v!r}" for v in series])
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _canonical(array: Any, declared: Any = None) -> pa.Array:
    """The same values in one flat array, of the type they are declared to have if they fit it."""
    import pyarrow as pa

    flat = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if isinstance(flat, pa.ChunkedArray):  # pyarrow gives a chunked array for no chunks at all
        flat = pa.concat_arrays(flat.chunks) if flat.num_chunks else pa.array([], flat.type)
    if isinstance(flat, pa.ExtensionArray):
        return _canonical(flat.storage)
    if declared is not None and _may_cast(flat.type, declared):
        try:
            flat = _missing_as_null(flat).cast(declared)
        except pa.ArrowInvalid:
            pass  # the values do not fit what was declared: they are hashed as they are
    if pa.types.is_dictionary(flat.type):
        return _canonical(flat.cast(flat.type.value_type))
    return flat


def kind_of(kind: pa.DataType) -> str:
    """A type's name in a schema."""
    import pyarrow as pa

    if _is_list(kind):
        return f"list<{kind_of(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{part.name}: {kind_of(part.type)}' for part in kind)}>"
    if pa.types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if pa.types.is_timestamp(kind):
        return "timestamp"
    if pa.types.is_duration(kind):
        return "duration"
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    if isinstance(kind, pa.ExtensionType):
        return f"{kind.extension_name}{kind.__arrow_ext_serialize__()!r}"
    return str(kind)


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    is_ = pa.types
    return bool(is_.is_integer(kind) or is_.is_floating(kind) or is_.is_boolean(kind))


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    is_ = pa.types
    return bool(is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind))


def _may_cast(found: Any, declared: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_null(found):
        return True
    if pa.types.is_floating(found) and pa.types.is_floating(declared):
        return False  # a narrower type would take different values for the same
    both = [k for k in (found, declared) if _is_number(k) and not pa.types.is_boolean(k)]
    return bool(found != declared and len(both) == 2)


def _missing_as_null(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(array.type):
        return array
    gaps = pc.is_nan(array)
    return pc.if_else(gaps, pa.scalar(None, array.type), array) if pc.any(gaps).as_py() else array


def _gaps(array: pa.Array) -> Gaps | None:
    import numpy as np

    return np.asarray(array.is_null()) if array.null_count else None


def _filled(array: pa.Array) -> Any:
    """An Arrow array of numbers as NumPy's, with anything in the place of what is missing."""
    import numpy as np
    import pyarrow as pa

    return np.asarray(array.fill_null(False if pa.types.is_boolean(array.type) else 0))


def _numbers(values: Any, gaps: Gaps | None = None) -> Callable[[int, int], Any]:
    """Numbers by value: as doubles where these are exact, larger integers by themselves."""
    import numpy as np

    floating = values.dtype.kind == "f"

    def at(start: int, stop: int) -> tuple[Bits, Gaps | None]:
        part = values[start:stop]
        missing = None if gaps is None else gaps[start:stop]
        doubles = np.add(part, 0.0, dtype=np.float64)  # of -0.0 and 0.0 one
        bits: Bits = doubles.view(np.uint64)
        if floating:
            nan = np.isnan(doubles)
            if nan.any():
                missing = nan if missing is None else missing | nan
        elif part.dtype.itemsize == 8 and len(part) and _beyond_doubles(part):
            bits = _large(part, doubles)
        return bits, missing

    return at


def _beyond_doubles(part: Any) -> bool:
    return bool(part.max() > _EXACT or (part.dtype.kind == "i" and part.min() < -_EXACT))


def _large(part: Any, doubles: Any) -> Bits:
    """Integers that no double tells apart by themselves, the others by their double."""
    import numpy as np

    bits: Bits = doubles.view(np.uint64).copy()
    top = 2.0**63 if part.dtype.kind == "i" else 2.0**64
    inside = doubles < top  # the cast back is undefined beyond
    exact = np.zeros(len(part), bool)
    exact[inside] = doubles[inside].astype(part.dtype) == part[inside]
    own = mixed(part[~exact].view(np.uint64) ^ np.uint64(MISSING))
    bits[~exact] = own
    return bits


def _moments(values: Any, unit: str, missing: int | None) -> Callable[[int, int], Any]:
    """Instants or durations in microseconds; nanoseconds only where a value has some."""
    import numpy as np

    scale = {"s": 1_000_000, "ms": 1_000, "us": 1}.get(unit)

    def at(start: int, stop: int) -> tuple[Bits, Gaps | None]:
        part = values[start:stop]
        gaps = None
        if missing is not None:
            gaps = part == missing
            gaps = gaps if gaps.any() else None
        if scale is not None:
            return (part * scale).view(np.uint64), gaps
        micro = part // 1000
        finer = micro * 1000 != part
        bits: Bits = micro.view(np.uint64)
        if finer.any():
            bits[finer] = mixed(part[finer].view(np.uint64) ^ np.uint64(MISSING))
        return bits, gaps

    return at


def bits_of(array: pa.Array) -> Bits:
    """The bits of a whole flat Arrow array, whatever its type; missing values have any."""
    import numpy as np
    import pyarrow as pa

    kind = array.type
    if pa.types.is_null(kind):
        return np.zeros(len(array), np.uint64)
    if _is_number(kind):
        return _all_of(_numbers(_filled(array)), len(array))
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        whole = np.asarray(array.view("int64").fill_null(0))
        return _all_of(_moments(whole, kind.unit, None), len(array))
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        width = "int64" if kind.bit_width == 64 else "int32"
        return np.asarray(array.view(width).fill_null(0)).astype(np.int64).view(np.uint64)
    if _is_list(kind):
        return _list_bits(array)
    if pa.types.is_struct(kind):
        return _struct_bits(array)
    return _text_bits(array)


def _all_of(at: Callable[[int, int], Any], length: int) -> Bits:
    bits: Bits = at(0, length)[0]
    return bits


def _hashes(array: pa.Array) -> Bits:
    """The bits of parts of a value, mixed, with one number for what is missing."""
    import numpy as np

    flat = _missing_as_null(_canonical(array))
    bits = bits_of(flat)
    gaps = _gaps(flat)
    mix(bits)
    if gaps is not None:
        bits[gaps] = np.uint64(MISSING)
    return bits


def _text_bits(array: pa.Array) -> Bits:
    """Strings, bytes, decimals, maps: each distinct value hashed once, by its bytes."""
    import numpy as np
    import pyarrow as pa

    try:
        coded = array.dictionary_encode()
    except pa.ArrowNotImplementedError:
        coded = pa.array([None if v is None else repr(v) for v in array.to_pylist()])
        coded = coded.dictionary_encode()
    distinct = [digest_of(v) for v in coded.dictionary.to_pylist()]
    codes = np.asarray(coded.indices.fill_null(0))
    bits: Bits = np.array(distinct or [0], np.uint64)[codes]
    return bits


def digest_of(value: Any) -> int:
    """64 bits of a text's or a byte string's own."""
    data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _list_bits(array: pa.Array) -> Bits:
    """A list is the sum of its elements' hashes, each mixed with its place, and its length."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    lengths = np.asarray(array.value_lengths().fill_null(0)).astype(np.int64)
    inner = _hashes(array.flatten())
    ends = np.cumsum(lengths)
    places = np.arange(len(inner)) - np.repeat(ends - lengths, lengths)
    each = mixed(inner + places.astype(np.uint64) * np.uint64(MISSING))
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(each, dtype=np.uint64)])
    bits: Bits = running[ends] - running[ends - lengths] + lengths.astype(np.uint64)
    return bits


def _struct_bits(array: pa.Array) -> Bits:
    import numpy as np

    bits = np.zeros(len(array), np.uint64)
    for i, part in enumerate(array.type):
        bits += mixed(_hashes(array.field(i)) + np.uint64(digest_of(part.name)))
    return bits


def mixed(values: Any) -> Bits:
    """A copy of 64-bit numbers, each made into another that looks like chance."""
    import numpy as np

    out = np.array(values, np.uint64)
    mix(out)
    return out


def mix(h: Bits, scratch: Bits | None = None) -> None:
    """SplitMix64's finalizer, in place (Steele, Lea and Flood, OOPSLA 2014)."""
    import numpy as np

    space = np.empty_like(h) if scratch is None else scratch[: len(h)]
    with np.errstate(over="ignore"):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            np.right_shift(h, np.uint64(shift), out=space)
            np.bitwise_xor(h, space, out=h)
            np.multiply(h, np.uint64(factor), out=h)
        np.right_shift(h, np.uint64(31), out=space)
        np.bitwise_xor(h, space, out=h)
