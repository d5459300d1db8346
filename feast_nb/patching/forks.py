"""A fork copies locks as they are: one that a thread of ours holds is held for good in the child.

Feast's own registry has such a lock, which our threads take where no other thread would. So a
fork waits until no thread of ours is at work, and none begins before it is done.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PATIENCE = 5.0  # seconds: a request of ours gives up before
_POLL = 0.5

_here = threading.local()
_changed = threading.Condition()
_at_work = 0
_forking = False


@contextmanager
def work() -> Iterator[None]:
    """A piece of work in a thread of ours; a fork waits for its end."""
    global _at_work
    if getattr(_here, "depth", 0):
        yield
        return
    with _changed:
        while _forking:
            _changed.wait(_POLL)
        _at_work += 1
    _here.depth = 1
    try:
        yield
    finally:
        _here.depth = 0
        with _changed:
            _at_work -= 1
            _changed.notify_all()


def in_child(renew: Callable[[], None]) -> None:
    """Call something in each forked child, where none of our threads is."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)


def _before() -> None:
    global _forking
    until = time.monotonic() + _PATIENCE
    with _changed:
        if getattr(_here, "depth", 0):  # a thread of ours forks: it waits for nobody
            return
        _forking = True
        while _at_work and (left := until - time.monotonic()) > 0:
            _changed.wait(left)


def _in_parent() -> None:
    global _forking
    with _changed:
        _forking = False
        _changed.notify_all()


def _in_child() -> None:
    global _changed, _at_work, _forking
    _changed = threading.Condition()
    _at_work, _forking = 0, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
