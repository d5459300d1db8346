"""The side panel's routes, in a real Jupyter server, with a real worker process behind them."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tornado.httpclient import HTTPClientError

from feast_nb.errors import visible
from feast_nb.records.__main__ import routes, schema
from feast_nb.server import route_names

from ..conftest import answers, free_port, wait_for

pytest_plugins = ["pytest_jupyter.jupyter_server"]

ROUTES = tuple(route for route in route_names.ALL if route != route_names.IMPACT)


@pytest.fixture
def jp_server_config(tmp_path: Path) -> dict[str, Any]:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    return {
        "ServerApp": {"jpserver_extensions": {"feast_nb": True}},
        "FeastNb": {"folders": [str(allowed)]},
    }


@pytest.fixture
def here(jp_root_dir: Path, trained: Path) -> Path:
    """A trained repository under the server's root."""
    return copied(trained, jp_root_dir / "team" / "repo")


def copied(trained: Path, folder: Path) -> Path:
    """A copy whose tracking server is its own database."""
    shutil.copytree(trained, folder)
    for name in ("registry.db", "stats.parquet", "online.db", "mlflow.db"):
        shutil.copy(trained.parent / name, folder / name)
    return folder


@pytest.fixture
def get(jp_fetch: Any, jp_serverapp: Any, jp_asyncio_loop: Any) -> Iterator[Any]:
    """Ask a route until it answers: status, headers and JSON, refusals included."""
    once = asked_once(jp_fetch)

    async def ask(*given: Any, **params: Any) -> tuple[int, Any, Any]:
        while (found := await once(*given, **params))[0] == 202:
            await asyncio.sleep(0.1)
        return found

    yield ask
    jp_asyncio_loop.run_until_complete(worker_of(jp_serverapp).stop())


@pytest.fixture
def get_once(get: Any, jp_fetch: Any) -> Any:
    """Ask a route once: it may say that it has no answer yet."""
    return asked_once(jp_fetch)


def asked_once(jp_fetch: Any) -> Any:
    async def ask(
        route: str, headers: dict[str, str] | None = None, **params: Any
    ) -> tuple[int, Any, Any]:
        try:
            found = await jp_fetch(
                "feast-nb", "api", route, params={k: str(v) for k, v in params.items()},
                headers=headers or {}, request_timeout=120,
            )  # fmt: skip
        except HTTPClientError as problem:
            found = problem.response
        body = found.body if found is not None else b""
        return found.code, found.headers, json.loads(body) if body else None

    return ask


def worker_of(app: Any) -> Any:
    """The worker process, as the server holds it."""
    return app.web_app.settings["feast_nb_worker"]


async def test_the_catalog_of_the_only_repository(get: Any, here: Path) -> None:
    status, headers, found = await get("catalog")

    assert status == 200
    assert found["project"] == "drivers"
    views = {v["name"]: v for v in found["views"]}
    hourly = views["hourly"]
    assert (hourly["training"], hourly["owner"], hourly["ttl"]) == (3, "rides@example.com", 259200)
    assert hourly["stale"]  # materialized in January 2024
    assert {f["name"]: f["dtype"] for f in hourly["features"]} == {
        "conv_rate": "Float32", "acc_rate": "Float32", "trips": "Int64",
    }  # fmt: skip
    assert views["doubled"]["kind"] == "on_demand"
    assert [m["name"] for m in found["models"]] == ["m", "p"]
    champion = found["models"][0]["versions"][1]
    assert (champion["version"], champion["aliases"], champion["drift"]) == (
        1,
        ["champion"],
        "same",
    )
    assert found["tracking"]["state"] == "ready"
    assert headers["Feast-Nb-As-Of"] == found["as_of"]


async def test_each_answer_is_as_the_published_schema_says(get: Any, here: Path) -> None:
    """From which the panel's types are made: a field of another type fails here or in the build."""
    for route in ROUTES:
        status, _, found = await get(route)
        published = routes()
        if route in published["properties"]:
            found = {**dict.fromkeys(published["properties"]), route: found}
            published["required"] = [route]
            published["properties"] = {route: published["properties"][route]}
        else:
            published = schema()

        assert status == 200, route
        jsonschema.validate(found, published, jsonschema.Draft201909Validator)


async def test_a_server_that_has_not_imported_feast_or_mlflow(here: Path, tmp_path: Path) -> None:
    """In a process of its own: this one has them."""
    code = (
        "import sys, feast_nb, feast_nb.server.routes, feast_nb.server.settings\n"
        "import feast_nb.server.route_names\n"
        "print([m for m in ('feast', 'mlflow', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "[]"


async def test_what_a_kernel_publishes_after_a_cell_imports_no_mlflow(
    here: Path, tmp_path: Path
) -> None:
    """It is written on the cell's own time; MLflow's import takes a second."""
    code = (
        "import json, sys\n"
        "import feast_nb\n"
        "from feast_nb.session.kernel_file import KernelFile\n"
        "told = KernelFile('k')\n"
        f"told.tell(feast_nb.open({str(here)!r}), None)\n"
        "print(json.dumps(['mlflow' in sys.modules, json.loads(told._path.read_text())]))\n"
    )
    env = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    imported, told = json.loads(said.stdout.splitlines()[-1])

    assert not imported
    assert told["tracking_uri"] == f"sqlite:///{here / 'mlflow.db'}"


async def test_a_notebooks_own_database_is_published_whole(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the repository names no server, and the notebook one beside itself."""
    yaml = here / "feature_store.yaml"
    yaml.write_text(re.sub(r"tracking_uri: [^,}\n]*", "auto_log: true", yaml.read_text()))
    code = (
        "import json, os\n"
        "import feast_nb\n"
        "from feast_nb.session.kernel_file import KernelFile\n"
        "told = KernelFile('k')\n"
        f"told.tell(feast_nb.open({str(here)!r}), None)\n"
        "print(json.loads(told._path.read_text())['tracking_uri'])\n"
    )
    env = {
        **os.environ,
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "MLFLOW_TRACKING_URI": "sqlite:///mine.db",
    }
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env,
        cwd=tmp_path,
    )  # fmt: skip

    assert said.stdout.splitlines()[-1] == f"sqlite:///{tmp_path / 'mine.db'}"


async def test_nobody_is_answered_without_a_token(
    here: Path, http_server_client: Any, jp_serverapp: Any, jp_base_url: str
) -> None:
    for route in (*ROUTES, "impact"):
        with pytest.raises(HTTPClientError) as refused:
            await http_server_client.fetch(f"{jp_base_url}feast-nb/api/{route}")
        assert refused.value.code == 403, route


async def test_routes_only_read(here: Path, jp_fetch: Any) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        body = {"body": "{}"} if method != "DELETE" else {}
        with pytest.raises(HTTPClientError) as refused:
            await jp_fetch("feast-nb", "api", "catalog", method=method, **body)
        assert refused.value.code == 405, method


async def test_repositories_are_found_under_the_root_and_in_allowed_folders(
    get: Any, here: Path, trained: Path, jp_root_dir: Path, tmp_path: Path
) -> None:
    allowed = copied(trained, tmp_path / "allowed" / "other")
    copied(trained, tmp_path / "elsewhere")
    copied(trained, jp_root_dir / ".hidden")
    (jp_root_dir / "env" / "lib").mkdir(parents=True)
    (jp_root_dir / "env" / "pyvenv.cfg").touch()
    copied(trained, jp_root_dir / "env" / "lib" / "repo")
    status, _, found = await get("repositories")

    assert status == 200
    assert found["repositories"] == [
        {"repo": str(allowed), "project": "drivers"},
        {"repo": "team/repo", "project": "drivers"},
    ]


async def test_of_several_one_must_be_named(
    get: Any, here: Path, trained: Path, jp_root_dir: Path
) -> None:
    copied(trained, jp_root_dir / "second")
    status, _, said = await get("catalog")

    assert status == 404
    assert "second, team/repo" in said["message"]


async def test_what_lies_outside_is_not_there(
    get: Any, here: Path, trained: Path, jp_root_dir: Path, tmp_path: Path
) -> None:
    outside = copied(trained, tmp_path / "elsewhere")
    (jp_root_dir / "link").symlink_to(outside)
    half = jp_root_dir / "half"
    half.mkdir()
    (half / "feature_store.yaml").symlink_to(outside / "feature_store.yaml")
    up = os.path.relpath(outside, jp_root_dir)
    for repo in (str(outside), up, "link", "half", "nowhere", "team/repo/feature_store.yaml",
                 "/", "~", "..", "team/../../elsewhere"):  # fmt: skip
        status, _, said = await get("catalog", repo=repo)
        assert status == 404, repo
        assert "no feature repository" in said["message"]


async def test_an_allowed_folder_is_read(
    get: Any, here: Path, trained: Path, tmp_path: Path
) -> None:
    other = copied(trained, tmp_path / "allowed" / "other")

    assert (await get("catalog", repo=str(other)))[2]["project"] == "drivers"


async def test_what_has_not_changed_is_not_sent_again(get: Any, here: Path) -> None:
    _, headers, _ = await get("catalog")
    await asyncio.sleep(2.1)
    status, again, body = await get("catalog", {"If-None-Match": headers["ETag"]})

    assert (status, body) == (304, None)
    assert again["Feast-Nb-As-Of"] > headers["Feast-Nb-As-Of"]


async def test_what_is_recorded_is_in_the_next_answer(get: Any, here: Path) -> None:
    from mlflow import MlflowClient

    _, _, before = await get("mlflow-runs", repo="team/repo")
    api = MlflowClient(f"sqlite:///{here}/mlflow.db")
    tags = {"feast.project": "drivers", "feast.retrieval_type": "historical",
            "feast.feature_refs": "profile:age"}  # fmt: skip
    run = api.create_run("0", tags=tags, run_name="new")
    await asyncio.sleep(2.1)
    _, _, after = await get("mlflow-runs", repo="team/repo")

    assert len(after["runs"]) == len(before["runs"]) + 1
    assert after["runs"][0]["run_id"] == run.info.run_id
    assert after["runs"][0]["status"] == "RUNNING"


@pytest.mark.slow
async def test_pages_of_runs_hold_each_run_once(get: Any, here: Path) -> None:
    _, _, whole = await get("mlflow-runs", max_results=100)
    ids, token = [], None
    while True:
        more = {"page_token": token} if token else {}
        _, _, page = await get("mlflow-runs", max_results=1, **more)
        ids += [r["run_id"] for r in page["runs"]]
        token = page["next_page_token"]
        if not token:
            break

    assert ids == [r["run_id"] for r in whole["runs"]]


def made_in(here: Path, name: str, notebook: str) -> None:
    """A run that was made in a notebook."""
    import mlflow

    api = mlflow.MlflowClient(f"sqlite:///{here}/mlflow.db")
    experiment = api.get_experiment_by_name("drivers").experiment_id
    tags = {"feast.project": "drivers", "feast.retrieval_type": "historical",
            "feast.feature_refs": "hourly:trips", "feast.feature_count": "1",
            "feast_nb.notebook": notebook}  # fmt: skip
    run = api.create_run(experiment, run_name=name, tags=tags)
    api.set_terminated(run.info.run_id)


async def test_runs_of_a_model_a_service_or_a_notebook(get: Any, here: Path) -> None:
    made_in(here, "anothers", "/elsewhere/team/a.ipynb")
    made_in(here, "mine", str(here.parent / "a.ipynb"))

    async def named(of: str) -> set[str]:
        return {r["run_name"] for r in (await get("mlflow-runs", object=of))[2]["runs"]}

    assert await named("model=m/1") == {"v1"}
    assert {"v1", "v2"} <= await named("model=m")
    assert {"v1", "v2"} <= await named("service=activity")
    assert await named("notebook=none.ipynb") == set()
    # A path of the browser's is from the server's root, whatever drive it names.
    assert await named("notebook=RTC:team/a.ipynb") == {"mine"}


async def test_lineage_and_impact_of_an_object(get: Any, here: Path) -> None:
    _, _, drawn = await get("lineage", object="model=m/1", up=1)
    _, _, touched = await get("impact", object="hourly:trips")

    assert {n["kind"] for n in drawn["nodes"]} >= {"model", "run"}
    assert drawn["width"] > 0
    assert next(m["name"] for m in touched["models"]) == "m/1"


async def test_the_health_of_a_repository_is_looked_at_when_it_is_asked_for(
    get: Any, here: Path
) -> None:
    """A look takes seconds: its lines come as they are known, and the last one is kept."""
    _, _, before = await get("health")
    assert (before["health"], before["looking"]) == (None, False)
    _, _, begun = await get("health", anew="1")
    assert begun["looking"]
    while (found := (await get("health"))[2])["looking"]:
        await asyncio.sleep(0.5)

    assert found["trouble"] is None
    lines = {(line["part"], line["name"]): line for line in found["health"]["lines"]}
    assert lines["view", "hourly"]["light"] in ("green", "amber", "red")
    assert lines["skew", "hourly"]["light"] == "green"
    assert all(line["at"] for line in lines.values())
    _, _, again = await get("health")
    assert again["health"] == found["health"]


async def test_a_kernel_that_has_not_come_to_mlflow_hides_no_other_ones_server(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feast_nb.paths import runtime_folder
    from feast_nb.server import repositories
    from feast_nb.server.settings import Settings

    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    runtime_folder().mkdir(parents=True)
    yaml = here / "feature_store.yaml"
    for kernel, uri in (("one", "http://127.0.0.1:5000"), ("two", None)):
        told = {"kernel": kernel, "pid": os.getpid(), "repository": str(yaml), "tracking_uri": uri}
        (runtime_folder() / f"feast-nb-{kernel}.json").write_text(json.dumps(told))

    assert repositories.tracking_uri(Settings(root=here.parent), yaml) == "http://127.0.0.1:5000"


REFUSALS: tuple[tuple[str, dict[str, str], int, str], ...] = (
    ("lineage", {"object": "view=hourl"}, 404, "did you mean hourly?"),
    ("impact", {}, 400, "name an object"),
    ("lineage", {"up": "x"}, 400, "up=x is no number"),
    ("mlflow-runs", {"page_token": "x"}, 400, "is not a page_token"),
    ("mlflow-runs", {"object": "view=hourly"}, 400, "name a service="),
)


async def test_a_refusal_says_what_to_do(get: Any, here: Path) -> None:
    for route, params, status, said in REFUSALS:
        code, _, found = await get(route, **params)
        assert code == status, (route, params)
        assert said in found["message"]
        assert "Traceback" not in json.dumps(found)


ODD = ("²", "٣", "-1", "9" * 23, "9" * 23 + ":a", "-5:x", "1e9", "x\x00y", "a\nb", "\x1b[2J\u202e",
       "<script>", "view=", "' OR 1=1 --", "x" * 5000, "%00", "")  # fmt: skip


async def test_an_odd_parameter_is_taken_or_refused_in_one_line(get: Any, here: Path) -> None:
    """As a browser sends it: never an answer of Python's own, never a 500."""
    names = ("object", "up", "down", "page_token", "max_results")
    routes = ("lineage", "impact", "mlflow-runs", "operations")
    for name, route, value in itertools.product(names, routes, ODD):
        status, _, found = await get(route, **{name: value})
        assert status in (200, 400, 404), (name, route, value, found)
        if status != 200:
            said = found["message"]
            assert said == visible(said), (name, route, value)
            assert "\n" not in said
            assert "Error" not in said


async def test_a_repository_that_feast_cannot_use(get: Any, jp_root_dir: Path) -> None:
    folder = jp_root_dir / "broken"
    folder.mkdir()
    (folder / "feature_store.yaml").write_text("project: p\nregistry: [\n")
    status, _, said = await get("catalog")

    assert status == 422
    assert "feature_store.yaml" in said["message"]


async def test_no_secret_is_told(get: Any, jp_root_dir: Path) -> None:
    folder = jp_root_dir / "far"
    folder.mkdir()
    (folder / "feature_store.yaml").write_text(
        "project: p\nprovider: local\nentity_key_serialization_version: 3\n"
        "registry: {registry_type: sql, path: 'postgresql+psycopg://me:hunter2@127.0.0.1:1/x'}\n"
    )
    status, _, said = await get("catalog")

    assert status == 422
    assert "hunter2" not in json.dumps(said)


@pytest.mark.slow
async def test_mlflow_that_is_switched_off_and_on(get: Any, here: Path) -> None:
    """The features stay; Feast's endpoints are empty, with the reason."""
    yaml = here / "feature_store.yaml"
    text = yaml.read_text()
    yaml.write_text("\n".join(line for line in text.splitlines() if "mlflow" not in line))
    _, _, found = await get("catalog")
    _, _, runs = await get("mlflow-runs")
    _, _, used = await get("mlflow-feature-usage")
    _, _, models = await get("mlflow-feature-models")
    assert found["tracking"]["state"] == "disabled"
    assert {v["name"] for v in found["views"]} == {"hourly", "profile", "doubled"}
    assert (runs["runs"], used["feature_usage"], models["feature_models"]) == ([], {}, {})
    assert used["mlflow_enabled"] is False
    assert "enabled: true" in runs["reason"]
    for route in ("lineage", "impact"):  # the registry's part is drawn
        status, _, said = await get(route, object="view=hourly")
        assert status == 200
        assert "MLflow is not enabled" in said["notes"][0]
    assert {n["kind"] for n in (await get("lineage"))[2]["nodes"]} == {
        "source", "entity", "view", "service",
    }  # fmt: skip

    yaml.write_text(text)
    await asyncio.sleep(2.1)
    _, _, found = await get("catalog")
    assert found["tracking"]["state"] == "ready"
    assert found["models"]


async def test_stored_code_is_never_run(get: Any, jp_root_dir: Path, tmp_path: Path) -> None:
    """The transformation of an on-demand view is code that whoever applied it wrote."""
    from feast import FeatureStore
    from mlflow import MlflowClient

    from ..conftest import make_repository
    from .conftest import define

    folder = make_repository(jp_root_dir / "evil", define=define)
    MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()  # makes it
    registry = FeatureStore(repo_path=str(folder)).registry
    proto = registry.proto()
    (view,) = proto.on_demand_feature_views
    trap = f"cposix\nsystem\n(S'touch {tmp_path}/run'\ntR.".encode()
    view.spec.feature_transformation.user_defined_function.body = trap
    view.spec.user_defined_function.body = trap
    (folder / "registry.db").write_bytes(proto.SerializeToString())
    for route in ("catalog", "lineage", "mlflow-feature-usage"):
        assert (await get(route))[0] == 200, route

    assert not (tmp_path / "run").exists()


async def test_a_worker_that_is_killed_is_made_anew(
    get: Any, here: Path, jp_serverapp: Any
) -> None:
    await get("catalog")
    worker = worker_of(jp_serverapp)
    first = worker.pid
    os.kill(first, signal.SIGKILL)
    status, _, _found = await get("operations")

    assert status == 200
    assert worker.pid not in (None, first)


async def test_a_worker_killed_while_it_answers_is_asked_again(
    get: Any, here: Path, jp_serverapp: Any
) -> None:
    worker = worker_of(jp_serverapp)
    asking = asyncio.ensure_future(get("catalog"))
    while worker.pid is None:
        await asyncio.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)

    assert (await asking)[0] == 200


async def test_ten_callers_are_one_question(get: Any, here: Path, jp_serverapp: Any) -> None:
    asked = []
    answers = process_answers(jp_serverapp)
    before, ask = answers.get, worker_of(jp_serverapp).ask
    arrived, everyone = [], asyncio.Event()

    async def arrive(*given: Any) -> Any:
        arrived.append(given)
        if len(arrived) == 10:
            everyone.set()
        return await before(*given)

    async def counted(question: Any, silence: float) -> Any:
        asked.append(question["ask"])
        await everyone.wait()
        return await ask(question, silence)

    answers.get, answers._ask = arrive, counted
    found = await asyncio.gather(*(get("catalog") for _ in range(10)))

    assert [status for status, _, _ in found] == [200] * 10
    assert asked == ["catalog"]


def process_answers(app: Any) -> Any:
    return app.web_app.settings["feast_nb_answers"]


async def test_the_last_answer_is_there_at_once_after_a_restart(
    get: Any, here: Path, jp_serverapp: Any
) -> None:
    """From the disk, with its age, while the worker is starting."""
    _, _, first = await get("catalog", repo="team/repo")
    worker = worker_of(jp_serverapp)
    os.kill(worker.pid, signal.SIGKILL)
    process_answers(jp_serverapp)._kept.clear()
    status, headers, found = await get("catalog", {"Prefer": "wait=0"}, repo="team/repo")

    assert (status, headers["Feast-Nb-State"]) == (200, "refreshing")
    assert found == first
    status, headers, _ = await get("catalog", repo="team/repo")
    assert headers["Feast-Nb-State"] == "ready"


async def test_the_server_answers_others_meanwhile(
    get: Any, here: Path, jp_fetch: Any, gate: Path
) -> None:
    """While the worker starts and everything is asked at once; how long, `make bench` tells."""
    asking = [asyncio.ensure_future(get(route)) for route in ROUTES if route != "repositories"]
    for _ in range(20):
        assert (await jp_fetch("api")).code == 200
    assert not any(task.done() for task in asking)
    (gate / "open").touch()

    assert {status for status, _, _ in await asyncio.gather(*asking)} == {200}


async def test_a_cold_worker_says_so_at_once(
    get: Any, get_once: Any, here: Path, gate: Path
) -> None:
    """However long its imports take on a busy hub; the question is under way meanwhile."""
    for headers in ({}, {"Prefer": "wait=0"}):
        status, told, said = await get_once("catalog", headers)
        assert (status, told["Feast-Nb-State"], told["Retry-After"]) == (202, "starting", "1")
        assert said["reason"] == "starting"
    (gate / "open").touch()
    status, told, found = await get("catalog")

    assert (status, told["Feast-Nb-State"], found["project"]) == (200, "ready", "drivers")


async def test_who_would_wait_for_a_cold_worker_waits(
    get_once: Any, here: Path, gate: Path
) -> None:
    (gate / "open").touch()
    status, _, found = await get_once("catalog", {"Prefer": "wait=100"})
    while status == 202:  # the limit of the server, on a machine so slow
        status, _, found = await get_once("catalog", {"Prefer": "wait=100"})

    assert (status, found["project"]) == (200, "drivers")


async def test_a_refusal_waits_for_who_was_told_to_ask_again(
    get: Any, get_once: Any, here: Path, gate: Path, jp_serverapp: Any
) -> None:
    """A worker that cannot start is no worker that is starting for ever."""
    (gate / "dead").touch()
    assert (await get_once("catalog"))[0] == 202
    status, _, said = await get("catalog")

    assert status == 503
    assert "server's log" in said["message"]


async def test_an_idle_worker_ends(here: Path, tmp_path: Path) -> None:
    import logging

    from feast_nb.server.worker_process import WorkerProcess

    process = WorkerProcess(logging.getLogger("test"), idle=0.5)
    question = {"ask": "catalog", "repo": str(here / "feature_store.yaml")}
    assert (await process.ask(question, 60)).status == 200
    pid = process.pid
    for _ in range(100):
        if not lives(pid):
            break
        await asyncio.sleep(0.1)

    assert not lives(pid)
    assert (await process.ask(question, 60)).status == 200
    await process.stop()


def lives(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def test_a_worker_that_hangs_is_given_up(here: Path) -> None:
    import logging

    from feast_nb.server.worker_process import WorkerHung, WorkerProcess

    process = WorkerProcess(logging.getLogger("test"), idle=60)
    question = {"ask": "catalog", "repo": str(here / "feature_store.yaml")}
    assert (await process.ask(question, 60)).status == 200
    hung = process.pid
    os.kill(hung, signal.SIGSTOP)
    with pytest.raises(WorkerHung):
        await process.ask(question, 0.5)

    assert (await process.ask(question, 60)).status == 200
    assert process.pid != hung
    await process.stop()


@pytest.mark.slow
async def test_a_tracking_server_that_is_down_is_answered_from_the_copy(
    get: Any, jp_root_dir: Path, tmp_path: Path
) -> None:
    """With its age, whether it refuses or says nothing, long before Feast's minutes are over."""
    from mlflow import MlflowClient

    from ..conftest import make_repository

    folder, port = tmp_path / "mlflow", free_port()
    folder.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
               "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]  # fmt: skip
    server = subprocess.Popen(command, cwd=folder, start_new_session=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{url}/health"), 90, "MLflow")
        make_repository(jp_root_dir / "repo", tracking_uri=url)
        tags = {"feast.project": "drivers", "feast.retrieval_type": "historical",
                "feast.feature_refs": "hourly:trips"}  # fmt: skip
        MlflowClient(url).create_run("0", tags=tags)
        _, _, before = await get("mlflow-runs")
        assert len(before["runs"]) == 1
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    silent = socket.socket()
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for state in ("refuses", "says nothing"):
        if state == "says nothing":
            silent.bind(("127.0.0.1", port))
            silent.listen(50)
        await asyncio.sleep(2.1)
        status, _, runs = await asyncio.wait_for(get("mlflow-runs"), 60)
        _, _, found = await get("catalog")

        assert (status, len(runs["runs"])) == (200, 1)
        assert runs["as_of"] == before["as_of"]
        assert found["tracking"]["state"] == "away"
        assert "as of" in found["tracking"]["said"]
        assert {v["name"]: v["training"] for v in found["views"]}["hourly"] == 1
    silent.close()


async def test_what_depends_on_a_view_is_not_guessed_while_mlflow_is_away(
    get: Any, jp_root_dir: Path
) -> None:
    """Nothing depends on it, as far as the registry knows: that would be no answer."""
    from ..conftest import make_repository

    make_repository(jp_root_dir / "repo", tracking_uri=f"http://127.0.0.1:{free_port()}")
    for route in ("impact", "lineage"):
        status, _, said = await get(route, object="view=hourly")
        assert status == 503
        assert "cannot be reached" in said["message"]


@pytest.mark.slow
async def test_a_kernel_says_what_only_it_knows(
    get: Any, here: Path, jp_root_dir: Path, jp_serverapp: Any, tmp_path: Path
) -> None:
    """Its repository, server and open run: written by a real kernel, read by the server."""
    from jupyter_client.manager import start_new_kernel
    from jupyter_core.paths import jupyter_runtime_dir

    manager, client = start_new_kernel(cwd=str(here))
    try:

        def run(code: str) -> None:
            reply = client.execute_interactive(code, timeout=120, output_hook=lambda _: None)
            assert reply["content"]["status"] == "ok", reply["content"]

        run("%load_ext feast_nb")
        run("_ = %feast_store .")
        run("_ = %feast_run open_one")
        _, _, found = await get("repositories")
        (kernel,) = found["kernels"]
        assert kernel["repo"] == "team/repo"
        assert kernel["tracking_uri"].startswith("sqlite:///")
        assert kernel["run"]["name"] == "open_one"
        run("_ = %feast_run --end")
        (kernel,) = (await get("repositories"))[2]["kernels"]
        assert kernel["run"] is None
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    left = list(Path(jupyter_runtime_dir()).glob("feast-nb-*.json"))
    assert len(left) == 1  # killed, it could not take it away
    assert (await get("repositories"))[2]["kernels"] == []
    assert not list(Path(jupyter_runtime_dir()).glob("feast-nb-*.json"))


@pytest.fixture
def kernel_file(jp_runtime_dir: Path) -> Any:
    def write(**told: Any) -> None:
        jp_runtime_dir.mkdir(parents=True, exist_ok=True)
        (jp_runtime_dir / "feast-nb-1.json").write_text(
            json.dumps({"kernel": "1", "pid": os.getpid(), "notebook": None, **told})
        )

    return write


async def test_a_kernel_outside_is_told_without_its_path(
    get: Any, here: Path, tmp_path: Path, kernel_file: Any
) -> None:
    kernel_file(repository=str(tmp_path / "elsewhere" / "feature_store.yaml"))
    (kernel,) = (await get("repositories"))[2]["kernels"]

    assert kernel["repo"] is None


async def test_a_repository_that_names_no_server_is_read_where_its_notebooks_write(
    get: Any, jp_root_dir: Path, kernel_file: Any, here: Path
) -> None:
    from ..conftest import make_repository

    repo = make_repository(jp_root_dir / "bare", tracking_uri=None)
    kernel_file(
        repository=str(repo / "feature_store.yaml"), tracking_uri=f"sqlite:///{here}/mlflow.db"
    )
    _, _, found = await get("catalog", repo="bare")

    assert [m["name"] for m in found["models"]] == ["m", "p"]


async def test_a_notebook_that_ends_mid_file_is_no_trouble(
    get: Any, here: Path, jp_runtime_dir: Path
) -> None:
    jp_runtime_dir.mkdir(parents=True, exist_ok=True)
    (jp_runtime_dir / "feast-nb-1.json").write_text('{"kernel": "1", "pi')

    assert (await get("repositories"))[2]["kernels"] == []


async def test_what_is_not_there_yet_is_not_made(get: Any, jp_root_dir: Path) -> None:
    """Feast makes a registry and MLflow a database when they are opened; with a notebook that does
    so at the same time, both would break. Reading waits until they are there."""
    from ..conftest import YAML, make_repository

    folder = jp_root_dir / "new"
    folder.mkdir()
    mlflow = 'mlflow: {enabled: true, tracking_uri: "sqlite:///mlflow.db"}'
    text = YAML.format(project="drivers", offline="duckdb", mlflow=mlflow)
    (folder / "feature_store.yaml").write_text(text)
    _, _, found = await get("catalog", repo="new")
    _, _, runs = await get("mlflow-runs", repo="new")
    assert (found["tracking"]["state"], found["views"]) == ("unapplied", [])
    assert "feast apply" in runs["reason"]
    assert [p.name for p in folder.iterdir()] == ["feature_store.yaml"]

    make_repository(folder)
    await asyncio.sleep(2.1)
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    _, _, found = await get("catalog", repo="new")
    _, _, runs = await get("mlflow-runs", repo="new")
    assert found["tracking"]["state"] == "unmade"
    assert {v["name"] for v in found["views"]} == {"hourly", "profile"}
    assert "the first run makes them" in runs["reason"]
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before


async def test_a_database_of_another_mlflow_is_left_as_it_is(get: Any, here: Path) -> None:
    """MLflow would make the tables that are missing, in the middle of somebody's own migration."""
    import sqlite3

    with sqlite3.connect(here / "mlflow.db") as db:
        db.execute("UPDATE alembic_version SET version_num = 'older'")
        db.execute("DROP TABLE logged_models")
    _, _, found = await get("catalog", repo="team/repo")

    assert found["tracking"]["state"] == "unmade"
    with sqlite3.connect(here / "mlflow.db") as db:
        assert db.execute("SELECT * FROM alembic_version").fetchall() == [("older",)]


@pytest.mark.slow
async def test_models_say_how_the_registry_has_drifted_from_them(get: Any, here: Path) -> None:
    """A TTL that was changed, then a feature that is gone: as the panel tells it."""
    from datetime import timedelta

    from feast import FeatureStore, FeatureView, Field
    from feast.types import Float32

    async def champion() -> tuple[str, str]:
        _, _, found = await get("catalog")
        version = next(v for v in found["models"][0]["versions"] if v["aliases"])
        return version["drift"], " ".join(version["changes"])

    assert await champion() == ("same", "")
    store = FeatureStore(repo_path=str(here))
    hourly = store.get_feature_view("hourly")
    hourly.ttl = timedelta(days=9)
    store.apply(hourly)
    await asyncio.sleep(2.1)
    drift, said = await champion()
    assert drift == "needs retraining"
    assert "9 d" in said

    for name in ("activity", "rates", "everything"):
        store.delete_feature_service(name)
    store.registry.delete_feature_view("doubled", store.project)
    driver = store.get_entity("driver")
    store.apply(FeatureView(name="hourly", entities=[driver], ttl=hourly.ttl,
                            schema=[Field(name="conv_rate", dtype=Float32)],
                            source=hourly.batch_source))  # fmt: skip
    await asyncio.sleep(2.1)
    drift, said = await champion()
    assert drift == "breaks serving"
    assert "hourly:trips" in said


SERVES = """\
import asyncio, logging, sys
from feast_nb.server.worker_process import WorkerProcess

async def main():
    process = WorkerProcess(logging.getLogger(), idle=600)
    await process.ask({"ask": "catalog", "repo": sys.argv[1]}, 90)
    print(process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.slow
def test_the_worker_ends_with_a_server_that_is_killed(here: Path) -> None:
    command = [sys.executable, "-c", SERVES, str(here / "feature_store.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        worker = int(server.stdout.readline())
        assert lives(worker)
        server.kill()

    wait_for(lambda: not lives(worker), 20, "the worker to end")


def test_no_address_is_told_with_its_password(here: Path, tmp_path: Path) -> None:
    """MLflow's, as Feast's endpoint of the same name tells it: `mlflow_uri`."""
    from feast_nb.questions import feast_ui
    from feast_nb.questions.monitor import RepositoryMonitor
    from feast_nb.questions.source import HistorySource

    yaml = here / "feature_store.yaml"
    text = yaml.read_text()
    yaml.write_text(
        text.replace("auto_log", 'ui_url: "http://me:hunter2@mlflow:5000", auto_log', 1)
    )
    watched = RepositoryMonitor(yaml)
    past = HistorySource(watched.store, f"sqlite:///{here}/mlflow.db")
    past.refresh()
    told = json.dumps([feast_ui.runs(past), watched.overview().to_dict()])

    assert "http://mlflow:5000" in told
    assert "hunter2" not in told
