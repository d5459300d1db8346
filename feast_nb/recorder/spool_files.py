"""The folder in which frames and cells wait to be sent, each file named for its process."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path

# Several machines may share a home folder: a process is one of this machine, or not ours to judge.
_HERE = hashlib.blake2b(socket.gethostname().encode(), digest_size=3).hexdigest()
# A draft of cells ends with the number of its process.
_OF_A_PROCESS = re.compile(rf"-{_HERE}\.(\d+)(?:-[0-9a-f]{{8}})?(?:\.(?:parquet|ipynb|\d+))?$")


def _mark() -> str:
    return f"{_HERE}.{os.getpid()}"


def loose_folder(folder: Path) -> Path:
    """Where this process keeps the frames that no run has come to use."""
    return folder / f"loose-{_mark()}"


def frame_path(folder: Path, id: str, what: str) -> Path:
    """The file of a retrieval's entity frame or result."""
    return folder / f"{id}-{what}-{_mark()}.parquet"


def cells_path(folder: Path, run_id: str, kernel: str) -> Path:
    """The file of a run's cells: each kernel that works on it has one."""
    return folder / f"{run_id}-{_mark()}-{kernel}.ipynb"


def sweep(folder: Path, outbox: Path) -> None:
    """Remove what dead processes left that no record speaks of, and that no run came to use.

    They died after they wrote a file, and before they wrote down that it is there.
    """
    left = [path for path in folder.glob("*-*.*") if _OF_A_PROCESS.search(path.name)]
    if not left:  # as nearly always: nothing is imported for it
        return
    import psutil

    dead = [path for path in left if (of := _process(path)) and not psutil.pid_exists(of)]
    # Twice: who takes a dead process's records over writes them down before its file goes.
    spoken_of = _texts(outbox) + _texts(outbox) if dead else ""
    for path in dead:
        if path.name not in spoken_of:
            _remove(path)


def erase(folder: Path, ids: Iterable[str]) -> list[str]:
    """Remove the frames of retrievals that still wait here; their names."""
    found = [path for id in ids for path in folder.rglob(f"*{id}-*.parquet")]
    for path in found:
        _remove(path)
    return [f"{path.name} (on this machine)" for path in found]


def _remove(path: Path) -> None:
    if path.is_dir():
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _process(path: Path) -> int | None:
    found = _OF_A_PROCESS.search(path.name)
    return int(found[1]) if found else None


def _texts(outbox: Path) -> str:
    found = []
    for path in outbox.rglob("*.jsonl"):
        try:
            found.append(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:  # it was taken over as we looked
            continue
    return "".join(found)
