"""Threads of ours load no module: what one of them lacks is loaded by the user's thread.

Whoever imports holds Python's lock of that module, and takes the locks of libraries that follow
imports (MLflow's, for `mlflow.autolog()` and `mlflow.models.evaluate`). A thread of ours that
imports takes them in another order than the cell's thread, which holds MLflow's lock while it
imports: both wait for good, and no Ctrl-C ends it. So a first import is refused in our threads
before it takes any lock, the work is begun anew once the user's thread has loaded the module.
"""

from __future__ import annotations

import importlib
import importlib.abc
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any, TypeVar

from . import forks

T = TypeVar("T")
Work = Callable[[], T]

_POLL = 0.5  # seconds between two looks whether a thread that waits for a module is to stop

_ours = threading.local()
_changed = threading.Condition()
_wanted: dict[str, None] = {}
_forgotten = 0  # how often the extension was unloaded: threads of before end
_failed: dict[str, ImportError] = {}


class NotLoaded(BaseException):
    """A module that a thread of ours needs and nobody has loaded; no library catches it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Stopped(BaseException):
    """The work of a thread is not wanted any more."""


class _Refusal(importlib.abc.MetaPathFinder):
    """Asked before every other finder: in our threads it ends a first import at once."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not is_ours() or _is_only_asked(sys._getframe(1)):
            return None
        if name in _failed:  # as the user's thread found it, or a library would ask for ever
            raise type(_failed[name])(*_failed[name].args, name=name)
        raise NotLoaded(name)


def _is_only_asked(frame: FrameType | None) -> bool:
    """Whether `importlib.util.find_spec` asks where a module is: it loads nothing."""
    for _ in range(4):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") == "importlib.util":
            return True
        frame = frame.f_back
    return False


_refusal = _Refusal()


def is_ours() -> bool:
    """Whether the current thread is one of ours."""
    return getattr(_ours, "here", False)


def start(work: Callable[[], None], name: str) -> threading.Thread:
    """Begin a thread of ours: a daemon in which no module is loaded."""
    # What Python itself loads to say that a finalizer failed: the collector may run in any thread.
    import linecache  # noqa: F401
    import traceback  # noqa: F401
    import tracemalloc  # noqa: F401

    def run() -> None:
        _ours.here = True
        _come_first()
        try:
            work()
        except (NotLoaded, Stopped):
            return  # nobody waits for it
        except Exception as problem:  # a thread's door: one line, never a traceback
            print(f"feast_nb, {name}: {type(problem).__name__}: {problem}", file=sys.stderr)

    thread = threading.Thread(target=run, name=f"feast_nb {name}", daemon=True)
    thread.start()
    return thread


def do(work: Work[T], wake: Callable[[], None], stopped: Callable[[], bool]) -> T:
    """Do some work that may be begun anew, each time the user's thread has loaded what it lacks.

    `wake` tells a user's thread that waits for this one to call `load_wanted`. Raises `Stopped`
    where the work is not wanted any more. In a thread of the user's it is an ordinary call.
    """
    while True:
        _come_first()
        try:
            with forks.work() if is_ours() else nullcontext():
                return work()
        except NotLoaded as missing:
            if not is_ours():
                raise
            _wait_for(missing.name, wake, stopped)


def _wait_for(name: str, wake: Callable[[], None], stopped: Callable[[], bool]) -> None:
    with _changed:
        _wanted[name] = None
        since = _forgotten
    wake()
    with _changed:
        while name in _wanted and since == _forgotten:
            if stopped():
                raise Stopped
            _changed.wait(_POLL)
        if since != _forgotten:
            raise Stopped


def _come_first() -> None:
    """MLflow puts a finder of its own first when it begins to follow imports.

    Ours is only added, never moved: another thread may be going through the list.
    """
    if is_ours() and (not sys.meta_path or sys.meta_path[0] is not _refusal):
        sys.meta_path.insert(0, _refusal)  # type: ignore[arg-type]


def load_wanted() -> None:
    """Load, in the user's thread, what threads of ours wait for; what cannot be is told them."""
    if is_ours():
        return
    while (name := next(iter(_wanted), None)) is not None:
        load(name)
        with _changed:
            _wanted.pop(name, None)
            _changed.notify_all()


def load(*names: str) -> None:
    """Load modules in the user's thread; those that cannot be are known to threads of ours."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as problem:  # of any module: the thread that asks gets it
            known = problem if isinstance(problem, ImportError) else ImportError(str(problem))
            _failed[name] = known
            if isinstance(known, ModuleNotFoundError) and known.name:
                _failed[known.name] = known


def forget() -> None:
    """Leave the interpreter's finders as they were; threads that still wait end."""
    global _forgotten
    while _refusal in sys.meta_path:
        sys.meta_path.remove(_refusal)  # type: ignore[arg-type]
    with _changed:
        _forgotten += 1
        _wanted.clear()
        _changed.notify_all()


def begin(task: Work[T]) -> Work[T]:
    """Begin a task in a thread of ours; what is returned waits for its answer or its error."""
    if is_ours():
        return task
    came = threading.Condition()
    answers: list[T] = []
    problems: list[BaseException] = []

    def wake() -> None:
        with came:
            came.notify_all()

    def work() -> None:
        try:
            answers.append(do(task, wake, lambda: False))
        except BaseException as problem:  # handed on to the thread that asks
            problems.append(problem)
        wake()

    def result() -> T:
        while not (answers or problems):
            load_wanted()
            with came:
                if not (answers or problems or _wanted):
                    came.wait(_POLL)
        if problems:
            raise problems[0]
        return answers[0]

    start(work, "reading")
    return result


def together(tasks: Sequence[Work[T]], at_once: int = 8) -> list[T]:
    """Do tasks in threads of ours, each begun anew where a module is missing; their answers.

    The thread that waits loads what they lack. The first failure, or Ctrl-C, ends the wait at
    once: what has not begun is left, what is under way ends by itself.
    """
    if len(tasks) < 2 or is_ours():
        return [task() for task in tasks]
    answers: list[Any] = [None] * len(tasks)
    waiting, under_way = list(enumerate(tasks)), len(tasks)
    came = threading.Condition()
    problems: list[BaseException] = []
    stop = False

    def wake() -> None:
        with came:
            came.notify_all()

    def work() -> None:
        nonlocal under_way
        while True:
            with came:
                if stop or not waiting:
                    return
                number, task = waiting.pop(0)
            try:
                answers[number] = do(task, wake, lambda: stop)
            except BaseException as problem:  # handed on to the thread that asked
                problems.append(problem)
            with came:
                under_way -= 1
                came.notify_all()

    for _ in range(min(at_once, len(tasks))):
        start(work, "reading")
    try:
        while under_way and not problems:
            load_wanted()
            with came:
                if under_way and not problems and not _wanted:
                    came.wait(_POLL)
    finally:
        stop = True
    if problems:
        raise problems[0]
    return answers
