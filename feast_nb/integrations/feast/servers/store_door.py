"""One door for the stores behind Feast: a wait that ends, and one line that says whose fault it is.

Feast's clients wait for ever for a server that hangs, and end in tracebacks of fifty lines. Calls
of ours go through `asking`; the user's own are left alone.
"""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ....errors import FeastNbError, StoreError
from . import client_limits, store_faults, tls
from .store_faults import Asked, Part

if TYPE_CHECKING:
    from feast import FeatureStore

T = TypeVar("T")

SECONDS = 4.5  # for each answer of a server: with what is said of it, five


@contextmanager
def asking(store: FeatureStore, part: Part) -> Iterator[None]:
    """What is asked of a part of Feast's: its client's errors are one line, and its waits end.

    An offline store's do not end: what it computes takes its time. Raises `StoreError` for what a
    client or a server says; what is no fault of theirs passes.
    """
    token = client_limits.SECONDS.set(None if part == "offline store" else SECONDS)
    try:
        _look_before(Asked(store, part, SECONDS))
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
        for each in store_faults.chain(problem)
    )


def fault(store: FeatureStore, part: Part, problem: BaseException) -> str | None:
    """Who is at fault and what to do; None for an error of nobody's that is known here."""
    return store_faults.explained(Asked(store, part, SECONDS), problem)


def _look_before(asked: Asked) -> None:
    """Whether a server answers at all: its client would try for twenty seconds, or for ever.

    Raises `StoreError` for one of Feast's that is down, or hangs, and what its driver says for a
    database.
    """
    if asked.part == "registry" and asked.is_remote and not listens(asked.config.path):
        raise StoreError(
            f"{asked.who} cannot be reached; start it (feast serve_registry), or see registry's "
            "path."
        )
    if asked.part == "offline store" and asked.is_remote:
        _look_at_flight(asked)
    if asked.part == "offline store" and getattr(asked.config, "type", "") == "postgres":
        _look_at_postgres(asked)


def _look_at_postgres(asked: Asked) -> None:
    """One connection with a limit: a query has none, since it may take long."""
    from feast.infra.utils.postgres.connection_utils import _get_conn

    limit = client_limits.SECONDS.set(asked.seconds)
    try:
        with _get_conn(asked.config):
            pass
    finally:
        client_limits.SECONDS.reset(limit)


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


def _look_at_flight(asked: Asked) -> None:
    """One call with a deadline: reading itself has none, since it may take long.

    The identity provider that its token comes from has the same.
    """
    from feast.infra.offline_stores.remote import build_arrow_flight_client
    from pyarrow import flight

    config = asked.config
    auth = asked.store.config.auth_config
    known = inspect.signature(build_arrow_flight_client).parameters
    once: dict[str, Any] = {"connection_retries": 0} if "connection_retries" in known else {}
    client = build_arrow_flight_client(
        config.scheme, config.host, config.port, auth, cert=config.cert, **once
    )
    limit = client_limits.SECONDS.set(asked.seconds)
    try:
        list(client.list_actions(flight.FlightCallOptions(timeout=asked.seconds)))
    except (flight.FlightTimedOutError, flight.FlightUnavailableError) as problem:
        hangs = isinstance(problem, flight.FlightTimedOutError)
        what = asked.hangs if hangs else "cannot be reached; start it (feast serve_offline)."
        wrong = tls.fault(asked, tls.SOON if hangs else None)
        raise StoreError(f"{asked.who} {wrong or what}") from problem
    except (flight.FlightError, NotImplementedError):
        pass  # it answers; whether it lets us in, the call itself says
    finally:
        client.close()
        client_limits.SECONDS.reset(limit)
