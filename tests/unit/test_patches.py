"""Calls are noticed from the import on, and everything is put back."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from feast_nb.errors import Warned
from feast_nb.patching.interrupts import guarded
from feast_nb.patching.patches import Patches


@pytest.fixture
def patches() -> Iterator[Patches]:
    made = Patches()
    yield made
    made.undo()


@pytest.fixture
def library(tmp_path: Path, monkeypatch) -> Iterator[str]:
    """A library that nobody has imported yet."""
    name = "library_of_this_test"
    (tmp_path / f"{name}.py").write_text("loaded = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)


class Base:
    def call(self) -> str:
        return "base"


class Child(Base):
    def own(self) -> str:
        return "own"

    @staticmethod
    def still() -> str:
        return "static"

    @classmethod
    def kind(cls) -> str:
        return cls.__name__

    @property
    def value(self) -> str:
        return "value"


def loud(original: Any) -> Any:
    return lambda *args, **kwargs: original(*args, **kwargs).upper()


def test_a_module_that_is_there_already_is_followed_at_once(patches) -> None:
    seen: list[ModuleType] = []
    patches.on_import("json", seen.append)

    assert seen == [sys.modules["json"]]


def test_a_module_is_followed_when_it_comes_and_only_once(patches, library: str) -> None:
    seen: list[ModuleType] = []
    patches.on_import(library, seen.append)
    assert seen == []

    module = importlib.import_module(library)
    importlib.reload(module)

    assert seen == [module]
    assert module.loaded


def test_waiting_imports_nothing(patches, library: str) -> None:
    patches.on_import(library, print)

    assert library not in sys.modules


def test_looking_for_a_module_does_not_import_it(patches, library: str) -> None:
    seen: list[ModuleType] = []
    patches.on_import(library, seen.append)

    assert importlib.util.find_spec(library) is not None
    assert seen == []


def test_a_module_that_cannot_be_found_stays_an_import_error(patches) -> None:
    patches.on_import("no_such_library", print)

    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_library")


def test_an_import_that_fails_is_waited_for_again(patches, library: str, tmp_path: Path) -> None:
    path = tmp_path / f"{library}.py"
    path.write_text("1 / 0\n")
    seen: list[ModuleType] = []
    patches.on_import(library, seen.append)
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(library)

    path.write_text("loaded = 'at last'\n")
    importlib.invalidate_caches()
    importlib.import_module(library)

    assert [m.loaded for m in seen] == ["at last"]


def test_a_follower_that_fails_never_fails_the_users_import(patches, library: str) -> None:
    def act(module: ModuleType) -> None:
        raise RuntimeError("ours")

    patches.on_import(library, act)

    with pytest.warns(Warned, match=r"RuntimeError: ours\. Your call is untouched"):
        assert importlib.import_module(library).loaded


def test_undo_stops_waiting(patches, library: str) -> None:
    before = list(sys.meta_path)
    seen: list[ModuleType] = []
    patches.on_import(library, seen.append)

    patches.undo()
    importlib.import_module(library)

    assert seen == []
    assert sys.meta_path == before


def test_undo_leaves_the_finders_of_others(patches, library: str) -> None:
    class Other:
        @staticmethod
        def find_spec(*args: Any) -> None:
            return None

    patches.on_import(library, print)
    other = Other()
    sys.meta_path.insert(0, other)  # type: ignore[arg-type]
    try:
        patches.undo()
        assert other in sys.meta_path
    finally:
        sys.meta_path.remove(other)  # type: ignore[arg-type]


def test_two_waiters_for_one_module_are_both_called(patches, library: str) -> None:
    """Two reloads of the extension, or a session beside it."""
    other, seen = Patches(), []
    patches.on_import(library, lambda module: seen.append("one"))
    other.on_import(library, lambda module: seen.append("other"))
    try:
        importlib.import_module(library)
    finally:
        other.undo()

    assert sorted(seen) == ["one", "other"]


@pytest.mark.parametrize("name", ["own", "still", "kind", "value"])
def test_what_was_replaced_is_put_back_as_it_was(patches, name: str) -> None:
    before = vars(Child)[name]
    patches.replace(Child, name, lambda original: "ours")
    assert vars(Child)[name] == "ours"

    patches.undo()

    assert vars(Child)[name] is before


def test_a_replaced_method_passes_calls_on(patches) -> None:
    patches.replace(Child, "own", loud)

    assert Child().own() == "OWN"


def test_an_inherited_method_is_inherited_again_after_undo(patches, monkeypatch) -> None:
    patches.replace(Child, "call", loud)
    assert (Child().call(), Base().call()) == ("BASE", "base")

    patches.undo()
    monkeypatch.setattr(Base, "call", lambda self: "patched by another since")

    assert Child().call() == "patched by another since"


def test_layers_come_off_in_turn(patches) -> None:
    before = vars(Child)["own"]
    patches.replace(Child, "own", loud)
    patches.replace(Child, "own", lambda original: lambda self: original(self) + "!")
    assert Child().own() == "OWN!"

    patches.undo()

    assert vars(Child)["own"] is before


def test_what_somebody_wrapped_since_stays_theirs(patches) -> None:
    kind = type("Wrapped", (Base,), {"own": Child.own})
    patches.replace(kind, "own", loud)
    ours = vars(kind)["own"]

    def theirs(self: Any) -> str:
        return ours(self)

    kind.own = theirs  # type: ignore[attr-defined]
    patches.undo()

    assert vars(kind)["own"] is theirs
    assert not patches.active


def test_undo_twice_is_undo_once(patches) -> None:
    patches.replace(Child, "own", loud)
    patches.undo()
    patches.undo()

    assert Child().own() == "own"


def test_a_door_warns_and_never_raises() -> None:
    with pytest.warns(Warned, match="feast_nb, counting: ZeroDivisionError"), guarded("counting"):
        _ = 1 / 0


def test_a_door_lets_an_interrupt_through() -> None:
    with warnings.catch_warnings(), pytest.raises(KeyboardInterrupt), guarded("counting"):
        raise KeyboardInterrupt


# ---------------------------------------------------------------------- interrupts


def test_an_interrupt_in_our_bookkeeping_comes_just_after_it() -> None:
    """The result of the call is in its variable by then, and the cell stops all the same."""
    import os
    import signal
    import time

    from feast_nb.patching.interrupts import uninterrupted

    steps: list[str] = []
    # A function of the room that is around Feast's calls.
    ours = {"__name__": "feast_nb.integrations.feast.retrieval_hooks", "kept": uninterrupted, "os": os, "signal": signal,
            "steps": steps}  # fmt: skip
    exec(
        "def call():\n"
        "    with kept('testing'):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        steps.append('done')\n"
        "    return 'result'\n",
        ours,
    )
    call: Any = ours["call"]
    space = {}

    def cell() -> None:
        space["result"] = call()
        time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        cell()

    assert (space, steps) == ({"result": "result"}, ["done"])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_bookkeeping_in_another_thread_leaves_interrupts_alone() -> None:
    import signal
    import threading

    from feast_nb.patching.interrupts import uninterrupted

    seen = []

    def work() -> None:
        with uninterrupted("testing"):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [signal.default_int_handler]
