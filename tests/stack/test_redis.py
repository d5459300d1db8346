"""What Redis serves: every type of Feast's comes back as it was trained on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ..conftest import free_port, make_repository, wait_for
from ..feast_types import VALUES, check_round_trip, define


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Redis server on a free port of the loopback."""
    found = shutil.which("redis-server")
    assert found, "install the system's package redis-server"
    import redis

    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    command = [found, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    with (folder / "log").open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out)

    def is_up() -> bool:
        try:
            return bool(redis.Redis(port=port).ping())
        except redis.ConnectionError:
            return False

    try:
        wait_for(is_up, 30, f"redis: {folder / 'log'}")
        yield port
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def repository(redis_port: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from feast import FeatureStore

    repo = tmp_path_factory.mktemp("types") / "repo"
    make_repository(repo, define=lambda _: [])
    yaml = repo / "feature_store.yaml"
    online = f'{{type: redis, connection_string: "127.0.0.1:{redis_port}"}}'
    yaml.write_text(yaml.read_text().replace("{type: sqlite, path: online.db}", online))
    store = FeatureStore(str(repo))
    store.apply(define(repo))
    store.materialize(datetime(2024, 4, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
    return repo


@pytest.fixture
def session(repository: Path) -> Any:
    import feast_nb

    return feast_nb.open(repository)


@pytest.mark.parametrize("name", VALUES)
def test_what_redis_serves_is_what_was_trained_on(session, name: str) -> None:
    check_round_trip(session, name)
