"""Where this happens: the notebook's path and the cells as executed."""

from __future__ import annotations

import os
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from feast_nb.notebook import cells as notebook
from feast_nb.notebook import dataflow


class Shell:
    """As much of IPython's shell as the cells look at."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {}
        self.compile = SimpleNamespace(_filename_map={})
        self.history_manager = SimpleNamespace(input_hist_raw=[""])
        self.callbacks: list[Any] = []
        self.events = SimpleNamespace(
            register=lambda name, act: self.callbacks.append((name, act)),
            unregister=lambda name, act: self.callbacks.remove((name, act)),
        )

    def transform_cell(self, source: str) -> str:
        return source

    def run(self, source: str, *, store_history: bool = True, cell_id: str | None = None) -> None:
        info = SimpleNamespace(raw_cell=source, store_history=store_history, cell_id=cell_id)
        self._tell("pre_run_cell", info)
        if store_history:  # IPython keeps the input after the event
            self.history_manager.input_hist_raw.append(source)
        self._tell("post_run_cell", SimpleNamespace(info=info))

    def _tell(self, event: str, what: Any) -> None:
        for name, act in list(self.callbacks):
            if name == event:
                act(what)


def test_the_running_cell_is_known_by_number_and_text() -> None:
    cells, shell = notebook.Cells(), Shell()
    cells.watch(shell)

    shell.run("a = 1")
    shell.run("b = 2")

    assert cells.current is not None
    assert (cells.current.number, cells.source) == (2, "b = 2")
    assert cells.current.digest == notebook.text_digest("b = 2")


def test_a_cell_that_a_magic_runs_is_not_the_users() -> None:
    cells, shell = notebook.Cells(), Shell()
    cells.watch(shell)
    shell.run("%%feast_train\nx = 1")
    outer = cells.current

    shell.run("x = 1", store_history=False)

    assert cells.current is outer


def test_unwatching_takes_the_callback_out() -> None:
    cells, shell = notebook.Cells(), Shell()
    cells.watch(shell)

    cells.unwatch()
    cells.unwatch()

    assert shell.callbacks == []


def test_space_around_a_cell_is_no_edit() -> None:
    assert notebook.text_digest("\nx = 1\n") == notebook.text_digest("x = 1")
    assert notebook.text_digest("x = 1") != notebook.text_digest("x = 2")


def test_a_cell_that_is_no_unicode_has_a_digest() -> None:
    assert notebook.text_digest("'\ud800'")


# ---------------------------------------------------------------------- a subshell


def test_a_subshells_cells_are_its_own_and_move_nothing_of_the_main_ones() -> None:
    cells, shell = notebook.Cells(), Shell()
    cells.watch(shell)
    shell.run("main = 1")
    told: list[str] = []
    cells.before = cells.after = lambda: told.append("told")
    seen: list[Any] = []

    class SubshellThread(threading.Thread):  # as ipykernel's is called
        def run(self) -> None:
            shell.run("beside = 1")
            seen.extend((cells.source, cells.in_subshell))

    thread = SubshellThread()
    thread.start()
    thread.join()

    assert seen == ["beside = 1", True]
    assert (cells.source, cells.in_subshell, told) == ("main = 1", False, [])
    assert [e.source for e in cells.executed] == ["main = 1"]


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a = b", {"a"}),
        ("a, (b, *c) = x", {"a", "b", "c"}),
        ("if x:\n    for i in y:\n        a = i", {"i", "a"}),
        ("with open(p) as f: a: int = 1", {"f", "a"}),
        ("try:\n    a = 1\nfinally:\n    b = 2", {"a", "b"}),
        ("a += 1", {"a"}),
        ("print(a := 1)", {"a"}),
        ("a.b = a[0] = 1", set()),
    ],
)
def test_names_that_a_cell_binds(source: str, names: set[str]) -> None:
    assert dataflow.names_stored(source) == names


@pytest.mark.parametrize(
    "source",
    ["def f():\n    model = 1", "class A:\n    model = 1", "[model for model in x]",
     "f = lambda: [model := 1]"],
)  # fmt: skip
def test_names_bound_in_a_scope_of_their_own_are_not_the_cells(source: str) -> None:
    assert "model" not in dataflow.names_stored(source)


def test_names_that_a_cell_reads() -> None:
    assert dataflow.names_loaded("a = f(b.c, d[e])") == {"f", "b", "d", "e"}


@pytest.mark.parametrize("source", ["a =", "%magic", "\0", "", "!ls", "x" * 10 + "("])
def test_text_that_is_no_python_has_no_names(source: str) -> None:
    assert dataflow.names_stored(source) == dataflow.names_loaded(source) == set()


def test_a_folder_that_is_gone_puts_no_traceback_above_the_users_output(
    monkeypatch, tmp_path, recwarn
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    cells, shell = notebook.Cells(), Shell()
    cells.watch(shell)

    shell.run("a = 1")

    assert cells.current is not None
    assert "looking for the notebook" in str([w.message for w in recwarn])
    os.chdir(tmp_path)
