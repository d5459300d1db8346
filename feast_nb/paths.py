"""Where things are kept: the user's cache and state folders, and Jupyter's runtime folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Folder that cannot be written → the temporary one that this process uses instead; itself where
# it can.
_used: dict[Path, Path] = {}


def cache_folder() -> Path:
    """Where copies are kept that can be read again: `FEAST_NB_CACHE`, else the user's cache."""
    return _writable(_cache(), {"FEAST_NB_CACHE": _cache()})


def state_folder() -> Path:
    """Where records wait until MLflow has them: `FEAST_NB_STATE`, else the user's state folder.

    A home that cannot be written makes neither: both are told of together.
    """
    return _writable(_state(), {"FEAST_NB_STATE": _state(), "FEAST_NB_CACHE": _cache()})


def private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are not there, for its owner alone."""
    for missing in [p for p in (folder, *folder.parents) if not p.exists()][::-1]:
        missing.mkdir(mode=0o700, exist_ok=True)


def runtime_folder() -> Path:
    """Jupyter's runtime folder, where kernels and servers find each other."""
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir())


def _cache() -> Path:
    import platformdirs

    return Path(os.environ.get("FEAST_NB_CACHE", platformdirs.user_cache_dir("feast-nb")))


def _state() -> Path:
    import platformdirs

    return Path(os.environ.get("FEAST_NB_STATE", platformdirs.user_state_dir("feast-nb")))


def _writable(folder: Path, asked: dict[str, Path]) -> Path:
    """The folder; where it cannot be written a temporary one, and one line that says so.

    `asked` are the folders that are looked at together, by their variable.
    """
    if folder not in _used:
        lost = {}
        for variable, place in asked.items():
            if _used.setdefault(place, place) is place and not _may_write(place):
                _used[place] = _temporary()
                lost[variable] = place
        if lost:
            places = " and ".join(str(p) for p in lost.values())
            print(
                f"feast_nb: {places} cannot be written: what would be kept there is kept in a "
                f"temporary folder until this process ends. Set {' and '.join(lost)} to a folder "
                "that can.",
                file=sys.stderr,
            )
    return _used[folder]


def _may_write(folder: Path) -> bool:
    """Whether a folder can be written, or made where it is not there: tried, and left as it was."""
    try:
        there = next(p for p in (folder, *folder.parents) if p.exists())
        probe = there / f".feast_nb-{os.getpid()}"
        probe.mkdir(mode=0o700, exist_ok=True)
        probe.rmdir()
    except (OSError, StopIteration):
        return False
    return True


def _temporary() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="feast_nb-"))
