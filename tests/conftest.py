"""A tiny feature repository, a shell, and nothing of the user's own folders."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from . import watchdog
from .watchdog import no_import_in_our_threads  # noqa: F401 (a fixture of every test)

NOW = pd.Timestamp("2024-01-10 12:00", tz="UTC")

# Every process that a test starts finds what typeguard makes of Feast. This one, where it is no
# worker of pytest's that was started the same way, asks for it here.
STARTUP = str(Path(__file__).with_name("startup"))
if STARTUP not in os.getenv("PYTHONPATH", "").split(os.pathsep):
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [STARTUP, os.getenv("PYTHONPATH")]))
    from .startup import sitecustomize  # noqa: F401

# An MLflow server runs seven further processes for jobs (evaluations) that nothing here asks for.
SERVERS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

YAML = """\
project: {project}
registry: registry.db
provider: local
offline_store: {{type: {offline}}}
online_store: {{type: sqlite, path: online.db}}
entity_key_serialization_version: 3
{mlflow}
"""


def pytest_configure() -> None:
    """Ctrl-C interrupts: a shell that starts the tests in the background has it ignored.

    And no example of hypothesis has failed because the machine is busy.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    watchdog.install()
    settings.register_profile(
        "busy",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        # A gate says the same of the same commit; whoever works on it looks further each time.
        derandomize=bool(os.environ.get("CI")),
    )
    settings.load_profile("busy")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadgroup` by what a module says of itself.

    pytest-xdist 3.8 hands the groups on in the tests' ids, which pytest 9.2 makes anew: every test
    was dealt by itself, and what a module makes once was made by each worker.
    """
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    groups: dict[str, str | None] = {}

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            if path not in groups:
                found = re.search(r'^pytestmark = .*xdist_group\("(\w+)"\)',
                                  (config.rootpath / path).read_text(), re.MULTILINE)  # fmt: skip
                groups[path] = found and found[1]
            return groups[path] or nodeid

    return ByGroup(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that CI skips is claimed and not run: it has failed."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session", autouse=True)
def _outside(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is made before the first test, too, lies outside the checkout.

    Feast alone takes `sqlite:///mlflow.db` from the working folder, and MLflow keeps the first
    connection for such an address: two workers would share one database, and make it at once.
    """
    os.chdir(tmp_path_factory.mktemp("outside"))
    os.environ.update(SERVERS)


@pytest.fixture(scope="session", autouse=True)
def _no_search_for_requirements() -> Iterator[None]:
    """A logged model names the packages of its flavour: the one thing here that is not the real one.

    MLflow starts a process for each logged model that loads it, to see what it imports: seven
    eighths of a training test's time. `real_requirements` has MLflow's own back.
    """
    import mlflow.models

    def named(uri: str, flavor: str, fallback: Any = None, *args: Any, **kwargs: Any) -> Any:
        return fallback

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow.models, "infer_pip_requirements", named)
        yield


@pytest.fixture
def real_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow looks for a model's requirements itself, in a process of its own."""
    import mlflow.models
    from mlflow.utils.environment import infer_pip_requirements

    monkeypatch.setattr(mlflow.models, "infer_pip_requirements", infer_pip_requirements)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test in a folder of its own, with a state folder of its own, and no run left over."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("FEAST_NB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("FEAST_NB_CACHE", str(tmp_path / "cache"))
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "FEAST_FS")) and name != "MLFLOW_HTTP_REQUEST_MAX_RETRIES":
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name, value in SERVERS.items():
        monkeypatch.setenv(name, value)
    yield
    from feast_nb import recorder

    recorder.shut()
    if (mlflow := sys.modules.get("mlflow")) is not None:
        from mlflow.tracking import fluent

        fluent._active_run_stack.get().clear()
        fluent._active_experiment_id = None
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
        mlflow.set_tracking_uri(None)
        mlflow.autolog(disable=True)
        if "mlflow.sklearn" in sys.modules:  # asked for by itself, it stays on by itself
            mlflow.sklearn.autolog(disable=True)
    if (module := sys.modules.get("feast.mlflow")) is not None:
        module._client = module._registered_store = None


def stats(rows_each: int = 20) -> pd.DataFrame:
    """Ten drivers, a row every twelve hours from 1 January 2024 on."""
    draw = np.random.default_rng(3)
    moments = pd.date_range("2024-01-01", periods=rows_each, freq="12h", tz="UTC")
    frame = pd.DataFrame(
        {
            "driver_id": np.repeat(np.arange(10), rows_each),
            "event_timestamp": list(moments) * 10,
            "conv_rate": draw.random(10 * rows_each).astype("float32"),
            "acc_rate": draw.random(10 * rows_each).astype("float32"),
            "trips": draw.integers(0, 50, 10 * rows_each),
        }
    )
    frame["event_timestamp"] = frame["event_timestamp"].astype("datetime64[us, UTC]")
    return frame


def define(repo: Path) -> list[Any]:
    """Entity, two views, an on-demand view and four services over `stats.parquet`."""
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32, Int64

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(
        name="stats", path=str(repo / "stats.parquet"), timestamp_field="event_timestamp"
    )
    hourly = FeatureView(
        name="hourly",
        entities=[driver],
        ttl=timedelta(days=3),
        schema=[
            Field(name="conv_rate", dtype=Float32),
            Field(name="acc_rate", dtype=Float32),
            Field(name="trips", dtype=Int64),
        ],
        source=source,
    )
    profile = FeatureView(
        name="profile",
        entities=[driver],
        ttl=timedelta(days=365),
        schema=[Field(name="age", dtype=Int64)],
        source=FileSource(
            name="ages", path=str(repo / "ages.parquet"), timestamp_field="event_timestamp"
        ),
    )
    return [
        driver,
        hourly,
        profile,
        FeatureService(name="activity", features=[hourly]),
        FeatureService(name="rates", features=[hourly[["conv_rate", "acc_rate"]]]),
        FeatureService(name="everything", features=[hourly, profile]),
    ]


def make_repository(
    folder: Path,
    *,
    project: str = "drivers",
    offline: str = "duckdb",
    tracking_uri: str | None = "sqlite:///mlflow.db",
    mlflow: str | None = None,
    define: Callable[[Path], list[Any]] = define,
) -> Path:
    """Write and apply a feature repository; `mlflow` replaces the whole block of that name."""
    from feast import FeatureStore

    folder.mkdir(parents=True, exist_ok=True)
    block = mlflow
    if block is None:
        uri = f', tracking_uri: "{tracking_uri}"' if tracking_uri else ""
        block = f"mlflow: {{enabled: true, auto_log_entity_df: true{uri}}}"
    text = YAML.format(project=project, offline=offline, mlflow=block)
    (folder / "feature_store.yaml").write_text(text)
    stats().to_parquet(folder / "stats.parquet")
    ages = stats(1)[["driver_id", "event_timestamp"]].assign(age=range(30, 40))
    ages.to_parquet(folder / "ages.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FeatureStore(repo_path=str(folder)).apply(define(folder))
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose tracking database is made already, which takes MLflow a second."""
    import mlflow

    folder = tmp_path_factory.mktemp("template") / "repo"
    make_repository(folder)
    mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder


@pytest.fixture
def repo(template: Path, tmp_path: Path) -> Path:
    """A feature repository of one's own, with MLflow on SQLite beside it."""
    folder = tmp_path / "repo"
    shutil.copytree(template, folder)
    from feast import FeatureStore

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FeatureStore(repo_path=str(folder)).apply(define(folder))  # sources lie in the copy
    return folder


@pytest.fixture
def drivers() -> pd.DataFrame:
    """An entity frame: six drivers, one moment, and a label."""
    return pd.DataFrame(
        {"driver_id": [1, 2, 3, 4, 5, 6], "event_timestamp": [NOW] * 6, "y": [0, 1, 0, 1, 0, 1]}
    )


class Notebook:
    """IPython as a notebook uses it: cells run one by one, outputs and errors are kept."""

    def __init__(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        InteractiveShell.clear_instance()
        config = Config(
            {"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}}
        )
        self.shell = InteractiveShell.instance(config=config)
        self.shown: list[dict[str, Any]] = []
        self.tracebacks: list[str] = []
        self.shell.display_pub.publish = lambda data, *args, **kwargs: self.shown.append(data)
        self.shell._showtraceback = lambda kind, error, lines: self.tracebacks.append(
            "\n".join(lines)
        )

    @property
    def space(self) -> dict[str, Any]:
        return self.shell.user_ns

    def run(self, source: str) -> Any:
        """Run a cell that must succeed; its value."""
        result = self.shell.run_cell(source, store_history=True)
        assert result.success, "\n".join(self.tracebacks) or result.error_before_exec
        return result.result

    def fails(self, source: str) -> str:
        """Run a cell that must fail; what the user is shown, in one traceback."""
        before = len(self.tracebacks)
        result = self.shell.run_cell(source, store_history=True)
        assert not result.success, "the cell went on"
        shown = self.tracebacks[before:]
        assert len(shown) == 1, shown
        return shown[0]


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    """A notebook with the extension loaded."""
    from IPython.core.interactiveshell import InteractiveShell

    book = Notebook()
    book.run("%load_ext feast_nb")
    yield book
    book.shell.run_line_magic("unload_ext", "feast_nb")
    InteractiveShell.clear_instance()


@pytest.fixture
def client(repo: Path) -> Any:
    """MLflow's own client on the repository's tracking server: what really arrived."""
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{repo}/mlflow.db")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on SQLite; its address."""
    with mlflow_in(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@contextmanager
def mlflow_in(folder: Path) -> Iterator[str]:
    """A real MLflow server that keeps all it has in a folder; its address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
               "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination",
               str(folder / "artifacts"), "--workers", "1"]  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{url}/health"), 90, f"MLflow: {folder / 'log'}")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=60)


def answers(url: str) -> bool:
    """Whether a server answers at a URL."""
    try:
        with urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> None:
    """Wait until a condition holds; fails with `what` when it does not in time.

    `seconds` is long for a machine that is at rest: one that is busy has five times that.
    """
    deadline = time.monotonic() + 5 * seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {5 * seconds} s for {what}"
        time.sleep(0.1)


def unheard_of() -> None:
    """As after five seconds: no server's last answer counts as a sign of life any more."""
    from feast_nb.integrations.mlflow import http

    http._seen_alive.clear()


def artifacts(client: Any, run_id: str, folder: str = "") -> dict[str, Any]:
    """The paths of all artifacts of a run."""
    found: dict[str, Any] = {}
    for item in client.list_artifacts(run_id, folder or None):
        if item.is_dir:
            found |= artifacts(client, run_id, item.path)
        else:
            found[item.path] = item
    return found


def read_json(client: Any, run_id: str, path: str) -> Any:
    import json

    return json.loads(Path(client.download_artifacts(run_id, path)).read_text())


def records_of(client: Any, run_id: str, kind: str = "retrievals") -> list[dict[str, Any]]:
    """All retrievals (or writes) of a run's files, as they stand, in order of time."""
    from feast_nb.integrations.mlflow import retrieval_files

    there = retrieval_files.places(client.tracking_uri, run_id)
    found = [one for place in there for one in read_json(client, run_id, place)[kind]]
    return sorted(found, key=lambda one: one["at"])


# What a worker does when it imports Feast: it waits for the file `open`, or it ends.
AT_THE_IMPORT_OF_FEAST = """\
import os, sys, time
from pathlib import Path

HERE = Path(__file__).parent

class Gate:
    def find_spec(self, name, *_):
        if name == "feast":
            if (HERE / "dead").exists():
                os._exit(1)
            while not (HERE / "open").exists():
                time.sleep(0.05)

sys.meta_path.insert(0, Gate())
"""


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is started imports Feast only once the file `open` is in this folder."""
    folder = tmp_path / "gate"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(AT_THE_IMPORT_OF_FEAST)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.getenv("PYTHONPATH", "")]))
    return folder
