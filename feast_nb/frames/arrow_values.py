"""Arrow values of the types that Feast has: what kind a type is, gaps, casts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Bits = npt.NDArray[np.uint64]
    Gaps = npt.NDArray[np.bool_]


MISSING = 0x9E3779B97F4A7C15
EXACT = 2**53  # up to here a double tells every integer from the next


def canonical(array: pa.Array | pa.ChunkedArray, declared: pa.DataType | None = None) -> pa.Array:
    """The same values in one flat array, of the type they are declared to have if they fit it."""
    import pyarrow as pa

    flat = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if isinstance(flat, pa.ChunkedArray):  # pyarrow gives a chunked array for no chunks at all
        flat = pa.concat_arrays(flat.chunks) if flat.num_chunks else pa.array([], flat.type)
    if isinstance(flat, pa.ExtensionArray):
        return canonical(flat.storage)
    if pa.types.is_float16(flat.type):  # as NumPy's halves are read, too
        flat = flat.cast(pa.float32())
    if declared is not None and may_cast(flat.type, declared):
        try:
            flat = missing_as_null(flat).cast(declared)
        except pa.ArrowInvalid:
            pass  # the values do not fit what was declared: they are hashed as they are
    if pa.types.is_dictionary(flat.type):
        return canonical(flat.cast(flat.type.value_type))
    return flat


def kind_of(kind: pa.DataType) -> str:
    """A type's name in a schema."""
    import pyarrow as pa

    if is_list(kind):
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


def is_number(kind: pa.DataType) -> bool:
    """Whether a type is one of integers or floats."""
    import pyarrow as pa

    is_ = pa.types
    return bool(is_.is_integer(kind) or is_.is_floating(kind) or is_.is_boolean(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is a list of any length."""
    import pyarrow as pa

    is_ = pa.types
    return bool(is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind))


def may_cast(found: pa.DataType, declared: pa.DataType) -> bool:
    """Whether values of one type can be had as the declared one without loss of meaning."""
    import pyarrow as pa

    if pa.types.is_null(found):
        return True
    if pa.types.is_floating(found) and pa.types.is_floating(declared):
        return False  # a narrower type would take different values for the same
    both = [k for k in (found, declared) if is_number(k) and not pa.types.is_boolean(k)]
    return bool(found != declared and len(both) == 2)


def missing_as_null(array: pa.Array) -> pa.Array:
    """An array in which NaN is null, as pandas has both for a gap."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(array.type):
        return array
    gaps = pc.is_nan(array)
    return pc.if_else(gaps, pa.scalar(None, array.type), array) if pc.any(gaps).as_py() else array


def gaps_of(array: pa.Array) -> Gaps | None:
    """Where an array has no value; None where it has all."""
    import numpy as np

    return np.asarray(array.is_null()) if array.null_count else None
