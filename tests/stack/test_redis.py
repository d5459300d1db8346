"""What Redis serves: every type of Feast's comes back as it was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ..conftest import make_repository
from ..feast_types import VALUES, check_round_trip, define
from .servers import Redis


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Redis server on a free port of the loopback."""
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.port
    server.end()


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
