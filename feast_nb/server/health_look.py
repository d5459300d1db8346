"""A repository's health for the panel: the last look, and a new one where it is asked for."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FeastNbError, brief
from ..operations import health, last_look
from ..records.operation import Health, HealthLine

if TYPE_CHECKING:
    from feast import FeatureStore

    from ..records.operation import HealthAnswer

_REST = 5.0  # seconds after a look in which no other is begun
_SAMPLE, _SECONDS = 50, 5.0


class HealthLook:
    """The looks at one repository: one at a time, each in a process of its own."""

    def __init__(self, yaml: Path) -> None:
        self._yaml = yaml
        self._lock = threading.Lock()
        self._ended = -_REST
        self._so_far: list[HealthLine] | None = None  # None: nobody looks
        self._trouble = ""

    def begin(self, store: FeatureStore) -> None:
        """Look anew, unless somebody does or just did."""
        with self._lock:
            if self._so_far is not None or time.monotonic() - self._ended < _REST:
                return
            self._so_far = []
        threading.Thread(target=self._look, args=(store,), daemon=True).start()

    def answer(self) -> HealthAnswer:
        """What is known, each line with the moment at which it was looked at."""
        with self._lock:
            so_far, trouble = self._so_far, self._trouble
            lines = tuple(so_far or ())
        known = last_look.kept(self._yaml)
        if lines:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            known = known or Health("", at=now)
            known = replace(known, lines=last_look.joined(known, lines, whole=False))
        return {
            "health": known,
            "looking": so_far is not None,
            "trouble": trouble or None,
            "as_of": known.at if known is not None else None,
        }

    def _look(self, store: FeatureStore) -> None:
        request = health.HealthRequest((), _SAMPLE, _SECONDS)
        trouble = ""
        try:
            health.look(store, self._yaml, request, self._told)
        except FeastNbError as problem:
            trouble = str(problem)
        except Exception as problem:  # a driver's: the panel shows its first line
            trouble = f"{type(problem).__name__}: {brief(problem, 300)}"
        with self._lock:
            self._so_far, self._trouble, self._ended = None, trouble, time.monotonic()

    def _told(self, line: HealthLine) -> None:
        with self._lock:
            if self._so_far is not None:
                self._so_far.append(line)
