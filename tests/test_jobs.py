"""The list of jobs runs everything that is claimed, and what fails or is skipped is counted."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
JOBS = json.loads((ROOT / ".ci" / "jobs.json").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.fixture(scope="module")
def lanes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lanes", ROOT / ".ci" / "lanes.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("output", "counts"),
    [
        ("..s.\n1616 passed in 30.10s\n", (1616, 0, 0)),
        ("= 1 failed, 270 passed, 41 warnings in 356.65s (0:05:56) =\n", (270, 1, 0)),
        ("2 passed, 1 skipped, 1 error in 3.05s\n12 passed in 1s", (14, 1, 1)),
        ("\x1b[2m Test Files \x1b[22m 6 passed (6)\n\x1b[2m      Tests \x1b[22m 69 passed (69)\n", (69, 0, 0)),
        ("a line that says 3 failed in passing\n", (0, 0, 0)),
    ],
)  # fmt: skip
def test_closing_lines_are_counted(lanes: ModuleType, output: str, counts: tuple[int, ...]) -> None:
    assert tuple(lanes.counted(output).values()) == counts


def test_every_claimed_python_has_a_job() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = (re.search(r":: (3\.\d+)$", c) for c in project["classifiers"])
    claimed = {found[1] for found in named if found}

    assert {job["python"] for job in JOBS} == claimed


def test_every_folder_of_tests_has_a_job() -> None:
    targets = {target for job in JOBS for target in re.findall(r"\btest-[a-z]+", job["run"])}
    recipes = "".join(re.findall(rf"^(?:{'|'.join(targets)}):.*\n(?:\t.*\n)*", MAKEFILE, re.M))
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}

    assert folders == set(re.findall(r"tests/(\w+)\b(?!\*)", recipes)) & folders
    assert {path.name for path in (ROOT / "tests").glob("test_*.py")}
    assert "tests/test_*.py" in recipes


def test_jobs_that_install_more_have_environments_of_their_own() -> None:
    """Two jobs run at once: one must not change what the other imports."""
    further = re.findall(r"^(test-\w+):.*\n\t@?\$\((?:INSTALL|PIP)\)", MAKEFILE, re.MULTILINE)
    assert further
    own = [re.search(r"VENV=(\S+)", job["run"]) for job in JOBS]
    names = [found[1] for found in own if found]

    assert len(names) == len(set(names))
    for job in JOBS:
        if any(target in job["run"] for target in further):
            assert "VENV=" in job["run"], job["name"]


def test_the_benchmarks_find_what_they_use() -> None:
    """No job runs them: a module that was renamed would be noticed when somebody wants a figure."""
    import tests.bench

    assert tests.bench.__name__
