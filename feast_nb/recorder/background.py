"""Frames are hashed and copied on a thread of ours while the cell goes on."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Condition, Thread
from typing import TypeVarTuple

from ..patching import forks, threads

Given = TypeVarTuple("Given")

_MODULES = (
    "numpy.rec",
    "pandas.core.arrays.arrow._arrow_utils",
    "pandas.core.arrays.arrow.extension_types",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "tzdata",
)
_PAUSE, _LONGEST = 0.05, 2.0  # seconds without a new task before work begins, and at most
_POLL = 0.5  # seconds between two looks whether the thread lacks a module
_PATIENCE = 60.0  # seconds for which a retrieval that runs holds it up
_MANY = 200  # tasks from which a cell that asks for more waits a little: each holds its frame
_ROOM = 0.05


_all: weakref.WeakSet[Background] = weakref.WeakSet()


class Background:
    """One thread that does what may take longer, in the order in which it was asked for.

    It begins when nothing was asked for a moment: what a call leaves behind waits until the cell
    has the result, since Python runs one thread at a time.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self.renew()
        _all.add(self)

    def renew(self) -> None:
        """Nothing is asked for; in a forked child what its parent is asked for is the parent's."""
        self._changed = Condition()
        self._queue: deque[tuple[Callable[..., None], tuple[object, ...]]] = deque()
        self._thread: Thread | None = None
        self._busy = self._hurried = self._closing = False
        self._first = self._last = 0.0
        self._waiting_for = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Begin nothing while Feast works for the cell: it needs the processor more."""
        with self._changed:
            self._waiting_for += 1
        try:
            yield
        finally:
            with self._changed:
                self._waiting_for -= 1
                self._last = time.monotonic()
                if self._queue:
                    self._changed.notify_all()

    def later(self, task: Callable[[*Given], None], *args: *Given) -> None:
        """Do a task soon; what goes wrong in it is said, and stops nothing else."""
        with self._changed:
            self._last = time.monotonic()
            if not self._queue:
                self._first = self._last
            self._queue.append((task, args))
            if self._thread is None or not self._thread.is_alive():
                self._closing = False
                _load()
                self._thread = threads.start(self._run, "hash")
            elif not self._busy and len(self._queue) == 1:
                self._changed.notify_all()
        if len(self._queue) > _MANY and not threads.is_ours():
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        """Let the thread catch up: in a loop of calls it would fall behind by all of them."""
        threads.load_wanted()
        deadline = time.monotonic() + _ROOM
        with self._changed:
            while len(self._queue) > _MANY and not self._waiting_for:
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def settle(self, seconds: float) -> bool:
        """Wait for everything asked for so far, at most `seconds`; whether all is done."""
        deadline = time.monotonic() + seconds
        self._hurried = True
        self._wake()
        try:
            while True:
                threads.load_wanted()
                with self._changed:
                    if not (self._queue or self._busy):
                        return True
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return False
                    self._changed.wait(min(left, _POLL))
        finally:
            self._hurried = False

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            task, args = work
            try:
                threads.do(partial(task, *args), self._wake, lambda: self._closing)
            except threads.Stopped:
                self._busy = False
                return
            except Exception as problem:  # the background thread's door: it warns
                self._warn(f"a frame could not be hashed ({type(problem).__name__}: {problem}).")
            del work, task, args  # a frame is let go of as soon as it is hashed
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> tuple[Callable[..., None], tuple[object, ...]] | None:
        with self._changed:
            while not self._closing:
                now = time.monotonic()
                ready = min(self._last + _PAUSE, self._first + _LONGEST)
                if self._waiting_for:
                    ready = self._first + _PATIENCE
                elif len(self._queue) > _MANY:  # the cell waits for it
                    ready = now
                if self._queue and (self._hurried or now >= ready):
                    self._busy = True
                    return self._queue.popleft()
                self._changed.wait(max(ready - now, 0.001) if self._queue else None)
            return None


def _load() -> None:
    """Load, in the user's thread, what hashes and copies are made with: Feast has most of it."""
    threads.load(*_MODULES)


def _after_fork() -> None:
    for each in list(_all):
        each.renew()


forks.in_child(_after_fork)
