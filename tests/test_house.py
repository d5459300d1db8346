"""What import-linter (`lint-imports`, the contracts in pyproject.toml) cannot say of the house."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "feast_nb"
FILES = sorted(p for p in PACKAGE.rglob("*.py") if "labextension" not in p.parts)

# Foreign library → the rooms that may import it, inside functions only.
FOREIGN = {
    "feast": ("integrations/feast",),
    "mlflow": ("integrations/mlflow",),
    "IPython": ("magics",),
    "jupyter_server": ("server",),
    "tornado": ("server",),
    "plotly": ("display",),
    "anywidget": ("display",),
    "networkx": ("records",),
    "igraph": ("lineage",),
    "pandas": ("records", "frames", "contracts", "integrations", "display", "session"),
    "pyarrow": ("frames", "integrations"),
    "numpy": ("frames", "contracts", "integrations"),
}
# These may be imported at a module's top: the rooms are loaded where they are there anyway.
AT_TOP = {("IPython", "magics"), ("jupyter_server", "server"), ("tornado", "server")}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Each foreign library that a file imports, and whether it happens when it is loaded."""
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
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], node not in lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append(((node.module or "").split(".")[0], node not in lazy))
    return [(name, loaded) for name, loaded in found if name in FOREIGN]


def trespasses(path: Path, place: str) -> list[str]:
    found = []
    for name, loaded in imports(path):
        room = next((r for r in FOREIGN[name] if place.startswith(f"{r}/")), None)
        if room is None:
            found.append(f"{place} imports {name}")
        elif loaded and (name, room) not in AT_TOP:
            found.append(f"{place} imports {name} when it is loaded")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_library_is_imported_in_its_room_and_late(path: Path) -> None:
    assert trespasses(path, str(path.relative_to(PACKAGE))) == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("records/retrieval.py", "import pandas"),
        ("recorder/recording.py", "def f():\n    import mlflow"),
        ("display/html.py", "def f():\n    from mlflow import log_metric"),
        ("integrations/feast/store.py", "import feast"),
        ("records/run.py", "def f():\n    import IPython"),
    ],
)
def test_the_walls_hold(place: str, line: str, tmp_path: Path) -> None:
    """A planted trespass turns this test red: the test can fail."""
    planted = tmp_path / "planted.py"
    planted.write_text((PACKAGE / place).read_text() + "\n" + line + "\n")

    assert trespasses(planted, place)


def test_no_room_is_a_drawer() -> None:
    drawers = {"utils", "util", "core", "base", "common", "types", "helpers", "manager"}

    assert not drawers & {p.stem for p in FILES}


def test_rooms_are_small() -> None:
    """At most 6 files on the ground floor, 15 modules in a folder, 350 lines in a file."""
    folders = Counter(p.parent for p in FILES if p.name != "__init__.py")

    assert [str(p) for p in FILES if len(p.read_text().splitlines()) > 350] == []
    assert {str(f): n for f, n in folders.items() if n > 15} == {}
    assert len([p for p in FILES if p.parent == PACKAGE]) <= 6


def test_no_class_has_the_name_of_another() -> None:
    names = Counter(
        node.name
        for path in FILES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    )

    assert [name for name, count in names.items() if count > 1] == []


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
