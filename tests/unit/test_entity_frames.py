"""An entity frame is checked before anything is retrieved with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from feast_nb.errors import FeatureError
from feast_nb.frames import parquet
from feast_nb.frames.entity_frames import check, describe, describe_rows, moment, timestamp_column
from feast_nb.records.retrieval import EntityFrame, Span

AT = pd.Timestamp("2024-01-10 12:00", tz="UTC")


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [AT, AT]} | columns)


def refused(entity: Any, **more: Any) -> str:
    start: dict[str, Any] = {"keys": ("driver_id",), "request": (), "target": None}
    with pytest.raises(FeatureError) as raised:
        check(entity, "drivers", **(start | more))
    said = str(raised.value)
    assert "\n" not in said
    return said


def test_a_good_frame_passes() -> None:
    check(frame(y=[0, 1], amount=[1, 2]), "drivers", ("driver_id",), ("amount",), "y")


@pytest.mark.parametrize(
    "entity", ["SELECT 1", SimpleNamespace(toPandas=None)], ids=["sql", "spark"]
)
def test_what_is_elsewhere_is_not_looked_into(entity: Any) -> None:
    check(entity, "drivers", ("driver_id",), (), "y")


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty_text_is_no_query(text: str) -> None:
    assert refused(text) == "drivers is an empty string; pass a DataFrame or a SQL query."


@pytest.mark.parametrize("entity", [[1], {"driver_id": [1]}, None, 3, pd.Series([1])], ids=repr)
def test_what_is_no_frame_is_named_with_what_is_wanted(entity: Any) -> None:
    said = refused(entity)

    assert said.startswith(f"drivers is a {type(entity).__name__}, not an entity frame;")
    assert "driver_id and a timestamp column" in said


def test_a_view_without_keys_reads_well_too() -> None:
    assert "with and" not in refused(3, keys=()).replace("  ", " ")


def test_no_rows_are_no_training_frame() -> None:
    assert (
        refused(frame().iloc[:0]) == "drivers is empty: there are no rows to retrieve features for."
    )


@pytest.mark.parametrize(
    "columns",
    [
        {"event_timestamp": None},
        {"event_timestamp": None, "at": ["2024-01-10", "2024-01-11"]},
        {"event_timestamp": None, "one": [AT, AT], "other": [AT, AT]},
    ],
    ids=["none", "text", "two"],
)
def test_a_frame_without_one_timestamp_column_says_its_columns(columns: dict[str, Any]) -> None:
    entity = frame(**columns)
    entity = entity.drop(columns="event_timestamp")
    said = refused(entity)

    assert "has no timestamp column; name one event_timestamp" in said
    assert f"(columns: {', '.join(entity.columns)})" in said


def test_a_join_key_that_is_missing_is_told_with_the_nearest() -> None:
    entity = frame().rename(columns={"driver_id": "driverid"})

    assert refused(entity) == "drivers has no join key driver_id; did you mean driverid?"


def test_a_request_column_that_is_missing_is_told() -> None:
    assert refused(frame(), request=("amount",)).startswith(
        "drivers has no request data column amount;"
    )


def test_a_target_that_is_missing_is_told_with_the_nearest() -> None:
    said = refused(frame(trips=[1, 2]), target="trip")

    assert said == "drivers has no target column trip; did you mean trips?"


def test_columns_that_are_no_text_are_no_error() -> None:
    entity = pd.DataFrame({0: [1], "event_timestamp": [AT]})

    assert "no join key driver_id" in refused(entity)


# ---------------------------------------------------------------------- timestamps


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"event_timestamp": [AT], "at": [AT]}, "event_timestamp"),
        ({"event_timestamp": ["2024-01-10"]}, "event_timestamp"),
        ({"at": [AT]}, "at"),
        ({"at": [AT.tz_localize(None)]}, "at"),
        ({"at": [AT], "b": [AT]}, None),
        ({"at": ["2024-01-10"]}, None),
        ({}, None),
    ],
)
def test_the_timestamp_column_is_feasts(columns: dict[str, Any], found: str | None) -> None:
    assert timestamp_column(pd.DataFrame(columns)) == found


def test_doubled_names_are_looked_at_by_place() -> None:
    entity = pd.DataFrame([[1, AT, 2]], columns=["a", "at", "a"])

    assert timestamp_column(entity) == "at"


# ---------------------------------------------------------------------- describe


def test_a_frame_is_described() -> None:
    entity = frame(event_timestamp=[AT, AT + timedelta(days=1)], y=[0, 1])

    assert describe(entity, ["driver_id"]) == EntityFrame(
        "dataframe",
        rows=2,
        columns=("driver_id", "event_timestamp", "y"),
        join_keys=("driver_id",),
        timestamp=Span("event_timestamp"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "values", [["2024-01-10T12:00:00Z"] * 2, [AT.tz_convert("Asia/Tokyo")] * 2, ["rubbish", AT]]
)
def test_the_span_is_in_utc_and_passes_over_what_is_no_moment(values: list[Any]) -> None:
    span = parquet.span(frame(event_timestamp=values), "event_timestamp")

    assert span.min == span.max == "2024-01-10T12:00:00+00:00"


def test_a_frame_without_a_moment_has_a_column_and_no_span() -> None:
    entity = frame(event_timestamp=pd.to_datetime([None, None], utc=True))

    assert parquet.span(entity, "event_timestamp") == Span("event_timestamp")


def test_a_query_is_kept_whole() -> None:
    query = "SELECT " + "x" * 9000

    assert describe(query, ["k"]) == EntityFrame("sql", query=query, join_keys=("k",))


def test_a_range_keeps_its_ends() -> None:
    found = describe(None, ["k"], datetime(2024, 1, 1), datetime(2024, 2, 1))

    assert found.kind == "range"
    assert (found.start, found.end) == ("2024-01-01 00:00:00", "2024-02-01 00:00:00")


def test_a_range_without_an_end_ends_when_it_was_asked_for() -> None:
    """Feast takes the moment of the call; without it the range could not be asked for again."""
    before = datetime.now(UTC)

    found = describe(None, ["k"], datetime(2024, 1, 1), None)

    assert before <= datetime.fromisoformat(str(found.end)) <= datetime.now(UTC)


def test_a_spark_frame_keeps_its_columns() -> None:
    found = describe(SimpleNamespace(columns=["a", "b"]), ["k"])

    assert (found.kind, found.rows, found.columns) == ("spark", None, ("a", "b"))


@pytest.mark.parametrize(
    ("rows", "length", "columns"),
    [
        ([{"a": 1}, {"b": 2, "a": 3}], 2, ("a", "b")),
        ([], 0, ()),
        ({"a": [1, 2, 3]}, 3, ("a",)),
        ({"a": SimpleNamespace(val=[1, 2])}, 2, ("a",)),
        ({}, 0, ()),
    ],
)
def test_the_rows_of_an_online_call_are_counted(rows: Any, length: int, columns: Any) -> None:
    found = describe_rows(rows, ["a"])

    assert (found.kind, found.rows, found.columns) == ("rows", length, columns)
    assert found.join_keys == ("a",)


# ---------------------------------------------------------------------- moments


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2024-01-31", datetime(2024, 1, 31, tzinfo=UTC)),
        ("2024-01-31T12:00", datetime(2024, 1, 31, 12, tzinfo=UTC)),
        ("2024-01-31T12:00Z", datetime(2024, 1, 31, 12, tzinfo=UTC)),
        ("2024-01-31T12:00+02:00", datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_moment_is_utc_unless_it_says_otherwise(text: str, found: datetime) -> None:
    assert moment(text) == found
    assert moment(text).tzinfo is not None


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "31.01.2024", ""])
def test_what_is_no_date_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(FeatureError, match="is not a date; write 2026-01-31"):
        moment(text)
