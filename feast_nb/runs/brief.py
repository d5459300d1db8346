"""MLflow's requests with little patience, where they are ours: its own retries go on for minutes.

What cannot be sent is kept on disk and tried again by the outbox; what a magic asks for is refused
in one line. The user's own calls of MLflow keep MLflow's patience.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from ..patches import Patches

_SENDS = "_get_http_response_with_retries"
_SECONDS = (3.05, 6.0)  # to connect, and between two bytes of an answer

_brief: ContextVar[bool] = ContextVar("feast_nb_brief", default=False)


@contextmanager
def brief() -> Iterator[None]:
    """Give up soon within, in this thread."""
    token = _brief.set(True)
    try:
        yield
    finally:
        _brief.reset(token)


def follow(patches: Patches) -> None:
    """Put it around MLflow's one function that sends requests, now or when it is imported."""

    def put(module: ModuleType) -> None:
        if hasattr(module, _SENDS):
            patches.replace(module, _SENDS, patient)

    patches.on_import("mlflow.utils.rest_utils", put)


def patient(original: Callable[..., Any]) -> Callable[..., Any]:
    """What is put around MLflow's one function that sends requests."""

    @functools.wraps(original)
    def send(method: str, url: str, max_retries: int, *args: Any, **kwargs: Any) -> Any:
        if not _brief.get():
            return original(method, url, max_retries, *args, **kwargs)
        from requests import ConnectionError

        if method.upper() != "PUT":  # a large file takes the server its time
            kwargs["timeout"] = _SECONDS
        try:
            return original(method, url, 0, *args, **kwargs)
        except ConnectionError as problem:
            if "timed out" in str(problem):
                raise
            # A connection that was kept open for too long is made anew.
            return original(method, url, 0, *args, **kwargs)

    return send
