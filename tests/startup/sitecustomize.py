"""Keep what typeguard makes of Feast's methods, from one process of the tests to the next.

Feast has its classes checked by typeguard, which parses and compiles a whole module anew for each
of their methods: more than half of the seconds that `import feast` takes, and the tests import it
in hundreds of processes. The compiled methods are the same each time, as with `.pyc` files, and
are kept in the environment's own folder, by the file that they come from. Python loads this module
by itself where its folder is on `PYTHONPATH`: `tests/conftest.py` sees to that.
"""

from __future__ import annotations

import atexit
import importlib.abc
import importlib.util
import marshal
import os
import sys
from types import CodeType, FunctionType
from typing import Any

DECORATORS = "typeguard._decorators"
COPIED = ["__module__", "__qualname__", "__doc__", "__kwdefaults__", "__annotations__"]
if sys.version_info >= (3, 12):
    COPIED.append("__type_params__")

# By file: its time and size, and by method and line what typeguard made, or why it made nothing.
Kept = dict[str, tuple[tuple[int, int], dict[tuple[str, int], CodeType | str]]]


def stamp(path: str) -> tuple[int, int]:
    """A file's time and size."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size


class Methods:
    """What typeguard made in earlier processes of this environment.

    `path` is the file that it is kept in. One that cannot be read holds nothing.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._new = False
        self._kept: Kept = {}
        try:
            with open(path, "rb") as file:
                self._kept = marshal.load(file)
        except (OSError, EOFError, ValueError, TypeError):
            pass

    def _of(self, file: str) -> dict[tuple[str, int], CodeType | str]:
        now = stamp(file)
        if file not in self._kept or self._kept[file][0] != now:
            self._kept[file] = (now, {})
        return self._kept[file][1]

    def instrument(self, f: Any, real: Any) -> Any:
        """What `typeguard._decorators.instrument` returns: a checked function, or why not."""
        code = getattr(f, "__code__", None)
        # Typeguard looks for the variables of a function's function in the frame that calls it.
        if code is None or "<locals>" in f.__qualname__ or not os.path.isfile(code.co_filename):
            return real(f)
        known, key = self._of(code.co_filename), (f.__qualname__, code.co_firstlineno)
        if key in known:
            return self._again(f, known[key])
        made = real(f)
        known[key] = made if isinstance(made, str) else made.__code__
        self._new = True
        return made

    def _again(self, f: Any, made: CodeType | str) -> FunctionType | str:
        if isinstance(made, str):
            return made
        again = FunctionType(made, f.__globals__, f.__name__, f.__defaults__, f.__closure__)
        for name in COPIED:
            setattr(again, name, getattr(f, name))
        return again

    def keep(self) -> None:
        """Write down what is new: whole or not at all, for others do the same."""
        if self._new:
            own = f"{self.path}.{os.getpid()}"
            with open(own, "wb") as file:
                marshal.dump(self._kept, file)
            os.replace(own, self.path)


def watch(module: Any) -> None:
    """Have what this module of typeguard's makes kept."""
    moment, size = stamp(module.__file__)
    own = f"typeguard-{sys.implementation.cache_tag}-{moment}-{size}"
    methods = Methods(os.path.join(sys.prefix, own))
    real = module.instrument
    module.instrument = lambda f: methods.instrument(f, real)
    atexit.register(methods.keep)


class Loader(importlib.abc.Loader):
    """Load typeguard's module as it is, and have its results kept."""

    def __init__(self, spec: Any) -> None:
        self._loader = spec.loader

    def create_module(self, spec: Any) -> Any:
        """As usual."""
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """As usual, and then what it makes is kept."""
        self._loader.exec_module(module)
        watch(module)


class Finder(importlib.abc.MetaPathFinder):
    """Finds one module: typeguard's."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """The real spec with our loader; None for every other name."""
        if name != DECORATORS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            spec.loader = Loader(spec)
        return spec


if sys.version_info < (3, 14):  # a function has more there
    if DECORATORS in sys.modules:  # pytest's own process: typeguard has a plugin there
        watch(sys.modules[DECORATORS])
    else:
        sys.meta_path.insert(0, Finder())
