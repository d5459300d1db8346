"""Tracking servers that are slow, or old: waited for as MLflow is told to, named by their version."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import feast_nb
from feast_nb.errors import TrackingError
from feast_nb.integrations.mlflow import http, model_lookup

from ..conftest import make_repository


class Answers(BaseHTTPRequestHandler):
    """As much of a server as is asked before a training begins."""

    version, pause = "2.22.0", 0.0
    asked: list[str]

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        time.sleep(self.server.pause)  # type: ignore[attr-defined]
        told = {"/health": "OK", "/version": self.version}.get(self.path)
        self.send_response(200 if told else 404)
        self.end_headers()
        self.wfile.write((told or "<html>Not Found</html>").encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    found.asked, found.pause = [], 0.0  # type: ignore[attr-defined]
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    http._versions.clear()


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_an_old_server_is_named_with_its_version_before_the_training(
    server, tmp_path: Path, drivers
) -> None:
    repo = make_repository(tmp_path / "repo", tracking_uri=address(server))
    session = feast_nb.open(repo)

    with (
        pytest.raises(TrackingError, match=r"is 2\.22\.0, and models are logged to MLflow 3"),
        session.train("v1", service="rates", entity_df=drivers),
    ):
        pytest.fail("the training began")

    assert {p for p in server.asked if "/mlflow/runs/create" in p} == set()


def test_what_an_old_server_does_not_have_counts_as_none(server) -> None:
    assert model_lookup.logged(address(server), "m-" + "0" * 32) is None


@pytest.mark.parametrize(("setting", "waits"), [("20", True), (None, False), ("often", False)])
def test_a_slow_server_is_waited_for_as_long_as_mlflow_is_told_to(
    server, monkeypatch, setting: str | None, waits: bool
) -> None:
    monkeypatch.setattr(http, "PATIENCE", 0.5)
    server.pause = 2.0
    if setting is not None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", setting)

    if setting == "often":  # MLflow's own client refuses it: so it is not our word that fails
        assert http.allowed(3.0) == 3.0
    elif waits:
        http.check_reachable(address(server))
    else:
        with pytest.raises(TrackingError, match="no answer"):
            http.check_reachable(address(server))


def test_one_that_hangs_a_moment_after_a_sign_of_life_costs_five_seconds_in_all(
    server, monkeypatch, tmp_path: Path
) -> None:
    """What is left of them once nothing came is the page of health's, which says who is at fault."""
    from mlflow import MlflowClient

    feast_nb.open(make_repository(tmp_path / "repo", tracking_uri=address(server)))
    given: list[float] = []
    real = http._ask
    monkeypatch.setattr(http, "_ask", lambda uri, s: given.append(s) or real(uri, s))
    http.check_reachable(address(server))
    given.clear()
    server.pause = 6.0

    asked = MlflowClient(address(server)).get_run
    with (
        pytest.raises(TrackingError, match=r"cannot be reached \(no answer\)"),
        http.short_timeouts(),
    ):
        asked("0" * 32)

    assert given == [http._LIVES]
    assert http._SECONDS[1] + http._LIVES <= 5.0
