"""PostgreSQL as the offline store: what is asked of it, with frames and with SQL, is recorded whole."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from feast_nb.frames import fingerprint

from ..conftest import NOW, artifacts, make_repository, records_of, stats
from .servers import Postgres

PASSWORD = "the-password-of-features"
TYPES = {"driver_id": "bigint", "event_timestamp": "timestamptz", "conv_rate": "real",
         "acc_rate": "real", "trips": "bigint"}  # fmt: skip
QUERY = "SELECT driver_id, event_timestamp, y, city FROM asked ORDER BY driver_id"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A database of features that asks for a password."""
    folder = tmp_path_factory.mktemp("offline")
    for each in (folder, *folder.parents[:2]):  # its owner goes through them
        each.chmod(0o711)
    server = Postgres(folder, ("features",), PASSWORD)
    server.start()
    try:
        fill(server, "stats", stats(), TYPES)
        yield server
    finally:
        server.end()


def fill(server: Postgres, table: str, frame: pd.DataFrame, types: dict[str, str]) -> None:
    """A table anew, with the rows of a frame."""
    columns = ", ".join(f"{name} {kind}" for name, kind in types.items())
    rows = frame[list(types)].astype(object).where(frame[list(types)].notna(), None)
    with server.connect("features") as c, c.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
        cursor.execute(f"CREATE TABLE {table} ({columns})")
        places = ", ".join(["%s"] * len(types))
        cursor.executemany(f"INSERT INTO {table} VALUES ({places})", rows.values.tolist())


def define(_: Path) -> list[Any]:
    from feast import Entity, FeatureService, FeatureView, Field, ValueType
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
        PostgreSQLSource,
    )
    from feast.types import Float32, Int64

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    hourly = FeatureView(
        name="hourly",
        entities=[driver],
        ttl=timedelta(days=3650),
        schema=[Field(name="conv_rate", dtype=Float32), Field(name="acc_rate", dtype=Float32),
                Field(name="trips", dtype=Int64)],
        source=PostgreSQLSource(
            name="stats", table="public.stats", timestamp_field="event_timestamp"
        ),
    )  # fmt: skip
    return [driver, hourly, FeatureService(name="activity", features=[hourly])]


@pytest.fixture(scope="module")
def postgres_repo(
    database: Postgres, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    settings = (
        f"postgres, host: 127.0.0.1, port: {database.port}, database: features, user: feast, "
        f"password: {PASSWORD}, sslmode: disable"
    )
    folder = tmp_path_factory.mktemp("postgres") / "repo"
    repo = make_repository(folder, offline=settings, define=define)
    shutil.copy(template / "mlflow.db", repo)
    return repo


@pytest.fixture
def store(postgres_repo: Path, database: Postgres, notebook: Any) -> Any:
    asked = {"driver_id": "bigint", "event_timestamp": "timestamptz", "y": "float8", "city": "text"}
    fill(database, "stats", stats(), TYPES)
    fill(database, "asked", entities(), asked)
    return notebook.run(f"store = %feast_store {postgres_repo}\nstore")


def entities() -> pd.DataFrame:
    """One driver's label is not known, one's city neither, and one has no features."""
    return pd.DataFrame(
        {
            "driver_id": [1, 2, 3, 99],
            "event_timestamp": [NOW, NOW, NOW - pd.Timedelta("3d"), NOW],
            "y": [0.5, None, 1.5, 2.5],
            "city": ["a", "b", None, "d"],
        }
    )


def recorded(store: Any, run_id: str) -> dict[str, Any]:
    """The run's only retrieval; nothing that the run keeps names the password."""
    client = store.mlflow.client
    for path in artifacts(client, run_id):
        assert PASSWORD.encode() not in Path(client.download_artifacts(run_id, path)).read_bytes()
    assert PASSWORD not in json.dumps(client.get_run(run_id).to_dictionary())
    (found,) = records_of(client, run_id)
    return found


def test_a_frame_is_recorded_as_elsewhere(store: Any, notebook: Any) -> None:
    run = notebook.run("%feast_run v1")
    given = store.get_historical_features(entities(), store.get_feature_service("activity")).to_df()
    notebook.run("%feast_run --end")

    found = recorded(store, run.id)
    assert found["refs"] == ["hourly:conv_rate", "hourly:acc_rate", "hourly:trips"]
    assert (found["service"], found["project"], found["state"]) == ("activity", "drivers", "ran")
    assert [view["name"] for view in found["views"]] == ["hourly"]
    source = {key: value for key, value in found["sources"][0].items() if value is not None}
    assert source == {"name": "stats", "kind": "PostgreSQLSource", "table": "public.stats"}
    entity = found["entity"]
    assert (entity["kind"], entity["rows"]) == ("dataframe", 4)
    assert entity["fingerprint"] == fingerprint.of(entities()).digest
    result = found["result"]
    assert (result["rows"], result["dropped"]) == (4, 0)
    whole = {"trips": pa.int64()}  # a gap makes floats of them in pandas
    assert result["fingerprint"] == fingerprint.of(given, whole).digest
    assert {c["name"]: c["nulls"] for c in result["columns"]}["trips"] == 1


@pytest.mark.conformance("2.8")
@pytest.mark.parametrize("option", ["", "--archive-rows"])
def test_2_8_a_query_is_kept_whole_with_what_it_gave(
    store: Any, notebook: Any, database: Postgres, option: str
) -> None:
    """Row 2.8: Feast cuts the text, counts -1, and has nothing of what the query gave."""
    query = f"{QUERY} /* {'x' * 6000} */"
    run = notebook.run(f"%feast_run v1 {option}")
    given = store.get_historical_features(query, ["hourly:trips"]).to_df()
    notebook.run("%feast_run --end")

    found = recorded(store, run.id)
    entity = found["entity"]
    assert (entity["kind"], entity["query"], entity["rows"]) == ("sql", query, 4)
    assert entity["columns"] == ["driver_id", "event_timestamp", "y", "city"]
    assert entity["fingerprint"] == fingerprint.of(given[entity["columns"]]).digest
    assert found["result"]["rows"] == 4

    again = notebook.run(f"%feast_reproduce {run.id} --verify")
    assert again.verdict in ("identical", "reordered"), again.notes
    with database.connect("features") as c:
        c.execute("DELETE FROM asked WHERE driver_id = 2")
    later = notebook.run(f"%feast_reproduce {run.id} --verify")
    if option:  # with its rows kept, they are used
        assert later.verdict in ("identical", "reordered"), later.notes
    else:
        assert (later.verdict, later.missing) == ("different", 1)


def test_a_frame_is_asked_again_and_another_value_is_found(
    store: Any, notebook: Any, database: Postgres
) -> None:
    run = notebook.run("%feast_run v1")
    store.get_historical_features(entities(), ["hourly:trips"]).to_df()
    notebook.run("%feast_run --end")

    again = notebook.run(f"%feast_reproduce {run.id} --verify")
    assert again.verdict in ("identical", "reordered"), again.notes
    with database.connect("features") as c:
        c.execute("UPDATE stats SET trips = trips + 1 WHERE driver_id = 1")
    assert notebook.run(f"%feast_reproduce {run.id} --verify").verdict == "different"


@pytest.mark.parametrize("asked", ["frame", "query"])
def test_a_model_is_trained_scored_as_of_and_served(
    store: Any, notebook: Any, database: Postgres, asked: str
) -> None:
    drivers = pd.DataFrame({"driver_id": range(10), "event_timestamp": [NOW] * 10,
                            "y": [float(n % 3) for n in range(10)]})  # fmt: skip
    fill(database, "labelled", drivers,
         {"driver_id": "bigint", "event_timestamp": "timestamptz", "y": "float8"})  # fmt: skip
    notebook.space["frame"] = drivers
    notebook.space["query"] = "SELECT driver_id, event_timestamp, y FROM labelled"
    notebook.run(
        f"%%feast_train v1 --service activity --entity-df {asked} --register m_{asked}\n"
        "from sklearn.linear_model import LinearRegression\n"
        "inputs = training_df[['trips', 'conv_rate', 'acc_rate']]\n"
        "model = LinearRegression().fit(inputs, training_df['y'])\n"
        "told = dict(zip(training_df['driver_id'], model.predict(inputs)))"
    )
    told = [notebook.space["told"][n] for n in range(10)]
    of_then = notebook.run(f"%feast_score m_{asked} --entities frame --as-of event_timestamp")
    assert of_then["prediction"].tolist() == pytest.approx(told)

    notebook.run("%feast_materialize --start 2024-01-01 --end 2024-01-10T12:00")
    online = notebook.run(f"%feast_score m_{asked} --entities frame")
    assert online["prediction"].tolist() == pytest.approx(told)
    health = notebook.run(f"%feast_health --seconds 60 --model m_{asked}")
    lights = {f"{line.part} {line.name}": line.light for line in health.lines}
    wrong = {f"{line.part}: {line.said}" for line in health.lines if line.light == "red"}
    assert (lights["source stats"], lights["skew hourly"]) == ("green", "green"), wrong


# ------------------------------------------------------------------ what goes wrong


@pytest.fixture
def kept_run(store: Any, notebook: Any) -> str:
    """A run with a query of which every row is asked for again."""
    run = notebook.run("%feast_run v1")
    store.get_historical_features(QUERY, ["hourly:trips"]).to_df()
    notebook.run("%feast_run --end")
    return str(run.id)


def said(notebook: Any, source: str) -> str:
    """The one line that a cell fails with."""
    line = notebook.fails(source).strip()
    assert "\n" not in line, line
    assert PASSWORD not in line
    return str(line)


def test_a_database_that_hangs_or_is_down_is_one_line(
    kept_run: str, notebook: Any, database: Postgres
) -> None:
    ask = f"%feast_reproduce {kept_run}"
    who = rf"StoreError: the offline store's database at 127\.0\.0\.1:{database.port} "
    database.signal(signal.SIGSTOP)
    try:
        assert re.match(who + "did not answer within 4.5 s", said(notebook, ask))
    finally:
        database.signal(signal.SIGCONT)
    database.stop()
    try:
        assert re.match(who + r"cannot be used \(.*refused.*; start it", said(notebook, ask))
    finally:
        database.start()
    assert notebook.run(ask).rows == 4


def test_a_password_and_a_query_that_it_refuses_are_one_line(
    kept_run: str, notebook: Any, database: Postgres
) -> None:
    ask = f"%feast_reproduce {kept_run}"
    who = rf"StoreError: the offline store's database at 127\.0\.0\.1:{database.port} "
    with database.connect("features") as c:
        c.execute("ALTER ROLE feast PASSWORD 'another'")
        try:
            assert re.match(who + r"cannot be used \(.*password.*failed", said(notebook, ask))
        finally:
            c.execute(f"ALTER ROLE feast PASSWORD '{PASSWORD}'")
        c.execute("DROP TABLE asked")
    assert re.match(who + r'refuses the query \(relation "asked" does not', said(notebook, ask))
