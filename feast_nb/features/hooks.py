"""Notice every retrieval of every store, and keep Feast's own auto-logging from writing it twice.

Feast's calls, signatures and results stay what they are. `Hooks.remove` puts all of it back.
"""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

from ..patches import Patches, door
from .store import mend_paths

# Inside a call that is recorded here, `store.mlflow` is None: Feast's auto-log then neither
# writes nor imports mlflow (1.1–1.6 s in a process that has no run). A context variable, since
# switching the store's own setting leaks between threads.
_quiet: ContextVar[bool] = ContextVar("feast_nb_quiet", default=False)

_JOB_METHODS = (
    "to_df",
    "to_feast_df",
    "to_arrow",
    "to_tensor",
    "to_ray_dataset",
    "to_spark_df",
    "persist",
    "to_remote_storage",
)


@dataclass(frozen=True)
class Call:
    """One call of Feast's, as it was made."""

    store: Any
    features: Any
    entity: Any = None
    start: Any = None
    end: Any = None
    full_feature_names: bool = False
    seconds: float = 0.0


class Listener(Protocol):
    """Who is told. What these raise becomes a warning, never an error in the user's call."""

    def opened(self, store: Any) -> None: ...

    def last_store(self) -> Any: ...

    def historical(self, call: Call) -> Any: ...

    def online(self, call: Call, response: Any) -> None: ...

    def ran(self, token: Any, seconds: float, result: Any, table: Any) -> None: ...

    def failed(self, token: Any, seconds: float, error: BaseException) -> None: ...

    def before_reading(self) -> None: ...

    def experiment_of_next_run(self, store: Any) -> str | None: ...

    def resuming(self, run_id: str) -> AbstractContextManager[str]: ...

    def version_tagged(self, version: Any) -> None: ...

    def why_no_frame(self, run_id: str) -> str | None: ...


class Hooks:
    """Feast's calls, noticed from its import (past or future) until `remove`."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._patches = Patches()

    def install(self) -> None:
        self._patches.on_import("feast.feature_store", self._follow_store)
        self._patches.on_import("feast.mlflow_integration.client", self._follow_client)
        self._patches.on_import("feast.mlflow", self._follow_drop_in)

    def remove(self) -> None:
        self._patches.undo()

    def _follow_store(self, module: ModuleType) -> None:
        store = module.FeatureStore
        replace = self._patches.replace
        replace(store, "get_historical_features", self._historical)
        replace(store, "get_online_features", self._online)
        replace(store, "mlflow", _quiet_property)
        replace(store, "__init__", self._opened)

    def _follow_client(self, module: ModuleType) -> None:
        client = module.FeastMlflowClient
        readers = ("log_model", "load_model", "resolve_features")
        for name in readers:
            self._patches.replace(client, name, self._after_flush)
        self._patches.replace(client, "register_model", self._register)
        self._patches.replace(client, "get_training_entity_df", self._frame_or_reason)
        self._patches.replace(client, "start_run", self._start_run)

    def _follow_drop_in(self, module: ModuleType) -> None:
        """Bind `feast.mlflow` to the open store: unbound, it raises on any attribute asked of it.

        Importing skops, as logging a scikit-learn model does, asks every module for one.
        """
        if module._registered_store is None and (store := self._listener.last_store()):
            module._register_store(store)

    def _opened(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def __init__(store: Any, *args: Any, **kwargs: Any) -> None:
            original(store, *args, **kwargs)
            if self._patches.active:
                with door("opening a store"):
                    mend_paths(store)
                    self._listener.opened(store)

        return __init__

    def _historical(self, original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def get_historical_features(store: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._patches.active:
                return original(store, *args, **kwargs)
            job, seconds = _timed(original, store, *args, **kwargs)
            with door("recording a historical retrieval"):
                asked = signature.bind(store, *args, **kwargs).arguments
                token = self._listener.historical(
                    Call(
                        store=store,
                        features=asked.get("features", []),
                        entity=asked.get("entity_df"),
                        start=asked.get("start_date"),
                        end=asked.get("end_date"),
                        full_feature_names=asked.get("full_feature_names", False),
                        seconds=seconds,
                    )
                )
                if token is not None:
                    _watch(job, token, self._listener)
            return job

        return get_historical_features

    def _online(self, original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def get_online_features(store: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._patches.active:
                return original(store, *args, **kwargs)
            response, seconds = _timed(original, store, *args, **kwargs)
            with door("recording an online retrieval"):
                asked = signature.bind(store, *args, **kwargs).arguments
                call = Call(
                    store=store,
                    features=asked["features"],
                    entity=asked["entity_rows"],
                    full_feature_names=asked.get("full_feature_names", False),
                    seconds=seconds,
                )
                self._listener.online(call, response)
            return response

        return get_online_features

    def _after_flush(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Feast reads back the tags of a run: ours must have arrived by then."""

        @functools.wraps(original)
        def reading(*args: Any, **kwargs: Any) -> Any:
            if self._patches.active:
                with door("sending records ahead of a read"):
                    self._listener.before_reading()
            return original(*args, **kwargs)

        return reading

    def _register(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Feast tags a version with its run's service; the model's own has the last word."""
        reading = self._after_flush(original)

        @functools.wraps(original)
        def register_model(*args: Any, **kwargs: Any) -> Any:
            version = reading(*args, **kwargs)
            if self._patches.active:
                with door("tagging a version"):
                    self._listener.version_tagged(version)
            return version

        return register_model

    def _frame_or_reason(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Feast advises what is done already where a run has no entity frame: say the reason."""
        reading = self._after_flush(original)

        @functools.wraps(original)
        def get_training_entity_df(client: Any, run_id: str, *args: Any, **kwargs: Any) -> Any:
            try:
                return reading(client, run_id, *args, **kwargs)
            except Exception as problem:  # Feast's own error goes on, with a note
                if self._patches.active and (reason := self._listener.why_no_frame(run_id)):
                    problem.add_note(f"feast_nb: the entity frame was not archived: {reason}")
                raise

        return get_training_entity_df

    def _start_run(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Respect an experiment chosen before, as Feast's docstring promises.

        Feast is told the experiment each time: what it would set globally is not the user's
        choice, and stands in the way of later runs on other servers.
        """

        @functools.wraps(original)
        def start_run(client: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._patches.active or "experiment_id" in kwargs:
                return original(client, *args, **kwargs)
            if client._tracking_uri:
                client._mlflow.set_tracking_uri(client._tracking_uri)
            if run_id := kwargs.get("run_id"):
                with self._listener.resuming(run_id) as experiment:
                    return original(client, *args, experiment_id=experiment, **kwargs)
            with door("looking up the chosen experiment"):
                if chosen := self._listener.experiment_of_next_run(client._store):
                    kwargs["experiment_id"] = chosen
            return original(client, *args, **kwargs)

        return start_run


def _quiet_property(original: property) -> property:
    get = original.fget
    assert get is not None

    def mlflow(store: Any) -> Any:
        if _quiet.get():
            return None
        mend_paths(store)  # for a store that was opened before the extension was loaded
        return get(store)

    return property(mlflow, doc=original.__doc__)


def _timed(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, float]:
    token = _quiet.set(True)
    started = time.perf_counter()
    try:
        return call(*args, **kwargs), time.perf_counter() - started
    finally:
        _quiet.reset(token)


def _watch(job: Any, token: Any, listener: Listener) -> None:
    """Time the job when it runs, on the instance: its class, and other jobs, stay as they are.

    Methods of a job call each other (`to_df` → `to_arrow`): only the outermost call counts, and
    the Arrow table made inside it is the result, since nobody can change it afterwards.
    """
    inside = threading.local()

    def watched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def run(*args: Any, **kwargs: Any) -> Any:
            if getattr(inside, "depth", 0):
                result = original(*args, **kwargs)
                if name == "to_arrow":
                    inside.table = result
                return result
            inside.depth, inside.table = 1, None
            started = time.perf_counter()
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                with door("recording a retrieval that failed"):
                    listener.failed(token, time.perf_counter() - started, error)
                raise
            finally:
                inside.depth = 0
            table = result if name == "to_arrow" else inside.table
            inside.table = None
            with door("recording what a retrieval gave"):
                listener.ran(token, time.perf_counter() - started, result, table)
            return result

        return run

    for name in _JOB_METHODS:
        if callable(getattr(job, name, None)):
            setattr(job, name, watched(name, getattr(job, name)))
