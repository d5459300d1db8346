"""What a model is fed: columns in its order, of the types it was trained on, and what is odd."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import FeatureError
from ..records.contract import Contract, Input

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

_MORE_NULLS = 0.1  # how much greater than in training a share of nulls must be to be told
_FLOATS = {"float": "float32", "float32": "float32", "double": "float64", "float64": "float64",
           "halffloat": "float16"}  # fmt: skip
# As MLflow's signatures call them: all that is known of a model that was logged without us.
_SIGNED = {"long": "int64", "integer": "int32", "boolean": "bool", "datetime": "timestamp"}
_NOTHING = type(None)


def frame(contract: Contract, columns: Mapping[str, Sequence[object]]) -> pd.DataFrame:
    """The inputs as a frame: the contract's columns, in its order, of its types.

    Raises `FeatureError` for a column that is missing, or holds another kind of value than the
    model was trained on.
    """
    import pandas as pd

    found = {}
    for one in contract.inputs:
        if one.name not in columns:
            raise FeatureError(f"{one.name}, an input of the model, did not come.")
        found[one.name] = _typed(one, columns[one.name])
    return pd.DataFrame(found)


def _name(one: Input) -> str:
    """The Arrow name of an input's type, whether Arrow, pandas or MLflow named it."""
    name = one.dtype or ""
    if name.startswith("datetime64["):
        return "timestamp[us, tz=UTC]" if "," in name else "timestamp[us]"
    if name in ("Float32", "Float64") or name.startswith(("Int", "UInt")):
        return name.lower()
    return _SIGNED.get(name, name)


def _kind(one: Input) -> str:
    """What kind of values an input had: float, int, bool, string, timestamp, or another."""
    name = _name(one)
    if name in _FLOATS:
        return "float"
    if name.startswith(("int", "uint")):
        return "int"
    if name in ("string", "large_string"):
        return "string"
    if name.startswith(("list<", "large_list<", "fixed_size_list<")):
        return "list"
    return "timestamp" if name.startswith("timestamp") else name


# Values of these types need no second look.
_PLAIN: dict[str, set[type]] = {
    "float": {float, int, _NOTHING},
    "int": {int, _NOTHING},
    "bool": {bool, _NOTHING},
    "string": {str, _NOTHING},
}


def _checked(one: Input, values: Sequence[object]) -> list[Any]:
    """The values with every gap as None; raises for one of another kind than in training."""
    kind = _kind(one)
    found = list(values)
    if set(map(type, found)) <= _PLAIN.get(kind, set()):
        return found
    found = _gaps_as_none(found)
    for value in found:
        if value is not None and not _fits(kind, value):
            raise _retyped(one, value)
    return found


def _gaps_as_none(values: Iterable[object]) -> list[Any]:
    return [None if _is_gap(v) else v for v in values]


def _is_gap(value: object) -> bool:
    import pandas as pd

    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, float) and value != value)
    )


def _fits(kind: str, value: object) -> bool:
    from datetime import date
    from numbers import Integral, Number

    import numpy as np

    if kind == "float":
        return isinstance(value, (Number, np.bool_))
    if kind == "int":
        whole = isinstance(value, (float, np.floating)) and value == value // 1
        return isinstance(value, Integral) or bool(whole)
    if kind == "bool":
        return isinstance(value, (bool, np.bool_))
    if kind == "string":
        return isinstance(value, str)
    if kind == "list":
        return isinstance(value, (list, tuple, set, frozenset, np.ndarray))
    return kind != "timestamp" or isinstance(value, (date, np.datetime64))


def _typed(one: Input, values: Sequence[object]) -> pd.Series:
    """A column of the type that an input had in training; integers with gaps are floats."""
    import numpy as np
    import pandas as pd

    kind, name = _kind(one), _name(one)
    if one.categories is not None:
        return pd.Series(pd.Categorical(_gaps_as_none(values), categories=list(one.categories)))
    found = _checked(one, values)
    gaps = None in found if kind in _PLAIN else False
    if kind == "float":
        return pd.Series(np.array(found, dtype="float64"), dtype=_FLOATS[name])
    if kind == "int":
        limits, plain = np.iinfo(name), [v for v in found if v is not None]
        for value in (min(plain), max(plain)) if plain else ():
            if not limits.min <= value <= limits.max:
                raise _retyped(one, value)
        if one.nulls or gaps:  # pandas had doubles in training, too
            return pd.Series(np.array(found, dtype="float64"))
        return pd.Series(found, dtype=name)  # beyond 2**53 a double would not tell
    if kind == "bool":
        return pd.Series(found, dtype="object" if gaps else "bool")
    if kind == "timestamp":
        moments = pd.to_datetime(pd.Series(found, dtype="object"), utc=True)
        return moments if "tz" in name else moments.dt.tz_localize(None)  # Feast means UTC
    if kind == "list":
        return pd.Series(_arrays(name, found), dtype="object")
    return pd.Series(found, dtype="object" if kind == "string" else None)


def _arrays(name: str, values: Iterable[Any]) -> list[npt.NDArray[np.generic] | None]:
    """Lists as pandas has them from Arrow: arrays of the element's type; of a set in order."""
    return [None if value is None else _array(name, value) for value in values]


def _array(name: str, value: Iterable[Any]) -> npt.NDArray[np.generic]:
    import numpy as np
    import pandas as pd

    inside = name[name.index(": ") + 2 : name.rindex(">")] if ": " in name else ""
    element = inside.removesuffix(" not null")
    inner = sorted(value) if isinstance(value, (set, frozenset)) else list(value)
    if "list<" in element[:20]:
        return _objects(_arrays(element, inner))
    if element.startswith("timestamp"):  # Arrow gives pandas these without their zone, in UTC
        moments = pd.to_datetime(pd.Series(inner, dtype="object"), utc=True)
        return moments.dt.tz_localize(None).to_numpy("datetime64[us]")
    kind = _FLOATS.get(element, element)
    if None not in inner and kind.startswith(("float", "int", "uint", "bool")):
        return np.array(inner, dtype=kind)
    return _objects(inner)


def _objects(values: Sequence[object]) -> npt.NDArray[np.object_]:
    """A flat array of whatever things, lists included."""
    import numpy as np

    found = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        found[place] = value
    return found


def _retyped(one: Input, value: object) -> FeatureError:
    return FeatureError(
        f"{one.name} was {one.dtype} in training, and {value!r} ({type(value).__name__}) came; "
        "the model would take it for something else."
    )


def _values(one: Input, values: Sequence[object]) -> Sequence[object]:
    kind = _kind(one)
    if kind == "timestamp" and "tz" not in _name(one):
        return _gaps_as_none(_typed(one, values).tolist())
    found = _checked(one, values)
    return _arrays(_name(one), found) if kind == "list" else found


def training_skew(
    contract: Contract, fed: pd.DataFrame, came: Mapping[str, Sequence[object]]
) -> list[str]:
    """What differs from training: shares of nulls far above, values outside of the range.

    `came` are the values as they came: of a category that training had not, `fed` has a null.
    """
    import numpy as np

    said = []
    for one in contract.inputs:
        column = fed[one.name]
        if one.categories is not None:
            said += _unknown_categories(one, came[one.name])
            continue
        gaps = float(column.isna().mean()) if len(column) else 0.0
        if one.nulls is not None and gaps > _many(one.nulls):
            said.append(f"{one.name}: {gaps:.0%} are null, in training {one.nulls:.0%}.")
        if one.min is None or one.max is None or column.dtype.kind not in "iuf":
            continue
        low: float | np.float32 = one.min
        high: float | np.float32 = one.max
        if one.declared == "float":  # an online store rounds what training had in doubles
            low, high, column = np.float32(low), np.float32(high), column.astype("float32")
        outside = int(((column < low) | (column > high)).sum())
        if outside:
            said.append(
                f"{one.name}: {outside:,} of {len(column):,} values lie outside training's "
                f"{one.min:g} to {one.max:g}."
            )
    return said


def _unknown_categories(one: Input, values: Sequence[object]) -> list[str]:
    known = set(one.categories or ())
    strange = [v for v in _gaps_as_none(values) if v is not None and v not in known]
    if not strange:
        return []
    return [
        f"{one.name}: {len(strange):,} of {len(values):,} values ({strange[0]!r}, say) are no "
        "category of training's; the model takes them for nulls."
    ]


def _many(nulls: float) -> float:
    """The share of nulls above which it is told: a tenth more and twice as many, or halfway up."""
    return max(nulls + _MORE_NULLS, 2 * nulls) if nulls < 0.5 else (1 + nulls) / 2


def matrix(contract: Contract, columns: Mapping[str, Sequence[object]]) -> npt.NDArray[np.generic]:
    """The inputs as one array, rows × inputs in the contract's order, nulls as NaN.

    float32 where every input was, else float64; of objects where an input is no number.
    """
    import numpy as np

    for one in contract.inputs:
        if one.name not in columns:
            raise FeatureError(f"{one.name}, an input of the model, did not come.")
    parts = [_values(one, columns[one.name]) for one in contract.inputs]
    numeric = all(_kind(one) in ("float", "int", "bool") for one in contract.inputs)
    single = all(_FLOATS.get(one.dtype or "") == "float32" for one in contract.inputs)
    dtype: type | str = ("float32" if single else "float64") if numeric else object
    if numeric:
        return np.array(parts, dtype=dtype).T
    found = np.empty((len(parts[0]) if parts else 0, len(parts)), dtype=object)
    for place, values in enumerate(parts):
        found[:, place] = _objects(values)
    return found
