"""Check and describe an entity frame before it is used: one line for each way to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .. import frames
from ..errors import FeatureError, nearest
from ..masking import masked_text
from ..records.retrieval import EntityFrame, Span

if TYPE_CHECKING:
    import pandas as pd


def check(
    entity: object, name: str, keys: Sequence[str], request: Sequence[str], target: str | None
) -> None:
    """Raise `FeatureError` for an entity frame that Feast could not use, or that has no rows."""
    if isinstance(entity, str):
        if not entity.strip():
            raise FeatureError(f"{name} is an empty string; pass a DataFrame or a SQL query.")
        return
    if not frames.is_pandas(entity):
        if hasattr(entity, "toPandas"):  # a Spark frame
            return
        raise FeatureError(
            f"{name} is a {type(entity).__name__}, not an entity frame; give a DataFrame with "
            f"{' and '.join([*keys, 'a timestamp column'])}, or a SQL query."
        )
    columns = [str(c) for c in entity.columns]
    if entity.empty:
        raise FeatureError(f"{name} is empty: there are no rows to retrieve features for.")
    if timestamp_column(entity) is None:
        raise FeatureError(
            f"{name} has no timestamp column; name one event_timestamp, with the moment at which "
            f"each row's features are wanted (columns: {', '.join(columns)})."
        )
    for what, wanted in (("join key", keys), ("request data column", request)):
        for column in wanted:
            if column not in columns:
                hint = nearest(column, columns)
                raise FeatureError(f"{name} has no {what} {column}; {hint}")
    if target is not None and target not in columns:
        raise FeatureError(f"{name} has no target column {target}; {nearest(target, columns)}")


def timestamp_column(entity: pd.DataFrame) -> str | None:
    """Feast's rule: `event_timestamp`, else the only datetime column."""
    from pandas.api.types import is_datetime64_any_dtype

    if "event_timestamp" in entity.columns:
        return "event_timestamp"
    moments = [
        str(c) for i, c in enumerate(entity) if is_datetime64_any_dtype(entity.dtypes.iloc[i])
    ]
    return moments[0] if len(moments) == 1 else None


def describe(
    entity: object, keys: Sequence[str], start: datetime | None = None, end: datetime | None = None
) -> EntityFrame:
    """The record of what was asked for; its reach, fingerprint and archive come later."""
    if isinstance(entity, str):
        return EntityFrame("sql", query=masked_text(entity), join_keys=tuple(keys))
    if entity is None:
        if end is None:  # Feast takes the moment of the call
            end = datetime.now(UTC)
        reach = (str(m) if m is not None else None for m in (start, end))
        return EntityFrame("range", join_keys=tuple(keys), start=next(reach), end=next(reach))
    if not frames.is_pandas(entity):
        columns = tuple(str(c) for c in getattr(entity, "columns", ()))
        kinds = dict(getattr(entity, "dtypes", ()))
        moments = [c for c in columns if str(kinds.get(c, "")).startswith("timestamp")]
        named = ["event_timestamp"] if "event_timestamp" in columns else moments[:1]
        stamp = Span(named[0]) if named else None
        return EntityFrame("spark", columns=columns, join_keys=tuple(keys), timestamp=stamp)
    column = timestamp_column(entity)
    return EntityFrame(
        "dataframe",
        rows=len(entity),
        columns=tuple(str(c) for c in entity.columns),
        join_keys=tuple(keys),
        timestamp=Span(column) if column else None,
    )


def describe_rows(
    rows: Any,
    keys: Sequence[str],
) -> EntityFrame:
    """The record of an online call's entity rows: a list of dictionaries, or columns.

    None of a search by nearness, which finds its rows itself.
    """
    if rows is None:
        return EntityFrame("search", join_keys=tuple(keys))
    if isinstance(rows, list):
        columns = tuple(dict.fromkeys(str(k) for row in rows for k in row))
        return EntityFrame("rows", len(rows), columns, tuple(keys))
    values = list(rows.values())
    length = len(getattr(values[0], "val", values[0])) if values else 0
    return EntityFrame("rows", length, tuple(str(c) for c in rows), tuple(keys))


def moment(text: str) -> datetime:
    """A date or time as typed, UTC unless it says otherwise."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise FeatureError(f"{text} is not a date; write 2026-01-31 or 2026-01-31T12:00.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
