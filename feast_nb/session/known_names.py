"""Names that completion offers: a Tab asks nobody but memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..patching import threads

if TYPE_CHECKING:
    from ..records.run import Repository
    from .session import Session


class KnownNames:
    """Services, references and registered models (with their aliases) as they were last read."""

    def __init__(self) -> None:
        self.services: tuple[str, ...] = ()
        self.refs: tuple[str, ...] = ()
        self.models: dict[str, tuple[str, ...]] = {}
        self.runs: dict[str, str] = {}  # id → name, the newest first
        self.registered_last: str | None = None  # by this session

    def note(self, repository: Repository) -> None:
        """Keep what a repository was found to hold."""
        self.services = tuple(repository.services)
        self.refs = tuple(f"{v}:{f}" for v, features in repository.views.items() for f in features)

    def remember_model(self, model: str, aliases: Sequence[str]) -> None:
        """Keep the name of a model that was registered just now."""
        self.registered_last = model
        self.models[model] = tuple(dict.fromkeys((*self.models.get(model, ()), *aliases)))

    def refresh(self, session: Session) -> None:
        """Read all in the background: models and runs from the local history, without a server.

        Once a run is open the server is asked for its models, too. Whoever needs them in earnest is
        told what is wrong with either.
        """
        from ..errors import FeastNbError
        from ..history import database
        from ..integrations.feast import repository  # noqa: F401 (threads of ours load nothing)
        from ..integrations.mlflow import clients, http, models

        uri: str | None = None
        kept = _history(session)
        if session.recorder.runs:
            with suppress(FeastNbError):  # MLflow is off for this repository, say
                uri = session.runs.uri
                clients.connect(uri)

        def read() -> None:
            try:
                if kept is not None:
                    known, newest = database.names_in(kept)
                    self.models = {**known, **self.models}
                    self.runs = dict(newest)
                _ = session.repository
                if uri is not None:
                    with http.translate_errors():
                        found = models.registered_names(uri)
                    self.models |= found
            except (FeastNbError, ImportError):
                return

        threads.start(lambda: threads.do(read, lambda: None, lambda: False), "names")


def _history(session: Session) -> Path | None:
    """The file of the local history, as far as it is known without importing MLflow."""
    import os

    from ..errors import FeastNbError
    from ..questions.source import place_of

    try:
        uri = session.runs.uri
    except FeastNbError:  # MLflow is off for this repository, say
        return None
    registry = os.environ.get("MLFLOW_REGISTRY_URI")
    return place_of(uri, registry if registry != uri else None, session.store.project)
