"""Two frames that should be the same: which rows, and how many values of which column differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..records.answers import ColumnDifference
from . import fingerprint

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from . import Tabular

_EXAMPLES = 3
_TURN = "feast_nb turn"  # tells rows with the same key apart, by their order


class FrameComparison(NamedTuple):
    """Rows that only the old or only the new frame has, and the columns that differ."""

    missing: int
    new: int
    columns: tuple[ColumnDifference, ...]


def compare(
    old: pd.DataFrame, new: pd.DataFrame, keys: Sequence[str], shown: Sequence[str] = ()
) -> FrameComparison:
    """Compare two frames row by row, rows told apart by `keys` whatever their order.

    Examples name a row by the keys that are `shown` (all of them, where none is).

    Of rows with the same key, equal ones are paired first, then the rest in their order. Columns
    that one frame has not are named as differing in every row.
    """
    by = [k for k in keys if k in old.columns and k in new.columns]
    values = [c for c in old.columns if c not in by]
    old_left, new_left = _without_pairs(old, new, by, [c for c in values if c in new.columns])
    one, other = _keyed(old_left, by), _keyed(new_left, by)
    both = one.index.intersection(other.index)
    left, right = one.loc[both], other.loc[both]
    found = []
    for name in values:
        if name not in right.columns:
            found.append(ColumnDifference(str(name), len(old), ("the column is gone",)))
            continue
        differs = ~_equal(left[name], right[name])
        count = int(differs.sum())
        if count:
            places = [i for i, yes in enumerate(differs) if yes][:_EXAMPLES]
            examples = tuple(
                _example(_place(both[i], by, shown), left[name].iloc[i], right[name].iloc[i])
                for i in places
            )
            found.append(ColumnDifference(str(name), count, examples))
        elif _kind(left[name]) != _kind(right[name]):
            was = f"{left[name].dtype} is {right[name].dtype}"
            found.append(ColumnDifference(str(name), 0, (was,)))
    for name in new.columns:
        if name not in old.columns:
            found.append(ColumnDifference(str(name), len(new), ("the column is new",)))
    return FrameComparison(len(one) - len(both), len(other) - len(both), tuple(found))


def unlike(
    old: Tabular, new: Tabular, types: Mapping[str, pa.DataType]
) -> tuple[ColumnDifference, ...]:
    """Columns of frames or Arrow tables whose values look the same, and are of another type.

    `types` gives the Arrow types that columns are declared to have, as in a fingerprint.
    """
    now = {c.name: c for c in fingerprint.of_columns(new, types)}
    found = []
    for was in fingerprint.of_columns(old, types):
        one = now.get(was.name)
        if one is not None and one.kind != was.kind:
            said = f"the same values, {was.kind} is {one.kind}"
            found.append(ColumnDifference(was.name, 0, (said,)))
        elif one is not None and one.values != was.values:
            found.append(ColumnDifference(was.name, 0, ("values that only look the same",)))
    return tuple(found)


def _without_pairs(
    old: pd.DataFrame, new: pd.DataFrame, by: Sequence[str], common: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both frames; where keys are doubled without the rows that have an equal one in the other."""
    import pandas as pd

    old, new = _in_utc(old, by), _in_utc(new, by)
    if not by or not (old.duplicated(list(by)).any() or new.duplicated(list(by)).any()):
        return old, new
    keys = []
    for frame in (old, new):
        texts = pd.DataFrame({i: frame[c].map(_text) for i, c in enumerate((*by, *common))})
        turn = texts.groupby(list(texts.columns)).cumcount()
        keys.append(pd.MultiIndex.from_frame(texts.assign(turn=turn)))
    first, second = keys
    return old[~first.isin(second)], new[~second.isin(first)]


def _in_utc(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """A copy whose keys are moments in UTC, whatever zone and unit they had."""
    import pandas as pd

    plain = frame.copy()
    plain.attrs = {}
    for name in by:
        if pd.api.types.is_datetime64_any_dtype(plain[name]):
            plain[name] = pd.to_datetime(plain[name], utc=True).astype("datetime64[us, UTC]")
        elif plain[name].dtype == object and plain[name].map(_has_no_hash).any():
            plain[name] = plain[name].map(_text)  # lists have no hash
    return plain


def _keyed(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The frame under its keys; doubled ones are counted in their order."""
    if not by:
        return frame.assign(**{_TURN: range(len(frame))}).set_index([_TURN])
    turn = frame.groupby(list(by), dropna=False).cumcount()
    return frame.assign(**{_TURN: turn}).set_index([*by, _TURN])


def _kind(column: pd.Series) -> str:
    """The kind of a column's type: of numbers the width does not matter."""
    return "number" if column.dtype.kind in "iuf" else str(column.dtype.kind)


def _equal(one: pd.Series, other: pd.Series) -> pd.Series[bool]:
    """Row by row whether two columns are the same, gaps included; lists by their text."""
    import pandas as pd

    gaps = one.isna().to_numpy() & other.isna().to_numpy()
    if not one.hasnans and not other.hasnans and {one.dtype.kind, other.dtype.kind} <= set("iub"):
        same = one.to_numpy() == other.to_numpy()  # beyond 2**53 doubles would not tell
    elif one.dtype.kind in "iufb" and other.dtype.kind in "iufb":
        same = one.astype("float64").to_numpy() == other.astype("float64").to_numpy()
    elif pd.api.types.is_datetime64_any_dtype(one) and pd.api.types.is_datetime64_any_dtype(other):
        moments = (pd.to_datetime(c, utc=True).astype("datetime64[us, UTC]") for c in (one, other))
        same = next(moments).to_numpy() == next(moments).to_numpy()
    elif _kind(one) != _kind(other):  # numbers that became text are the same, of another type
        same = one.astype(str).to_numpy() == other.astype(str).to_numpy()
    else:
        same = one.map(_text).to_numpy() == other.map(_text).to_numpy()
    return pd.Series(same | gaps, index=one.index)


def _has_no_hash(value: object) -> bool:
    return isinstance(value, (list, dict)) or getattr(value, "ndim", 0) > 0


def _text(value: Any) -> str:
    """A value as text that tells it from every other: a gap from the word, arrays as lists."""
    import pandas as pd

    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, dict, tuple)):
        return repr(value)
    if pd.isna(value):
        return "gap"
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return repr(float(value)) if number else repr(value)


def _example(where: str, old: object, new: object) -> str:
    return f"{where}: {_said(old)} → {_said(new)}"


def _place(key: object, by: Sequence[str], shown: Sequence[str]) -> str:
    """Which row it is, by the keys that people know it by."""
    parts = dict(zip(by, key if isinstance(key, tuple) else (key,), strict=False))
    named = [n for n in shown if n in parts] or list(by)
    return ", ".join(f"{n}={parts[n]}" for n in named) or f"row {key}"


def _said(value: Any) -> str:
    import pandas as pd

    return "null" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value)
