"""Online stores that forget, and that are others: what is missing is said, what is there is served."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feast_nb.errors import FeatureError, StoreError

from ..conftest import NOW, Notebook, answers, make_repository, wait_for
from .servers import Redis, Server

ROWS = [{"driver_id": 1}, {"driver_id": 2}]


class Moto(Server):
    """AWS as moto has it: DynamoDB's tables, for any secret."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def is_up(self) -> bool:
        return answers(f"{self.url}/moto-api/")


def define(repo: Path) -> list[Any]:
    """A view whose rows have not expired."""
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32, Int64

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(
        name="stats", path=str(repo / "stats.parquet"), timestamp_field="event_timestamp"
    )
    fields = [Field(name="conv_rate", dtype=Float32), Field(name="trips", dtype=Int64)]
    return [driver, FeatureView(name="hourly", entities=[driver], ttl=timedelta(days=3650),
                                schema=fields, source=source)]  # fmt: skip


def trained(book: Notebook, folder: Path, online: str, template: Path) -> list[float]:
    """A model of drivers that is trained, its features loaded; what it says of each in training."""
    repo = make_repository(folder / "repo", define=lambda _: [])
    shutil.copy(template / "mlflow.db", repo)
    yaml = repo / "feature_store.yaml"
    yaml.write_text(yaml.read_text().replace("{type: sqlite, path: online.db}", online))
    drivers = pd.DataFrame({"driver_id": range(10), "event_timestamp": NOW, "y": range(10)})
    book.space.update(drivers=drivers, keys=drivers[["driver_id"]])
    book.space["store"] = book.run(f"store = %feast_store {repo}\nstore")
    book.space["store"].apply(define(repo))
    book.run(
        "%%feast_train v1 --features hourly:trips hourly:conv_rate --entity-df drivers "
        "--register m\n"
        "from sklearn.linear_model import LinearRegression\n"
        "inputs = training_df[['trips', 'conv_rate']]\n"
        "model = LinearRegression().fit(inputs, training_df['y'])\n"
        "told = dict(zip(training_df['driver_id'], model.predict(inputs)))"
    )
    done = book.run("%feast_materialize --start 2024-01-01 --end 2024-01-10T12:00")
    assert done.state == "loaded"
    return [float(book.space["told"][driver]) for driver in range(10)]


def session(book: Notebook) -> Any:
    import feast_nb

    return feast_nb.open(book.space["store"].repo_path)


def health(book: Notebook) -> dict[str, str]:
    found = book.run("%feast_health --seconds 60 --model m")
    return {line.part: f"{line.light}: {line.said}" for line in found.lines}


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    server.start()
    yield server
    server.end()


def test_rows_that_redis_forgot_are_missing_rows(
    redis_server: Redis, notebook: Notebook, tmp_path: Path, template: Path
) -> None:
    """`key_ttl_seconds`: Redis drops whole entities, which Feast serves as nulls that are there."""
    import redis
    from feast.infra.key_encoding_utils import deserialize_entity_key

    settings = (
        f'{{type: redis, connection_string: "{redis_server.address}", key_ttl_seconds: 3600}}'
    )
    told = trained(notebook, tmp_path, settings, template)
    client = redis.Redis(port=redis_server.port)
    keys = {deserialize_entity_key(key.removesuffix(b"drivers"), 3).entity_values[0].int64_val: key
            for key in client.scan_iter()}  # fmt: skip
    assert all(0 < client.ttl(key) <= 3600 for key in keys.values())
    assert notebook.run("%feast_score m --entities keys")["prediction"].tolist() == (
        pytest.approx(told)
    )
    assert health(notebook)["view"].startswith("green: ")

    for driver in (1, 2):  # as an hour later
        client.pexpire(keys[driver], 1)
    wait_for(lambda: not client.exists(keys[1], keys[2]), 5, "keys to expire")

    with pytest.raises(FeatureError, match=r"2 of 2 rows \(row 0: driver_id=1; row 1: driver_id=2"):
        session(notebook).vector("m", ROWS)
    _, status = session(notebook).vector("m", ROWS, missing="nan", with_status=True)
    assert set(status.ravel()) == {"missing"}
    scored = notebook.run("%feast_score m --entities keys")["prediction"]
    assert scored[scored.isna()].index.tolist() == [1, 2]
    assert "2 of 10 entities have no features: not found in the online store." in str(
        notebook.shown[-1]["text/plain"]
    )
    found = health(notebook)["view"]
    assert found.startswith("red: 2 of 10 entities that were loaded are missing; ")
    assert found.endswith("; 8 of 10 sampled entities are online")


@pytest.fixture
def dynamo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Moto]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "the-secret")
    server = Moto(tmp_path)
    server.start()
    yield server
    server.end()


@pytest.mark.parametrize("batch", [100, 1], ids=["one read", "reads beside each other"])
def test_dynamodb_is_loaded_and_serves(
    dynamo: Moto, notebook: Notebook, tmp_path: Path, template: Path, batch: int
) -> None:
    settings = (f'{{type: dynamodb, region: us-east-1, endpoint_url: "{dynamo.url}", '
                f"batch_size: {batch}}}")  # fmt: skip
    told = trained(notebook, tmp_path, settings, template)
    assert notebook.run("%feast_score m --entities keys")["prediction"].tolist() == (
        pytest.approx(told)
    )
    assert session(notebook).vector("m", ROWS).shape == (2, 2)
    assert {light.partition(":")[0] for light in health(notebook).values()} == {"green"}
    with pytest.raises(FeatureError, match=r"1 of 2 rows \(row 1: driver_id=99"):
        session(notebook).vector("m", [{"driver_id": 1}, {"driver_id": 99}])

    who = f"the online store at {dynamo.url}"
    dynamo.signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreError, match=rf"{who} did not answer within 4.5 s; see whether"):
            session(notebook).vector("m", ROWS)
    finally:
        dynamo.signal(signal.SIGCONT)
    assert session(notebook).vector("m", ROWS).shape == (2, 2)
    dynamo.end()
    with pytest.raises(StoreError, match=rf"{who} refuses or cannot be reached \("):
        session(notebook).vector("m", ROWS)
