"""Notice every call that reads or writes features, and keep Feast from logging it a second time.

Feast's calls, signatures and results stay what they are. `Hooks.remove` puts all of it back.
"""

from __future__ import annotations

import functools
import inspect
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..patches import INHERITED, Patches, door, kept
from .store import mend_paths

if TYPE_CHECKING:
    from . import client, jobs

    class Listener(client.Listener, jobs.Listener):
        """Who is told. What these raise becomes a warning, never an error in the user's call."""

        def opened(self, store: Any) -> None: ...

        def last_store(self) -> Any: ...

        def entering(self) -> Any: ...

        def historical(self, call: Call) -> Any: ...

        def online(self, call: Call, response: Any) -> None: ...

        def wrote(self, call: WriteCall) -> None: ...

        def saved(self, token: Any, name: str, storage: Any) -> None: ...


# Inside a call that is recorded here, `store.mlflow` is None: Feast's auto-log then neither
# writes nor imports mlflow (1.1–1.6 s in a process that has no run). A context variable, since
# switching the store's own setting leaks between threads.
_quiet: ContextVar[bool] = ContextVar("feast_nb_quiet", default=False)
# A push writes to the online store: the outermost call is the one that was made.
_writing: ContextVar[bool] = ContextVar("feast_nb_writing", default=False)

_WRITES = ("push", "push_async", "write_to_online_store", "write_to_online_store_async",
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


class Hooks:
    """Feast's calls, noticed from its import (past or future) until `remove`."""

    def __init__(self, listener: Callable[[], Any]) -> None:
        self._wake: Callable[[], Listener] = listener
        self._patches = Patches()
        self._choice: Any = None

    @property
    def _listener(self) -> Listener:
        """Made when it is first asked for: an extension that is only loaded costs nothing."""
        return self._wake()

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
        replace(store, "get_online_features_async", self._online_async)
        replace(store, "create_saved_dataset", self._saved_dataset)
        for name in _WRITES:
            if hasattr(store, name):
                replace(store, name, self._write)
        replace(store, "mlflow", self._quiet_property)
        replace(store, "__init__", self._opened)

    def _follow_client(self, module: ModuleType) -> None:
        from . import client

        client.Calls(self._listener, self._patches).follow(module.FeastMlflowClient)

    def _follow_drop_in(self, module: ModuleType) -> None:
        """Bind `feast.mlflow` to the open store: unbound, it raises on any attribute asked of it.

        Importing skops, as logging a scikit-learn model does, asks every module for one.
        """
        self._patches.replace(module, "init", self._chosen)
        self._patches.put(module, "__dir__", lambda: _names_of(module), INHERITED)
        self._bind(module)

    def _chosen(self, original: Callable[..., None]) -> Callable[..., None]:
        """`feast.mlflow.init(store)`: the user's choice, until another store is opened."""

        @functools.wraps(original)
        def init(store: Any) -> None:
            original(store)
            self._choice = store

        return init

    def _bind(self, module: Any) -> None:
        """`feast.mlflow` is of the store that was chosen, else of the one opened last.

        Feast binds it to a store whose `.mlflow` is asked for the first time.
        """
        wanted = self._choice if self._choice is not None else self._listener.last_store()
        if module is not None and wanted is not None and module._registered_store is not wanted:
            mend_paths(wanted)  # it may have been opened before the extension was loaded
            module._registered_store, module._client = wanted, None

    def _opened(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def __init__(store: Any, *args: Any, **kwargs: Any) -> None:
            original(store, *args, **kwargs)
            if self._patches.active:
                with door("opening a store"):
                    mend_paths(store)
                    self._listener.opened(store)
                    self._choice = None
                    self._bind(sys.modules.get("feast.mlflow"))

        return __init__

    def _quiet_property(self, original: property) -> property:
        get = original.fget
        assert get is not None

        def mlflow(store: Any) -> Any:
            if _quiet.get():
                return None
            mend_paths(store)  # for a store that was opened before the extension was loaded
            client = get(store)
            if self._patches.active:
                self._bind(sys.modules.get("feast.mlflow"))
            return client

        return property(mlflow, doc=original.__doc__)

    def _historical(self, original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def get_historical_features(store: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._patches.active:
                return original(store, *args, **kwargs)
            job, seconds = _timed(original, store, *args, **kwargs)
            with kept("recording a historical retrieval"):
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
                    from . import jobs

                    jobs.follow(job, token, self._listener)
            return job

        return get_historical_features

    def _online(self, original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def get_online_features(store: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._patches.active:
                return original(store, *args, **kwargs)
            response, seconds = _timed(original, store, *args, **kwargs)
            with kept("recording an online retrieval"):
                asked = signature.bind(store, *args, **kwargs).arguments
                self._listener.online(_online_call(asked, seconds), response)
            return response

        return get_online_features

    def _online_async(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """As its twin; whose run it is, is asked before the await: another task may open one."""
        signature = inspect.signature(original)

        @functools.wraps(original)
        async def get_online_features_async(store: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._patches.active:
                return await original(store, *args, **kwargs)
            owner = None
            with door("looking up the open run"):
                owner = self._listener.entering()
            quiet = _quiet.set(True)
            started = time.perf_counter()
            try:
                response = await original(store, *args, **kwargs)
            finally:
                _quiet.reset(quiet)
            with kept("recording an online retrieval"):
                asked = signature.bind(store, *args, **kwargs).arguments
                call = _online_call(asked, time.perf_counter() - started, owner)
                self._listener.online(call, response)
            return response

        return get_online_features_async

    def _saved_dataset(self, original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def create_saved_dataset(store: Any, *args: Any, **kwargs: Any) -> Any:
            dataset = original(store, *args, **kwargs)
            if self._patches.active:
                with kept("recording a saved dataset"):
                    asked = signature.bind(store, *args, **kwargs).arguments
                    from . import jobs

                    token = jobs.token_of(asked["from_"])
                    if token is not None:
                        self._listener.saved(token, asked["name"], asked["storage"])
            return dataset

        return create_saved_dataset

    def _write(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A call that writes features; those it makes itself on the way do not count."""
        signature = inspect.signature(original)

        def tell(args: Any, kwargs: Any, started: float, error: BaseException | None) -> None:
            with kept("recording a write"):
                asked = signature.bind(*args, **kwargs).arguments
                seconds = time.perf_counter() - started
                self._listener.wrote(_write_call(original.__name__, asked, seconds, error))

        @functools.wraps(original)
        def write(*args: Any, **kwargs: Any) -> Any:
            if not self._patches.active or _writing.get():
                return original(*args, **kwargs)
            inner, started = _writing.set(True), time.perf_counter()
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                tell(args, kwargs, started, error)
                raise
            finally:
                _writing.reset(inner)
            tell(args, kwargs, started, None)
            return result

        @functools.wraps(original)
        async def write_async(*args: Any, **kwargs: Any) -> Any:
            if not self._patches.active or _writing.get():
                return await original(*args, **kwargs)
            inner, started = _writing.set(True), time.perf_counter()
            try:
                result = await original(*args, **kwargs)
            except BaseException as error:
                tell(args, kwargs, started, error)
                raise
            finally:
                _writing.reset(inner)
            tell(args, kwargs, started, None)
            return result

        return write_async if inspect.iscoroutinefunction(original) else write


def _online_call(asked: dict[str, Any], seconds: float, owner: Any = None) -> Call:
    return Call(
        store=asked["self"],
        features=asked["features"],
        entity=asked["entity_rows"],
        full_feature_names=asked.get("full_feature_names", False),
        seconds=seconds,
        owner=owner,
    )


def _write_call(
    name: str, asked: dict[str, Any], seconds: float, error: BaseException | None
) -> WriteCall:
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


def _names_of(module: ModuleType) -> list[str]:
    """What `feast.mlflow` passes on: Feast's own calls, then MLflow's."""
    client = getattr(module, "_client", None)
    passed = [] if client is None else [*dir(client), *dir(client._mlflow)]
    if client is None and (mlflow := sys.modules.get("mlflow")) is not None:
        passed = dir(mlflow)
    return sorted({*vars(module), *(n for n in passed if not n.startswith("_"))})


def _timed(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, float]:
    token = _quiet.set(True)
    started = time.perf_counter()
    try:
        return call(*args, **kwargs), time.perf_counter() - started
    finally:
        _quiet.reset(token)
