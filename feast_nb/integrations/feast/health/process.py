"""The process that looks at a project's health: a fork for each probe, ended at its deadline.

It runs no code that the registry holds. What it is asked comes as one line of JSON, what each
probe found goes out as one. Feast is imported once, before the first fork, and the process stays
for further questions: for each it takes on the asker's environment and the repository's folder.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from feast import FeatureStore

    from ....records.operation import HealthLine

    class ProbeQuestion(TypedDict):
        """What is to be looked at."""

        part: str
        name: str
        arguments: dict[str, Any]

    class HealthQuestion(TypedDict):
        """All that is to be looked at, and the seconds that each may take."""

        yaml: str
        repo: str
        seconds: float
        environment: dict[str, str]
        probes: list[ProbeQuestion]


IDLE = 300.0  # seconds without a question after which it ends
AT_ONCE = 4  # forks: a machine has other things to do


@dataclass
class _Fork:
    """A probe that is looking; what it has said so far."""

    id: int
    pid: int
    pipe: int
    deadline: float
    said: bytes = b""


def main() -> None:
    """Answer questions until there are none: whoever asks has ended, or asks no more for long."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(what: dict[str, object]) -> None:
        print(json.dumps(what), file=out, flush=True)

    for asked in _questions():
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["repo"])
        _load(Path(asked["yaml"]), Path(asked["repo"]))
        say({"ready": True})
        _answer(asked, say)


def _questions() -> Iterator[HealthQuestion]:
    rest = b""
    while select.select([0], [], [], IDLE)[0] and (part := os.read(0, 1 << 20)):
        *whole, rest = (rest + part).split(b"\n")
        yield from map(json.loads, whole)


def _answer(asked: HealthQuestion, say: Callable[[dict[str, object]], None]) -> None:
    waiting = list(enumerate(asked["probes"]))
    looking: list[_Fork] = []

    def end(*_: object) -> None:
        for fork in looking:
            _end(fork)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    try:
        while waiting or looking:
            while waiting and len(looking) < AT_ONCE:
                number, probe = waiting.pop(0)
                looking.append(_begun(number, probe, asked))
            looking = _heard(looking, say)
    except BrokenPipeError:  # whoever asked has died
        end()


def _load(yaml: Path, repo: Path) -> None:
    """Import what the probes need: each fork has it then."""
    import feast.feature_store  # noqa: F401
    import pandas  # noqa: F401
    from feast.repo_config import load_repo_config

    from . import model_probe, server_probe, store_probes, view_probes  # noqa: F401

    with suppress(Exception):  # what is wrong with it, each probe says
        config = load_repo_config(repo, yaml)
        _ = config.offline_store, config.online_store
        provider = importlib.import_module("feast.infra.passthrough_provider")
        for made in ("offline_store", "online_store", "batch_engine"):
            getattr(provider.PassthroughProvider(config), made)  # their classes, no connection


def _begun(number: int, probe: ProbeQuestion, asked: HealthQuestion) -> _Fork:
    reads, writes = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reads)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setpgid(0, 0)  # what a store starts for it (a JVM) is ended with it
        try:
            found = _looked(probe, asked)
            with os.fdopen(writes, "wb") as out:
                out.write(json.dumps([line.to_dict() for line in found], default=str).encode())
        finally:
            os._exit(0)  # nothing of what it began is waited for
    os.close(writes)
    return _Fork(number, child, reads, time.monotonic() + float(asked["seconds"]))


def _looked(probe: ProbeQuestion, asked: HealthQuestion) -> list[HealthLine]:
    from ....errors import FeastNbError, brief
    from ....masking import masked_text
    from ....records.operation import HealthLine
    from . import model_probe, server_probe, store_probes, view_probes

    # A client gives up before the probe is ended, so that it can say which server it was.
    store_probes.limit(max(float(asked["seconds"]) - 1.0, 1.0))
    part, name, more = probe["part"], probe["name"], probe["arguments"]
    probes: dict[str, Callable[[Any], list[HealthLine]]] = {
        "registry": lambda store: store_probes.registry_line(store),
        "online store": lambda store: store_probes.online_line(store),
        "source": lambda store: view_probes.source_line(store, name, **more),
        "view": lambda store: view_probes.view_lines(store, name, **more),
        "model": lambda store: model_probe.model_line(store, name, **more),
    }
    try:
        opened = functools.partial(_opened, Path(asked["yaml"]))
        if part == "feature server":  # asked first: what hangs is it, and not the registry
            return server_probe.server_line(opened, **more)
        return probes[part](opened())
    except FeastNbError as problem:
        said = str(problem)
    except Exception as problem:  # a driver's, a store's: the line says it
        said = f"{type(problem).__name__}: {masked_text(brief(problem, 300))}"
    # What a view or a source could not be asked through has a line of its own.
    light = "unknown" if part in ("view", "model", "source") else "red"
    return [HealthLine(part, name, light, said)]  # type: ignore[arg-type]


def _opened(yaml: Path) -> FeatureStore:
    """The store, whose reads Feast does not take to MLflow: a look is no prediction."""
    from ..store import open_store

    store = open_store(yaml)
    settings = getattr(store.config, "mlflow", None)
    if settings is not None:
        settings.enabled = False
    return store


def _heard(looking: list[_Fork], say: Callable[[dict[str, object]], None]) -> list[_Fork]:
    """Those that are still looking, after one has said something or its time is over."""
    soonest = min(fork.deadline for fork in looking)
    ready, _, _ = select.select(
        [fork.pipe for fork in looking], [], [], max(soonest - time.monotonic(), 0)
    )
    still = []
    for fork in looking:
        if fork.pipe in ready:
            part = os.read(fork.pipe, 1 << 20)
            fork.said += part
            if not part:
                lines = json.loads(fork.said) if fork.said else []
                _end(fork)
                say({"id": fork.id, "lines": lines} if lines else {"id": fork.id, "late": True})
                continue
        if time.monotonic() >= fork.deadline:
            _end(fork)
            say({"id": fork.id, "late": True})
            continue
        still.append(fork)
    return still


def _end(fork: _Fork) -> None:
    os.close(fork.pipe)
    for end in (os.killpg, os.kill):  # it may not have come to its group yet
        with suppress(ProcessLookupError, PermissionError):
            end(fork.pid, signal.SIGKILL)
    os.waitpid(fork.pid, 0)


if __name__ == "__main__":
    main()
