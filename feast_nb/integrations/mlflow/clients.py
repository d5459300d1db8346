"""One client for each MLflow server, ready for threads of ours, which load nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ...patching import threads
from . import silence

_clients: dict[str, Any] = {}

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


def client(uri: str) -> Any:
    """MLflow's client for one server, whatever the global setting.

    Making one looks for a registry's address in Spark, too, which imports: threads of ours take
    the one that was made last in a thread of the user's.
    """
    if threads.is_ours() and uri in _clients:
        return _clients[uri]
    from mlflow import MlflowClient

    _clients[uri] = MlflowClient(tracking_uri=uri)
    return _clients[uri]


def connect(uri: str) -> None:
    """Load what threads of ours need to talk to a server, and make its client with both stores.

    Nothing is asked of a server; a database is opened where it is there.
    """
    from mlflow.exceptions import MlflowException

    silence.follow_once()
    api = client(uri)
    threads.load(*_MODULES)
    if database_file(uri) is not None and not database_exists(uri):
        return
    _ = api._tracking_client.store
    with contextlib.suppress(MlflowException):  # a store without a registry of models
        _ = api._get_registry_client().store


def database_file(uri: str) -> Path | None:
    """The file of a SQLite address."""
    scheme, _, path = uri.partition(":///")
    return Path(path.partition("?")[0]) if scheme.startswith("sqlite") and path else None


def database_exists(uri: str) -> bool:
    """Whether the file of a SQLite address is there: MLflow makes a missing one anew."""
    file = database_file(uri)
    return file is None or file.exists()
