"""Which repositories the panel may ask about: those under the server's root, and those allowed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..paths import runtime_folder
from ..records.messages import KernelAnswer, KernelState, OpenedRun, RunOfKernel
from .settings import Settings

YAML = "feature_store.yaml"
_DEPTH = 6
_MOST = 20_000  # folders that are looked through
_SECONDS = 3.0
_LEFT_OUT = {"node_modules", "__pycache__", "site-packages", "mlruns", "mlartifacts"}


@dataclass(frozen=True)
class FoundRepository:
    """A repository: `repo` is how the panel names it, relative to the root where it lies there."""

    repo: str
    project: str | None
    yaml: Path


def found(settings: Settings) -> list[FoundRepository]:
    """Every repository under the root and the folders allowed; links are not followed."""
    end = time.monotonic() + _SECONDS
    seen = []
    for base in (settings.root, *settings.folders):
        for folder in _folders(base, end):
            yaml = folder / YAML
            if yaml.is_file() and confined(settings, yaml) is not None:
                seen.append(FoundRepository(_named(settings, folder), _project(yaml), yaml))
    unique = {one.yaml: one for one in seen}
    return sorted(unique.values(), key=lambda one: one.repo)


def repository(settings: Settings, repo: str) -> Path | None:
    """The `feature_store.yaml` that a name means; None for what is not there or not allowed."""
    return confined(settings, settings.root / repo / YAML)


def confined(settings: Settings, yaml: Path) -> Path | None:
    """A file with all links followed, where it lies in a folder that may be read."""
    try:
        real = yaml.resolve(strict=True)
    except (OSError, RuntimeError):  # not there, no right to look, links in a circle
        return None
    inside = any(real.is_relative_to(base) for base in (settings.root, *settings.folders))
    return real if inside and real.is_file() else None


def kernels(settings: Settings) -> list[KernelAnswer]:
    """What living kernels say of themselves: notebook and repository as the panel names them.

    `repo` is None where a kernel's repository lies outside of what may be read.
    """
    said: list[KernelAnswer] = []
    for path in sorted(runtime_folder().glob("feast-nb-*.json")):
        try:
            told = KernelState.from_dict(json.loads(path.read_text(encoding="utf-8")))
            if not _lives(told.pid):
                path.unlink(missing_ok=True)
                continue
            yaml = confined(settings, Path(told.repository))
            notebook = told.notebook
            said.append(
                {
                    "kernel": told.kernel,
                    "notebook": _named(settings, Path(notebook)) if notebook else None,
                    "repo": _named(settings, yaml.parent) if yaml else None,
                    "tracking_uri": told.tracking_uri,
                    "run": _run(told.run),
                }
            )
        except (OSError, ValueError, TypeError, AttributeError):  # half written, another version
            continue
    return said


def _run(told: OpenedRun | None) -> RunOfKernel | None:
    return {"id": told.id, "name": told.name, "url": told.url} if told else None


def tracking_uri(settings: Settings, yaml: Path) -> str | None:
    """The tracking server that notebooks on a repository use, where they agree."""
    repo = _named(settings, yaml.parent)
    told = {k["tracking_uri"] for k in kernels(settings) if k["repo"] == repo}
    told.discard(None)  # a kernel that has not come to MLflow yet
    return told.pop() if len(told) == 1 else None


def _named(settings: Settings, path: Path) -> str:
    """Relative to the root where it lies there."""
    try:
        return path.resolve().relative_to(settings.root).as_posix()
    except ValueError:
        return str(path)


def _folders(base: Path, end: float) -> Iterator[Path]:
    """A folder and those in it, hidden ones and environments left out."""
    for looked, (place, inner, files) in enumerate(os.walk(base)):
        yield Path(place)
        deep = len(Path(place).relative_to(base).parts) >= _DEPTH
        if deep or "pyvenv.cfg" in files or looked > _MOST or time.monotonic() > end:
            inner.clear()
        inner[:] = sorted(d for d in inner if d[:1] != "." and d not in _LEFT_OUT)


def _project(yaml: Path) -> str | None:
    """The project's name as the file has it; Feast reads the rest."""
    try:
        for line in yaml.read_text(encoding="utf-8").splitlines():
            name, colon, value = line.partition(":")
            if colon and name == "project":
                return value.partition(" #")[0].strip().strip("\"'") or None
    except (OSError, UnicodeDecodeError):
        pass
    return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
