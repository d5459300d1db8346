"""The process that looks at a project's health, kept for the next look: the start takes longest."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import brief
from ..integrations.feast.store import folder_of
from ..masking import masked_text
from ..patching import forks
from ..records.operation import HealthLine

_RESTS = 240.0  # seconds after which it is not asked any more: it ends by itself after 300
_IMPORTS = 180.0  # seconds that a process on a busy machine may take to import Feast


@dataclass(frozen=True)
class Probe:
    """One thing to look at; `name` is a view's, or an address."""

    part: str
    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)


def answers(yaml: Path, seconds: float, probes: Sequence[Probe]) -> Iterator[HealthLine]:
    """Each line as it comes; for a probe that says nothing in time, a line that says so.

    The process is ended where it did not answer, or where nobody waits for its answer any more;
    else it stays for a while, and ends by itself, or with this one.
    """
    question = {
        "yaml": str(yaml), "repo": str(folder_of(yaml)), "seconds": seconds,
        "probes": [asdict(p) for p in probes], "environment": dict(os.environ),
    }  # fmt: skip
    process = _taken()
    left = dict(enumerate(probes))
    try:
        for said in process.asked(question, (seconds + 1.0) * max(len(probes), 1)):
            if "id" in said and said["id"] in left:
                probe = left.pop(said["id"])
                yield from _of_probe(probe, said, seconds)
            if not left:
                break
        why = f"it was not looked at{process.last_words()}" if left else ""
        for probe in left.values():
            yield HealthLine(probe.part, probe.name, "unknown", why)
    finally:
        if left:
            process.end()
        else:
            _give_back(process)


class _LookProcess:
    """One process that looks: it is ended with all that it began when its time is over."""

    def __init__(self) -> None:
        self.made_with = _settings()
        self._asked = time.monotonic()
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        # -P: what lies in the notebook's folder must not be taken for a library.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "feast_nb.integrations.feast.health.process"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._printed,
            start_new_session=True,
        )  # fmt: skip

    @property
    def lives(self) -> bool:
        """Whether it is there to be asked, and not about to end for want of questions."""
        return self._process.poll() is None and time.monotonic() - self._asked < _RESTS

    def asked(self, question: dict[str, object], seconds: float) -> Iterator[dict[str, Any]]:
        """What it says until it ends, or `seconds` after it has what it needs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # then it has ended, and says nothing
            self._process.stdin.write((json.dumps(question) + "\n").encode())
            self._process.stdin.flush()
        deadline = time.monotonic() + _IMPORTS
        rest = b""
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._process.stdout], [], [], left)[0]:
                return
            part = os.read(self._process.stdout.fileno(), 65_536)
            if not part:
                return
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                said = json.loads(line)
                if said.get("ready"):  # from here on it has its time, and no more
                    deadline = time.monotonic() + seconds
                else:
                    yield said

    def last_words(self) -> str:
        """What it said last, where it ended by itself: why it could not begin."""
        self._printed.seek(0)
        lines = self._printed.read().decode(errors="replace").strip().splitlines()
        return f" ({masked_text(brief(lines[-1], 200))})" if lines else ""

    def forget(self) -> None:
        """What it printed was of a look that is over."""
        self._asked = time.monotonic()
        self._printed.seek(0)  # the process writes on from there: the place is both's
        self._printed.truncate()

    def end(self) -> None:
        """End it, and its forks with it, which are in groups of their own."""
        self._process.terminate()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._printed):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()


_kept: list[_LookProcess] = []
_lock = threading.Lock()


def _settings() -> tuple[str, str]:
    """What a process that goes on cannot be given anew."""
    return sys.executable, os.environ.get("PYTHONPATH", "")


def _taken() -> _LookProcess:
    """A process that nobody else asks."""
    with _lock:
        found = _kept.pop() if _kept else None
    if found is not None and found.lives and found.made_with == _settings():
        return found
    if found is not None:
        found.end()
    return _LookProcess()


def _give_back(process: _LookProcess) -> None:
    process.forget()
    with _lock:
        if not _kept:
            _kept.append(process)
            return
    process.end()


def _after_fork() -> None:
    """A forked child has its parent's process no part in."""
    global _lock
    _lock = threading.Lock()
    _kept.clear()


forks.in_child(_after_fork)


def _of_probe(probe: Probe, said: dict[str, Any], seconds: float) -> Iterator[HealthLine]:
    if not said.get("late"):
        yield from (HealthLine.from_dict(line) for line in said["lines"])
        return
    took = f"it did not answer within {seconds:g} s"
    if probe.part in ("view", "model", "source"):  # a large table takes its time
        yield HealthLine(probe.part, probe.name, "unknown", f"not known: {took}",
                         "look longer: --seconds 60")  # fmt: skip
    else:
        yield HealthLine(probe.part, probe.name, "red", took, "see whether it hangs")
