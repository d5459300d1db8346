"""`store.mlflow`: Feast's own calls on runs and models, on the server that the repository names."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from ...masking import public_uri
from ...patching.interrupts import guarded
from ...patching.patches import Patches

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.mlflow_integration.client import FeastMlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from ..mlflow.model_lookup import ModelRef


class ClientListener(Protocol):
    """Who is told, and asked."""

    def before_reading(self) -> None: ...

    def server_of(self, store: FeatureStore) -> AbstractContextManager[None]: ...

    def is_a_repositorys(self, uri: str) -> bool: ...

    def experiment_of_next_run(self, store: FeatureStore) -> str | None: ...

    def resuming(self, run_id: str) -> AbstractContextManager[str]: ...

    def model_named(
        self, store: FeatureStore, named: str
    ) -> tuple[str, tuple[str, ModelRef] | None]: ...

    def model_loaded(self, found: tuple[str, ModelRef] | None) -> None: ...

    def version_tagged(self, version: ModelVersion) -> None: ...

    def entity_frame_of(self, run_id: str) -> tuple[str | None, str | None]: ...

    def say(self, message: str) -> None: ...


class ClientHooks:
    """What is put around the methods of Feast's `FeastMlflowClient`."""

    def __init__(self, listener: ClientListener, patches: Patches) -> None:
        self._listener = listener
        self._patches = patches

    def follow(self, client: type) -> None:
        replace = self._patches.replace
        replace(client, "log_model", self._on_its_server)
        replace(client, "load_model", self._load_model)
        replace(client, "resolve_features", self._after_flush)
        replace(client, "register_model", self._register)
        replace(client, "get_training_entity_df", self._frame_or_reason)
        replace(client, "start_run", self._start_run)

    def _after_flush(self, original: Callable[..., object]) -> Callable[..., object]:
        """Feast reads back the tags of a run: ours must have arrived by then."""

        @functools.wraps(original)
        def reading(*args: object, **kwargs: object) -> object:
            if self._patches.active:
                with guarded("sending records ahead of a read"):
                    self._listener.before_reading()
            return original(*args, **kwargs)

        return reading

    def _on_its_server(self, original: Callable[..., object]) -> Callable[..., object]:
        """Feast sets the tracking server in `start_run` only: in a fresh kernel these would go to
        MLflow's default, a new database in the working folder.
        """
        reading = self._after_flush(original)

        @functools.wraps(original)
        def calling(client: FeastMlflowClient, *args: object, **kwargs: object) -> object:
            if not self._patches.active:
                return original(client, *args, **kwargs)
            with self._listener.server_of(client._store):
                return reading(client, *args, **kwargs)

        return calling

    def _load_model(self, original: Callable[..., object]) -> Callable[..., object]:
        """Feast tags a prediction run for two ways of naming a model, and refuses one of those.

        Every way is turned into the version that it means now, which Feast takes.
        """
        reading = self._on_its_server(original)

        @functools.wraps(original)
        def load_model(client: FeastMlflowClient, model_uri: str, **kwargs: object) -> object:
            if not self._patches.active:
                return original(client, model_uri, **kwargs)
            address, found = model_uri, None
            with guarded("looking up a model"):
                address, found = self._listener.model_named(client._store, model_uri)
            model = reading(client, address, **kwargs)
            with guarded("noting which model was loaded"):
                self._listener.model_loaded(found)
            return model

        return load_model

    def _register(self, original: Callable[..., object]) -> Callable[..., object]:
        """Feast tags a version with its run's service; the model's own has the last word.

        MLflow's further options (`tags`, `await_registration_for`) are MLflow's to take.
        """
        reading = self._on_its_server(original)

        @functools.wraps(original)
        def register_model(
            client: FeastMlflowClient, model_uri: str, name: str, **options: object
        ) -> object:
            if not self._patches.active:
                return original(client, model_uri, name, **options)
            if options:
                with self._listener.server_of(client._store):
                    version = client._mlflow.register_model(model_uri, name, **options)
            else:
                version = reading(client, model_uri, name)
            with guarded("tagging a version"):
                self._listener.version_tagged(version)
            return version

        return register_model

    def _frame_or_reason(self, original: Callable[..., object]) -> Callable[..., object]:
        """Feast advises what is done already where a run has no entity frame: say the reason.

        The timestamp column is the recorded one, where the caller names none.
        """
        reading = self._after_flush(original)

        @functools.wraps(original)
        def get_training_entity_df(
            client: FeastMlflowClient, run_id: str, *args: object, **kwargs: object
        ) -> object:
            column = reason = None
            if self._patches.active:
                with guarded("looking up the entity frame of a run"):
                    self._listener.before_reading()
                    column, reason = self._listener.entity_frame_of(run_id)
            if column and not args and "timestamp_column" not in kwargs:
                kwargs["timestamp_column"] = column
            try:
                return reading(client, run_id, *args, **kwargs)
            except Exception as problem:  # Feast's own error goes on, with a note
                if reason:
                    problem.add_note(f"feast_nb: the entity frame was not archived: {reason}")
                raise

        return get_training_entity_df

    def _start_run(self, original: Callable[..., object]) -> Callable[..., object]:
        """Respect an experiment chosen before, as Feast's docstring promises.

        Feast is told the experiment each time: what it would set globally is not the user's
        choice, and stands in the way of later runs on other servers.
        """

        @functools.wraps(original)
        def start_run(client: FeastMlflowClient, *args: object, **kwargs: Any) -> object:
            if not self._patches.active:
                return original(client, *args, **kwargs)
            name = args[0] if args else kwargs.get("run_name")
            if isinstance(name, str) and re.fullmatch("[0-9a-f]{32}", name):
                self._listener.say(
                    f"store.mlflow.start_run takes a name first: a new run is called {name}. To go "
                    f'on with a run, write start_run(run_id="{name}").'
                )
            if "experiment_id" in kwargs:
                return original(client, *args, **kwargs)
            chosen = client._mlflow.is_tracking_uri_set() and client._mlflow.get_tracking_uri()
            other = chosen and client._tracking_uri and chosen != client._tracking_uri
            if other and not self._listener.is_a_repositorys(chosen):
                self._listener.say(
                    f"store.mlflow.start_run goes to the repository's server, "
                    f"{public_uri(client._tracking_uri)} (mlflow.tracking_uri in "
                    f"feature_store.yaml), not to {public_uri(chosen)} which was set before; "
                    "mlflow.start_run goes there."
                )
            if client._tracking_uri:
                client._mlflow.set_tracking_uri(client._tracking_uri)
            if run_id := kwargs.get("run_id"):
                with self._listener.resuming(run_id) as its_own:
                    return original(client, *args, experiment_id=its_own, **kwargs)
            with guarded("looking up the chosen experiment"):
                if experiment := self._listener.experiment_of_next_run(client._store):
                    kwargs["experiment_id"] = experiment
            return original(client, *args, **kwargs)

        return start_run
