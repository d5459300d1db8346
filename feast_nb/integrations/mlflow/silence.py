"""MLflow without its progress bars, hints and registry chatter, where a call is one of ours.

And its links to runs without the password that a server's address may hold.

Nothing of the process is changed for it, neither filters nor streams nor environment: other
threads go on meanwhile. Each place in MLflow that speaks looks whether the call is one of ours.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any, ParamSpec, TextIO, TypeVar

from ...masking import masked_text
from ...patching.patches import Patches

P = ParamSpec("P")
R = TypeVar("R")
Filter = Callable[[logging.LogRecord], bool | logging.LogRecord]
_LOGGERS = ("mlflow.models.model", "mlflow.types.utils", "mlflow.store.db.utils")

_by_itself = Patches()
_silent: ContextVar[bool] = ContextVar("feast_nb_silent", default=False)


@contextmanager
def silent() -> Iterator[None]:
    """What MLflow does within, in this thread, is ours: it says nothing of it."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def follow(patches: Patches) -> None:
    """Have each place look, now or when it is imported, until the patches are undone."""

    def bars(module: ModuleType) -> None:
        patches.replace(module.ArtifactProgressBar, "set_pbar", _unless_silent)

    def chatter(module: ModuleType) -> None:
        """`Successfully registered model …`: the summary says it."""
        if hasattr(module, "eprint"):
            patches.replace(module, "eprint", _unless_silent)

    def hints(module: ModuleType) -> None:
        """That a column of integers may come to hold gaps: our contract says it."""
        patches.replace(module, "warnings", _Warnings)
        for name in _LOGGERS:
            patches.replace(logging.getLogger(name), "filter", _filtered)

    def links(module: ModuleType) -> None:
        """`View run … at:` with the server's address, which may hold a password."""
        if hasattr(module, "sys"):
            patches.replace(module, "sys", _Sys)

    patches.on_import("mlflow.tracking._tracking_service.client", links)
    patches.on_import("mlflow.utils.file_utils", bars)
    patches.on_import("mlflow.tracking._model_registry.fluent", chatter)
    patches.on_import("mlflow.types.utils", hints)


def follow_once() -> None:
    """The same where no extension is loaded that would see to it: a worker, a script."""
    from mlflow.utils.file_utils import ArtifactProgressBar

    if not hasattr(ArtifactProgressBar.set_pbar, "__wrapped__"):
        follow(_by_itself)


def put_back() -> None:
    """Undo `follow_once`."""
    _by_itself.undo()


def _unless_silent(original: Callable[P, R]) -> Callable[P, R | None]:
    @functools.wraps(original)
    def call(*args: P.args, **kwargs: P.kwargs) -> R | None:
        return None if _silent.get() else original(*args, **kwargs)

    return call


def _filtered(original: Filter) -> Filter:
    """A logger passes errors only, of a call of ours."""

    @functools.wraps(original)
    def passes(record: logging.LogRecord) -> bool | logging.LogRecord:
        if _silent.get() and record.levelno < logging.ERROR:
            return False
        return original(record)

    return passes


class _Sys:
    """The `sys` that one module of MLflow sees: no secret is printed, and nothing of ours."""

    def __init__(self, original: ModuleType) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._original, name)
        return _Masked(found) if name in ("stdout", "stderr") else found


class _Masked:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return len(text) if _silent.get() else self._stream.write(masked_text(text))


class _Warnings:
    """The `warnings` that one module of MLflow sees: without those of our calls."""

    def __init__(self, original: ModuleType) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def warn(self, *args: Any, **kwargs: Any) -> None:
        if not _silent.get():
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            warnings.warn(*args, **kwargs)
