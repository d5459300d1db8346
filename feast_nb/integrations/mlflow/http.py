"""MLflow's server, asked as MLflow asks, with little patience: its retries go on for minutes.

Certificates, tokens and proxies are those of MLflow's own client, since it is what asks. What
cannot be sent is kept on disk and tried again by the outbox; what a magic asks for is refused in
one line. The user's own calls of MLflow keep MLflow's patience.
"""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, TypeGuard
from urllib.parse import SplitResult, urlsplit

from ...errors import TrackingError, brief
from ...patching.patches import Patches

if TYPE_CHECKING:
    from requests import Response

PATIENCE = 3.0  # seconds for a first sign of life
_SECONDS = (3.05, 3.9)  # to connect, and between two bytes of an answer
_LIVES = 1.0  # for the page of health of one that gave none: five in all, whoever is at fault
_SENDS = "_get_http_response_with_retries"

_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"

_short: ContextVar[bool] = ContextVar("feast_nb_short_timeouts", default=False)
_seen_alive: dict[str, float] = {}


def allowed(usual: float) -> float:
    """Seconds to wait for an answer: ours, or MLflow's own setting where the user made it longer.

    Whoever sets it has a server that is slow.
    """
    try:
        return max(usual, float(os.environ.get(_TIMEOUT, "")))
    except ValueError:
        return usual


def check_reachable(uri: str | None) -> None:
    """Raise `TrackingError` within seconds where no server answers at an http(s) address."""
    parts = urlsplit(uri or "")
    if (
        parts.scheme not in ("http", "https")
        or time.monotonic() - _seen_alive.get(str(uri), -9) < 5
    ):
        return
    from mlflow.exceptions import MlflowException

    try:
        status = _ask(str(uri), PATIENCE)
    except MlflowException as problem:
        raise _unreachable(parts, _cause(str(problem))) from None
    if status >= 500:
        raise TrackingError(
            f"the MLflow server at {parts.hostname} answers {status}; look at its log."
        )
    _seen_alive[str(uri)] = time.monotonic()


def check_takes_models(uri: str) -> None:
    """Raise `TrackingError` for a server that is too old to be sent a model, with its version.

    A model is logged to MLflow 3 or later; a server that does not say its version is believed.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return
    if uri not in _versions:
        check_reachable(uri)
        _versions[uri] = _version_of(uri)
    if re.match(r"[012]\.", _versions[uri]):
        raise TrackingError(
            f"the MLflow server at {parts.hostname} is {_versions[uri]}, and models are logged to "
            "MLflow 3; update it, or name another in mlflow.tracking_uri."
        )


_versions: dict[str, str] = {}


def _version_of(uri: str) -> str:
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        answer = http_request(
            get_default_host_creds(uri),
            "/version",
            "GET",
            timeout=allowed(PATIENCE),
            max_retries=0,
            raise_on_status=False,
        )
    except MlflowException:
        return ""
    return str(answer.text).strip()[:40] if answer.status_code == 200 else ""


def _ask(uri: str, usual: float) -> int:
    """The status of the server's page of health, by MLflow's own request."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    ask = functools.partial(
        http_request,
        get_default_host_creds(uri),
        "/health",
        "GET",
        timeout=allowed(usual),
        max_retries=0,
        retry_timeout_seconds=allowed(usual),
        raise_on_status=False,
    )
    try:
        return int(ask().status_code)
    except MlflowException as problem:
        if not re.search("aborted|reset|closed|disconnected", str(problem), re.I):
            raise
        return int(ask().status_code)  # a connection that was kept open for too long is made anew


def _cause(text: str) -> str:
    """Why a request failed, in few words."""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "its certificate is not trusted; name it in MLFLOW_TRACKING_SERVER_CERT_PATH"
    if "timed out" in text or "timeout" in text:
        return "no answer"
    known = re.search(
        "Name or service not known|Temporary failure in name resolution|nodename nor servname"
        "|No route to host|Cannot connect to proxy|Connection refused|SSLError",
        text,
    )
    return known[0][0].lower() + known[0][1:] if known else "no connection"


@contextmanager
def short_timeouts() -> Iterator[None]:
    """Requests of ours: they give up soon, and a server that went away is told as one."""
    from mlflow.exceptions import MlflowException

    token = _short.set(True)
    try:
        yield
    except MlflowException as problem:
        if (away := _away(problem)) is not None:
            raise away from problem
        raise
    finally:
        _short.reset(token)


@contextmanager
def translate_errors() -> Iterator[None]:
    """The same, with MLflow's refusals as one line of ours and its error as the cause."""
    from mlflow.exceptions import MlflowException

    try:
        with short_timeouts():
            yield
    except MlflowException as problem:
        text = " ".join(str(problem).split())
        raise TrackingError(f"MLflow refuses: {brief(text, 300)}") from problem


def _away(problem: Exception) -> TrackingError | None:
    """The error for a server that does not answer any more; None for another.

    A server that runs and waits for what is behind it is not told as one that is away.
    """
    found = re.search(
        r"API request to (\S+) failed with (?:timeout )?exception (.*)", str(problem), re.S
    )
    if found is None:
        return None
    parts = urlsplit(found[1])
    why, seen = _cause(str(problem)), None
    for uri in [u for u in _seen_alive if urlsplit(u).netloc == parts.netloc]:
        _seen_alive.pop(uri, None)
        seen = uri
    server = f"the MLflow server at {parts.hostname}:{parts.port or parts.scheme}"
    if (failed := re.search(r"too many (5\d\d) error responses", str(problem))) is not None:
        return TrackingError(
            f"{server} answers {failed[1]}: its database or its artifact store may be away; see "
            "its log."
        )
    if why == "no answer" and seen is not None and _lives(seen):
        return TrackingError(
            f"{server} runs, and did not answer in time: its database or its artifact store may "
            "be away, or it is busy; see its log."
        )
    return _unreachable(parts, why)


def _lives(uri: str) -> bool:
    """Whether its page of health answers, for which it asks nobody."""
    from mlflow.exceptions import MlflowException

    try:
        return _ask(uri, _LIVES) < 500
    except MlflowException:
        return False


def _unreachable(parts: SplitResult, what: str) -> TrackingError:
    return TrackingError(
        f"the MLflow server at {parts.hostname}:{parts.port or parts.scheme} cannot be "
        f"reached ({what}); start it, or correct mlflow.tracking_uri in feature_store.yaml."
    )


def follow(patches: Patches) -> None:
    """Put it around MLflow's one function that sends requests, now or when it is imported."""

    def put(module: ModuleType) -> None:
        if hasattr(module, _SENDS):
            patches.replace(module, _SENDS, patient)

    patches.on_import("mlflow.utils.rest_utils", put)


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a timeout is one number: requests takes two as well."""
    return isinstance(value, (int, float))


def patient(original: Callable[..., Response]) -> Callable[..., Response]:
    """What is put around MLflow's one function that sends requests."""

    @functools.wraps(original)
    def send(method: str, url: str, max_retries: int, *args: object, **kwargs: object) -> Response:
        if not _short.get():
            return original(method, url, max_retries, *args, **kwargs)
        from requests import ConnectionError

        if method.upper() != "PUT":  # a large file takes the server its time
            asked, most = kwargs.get("timeout"), allowed(_SECONDS[1])
            kwargs["timeout"] = (_SECONDS[0], min(asked, most) if _is_number(asked) else most)
        try:
            return original(method, url, 0, *args, **kwargs)
        except ConnectionError as problem:
            if "timed out" in str(problem):
                raise
            # A connection that was kept open for too long is made anew.
            return original(method, url, 0, *args, **kwargs)

    return send
