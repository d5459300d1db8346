"""The content hash of a column: one 64-bit number for each value, the same however it is held.

Numbers are told by their value (1, 1.0 and true agree), moments by their instant in UTC, texts by
their bytes, lists and structs by their parts; what is missing is missing in every kind of column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .arrow_values import EXACT, MISSING, canonical, gaps_of, is_list, is_number, missing_as_null

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Bits = npt.NDArray[np.uint64]
    Gaps = npt.NDArray[np.bool_]
    # What gives the bits of some rows, and which of them are missing.
    HashedPart = Callable[[int, int], tuple[Bits, Gaps | None]]


def filled(array: pa.Array) -> npt.NDArray[np.generic]:
    """An Arrow array of numbers as NumPy's, with anything in the place of what is missing."""
    import numpy as np
    import pyarrow as pa

    return np.asarray(array.fill_null(False if pa.types.is_boolean(array.type) else 0))


def numbers(values: npt.NDArray[Any], gaps: Gaps | None = None) -> HashedPart:
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


def _beyond_doubles(part: npt.NDArray[np.integer]) -> bool:
    return bool(part.max() > EXACT or (part.dtype.kind == "i" and part.min() < -EXACT))


def _large(part: npt.NDArray[np.integer], doubles: npt.NDArray[np.float64]) -> Bits:
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


def moment_bits(values: npt.NDArray[np.int64], unit: str, missing: int | None) -> HashedPart:
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
    if is_number(kind):
        return _all_of(numbers(filled(array)), len(array))
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        whole = np.asarray(array.view("int64").fill_null(0))
        return _all_of(moment_bits(whole, kind.unit, None), len(array))
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        width = "int64" if kind.bit_width == 64 else "int32"
        return np.asarray(array.view(width).fill_null(0)).astype(np.int64).view(np.uint64)
    if is_list(kind):
        return _list_bits(array)
    if pa.types.is_struct(kind):
        return _struct_bits(array)
    return _text_bits(array)


def _all_of(at: HashedPart, length: int) -> Bits:
    bits: Bits = at(0, length)[0]
    return bits


def _hashes(array: pa.Array) -> Bits:
    """The bits of parts of a value, mixed, with one number for what is missing."""
    import numpy as np

    flat = missing_as_null(canonical(array))
    bits = bits_of(flat)
    gaps = gaps_of(flat)
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


def digest_of(value: object) -> int:
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


def mixed(values: npt.ArrayLike) -> Bits:
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
