"""Feast alone and with feast_nb, group 2: entity frames as they were, and training frames that can be had again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ..conftest import NOW, artifacts, make_repository
from .conftest import change_yaml, retrievals_of, tags_of

UNTIL = datetime(2024, 1, 5, tzinfo=UTC)


def dasked(folder: Path):
    """A store that takes dates instead of an entity frame."""
    from feast import FeatureStore

    make_repository(folder, offline="file")
    change_yaml(folder, "sqlite:///mlflow.db", f"sqlite:///{folder}/mlflow.db")
    return FeatureStore(repo_path=str(folder))


def in_a_range(store, **dates):
    """A run that retrieves by dates; its id, and the frame that came."""
    with store.mlflow.start_run() as run:
        frame = store.get_historical_features(features=["hourly:trips"], **dates).to_df()
    return run.info.run_id, frame


@pytest.mark.conformance("2.9")
@pytest.mark.parametrize("start", [datetime(2024, 1, 2, tzinfo=UTC), None], ids=["from", "until"])
def test_2_9_a_range_of_dates_has_its_rows_and_can_be_asked_again(tmp_path, load, start) -> None:
    """No entity frame, but dates: Feast counts 0 entities whatever came back.

    Right is the number and a fingerprint of the entity rows that came, and dates that give the
    same frame again.
    """
    dates = {"end_date": UNTIL} | ({"start_date": start} if start else {})
    alone = dasked(tmp_path / "alone")
    run_id, frame = in_a_range(alone, **dates)
    assert tags_of(alone, run_id)["feast.entity_count"] == "0", "Feast alone"
    assert len(frame) > 0

    load.bare()
    store = dasked(tmp_path / "ours")
    run_id, frame = in_a_range(store, **dates)

    (kept,) = retrievals_of(store, run_id)
    entity = kept["entity"]
    assert (entity["kind"], entity["rows"]) == ("range", len(frame))
    assert sorted(entity["columns"]) == ["driver_id", "event_timestamp"]
    assert entity["join_keys"] == ["driver_id"]
    assert kept["result"]["rows"] == len(frame)
    assert tags_of(store, run_id)["feast.entity_count"] == str(len(frame))
    assert entity["fingerprint"]

    again = {
        f"{which}_date": datetime.fromisoformat(entity[which])
        for which in ("start", "end")
        if entity[which]
    }
    assert again == dates
    other, _ = in_a_range(store, **again)
    (same,) = retrievals_of(store, other)
    assert same["entity"]["fingerprint"] == entity["fingerprint"]
    assert same["result"]["fingerprint"] == kept["result"]["fingerprint"]
    later, _ = in_a_range(store, **{**dates, "end_date": datetime(2024, 1, 4, tzinfo=UTC)})
    (less,) = retrievals_of(store, later)
    assert less["entity"]["fingerprint"] != entity["fingerprint"]


@pytest.mark.conformance("2.9")
def test_2_9_a_range_without_an_end_says_where_it_ended(tmp_path, load) -> None:
    """No end given: Feast takes the moment of the call, and says so in its tag.

    Right is that moment in the record too, or the range cannot be asked for again.
    """
    start = datetime(2024, 1, 2, tzinfo=UTC)
    alone = dasked(tmp_path / "alone")
    run_id, _ = in_a_range(alone, start_date=start)
    assert tags_of(alone, run_id)["feast.end_date"], "Feast alone"

    load.bare()
    store = dasked(tmp_path / "ours")
    run_id, frame = in_a_range(store, start_date=start)

    (kept,) = retrievals_of(store, run_id)
    assert kept["entity"]["rows"] == len(frame)
    assert kept["entity"]["end"] is not None, "the record cannot be asked for again"
    end = datetime.fromisoformat(kept["entity"]["end"]).astimezone(UTC)
    made = datetime.fromisoformat(kept["at"])
    assert abs((end - made).total_seconds()) < 60
    assert tags_of(store, run_id)["feast.end_date"] == kept["entity"]["end"]


@pytest.mark.conformance("2.9")
def test_2_9_asking_for_the_rows_of_a_range_names_the_reason(tmp_path, load) -> None:
    """`get_training_entity_df` of such a run raises; right is that it says why there is none."""
    from feast.mlflow_integration import FeastMlflowEntityDfError

    load.bare()
    store = dasked(tmp_path / "ours")
    run_id, _ = in_a_range(store, end_date=UNTIL)

    with pytest.raises(FeastMlflowEntityDfError) as refused:
        store.mlflow.get_training_entity_df(run_id)
    said = "\n".join(getattr(refused.value, "__notes__", ()))
    assert said == "feast_nb: the entity frame was not archived: archiving is off"


@pytest.mark.conformance("2.9")
def test_2_9_the_rows_of_a_range_are_kept_where_asked(tmp_path, load) -> None:
    """`--archive-rows`: the entity rows that came back are an artifact of the run."""
    book = load.bare()
    store = dasked(tmp_path / "ours")
    book.run(f"%feast_store {store.repo_path}")
    summary = book.run(
        "%%feast_train v1 --features hourly:trips --start 2024-01-02 --end 2024-01-05 "
        "--archive-rows\nasked = training_df[['driver_id', 'event_timestamp']]"
    )

    run_id, asked = summary.run.id, book.space["asked"]
    (kept,) = retrievals_of(store, run_id)
    local = store.mlflow.client.download_artifacts(run_id, kept["entity"]["artifact"])
    back = pd.read_parquet(local)
    assert len(back) == len(asked) > 0
    pd.testing.assert_frame_equal(
        back[["driver_id", "event_timestamp"]], asked.reset_index(drop=True), check_dtype=False
    )
    assert (kept["entity"]["reason"], kept["entity"]["changed"]) == (None, [])


@pytest.mark.conformance("2.9")
def test_2_9_feasts_call_finds_the_rows_of_a_range_that_are_kept(tmp_path, load) -> None:
    """With `--archive-rows` the run has the rows, and `get_training_entity_df` gives them."""
    book = load.bare()
    store = dasked(tmp_path / "ours")
    book.run(f"%feast_store {store.repo_path}")
    summary = book.run(
        "%%feast_train v1 --features hourly:trips --start 2024-01-02 --end 2024-01-05 "
        "--archive-rows\n1"
    )

    (kept,) = retrievals_of(store, summary.run.id)
    back = store.mlflow.get_training_entity_df(summary.run.id)
    assert len(back) == kept["entity"]["rows"] > 0


def entity_frame(**changes) -> pd.DataFrame:
    columns = {"driver_id": [1, 2, 3], "event_timestamp": [NOW] * 3} | changes
    return pd.DataFrame(columns)


def _new_york() -> pd.DataFrame:
    frame = entity_frame()
    frame["event_timestamp"] = frame["event_timestamp"].dt.tz_convert("America/New_York")
    return frame


def _categories() -> pd.DataFrame:
    kinds = pd.Categorical(["b", "a", None], categories=["c", "b", "a"], ordered=True)
    return entity_frame(kind=kinds)


FRAMES = {
    "named string index": lambda: entity_frame().set_index(
        pd.Index(["x", "y", "z"], name="trip"), append=False
    ),
    "non-unique index": lambda: entity_frame().set_axis([5, 5, 1]),
    "categorical": _categories,
    "New York": _new_york,
    "naive": lambda: entity_frame(event_timestamp=[NOW.tz_localize(None)] * 3),
    "zero rows": lambda: entity_frame().iloc[:0],
    "missing values": lambda: entity_frame(y=[1.0, np.nan, 3.0], note=["a", None, ""]),
    "small integers": lambda: entity_frame(driver_id=pd.array([1, 2, 3], dtype="Int32")),
}


@pytest.mark.conformance("2.11")
@pytest.mark.parametrize("make", list(FRAMES.values()), ids=list(FRAMES))
def test_2_11_an_entity_frame_is_archived_as_it_was(load, make) -> None:
    """Index, types and time zones: what the run keeps is the frame that was asked with.

    Feast drops a named string index, and stores naive and New York times as UTC.
    """
    store = load()
    frame = make()
    given = frame.copy(deep=True)
    with store.mlflow.start_run() as run:
        store.get_historical_features(given, ["hourly:conv_rate"]).to_df()
    run_id = run.info.run_id
    pd.testing.assert_frame_equal(given, frame)  # neither Feast nor we touch the user's own

    entity = retrievals_of(store, run_id)[0]["entity"]
    assert (entity["artifact"], entity["reason"]) == ("entity_df.parquet", None)
    back = pd.read_parquet(store.mlflow.client.download_artifacts(run_id, entity["artifact"]))
    pd.testing.assert_frame_equal(back, frame)
    assert entity["changed"] == []
    assert entity["rows"] == len(frame)
    assert entity["columns"] == list(frame.columns)
    assert tags_of(store, run_id)["feast_nb.entity_archived"] == "true"
    moment = None if frame.empty else NOW.isoformat()
    assert entity["timestamp"] == {"column": "event_timestamp", "min": moment, "max": moment}
    again = store.mlflow.get_training_entity_df(run_id)
    assert again["driver_id"].tolist() == frame["driver_id"].tolist()


@pytest.mark.conformance("2.11")
@pytest.mark.parametrize(
    ("make", "native"),
    [
        (FRAMES["named string index"], "index"),
        (FRAMES["New York"], "datetime64[ns, UTC]"),
        (FRAMES["naive"], "datetime64[ns, UTC]"),
    ],
    ids=["named string index", "New York", "naive"],
)
def test_2_11_feast_alone_archives_another_frame(alone, make, native) -> None:
    """The control of the test above."""
    frame = make()
    with alone.mlflow.start_run() as run:
        alone.get_historical_features(frame.copy(), ["hourly:conv_rate"]).to_df()
    local = alone.mlflow.client.download_artifacts(run.info.run_id, "entity_df.parquet")
    back = pd.read_parquet(local)

    if native == "index":
        assert back.index.tolist() == [0, 1, 2]
        assert "trip" not in back.columns
    else:
        assert str(back["event_timestamp"].dtype) == native


@pytest.mark.conformance("2.11")
def test_2_11_an_integer_column_name_is_kept_or_said_to_be_changed(tmp_path, load) -> None:
    """A column called 7: Feast writes no `entity_df_columns`, and the column comes back as '7'.

    Right is the tag, and the same frame, or a record that says what is different. (The DuckDB
    store takes no such frame.)
    """
    frame = entity_frame().assign(**{"7": [1, 2, 3]}).rename(columns={"7": 7})

    def ask(store):
        with store.mlflow.start_run() as run:
            store.get_historical_features(frame.copy(), ["hourly:conv_rate"]).to_df()
        return run.info.run_id

    alone = dasked(tmp_path / "alone")
    assert "feast.entity_df_columns" not in tags_of(alone, ask(alone)), "Feast alone"

    load.bare()
    store = dasked(tmp_path / "ours")
    run_id = ask(store)

    tags = tags_of(store, run_id)
    assert tags["feast.entity_df_columns"] == "driver_id,event_timestamp,7"
    entity = retrievals_of(store, run_id)[0]["entity"]
    assert entity["artifact"] == "entity_df.parquet"
    back = pd.read_parquet(store.mlflow.client.download_artifacts(run_id, entity["artifact"]))
    assert list(back.columns) == ["driver_id", "event_timestamp", "7"]
    assert entity["changed"] == ["column names: 7 is '7'"]


@pytest.mark.conformance("2.11")
def test_2_11_another_timestamp_column_needs_no_word(alone, load) -> None:
    """A timestamp column called `as_of`: `get_training_entity_df` raises by default.

    Right is that the run knows its name.
    """
    from feast.mlflow_integration import FeastMlflowEntityDfError

    frame = entity_frame().rename(columns={"event_timestamp": "as_of"})

    def ask(store):
        with store.mlflow.start_run() as run:
            store.get_historical_features(frame.copy(), ["hourly:conv_rate"]).to_df()
        return run.info.run_id

    run_id = ask(alone)
    with pytest.raises(FeastMlflowEntityDfError, match="event_timestamp"):
        alone.mlflow.get_training_entity_df(run_id)

    store = load()
    run_id = ask(store)

    pd.testing.assert_frame_equal(store.mlflow.get_training_entity_df(run_id), frame)
    assert tags_of(store, run_id)["feast_nb.timestamp_column"] == "as_of"
    entity = retrievals_of(store, run_id)[0]["entity"]
    assert entity["timestamp"] == {
        "column": "as_of",
        "min": NOW.isoformat(),
        "max": NOW.isoformat(),
    }
    with pytest.raises(FeastMlflowEntityDfError, match="other"):
        store.mlflow.get_training_entity_df(run_id, timestamp_column="other")


def fails(store, frame: pd.DataFrame) -> tuple[str, str]:
    """A run whose retrieval fails; its id, and the error that the user sees."""
    problem = ""
    with store.mlflow.start_run() as run:
        try:
            store.get_historical_features(frame.copy(), ["hourly:conv_rate"]).to_df()
        except Exception as raised:
            problem = f"{type(raised).__name__}: {raised}"
    return run.info.run_id, problem


def names_of_feast(store, run_id: str) -> set[str]:
    return {k for k in tags_of(store, run_id) if k.startswith("feast.")}


@pytest.mark.conformance("2.11")
def test_2_11_a_column_that_feast_cannot_convert_leaves_no_tags(alone, load) -> None:
    """A column of mixed types: the read fails, and Feast has written its tags by then.

    Right is the user's error, a record that it failed, and no tags of features.
    """
    frame = entity_frame(y=[1, "b", None])
    run_id, native = fails(alone, frame)
    assert "Conversion failed for column y" in native
    assert "feast.feature_refs" in names_of_feast(alone, run_id), "Feast alone"

    store = load()
    run_id, ours = fails(store, frame)

    assert ours == native
    assert names_of_feast(store, run_id) == {"feast.project"}
    (kept,) = retrievals_of(store, run_id)
    assert (kept["state"], kept["result"]) == ("failed", None)
    assert "Conversion failed for column y" in kept["error"]
    assert (kept["entity"]["artifact"], kept["entity"]["rows"]) == (None, 3)
    assert kept["entity"]["reason"].startswith("Parquet cannot hold it: ")
    assert kept["entity"]["fingerprint"]


@pytest.mark.conformance("2.11")
def test_2_11_a_doubled_column_is_feasts_own_error(alone, load) -> None:
    """Feast refuses such a frame before there is a job: the same error, and no record of it."""
    frame = entity_frame(y=[1, 2, 3])
    frame = pd.concat([frame, frame[["y"]]], axis=1)
    _, native = fails(alone, frame)
    assert "Duplicate column names" in native

    store = load()
    run_id, ours = fails(store, frame)

    assert ours == native
    assert names_of_feast(store, run_id) == {"feast.project"}
    assert artifacts(store.mlflow.client, run_id) == {}
