"""Short random schedules; `make test-soak` lives through a thousand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .schedule import Laboratory, Schedule

LANES, EACH = 2, 30


@pytest.fixture(scope="module")
def laboratory(
    mlflow_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Laboratory]:
    made = Laboratory(mlflow_server, tmp_path_factory.mktemp("schedules"), seed=1)
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(LANES * EACH))
def test_nothing_is_lost_or_doubled_or_left_running(laboratory: Laboratory, seed: int) -> None:
    assert laboratory.run(Schedule.drawn(seed)).faults() == []
