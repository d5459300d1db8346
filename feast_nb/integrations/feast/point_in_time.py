"""What the sources hold for the rows of an entity frame: why one got nothing, and whether what one
got was known at its moment.

Feast's `file` (dask) store drops entity rows that have no value within the TTL, and one of two
rows with the same key and timestamp; the other stores return them with nulls (measured: seven rows
asked, four given).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...records.retrieval import DroppedRows, LateValues
from .sources import local_path
from .views import View

if TYPE_CHECKING:
    import pandas as pd

    from ...frames import Tabular

# Columns of ours, which no key is called.
_ASKED, _AT, _CREATED = "feast_nb asked", "feast_nb at", "feast_nb created"
_LOOKED_AT = 200  # rows of a result whose values are looked up in the sources
_LARGE = 1_000_000  # rows of a source above which it is not read for that
_MOST = 20_000  # rows that are looked up in the sources; above, they are only counted


def dropped(
    entity: pd.DataFrame,
    result: Tabular,
    keys: Sequence[str],
    timestamp: str,
    views: Iterable[View],
    repo: Path | None = None,
) -> tuple[DroppedRows, ...]:
    """Why `result` (pandas or Arrow) has not the rows of `entity` (pandas).

    Rows are told apart by join keys and timestamp. Returns one `DroppedRows` for each kind, with a
    negative number of rows where more came back than were asked for.
    """
    import pandas as pd

    given = result if isinstance(result, pd.DataFrame) else result.to_pandas()
    by = [*keys, timestamp]
    if not set(by) <= set(given.columns) or not set(by) <= set(entity.columns):
        return (DroppedRows(len(entity) - len(given), "the result has not the keys to tell which"),)
    asked = _rows(entity, by, timestamp).value_counts(dropna=False)
    came = _rows(given, by, timestamp).value_counts(dropna=False)
    short = asked.sub(came, fill_value=0)
    losses = []
    twice = short[(short > 0) & asked.reindex(short.index).gt(1) & short.index.isin(came.index)]
    if len(twice):
        losses.append(DroppedRows(int(twice.sum()), "the same key and timestamp asked for twice"))
    doubled = short[short < 0]
    if len(doubled):
        losses.append(
            DroppedRows(int(doubled.sum()), "the source has several values for one moment")
        )
    gone = short[(short > 0) & ~short.index.isin(came.index)]
    if len(gone):
        losses += _kinds_of_gone(gone, by, timestamp, views, repo)
    return tuple(losses)


def _rows(frame: pd.DataFrame, by: Sequence[str], timestamp: str) -> pd.DataFrame:
    import pandas as pd

    rows = frame[list(by)].copy()
    moments = pd.to_datetime(rows[timestamp], utc=True)
    rows[timestamp] = moments.astype("datetime64[us, UTC]")
    return rows


def _kinds_of_gone(
    gone: pd.Series, by: Sequence[str], timestamp: str, views: Iterable[View], repo: Path | None
) -> list[DroppedRows]:
    """Sort rows that are gone by what their sources hold for them, as far as these can be read."""
    rows = gone.rename(_ASKED).reset_index()
    kinds: dict[str, int] = {}
    for name in (timestamp, *(n for n in by if n != timestamp)):
        null = rows[name].isna()
        if null.any():
            kinds[f"{name} is null"] = int(rows.loc[null, _ASKED].sum())
        rows = rows[~null]
    batch = [v for v in views if v.batch_source is not None]
    if len(rows) > _MOST:
        kinds["too many to look each of them up"] = int(rows[_ASKED].sum())
        rows = rows[:0]
    found: list[pd.Series | None] = [
        _why_gone(rows, view, timestamp, repo) for view in batch if len(rows)
    ]
    for place, number in enumerate(rows[_ASKED]):
        why = _said(None if reasons is None else reasons.iloc[place] for reasons in found)
        kinds[why] = kinds.get(why, 0) + int(number)
    return [DroppedRows(number, why) for why, number in kinds.items()]


_FUTURE, _STALE, _NOTHING = "future", "stale", "nothing"


def _said(reasons: Iterable[str | None]) -> str:
    """Why a row is gone, of what each view's source says; of one that says nothing, nothing."""
    told = list(reasons)
    if _FUTURE in told:
        return "only values later than asked for"
    if _STALE in told:
        return "older than the TTL"
    if told and set(told) == {_NOTHING}:
        return "no value within the TTL at that time"
    return "why is not known"


def _why_gone(
    rows: pd.DataFrame, view: View, timestamp: str, repo: Path | None
) -> pd.Series | None:
    """For each row why a view gave it nothing; None where the source cannot be read."""
    source = _source_rows(view, rows, repo)
    if source is None:
        return None
    return rows.apply(_why, axis=1, args=(source, view, timestamp))


def _source_rows(
    view: View,
    rows: pd.DataFrame,
    repo: Path | None = None,
    more: Sequence[str] = (),
    most: int | None = None,
) -> pd.DataFrame | None:
    """Keys and timestamps of a Parquet source, for the keys of `rows`; None if out of reach.

    With `more` columns of theirs; none is read of a source of more than `most` rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    source = view.batch_source
    path = local_path(getattr(source, "path", None) or "", repo)
    keys = [c.name for c in view.spec.entity_columns if c.name in rows.columns]
    if not keys or source is None or path is None or not path.exists():
        return None
    # The source's own names: Feast renames columns by the source's mapping when it reads.
    own = {new: old for old, new in (getattr(source, "field_mapping", None) or {}).items()}
    columns = {name: pc.field(own.get(name, name)) for name in (*keys, *more)}
    columns[_AT] = pc.field(own.get(source.timestamp_field, source.timestamp_field))
    if more and source.created_timestamp_column:  # of two values for one moment the later one
        columns[_CREATED] = pc.field(source.created_timestamp_column)
    wanted = rows[keys[0]].unique().tolist()
    try:
        data = ds.dataset(path)
        if most is not None and data.count_rows() > most:
            return None
        chosen = pc.field(own.get(keys[0], keys[0])).isin(wanted)
        table = data.to_table(columns=columns, filter=chosen)
    except (pa.ArrowException, OSError):
        return None  # no Parquet, or keys of another type than the source's
    found: pd.DataFrame = table.to_pandas()
    return found


def _why(row: pd.Series, source: pd.DataFrame, view: View, timestamp: str) -> str | None:
    import pandas as pd

    keys = [c for c in source.columns if c != _AT]
    mine = source
    for key in keys:
        mine = mine[mine[key] == row[key]]
    if mine.empty:
        return _NOTHING
    moments = pd.to_datetime(mine[_AT], utc=True)
    before = moments[moments <= row[timestamp]]
    if before.empty:
        return _FUTURE
    if view.ttl and before.max() < row[timestamp] - pd.Timedelta(seconds=view.ttl):
        return _STALE
    return None


# ---------------------------------------------------------------------- values of later


def late_values(
    result: Tabular,
    columns: Mapping[str, str],
    keys: Sequence[str],
    timestamp: str,
    views: Mapping[str, View],
    repo: Path | None,
    created: bool = False,
) -> tuple[LateValues, ...]:
    """Which values of `result` (pandas or Arrow) were not there yet at the moment of their row.

    Two hundred rows at most, spread over the whole, are looked up in the views' sources, where
    those are Parquet files here. `columns` maps the result's columns to references. A value is
    late where it is one that the source has for a later moment only; `created`: where the source
    says that it was written later, too.
    """
    sample = spread(result, _LOOKED_AT)
    if timestamp not in sample.columns or not set(keys) <= set(sample.columns):
        return ()
    found: list[LateValues] = []
    for name, view in views.items():
        mine = {c: ref.partition(":")[2] for c, ref in columns.items()
                if ref.partition(":")[0] == name and c in sample.columns}  # fmt: skip
        if view.is_timed and view.batch_source is not None and mine:
            found += _late_in(sample, view, mine, timestamp, repo, created)
    return tuple(found)


def is_at_hand(view: View, repo: Path | None) -> bool:
    """Whether the rows of a view's source can be read from here: a Parquet file or folder."""
    path = local_path(getattr(view.batch_source, "path", None) or "", repo)
    return path is not None and path.exists()


def spread(result: Any, most: int) -> pd.DataFrame:
    """Some rows of a frame or table, at most so many, as a frame."""
    step = max(1, -(-len(result) // most))
    if hasattr(result, "column_names"):
        some: pd.DataFrame = result.take(list(range(0, len(result), step))).to_pandas()
        return some
    rows: pd.DataFrame = result.iloc[::step]
    return rows


def _late_in(
    sample: pd.DataFrame,
    view: View,
    columns: Mapping[str, str],
    timestamp: str,
    repo: Path | None,
    created: bool,
) -> list[LateValues]:
    import pandas as pd

    asked_as = {asked: own for own, asked in view.join_key_map.items()}
    rows = sample.rename(columns=asked_as)
    # A look that nobody asked for reads no large source; `created` is what a person wants proved.
    most = None if created else _LARGE
    source = _source_rows(view, rows, repo, list(columns.values()), most)
    if source is None or source.empty:
        return []
    keys = [c.name for c in view.spec.entity_columns if c.name in source.columns]
    for name in (_AT, _CREATED):
        if name in source:
            source[name] = pd.to_datetime(source[name], utc=True)
    source = source.sort_values([c for c in (_AT, _CREATED) if c in source])
    histories = dict(tuple(source.groupby(keys)))
    moments = pd.to_datetime(rows[timestamp], utc=True)
    looked, late, unwritten = 0, 0, 0
    for moment, (_, row) in zip(moments, rows.iterrows(), strict=True):
        history = histories.get(tuple(row[key] for key in keys))
        if history is None:
            continue
        looked += 1
        values = {feature: row[column] for column, feature in columns.items()}
        when = _when(history, values, moment, created and _CREATED in history)
        late += when == "later"
        unwritten += when == "unwritten"
    found = (
        LateValues(view.name, late, looked, "event"),
        LateValues(view.name, unwritten, looked, "created"),
    )
    return [one for one in found if one.rows]


def _when(
    history: pd.DataFrame, values: Mapping[str, object], moment: pd.Timestamp, created: bool
) -> str | None:
    """Whether the values of a row are a later moment's, or were written later than its own."""
    before, after = history[history[_AT] <= moment], history[history[_AT] > moment]
    given = {name: value for name, value in values.items() if not _is_null(value)}
    last = before.iloc[-1] if len(before) else None
    for name, value in given.items():
        known_then = any(is_same(value, other) for other in before[name])
        if not known_then and any(is_same(value, other) for other in after[name]):
            return "later"
    if given and last is not None and created and last[_CREATED] > moment:
        return "unwritten"
    return None


def _is_null(value: object) -> bool:
    import pandas as pd

    return pd.isna(value) is True  # type: ignore[call-overload] # of a list there are several answers


def is_same(one: object, other: object) -> bool:
    """Whether two values are the same, gaps too, but for what a float loses of a double."""
    import math
    from numbers import Real

    import numpy as np

    if _is_null(one) or _is_null(other):
        return _is_null(one) and _is_null(other)
    if isinstance(one, Real) and isinstance(other, Real):
        return math.isclose(one, other, rel_tol=1e-6)
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return bool(np.array_equal(np.asarray(one), np.asarray(other)))
    return bool(one == other)
