"""A store that is down, hangs, or came back empty: one line that names it, and soon."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import feast_nb
from feast_nb.errors import FeatureError, StoreError
from feast_nb.integrations.feast.servers import store_door

from ..conftest import NOW, make_repository
from .servers import Redis


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    server.start()
    yield server
    server.end()


@pytest.fixture
def session(redis_server: Redis, tmp_path: Path) -> Any:
    """A model of drivers, its features in Redis."""
    from sklearn.linear_model import LinearRegression

    repo = make_repository(tmp_path / "repo")
    yaml = repo / "feature_store.yaml"
    online = f'{{type: redis, connection_string: "127.0.0.1:{redis_server.port}"}}'
    yaml.write_text(yaml.read_text().replace("{type: sqlite, path: online.db}", online))
    session = feast_nb.open(repo)
    session.store.materialize(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC))
    drivers = pd.DataFrame({"driver_id": range(10), "event_timestamp": NOW, "y": range(10)})
    refs = ["hourly:trips", "hourly:conv_rate"]
    with session.train("m", features=refs, entity_df=drivers, register="m") as training:
        frame = training.frame
        training.model = LinearRegression().fit(frame[["trips", "conv_rate"]], frame["y"])
    return session


ROWS = [{"driver_id": 1}, {"driver_id": 2}]


def test_a_redis_that_hangs_or_is_down_is_one_line_and_then_serves_again(
    session: Any, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = session.vector("m", ROWS).tolist()
    monkeypatch.setattr(store_door, "SECONDS", 1.0)
    redis_server.signal(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"Redis at 127.0.0.1:\d+ did not answer within 1 s"):
        session.vector("m", ROWS)
    with pytest.raises(StoreError, match="did not answer"):
        session.score("m", pd.DataFrame(ROWS))
    assert time.monotonic() - began < 15
    redis_server.signal(signal.SIGCONT)
    monkeypatch.setattr(store_door, "SECONDS", 10.0)
    assert session.vector("m", ROWS).tolist() == before

    redis_server.end()
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"Redis at 127.0.0.1:\d+ cannot be reached; start it"):
        session.vector("m", ROWS)
    assert time.monotonic() - began < 15


def test_a_redis_that_restarted_empty_serves_nobody_gaps(session: Any, redis_server: Redis) -> None:
    assert session.vector("m", ROWS).shape == (2, 2)
    redis_server.end()
    redis_server.start()

    with pytest.raises(
        FeatureError, match=r"2 of 2 rows \(row 0: driver_id=1; row 1: .*materialize"
    ):
        session.vector("m", ROWS)
    _, status = session.vector("m", ROWS, missing="nan", with_status=True)
    assert set(status.ravel()) == {"missing"}
