"""How Feast's own objects show themselves in a notebook; records say so themselves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.infra.offline_stores.offline_store import RetrievalJob
    from feast.mlflow_integration.client import FeastMlflowClient
    from feast.online_response import OnlineResponse
    from IPython.core.interactiveshell import InteractiveShell

T = TypeVar("T")


class Formatters:
    """The display formatters that we registered in a shell, and how to take them out again."""

    def __init__(self, shell: InteractiveShell) -> None:
        assert shell.display_formatter is not None
        self._bundles = shell.display_formatter.mimebundle_formatter
        self._undo: list[Callable[[], None]] = []
        for (module, name), show in _SHOWN.items():
            self._bundles.for_type_by_name(module, name, show)
            self._undo.append(functools.partial(self._forget, module, name))

    def remove(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _forget(self, module: str, name: str) -> None:
        """A formatter by name moves to the class itself once IPython has met one."""
        self._bundles.deferred_printers.pop((module, name), None)
        for kind in list(self._bundles.type_printers):
            if (kind.__module__, kind.__name__) == (module, name):
                self._bundles.type_printers.pop(kind)


def _text(say: Callable[[T], str]) -> Callable[..., dict[str, str]]:
    def show(thing: T, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": say(thing)}

    return show


def _store(store: FeatureStore) -> str:
    return f"FeatureStore({store.project}, {store.repo_path})"


def _client(client: FeastMlflowClient) -> str:
    from ..masking import public_uri

    return f"MLflow for Feast project {client._store.project}: {public_uri(client._tracking_uri)}"


def _online(response: OnlineResponse) -> str:
    names = list(response.proto.metadata.feature_names.val)
    rows = len(response.proto.results[0].values) if response.proto.results else 0
    return f"OnlineResponse: {rows} rows of {', '.join(names)}; .to_df() gives the frame"


def _job(job: RetrievalJob) -> str:
    known = getattr(job, "metadata", None)
    features = ", ".join(known.features) if known is not None else "features"
    return f"RetrievalJob: {features}; .to_df() runs it"


_SHOWN = {
    ("feast.feature_store", "FeatureStore"): _text(_store),
    ("feast.mlflow_integration.client", "FeastMlflowClient"): _text(_client),
    ("feast.online_response", "OnlineResponse"): _text(_online),
    ("feast.infra.offline_stores.offline_store", "RetrievalJob"): _text(_job),
}
