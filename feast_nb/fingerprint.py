"""The content hash of a frame: every row, every column, whatever the order of the rows.

Why not MLflow's digest: `mlflow.data.from_pandas` looks at the first 10,000 rows and at neither
timestamps nor booleans (mlflow/mlflow#11560), so two different training sets can share one.

How: each column becomes canonical Arrow (UTC microseconds, plain strings, no dictionaries), each
value a 64-bit hash, each row the sum of its values' hashes mixed with their column's name, and
the frame two sums over its rows, which no order of rows can change. The schema is hashed apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    Bits = np.ndarray[Any, np.dtype[np.uint64]]

_ROWS_AT_ONCE = 1 << 15  # a chunk's hashes stay in the processor's cache: 2–3 times faster
_NULL = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Fingerprint:
    """Who a frame is. `rows` and `schema` tell where two fingerprints differ.

    `digest` is 35 characters (MLflow takes at most 36 for a dataset's digest); `row_order` hashes
    the order in which the rows stand, which is no part of the digest.
    """

    rows: str
    schema: str
    row_order: str

    @property
    def digest(self) -> str:
        return f"{self.rows}-{self.schema}"


def of(frame: pd.DataFrame | pa.Table, types: Mapping[str, Any] | None = None) -> Fingerprint:
    """The fingerprint of a pandas frame (its index left out) or an Arrow table.

    `types` gives columns the Arrow type they are declared to have: an integer column with
    missing values comes as floats from pandas, and as integers from Arrow, and is the same.
    """
    import numpy as np
    import pyarrow as pa

    found = _arrays(frame)
    columns = [(name, _canonical(array, (types or {}).get(name))) for name, array in found]
    length = len(columns[0][1]) if columns else len(frame)
    seeds = [_seed(name, i, columns) for i, (name, _) in enumerate(columns)]
    sums = np.zeros(2, np.uint64)
    order = hashlib.blake2b(digest_size=4)
    with np.errstate(over="ignore"):
        for start in range(0, length, _ROWS_AT_ONCE):
            row = np.zeros(min(_ROWS_AT_ONCE, length - start), np.uint64)
            for seed, (_, array) in zip(seeds, columns, strict=True):
                row += _mixed(_hashes(array.slice(start, len(row))) + seed)
            _mix(row)
            order.update(row.tobytes())
            sums[0] += row.sum(dtype=np.uint64)
            sums[1] += _mixed(row + np.uint64(_NULL)).sum(dtype=np.uint64)
    content = hashlib.blake2b(digest_size=13)
    content.update(sums.tobytes() + length.to_bytes(8, "little"))
    schema = hashlib.blake2b(digest_size=4)
    for (name, array), (_, original) in zip(columns, found, strict=True):
        special = isinstance(original.type, pa.ExtensionType)
        kind = _kind(original.type if special else array.type)
        schema.update(f"{name}\0{kind}\0".encode("utf-8", "surrogatepass"))
    return Fingerprint(content.hexdigest(), schema.hexdigest(), order.hexdigest())


def _arrays(frame: Any) -> list[tuple[str, pa.ChunkedArray]]:
    """Name and Arrow array of each column, by position: names may be doubled or no strings."""
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return list(zip(frame.column_names, frame.columns, strict=True))
    return [(str(c), _from_pandas(frame.iloc[:, i])) for i, c in enumerate(frame.columns)]


def _from_pandas(series: pd.Series[Any]) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        array = pa.Array.from_pandas(series)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError):
        # A column of mixed Python objects has no Arrow type: each value by type and text.
        array = pa.array([None if v is None else f"{type(v).__name__}:{v!r}" for v in series])
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _canonical(array: pa.ChunkedArray, declared: Any = None) -> pa.Array:
    """The same values in the one type that stands for all the types that can hold them."""
    import pyarrow as pa

    flat = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if isinstance(flat, pa.ChunkedArray):  # pyarrow gives a chunked array for no chunks at all
        flat = pa.concat_arrays(flat.chunks) if flat.num_chunks else pa.array([], flat.type)
    if isinstance(flat, pa.ExtensionArray):
        return _canonical(flat.storage)
    if declared is not None and _may_cast(flat.type, declared):
        try:
            flat = flat.cast(declared) if pa.types.is_integer(flat.type) else _whole(flat, declared)
        except pa.ArrowInvalid:
            pass  # the values do not fit what was declared: they are hashed as they are
    kind = flat.type
    if pa.types.is_dictionary(kind):
        return _canonical(flat.cast(kind.value_type))
    if pa.types.is_timestamp(kind):
        return flat.cast(pa.timestamp("ns" if _below_us(flat) else "us", "UTC"), safe=False)
    if pa.types.is_duration(kind):
        return flat.cast(pa.duration("ns" if _below_us(flat) else "us"), safe=False)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return flat.cast(pa.string())
    if pa.types.is_floating(kind):
        return _missing_as_null(flat)
    return flat


def _kind(kind: pa.DataType) -> str:
    """A type's name in the schema: one for all the ways to hold the same values."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"list<{_kind(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{part.name}: {_kind(part.type)}' for part in kind)}>"
    if pa.types.is_dictionary(kind):
        return _kind(kind.value_type)
    if pa.types.is_timestamp(kind):
        return "timestamp"
    if pa.types.is_duration(kind):
        return "duration"
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    if isinstance(kind, pa.ExtensionType):
        return f"{kind.extension_name}{kind.__arrow_ext_serialize__()!r}"
    return str(kind)


def _may_cast(found: Any, declared: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_null(found):
        return True
    numbers = pa.types.is_integer(declared) or pa.types.is_floating(declared)
    found_number = pa.types.is_integer(found) or pa.types.is_floating(found)
    return bool(found != declared and numbers and found_number)


def _whole(array: pa.Array, declared: Any) -> pa.Array:
    return _missing_as_null(array).cast(declared) if array.type != declared else array


def _missing_as_null(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(array.type):
        return array
    gaps = pc.is_nan(array)
    return pc.if_else(gaps, pa.scalar(None, array.type), array) if pc.any(gaps).as_py() else array


def _below_us(array: pa.Array) -> bool:
    """Whether nanoseconds matter here: they are kept only where a value has some."""
    import numpy as np

    if array.type.unit != "ns":
        return False
    values = np.asarray(array.view("int64").fill_null(0))
    return bool(np.any(values % 1000 != 0))


def _hashes(array: pa.Array) -> Bits:
    """One 64-bit hash for each value, equal for equal values of any numeric width."""
    import numpy as np
    import pyarrow as pa

    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), _NULL, np.uint64)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        bits = _number_bits(array)
    elif pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        width = "int64" if kind.bit_width == 64 else "int32"
        bits = np.asarray(array.view(width).fill_null(0)).astype(np.int64).view(np.uint64)
    elif (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    ):
        bits = _list_bits(array)
    elif pa.types.is_struct(kind):
        bits = _struct_bits(array)
    else:
        bits = _text_bits(array)
    hashes = _mixed(bits)
    if array.null_count:
        hashes[np.asarray(array.is_null())] = _NULL
    return hashes


def _number_bits(array: pa.Array) -> Bits:
    """Whole numbers by value as integers, others by their double: 1, 1.0 and true agree."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_uint64(array.type):
        return np.array(array.fill_null(0), dtype=np.uint64)
    if not pa.types.is_floating(array.type):
        filled = np.asarray(array.fill_null(False if pa.types.is_boolean(array.type) else 0))
        return filled.astype(np.int64).view(np.uint64)
    values = np.asarray(array.fill_null(0.0), dtype=np.float64)
    bits: Bits = values.view(np.uint64).copy()
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    same = (whole == values) & (np.abs(values) < 2**62)
    bits[same] = whole[same].view(np.uint64)
    bits[~same] = _mixed(bits[~same] ^ np.uint64(_NULL))  # a double's bits are no integer
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
    distinct = [_digest(v) for v in coded.dictionary.to_pylist()]
    codes = np.asarray(coded.indices.fill_null(0))
    bits: Bits = np.array(distinct or [0], np.uint64)[codes]
    return bits


def _digest(value: Any) -> int:
    data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _list_bits(array: pa.Array) -> Bits:
    """A list is the sum of its elements' hashes, each mixed with its place, and its length."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    lengths = np.asarray(array.value_lengths().fill_null(0)).astype(np.int64)
    inner = _hashes(_canonical(pa.chunked_array([array.flatten()])))
    ends = np.cumsum(lengths)
    places = np.arange(len(inner)) - np.repeat(ends - lengths, lengths)
    mixed = _mixed(inner + places.astype(np.uint64) * np.uint64(_NULL))
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    bits: Bits = running[ends] - running[ends - lengths] + lengths.astype(np.uint64)
    return bits


def _struct_bits(array: pa.Array) -> Bits:
    import numpy as np

    bits = np.zeros(len(array), np.uint64)
    for i, part in enumerate(array.type):
        inner = _canonical(array.field(i))
        bits += _mixed(_hashes(inner) + np.uint64(_digest(part.name)))
    return bits


def _seed(name: str, place: int, columns: list[tuple[str, Any]]) -> np.uint64:
    """A column's share of the row hash: by name, and by place only where the name is doubled."""
    import numpy as np

    doubled = sum(other == name for other, _ in columns) > 1
    return np.uint64(_digest(f"{name}\0{place}" if doubled else name))


def _mixed(values: Any) -> Bits:
    import numpy as np

    out = np.array(values, np.uint64)
    _mix(out)
    return out


def _mix(h: Bits) -> None:
    """SplitMix64's finalizer, in place (Steele, Lea and Flood, OOPSLA 2014)."""
    import numpy as np

    with np.errstate(over="ignore"):
        h ^= h >> np.uint64(30)
        h *= np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(27)
        h *= np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(31)
