"""Which notebook this is, or what else runs the cells: the one place where that is asked.

Only what a launcher says for sure, or what every cell so far agrees with; else it is not known.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

UNKNOWN = "notebook"  # a notebook whose path nobody knows
_SESSION = "JPY_SESSION_NAME"
_MADE_UP = "-jvsc-"  # VS Code's sessions on a server: a name like the notebook's, and no file's
_MOST = 50  # notebooks of a folder that are looked into
_CONSOLES = ("jupyter-console", "jupyter_console", "jupyter-qtconsole", "qtconsole", "console",
             "jupyter-run")  # fmt: skip

Frontend = Literal["notebook", "console", "engine", "colab", "none"]
_SOURCES = {"console": "Jupyter console", "engine": "ipyparallel engine", "colab": "Colab notebook"}


@dataclass(frozen=True)
class Launcher:
    """The process that started this one: its arguments, and its environment where it may be read.

    `folder` is where it runs, by which the paths in its arguments are meant.
    """

    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    folder: Path = field(default_factory=Path.cwd)


@dataclass(frozen=True)
class Identity:
    """What runs the cells, and the path of its notebook: None where there is none.

    `sure` where a launcher said it: the cells to come change nothing.
    """

    frontend: Frontend
    notebook: str | None = None
    sure: bool = True

    @property
    def source(self) -> str | None:
        """What MLflow's Source column is to say, where MLflow itself knows only the kernel."""
        known = self.notebook if self.notebook != UNKNOWN else None
        return known or _SOURCES.get(self.frontend) or self.notebook


def source_type(source: str) -> str:
    """What MLflow is to call a source: a notebook, or something else on this machine."""
    return "LOCAL" if source in (_SOURCES["console"], _SOURCES["engine"]) else "NOTEBOOK"


def launcher() -> Launcher:
    """The process that started this one."""
    import psutil

    try:
        parent = psutil.Process().parent()
        if parent is None:
            return Launcher()
        arguments = tuple(parent.cmdline())
    except psutil.Error:
        return Launcher()
    try:
        return Launcher(arguments, parent.environ(), Path(parent.cwd()))
    except (psutil.Error, OSError):  # another user's
        return Launcher(arguments)


def identify(shell: InteractiveShell, texts: Sequence[str], by: Launcher | None = None) -> Identity:
    """What runs the cells of a shell; `texts` are those that ran, the running one last.

    In this order: VS Code's variable; the Jupyter server's session name, unless the process that
    started this one has the same in its own environment (a kernel that nbclient starts within
    another kernel inherits a stale one); of the notebooks on that process' command line the one
    that holds the cell; the only notebook in the folder that holds every cell that ran.
    """
    if "ipykernel" not in sys.modules:
        return Identity("none")
    if type(getattr(shell, "kernel", None)).__name__ == "IPythonParallelKernel":
        return Identity("engine")
    if isinstance(path := shell.user_ns.get("__vsc_ipynb_file__"), str):
        return Identity("notebook", os.path.realpath(path))
    if "google.colab" in sys.modules:
        return Identity("colab", UNKNOWN)
    by = by or launcher()
    session = os.environ.get(_SESSION, "")
    own = bool(session) and (by.environment or {}).get(_SESSION) != session
    if own and (by.environment is not None or _is_server(by)):
        if _MADE_UP in session:
            return Identity("notebook", UNKNOWN)
        # A console of JupyterLab's has a session, whose name is no file's.
        is_notebook = session.endswith(".ipynb")
        return (
            Identity("notebook", os.path.realpath(session))
            if is_notebook
            else (Identity("console"))
        )
    if "spyder_kernels" in sys.modules or _is_console(by):
        return Identity("console")
    named = _named(by)
    if named:
        holders = [path for path in named if holds(path, texts[-1:])]
        found = str(holders[0].resolve()) if len(holders) == 1 else UNKNOWN
        return Identity("notebook", found, sure=found != UNKNOWN)
    return Identity("notebook", _only_holder(texts) or UNKNOWN, sure=False)


def _is_server(by: Launcher) -> bool:
    """Whether a process whose environment may not be read is a Jupyter server, by its name."""
    return any("jupyter" in Path(a).name for a in by.arguments)


def _is_console(by: Launcher) -> bool:
    """`jupyter console`, `python -m jupyter_console`, `jupyter-qtconsole`."""
    words = [Path(a).name for a in by.arguments[:4]]
    return any(word in _CONSOLES for word in words)


def _named(by: Launcher) -> list[Path]:
    """The notebooks on a command line that are there, without the copies that it writes."""
    pairs = zip(by.arguments, by.arguments[1:], strict=False)
    paths = [by.folder / a for before, a in pairs
             if a.endswith(".ipynb") and before not in ("--output", "-o")]  # fmt: skip
    if any(Path(a).name == "papermill" for a in by.arguments[:4]):
        paths = paths[:1]  # the second is its copy with outputs, written as it goes
    return [path for path in dict.fromkeys(paths) if path.is_file()]


def _only_holder(texts: Sequence[str]) -> str | None:
    """The one notebook in the working folder that has all of these as cells."""
    if not any(text.strip() for text in texts):
        return None
    nearby = sorted(Path.cwd().glob("*.ipynb"))[:_MOST]
    holders = [path for path in nearby if holds(path, texts)]
    return str(holders[0].resolve()) if len(holders) == 1 else None


def holds(path: Path, texts: Sequence[str]) -> bool:
    """Whether a notebook has all of these texts as cells."""
    wanted = {text.strip() for text in texts} - {""}
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        held = {"".join(cell["source"]).strip() for cell in cells}
    except (OSError, ValueError, TypeError, KeyError):
        return False  # no notebook, or a broken one
    return bool(wanted) and wanted <= held
