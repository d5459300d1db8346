"""Where a run came from: the notebook and its cells as they ran, the commit, the packages."""

from __future__ import annotations

import itertools
import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import masking
from ..records.retrieval import Cell
from ..records.run import Origin
from .cells import ExecutedCell, text_digest
from .identity import UNKNOWN


def of(notebook: str | None, installed: Mapping[str, str] | None = None) -> Origin:
    """Notebook, commit and packages (`installed`, else looked up); it asks git."""
    folder = Path(notebook).parent if notebook and notebook != UNKNOWN else _script_folder()
    commit, branch, dirty = commit_of(folder)
    return Origin(
        notebook=notebook,
        commit=commit,
        branch=branch,
        dirty=dirty,
        python=platform.python_version(),
        platform=platform.platform(),
        packages=_shared(packages() if installed is None else installed),
    )


_newest: dict[str, str] = {}  # packages: those of thousands of runs are the same


def _shared(found: Mapping[str, str]) -> dict[str, str]:
    global _newest
    if found != _newest:
        _newest = dict(found)
    return _newest


def _script_folder() -> Path:
    """The folder of the script that runs, else the one that it runs in."""
    script = Path(getattr(sys.modules.get("__main__"), "__file__", None) or "")
    is_file = script.suffix == ".py" and script.is_file() and "site-packages" not in script.parts
    return script.resolve().parent if is_file else Path.cwd()


def commit_of(folder: Path) -> tuple[str | None, str | None, bool | None]:
    """The commit and branch of a folder, and whether files that git knows were changed since."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None, None, None
    changed = git("status", "--porcelain", "--untracked-files=no")
    branch = git("rev-parse", "--abbrev-ref", "HEAD")
    return commit, branch, None if changed is None else bool(changed)


def packages() -> dict[str, str]:
    """Every installed distribution and its version."""
    from importlib.metadata import distributions

    found = {d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def cells_notebook(
    texts: Sequence[str], executed: Iterable[ExecutedCell], kernel: str | None = None
) -> dict[str, object]:
    """The cells that ran, in true order, as a notebook without outputs and without secrets.

    Each says in which `kernel` it ran.
    """
    known = {e.cell.number: e for e in executed}
    cells = []
    for number, text in enumerate(texts, 1):
        ran = known.get(number)
        metadata = {"at": ran.at, "cell_id": ran.cell.id} if ran else {}
        if kernel is not None:
            metadata["kernel"] = kernel
        cells.append(
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "execution_count": number,
                "metadata": {"feast_nb": metadata} if metadata else {},
                "outputs": [],
                "source": masking.masked(text),
            }
        )
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "version": platform.python_version()},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def continued(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, object]:
    """The cells of two kernels that worked on one run, one after the other, each once."""
    again = {_kernel(cell) for cell in later["cells"]} - {None}
    before = [cell for cell in earlier["cells"] if _kernel(cell) not in again]
    cells = [*before, *later["cells"]]
    return {**later, "cells": [{**c, "id": f"cell-{n}"} for n, c in enumerate(cells, 1)]}


def _kernel(cell: Mapping[str, Any]) -> str | None:
    found: str | None = cell.get("metadata", {}).get("feast_nb", {}).get("kernel")
    return found


def cautions(executed: Sequence[ExecutedCell], used: Iterable[Cell | None]) -> tuple[str, ...]:
    """What to know of the cells that a run depends on: edited since, deleted, out of order.

    Only what the kernel knows (a cell's id with another text since) and what the notebook's file
    says, where it was saved after the cell ran.
    """
    numbers = {c.number for c in used if c is not None}
    mine = [e for e in executed if e.cell.number in numbers and e.cell.id]
    if not mine:
        return ()
    saved, at = _saved(mine[-1].cell.notebook)
    places = {id: n for n, id in enumerate(saved)}
    said = []
    for ran in mine:
        id, name = str(ran.cell.id), f"cell {ran.cell.number}"
        later = [e for e in executed if e.cell.id == id and e.at > ran.at]
        again = next((e for e in later if e.cell.digest != ran.cell.digest), None)
        if again is not None:
            said.append(f"{name} was edited since, and run again as cell {again.cell.number}.")
        elif id in saved and at > ran.at and saved[id] != ran.cell.digest:
            said.append(f"{name} was edited since it ran here.")
        elif saved and id not in saved and at > ran.at:
            said.append(f"{name} is no longer in the notebook.")
    for first, second in itertools.pairwise(mine):
        before, after = places.get(str(first.cell.id)), places.get(str(second.cell.id))
        if before is not None and after is not None and after < before:
            said.append(
                f"cell {second.cell.number} ran after cell {first.cell.number}, and stands above "
                "it in the notebook: Run All would do it in another order."
            )
    return tuple(said)


def _saved(notebook: str | None) -> tuple[dict[str, str], float]:
    """Cell id → digest of its text, in the notebook's file, and when that was saved."""
    if not notebook or notebook == UNKNOWN:
        return {}, 0.0
    path = Path(notebook)
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return {c["id"]: text_digest("".join(c["source"])) for c in cells}, path.stat().st_mtime
    except (OSError, ValueError, TypeError, KeyError):
        return {}, 0.0  # not saved yet, or of a format without ids
