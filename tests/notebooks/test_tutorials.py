"""The tutorials run from the first cell to the last, and recorded what they say."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from ..conftest import artifacts, read_json

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def execute(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a copy of the tutorials, apart from the clone's own data."""
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns("data", "out", "__pycache__"))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    notebook = nbformat.read(folder / name, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    return NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources=resources
    ).execute()


def outputs_of(notebook: Any) -> str:
    return "\n".join(
        str(output.get("data", output.get("text", "")))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


def test_flight_delays(tmp_path, monkeypatch) -> None:
    from mlflow import MlflowClient

    folder = tmp_path / "notebooks"
    executed = execute("01_flight_delays.ipynb", folder, monkeypatch)

    client = MlflowClient(f"sqlite:///{folder}/flights/data/mlflow.db")
    experiment = client.get_experiment_by_name("flights")
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    assert {r.info.status for r in runs.values()} == {"FINISHED"}
    v1, v2 = runs["v1"], runs["v2"]
    assert v1.data.metrics["auc"] > 0.64, "beats carrier × hour, 0.627"
    assert v2.data.metrics["auc"] > v1.data.metrics["auc"] + 0.03
    assert v2.data.metrics["auc"] < 0.8, "more would be a leak"
    for run, service, features in ((v1, "arrival_delay_v1", 12), (v2, "arrival_delay_v2", 22)):
        kept = read_json(client, run.info.run_id, "feast/retrievals.json")["retrievals"]
        mine = next(k for k in kept if k["linked_by"] is None)
        assert (mine["service"], len(mine["refs"])) == (service, features)
        assert mine["entity"]["rows"] == mine["result"]["rows"] == 37_423
        assert run.data.tags["feast.feature_service"] == service
        assert run.data.tags["feast.entity_count"] == "37423"
        judged = next(k for k in kept if k["linked_by"] == "attrs")
        assert judged["result"]["rows"] == 12_427
        contracts = [p for p in artifacts(client, run.info.run_id) if "/contracts/" in p]
        (contract,) = (read_json(client, run.info.run_id, p) for p in contracts)
        assert [i["ref"] for i in contract["inputs"]] == mine["refs"]
        assert contract["retrievals"] == [mine["id"]]
    predictions = runs["predictions"]
    assert predictions.data.tags["feast.training_run_id"] == v2.info.run_id
    assert predictions.data.tags["feast.retrieval_type"] == "online"
    assert str(client.get_model_version_by_alias("arrival_delay", "champion").version) == "2"
    scored = runs["score arrival_delay/2"]
    assert scored.data.tags["feast.training_run_id"] == v2.info.run_id
    assert scored.data.metrics["feast_nb.rows"] == 12
    shown = outputs_of(executed)
    assert "the TTL of origin_weather was 3 hours, is 30 minutes. Retrain" in shown, "refused"
    assert re.search("temp.*[0-9,]+ values differ.* → null", shown, re.DOTALL), "told apart"
    assert shown.count("✓") >= 3, "two trainings, and a training set proven the same"
    assert experiment.artifact_location.startswith((folder / "flights").as_uri())
    assert not (folder / "mlruns").exists(), "nothing is written beside the notebook"
    assert "DeprecationWarning" not in outputs_of(executed)


def test_driver_ranking(tmp_path, monkeypatch) -> None:
    from mlflow import MlflowClient

    folder = tmp_path / "notebooks"
    execute("02_driver_ranking.ipynb", folder, monkeypatch)

    client = MlflowClient(f"sqlite:///{folder}/drivers/data/mlflow.db")
    experiment = client.get_experiment_by_name("drivers")
    runs = client.search_runs([experiment.experiment_id])
    assert {r.info.run_name for r in runs} == {"magic", "store.mlflow", "feast.mlflow"}
    prints = set()
    for run in runs:
        (kept,) = read_json(client, run.info.run_id, "feast/retrievals.json")["retrievals"]
        assert kept["service"] == "driver_activity"
        prints.add((kept["entity"]["fingerprint"], kept["result"]["fingerprint"]))
        assert len(run.outputs.model_outputs) == 1
        assert f"feast/contracts/{run.outputs.model_outputs[0].model_id}.json" in artifacts(
            client, run.info.run_id
        )
    assert len(prints) == 1, "three ways, one record"
    dataset = next(r for r in runs if r.info.run_name == "store.mlflow").inputs.dataset_inputs
    # Feast's own `log_training_dataset` works beside ours, which every run has.
    assert sorted(d.dataset.name for d in dataset) == ["driver_activity", "rated_trips"]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_committed_outputs_read_well_without_a_kernel(path) -> None:
    notebook = nbformat.read(path, as_version=4)
    shown = outputs_of(notebook)

    assert all(c.get("execution_count") for c in notebook.cells if c.cell_type == "code")
    assert not [o for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "error"]
    assert not [
        o for c in notebook.cells for o in c.get("outputs", []) if o.get("name") == "stderr"
    ]
    assert "text/html" in shown
    assert not re.search(r"/work/|/root/|/home/|site-packages", shown), (
        "a path of somebody's machine"
    )
    assert path.stat().st_size < 400_000
