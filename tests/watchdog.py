"""Threads of ours load no module: what one of them asks to import fails the test it happens in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from feast_nb.patching import threads

_seen: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Python's own word of an import that finds nothing in `sys.modules`."""
    if event == "import" and threads.is_ours():
        _seen.append(str(arguments[0]))


_wait_for = threads._wait_for


def _waits(name: str, *args: Any) -> None:
    """What Python's word leaves out: `importlib.import_module`."""
    _seen.append(name)
    _wait_for(name, *args)


def install() -> None:
    """Watch for the rest of the process: an audit hook cannot be taken away."""
    sys.addaudithook(_watch)
    threads._wait_for = _waits


@pytest.fixture(autouse=True)
def no_import_in_our_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    _seen.clear()
    yield
    asked = sorted(set(_seen) - set(threads._failed))  # what is not there takes no lock
    _seen.clear()
    if asked and "imports_in_threads" not in request.keywords:
        pytest.fail(f"a thread of ours asked to import {', '.join(asked)}; load it in `connect`")
