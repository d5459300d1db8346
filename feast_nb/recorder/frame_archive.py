"""The copies of frames that runs keep: each distinct frame of a run once, on its way to MLflow."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from . import spool_files

NO_RUN = "no run was open when it was asked for"
What = Literal["entity", "result"]


class ArchivedCopy(NamedTuple):
    """Where a run keeps a frame and what the copy changed, or why it keeps none."""

    artifact: str | None
    changed: tuple[str, ...] = ()
    reason: str | None = None


class FrameArchive:
    """What was written, for which run; `send(run_id, path, artifact)` puts a file on its way."""

    def __init__(self, spool: Path, send: Callable[[str, Path, str], None]) -> None:
        self.spool = spool
        self._send = send
        self._kept: dict[tuple[What, str, str], ArchivedCopy] = {}
        self._unclaimed: dict[tuple[What, str], tuple[Path, tuple[str, ...]]] = {}

    def store(
        self,
        what: What,
        id: str,
        run_id: str | None,
        digest: str,
        artifact: str,
        write: Callable[[Path], tuple[bool, str | None, tuple[str, ...]]],
    ) -> ArchivedCopy:
        """Write a frame for a run; one of the same digest is there already, and is named.

        With no run open it lies beside the others for one that comes to use it.
        """
        known = self._kept.get((what, run_id or "", digest))
        if known is not None:
            return known
        path = spool_files.frame_path(self.spool, id, what)
        if run_id is None:
            path = self._folder / path.name
        written, trouble, changed = write(path)
        if not written:
            return ArchivedCopy(None, reason=trouble)
        if run_id is None:
            self._unclaimed[what, id] = path, changed
            return ArchivedCopy(None, reason=NO_RUN)
        return self._sent(what, run_id, digest, path, ArchivedCopy(artifact, changed))

    def copy_to_run(
        self, what: What, id: str, run_id: str, digest: str, artifact: str
    ) -> ArchivedCopy | None:
        """A run uses what was retrieved when none was open: it gets a copy, where there is one."""
        if (what, id) not in self._unclaimed:
            return None
        known = self._kept.get((what, run_id, digest))
        if known is not None:
            return known
        path, changed = self._unclaimed[what, id]
        copy = self.spool / f"{run_id[:8]}-{path.name}"
        shutil.copyfile(path, copy)
        return self._sent(what, run_id, digest, copy, ArchivedCopy(artifact, changed))

    def has(self, what: What, run_id: str) -> bool:
        """Whether a run keeps any frame of that kind."""
        return any(kind == what and run == run_id for kind, run, _ in self._kept)

    def close(self) -> None:
        """Remove what no run came to use."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _folder(self) -> Path:
        return spool_files.loose_folder(self.spool)

    def _sent(
        self, what: What, run_id: str, digest: str, path: Path, copy: ArchivedCopy
    ) -> ArchivedCopy:
        assert copy.artifact is not None
        self._kept[what, run_id, digest] = copy
        self._send(run_id, path, copy.artifact)
        return copy
