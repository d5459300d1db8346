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
        notebook, timeout=800, kernel_name="python3", resources=resources
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


def output_of(notebook: Any, line: str) -> Any:
    """What the cell of one line shows."""
    (cell,) = (c for c in notebook.cells if c.source == line)
    (output,) = (o for o in cell.outputs if "data" in o)
    return output["data"]


def test_who_uses_what_03(tmp_path, monkeypatch) -> None:
    from mlflow import MlflowClient

    folder = tmp_path / "notebooks"
    elsewhere = tmp_path / "cache"
    monkeypatch.setenv("FEAST_NB_CACHE", str(elsewhere))
    executed = execute("03_who_uses_what.ipynb", folder, monkeypatch)

    client = MlflowClient(f"sqlite:///{folder}/out/team/data/mlflow.db")
    experiment = client.get_experiment_by_name("flights")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert len(runs) == 280 + 3 + 3, "a half year, three trainings, three scorings"
    assert {r.info.status for r in runs} == {"FINISHED"}
    real = [r for r in runs if "missing" in r.data.metrics and "feast_nb.notebook" in r.data.tags]
    assert len(real) > 40, "the last six weeks really retrieved"

    usage = output_of(executed, "%feast_usage")["text/plain"]
    assert "283 training runs, 3 prediction runs" in usage
    for view in ("origin_weather", "carrier_delays", "aircraft_delays", "plane_facts", "crosswind"):
        assert re.search(rf"^{view} .*(ana|ben)", usage, re.MULTILINE), view
    unused = output_of(executed, "%feast_usage --unused")["text/plain"]
    never = re.findall(r"^(\w+:\w+) .* never", unused, re.MULTILINE)
    assert never == ["plane_facts:engines", "plane_facts:manufacturer"]

    one = output_of(executed, "%feast_lineage arrival_delay@champion")["text/plain"]
    assert "model arrival_delay/2 @champion" in one
    assert "view crosswind" in one
    whole = output_of(executed, "%feast_lineage")["text/plain"]
    assert "service weather_watch gone" in whole
    assert "model fleet_watch/1 @live" in whole

    impact = output_of(executed, "%feast_impact aircraft_delays")["text/plain"]
    assert impact.startswith("if aircraft_delays changes: 2 model versions with an alias")
    assert impact.index("arrival_delay/2") < impact.index("fleet_watch/1")
    assert impact.index("@live") < impact.index("arrival_delay_v2"), "models before services"
    feature = output_of(executed, "%feast_impact origin_weather:visib")["text/plain"]
    assert re.search("weather_watch +service, gone +50", feature)

    newest = output_of(executed, "%feast_runs --service arrival_delay_v2 --most 5")["text/plain"]
    assert newest.startswith("5 runs of flights")
    assert newest.count("score arrival_delay/2") == 3
    operations = output_of(executed, "%feast_ops")["text/plain"]
    assert operations.startswith("4 operations on flights")
    assert "2013-12-28 20:00 – 2013-12-30 20:00" in operations

    for cell in executed.cells:
        for output in cell.get("outputs", []):
            if cell.source.startswith(("%feast_usage", "%feast_lineage")):
                assert "text/html" in output["data"]
                assert "<img" in output["data"]["text/html"] or "--unused" in cell.source
    assert not elsewhere.exists(), "its history lives beside its database"
    assert not (folder / "mlruns").exists(), "nothing is written beside the notebook"
    assert not (folder / "flights" / "data").exists(), "the other tutorials stay as they are"


def test_page_shows_every_picture_03() -> None:
    from nbconvert import HTMLExporter

    notebook = nbformat.read(NOTEBOOKS / "03_who_uses_what.ipynb", as_version=4)
    shown = [
        output["data"]["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    pictures = sum(html.count("<img") for html in shown)
    page = HTMLExporter().from_notebook_node(notebook)[0]

    assert pictures > 40, "trends, and three lineages"
    assert page.count("<img") == pictures
    addresses = re.findall(r'<img[^>]* src="([^"]*)"', page)
    assert len(addresses) == pictures
    assert all(a.startswith("data:image/") for a in addresses), "nothing is fetched"
    assert 'data-mime-type="application/vnd.jupyter.error"' not in page
    assert 'data-mime-type="application/vnd.jupyter.stderr"' not in page


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
    assert path.stat().st_size < 800_000
