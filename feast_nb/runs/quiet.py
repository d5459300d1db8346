"""MLflow without its progress bars, hints and registry chatter, where a call of ours makes it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without MLflow's progress bars, hints about integer columns and registry chatter."""
    noisy = [logging.getLogger(n) for n in ("mlflow.models.model", "mlflow.types.utils")]
    before = [log.level for log in noisy]
    bar = os.environ.get("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR")
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    for log_ in noisy:
        log_.setLevel(logging.ERROR)
    chatter = _Chatter(sys.stderr)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(chatter):  # type: ignore[type-var]
            warnings.simplefilter("ignore")
            yield
    finally:
        for log_, level in zip(noisy, before, strict=True):
            log_.setLevel(level)
        if bar is None:
            os.environ.pop("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", None)
        else:
            os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = bar


class _Chatter:
    """stderr without what MLflow prints on registering: the summary says it. The rest passes."""

    _SAID = ("Successfully registered model", "Registered model '", "Created version '")

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._swallowed = False

    def write(self, text: str) -> int:
        if text.startswith(self._SAID):
            self._swallowed = True
            return len(text)
        if self._swallowed and text == "\n":  # print() writes its line end by itself
            self._swallowed = False
            return 1
        self._swallowed = False
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
