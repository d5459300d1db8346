"""Notice every call that reads or writes features, and keep Feast from logging it a second time.

Feast's calls, signatures and results stay what they are; `RetrievalHooks.remove` puts all back.
"""

from __future__ import annotations

import functools
import inspect
import sys
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ...patching.interrupts import guarded, uninterrupted
from ...patching.patches import INHERITED, Patches
from .calls import (
    DOCUMENTS,
    WRITES,
    Call,
    WriteCall,
    document_call,
    historical_call,
    names_of,
    online_call,
    quiet,
    timed,
    write_call,
)
from .repository_files import definition_calls
from .servers import client_limits, registry_copy, registry_reads, remote_answers
from .store import mend_paths

Token = TypeVar("Token")

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.infra.offline_stores.offline_store import RetrievalJob
    from feast.mlflow_integration.client import FeastMlflowClient
    from feast.online_response import OnlineResponse
    from feast.saved_dataset import SavedDataset, SavedDatasetStorage

    from . import client_hooks, jobs
    from .calls import Owner

    class Listener(
        client_hooks.ClientListener, jobs.JobListener[Token], definition_calls.Listener,
        Protocol[Token],
    ):  # fmt: skip
        """Who is told. What these raise becomes a warning, never an error in the user's call."""

        def opened(self, store: FeatureStore) -> None: ...

        def last_store(self) -> FeatureStore | None: ...

        def entering(self) -> Owner: ...

        def historical(self, call: Call) -> Token | None: ...

        def online(self, call: Call, response: OnlineResponse) -> None: ...

        def wrote(self, call: WriteCall) -> None: ...

        def saved(self, token: Token, name: str, storage: SavedDatasetStorage) -> None: ...

        def dataset_read(self, store: FeatureStore, dataset: SavedDataset) -> Token | None: ...


# A push writes to the online store: the outermost call is the one that was made.
_writing: ContextVar[bool] = ContextVar("feast_nb_writing", default=False)


class RetrievalHooks(Generic[Token]):
    """Feast's calls, noticed from its import (past or future) until `remove`."""

    def __init__(self, listener: Callable[[], Listener[Token]]) -> None:
        self._wake: Callable[[], Listener[Token]] = listener
        self._patches = Patches()
        self._choice: FeatureStore | None = None

    @property
    def _listener(self) -> Listener[Token]:
        """Made when it is first asked for: an extension that is only loaded costs nothing."""
        return self._wake()

    def install(self) -> None:
        self._patches.on_import("feast.feature_store", self._follow_store)
        self._patches.on_import("feast.mlflow_integration.client", self._follow_client)
        self._patches.on_import("feast.mlflow", self._follow_drop_in)
        remote_answers.follow(self._patches)
        client_limits.follow(self._patches)
        registry_copy.follow(self._patches)
        registry_reads.follow(self._patches)
        definition_calls.follow(self._patches, lambda: self._listener)

    def remove(self) -> None:
        self._patches.undo()

    def _follow_store(self, module: ModuleType) -> None:
        store = module.FeatureStore
        replace = self._patches.replace
        replace(store, "get_historical_features", self._historical)
        replace(store, "get_online_features", self._online)
        replace(store, "get_online_features_async", self._online_async)
        replace(store, "create_saved_dataset", self._saved_dataset)
        replace(store, "get_saved_dataset", self._read_dataset)
        for names, wrap in ((WRITES, self._write), (DOCUMENTS, self._online)):
            for name in names:
                if hasattr(store, name):
                    replace(store, name, wrap)
        replace(store, "mlflow", self._quiet_property)
        replace(store, "__init__", self._opened)

    def _follow_client(self, module: ModuleType) -> None:
        from . import client_hooks

        client_hooks.ClientHooks(self._listener, self._patches).follow(module.FeastMlflowClient)

    def _follow_drop_in(self, module: ModuleType) -> None:
        """Bind `feast.mlflow` to the open store: unbound, it raises on any attribute asked of it.

        Importing skops, as logging a scikit-learn model does, asks every module for one.
        """
        self._patches.replace(module, "init", self._chosen)
        self._patches.put(module, "__dir__", lambda: names_of(module), INHERITED)
        self._bind(module)

    def _chosen(self, original: Callable[..., None]) -> Callable[..., None]:
        """`feast.mlflow.init(store)`: the user's choice, until another store is opened."""

        @functools.wraps(original)
        def init(store: FeatureStore) -> None:
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
        def __init__(store: FeatureStore, *args: object, **kwargs: object) -> None:
            original(store, *args, **kwargs)
            if self._patches.active:
                with guarded("opening a store"):
                    mend_paths(store)
                    self._listener.opened(store)
                    self._choice = None
                    self._bind(sys.modules.get("feast.mlflow"))

        return __init__

    def _quiet_property(self, original: property) -> property:
        get = original.fget
        assert get is not None

        def mlflow(store: FeatureStore) -> FeastMlflowClient | None:
            if quiet.get():
                return None
            mend_paths(store)  # for a store that was opened before the extension was loaded
            client: FeastMlflowClient | None = get(store)
            if self._patches.active:
                self._bind(sys.modules.get("feast.mlflow"))
            return client

        return property(mlflow, doc=original.__doc__)

    def _historical(self, original: Callable[..., RetrievalJob]) -> Callable[..., RetrievalJob]:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def get_historical_features(
            store: FeatureStore, *args: object, **kwargs: object
        ) -> RetrievalJob:
            if not self._patches.active:
                return original(store, *args, **kwargs)
            with registry_reads.noted() as read:
                job, seconds = timed(original, store, *args, **kwargs)
            with uninterrupted("recording a historical retrieval"):
                asked = signature.bind(store, *args, **kwargs)
                token = self._listener.historical(historical_call(asked, seconds, read))
                if token is not None:
                    from . import jobs

                    jobs.follow(job, token, self._listener)
            return job

        return get_historical_features

    def _online(self, original: Callable[..., OnlineResponse]) -> Callable[..., OnlineResponse]:
        """Of given keys, or a search by nearness, whose answer is of rows that nobody named."""
        signature, name = inspect.signature(original), original.__name__

        @functools.wraps(original)
        def online(store: FeatureStore, *args: object, **kwargs: object) -> OnlineResponse:
            if not self._patches.active:
                return original(store, *args, **kwargs)
            response, seconds = timed(original, store, *args, **kwargs)
            with uninterrupted("recording an online retrieval"):
                asked = signature.bind(store, *args, **kwargs)
                search = name in DOCUMENTS
                call = (
                    document_call(name, asked, seconds) if search else online_call(asked, seconds)
                )
                self._listener.online(call, response)
            return response

        return online

    def _online_async(
        self, original: Callable[..., Awaitable[OnlineResponse]]
    ) -> Callable[..., Awaitable[OnlineResponse]]:
        """As its twin; whose run it is, is asked before the await: another task may open one."""
        signature = inspect.signature(original)

        @functools.wraps(original)
        async def get_online_features_async(
            store: FeatureStore, *args: object, **kwargs: object
        ) -> OnlineResponse:
            if not self._patches.active:
                return await original(store, *args, **kwargs)
            owner = None
            with guarded("looking up the open run"):
                owner = self._listener.entering()
            token = quiet.set(True)
            started = time.perf_counter()
            try:
                response = await original(store, *args, **kwargs)
            finally:
                quiet.reset(token)
            with uninterrupted("recording an online retrieval"):
                asked = signature.bind(store, *args, **kwargs)
                call = online_call(asked, time.perf_counter() - started, owner)
                self._listener.online(call, response)
            return response

        return get_online_features_async

    def _read_dataset(self, original: Callable[..., SavedDataset]) -> Callable[..., SavedDataset]:
        """A saved dataset as a training set: it counts when its rows are read, not looked up."""

        @functools.wraps(original)
        def get_saved_dataset(store: FeatureStore, *args: object, **kwargs: object) -> SavedDataset:
            dataset = original(store, *args, **kwargs)
            if self._patches.active:
                with uninterrupted("following a saved dataset"):
                    from . import jobs

                    reading = jobs.LateJob(
                        lambda: self._listener.dataset_read(store, dataset), self._listener
                    )
                    assert dataset._retrieval_job is not None
                    jobs.follow(dataset._retrieval_job, None, reading)
            return dataset

        return get_saved_dataset

    def _saved_dataset(self, original: Callable[..., SavedDataset]) -> Callable[..., SavedDataset]:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def create_saved_dataset(
            store: FeatureStore, *args: object, **kwargs: object
        ) -> SavedDataset:
            dataset = original(store, *args, **kwargs)
            if self._patches.active:
                with uninterrupted("recording a saved dataset"):
                    asked = signature.bind(store, *args, **kwargs).arguments
                    from . import jobs

                    token = jobs.token_of(asked["from_"])
                    if token is not None:
                        self._listener.saved(token, asked["name"], asked["storage"])
                        # Read back, it is the same retrieval's result.
                        assert dataset._retrieval_job is not None
                        jobs.follow(dataset._retrieval_job, token, self._listener)
            return dataset

        return create_saved_dataset

    def _write(self, original: Callable[..., Any]) -> Callable[..., object]:
        """A call that writes features; those it makes itself on the way do not count."""
        signature = inspect.signature(original)

        def tell(
            args: tuple[object, ...],
            kwargs: dict[str, object],
            started: float,
            error: BaseException | None,
        ) -> None:
            with uninterrupted("recording a write"):
                asked = signature.bind(*args, **kwargs).arguments
                seconds = time.perf_counter() - started
                self._listener.wrote(write_call(original.__name__, asked, seconds, error))

        @functools.wraps(original)
        def write(*args: object, **kwargs: object) -> object:
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
        async def write_async(*args: object, **kwargs: object) -> object:
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
