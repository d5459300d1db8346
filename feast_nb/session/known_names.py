"""Names that completion offers: a Tab asks nobody but memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
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
        """Read all in the background: the registered models once a run is open.

        Whoever needs them in earnest is told what is wrong with either.
        """
        from ..errors import FeastNbError
        from ..integrations.feast import repository  # noqa: F401 (threads of ours load nothing)
        from ..integrations.mlflow import clients, http, models

        uri: str | None = None
        if session.recorder.runs:
            with suppress(FeastNbError):  # MLflow is off for this repository, say
                uri = session.runs.uri
                clients.connect(uri)

        def read() -> None:
            try:
                _ = session.repository
                if uri is not None:
                    with http.translate_errors():
                        found = models.registered_names(uri)
                    self.models |= found
            except (FeastNbError, ImportError):
                return

        threads.start(lambda: threads.do(read, lambda: None, lambda: False), "names")
