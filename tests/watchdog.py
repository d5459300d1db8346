"""Threads of ours load no module: one that is loaded in such a thread fails the test it happens in.

What one asks for is refused before any lock is taken, and loaded by the user's thread: that costs
time and nothing else, and depends on what earlier tests have loaded. That nothing is asked for in
a fresh process is for `tests/integration/test_deadlocks.py` to say.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.machinery import ExtensionFileLoader, SourceFileLoader
from types import ModuleType
from typing import Any

import pytest

from feast_nb.patching import threads

_loaded: list[str] = []


def _watched(load: Any) -> Any:
    @functools.wraps(load)
    def exec_module(loader: Any, module: ModuleType) -> None:
        if threads.is_ours():
            _loaded.append(module.__name__)
        load(loader, module)

    return exec_module


def install() -> None:
    """Watch for the rest of the process, by the two loaders that read modules from files."""
    for loader in (SourceFileLoader, ExtensionFileLoader):
        loader.exec_module = _watched(loader.exec_module)  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def no_import_in_our_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    _loaded.clear()
    yield
    loaded = sorted(set(_loaded))
    _loaded.clear()
    if loaded:
        pytest.fail(f"a thread of ours loaded {', '.join(loaded)}")
