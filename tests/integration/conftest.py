"""A repository with models that were trained in it: made once, put back before each test."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ..conftest import NOW, make_repository


def define(repo: Path) -> list[Any]:
    """As the tests' repository, with descriptions, an owner and an on-demand view."""
    from feast import Field, RequestSource
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import Float64, Int64

    from ..conftest import define as plain

    driver, hourly, profile, *services = plain(repo)
    hourly.owner, hourly.description = "rides@example.com", "What a driver did"

    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"doubled": inputs["trips"] * 2.0 + inputs["bonus"]})

    request = RequestSource(name="bonus", schema=[Field(name="bonus", dtype=Int64)])
    derived = on_demand_feature_view(
        sources=[hourly, request], schema=[Field(name="doubled", dtype=Float64)]
    )(doubled)
    return [driver, hourly, profile, derived, *services]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which `m` (named inputs) and `p` (fitted on an array) were registered."""
    import feast_nb
    from feast_nb.session import recorder

    folder = make_repository(tmp_path_factory.mktemp("trained") / "repo", define=define)
    state = os.environ.get("FEAST_NB_STATE")
    os.environ["FEAST_NB_STATE"] = str(folder.parent / "state")
    try:
        session = feast_nb.open(folder)
        session.store.materialize(
            datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC)
        )
        train(session)
        recorder.shut()
    finally:
        os.environ.pop("FEAST_NB_STATE")
        if state is not None:
            os.environ["FEAST_NB_STATE"] = state
    for name in ("registry.db", "stats.parquet", "online.db", "mlflow.db"):
        shutil.copy(folder / name, folder.parent / name)
    return folder


def train(session: Any) -> None:
    from sklearn.linear_model import LogisticRegression

    drivers = entities().drop(columns="index")
    with session.train("v1", service="activity", entity_df=drivers, register="m",
                       aliases=("champion",)) as training:  # fmt: skip
        frame = training.frame
        training.model = LogisticRegression().fit(frame[["trips", "conv_rate"]], frame["y"])
    with session.train("v2", service="activity", entity_df=drivers[:4], register="m") as training:
        frame = training.frame
        training.model = LogisticRegression(C=2).fit(
            frame[["conv_rate", "trips", "acc_rate"]], frame["y"]
        )
        import mlflow

        mlflow.log_metric("auc", 0.7)
    with session.train("bare", features=("hourly:trips", "hourly:acc_rate", "hourly:conv_rate"),
                       entity_df=drivers, register="p") as training:  # fmt: skip
        frame = training.frame
        training.model = LogisticRegression().fit(
            frame[["trips", "acc_rate", "conv_rate"]].to_numpy(), frame["y"]
        )


def entities() -> pd.DataFrame:
    """Ten drivers at one moment, with a label."""
    return pd.DataFrame(
        {"index": range(10), "driver_id": range(10), "event_timestamp": [NOW] * 10,
         "y": [0, 1] * 5}
    )  # fmt: skip


@pytest.fixture
def promoted(trained: Path, request: pytest.FixtureRequest) -> Any:
    """A notebook in a fresh kernel, on that repository as it was when its models were trained."""
    for name in ("registry.db", "stats.parquet", "online.db"):
        shutil.copy(trained.parent / name, trained / name)
    notebook = request.getfixturevalue("notebook")
    notebook.run(f"store = %feast_store {trained}")
    notebook.space["drivers"] = entities().drop(columns="index")
    return notebook
