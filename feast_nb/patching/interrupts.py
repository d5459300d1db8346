"""Bookkeeping inside somebody else's call: its errors are said, and Ctrl-C waits for it."""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from ..errors import Warned

if TYPE_CHECKING:
    from _typeshed import TraceFunction


@contextmanager
def guarded(doing: str) -> Iterator[None]:
    """Bookkeeping inside somebody else's call: what goes wrong is said, and never raised there."""
    try:
        yield
    except Exception as problem:  # the door of every hook: it warns in the open
        message = f"feast_nb, {doing}: {type(problem).__name__}: {problem}. Your call is untouched."
        warnings.warn(message, Warned, stacklevel=3)


@contextmanager
def uninterrupted(doing: str) -> Iterator[None]:
    """As `guarded`, and Ctrl-C waits until the caller has what the call gave.

    For bookkeeping of a moment only. The interrupt comes at the caller's next line, so that the
    cell stops with the result in its variable.
    """
    with _interrupts_later(), guarded(doing):
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

    def trace(at: FrameType, event: str, argument: object) -> TraceFunction | None:
        if at is theirs and event in ("line", "return"):
            sys.settrace(None)
            theirs.f_trace = None
            signal.raise_signal(signal.SIGINT)
        return trace if at is theirs else None

    theirs.f_trace = trace
    sys.settrace(trace)


_PACKAGE = __name__.partition(".")[0]
_FEAST = f"{_PACKAGE}.integrations.feast"
_AROUND = (__name__, f"{_FEAST}.retrieval_hooks", f"{_FEAST}.jobs", "contextlib")


def _is_ours(frame: FrameType, *modules: str) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return any(name == m or (m == _PACKAGE and name.startswith(f"{m}.")) for m in modules)
