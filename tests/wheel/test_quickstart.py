"""The README's quick start, every line of it, by the built wheel in an environment of its own.

`make test-wheel` builds the wheel and the environment, and runs this with the project's own Python;
`FEAST_NB_WHEEL_ENV` is the environment, `FEAST_NB_WHEEL` the folder with the wheel.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]


def blocks(kind: str) -> list[str]:
    """The fenced blocks of one kind in the README's quick start, in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text.partition("<!-- quick start -->")[2].partition("<!-- /quick start -->")[0]
    return re.findall(rf"```{kind}\n(.*?)```", part, re.DOTALL)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home with nothing in it, and the wheel's environment first in the path."""
    home = tmp_path / "home"
    home.mkdir()
    names = ("PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    kept = {
        k: v for k, v in os.environ.items() if k in names or k.startswith(("PIP_", "XDG_CONFIG"))
    }
    tools = Path(os.environ["FEAST_NB_WHEEL_ENV"]) / "bin"
    config = Path.home() / ".config" / "pip"  # where a machine says which registry it uses
    if config.exists():
        shutil.copytree(config, home / ".config" / "pip")
    return {**kept, "HOME": str(home), "PATH": f"{tools}{os.pathsep}{kept['PATH']}"}


def test_the_quick_start_holds_line_by_line(tmp_path: Path, environment: dict[str, str]) -> None:
    begun = time.monotonic()
    for wheel in Path(os.environ["FEAST_NB_WHEEL"]).glob("*.whl"):
        shutil.copy(wheel, tmp_path)
    (console,) = blocks("console")
    lines = [line.removeprefix("$ ") for line in console.splitlines()]
    script = "set -e\n" + "\n".join(lines) + "\npwd > ../../where\n"
    shell = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert shell.returncode == 0, shell.stdout + shell.stderr

    where = Path((tmp_path / "where").read_text().strip())
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [new_code_cell(source.rstrip()) for source in blocks("python")]
    nbformat.write(
        new_notebook(cells=cells, metadata={"kernelspec": kernel}), where / "first.ipynb"
    )
    ran = subprocess.run(
        ["jupyter", "execute", "--inplace", "first.ipynb"],
        cwd=where, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    taken = time.monotonic() - begun

    shown = nbformat.read(where / "first.ipynb", as_version=4).cells
    outputs = [output for cell in shown for output in cell.outputs]
    red = [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    assert red == [], "no red box of anybody's"
    text = "\n".join(o.data["text/plain"] for o in outputs if "data" in o)
    assert "✓ driver_model/1 @champion" in text
    assert "rows, as many as asked · can be rebuilt" in text
    assert "✓ 5 rows scored with driver_model/1" in text
    assert "model driver_model/1 @champion\n  comes from" in text
    print(f"{taken:.0f} s from an empty folder to the lineage")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8")) <= 6000
