"""One door for the stores behind Feast: a wait that ends, and one line that says whose fault it is.

Feast's clients wait for ever for a server that hangs, and end in tracebacks of fifty lines. Calls
of ours go through `asking`; the user's own are left alone.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Literal

from ....errors import FeastNbError, StoreError, brief
from ....masking import public_uri
from ....patching.patches import Patches

Part = Literal["online store", "offline store", "registry"]

SECONDS = 5.0  # for each answer of a server
_TRIES = 2  # of Redis, in that time: the connection that is kept may be one of before a restart
_limit: ContextVar[float | None] = ContextVar("feast_nb_store_limit", default=None)


@contextmanager
def asking(store: Any, part: Part) -> Iterator[None]:
    """What is asked of a part of Feast's: its client's errors are one line, and its waits end.

    An offline store's do not end: what it computes takes its time. Raises `StoreError` for what a
    client or a server says; what is no fault of theirs passes.
    """
    token = _limit.set(None if part == "offline store" else SECONDS)
    try:
        yield
    except FeastNbError:
        raise
    except Exception as problem:
        said = _said(store, part, problem)
        if said is None:
            raise
        raise StoreError(said) from problem
    finally:
        _limit.reset(token)


def _said(store: Any, part: Part, problem: BaseException) -> str | None:
    """Who is at fault and what to do; None for an error of nobody's that is known here."""
    for each in _chain(problem):
        room = type(each).__module__
        explain = _LIBRARIES.get(room) or _LIBRARIES.get(room.partition(".")[0])
        if explain is not None and (said := explain(store, part, each)) is not None:
            return said
        if isinstance(each, RuntimeError) and "Error_code=" in str(each):
            return _answered(store, str(each).partition("Error_code=")[2])
        if isinstance(each, RuntimeError) and str(each).startswith("Failed to get online features"):
            return _answered(store, str(each).partition(": ")[2])
    return None


def _chain(problem: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came of."""
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        seen.add(id(problem))
        yield problem
        problem = problem.__cause__ or problem.__context__


def _redis(store: Any, part: Part, problem: BaseException) -> str | None:
    if part != "online store":
        return None
    where = str(getattr(store.config.online_store, "connection_string", "") or "its address")
    address = where.split(",")[0]  # options follow, a password among them
    kind = type(problem).__name__
    if kind in ("AuthenticationError", "AuthorizationError", "NoPermissionError"):
        return f"Redis at {address} refuses the password; see connection_string of online_store."
    if kind == "TimeoutError":
        return f"Redis at {address} did not answer within {SECONDS:.0f} s; see whether it hangs."
    if kind == "ConnectionError":
        return f"Redis at {address} cannot be reached; start it, or see online_store's address."
    return f"Redis at {address} refuses: {brief(problem, 200)}."


def _http(store: Any, part: Part, problem: BaseException) -> str | None:
    if part != "online store" or getattr(store.config.online_store, "type", "") != "remote":
        return None
    address = public_uri(str(getattr(store.config.online_store, "path", "") or "")) or "its address"
    kind = type(problem).__name__
    if "Timeout" in kind:
        return (
            f"the feature server at {address} did not answer within {SECONDS:.0f} s; see whether "
            "it hangs."
        )
    if "SSL" in kind:
        return (
            f"the feature server at {address} has a certificate that is not trusted; name its own "
            "in `cert` of online_store."
        )
    return (
        f"the feature server at {address} cannot be reached; start it (feast serve), or see "
        "online_store's path."
    )


def _answered(store: Any, said: str) -> str:
    address = public_uri(str(getattr(store.config.online_store, "path", "") or ""))
    return (
        f"the feature server at {address} answered {brief(said, 200)}. Look into its log: the "
        "store behind it may be away."
    )


def _database(store: Any, part: Part, problem: BaseException) -> str | None:
    """Of a database that cannot be used; a statement that is wrong is no fault of the server's."""
    kinds = {kind.__name__ for kind in type(problem).__mro__}
    if not kinds & {"OperationalError", "InterfaceError", "TimeoutError", "PoolTimeout"}:
        return None
    if "no such table" in str(problem):
        return (
            f"the {part} has no table for one of the views ({brief(problem, 150)}); apply the "
            "definitions, then materialize."
        )
    if "locked" in str(problem):
        return f"the {part}'s database is in use by another process; try again."
    config = store.config.registry if part == "registry" else store.config.online_store
    if part == "offline store":
        config = store.config.offline_store
    address = public_uri(str(getattr(config, "path", None) or getattr(config, "host", "") or ""))
    whose = f"the {part}'s database" + (f" at {address}" if address else "")
    first = brief(getattr(problem, "orig", None) or problem, 200).rstrip(".")
    return f"{whose} cannot be used ({first}); start it, or see its address and password."


def _grpc(store: Any, part: Part, problem: BaseException) -> str:
    if part != "registry" or getattr(store.registry, "stub", None) is None:
        return f"the {part} refuses or cannot be reached ({brief(problem, 200)})."
    address = public_uri(str(getattr(store.config.registry, "path", "") or ""))
    details = getattr(problem, "details", lambda: None)()
    return (
        f"the registry server at {address} does not answer ({brief(details or problem, 200)}); "
        "start it, or see to its permissions."
    )


def _objects(store: Any, part: Part, problem: BaseException) -> str:
    if part != "offline store":  # DynamoDB, say
        return (
            f"the {part} refuses or cannot be reached ({brief(problem, 200)}); see its address and "
            "your credentials."
        )
    return (
        f"the object store of the sources refuses or cannot be reached ({brief(problem, 200)}); "
        "see its address, its bucket and your credentials."
    )


def _flight(store: Any, part: Part, problem: BaseException) -> str:
    config = store.config.offline_store
    address = f"{getattr(config, 'host', '')}:{getattr(config, 'port', '')}"
    return (
        f"the offline server at {address} does not answer, or refuses ({brief(problem, 200)}); "
        "start it (feast serve_offline), or see to its permissions."
    )


_LIBRARIES: dict[str, Callable[[Any, Part, BaseException], str | None]] = {
    "redis": _redis,
    "requests": _http,
    "urllib3": _http,
    "psycopg": _database,
    "psycopg_pool": _database,
    "sqlalchemy": _database,
    "sqlite3": _database,
    "grpc": _grpc,
    "botocore": _objects,
    "aiobotocore": _objects,
    "s3fs": _objects,
    "pyarrow._flight": _flight,
}


def follow(patches: Patches) -> None:
    """Give the clients of stores the limit of a call of ours, where their settings have none."""
    patches.on_import("requests.adapters", functools.partial(_follow_requests, patches))
    patches.on_import("redis.connection", functools.partial(_follow_redis, patches))
    patches.on_import("redis.retry", functools.partial(_follow_redis_retries, patches))


def _follow_requests(patches: Patches, module: ModuleType) -> None:
    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def send(adapter: Any, *args: Any, **kwargs: Any) -> Any:
            seconds = _limit.get()
            if seconds is None or kwargs.get("timeout") is not None:
                return original(adapter, *args, **kwargs)
            # Feast's own adapter tries three times: the limit is for all of it.
            once = object.__new__(type(adapter))
            once.__dict__ = {**vars(adapter), "max_retries": module.Retry(0, read=False)}
            return original(once, *args, **{**kwargs, "timeout": seconds})

        return send

    patches.replace(module.HTTPAdapter, "send", wrap)


def _follow_redis(patches: Patches, module: ModuleType) -> None:
    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def read_response(connection: Any, *args: Any, **kwargs: Any) -> Any:
            seconds, socket = _limit.get(), getattr(connection, "_sock", None)
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
    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call_with_retry(retry: Any, *args: Any, **kwargs: Any) -> Any:
            if _limit.get() is None:
                return original(retry, *args, **kwargs)
            # Its own three retries with longer and longer pauses take half a minute.
            soon = module.Retry(
                sys.modules["redis.backoff"].NoBackoff(), _TRIES - 1, retry._supported_errors
            )
            return original(soon, *args, **kwargs)

        return call_with_retry

    patches.replace(module.Retry, "call_with_retry", wrap)
