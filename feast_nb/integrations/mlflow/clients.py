"""One client for each MLflow server, ready for threads of ours, which load nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...patching import threads
from . import silence

if TYPE_CHECKING:
    from mlflow import MlflowClient

_clients: dict[str, MlflowClient] = {}
_registries: dict[str, str] = {}

# What sending records, reading contracts and copying a history come to use.
_MODULES = (
    "mlflow.artifacts",
    "mlflow.entities",
    "mlflow.exceptions",
    "mlflow.store.artifact.local_artifact_repo",
    "mlflow.store.artifact.mlflow_artifacts_repo",
    "mlflow.store.artifact.runs_artifact_repo",
    "mlflow.tracking.artifact_utils",
    "mlflow.utils.credentials",
    "mlflow.utils.rest_utils",
    "mlflow.utils.search_logged_model_utils",
    "dbruntime.databricks_repl_context",  # looked for in each request
    "netrc",
    "pyspark.sql",  # MLflow has looked for it when its client was made
)
_OF_DATABASES = (
    "mlflow.store.db.utils",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
)


def client(uri: str) -> MlflowClient:
    """MLflow's client for one server, whatever the global setting; it opens a database.

    Without an address of the registry MLflow looks for one in Spark, too, which imports: threads
    of ours take the one that `connect` found.
    """
    from mlflow import MlflowClient

    if not threads.is_ours():
        with silence.silent():  # a new database is told of, table by table
            _clients[uri] = MlflowClient(tracking_uri=uri)
    elif uri not in _clients:
        _clients[uri] = MlflowClient(tracking_uri=uri, registry_uri=_registries.get(uri))
    return _clients[uri]


def workspace() -> str | None:
    """The workspace that requests are made in, where the server has some (MLflow 3.10 on)."""
    context = sys.modules.get("mlflow.utils.workspace_context")
    if context is not None:
        found: str | None = context.get_request_workspace()
        return found
    return os.environ.get("MLFLOW_WORKSPACE") or None


@contextlib.contextmanager
def in_workspace(name: str | None) -> Iterator[None]:
    """This thread's requests are made in a workspace meanwhile, whatever the environment says."""
    context = sys.modules.get("mlflow.utils.workspace_context")
    known = getattr(context, "_WORKSPACE", None)  # its setters change the environment as well
    if known is None or name == workspace():
        yield
        return
    token = known.set(name or "default")
    try:
        yield
    finally:
        known.reset(token)


def registry_uri(uri: str) -> str | None:
    """The model registry's address, where it is another than the tracking server's.

    As MLflow's client finds it, which would make a database that is not there.
    """
    found = _registries.get(uri)
    if found is None:
        from mlflow.tracking._model_registry import utils

        found = str(utils._resolve_registry_uri(None, uri))
    return found if found != uri else None


def connect(uri: str) -> None:
    """Load what threads of ours need to talk to a server, in a thread of the user's.

    No server is asked: that of a dead kernel's records may be away. A SQLite file is opened.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking._model_registry import utils

    silence.follow_once()
    _registries[uri] = str(utils._resolve_registry_uri(None, uri))
    threads.load(*_MODULES, *(_OF_DATABASES if _is_database(uri) else ()))
    file = database_file(uri)
    if file is not None and file.is_file():  # in this machine: opened at once, with all it loads
        api = client(uri)
        _ = api._tracking_client.store
        with contextlib.suppress(MlflowException):  # a store without a registry of models
            _ = api._get_registry_client().store


def _is_database(uri: str) -> bool:
    return not uri.startswith(("http://", "https://", "file:", "databricks"))


def database_file(uri: str) -> Path | None:
    """The file of a SQLite address."""
    scheme, _, path = uri.partition(":///")
    return Path(path.partition("?")[0]) if scheme.startswith("sqlite") and path else None


def database_exists(uri: str) -> bool:
    """Whether the file of a SQLite address is there: MLflow makes a missing one anew."""
    file = database_file(uri)
    return file is None or file.exists()
