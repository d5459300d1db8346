"""Views that are made of MLflow's own data: a file of a run, or a dataset (Feast 0.67)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feast_nb.errors import Drift, Warned
from feast_nb.integrations.feast import repository

from ..conftest import make_repository

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def frame(scale: float = 1.0) -> pd.DataFrame:
    at = pd.Series([datetime(2024, 1, 1, tzinfo=UTC)] * 4).astype("datetime64[us, UTC]")
    return pd.DataFrame(
        {"driver_id": [1, 2, 3, 4], "at": at, "score": [scale * n for n in (1.0, 2.0, 3.0, 4.0)]}
    )


def rows() -> pd.DataFrame:
    return pd.DataFrame({"driver_id": [1, 2, 3, 4], "y": [0.0, 1.0, 2.0, 3.0],
                         "event_timestamp": [pd.Timestamp("2024-01-05", tz="UTC")] * 4})  # fmt: skip


def view(folder: Path, name: str, stamp: str = "at", **mlflow: Any) -> Any:
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.infra.data_sources.mlflow.mlflow_dataset_source import MlflowDatasetSource
    from feast.types import Float64

    batch = FileSource(
        name=f"{name}_rows", path=str(folder / "rows.parquet"), timestamp_field=stamp
    )
    source = MlflowDatasetSource(name=f"{name}_mlflow", batch_source=batch, **mlflow)
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    return FeatureView(name=name, entities=[driver], ttl=timedelta(days=900), source=source,
                       schema=[Field(name="score", dtype=Float64)])  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, list[str]]:
    """A repository, and two runs that each made a file of scores."""
    import mlflow

    repo = make_repository(tmp_path / "repo")
    frame().to_parquet(repo / "rows.parquet")
    mlflow.set_tracking_uri(f"sqlite:///{repo}/mlflow.db")
    runs = []
    for scale in (1.0, 2.0):
        frame(scale).to_parquet(tmp_path / "scores.parquet")
        with mlflow.start_run(run_name=f"scores by {scale}") as run:
            mlflow.log_artifact(str(tmp_path / "scores.parquet"))
        runs.append(run.info.run_id)
    return repo, runs


def test_lineage_goes_on_from_a_run_to_the_view_that_is_made_of_its_file(made) -> None:
    from sklearn.linear_model import LinearRegression

    import feast_nb

    repo, (first, second) = made
    session = feast_nb.open(repo)
    uri = session.runs.uri
    file = {"artifact_path": "scores.parquet", "tracking_uri": uri}
    session.store.apply([view(repo, "scored", run_id=first, **file)])
    with session.train("t", features=("scored:score",), entity_df=rows(), register="m") as training:
        model = LinearRegression().fit(training.frame[["score"]], training.frame["y"])
        training.model = model
    assert session.recorder.flush()

    drawn = session.lineage("m/1")
    at = {n.id: i for i, n in enumerate(drawn.nodes)}
    origin = drawn.nodes[at[f"origin:{first}"]]
    assert (origin.kind, origin.label, origin.sub) == ("run", first[:8], "scores.parquet")
    assert (at[f"origin:{first}"], at["source:scored_mlflow"]) in drawn.edges
    assert (at["source:scored_mlflow"], at["view:scored"]) in drawn.edges
    assert origin.x < drawn.nodes[at["source:scored_mlflow"]].x
    recorded = session.recorded()[0].retrievals[0]
    (source,) = recorded.sources  # it has no path: nothing lying about here is measured for it
    assert source.table == f"runs:/{first}/scores.parquet"
    assert (source.files, source.size, source.modified) == (None, None, None)
    again = session.reproduce("m/1", verify=True)
    assert (again.verdict, again.because) == ("identical", ())

    with pytest.warns(Warned, match=r"query of scored was .*It calls for retraining of m/1"):
        session.store.apply([view(repo, "scored", run_id=second, **file)])
    with pytest.raises(Drift, match=f"query of scored was .*{first}.*, is .*{second}"):
        session.resolve("m/1")


def test_a_dataset_of_mlflows_is_upstream_of_its_view(made) -> None:
    import feast_nb

    repo, _ = made
    session = feast_nb.open(repo)
    session.store.apply([view(repo, "judged", dataset_name="traces")])

    assert repository.catalog(session.store).origins["judged_mlflow"].name == "traces"
    drawn = session.lineage("judged")
    ids = [n.id for n in drawn.nodes]
    edges = {(ids[a], ids[b]) for a, b in drawn.edges}
    assert {
        ("dataset:traces", "source:judged_mlflow"),
        ("source:judged_mlflow", "view:judged"),
    } <= (edges)


def test_a_dataset_that_feast_synced_is_trained_on_and_served(made) -> None:
    """`feast mlflow sync-dataset`, as a person runs it: MLflow's records become a view's rows."""
    import subprocess
    import sys

    from mlflow import MlflowClient
    from mlflow.genai.datasets import create_dataset
    from sklearn.linear_model import LinearRegression

    import feast_nb

    repo, _ = made
    session = feast_nb.open(repo)
    uri = session.runs.uri
    experiment = MlflowClient(uri).create_experiment("judging")
    traces = create_dataset(name="traces", experiment_id=experiment)
    traces.merge_records([
        {"inputs": {"driver_id": n}, "expectations": {"score": float(n)}} for n in (1, 2, 3, 4)
    ])  # fmt: skip
    frame().rename(columns={"at": "event_timestamp"}).iloc[:0].to_parquet(repo / "rows.parquet")
    mapped = {"inputs.driver_id": "driver_id"}
    judged = view(repo, "judged", "event_timestamp", dataset_name="traces", field_mapping=mapped)
    session.store.apply([judged])
    synced = subprocess.run(
        [sys.executable, "-m", "feast.cli.cli", "mlflow", "sync-dataset", "--feature-view", "judged"],
        cwd=repo, capture_output=True, text=True,
    )  # fmt: skip
    # Feast 0.67 writes what it synced online, and fails to write it to a file (an assertion of its
    # own): historical retrievals read MLflow's dataset itself.
    assert "Records ingested: 4" in synced.stdout, synced.stdout + synced.stderr
    # Its rows have no moment of their own: Feast stamps them with the one at which it reads them.
    now = rows().assign(event_timestamp=pd.Timestamp.now(tz="UTC") + pd.Timedelta(hours=1))
    with session.train("t", features=("judged:score",), entity_df=now, register="m") as training:
        training.model = LinearRegression().fit(training.frame[["score"]], training.frame["y"])
    assert session.recorder.flush()

    assert list(training.frame["score"]) == [1.0, 2.0, 3.0, 4.0]
    session.resolve("m/1")  # raises where a definition changed
    scored = session.score("m/1", now[["driver_id"]])
    assert [round(p) for p in scored["prediction"]] == [0, 1, 2, 3]
    drawn = session.lineage("m/1")
    ids = [n.id for n in drawn.nodes]
    assert ("dataset:traces", "source:judged_mlflow") in {(ids[a], ids[b]) for a, b in drawn.edges}
