"""Feast's calls as they were made: of reading features, of writing them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import Any

# Inside a call that is recorded here, `store.mlflow` is None: Feast's auto-log then neither
# writes nor imports mlflow (1.1–1.6 s in a process that has no run). A context variable, since
# switching the store's own setting leaks between threads.
quiet: ContextVar[bool] = ContextVar("feast_nb_quiet", default=False)

WRITES = ("push", "push_async", "write_to_online_store", "write_to_online_store_async",
           "write_to_offline_store")  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One call of Feast's that reads features, as it was made; `owner` is what `entering` gave."""

    store: Any
    features: Any
    entity: Any = None
    start: Any = None
    end: Any = None
    full_feature_names: bool = False
    seconds: float = 0.0
    owner: Any = None


@dataclass(frozen=True)
class WriteCall:
    """One call of Feast's that writes features: to a view, or by a push source."""

    store: Any
    call: str
    name: str
    frame: Any
    to: str
    seconds: float
    error: BaseException | None = None


def online_call(asked: dict[str, Any], seconds: float, owner: Any = None) -> Call:
    """A call of an online retrieval."""
    return Call(
        store=asked["self"],
        features=asked["features"],
        entity=asked["entity_rows"],
        full_feature_names=asked.get("full_feature_names", False),
        seconds=seconds,
        owner=owner,
    )


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


def timed(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, float]:
    """Make a call with Feast not logging it, and how many seconds it took."""
    token = quiet.set(True)
    started = time.perf_counter()
    try:
        return call(*args, **kwargs), time.perf_counter() - started
    finally:
        quiet.reset(token)
