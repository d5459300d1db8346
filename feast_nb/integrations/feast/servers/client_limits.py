"""The limits of stores' clients for calls of ours: without them a server that hangs is waited for.

The user's own calls are left alone: a limit holds where `SECONDS` is set, which is a context's own.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ....patching.patches import Patches

if TYPE_CHECKING:
    from requests.adapters import HTTPAdapter

SECONDS: ContextVar[float | None] = ContextVar("feast_nb_store_limit", default=None)
NO_ANSWER = "did not answer within"
_NO_CONNECTION = "connection timeout expired"  # psycopg's words
_TIMEOUT_PLACE = 8  # from which on a timeout is among the arguments of `urlopen`
_TRIES = 2  # of Redis, in that time: the connection that is kept may be one of before a restart


def ran_out(problem: BaseException) -> bool:
    """Whether a driver gave up at its limit, so that asking once more takes as long again."""
    return NO_ANSWER in str(problem) or _NO_CONNECTION in str(problem)


def follow(patches: Patches) -> None:
    """Give the clients of stores the limit of a call of ours, where their settings have none."""
    patches.on_import("requests.adapters", functools.partial(_follow_requests, patches))
    patches.on_import("redis.connection", functools.partial(_follow_redis, patches))
    patches.on_import("redis.retry", functools.partial(_follow_redis_retries, patches))
    patches.on_import("psycopg", functools.partial(_follow_postgres, patches))
    patches.on_import("urllib3.connectionpool", functools.partial(_follow_urllib3, patches))
    patches.on_import("botocore.endpoint", functools.partial(_follow_botocore, patches))
    patches.on_import("feast.infra.online_stores.dynamodb", functools.partial(_carry, patches))
    patches.on_import("grpc._channel", functools.partial(_follow_grpc, patches))


def _follow_requests(patches: Patches, module: ModuleType) -> None:
    def wrap(original: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(original)
        def send(adapter: HTTPAdapter, *args: object, **kwargs: object) -> object:
            seconds = SECONDS.get()
            if seconds is None or kwargs.get("timeout") is not None:
                return original(adapter, *args, **kwargs)
            # Feast's own adapter tries three times: the limit is for all of it.
            once = object.__new__(type(adapter))
            once.__dict__ = {**vars(adapter), "max_retries": module.Retry(0, read=False)}
            return original(once, *args, **{**kwargs, "timeout": seconds})

        return send

    patches.replace(module.HTTPAdapter, "send", wrap)


def _follow_urllib3(patches: Patches, module: ModuleType) -> None:
    """Of AWS's clients: those of requests name a limit themselves."""

    def wrap(original: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(original)
        def urlopen(pool: object, *args: object, **kwargs: object) -> object:
            seconds = SECONDS.get()
            if seconds is not None and len(args) < _TIMEOUT_PLACE:
                kwargs.setdefault("timeout", seconds)
            return original(pool, *args, **kwargs)

        return urlopen

    patches.replace(module.HTTPConnectionPool, "urlopen", wrap)


def _follow_botocore(patches: Patches, module: ModuleType) -> None:
    """Ten tries of a minute each are DynamoDB's own."""

    def wrap(original: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(original)
        def needs_retry(
            endpoint: object,
            attempts: int,
            operation: object,
            request: object,
            response: object = None,
            caught_exception: object = None,
        ) -> object:
            if SECONDS.get() is not None and caught_exception is not None:
                return False
            return original(endpoint, attempts, operation, request, response, caught_exception)

        return needs_retry

    if hasattr(module.Endpoint, "_needs_retry"):
        patches.replace(module.Endpoint, "_needs_retry", wrap)


def _carry(patches: Patches, module: ModuleType) -> None:
    """A read of several batches is made in threads, which have no context of whoever asks."""

    class Executor(ThreadPoolExecutor):
        def submit(self, call: Any, /, *args: Any, **kwargs: Any) -> Any:
            return super().submit(copy_context().run, call, *args, **kwargs)

    if getattr(module, "ThreadPoolExecutor", None) is ThreadPoolExecutor:
        patches.put(module, "ThreadPoolExecutor", Executor, ThreadPoolExecutor)


def _follow_redis(patches: Patches, module: ModuleType) -> None:
    def wrap(original: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(original)
        def read_response(connection: Any, *args: object, **kwargs: object) -> object:
            seconds, socket = SECONDS.get(), getattr(connection, "_sock", None)
            if seconds is None or socket is None or connection.socket_timeout is not None:
                return original(connection, *args, **kwargs)
            socket.settimeout(seconds / _TRIES)
            try:
                return original(connection, *args, **kwargs)
            finally:
                if connection._sock is socket:  # else it was closed
                    socket.settimeout(None)

        return read_response

    patches.replace(module.AbstractConnection, "read_response", wrap)


def _follow_redis_retries(patches: Patches, module: ModuleType) -> None:
    def wrap(original: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(original)
        def call_with_retry(retry: Any, *args: object, **kwargs: object) -> object:
            if SECONDS.get() is None:
                return original(retry, *args, **kwargs)
            # Its own three retries with longer and longer pauses take half a minute.
            soon = module.Retry(
                sys.modules["redis.backoff"].NoBackoff(), _TRIES - 1, retry._supported_errors
            )
            return original(soon, *args, **kwargs)

        return call_with_retry

    patches.replace(module.Retry, "call_with_retry", wrap)


def _follow_postgres(patches: Patches, module: ModuleType) -> None:
    def connects(original: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(original)
        def connect(*args: object, **kwargs: object) -> object:
            seconds = SECONDS.get()
            if seconds is not None:  # a whole number, two at least: libpq's own rule
                kwargs.setdefault("connect_timeout", max(2, int(seconds)))
            return original(*args, **kwargs)

        return connect

    def waits(original: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(original)
        def wait(connection: Any, gen: Any, *args: object, **kwargs: object) -> object:
            seconds = SECONDS.get()
            if seconds is None or args or kwargs.get("timeout") is not None:
                return original(connection, gen, *args, **kwargs)
            try:
                return original(connection, gen, **{**kwargs, "timeout": seconds})
            except module.errors._WaitTimeout:
                # Closed, or the driver waits once more for the same server to take it back.
                connection.pgconn.finish()
                raise module.OperationalError(f"it {NO_ANSWER} {seconds:g} s") from None

        return wait

    def cancels(original: Callable[..., object]) -> Callable[..., object]:
        """After Ctrl-C psycopg asks the server for ten seconds to cancel: one that hangs, too."""

        @functools.wraps(original)
        def _try_cancel(connection: Any, *args: object, **kwargs: object) -> object:
            if SECONDS.get() is None:
                return original(connection, *args, **kwargs)
            connection.pgconn.finish()  # the server ends what nobody waits for
            raise module.errors.QueryCanceled("interrupted")

        return _try_cancel

    patches.replace(module, "connect", connects)
    if hasattr(module.Connection, "_try_cancel"):
        patches.replace(module.Connection, "_try_cancel", cancels)
    if "timeout" in inspect.signature(module.Connection.wait).parameters:  # of psycopg 3.3 on
        patches.replace(module.Connection, "wait", waits)


def _follow_grpc(patches: Patches, module: ModuleType) -> None:
    def wrap(original: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(original)
        def call(
            method: Any, request: Any, timeout: float | None = None, *args: object, **kwargs: object
        ) -> object:
            limit = SECONDS.get()
            if limit is not None and timeout is None:
                # A server that was started again is waited for: gRPC pauses between its tries.
                kwargs.setdefault("wait_for_ready", True)
                timeout = limit
            return original(method, request, timeout, *args, **kwargs)

        return call

    one = getattr(module, "_UnaryUnaryMultiCallable", None)
    for name in ("__call__", "with_call"):
        if one is not None and hasattr(one, name):
            patches.replace(one, name, wrap)
