"""Feast alone and with feast_nb, group 8: the routes of the side panel beside those of `feast ui`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from ..conftest import answers, free_port, wait_for
from .test_8_history import api as api
from .test_8_history import endpoint, record, register, small

pytest_plugins = ["pytest_jupyter.jupyter_server"]


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {"ServerApp": {"jpserver_extensions": {"feast_nb": True}}}


@pytest.fixture
def panel(alone: Any, jp_root_dir: Path, jp_fetch: Any, jp_serverapp: Any,
          jp_asyncio_loop: Any) -> Iterator[Any]:  # fmt: skip
    """Ask a route about the repository, on which Feast's endpoints are asked too."""
    folder = jp_root_dir / "repo"
    shutil.copytree(alone.repo_path, folder)  # its tracking server is that of the first one

    async def ask(route: str, **params: Any) -> Any:
        given = {"repo": "repo", **{k: str(v) for k, v in params.items()}}
        while True:
            found = await jp_fetch("feast-nb", "api", route, params=given, request_timeout=120)
            if found.code != 202:  # the worker is starting
                return json.loads(found.body)
            await asyncio.sleep(0.1)

    yield ask
    worker = jp_serverapp.web_app.settings["feast_nb_worker"]
    jp_asyncio_loop.run_until_complete(worker.stop())


async def every(panel: Any, route: str, of: str, **params: Any) -> list[Any]:
    """All pages of an answer."""
    found: list[Any] = []
    token: dict[str, str] = {}
    while True:
        page = await panel(route, **params, **token)
        found += page[of].items() if isinstance(page[of], dict) else page[of]
        if not page["next_page_token"]:
            return found
        token = {"page_token": page["next_page_token"]}


@pytest.mark.conformance("8.1")
def test_8_1_the_panels_reader_needs_no_grpc(alone) -> None:
    """`feast ui` ends with `ModuleNotFoundError: grpc`, which its extras for MLflow leave out.
    Right is to answer wherever the package is installed.
    """
    hidden = "import sys; sys.modules['grpc'] = None\n"
    ui = (
        "import feast, feast.ui_server\n"
        f"store = feast.FeatureStore(repo_path={str(alone.repo_path)!r})\n"
        "feast.ui_server.get_app(store, store.project)"
    )
    control = subprocess.run([sys.executable, "-c", hidden + ui], capture_output=True, text=True)
    worker = "import runpy; runpy.run_module('feast_nb.server.worker', run_name='__main__')"
    question = {"id": 1, "ask": "catalog", "repo": f"{alone.repo_path}/feature_store.yaml"}
    with subprocess.Popen([sys.executable, "-c", hidden + worker], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
        while "sign" in (head := json.loads(process.stdout.readline())):
            pass
        process.kill()

    assert "grpc" in control.stderr
    assert head["status"] == 200


@pytest.mark.conformance("8.2")
async def test_8_2_every_run_page_by_page(alone, api, panel) -> None:
    """`/api/mlflow-runs` stops at 200 runs of one experiment. Right is every run, in pages."""
    own, other = api.create_experiment("drivers"), api.create_experiment("elsewhere")
    for n in range(230):
        record(api, own if n < 205 else other, "hourly:trips")
    theirs = endpoint(alone, "/api/mlflow-runs")(max_results=1000)["runs"]
    ours = await every(panel, "mlflow-runs", "runs", max_results=100)

    assert len(theirs) == 200
    assert len({r["run_id"] for r in ours}) == len(ours) == 230
    assert {r["run_id"] for r in theirs} < {r["run_id"] for r in ours}


@pytest.mark.conformance("8.3")
async def test_8_3_usage_counts_trainings_by_registered_views(alone, api, panel) -> None:
    """`/api/mlflow-feature-usage` counts predictions and other names of a view as uses, of the
    newest 200 runs. Right is every training, and predictions beside them.
    """
    experiment = api.create_experiment("drivers")
    register(api, "old", record(api, experiment, "profile:age"), "champion")
    time.sleep(0.01)
    for _ in range(200):
        record(api, experiment, "hourly:trips")
    record(api, experiment, "hourly:trips", **{"feast.model_name": "old"})
    record(api, experiment, "other:trips", **{"feast_nb.renamed": "other=hourly"})
    theirs = endpoint(alone, "/api/mlflow-feature-usage")()["feature_usage"]
    ours = dict(await every(panel, "mlflow-feature-usage", "feature_usage"))

    assert "profile" not in theirs
    assert ours["profile"]["models"] == ["old"]
    assert (ours["hourly"]["run_count"], ours["hourly"]["prediction_count"]) == (201, 1)
    assert "other" in theirs
    assert "other" not in ours


@pytest.mark.conformance("8.4")
async def test_8_4_every_version_of_every_model_by_feature(alone, api, panel) -> None:
    """`/api/mlflow-feature-models` shows the latest versions of a hundred models. Right is every
    version of every model, with its aliases.
    """
    experiment = api.create_experiment("drivers")
    run = record(api, experiment, "hourly:trips,profile:age")
    for n in range(105):
        register(api, f"model_{n:03d}", run)
    register(api, "model_000", run)
    api.set_registered_model_alias("model_000", "champion", "1")
    theirs = endpoint(alone, "/api/mlflow-feature-models")()["feature_models"]
    ours = dict(await every(panel, "mlflow-feature-models", "feature_models", max_results=1))

    assert len(theirs["hourly:trips"]) == 100
    assert len(ours["hourly:trips"]) == len(ours["profile:age"]) == 106
    first = next(m for m in ours["hourly:trips"] if m["aliases"])
    assert (first["model_name"], first["version"], first["aliases"]) == (
        "model_000", "1", ["champion"],
    )  # fmt: skip


@pytest.fixture
def ui(alone: Any) -> Iterator[Any]:
    """`feast ui` on the repository, as a process of its own: ask a path of it."""
    port = free_port()
    program = [sys.executable, "-m", "feast.cli.cli", "-c", str(alone.repo_path), "ui",
               "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(program, start_new_session=True, **quiet)
    base = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{base}/health"), 90, "feast ui")
        yield lambda path: json.loads(urlopen(base + path, timeout=300).read())
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


async def test_where_feast_is_complete_the_fields_are_the_same(ui, api, panel) -> None:
    """A small store beside a running `feast ui`, field by field."""
    small(api)
    listed = ui("/api/mlflow-runs?max_results=50")
    ours = await panel("mlflow-runs")
    assert set(listed) <= set(ours)
    assert ours["mlflow_uri"] == listed["mlflow_uri"]
    for mine, theirs in zip(ours["runs"], listed["runs"], strict=True):
        assert set(theirs) <= set(mine)
        for field in set(theirs) - {"mlflow_url", "registered_models"}:
            assert mine[field] == theirs[field], field
        # A database has no pages to link to: theirs is `sqlite:///…/#/experiments/…`.
        assert theirs["mlflow_url"].startswith("sqlite:")
        assert mine["mlflow_url"] is None
        for one, other in zip(mine["registered_models"], theirs["registered_models"], strict=True):
            assert set(other) <= set(one)
            for field in ("model_name", "version", "stage"):
                assert one[field] == str(other[field]), field

    used = ui("/api/mlflow-feature-usage")
    mine = await panel("mlflow-feature-usage")
    assert set(used) <= set(mine)
    assert mine["mlflow_enabled"] == used["mlflow_enabled"]
    kept = {"run_count", "last_used", "models"}
    assert {
        view: {k: sorted(v) if k == "models" else v for k, v in use.items() if k in kept}
        for view, use in mine["feature_usage"].items()
    } == {
        view: {k: sorted(v) if k == "models" else v for k, v in use.items()}
        for view, use in used["feature_usage"].items()
    }

    models = ui("/api/mlflow-feature-models")["feature_models"]
    mine = (await panel("mlflow-feature-models"))["feature_models"]
    fields = ("model_name", "version", "stage")
    assert {r: [tuple(str(m[f]) for f in fields) for m in of] for r, of in mine.items()} == {
        r: [tuple(str(m[f]) for f in fields) for m in of] for r, of in models.items()
    }
