"""What the clients of stores say when something is wrong, in one line that names whose fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ....errors import brief
from ....masking import public_uri
from . import client_limits, refusals, tls

if TYPE_CHECKING:
    from feast import FeatureStore

Part = Literal["online store", "offline store", "registry"]


@dataclass(frozen=True)
class Asked:
    """A part of Feast's that was asked for something, and the limit that its client had."""

    store: FeatureStore
    part: Part
    seconds: float

    @property
    def config(self) -> Any:
        """The settings of the part."""
        config = self.store.config
        if self.part == "registry":
            return config.registry
        return config.offline_store if self.part == "offline store" else config.online_store

    @property
    def is_remote(self) -> bool:
        """Whether one of Feast's servers answers for it."""
        word = "registry_type" if self.part == "registry" else "type"
        return str(getattr(self.config, word, "")) == "remote"

    @property
    def address(self) -> str:
        """Where it is, without user and password; empty where its settings do not say it."""
        path = getattr(self.config, "path", None)
        if not path and (host := getattr(self.config, "host", None)):
            path = f"{host}:{getattr(self.config, 'port', '')}"
        return public_uri(str(path or "")) or ""

    @property
    def who(self) -> str:
        """Who is asked, as a sentence names it."""
        if not self.is_remote:
            return f"the {self.part}"
        named = {"registry": "registry", "online store": "feature", "offline store": "offline"}
        return f"the {named[self.part]} server at {self.address or 'its address'}"

    @property
    def hangs(self) -> str:
        return f"did not answer within {self.seconds:g} s; see whether it hangs."


def explained(asked: Asked, problem: BaseException) -> str | None:
    """Who is at fault and what to do; None for an error of nobody's that is known here."""
    for each in chain(problem):
        if (refused := refusals.said(asked, each)) is not None:
            return refused
        room = type(each).__module__
        explain = _LIBRARIES.get(room) or _LIBRARIES.get(room.partition(".")[0])
        if explain is not None and (said := explain(asked, each)) is not None:
            return said
        if isinstance(each, RuntimeError) and "Error_code=" in str(each):
            return _answered(asked, str(each).partition("Error_code=")[2])
        if isinstance(each, RuntimeError) and str(each).startswith("Failed to get online features"):
            return _answered(asked, str(each).partition(": ")[2])
        if isinstance(each, RuntimeError) and str(each).startswith("Remote materialization failed"):
            return refusals.unknown(asked, str(each).removeprefix("Remote materialization failed "))
    return None


def chain(problem: BaseException | None) -> Iterator[BaseException]:
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


def _redis(asked: Asked, problem: BaseException) -> str | None:
    if asked.part != "online store":
        return None
    address = redis_address(asked.config)
    kind = type(problem).__name__
    if kind in ("AuthenticationError", "AuthorizationError", "NoPermissionError"):
        return f"Redis at {address} refuses the password; see connection_string of online_store."
    if kind == "TimeoutError":
        return f"Redis at {address} {asked.hangs}"
    if kind == "ConnectionError":
        return f"Redis at {address} cannot be reached; start it, or see online_store's address."
    return f"Redis at {address} refuses: {brief(problem, 200)}."


def _http(asked: Asked, problem: BaseException) -> str | None:
    if asked.part != "online store" or not asked.is_remote:
        return None
    kind = type(problem).__name__
    if "Timeout" in kind:
        return (
            f"{asked.who} did not answer within {asked.seconds:g} s: it hangs, or the store "
            "behind it is away; see its log."
        )
    if kind == "HTTPError":
        return _answered(asked, str(problem))
    if wrong := tls.fault(asked):
        return f"{asked.who} {wrong}"
    if "SSL" in kind:
        return (
            f"{asked.who} has a certificate that is not trusted; name its own in `cert` of "
            "online_store."
        )
    return f"{asked.who} cannot be reached; start it (feast serve), or see online_store's path."


def _answered(asked: Asked, said: str) -> str:
    return refusals.unknown(asked, said) or (
        f"the feature server at {asked.address} answered {brief(said, 200)}. Look into its log: "
        "the store behind it may be away."
    )


def _database(asked: Asked, problem: BaseException) -> str | None:
    """Of a database that cannot be used, or refuses the query of a whole retrieval.

    Another statement that is wrong is no fault of the server's.
    """
    kinds = {kind.__name__ for kind in type(problem).__mro__}
    whose = f"the {asked.part}'s database" + (f" at {asked.address}" if asked.address else "")
    first = brief(getattr(problem, "orig", None) or problem, 200).rstrip(".")
    is_query = asked.part == "offline store" and type(problem).__module__.startswith("psycopg")
    if is_query and "ProgrammingError" in kinds:
        return f"{whose} refuses the query ({first}); see the source's table, and the entity query."
    if not kinds & {"OperationalError", "InterfaceError", "TimeoutError", "PoolTimeout"}:
        return None
    if "no such table" in str(problem):
        return (
            f"the {asked.part} has no table for one of the views ({brief(problem, 150)}); apply "
            "the definitions, then materialize."
        )
    if "locked" in str(problem):
        return f"the {asked.part}'s database is in use by another process; try again."
    if client_limits.ran_out(problem):
        return f"{whose} {asked.hangs}"
    return f"{whose} cannot be used ({first}); start it, or see its address and password."


def _grpc(asked: Asked, problem: BaseException) -> str:
    if asked.part != "registry" or not asked.is_remote:
        return f"the {asked.part} refuses or cannot be reached ({brief(problem, 200)})."
    code = getattr(getattr(problem, "code", lambda: None)(), "name", "")
    details = brief(getattr(problem, "details", lambda: None)() or problem, 200).rstrip(".")
    wait = tls.SOON if code == "DEADLINE_EXCEEDED" else None
    if code in ("DEADLINE_EXCEEDED", "UNAVAILABLE") and (wrong := tls.fault(asked, wait)):
        return f"{asked.who} {wrong}"
    if code == "DEADLINE_EXCEEDED":
        return f"{asked.who} {asked.hangs}"
    if code == "UNAVAILABLE":
        return f"{asked.who} cannot be reached ({details}); start it, or see registry's path."
    if unknown := refusals.unknown(asked, details):
        return unknown
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        return f"{asked.who} refuses ({details}); see to your permissions."
    return f"{asked.who} answers with an error ({details}): its database may be away; see its log."


def _objects(asked: Asked, problem: BaseException) -> str:
    if asked.part != "offline store":  # DynamoDB, say
        where = public_uri(str(getattr(asked.config, "endpoint_url", None) or ""))
        who = f"the {asked.part}" + (f" at {where}" if where else "")
        if "Timeout" in type(problem).__name__:
            return f"{who} {asked.hangs}"
        return (
            f"{who} refuses or cannot be reached ({brief(problem, 200).rstrip('.')}); see its "
            "address and your credentials."
        )
    return (
        f"the object store of the sources refuses or cannot be reached ({brief(problem, 200)}); "
        "see its address, its bucket and your credentials."
    )


def _flight(asked: Asked, problem: BaseException) -> str | None:
    from feast.arrow_error_handler import _get_exception_data
    from feast.errors import FeastError

    sent = (
        FeastError.from_error_detail(data) if (data := _get_exception_data(str(problem))) else None
    )
    if sent is not None:  # an error of Feast's in the server, as text
        return explained(asked, sent) or f"{asked.who} answers: {brief(sent, 200)}"
    return refusals.unknown(asked, str(problem)) or (
        f"{asked.who} does not answer, or refuses ({brief(problem, 200)}); start it "
        "(feast serve_offline), or see to its permissions."
    )


_LIBRARIES: dict[str, Callable[[Asked, BaseException], str | None]] = {
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
