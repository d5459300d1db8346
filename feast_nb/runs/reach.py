"""Whether an MLflow server answers: asked in seconds, and its refusals as one line of ours."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit

from ..errors import TrackingError
from .brief import brief

PATIENCE = 3.0  # seconds for a first sign of life; MLflow's own retries go on for minutes
_seen_alive: dict[str, float] = {}


def ping(uri: str | None) -> None:
    """Raise `TrackingError` within seconds where no server answers at an http(s) address.

    A plain connection tells: a refusing or silent host is what MLflow would retry for minutes.
    """
    parts = urlsplit(uri or "")
    if (
        parts.scheme not in ("http", "https")
        or time.monotonic() - _seen_alive.get(str(uri), -9) < 5
    ):
        return
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = make(str(parts.hostname), parts.port, timeout=PATIENCE)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/health")
        status = connection.getresponse().status
    except (OSError, HTTPException) as problem:
        what = "no answer" if isinstance(problem, socket.timeout) else str(problem)
        raise _unreachable(parts, what) from None
    finally:
        connection.close()
    if status >= 500:
        raise TrackingError(
            f"the MLflow server at {parts.hostname} answers {status}; look at its log."
        )
    _seen_alive[str(uri)] = time.monotonic()


@contextmanager
def sending() -> Iterator[None]:
    """Requests of the background: they give up soon, and say so as `ping` does."""
    from mlflow.exceptions import MlflowException

    try:
        with brief():
            yield
    except MlflowException as problem:
        if (away := _away(problem)) is not None:
            raise away from problem
        raise


@contextmanager
def plain_errors() -> Iterator[None]:
    """The same, with MLflow's refusals as one line of ours and its error as the cause."""
    from mlflow.exceptions import MlflowException

    try:
        with sending():
            yield
    except MlflowException as problem:
        text = " ".join(str(problem).split())
        raise TrackingError(f"MLflow refuses: {text[:300]}") from problem


def _away(problem: Exception) -> TrackingError | None:
    """The error for a server that went away since it was last heard of; None for another."""
    found = re.search(r"API request to (\S+) failed with exception (.*)", str(problem), re.S)
    if found is None:
        return None
    parts, cause = urlsplit(found[1]), found[2]
    for uri in [u for u in _seen_alive if urlsplit(u).netloc == parts.netloc]:
        _seen_alive.pop(uri, None)
    return _unreachable(parts, "no answer" if "timed out" in cause else "connection refused")


def _unreachable(parts: SplitResult, what: str) -> TrackingError:
    return TrackingError(
        f"the MLflow server at {parts.hostname}:{parts.port or parts.scheme} cannot be "
        f"reached ({what}); start it, or correct mlflow.tracking_uri in feature_store.yaml."
    )
