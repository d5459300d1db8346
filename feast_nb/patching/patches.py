"""Notice calls of a foreign library from the moment it is imported, and put everything back.

Nothing is imported for it: a finder of ours waits for the modules and steps aside when told to.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from .interrupts import guarded

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

    def replace(self, owner: object, name: str, wrap: Callable[[Any], object]) -> None:
        """Set `owner.name` to `wrap(original)` until `undo`.

        Where somebody has wrapped ours since, theirs stays, and ours passes calls on: wrappers
        look at `active`.
        """
        if name in vars(owner):
            self.put(owner, name, wrap(vars(owner)[name]), vars(owner)[name])
        else:  # inherited: it is inherited again afterwards
            self.put(owner, name, wrap(getattr(owner, name)), INHERITED)

    def put(self, owner: object, name: str, ours: object, original: object) -> None:
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
                with guarded(f"following the import of {name}"):
                    act(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
