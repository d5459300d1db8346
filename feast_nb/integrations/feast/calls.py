"""Feast's calls as they were made: of reading features, of writing them."""

from __future__ import annotations

import datetime
import hashlib
import inspect
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureService, FeatureStore
    from pyspark.sql import DataFrame as SparkDataFrame

    from ...records.retrieval import Cell
    from ...records.run import RunRef
    from .servers.registry_reads import Reads

    Features: TypeAlias = FeatureService | list[str]
    # The run that a call belongs to, and its cell.
    Owner: TypeAlias = tuple[RunRef | None, Cell | None]
    # What a historical retrieval is asked for; beside a range of dates.
    Entities: TypeAlias = pd.DataFrame | SparkDataFrame | str
    EntityRows: TypeAlias = (
        Entities | Mapping[str, Sequence[object]] | Sequence[Mapping[str, object]]
    )

P = ParamSpec("P")
R = TypeVar("R")

# Inside a call that is recorded here, `store.mlflow` is None: Feast's auto-log then neither
# writes nor imports mlflow (1.1–1.6 s in a process that has no run). A context variable, since
# switching the store's own setting leaks between threads.
quiet: ContextVar[bool] = ContextVar("feast_nb_quiet", default=False)

# What a call of ours is about, where it asks for more beside it.
about: ContextVar[Features | None] = ContextVar("feast_nb_about", default=None)

WRITES = ("push", "push_async", "write_to_online_store", "write_to_online_store_async",
           "write_to_offline_store")  # fmt: skip
DOCUMENTS = ("retrieve_online_documents", "retrieve_online_documents_v2")

# What a `Call` has a field of its own for, by Feast's names; all else goes to its `arguments`.
_FIELDS = {"self", "features", "entity_df", "entity_rows", "start_date", "end_date",
           "full_feature_names"}  # fmt: skip
# The arguments that a call made again may be given: what they mean is known.
REPEATABLE = ("filter_by_created_timestamp",)
_LONGEST = 200  # characters of a text that is kept as it is


@dataclass(frozen=True)
class Call:
    """One call of Feast's that reads features, as it was made; `owner` is what `entering` gave.

    `name` is the method's where it is another than the kind's own; `arguments` holds, as JSON
    takes it, each argument that has no field here and was given another value than its default.
    `read` are the views that Feast read past its copy of the registry, and when those were applied.
    """

    store: FeatureStore
    features: Features
    entity: EntityRows | None = None
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None
    full_feature_names: bool = False
    seconds: float = 0.0
    owner: Owner | None = None
    name: str | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    read: Reads = field(default_factory=dict)


@dataclass(frozen=True)
class WriteCall:
    """One call of Feast's that writes features: to a view, or by a push source."""

    store: FeatureStore
    call: str
    name: str
    frame: pd.DataFrame | Mapping[str, Sequence[object]] | None
    to: str
    seconds: float
    error: BaseException | None = None


def historical_call(asked: inspect.BoundArguments, seconds: float, read: Reads) -> Call:
    """A call of a historical retrieval."""
    given = asked.arguments
    return Call(
        store=given["self"],
        features=given.get("features", []),
        entity=given.get("entity_df"),
        start=given.get("start_date"),
        end=given.get("end_date"),
        full_feature_names=given.get("full_feature_names", False),
        seconds=seconds,
        arguments=other_arguments(asked, _FIELDS),
        read=read,
    )


def online_call(asked: inspect.BoundArguments, seconds: float, owner: Owner | None = None) -> Call:
    """A call of an online retrieval."""
    given = asked.arguments
    return Call(
        store=given["self"],
        features=about.get() or given["features"],
        entity=given["entity_rows"],
        full_feature_names=given.get("full_feature_names", False),
        seconds=seconds,
        owner=owner,
        arguments=other_arguments(asked, _FIELDS),
    )


def document_call(name: str, asked: inspect.BoundArguments, seconds: float) -> Call:
    """A search for the features nearest to a query: no entities are asked for."""
    given = asked.arguments
    return Call(
        store=given["self"],
        features=given["features"],
        seconds=seconds,
        name=name,
        arguments=other_arguments(asked, {"self", "features"}),
    )


def other_arguments(asked: inspect.BoundArguments, known: Collection[str]) -> dict[str, object]:
    """What a call was given beyond `known`, by the signature at hand, whatever its version has."""
    found: dict[str, object] = {}
    for name, value in asked.arguments.items():
        parameter = asked.signature.parameters[name]
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found |= {key: plain(one) for key, one in value.items() if key not in known}
        elif name not in known and value is not parameter.default:
            plainly = plain(value)
            if plainly != plain(parameter.default):
                found[name] = plainly
    return found


def plain(value: object) -> object:
    """An argument as JSON takes it; what is long or of no plain kind by its kind and a digest."""
    if hasattr(value, "tolist"):  # an array's text leaves values out
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str) and len(value) <= _LONGEST:
        return value
    if isinstance(value, (datetime.date, datetime.timedelta)):
        return str(value)
    if isinstance(value, (list, tuple)) and len(value) <= 8:
        return [plain(one) for one in value]
    if isinstance(value, Mapping) and len(value) <= 8:
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (str, bytes, list, tuple, Mapping)):
        raw = value if isinstance(value, bytes) else repr(value).encode()
        digest = hashlib.blake2b(raw, digest_size=8).hexdigest()
        return f"{type(value).__name__} of {len(value):,}, {digest}"
    return f"{type(value).__name__}: {value}"[:_LONGEST]


def write_call(
    name: str, asked: dict[str, Any], seconds: float, error: BaseException | None
) -> WriteCall:
    """A call that wrote features, or failed to."""
    call = name.removesuffix("_async")
    to = {"write_to_online_store": "online", "write_to_offline_store": "offline"}.get(call)
    mode = asked.get("to")
    frame = asked.get("df")
    return WriteCall(
        store=asked["self"],
        call=call,
        name=asked.get("push_source_name") or asked.get("feature_view_name") or "",
        frame=frame if frame is not None else asked.get("inputs"),
        to=to or (mode.name.lower() if mode is not None else "online"),
        seconds=seconds,
        error=error,
    )


def names_of(module: ModuleType) -> list[str]:
    """What `feast.mlflow` passes on: Feast's own calls, then MLflow's."""
    client = getattr(module, "_client", None)
    passed = [] if client is None else [*dir(client), *dir(client._mlflow)]
    if client is None and (mlflow := sys.modules.get("mlflow")) is not None:
        passed = dir(mlflow)
    return sorted({*vars(module), *(n for n in passed if not n.startswith("_"))})


def timed(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> tuple[R, float]:
    """Make a call with Feast not logging it, and how many seconds it took."""
    token = quiet.set(True)
    started = time.perf_counter()
    try:
        return call(*args, **kwargs), time.perf_counter() - started
    finally:
        quiet.reset(token)
