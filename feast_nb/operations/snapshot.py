"""A registry and the history of its models in one file: a gate in CI needs no access to either.

A job that may reach both writes it (`feast-nb snapshot`), one that may not reads it
(`feast-nb check --offline`).
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ArtifactError, RepositoryError
from ..history import History, database
from ..integrations.feast import repository
from ..integrations.feast.repository_files import registry_file
from ..masking import public_uri
from ..records.operation import Snapshot
from .affected_models import AffectedModels

if TYPE_CHECKING:
    from feast import FeatureStore

    from ..integrations.feast.registry import Definitions
    from ..lineage.state import ProjectState
    from ..questions.source import HistorySource

_HEAD, _REGISTRY, _HISTORY = "snapshot.json", "registry.pb", "history.sqlite"
_LARGEST = 4_000_000_000  # bytes of a part: more is no snapshot


def write(store: FeatureStore, past: HistorySource, path: Path) -> Snapshot:
    """Keep the registry as it is now, and what is known of its models, in a file.

    The file is whole or not there, and the user's alone: it holds who trained what. Raises
    `RepositoryError` where the tracking server is away, or a contract cannot be read.
    """
    kept = registry_file.written(store)
    known = AffectedModels(past)
    models = known.read_all_contracts()
    if known.unchecked:
        raise RepositoryError(f"no snapshot was written: {known.unchecked[0]}")
    head = Snapshot(
        project=store.project,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        server=public_uri(past.uri),
        views=len(registry_file.read_written(kept, store.project).views),
        models=models,
        runs=int(past.history.rows("SELECT count(*) FROM runs WHERE deleted = 0")[0][0]),
        path=str(path),
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory(prefix="feast_nb") as place:
            past.history.copy_to(Path(place, _HISTORY))
            os.close(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
            with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as made:
                made.writestr(_HEAD, json.dumps(replace(head, path=None).to_dict(), indent=1))
                made.writestr(_REGISTRY, kept)
                made.write(Path(place, _HISTORY), _HISTORY)
        draft.replace(path)
    except OSError as problem:
        draft.unlink(missing_ok=True)
        raise RepositoryError(f"{path} cannot be written: {problem.strerror}.") from problem
    return head


@dataclass
class SnapshotSource:
    """What a snapshot knows, asked as a history is; there is no server behind it."""

    head: Snapshot
    definitions: Definitions
    history: History
    uri: None = None
    notes: tuple[str, ...] = ()

    def refresh(self) -> None:
        """Nothing is newer here."""

    def known(self) -> ProjectState:
        """The registry, and every run and model, as they were kept."""
        from ..questions.source import state_of

        catalog = repository.catalog_of(self.definitions)
        return state_of(self.history, catalog, self.head.project)


@contextmanager
def opened(path: Path, project: str) -> Iterator[SnapshotSource]:
    """A snapshot that was written for a project.

    Raises `RepositoryError` for a file that is none, or is another project's.
    """
    with tempfile.TemporaryDirectory(prefix="feast_nb") as place:
        try:
            with zipfile.ZipFile(path) as kept:
                head = Snapshot.read(_part(kept, _HEAD).decode(), f"{_HEAD} of {path.name}")
                definitions = registry_file.read_written(_part(kept, _REGISTRY), head.project)
                copy = Path(place, _HISTORY)
                copy.write_bytes(_part(kept, _HISTORY))
        except FileNotFoundError:
            said = f"no snapshot at {path}; write one: feast-nb snapshot --into {path}"
            raise RepositoryError(said) from None
        except (ArtifactError, OSError, ValueError, KeyError, zipfile.BadZipFile) as problem:
            raise RepositoryError(f"{path} is no snapshot of feast_nb's: {problem}") from None
        if head.project != project:
            raise RepositoryError(f"{path} is a snapshot of {head.project}, not of {project}.")
        if (why := database.fault_of(copy)) is not None:
            raise RepositoryError(f"{path} cannot be read: its history {why}.")
        history = History(copy)
        try:
            yield SnapshotSource(head, definitions, history)
        finally:
            history.close()


def _part(kept: zipfile.ZipFile, name: str) -> bytes:
    if kept.getinfo(name).file_size > _LARGEST:
        raise ValueError(f"{name} is too large")
    return kept.read(name)
