"""The notebook in which all this happens: its path, and the cells as they were executed."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from .records import Cell

UNKNOWN = "notebook"
_LOOKS = 20  # cells after which an unknown notebook stays unknown


class Cells:
    """The cell that is running, told by IPython's events; outside IPython there is none."""

    def __init__(self) -> None:
        self.current: Cell | None = None
        self.source = ""
        self.notebook: str | None = None
        self._shell: Any = None
        self._looks = 0

    def watch(self, shell: Any) -> None:
        self._shell = shell
        shell.events.register("pre_run_cell", self._started)

    def unwatch(self) -> None:
        if self._shell is not None:
            self._shell.events.unregister("pre_run_cell", self._started)
            self._shell = None

    def _started(self, info: Any) -> None:
        if not info.store_history:  # a cell run by a magic: the outer one is the user's
            return
        self.source = info.raw_cell or ""
        if self.notebook in (None, UNKNOWN) and self._looks < _LOOKS:
            # A cell that several notebooks hold (`%load_ext feast_nb`) tells nothing; later ones
            # do.
            self._looks += 1
            self.notebook = path_of(self._shell.user_ns, self.source)
        self.current = Cell(
            # IPython 9 counts up before this event, IPython 8 after it; the inputs kept so far
            # are the same in both.
            number=len(self._shell.history_manager.input_hist_raw),
            notebook=self.notebook,
            digest=text_digest(self.source),
        )


def text_digest(source: str) -> str:
    """A short hash of a cell's text, to see whether it was edited since."""
    return hashlib.blake2b(
        source.strip().encode("utf-8", "surrogatepass"), digest_size=6
    ).hexdigest()


def path_of(namespace: dict[str, Any], source: str = "") -> str | None:
    """The path of the running notebook, or None in a plain script or terminal.

    In this order: VS Code's variable, the Jupyter server's session name (only where the parent
    process is a Jupyter server: kernels that nbclient starts inherit a stale one), a path on the
    command line of what runs the notebook headless, the only notebook here that holds the cell.
    """
    if "ipykernel" not in sys.modules:
        return None
    if isinstance(vscode := namespace.get("__vsc_ipynb_file__"), str):
        return vscode
    parent = _parent_arguments()
    session = os.environ.get("JPY_SESSION_NAME", "")
    named = [a for a in parent[1:] if a.endswith(".ipynb") and Path(a).is_file()]
    if session.endswith(".ipynb") and any("jupyter" in a for a in parent) and not named:
        return session
    if named:
        return str(Path(named[0]).resolve())
    return _only_holder(source) or UNKNOWN


def _parent_arguments() -> list[str]:
    import psutil

    try:
        parent = psutil.Process().parent()
        return parent.cmdline() if parent else []
    except psutil.Error:
        return []


def _only_holder(source: str) -> str | None:
    """The one notebook in the working folder that has this text as a cell."""
    wanted = source.strip()
    if not wanted:
        return None
    holders = []
    for path in sorted(Path.cwd().glob("*.ipynb"))[:50]:
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            texts = ["".join(cell["source"]).strip() for cell in cells]
        except (OSError, ValueError, TypeError, KeyError):
            continue  # no notebook, or a broken one
        if wanted in texts:
            holders.append(str(path.resolve()))
    return holders[0] if len(holders) == 1 else None


def names_stored(source: str) -> set[str]:
    """The variables that a cell's code binds in the notebook, however deep in its blocks."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    found = _Bound()
    found.visit(tree)
    return found.names


class _Bound(ast.NodeVisitor):
    """The names bound in the scope of a cell. (`symtable` differs: Python 3.12 inlines some.)"""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.names.add(node.id)

    def visit_alias(self, node: ast.alias) -> None:
        self.names.add(node.asname or node.name.partition(".")[0])

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.names.add(node.name)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _definition

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Its own scope."""

    def _comprehension(self, node: ast.AST) -> None:
        """A scope of its own, but for `:=`, which binds outside."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.NamedExpr):
                self.visit(inner.target)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


def names_loaded(source: str) -> set[str]:
    """The variables that a cell's code reads."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
