"""Requests for a run: a process may die when its server has one and it does not know which.

A small file says where to look for it, by a tag that the run begins with. It is locked while its
process lives, as the outbox is, and gone as soon as the run is known.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

from ...errors import TrackingError
from .outbox_file import locked, open_locked

MARK = "feast_nb.start"  # the tag by which such a run is found again


@dataclass(frozen=True)
class RunRequest:
    """A run that a server was asked for: where, and the mark that it begins with."""

    tracking_uri: str
    experiment_id: str
    name: str | None
    mark: str = field(default_factory=lambda: uuid4().hex[:16])

    @property
    def tags(self) -> dict[str, str]:
        return {MARK: self.mark}


class RunRequests:
    """The requests that are under way, on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def noted(self, request: RunRequest) -> Iterator[None]:
        """While a server is asked; one that failed stays, for the next session to look after."""
        path = self.folder / f"{request.mark}.json"
        file: int | None = None
        with suppress(OSError):  # a disk that refuses: told of with the first record
            file = open_locked(path, json.dumps(asdict(request)).encode())
        try:
            yield
            path.unlink(missing_ok=True)
        finally:
            if file is not None:
                os.close(file)

    @property
    def any_waits(self) -> bool:
        """Whether there is one on disk, be it of a living process."""
        return any(self.folder.glob("*.json"))

    def look_after(self, end: Callable[[RunRequest], None]) -> None:
        """Give each request of a dead process to `end`; one that raises stays for the next time."""
        for path in sorted(self.folder.glob("*.json")):
            if (handle := locked(path)) is None:
                continue
            try:
                self._end(path, end)
            finally:
                os.close(handle)

    def _end(self, path: Path, end: Callable[[RunRequest], None]) -> None:
        try:
            request = RunRequest(**json.loads(path.read_text(encoding="utf-8")))
        except OSError:  # another took it over
            return
        except (ValueError, TypeError):  # no request of ours
            path.unlink(missing_ok=True)
            return
        with suppress(TrackingError, ImportError):  # MLflow is away: next time
            end(request)
            path.unlink(missing_ok=True)
