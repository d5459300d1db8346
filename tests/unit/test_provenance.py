"""Where a run came from."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import nbformat
import pytest

from feast_nb.notebook import provenance
from feast_nb.notebook.cells import ExecutedCell, text_digest
from feast_nb.records.retrieval import Cell


def ran(
    number: int, text: str, id: str | None, at: float, notebook: str | None = None
) -> ExecutedCell:
    return ExecutedCell(Cell(number, notebook, text_digest(text), id), text, at)


def save(path: Path, **cells: str) -> None:
    """A notebook's file: cell id → text, saved long after everything ran."""
    sources = [{"id": id, "source": [text]} for id, text in cells.items()]
    path.write_text(json.dumps({"cells": sources}))


NOW = time.time() - 3600  # seconds; the files are newer


def test_a_cell_that_ran_again_with_another_text_was_edited() -> None:
    first, other = ran(1, "a = 1", "x", NOW), ran(2, "b = 1", "y", NOW + 1)
    again, edited = ran(3, "a = 1", "x", NOW + 2), ran(4, "a = 2", "x", NOW + 3)

    assert provenance.cautions([first, other, again], [first.cell, other.cell]) == ()
    assert provenance.cautions([first, other, again, edited], [first.cell, other.cell]) == (
        "cell 1 was edited since, and run again as cell 4.",
    )
    assert provenance.cautions([first, other, edited], [other.cell]) == ()


def test_a_cell_that_was_edited_and_saved_or_deleted(tmp_path) -> None:
    path = tmp_path / "a.ipynb"
    cells = [ran(n, text, id, NOW + n, str(path)) for n, text, id in
             [(1, "a", "x"), (2, "b", "y"), (3, "c", "z")]]  # fmt: skip
    used = [c.cell for c in cells]

    save(path, x="a", y="b", z="c")
    assert provenance.cautions(cells, used) == ()
    save(path, x="a and more", z="c")
    assert provenance.cautions(cells, used) == (
        "cell 1 was edited since it ran here.", "cell 2 is no longer in the notebook.",
    )  # fmt: skip
    os.utime(path, (NOW - 60, NOW - 60))  # saved before they ran: it says nothing of them
    assert provenance.cautions(cells, used) == ()


def test_cells_that_ran_in_another_order_than_they_stand(tmp_path) -> None:
    path = tmp_path / "a.ipynb"
    lower, upper = ran(1, "b", "y", NOW, str(path)), ran(2, "a", "x", NOW + 1, str(path))
    save(path, x="a", y="b")

    (said,) = provenance.cautions([lower, upper], [lower.cell, upper.cell])

    assert said.startswith("cell 2 ran after cell 1, and stands above it")


@pytest.mark.parametrize("text", [None, "", "{}", '{"cells": [{"source": []}]}'])
def test_without_a_readable_notebook_only_the_kernel_is_asked(tmp_path, text: str | None) -> None:
    path = tmp_path / "a.ipynb"
    if text is not None:
        path.write_text(text)
    cell = ran(1, "a", "x", NOW, str(path))

    assert provenance.cautions([cell], [cell.cell]) == ()
    assert provenance.cautions([ran(1, "a", None, NOW)], [Cell(1)]) == ()


def test_the_cells_are_a_notebook_without_secrets() -> None:
    made = provenance.cells_notebook(["a = 1", "token = 'x'"], [ran(2, "token = 'x'", "id-2", 5.0)])

    read = nbformat.reads(json.dumps(made), as_version=4)
    nbformat.validate(read)
    assert [(c.execution_count, c.source) for c in read.cells] == [(1, "a = 1"), (2, "token = '…'")]
    assert read.cells[1].metadata.feast_nb == {"at": 5.0, "cell_id": "id-2"}


def test_a_run_that_goes_on_in_another_kernel_keeps_the_cells_of_both() -> None:
    one = provenance.cells_notebook(["a", "b"], [])
    both = provenance.continued(one, provenance.cells_notebook(["c"], []))

    nbformat.validate(nbformat.reads(json.dumps(both), as_version=4))
    assert [c["source"] for c in both["cells"]] == ["a", "b", "c"]


def test_the_commit_and_whether_files_were_changed_since(tmp_path) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *who, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert provenance.commit_of(tmp_path) == (None, None, None)
    git("init", "-q", "-b", "trunk")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "untracked").write_text("1")
    assert provenance.commit_of(tmp_path) == (commit, "trunk", False)
    (tmp_path / "a").write_text("2")
    assert provenance.commit_of(tmp_path) == (commit, "trunk", True)


def test_packages_and_python_are_those_of_here() -> None:
    import pandas as pd

    found = provenance.of(None)

    assert found.packages["pandas"] == pd.__version__
    assert found.python
