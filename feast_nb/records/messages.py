"""What processes of ours tell each other: a kernel the panel, the worker its server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired, TypedDict

from .record import Record


@dataclass(frozen=True)
class OpenedRun(Record):
    """The run that is open in a kernel."""

    id: str
    name: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class KernelState(Record):
    """What only a kernel knows; `repository` is the path of its `feature_store.yaml`.

    `at` is when it was told, in seconds since 1970.
    """

    kernel: str
    pid: int
    repository: str
    notebook: str | None = None
    tracking_uri: str | None = None
    run: OpenedRun | None = None
    at: float = 0.0


class Question(TypedDict):
    """What the panel asks of a repository; `ask` is the route."""

    ask: str
    repo: str
    tracking_uri: str | None
    object: str | None
    page_token: str | None
    up: int | None
    down: int | None
    max_results: int | None
    id: NotRequired[int]  # of the asking, for the worker


@dataclass(frozen=True)
class AnswerHead(Record):
    """What is known of an answer of the worker, before its `size` bytes of JSON.

    `id` is that of the question; `state` is the tracking server's.
    """

    status: int
    etag: str | None = None
    as_of: str | None = None
    state: str = "ready"
    id: int = 0
    size: int = 0
