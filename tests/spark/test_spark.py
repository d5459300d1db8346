"""Spark as the offline store: SQL and Spark entity frames, whose rows stay with the engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feast_nb import recorder
from feast_nb.frames import fingerprint

from ..conftest import NOW, artifacts, make_repository, read_json

SETTINGS = """spark, spark_conf: {
  spark.master: "local[2]", spark.ui.enabled: "false", spark.sql.session.timeZone: UTC,
  spark.sql.shuffle.partitions: "2", spark.sql.execution.arrow.pyspark.enabled: "true",
  spark.driver.host: 127.0.0.1, spark.driver.bindAddress: 127.0.0.1}, staging_location: "{}\""""


@pytest.fixture(scope="module")
def spark_repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository whose offline store is Spark on this machine."""
    pyspark = pytest.importorskip("pyspark")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    folder = tmp_path_factory.mktemp("spark")
    repo = make_repository(
        folder / "repo",
        offline=SETTINGS.replace("{}", str(folder / "staging")),
        define=define,
    )
    yield repo
    pyspark.sql.SparkSession.builder.getOrCreate().stop()


def define(repo: Path) -> list[Any]:
    """One view over a Parquet file that Spark reads."""
    from datetime import timedelta

    from feast import Entity, FeatureService, FeatureView, Field, ValueType
    from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
    from feast.types import Float32, Int64

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    hourly = FeatureView(
        name="hourly",
        entities=[driver],
        ttl=timedelta(days=3),
        schema=[Field(name="conv_rate", dtype=Float32), Field(name="trips", dtype=Int64)],
        source=SparkSource(
            name="stats",
            path=(repo / "stats.parquet").as_uri(),
            file_format="parquet",
            timestamp_field="event_timestamp",
        ),
    )
    return [driver, hourly, FeatureService(name="activity", features=[hourly])]


@pytest.fixture
def store(spark_repo: Path, notebook) -> Any:
    return notebook.run(f"store = %feast_store {spark_repo}\nstore")


def entities() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "driver_id": [1, 2, 3],
            "event_timestamp": pd.to_datetime([NOW] * 3, utc=True).astype("datetime64[us, UTC]"),
            "y": [0.5, None, 1.5],
            "name": ["a", "b", None],
        }
    )


def session() -> Any:
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()


def kept(store: Any, run_id: str) -> dict[str, Any]:
    (found,) = read_json(store.mlflow.client, run_id, "feast/retrievals.json")["retrievals"]
    return dict(found)


def test_a_spark_frame_is_hashed_and_written_by_the_engine(store, notebook, monkeypatch) -> None:
    """Feast alone counts 0 entities and keeps nothing; collecting them here could kill the kernel."""
    from pyspark.sql import DataFrame

    notebook.run("%feast_run v1")
    run_id = notebook.run("state = %feast_run\nstate").open[0].id
    frame = session().createDataFrame(entities())
    job = store.get_historical_features(frame, store.get_feature_service("activity"))
    monkeypatch.setattr(DataFrame, "toPandas", lambda self: 1 / 0)
    assert recorder.current().recording.settle(60)
    monkeypatch.undo()
    given = job.to_df()
    notebook.run("%feast_run --end")

    found = kept(store, run_id)
    entity = found["entity"]
    assert (entity["kind"], entity["rows"]) == ("spark", 3)
    assert entity["columns"] == ["driver_id", "event_timestamp", "y", "name"]
    assert entity["fingerprint"] == fingerprint.of(entities()).digest
    assert entity["timestamp"]["min"] == entity["timestamp"]["max"] == NOW.isoformat()
    assert entity["artifact"] == "entity_df.parquet"
    assert found["result"]["rows"] == len(given) == 3

    back = store.mlflow.get_training_entity_df(run_id)
    assert fingerprint.of(back).digest == entity["fingerprint"]
    assert "entity_df.parquet/_SUCCESS" in artifacts(store.mlflow.client, run_id)


@pytest.mark.conformance("2.8")
@pytest.mark.parametrize("option", ["", "--archive-rows"])
def test_2_8_a_query_is_kept_whole_with_the_fingerprint_of_its_rows(
    store, notebook, option
) -> None:
    """Row 2.8: Feast cuts the text, counts -1, and has nothing of what the query gave."""
    session().createDataFrame(entities()).createOrReplaceTempView("asked")
    query = (
        "SELECT driver_id, event_timestamp, y, name FROM asked WHERE driver_id < 3 -- " + "x" * 6000
    )

    notebook.run(f"%feast_run v1 {option}")
    run_id = notebook.run("state = %feast_run\nstate").open[0].id
    store.get_historical_features(query, ["hourly:trips"]).to_df()
    notebook.run("%feast_run --end")

    entity = kept(store, run_id)["entity"]
    assert (entity["kind"], entity["query"], entity["rows"]) == ("sql", query, 2)
    assert sorted(entity["columns"]) == ["driver_id", "event_timestamp", "name", "y"]
    tags = store.mlflow.client.get_run(run_id).data.tags
    assert tags["feast.entity_df_query"].startswith("SELECT driver_id")
    if not option:
        assert (entity["artifact"], entity["reason"]) == (None, "archiving is off")
        return
    path = store.mlflow.client.download_artifacts(run_id, entity["artifact"])
    back = pd.read_parquet(path)
    assert sorted(back["driver_id"]) == [1, 2]
    assert fingerprint.of(back).digest == entity["fingerprint"]


def test_a_result_that_stays_with_the_engine_is_recorded_as_such(store, notebook) -> None:
    """`to_spark_df` collects nothing, and neither does the recording of it."""
    notebook.run("%feast_run v1")
    run_id = notebook.run("state = %feast_run\nstate").open[0].id
    frame = store.get_historical_features(entities(), ["hourly:trips"]).to_spark_df()
    notebook.run("%feast_run --end")

    assert frame.count() == 3
    found = kept(store, run_id)
    assert (found["state"], found["result"]) == ("ran", None)
    assert found["entity"]["fingerprint"] == fingerprint.of(entities()).digest


def test_a_result_that_is_written_where_spark_stages_is_read_from_there(store, notebook) -> None:
    notebook.run("%feast_run v1")
    run_id = notebook.run("state = %feast_run\nstate").open[0].id
    job = store.get_historical_features(entities(), ["hourly:trips"])
    paths = job.to_remote_storage()
    notebook.run("%feast_run --end")

    found = kept(store, run_id)
    assert found["state"] == "ran"
    assert found["kept"] == str(Path(paths[0]).parent)
    assert found["result"]["rows"] == 3
    back = pd.concat([pd.read_parquet(p) for p in paths if p.endswith(".parquet")])
    assert found["result"]["fingerprint"] == fingerprint.of(back).digest


@pytest.mark.parametrize("option", ["", "--archive-rows"])
def test_a_query_is_asked_again_and_proven_the_same(store, notebook, option) -> None:
    """With its rows kept they are used: the table may hold others by then."""
    session().createDataFrame(entities()).createOrReplaceTempView("asked")
    query = "SELECT driver_id, event_timestamp, y, name FROM asked"
    run = notebook.run(f"%feast_run v1 {option}")
    store.get_historical_features(query, store.get_feature_service("activity")).to_df()
    notebook.run("%feast_run --end")

    again = notebook.run(f"%feast_reproduce {run.id} --verify")
    assert again.verdict in ("identical", "reordered")
    session().createDataFrame(entities()[:2]).createOrReplaceTempView("asked")
    later = notebook.run(f"%feast_reproduce {run.id} --verify")
    if option:
        assert later.verdict in ("identical", "reordered")
    else:
        assert (later.verdict, later.missing) == ("different", 1)


def test_a_spark_frame_is_taken_from_its_copy_again(store, notebook) -> None:
    run = notebook.run("%feast_run v1")
    frame = session().createDataFrame(entities())
    store.get_historical_features(frame, store.get_feature_service("activity")).to_df()
    notebook.run("%feast_run --end")

    again = notebook.run(f"%feast_reproduce {run.id} --verify")

    assert again.verdict in ("identical", "reordered")
