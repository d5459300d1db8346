"""Follow a retrieval job from the call that made it to what it gave, without touching either."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ...patching.interrupts import uninterrupted

if TYPE_CHECKING:
    import pyarrow as pa
    from feast.infra.offline_stores.offline_store import RetrievalJob
    from feast.saved_dataset import SavedDatasetStorage

METHODS = (
    "to_df",
    "to_feast_df",
    "to_arrow",
    "to_tensor",
    "to_ray_dataset",
    "to_spark_df",
    "persist",
    "to_remote_storage",
)
Token = TypeVar("Token")
Taken = TypeVar("Taken", contravariant=True)
_TOKEN = "_feast_nb_token"


@dataclass(frozen=True)
class JobResult:
    """A job that ran: through which method, in how many seconds, with what result.

    `table` is the Arrow table it made on the way, if it made one; `storage` what `persist` wrote
    to.
    """

    method: str
    seconds: float
    result: Any
    table: pa.Table | None = None
    storage: SavedDatasetStorage | None = None


class JobListener(Protocol[Taken]):
    """Who is told of jobs."""

    def at_work(self) -> AbstractContextManager[None]: ...

    def ran(self, token: Taken, ran: JobResult) -> None: ...

    def failed(self, token: Taken, seconds: float, error: BaseException) -> None: ...


class LateJob(Generic[Token]):
    """A job of which nothing is to be told until it runs: its token is asked for then."""

    def __init__(self, begin: Callable[[], Token | None], listener: JobListener[Token]) -> None:
        self._begin = begin
        self._listener = listener
        self._token: Token | None = None

    def at_work(self) -> AbstractContextManager[None]:
        return self._listener.at_work()

    def ran(self, _: object, ran: JobResult) -> None:
        self._token = self._token or self._begin()
        if self._token is not None:
            self._listener.ran(self._token, ran)

    def failed(self, _: object, seconds: float, error: BaseException) -> None:
        self._token = self._token or self._begin()
        if self._token is not None:
            self._listener.failed(self._token, seconds, error)


def token_of(job: RetrievalJob) -> Any:
    """What a job was followed with, or None."""
    return getattr(job, _TOKEN, None)


def follow(job: RetrievalJob, token: Token, listener: JobListener[Token]) -> None:
    """Time the job when it runs, on the instance: its class, and other jobs, stay as they are.

    Methods of a job call each other (`to_df` → `to_arrow`): only the outermost call counts, and
    the Arrow table made inside it is the result, since nobody can change it afterwards.
    """
    inside = threading.local()

    def followed(name: str, original: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(original)
        def run(*args: object, **kwargs: object) -> object:
            if getattr(inside, "depth", 0):
                result = original(*args, **kwargs)
                if name == "to_arrow":
                    inside.table = result
                return result
            inside.depth, inside.table = 1, None
            started = time.perf_counter()
            try:
                with listener.at_work():
                    result = original(*args, **kwargs)
            except BaseException as error:
                with uninterrupted("recording a retrieval that failed"):
                    listener.failed(token, time.perf_counter() - started, error)
                raise
            finally:
                inside.depth = 0
            table = result if name == "to_arrow" else inside.table
            inside.table = None
            storage: Any = (args[:1] or (kwargs.get("storage"),))[0] if name == "persist" else None
            with uninterrupted("recording what a retrieval gave"):
                seconds = time.perf_counter() - started
                listener.ran(token, JobResult(name, seconds, result, table, storage))
            return result

        return run

    setattr(job, _TOKEN, token)
    for name in METHODS:
        if callable(getattr(job, name, None)):
            setattr(job, name, followed(name, getattr(job, name)))
