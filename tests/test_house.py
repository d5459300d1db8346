"""The rooms and who may import whom: the design's table, held by reading the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "feast_nb"
FOREIGN = {"feast", "mlflow", "pandas", "pyarrow", "numpy", "IPython", "plotly", "anywidget",
           "networkx", "jupyter_server", "tornado", "igraph"}  # fmt: skip
DATA = {"pandas", "pyarrow", "numpy"}

# Room → (rooms of ours it may import, foreign libraries it may import).
# fmt: off
HOUSE: dict[str, tuple[set[str], set[str]]] = {
    "errors": (set(), set()),
    "documents": (set(), set()),
    "records": ({"documents"}, set()),
    "patches": ({"errors"}, set()),
    "values": (set(), DATA),
    "fingerprint": ({"values"}, DATA),
    "frames": ({"records"}, {"pandas"}),
    "archive": ({"records", "frames", "fingerprint"}, DATA),
    "code": (set(), set()),
    "notebook": ({"records", "code", "patches"}, set()),
    "origin": ({"records", "notebook", "code"}, set()),
    "contract": ({"records", "errors"}, set()),
    "answers": ({"documents", "records", "display"}, set()),
    "facts": (set(), set()),
    "places": (set(), set()),
    "overview": ({"documents", "facts", "records", "usage"}, set()),
    "history": ({"facts"}, set()),
    "usage": ({"documents", "facts", "records", "display"}, set()),
    "lineage": ({"documents", "facts", "records", "usage", "display"}, {"igraph"}),
    "drift": ({"answers", "contract", "records", "errors"}, set()),
    "feeding": ({"records", "errors"}, DATA),
    "comparison": ({"answers"}, {"pandas"}),
    "features": ({"records", "facts", "errors", "patches"}, {"feast", *DATA}),
    "runs": ({"records", "facts", "errors", "patches"}, {"mlflow", *DATA}),
    "copies": (set(), set()),
    "ledger": ({"records", "frames"}, set()),
    "recording": ({"records", "frames", "fingerprint", "archive", "copies", "ledger", "outbox"}, DATA),
    "outbox": ({"records"}, set()),
    "session": (
        {"errors", "records", "patches", "fingerprint", "frames", "archive", "code", "notebook",
         "origin", "contract", "drift", "answers", "comparison", "feeding", "features", "runs", "recording", "outbox", "facts", "history", "usage", "lineage", "overview", "places", "__init__"},
        DATA,
    ),
    "magics": ({"session", "records", "errors", "display", "completion", "patches"}, {"IPython"}),
    "completion": ({"session", "records", "errors", "display", "frames", "magics"}, {"IPython"}),
    "display": ({"documents", "records", "answers", "usage", "lineage"}, {"plotly", "anywidget", "pandas", "networkx"}),
    "server": ({"places"}, {"jupyter_server", "tornado"}),
    "worker": ({"session", "documents", "errors", "server"}, set()),
    "__init__": ({"session", "magics"}, set()),
}
# fmt: on

# These may be imported at a module's top; everything else of FOREIGN only inside functions.
AT_TOP = {"magics": {"IPython"}, "server": {"jupyter_server", "tornado"}}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(p for p in PACKAGE.rglob("*.py") if "labextension" not in p.parts)


def imports(path: Path) -> list[tuple[str, bool, bool]]:
    """(what is imported, whether it is ours, whether it happens when the module is loaded)."""
    tree = ast.parse(path.read_text())
    lazy = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for inner in ast.walk(node)
    }
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = []
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(tree):
        if node in for_types:
            continue
        loaded = node not in lazy
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], False, loaded) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append(((node.module or "").split(".")[0], False, loaded))
        elif isinstance(node, ast.ImportFrom) and node.level == depth:
            if node.module:
                found.append((node.module.split(".")[0], True, loaded))
            else:
                names = [a.name for a in node.names]
                found += [("__init__" if n.startswith("__") else n, True, loaded) for n in names]
    return found


def trespasses(path: Path) -> list[str]:
    room = room_of(path)
    assert room in HOUSE, f"{path.name}: a room that the table does not know"
    ours, foreign = HOUSE[room]
    found = []
    for name, own, loaded in imports(path):
        if own and name not in ours | {room}:
            found.append(f"{room} imports our {name}")
        if not own and name in FOREIGN and name not in foreign:
            found.append(f"{room} imports {name}")
        if not own and name in FOREIGN and loaded and name not in AT_TOP.get(room, set()):
            found.append(f"{room} imports {name} when it is loaded")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_what_the_table_allows(path: Path) -> None:
    assert trespasses(path) == []


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("records.py", "import pandas"),
        ("recording.py", "def f():\n    import mlflow"),
        ("display/html.py", "def f():\n    from mlflow import log_metric"),
        ("features/store.py", "import feast"),
        ("features/store.py", "from ..runs import tracking"),
        ("records.py", "def f():\n    import IPython"),
    ],
)
def test_the_walls_hold(room: str, line: str, tmp_path: Path, monkeypatch) -> None:
    """A planted trespass turns this test red: the test can fail."""
    planted = tmp_path / "feast_nb" / room
    planted.parent.mkdir(parents=True)
    planted.write_text((PACKAGE / room).read_text() + "\n" + line + "\n")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "feast_nb")

    assert trespasses(planted)


def test_no_room_is_a_drawer() -> None:
    drawers = {"utils", "util", "core", "base", "common", "types", "helpers", "manager"}

    assert not drawers & {p.stem for p in FILES}


def test_loading_imports_no_library() -> None:
    """`%load_ext feast_nb` in a fresh process: none of the heavy ones is there afterwards."""
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S\n"
        "s = S.instance()\n"
        "s.run_line_magic('load_ext', 'feast_nb')\n"
        "import sys\n"
        "heavy = {'feast', 'mlflow', 'pandas', 'plotly', 'anywidget', 'numpy', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip().splitlines()[-1] == "[]"
