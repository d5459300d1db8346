"""Rows asked for that did not come back: which, and why, in plain words.

Feast's `file` (dask) store drops entity rows that have no value within the TTL, and one of two
rows with the same key and timestamp; the other stores return them with nulls (measured: seven rows
asked, four given).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...records.retrieval import DroppedRows
from .views import View

_ASKED, _AT = "feast_nb asked", "feast_nb at"  # columns of ours, which no key is called
_MOST = 20_000  # rows that are looked up in the sources; above, they are only counted


def explain(
    entity: Any, result: Any, keys: Sequence[str], timestamp: str, views: Iterable[View]
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
        losses += _kinds_of_gone(gone, by, timestamp, views)
    return tuple(losses)


def _rows(frame: Any, by: Sequence[str], timestamp: str) -> Any:
    import pandas as pd

    rows = frame[list(by)].copy()
    moments = pd.to_datetime(rows[timestamp], utc=True)
    rows[timestamp] = moments.astype("datetime64[us, UTC]")
    return rows


def _kinds_of_gone(
    gone: Any, by: Sequence[str], timestamp: str, views: Iterable[View]
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
    found: list[Any] = [_why_gone(rows, view, timestamp) for view in batch if len(rows)]
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


def _why_gone(rows: Any, view: View, timestamp: str) -> Any:
    """For each row why a view gave it nothing; None where the source cannot be read."""
    source = _source_rows(view, rows)
    if source is None:
        return None
    return rows.apply(_why, axis=1, args=(source, view, timestamp))


def _source_rows(view: View, rows: Any) -> Any:
    """Keys and timestamps of a Parquet source, for the keys of `rows`; None if out of reach."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    source = view.batch_source
    path = getattr(source, "path", "")
    keys = [c.name for c in view.spec.entity_columns if c.name in rows.columns]
    if not keys or not path or "://" in path or not Path(path).exists():
        return None
    # The source's own names: Feast renames columns by the source's mapping when it reads.
    own = {new: old for old, new in (getattr(source, "field_mapping", None) or {}).items()}
    columns = {own.get(name, name): name for name in keys}
    moment = own.get(source.timestamp_field, source.timestamp_field)
    wanted = rows[keys[0]].unique().tolist()
    try:
        table = ds.dataset(path).to_table(
            columns={**{new: pc.field(old) for old, new in columns.items()}, _AT: pc.field(moment)},
            filter=pc.field(own.get(keys[0], keys[0])).isin(wanted),
        )
    except pa.ArrowException:
        return None  # keys of another type than the source's match nothing in it
    return table.to_pandas()


def _why(row: Any, source: Any, view: View, timestamp: str) -> str | None:
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
