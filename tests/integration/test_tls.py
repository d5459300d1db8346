"""A server is asked as MLflow asks: certificates, tokens, passwords, proxies."""

from __future__ import annotations

import base64
import http.server
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from feast_nb.errors import TrackingError
from feast_nb.integrations.mlflow import http as mlflow_http

Serve = Callable[..., str]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of the server's own, and its key."""
    place = tmp_path_factory.mktemp("tls")
    cert, key = place / "cert.pem", place / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@pytest.fixture
def serve(certificate: tuple[Path, Path]) -> Iterator[Serve]:
    """A server that answers what `answer` says to the headers of a request; its address."""
    started: list[http.server.HTTPServer] = []

    def start(
        answer: Callable[[Any], int], secure: bool = True, wants_certificate: bool = False
    ) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(answer(self))
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"OK")

            def log_message(self, *args: Any) -> None: ...

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            if wants_certificate:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(certificate[0])
            server.socket = context.wrap_socket(server.socket, server_side=True)
        started.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"{'https' if secure else 'http'}://127.0.0.1:{server.server_port}"

    mlflow_http._seen_alive.clear()
    yield start
    for each in started:
        each.shutdown()
        each.server_close()


def fine(request: Any) -> int:
    return 200


def test_a_certificate_that_nobody_knows_is_named_as_the_cause(serve) -> None:
    with pytest.raises(TrackingError, match="MLFLOW_TRACKING_SERVER_CERT_PATH") as told:
        mlflow_http.check_reachable(serve(fine))

    assert "127.0.0.1" in str(told.value)


@pytest.mark.parametrize("how", ["insecure", "server certificate", "bundle"])
def test_a_server_with_its_own_certificate_is_reached(serve, certificate, monkeypatch, how) -> None:
    name, value = {
        "insecure": ("MLFLOW_TRACKING_INSECURE_TLS", "true"),
        "server certificate": ("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate[0])),
        "bundle": ("REQUESTS_CA_BUNDLE", str(certificate[0])),
    }[how]
    monkeypatch.setenv(name, value)

    mlflow_http.check_reachable(serve(fine))


def test_a_server_that_wants_a_certificate_gets_it(
    serve, certificate, monkeypatch, tmp_path
) -> None:
    both = tmp_path / "both.pem"
    both.write_text(certificate[0].read_text() + certificate[1].read_text())
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate[0]))
    uri = serve(fine, wants_certificate=True)
    with pytest.raises(TrackingError, match="cannot be reached"):
        mlflow_http.check_reachable(uri)
    monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", str(both))

    mlflow_http.check_reachable(uri)


@pytest.mark.parametrize("how", ["token", "password"])
def test_a_server_that_wants_to_know_who_asks_is_told(serve, monkeypatch, how) -> None:
    if how == "token":
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0k3n")
        wanted = "Bearer t0k3n"
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pass")
        wanted = "Basic " + base64.b64encode(b"ada:pass").decode()
    told: list[str | None] = []

    def answer(request: Any) -> int:
        told.append(request.headers["Authorization"])
        return 200

    mlflow_http.check_reachable(serve(answer, secure=False))

    assert told == [wanted]


def test_a_proxy_is_gone_through(serve, monkeypatch) -> None:
    asked: list[str] = []

    def answer(request: Any) -> int:
        asked.append(request.path)
        return 200

    monkeypatch.setenv("http_proxy", serve(answer, secure=False))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    mlflow_http.check_reachable("http://mlflow.example")

    assert asked == ["http://mlflow.example/health"]


def test_a_server_in_trouble_is_said_to_be(serve) -> None:
    with pytest.raises(TrackingError, match="answers 503"):
        mlflow_http.check_reachable(serve(lambda request: 503, secure=False))
