"""Rows that did not come back, how many of which kind; and values that came too early."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Int64

from feast_nb.integrations.feast import point_in_time
from feast_nb.integrations.feast.point_in_time import dropped, late_values
from feast_nb.integrations.feast.views import View
from feast_nb.records.retrieval import DroppedRows

STALE, FUTURE = "older than the TTL", "only values later than asked for"
TWICE, DOUBLED = (
    "the same key and timestamp asked for twice",
    "the source has several values for one moment",
)
NOTHING = "no value within the TTL at that time"
UNKNOWN = "why is not known"


def rows(*pairs: tuple[Any, str], key: str = "driver_id") -> pd.DataFrame:
    """Keys and days of January 2024."""
    return pd.DataFrame(
        {
            key: [k for k, _ in pairs],
            "event_timestamp": pd.to_datetime([f"2024-01-{d}" for _, d in pairs], utc=True),
        }
    )


def view(path: Path, frame: pd.DataFrame, *, ttl: int = 3, key: str = "driver_id") -> Any:
    """A feature view over a Parquet file of keys and times."""
    frame.rename(columns={"event_timestamp": "at"}).to_parquet(path)
    return view_of(FileSource(path=str(path), timestamp_field="at"), ttl=ttl, key=key)


def view_of(source: Any, *, ttl: int = 3, key: str = "driver_id") -> View:
    """A feature view over a source, or over none."""
    entity = Entity(name="driver", join_keys=[key])
    made = FeatureView(
        name="hourly",
        entities=[entity],
        ttl=timedelta(days=ttl),
        schema=[Field(name=key, dtype=Int64)],
        source=source,
    )
    return View("hourly", "batch", made.to_proto())


def told(asked: pd.DataFrame, given: Any, views: list[Any] | None = None, **more: Any) -> set[Any]:
    found = dropped(asked, given, more.get("keys", ["driver_id"]), "event_timestamp", views or [])
    assert sum(loss.rows for loss in found) == len(asked) - len(given)
    return {(loss.rows, loss.why) for loss in found}


def test_nothing_lost_is_nothing_said() -> None:
    asked = rows((1, "10"), (2, "10"))

    assert told(asked, asked.iloc[::-1]) == set()


def test_values_older_than_the_ttl(tmp_path: Path) -> None:
    source = view(tmp_path / "s", rows((1, "01"), (2, "09")))

    assert told(rows((1, "10"), (2, "10")), rows((2, "10")), [source]) == {(1, STALE)}


def test_a_value_exactly_as_old_as_the_ttl_is_not_too_old(tmp_path: Path) -> None:
    source = view(tmp_path / "s", rows((1, "07")))

    assert told(rows((1, "10")), rows(), [source]) == {(1, UNKNOWN)}


def test_values_that_come_later(tmp_path: Path) -> None:
    source = view(tmp_path / "s", rows((1, "11")))

    assert told(rows((1, "10")), rows(), [source]) == {(1, FUTURE)}


def test_a_key_that_no_source_knows(tmp_path: Path) -> None:
    source = view(tmp_path / "s", rows((2, "10")))

    assert told(rows((1, "10")), rows(), [source]) == {(1, NOTHING)}


def test_each_kind_has_a_line_of_its_own(tmp_path: Path) -> None:
    source = view(tmp_path / "s", rows((1, "01"), (2, "20"), (3, "10"), (5, "01")))
    asked = rows((1, "10"), (5, "10"), (2, "10"), (3, "10"), (4, "10"))

    found = told(asked, rows((3, "10")), [source])

    assert found == {(2, STALE), (1, FUTURE), (1, NOTHING)}


def test_a_row_asked_for_twice_that_came_once() -> None:
    asked = rows((1, "10"), (1, "10"), (1, "11"))

    assert told(asked, rows((1, "10"), (1, "11"))) == {(1, TWICE)}


def test_a_row_asked_for_twice_that_never_came_is_gone_twice() -> None:
    assert told(rows((1, "10"), (1, "10")), rows()) == {(2, UNKNOWN)}


def test_rows_that_came_several_times_are_negative() -> None:
    asked = rows((1, "10"))

    assert told(asked, rows((1, "10"), (1, "10"), (1, "10"))) == {(-2, DOUBLED)}


def test_rows_gone_and_rows_doubled_do_not_cancel_out() -> None:
    found = told(rows((1, "10"), (2, "10")), rows((1, "10"), (1, "10")))

    assert found == {(-1, DOUBLED), (1, UNKNOWN)}


def test_the_second_view_explains_what_the_first_does_not(tmp_path: Path) -> None:
    first = view(tmp_path / "a", rows((1, "10"), (2, "09")))
    second = view(tmp_path / "b", rows((1, "10"), (2, "01")))

    assert told(rows((1, "10"), (2, "10")), rows((1, "10")), [first, second]) == {(1, STALE)}


def test_without_a_ttl_nothing_is_too_old(tmp_path: Path) -> None:
    source = view(tmp_path / "s", rows((1, "01")), ttl=0)

    assert told(rows((1, "10")), rows(), [source]) == {(1, UNKNOWN)}


def test_several_keys_tell_rows_apart() -> None:
    asked = pd.concat([rows((1, "10")).assign(shop=s) for s in "ab"])
    given = asked.iloc[:1]

    assert told(asked, given, keys=["driver_id", "shop"]) == {(1, UNKNOWN)}


def test_an_arrow_table_is_as_good_as_a_frame() -> None:
    given = pa.Table.from_pandas(rows((1, "10")))

    assert told(rows((1, "10"), (2, "10")), given) == {(1, UNKNOWN)}


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
def test_the_unit_and_zone_of_timestamps_do_not_matter(unit: str) -> None:
    asked = rows((1, "10"), (2, "10"))
    given = asked.assign(event_timestamp=asked["event_timestamp"].dt.tz_convert("Asia/Tokyo"))
    asked["event_timestamp"] = (
        asked["event_timestamp"].dt.tz_localize(None).astype(f"datetime64[{unit}]")
    )

    assert told(asked, given.iloc[:1]) == {(1, UNKNOWN)}


def test_timestamps_as_text_are_moments() -> None:
    asked = pd.DataFrame({"driver_id": [1, 2], "event_timestamp": ["2024-01-10", "2024-01-10"]})

    assert told(asked, rows((1, "10"))) == {(1, UNKNOWN)}


def test_missing_keys_are_told_apart_too() -> None:
    asked = rows((1.0, "10"), (None, "10"))

    assert told(asked, rows((1.0, "10"))) == {(1, "driver_id is null")}


def test_a_result_without_the_keys_says_so() -> None:
    given = pd.DataFrame({"x": [1]})

    assert told(rows((1, "10"), (2, "10")), given) == {
        (1, "the result has not the keys to tell which")
    }


@pytest.mark.parametrize("path", ["/gone.parquet", "s3://bucket/x", ""])
def test_a_source_out_of_reach_is_passed_over(path: str) -> None:
    out_of_reach = view_of(FileSource(path=path, timestamp_field="at"), ttl=0)

    assert told(rows((1, "10")), rows(), [out_of_reach]) == {(1, UNKNOWN)}


def test_a_view_without_a_source_is_passed_over() -> None:
    assert told(rows((1, "10")), rows(), [view_of(None)]) == {(1, UNKNOWN)}


def test_a_source_whose_columns_have_other_names_is_read_by_its_mapping(tmp_path: Path) -> None:
    path = tmp_path / "s"
    view(path, rows((1, "01"), key="driver_no"))
    mapping = {"driver_no": "driver_id"}
    source = view_of(FileSource(path=str(path), timestamp_field="at", field_mapping=mapping))

    assert told(rows((1, "10")), rows(), [source]) == {(1, STALE)}


def test_keys_of_another_type_than_the_sources_are_no_error(tmp_path: Path) -> None:
    source = view(tmp_path / "s", rows(("1", "01")))

    assert told(rows((1, "10")), rows(), [source]) == {(1, UNKNOWN)}


@pytest.mark.parametrize("key", ["asked", "__at", "count"])
def test_a_key_may_have_any_name(key: str, tmp_path: Path) -> None:
    source = view(tmp_path / "s", rows((1, "01"), key=key), key=key)

    assert told(rows((1, "10"), key=key), rows(key=key), [source], keys=[key]) == {(1, STALE)}


def test_many_rows_are_only_counted(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(point_in_time, "_MOST", 1)
    monkeypatch.setattr(point_in_time, "_source_rows", lambda *_: pytest.fail("looked up"))
    source = view(tmp_path / "s", rows((1, "01")))

    assert told(rows((1, "10"), (2, "10")), rows(), [source]) == {
        (2, "too many to look each of them up")
    }


def test_the_users_frames_stay_as_they_are(tmp_path: Path) -> None:
    asked, given = rows((1, "10"), (2, "10")), rows((1, "10"))
    before = asked.copy(), given.copy()

    dropped(asked, given, ["driver_id"], "event_timestamp", [view(tmp_path / "s", rows((2, "01")))])

    assert asked.equals(before[0])
    assert given.equals(before[1])


def test_a_loss_is_a_plain_record() -> None:
    (loss,) = dropped(rows((1, "10")), rows(), ["driver_id"], "event_timestamp", [])

    assert isinstance(loss, DroppedRows)
    assert type(loss.rows) is int


# ---------------------------------------------------------------------- values of later


def scored(path: Path, *events: tuple[int, str, float, str | None], created: bool = False) -> View:
    """A view `hourly` of `score`: (driver, day, score, the day when it was written)."""
    frame = rows(*((driver, day) for driver, day, _, _ in events))
    frame = frame.rename(columns={"event_timestamp": "at"}).assign(score=[e[2] for e in events])
    if created:
        frame["made"] = pd.to_datetime([f"2024-01-{e[3]}" for e in events], utc=True)
    frame.to_parquet(path)
    return view_of(FileSource(path=str(path), timestamp_field="at",
                              created_timestamp_column="made" if created else ""))  # fmt: skip


def given(*values: tuple[int, str, float | None]) -> pd.DataFrame:
    return rows(*((driver, day) for driver, day, _ in values)).assign(score=[v[2] for v in values])


def late(result: Any, view: View, created: bool = False, keys: Any = ("driver_id",)) -> list[Any]:
    found = late_values(result, {"score": "hourly:score"}, keys, "event_timestamp",
                        {"hourly": view}, None, created)  # fmt: skip
    return [(one.rows, one.looked_at, one.by) for one in found]


EVENTS = ((1, "01", 0.1, "01"), (1, "05", 0.5, "20"), (1, "09", 0.9, "09"), (2, "04", 2.0, "04"))


@pytest.mark.parametrize("as_table", [False, True])
def test_a_value_of_its_own_moment_is_not_late(tmp_path: Path, as_table: bool) -> None:
    view = scored(tmp_path / "s", *EVENTS)
    result = given((1, "06", 0.5), (1, "02", 0.1), (2, "04", 2.0), (2, "01", None), (7, "06", None))
    result["score"] = result["score"].astype("float32")

    assert late(pa.Table.from_pandas(result) if as_table else result, view) == []


def test_a_value_that_the_source_has_for_a_later_moment_only_is_late(tmp_path: Path) -> None:
    view = scored(tmp_path / "s", *EVENTS)

    assert late(given((1, "06", 0.9), (1, "10", 0.9), (2, "01", 2.0)), view) == [(2, 3, "event")]


def test_a_value_that_is_nowhere_in_the_source_is_nobodys(tmp_path: Path) -> None:
    """The source was written anew, say: nothing is known of it."""
    assert late(given((1, "06", 7.7)), scored(tmp_path / "s", *EVENTS)) == []


def test_a_value_that_comes_again_later_is_not_late(tmp_path: Path) -> None:
    view = scored(tmp_path / "s", (1, "01", 1.0, None), (1, "09", 1.0, None))

    assert late(given((1, "06", 1.0)), view) == []


def test_of_two_values_for_one_moment_either_was_known(tmp_path: Path) -> None:
    """A restated row, and one that is left out by when it was written."""
    view = scored(tmp_path / "s", (1, "02", 1.0, "03"), (1, "02", 0.0, "02"), (1, "05", 1.0, "05"),
                  (2, "01", 10.0, "01"), (2, "02", 12.0, "20"), (2, "09", 10.0, "09"),
                  created=True)  # fmt: skip

    assert late(given((1, "04", 1.0), (1, "04", 0.0), (2, "04", 10.0)), view) == []


def test_an_event_at_the_very_moment_is_known_then(tmp_path: Path) -> None:
    view = scored(tmp_path / "s", (1, "01", 0.1, None), (1, "05", 1.0, None), (1, "09", 1.0, None))

    assert late(given((1, "05", 1.0)), view) == []


def test_a_value_that_was_written_later_is_told_where_that_is_asked(tmp_path: Path) -> None:
    view = scored(tmp_path / "s", *EVENTS, created=True)
    result = given((1, "06", 0.5), (1, "10", 0.9), (1, "25", 0.9))

    assert late(result, view) == []
    assert late(result, view, created=True) == [(1, 3, "created")]


def test_two_hundred_rows_of_many_are_looked_up(tmp_path: Path) -> None:
    view = scored(tmp_path / "s", *EVENTS)
    many = pd.concat([given((1, "06", 0.9))] * 10_001, ignore_index=True)

    ((number, looked, _),) = late(many, view)
    assert number == looked == 197  # every 51st


def test_keys_that_a_service_renames_are_looked_up_by_their_own_name(tmp_path: Path) -> None:
    plain = scored(tmp_path / "s", *EVENTS)
    view = View("best", plain.kind, plain.message, join_key_map={"driver_id": "best_id"})
    result = given((1, "06", 0.9)).rename(columns={"driver_id": "best_id"})
    found = late_values(result, {"score": "best:score"}, ["best_id"], "event_timestamp",
                        {"best": view}, None)  # fmt: skip

    assert [(one.view, one.rows) for one in found] == [("best", 1)]


@pytest.mark.parametrize("path", ["/gone.parquet", "s3://bucket/x"])
def test_a_source_that_is_not_here_says_nothing(path: str) -> None:
    view = view_of(FileSource(path=path, timestamp_field="at"))

    assert late(given((1, "06", 0.9)), view) == []


def test_a_large_source_is_not_read_for_it(tmp_path: Path, monkeypatch) -> None:
    view = scored(tmp_path / "s", *EVENTS)
    monkeypatch.setattr(point_in_time, "_LARGE", 3)

    assert late(given((1, "06", 0.9)), view) == []
