"""Notice calls of a foreign library from the moment it is imported, and put everything back.

Nothing is imported for it: a finder of ours waits for the modules and steps aside when told to.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

from .errors import Warned

INHERITED = object()  # an attribute that the owner itself has not

OnImport = Callable[[ModuleType], None]


class Patches:
    """Replaced attributes of foreign objects, and the imports that are waited for."""

    def __init__(self) -> None:
        self.active = False
        self._waiting: dict[str, list[OnImport]] = {}
        self._undo: list[Callable[[], None]] = []
        self._finder: _Finder | None = None

    def on_import(self, name: str, act: OnImport) -> None:
        """Call `act(module)` when `name` is imported, now if it already is."""
        self.active = True
        if (module := sys.modules.get(name)) is not None:
            act(module)
            return
        self._waiting.setdefault(name, []).append(act)
        if self._finder is None:
            self._finder = _Finder(self._waiting)
            sys.meta_path.insert(0, self._finder)

    def replace(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        """Set `owner.name` to `wrap(original)` until `undo`.

        Where somebody has wrapped ours since, theirs stays, and ours passes calls on: wrappers
        look at `active`.
        """
        if name in vars(owner):
            self.put(owner, name, wrap(vars(owner)[name]), vars(owner)[name])
        else:  # inherited: it is inherited again afterwards
            self.put(owner, name, wrap(getattr(owner, name)), INHERITED)

    def put(self, owner: Any, name: str, ours: Any, original: Any) -> None:
        """Set `owner.name` to `ours`, and to `original` on `undo`."""
        setattr(owner, name, ours)

        def put_back() -> None:
            if vars(owner).get(name) is ours:
                if original is INHERITED:
                    delattr(owner, name)
                else:
                    setattr(owner, name, original)

        self._undo.append(put_back)

    def undo(self) -> None:
        self.active = False
        while self._undo:
            self._undo.pop()()
        self._waiting.clear()
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)  # type: ignore[arg-type]
        self._finder = None


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, waiting: dict[str, list[OnImport]]) -> None:
        self._waiting = waiting

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._waiting:
            return None
        finders = list(sys.meta_path)
        # Those after this one: another of ours before it has asked it, and follows as well.
        for finder in finders[finders.index(self) + 1 :]:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self._follow(name, spec)
                return spec
        return None

    def _follow(self, name: str, spec: importlib.machinery.ModuleSpec) -> None:
        loader = spec.loader
        if loader is None:
            return
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            for act in self._waiting.pop(name, ()):
                with door(f"following the import of {name}"):
                    act(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]


@contextmanager
def door(doing: str) -> Iterator[None]:
    """Bookkeeping inside somebody else's call: what goes wrong is said, and never raised there."""
    try:
        yield
    except Exception as problem:  # the door of every hook: it warns in the open
        message = f"feast_nb, {doing}: {type(problem).__name__}: {problem}. Your call is untouched."
        warnings.warn(message, Warned, stacklevel=3)


@contextmanager
def kept(doing: str) -> Iterator[None]:
    """As `door`, and Ctrl-C waits until the caller has what the call gave.

    For bookkeeping of a moment only. The interrupt comes at the caller's next line, so that the
    cell stops with the result in its variable.
    """
    with _interrupts_later(), door(doing):
        yield


@contextmanager
def _interrupts_later() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            _interrupt_soon()


def _interrupt_soon() -> None:
    """Interrupt the caller's code when it has the result: at its next line, or at its end.

    What was called by ourselves, or is traced already, is interrupted at once.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame, *_AROUND):
        frame = frame.f_back
    if frame is None or sys.gettrace() is not None or _is_ours(frame, _PACKAGE):
        signal.raise_signal(signal.SIGINT)
        return
    theirs = frame

    def trace(at: FrameType, event: str, argument: Any) -> Any:
        if at is theirs and event in ("line", "return"):
            sys.settrace(None)
            theirs.f_trace = None
            signal.raise_signal(signal.SIGINT)
        return trace if at is theirs else None

    theirs.f_trace = trace
    sys.settrace(trace)


_PACKAGE = __name__.rpartition(".")[0]
_AROUND = (__name__, f"{_PACKAGE}.features.hooks", f"{_PACKAGE}.features.jobs", "contextlib")


def _is_ours(frame: FrameType, *modules: str) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return any(name == m or (m == _PACKAGE and name.startswith(f"{m}.")) for m in modules)
