"""Every type of Feast's: offline → training → contract → online → prediction, and it is the same.

`docs/types.md` is this table; `tests/stack` has the same on Redis.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ..conftest import make_repository
from ..feast_types import (
    EVERY,
    NOT_ONLINE,
    VALUES,
    check_gaps,
    check_round_trip,
    define,
    feast_type,
)


@pytest.fixture(scope="module", params=["file", "duckdb"])
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from feast import FeatureStore

    repo = tmp_path_factory.mktemp("types") / "repo"
    make_repository(repo, offline=request.param, define=define)
    store = FeatureStore(str(repo))
    store.materialize(datetime(2024, 4, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
    return repo


@pytest.fixture
def session(repository: Path) -> Any:
    import feast_nb

    return feast_nb.open(repository)


@pytest.mark.parametrize("name", EVERY)
def test_what_is_served_is_what_was_trained_on(session, name: str) -> None:
    check_round_trip(session, name)


@pytest.mark.parametrize(
    "name",
    ["Int64", "Float32", "Bool", "String", "UnixTimestamp", "Json", "Struct", "Array(Float32)",
     "Array(String)", "Set(Int64)"],
)  # fmt: skip
def test_a_gap_is_served_as_training_had_it(session, name: str) -> None:
    check_gaps(session, name)


def test_the_table_has_every_type_that_feast_has() -> None:
    """A type that a newer Feast adds is missing here, and its row with it."""
    from feast.types import PrimitiveFeastType
    from feast.value_type import ValueType

    primitive = {t for t in PrimitiveFeastType.__members__ if t != "INVALID"}
    here = {name.replace("Float64", "FLOAT64").upper() for name in (*VALUES, *NOT_ONLINE)}
    assert {t.replace("_", "") for t in primitive} <= here
    known = {feast_type(name).to_value_type() for name in VALUES}
    missing = {t.name for t in ValueType} - {t.name for t in known}
    assert missing == {"UNKNOWN", "NULL", "MAP_LIST", "SCALAR_MAP", "ZONED_TIMESTAMP", "VALUE_SET"}


def test_each_row_is_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "types.md").read_text()

    assert {name for name in VALUES if f"| {name} |" not in text} == set()
    assert all(f"- {name}: " in text for name in NOT_ONLINE)
