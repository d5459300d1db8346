"""A look at the health of a project: which probes, and the lines as they are known."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import FeastNbError, FeatureError, brief, nearest
from ..integrations.feast import registry
from ..integrations.feast.store import folder_of
from ..masking import masked_text, public_uri
from ..records.operation import Health, HealthLine
from . import last_look

if TYPE_CHECKING:
    from feast import FeatureStore

_IMPORTS = 180.0  # seconds that a process on a busy machine may take to import Feast


@dataclass(frozen=True)
class HealthRequest:
    """What is looked at: `views` (all that are served online), and `seconds` for each probe.

    `server` is the address of a feature server beside the one that the repository names.
    `inputs` are those of a model, with their references, and their ranges and nulls in training.
    """

    views: tuple[str, ...]
    sample: int
    seconds: float
    server: str | None = None
    model: str | None = None
    inputs: tuple[dict[str, object], ...] = ()


@dataclass(frozen=True)
class Probe:
    """One thing to look at; `name` is a view's, or an address."""

    part: str
    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)


def look(
    store: FeatureStore, yaml: Path, asked: HealthRequest, told: Callable[[HealthLine], None]
) -> Health:
    """Look at all of it, within the deadlines; `told` is given each line as it is known.

    What was found is kept on this machine, for a panel to show with its age.

    Raises `FeatureError` for a view that is none.
    """
    began = time.monotonic()
    probes, notes = _probes(store, asked)
    lines: list[HealthLine] = []
    for line in _Process(yaml, asked.seconds).answers(probes):
        told(line)
        lines.append(line)
    found = Health(
        project=store.project,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        lines=tuple(sorted(lines, key=last_look.worst_first)),
        model=asked.model,
        seconds=round(time.monotonic() - began, 2),
        notes=notes,
    )
    last_look.keep(yaml, found, whole=not asked.views and not notes)
    return found


def _probes(store: FeatureStore, asked: HealthRequest) -> tuple[list[Probe], tuple[str, ...]]:
    config = store.config
    online = str(getattr(config.online_store, "type", ""))
    probes = [
        Probe("registry", str(getattr(config.registry, "registry_type", "file"))),
        Probe("online store", online),
    ]
    server = asked.server or (str(config.online_store.path) if online == "remote" else None)
    if server:
        cert = str(getattr(config.online_store, "cert", "") or "") if not asked.server else ""
        where = {"address": server, "cert": cert}
        probes.append(Probe("feature server", str(public_uri(server)), where))
    try:
        known = registry.definitions_of(store).views
    except FeastNbError as problem:
        return probes, (f"the views are not known: {problem}",)
    timed = {n: v for n, v in known.items() if v.is_timed and v.is_loaded}
    for name in asked.views:
        if name not in timed:
            raise FeatureError(f"no view {name} is served online; {nearest(name, timed)}")
    named = asked.views or tuple(timed)
    probes += [Probe("view", name, {"sample": asked.sample}) for name in named]
    sources: dict[str, list[str]] = {}
    for name in named:
        if (source := timed[name].batch_proto) is not None:
            sources.setdefault(source.name, []).append(name)
    probes += [Probe("source", name, {"views": views}) for name, views in sources.items()]
    if asked.inputs:
        arguments = {"inputs": list(asked.inputs), "sample": asked.sample}
        probes.append(Probe("model", str(asked.model), arguments))
    return probes, ()


class _Process:
    """The process that looks: it is ended with all that it began when its time is over."""

    def __init__(self, yaml: Path, seconds: float) -> None:
        self._yaml, self._seconds = yaml, seconds

    def answers(self, probes: Sequence[Probe]) -> Iterator[HealthLine]:
        """Each line as it comes; for a probe that says nothing in time, a line that says so."""
        printed = tempfile.TemporaryFile()  # noqa: SIM115 (closed below)
        process = self._begun(printed)
        question = {"yaml": str(self._yaml), "repo": str(folder_of(self._yaml)),
                    "seconds": self._seconds, "probes": [asdict(p) for p in probes]}  # fmt: skip
        left = dict(enumerate(probes))
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # then it has ended, and says nothing
                process.stdin.write((json.dumps(question) + "\n").encode())
                process.stdin.close()
            for said in self._lines(process, len(probes)):
                if "id" in said and said["id"] in left:
                    probe = left.pop(said["id"])
                    yield from _of_probe(probe, said, self._seconds)
                if not left:
                    break
            why = f"it was not looked at{_last_line(printed)}" if left else ""
            for probe in left.values():
                yield HealthLine(probe.part, probe.name, "unknown", why)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            printed.close()

    def _begun(self, printed: IO[bytes]) -> subprocess.Popen[bytes]:
        # -P: what lies in the notebook's folder must not be taken for a library.
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "feast_nb.integrations.feast.health.process"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=printed,
            start_new_session=True, cwd=folder_of(self._yaml),
        )  # fmt: skip

    def _lines(self, process: subprocess.Popen[bytes], probes: int) -> Iterator[dict[str, Any]]:
        """What it says until it ends, or until everything it was asked must be over."""
        assert process.stdout is not None
        deadline = time.monotonic() + _IMPORTS
        rest = b""
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([process.stdout], [], [], left)[0]:
                return
            part = os.read(process.stdout.fileno(), 65_536)
            if not part:
                return
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                said = json.loads(line)
                if said.get("ready"):  # from here on it has its time, and no more
                    deadline = time.monotonic() + (self._seconds + 1.0) * max(probes, 1)
                else:
                    yield said


def _last_line(printed: IO[bytes]) -> str:
    """What the process said last, where it ended by itself: why it could not begin."""
    printed.seek(0)
    lines = printed.read().decode(errors="replace").strip().splitlines()
    return f" ({masked_text(brief(lines[-1], 200))})" if lines else ""


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
