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
    define,
    feast_type,
    plain,
    round_trip,
)

pytestmark = pytest.mark.xdist_group("types")  # two repositories, made once


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


# With one of these MLflow's signature of the whole model is none, and checks nothing.
ZONED = ("UnixTimestamp", "UnixTimestamp of New York")


@pytest.fixture(scope="module")
def served() -> dict[str, tuple[Any, ...]]:
    """What came of each type; filled by the first test of a repository."""
    return {}


@pytest.fixture
def came(repository: Path, session: Any, served: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    if (done := f"{repository}") not in served:
        others = [name for name in EVERY if name not in ZONED]
        both = round_trip(session, "zoned", ZONED) | round_trip(session, "others", others)
        served[done] = both
    return served[done]


@pytest.mark.parametrize("name", EVERY)
def test_what_is_served_is_what_was_trained_on(came, name: str) -> None:
    ordered = not name.startswith("Set")
    trained, *fed = ([plain(v, ordered) for v in values] for values in came[name])

    assert fed == [trained] * 3
    assert [type(v) for v in came[name][1]] == [type(v) for v in came[name][0]]


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
