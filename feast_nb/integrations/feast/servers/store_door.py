"""One door for the stores behind Feast: a wait that ends, and one line that says whose fault it is.

Feast's clients wait for ever for a server that hangs, and end in tracebacks of fifty lines. Calls
of ours go through `asking`; the user's own are left alone.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

from ....errors import FeastNbError, StoreError, brief
from ....masking import public_uri
from . import client_limits

if TYPE_CHECKING:
    from feast import FeatureStore

T = TypeVar("T")
Part = Literal["online store", "offline store", "registry"]

SECONDS = 5.0  # for each answer of a server


@contextmanager
def asking(store: FeatureStore, part: Part) -> Iterator[None]:
    """What is asked of a part of Feast's: its client's errors are one line, and its waits end.

    An offline store's do not end: what it computes takes its time. Raises `StoreError` for what a
    client or a server says; what is no fault of theirs passes.
    """
    token = client_limits.SECONDS.set(None if part == "offline store" else SECONDS)
    try:
        _look_before(store, part)
        yield
    except FeastNbError:
        raise
    except Exception as problem:
        said = fault(store, part, problem)
        if said is None:
            raise
        raise StoreError(said) from problem
    finally:
        client_limits.SECONDS.reset(token)


def answered(store: FeatureStore, part: Part, ask: Callable[[], T]) -> T:
    """What `ask` gives, within `asking`.

    A pooled connection may be one of before the database was restarted: it is asked once more.
    """
    with asking(store, part):
        try:
            return ask()
        except Exception as problem:
            if not _is_stale(problem) or client_limits.ran_out(problem):
                raise
            return ask()


# What PostgreSQL says to a connection of before its restart, here and behind Feast's servers.
_RESTARTED = ("AdminShutdown", "terminating connection", "server closed the connection")


def _is_stale(problem: BaseException) -> bool:
    return any(
        getattr(each, "connection_invalidated", False)
        or any(word in str(each) for word in _RESTARTED)
        for each in _chain(problem)
    )


def _look_before(store: FeatureStore, part: Part) -> None:
    """Whether a server of Feast's answers at all: its client would try for twenty seconds.

    Raises `StoreError` for one that is down, or hangs.
    """
    if part == "registry" and _is_remote(store.config.registry, "registry_type"):
        address = str(store.config.registry.path)
        if not listens(address):
            raise StoreError(
                f"the registry server at {public_uri(address)} cannot be reached; start it "
                "(feast serve_registry), or see registry's path."
            )
    if part == "offline store" and _is_remote(store.config.offline_store, "type"):
        _look_at_flight(store)


def _is_remote(config: object, word: str) -> bool:
    return str(getattr(config, word, "")) == "remote"


def listens(address: str) -> bool:
    """Whether anybody listens at `host:port`; an address of another shape is believed."""
    place = address.rpartition("://")[2].partition("/")[0].rpartition("@")[2]
    host, _, port = place.rpartition(":")
    if not host or not port.isdigit():
        return True
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS):
            return True
    except OSError:
        return False


def _look_at_flight(store: FeatureStore) -> None:
    """One call with a deadline: reading itself has none, since it may take long."""
    from feast.infra.offline_stores.remote import build_arrow_flight_client
    from pyarrow import flight

    config = store.config.offline_store
    client = build_arrow_flight_client(
        config.scheme, config.host, config.port, store.config.auth_config, cert=config.cert
    )
    try:
        list(client.list_actions(flight.FlightCallOptions(timeout=SECONDS)))
    except (flight.FlightTimedOutError, flight.FlightUnavailableError) as problem:
        hangs = isinstance(problem, flight.FlightTimedOutError)
        said = f"did not answer within {SECONDS:.0f} s; see whether it hangs."
        what = said if hangs else "cannot be reached; start it (feast serve_offline)."
        address = f"{config.host}:{config.port}"
        raise StoreError(f"the offline server at {address} {what}") from problem
    except (flight.FlightError, NotImplementedError):
        pass  # it answers; whether it lets us in, the call itself says
    finally:
        client.close()


def fault(store: FeatureStore, part: Part, problem: BaseException) -> str | None:
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


def redis_address(config: object) -> str:
    """Where a Redis is: its connection string without its options, a password among them."""
    parts = str(getattr(config, "connection_string", "") or "").split(",")
    return next((part for part in parts if part and "=" not in part), "its address")


def _redis(store: FeatureStore, part: Part, problem: BaseException) -> str | None:
    if part != "online store":
        return None
    address = redis_address(store.config.online_store)
    kind = type(problem).__name__
    if kind in ("AuthenticationError", "AuthorizationError", "NoPermissionError"):
        return f"Redis at {address} refuses the password; see connection_string of online_store."
    if kind == "TimeoutError":
        return f"Redis at {address} did not answer within {SECONDS:.0f} s; see whether it hangs."
    if kind == "ConnectionError":
        return f"Redis at {address} cannot be reached; start it, or see online_store's address."
    return f"Redis at {address} refuses: {brief(problem, 200)}."


def _http(store: FeatureStore, part: Part, problem: BaseException) -> str | None:
    if part != "online store" or getattr(store.config.online_store, "type", "") != "remote":
        return None
    address = public_uri(str(getattr(store.config.online_store, "path", "") or "")) or "its address"
    kind = type(problem).__name__
    if "Timeout" in kind:
        return (
            f"the feature server at {address} did not answer within {SECONDS:.0f} s: it hangs, or "
            "the store behind it is away; see its log."
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


def _answered(store: FeatureStore, said: str) -> str:
    address = public_uri(str(getattr(store.config.online_store, "path", "") or ""))
    return (
        f"the feature server at {address} answered {brief(said, 200)}. Look into its log: the "
        "store behind it may be away."
    )


def _database(store: FeatureStore, part: Part, problem: BaseException) -> str | None:
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
    if client_limits.ran_out(problem):
        return f"{whose} {client_limits.NO_ANSWER} {SECONDS:.0f} s; see whether it hangs."
    first = brief(getattr(problem, "orig", None) or problem, 200).rstrip(".")
    return f"{whose} cannot be used ({first}); start it, or see its address and password."


def _grpc(store: FeatureStore, part: Part, problem: BaseException) -> str:
    if part != "registry" or not _is_remote(store.config.registry, "registry_type"):
        return f"the {part} refuses or cannot be reached ({brief(problem, 200)})."
    server = f"the registry server at {public_uri(str(store.config.registry.path))}"
    code = getattr(getattr(problem, "code", lambda: None)(), "name", "")
    details = brief(getattr(problem, "details", lambda: None)() or problem, 200).rstrip(".")
    if code == "DEADLINE_EXCEEDED":
        return f"{server} did not answer within {SECONDS:.0f} s; see whether it hangs."
    if code == "UNAVAILABLE":
        return f"{server} cannot be reached ({details}); start it, or see registry's path."
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        return f"{server} refuses ({details}); see to your permissions."
    return f"{server} answers with an error ({details}): its database may be away; see its log."


def _objects(store: FeatureStore, part: Part, problem: BaseException) -> str:
    if part != "offline store":  # DynamoDB, say
        return (
            f"the {part} refuses or cannot be reached ({brief(problem, 200)}); see its address and "
            "your credentials."
        )
    return (
        f"the object store of the sources refuses or cannot be reached ({brief(problem, 200)}); "
        "see its address, its bucket and your credentials."
    )


def _flight(store: FeatureStore, part: Part, problem: BaseException) -> str:
    config = store.config.offline_store
    address = f"{getattr(config, 'host', '')}:{getattr(config, 'port', '')}"
    return (
        f"the offline server at {address} does not answer, or refuses ({brief(problem, 200)}); "
        "start it (feast serve_offline), or see to its permissions."
    )


_LIBRARIES: dict[str, Callable[[FeatureStore, Part, BaseException], str | None]] = {
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
