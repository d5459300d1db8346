"""Threads of ours load no module; the user's thread loads what they lack."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feast_nb.patching import threads

from .. import watchdog


@pytest.fixture
def library(tmp_path: Path, monkeypatch) -> Iterator[str]:
    """A module that nobody has loaded, with a module inside."""
    name = f"lib_{tmp_path.name}".replace("-", "_")
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("import threading\nBY = threading.get_ident()\n")
    (tmp_path / name / "inner.py").write_text("X = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for each in [m for m in sys.modules if m.startswith(name)]:
        del sys.modules[each]
    threads.forget()


def in_ours(work: Any) -> tuple[list[Any], threading.Thread, threading.Event]:
    """Do work in a thread of ours, as the outbox does."""
    got: list[Any] = []
    asked = threading.Event()
    thread = threads.start(lambda: got.append(threads.do(work, asked.set, lambda: False)), "test")
    return got, thread, asked


def test_what_a_thread_of_ours_lacks_is_loaded_by_the_users(library: str) -> None:
    got, thread, asked = in_ours(lambda: __import__(f"{library}.inner").inner.X)
    assert asked.wait(10)
    assert library not in sys.modules
    while thread.is_alive():
        threads.load_wanted()
        thread.join(0.01)

    assert got == [1]
    assert threading.get_ident() == sys.modules[library].BY


def test_the_watchdog_sees_a_module_that_is_loaded_in_our_thread(library: str, monkeypatch) -> None:
    """Planted: the refusal is off. (What it saw is forgotten: this test is not to fail by it.)"""
    monkeypatch.setattr(threads, "_refusal", type("Off", (), {"find_spec": lambda *_: None})())
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if "Refusal" not in str(f)])
    in_ours(lambda: __import__(library))[1].join(10)

    assert watchdog._loaded == [library]
    watchdog._loaded.clear()


def test_import_module_is_refused_too(library: str) -> None:
    import importlib

    _, thread, asked = in_ours(lambda: importlib.import_module(library))

    assert asked.wait(10)
    assert library not in sys.modules
    threads.load_wanted()
    thread.join(10)


def test_a_finder_that_came_first_since_is_not_asked(library: str, monkeypatch) -> None:
    """MLflow puts its own first in the middle of a cell, and takes its lock in it."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    asked_of: list[str] = []

    class Theirs:
        @staticmethod
        def find_spec(name: str, path: Any, target: Any = None) -> None:
            if threads.is_ours():
                asked_of.append(name)

    sys.meta_path.insert(0, Theirs)  # type: ignore[arg-type]
    _, thread, asked = in_ours(lambda: __import__(library))

    assert asked.wait(10)
    assert asked_of == []
    threads.load_wanted()
    thread.join(10)


def test_where_a_module_is_may_be_asked(library: str) -> None:
    import importlib.util

    got, thread, _ = in_ours(
        lambda: (importlib.util.find_spec("nowhere_at_all"), importlib.util.find_spec(library))
    )
    thread.join(10)

    assert got[0][0] is None
    assert got[0][1].name == library
    assert library not in sys.modules


def test_a_thread_that_waits_ends_when_the_extension_goes(library: str) -> None:
    _, thread, asked = in_ours(lambda: __import__(library))
    assert asked.wait(10)

    threads.forget()
    thread.join(10)

    assert not thread.is_alive()
    assert not threads._wanted


def test_a_thread_says_what_goes_wrong_in_one_line(capfd) -> None:
    threads.start(lambda: 1 / 0, "test").join(10)  # type: ignore[func-returns-value, arg-type, return-value]

    assert capfd.readouterr().err == "feast_nb, test: ZeroDivisionError: division by zero\n"


def test_a_module_that_is_not_installed_is_told_the_library_that_asks() -> None:
    def work() -> str:
        try:
            import not_installed_anywhere  # noqa: F401
        except ImportError as problem:
            return str(problem)
        return "?"

    got, thread, asked = in_ours(work)
    assert asked.wait(10)
    threads.load_wanted()
    thread.join(10)

    assert got == ["No module named 'not_installed_anywhere'"]


def test_a_module_that_breaks_is_no_end_of_the_users_thread(library: str, tmp_path: Path) -> None:
    (tmp_path / library / "broken.py").write_text("1 / 0")
    got, thread, _ = in_ours(lambda: _error_of(f"{library}.broken"))
    while thread.is_alive():
        threads.load_wanted()
        thread.join(0.01)

    assert got == ["division by zero"]


def _error_of(name: str) -> str:
    try:
        __import__(name)
    except ImportError as problem:
        return str(problem)
    return "?"


def test_a_users_thread_loads_as_ever(library: str) -> None:
    assert threads.do(lambda: __import__(library).BY, lambda: None, lambda: False)


def test_together_answers_in_order_and_loads_for_its_threads(library: str) -> None:
    def task(n: int) -> Any:
        return lambda: (n, threading.main_thread().ident == __import__(library).BY)

    assert threads.together([task(n) for n in range(20)]) == [(n, True) for n in range(20)]


def test_together_raises_the_first_failure_and_begins_no_more() -> None:
    begun: list[int] = []

    def task(n: int) -> Any:
        def work() -> None:
            begun.append(n)
            time.sleep(0.01)
            raise OSError(f"task {n}")

        return work

    with pytest.raises(OSError, match="task"):
        threads.together([task(n) for n in range(100)], at_once=2)
    assert len(begun) < 100


def test_together_is_left_at_once_by_ctrl_c() -> None:
    import signal

    hold = threading.Event()
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            threads.together([lambda: hold.wait(60)] * 2)
    finally:
        hold.set()
        timer.join()


def test_begun_work_is_answered_or_raises(library: str) -> None:
    answer = threads.begin(lambda: __import__(library).BY)
    error = threads.begin(lambda: 1 / 0)

    assert answer() == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        error()


def test_nothing_of_ours_stays_among_the_finders(library: str) -> None:
    in_ours(lambda: 1)[1].join(5)
    assert threads._refusal in sys.meta_path

    threads.forget()

    assert threads._refusal not in sys.meta_path
