"""The same calls twice: by Feast alone, then with the extension loaded."""

from __future__ import annotations

import contextlib
import inspect
import os
import shutil
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest

from ..conftest import define, free_port, make_repository, read_json


def forget() -> None:
    """Put MLflow's and Feast's global state back to that of a fresh kernel."""
    import mlflow
    from mlflow.tracking import fluent

    while mlflow.active_run():
        mlflow.end_run()
    fluent._active_experiment_id = None
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    mlflow.set_tracking_uri(None)
    if (module := sys.modules.get("feast.mlflow")) is not None:
        module._client = module._registered_store = None


@pytest.fixture(autouse=True)
def _skops_is_there() -> None:
    """MLflow imports it as it logs; its import looks into every module: a `feast.mlflow` without a
    store raises."""
    import skops.io

    assert skops.io.dumps is not None


@pytest.fixture
def alone(template: Path, tmp_path: Path) -> Any:
    """The store of a repository of its own, as Feast alone opens it: no hook is in place.

    Its tracking URI is absolute, or it would be another one in each folder (row 3.8).
    """
    from feast import FeatureStore

    from feast_nb import recorder

    assert recorder._recorder is None, "the control comes before the extension is loaded"
    folder = tmp_path / "alone"
    shutil.copytree(template, folder)
    change_yaml(folder, "sqlite:///mlflow.db", f"sqlite:///{folder}/mlflow.db")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = FeatureStore(repo_path=str(folder))
        store.apply(define(folder))
    return store


class Load:
    """`%load_ext feast_nb` and `%feast_store`, when called; the notebook is `book` from then on."""

    def __init__(self, repo: Path, request: pytest.FixtureRequest) -> None:
        self._repo = repo
        self._request = request
        self.book: Any = None

    def bare(self) -> Any:
        """Load the extension in a kernel with no history; the notebook."""
        if self.book is None:
            forget()
            self.book = self._request.getfixturevalue("notebook")
        return self.book

    def __call__(self, folder: Path | None = None) -> Any:
        """Load the extension and open a repository; its store."""
        return self.bare().run(f"store = %feast_store {folder or self._repo}\nstore")

    def sent(self) -> None:
        """Wait for what the background has still to send, as the end of a kernel does."""
        from feast_nb import recorder

        assert recorder.current().recording.settle()
        assert recorder.current().flush()


@pytest.fixture
def load(repo: Path, request: pytest.FixtureRequest) -> Load:
    return Load(repo, request)


def change_yaml(folder: Path, old: str, new: str) -> None:
    """Replace a piece of a repository's settings, which must be there."""
    yaml = folder / "feature_store.yaml"
    text = yaml.read_text()
    assert old in text
    yaml.write_text(text.replace(old, new))


def fit(frame: pd.DataFrame, *columns: str) -> Any:
    """A linear model of `y`, which knows its inputs' names."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(frame[list(columns)], frame["y"])


def tags_of(store: Any, run_id: str) -> dict[str, str]:
    """The tags of a run, as MLflow's own client reads them."""
    tags: dict[str, str] = store.mlflow.client.get_run(run_id).data.tags
    return tags


def retrievals_of(store: Any, run_id: str) -> list[dict[str, Any]]:
    """What the run keeps of its retrievals, in order."""
    kept: list[dict[str, Any]] = read_json(store.mlflow.client, run_id, "feast/retrievals.json")[
        "retrievals"
    ]
    return kept


def contracts_of(store: Any, run_id: str) -> dict[str, dict[str, Any]]:
    """The contract of each model that a run logged, by the model's name."""
    client = store.mlflow.client
    found = {}
    for item in client.list_artifacts(run_id, "feast/contracts"):
        contract = read_json(client, run_id, item.path)
        assert item.path == f"feast/contracts/{contract['model_id']}.json"
        found[contract["name"]] = contract
    return found


class Line:
    """The way to a real MLflow server, which can be cut, go silent, and be mended.

    Cut, connections are refused, as where the server was stopped. Silent, they are accepted and
    never answered, as where it hangs.
    """

    def __init__(self, server: str) -> None:
        self._server = ("127.0.0.1", int(server.rpartition(":")[2]))
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._listener: socket.socket | None = None
        self._ends: list[socket.socket] = []
        self._passing = True
        self.asked = 0  # connections that were accepted and not passed on
        self.mend()

    def cut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._thread.join()  # it listens until its last look is over
            self._listener = None
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends = []

    def silence(self) -> None:
        self.cut()
        self._listen(passing=False)

    def mend(self) -> None:
        self.cut()
        self._listen(passing=True)

    def _listen(self, passing: bool) -> None:
        self._passing = passing
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._listener.settimeout(0.05)
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while listener.fileno() >= 0:
            try:
                near = listener.accept()[0]
            except TimeoutError:
                continue
            except OSError:
                return
            near.settimeout(None)
            self._ends.append(near)
            if not self._passing:
                self.asked += 1
                continue
            far = socket.create_connection(self._server)
            self._ends.append(far)
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def line(mlflow_server: str) -> Iterator[Line]:
    """A line to the MLflow server of all tests; mended at the end, so that all can be sent."""
    made = Line(mlflow_server)
    yield made
    made.cut()


@pytest.fixture
def served(line: Line, tmp_path: Path) -> Path:
    """A repository whose tracking server is at the other end of `line`; a project of its own."""
    return make_repository(
        tmp_path / "served", project=f"p{uuid4().hex[:8]}", tracking_uri=line.url
    )


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Each test says its row and what that is about: `make conformance` makes a table of it."""
    for item in items:
        for mark in item.iter_markers("conformance"):
            says = inspect.getdoc(item.function) or ""
            item.user_properties += [("row", str(mark.args[0])), ("says", says)]
