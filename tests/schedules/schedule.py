"""A schedule: which processes live, what each does, when each is killed; and what must be so then.

Its seed is all that is needed to have it again: `python -m tests.schedules.soak --seed N`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .bad_line import BadLine

ROOT = Path(__file__).resolve().parents[2]
_DOORS = ("ours", "mlflow", "feast", "variable")
_ENV = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "FEAST_USAGE": "False",
}


@dataclass
class Life:
    """A process: its steps, and after how many seconds it is killed, if it is."""

    steps: list[dict[str, Any]]
    killed: float | None = None
    beside: bool = False  # it lives at the same time as the next


@dataclass
class Schedule:
    """The lives of one run's processes, one after the other or beside each other."""

    seed: int
    lives: list[Life] = field(default_factory=list)

    @classmethod
    def drawn(cls, seed: int) -> Schedule:
        """By chance, but the same for the same seed."""
        chance = random.Random(seed)
        made = cls(seed)
        rows = iter(range(1, 1000))  # a retrieval is known by the number of its rows
        for number in range(chance.choice((1, 2, 2, 3))):
            start: dict[str, Any] = {"start": chance.choice(_DOORS[: 4 if number else 3])}
            steps = [{"line": "ok"}, start | ({"continues": True} if number else {})]
            frame = False
            for _ in range(chance.randint(1, 5)):
                kind = chance.choice(
                    (
                        "retrieve",
                        "retrieve",
                        "online",
                        "log",
                        "line",
                        "line",
                        "fork",
                        "disk",
                        "flush",
                    )
                )
                if kind in ("retrieve", "online"):
                    steps.append({kind: next(rows)})
                    frame = frame or kind == "retrieve"
                elif kind == "fork" and not frame:  # DuckDB does not outlive a fork
                    steps.append({kind: next(rows)})
                elif kind == "log" and frame:
                    register = chance.random() < 0.4
                    steps.append({kind: f"model{seed}", "register": register})
                elif kind == "line":
                    steps.append({kind: chance.choice(("bad", "away", "ok"))})
                elif kind == "disk":
                    steps.append({kind: chance.choice(("full", "ok"))})
                elif kind == "flush":
                    steps.append({kind: 3.0})
            if chance.random() < 0.6:
                steps.append({"end": chance.choice(("FINISHED", "FAILED"))})
            killed = chance.uniform(0.1, 2.5) if chance.random() < 0.5 else None
            made.lives.append(Life(steps, killed, beside=number > 0 and chance.random() < 0.3))
        return made


class Laboratory:
    """A server behind a bad line, and a process from which others are forked."""

    def __init__(self, server: str, folder: Path, seed: int = 0) -> None:
        from ..conftest import make_repository

        self.line = BadLine(server, seed)
        self.server = server
        self.folder = folder
        self.repo = make_repository(
            folder / "repo", project=f"p{seed}x{os.getpid()}", tracking_uri=self.line.url
        )
        self._said = (folder / "forks").open("wb")
        self._forks = subprocess.Popen(
            [sys.executable, "-m", "tests.schedules.processes"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, cwd=ROOT, text=True,
        )  # fmt: skip
        assert self._forks.stdout is not None
        assert self._forks.stdout.readline().strip() == "ready", (folder / "forks").read_text()

    def close(self) -> None:
        assert self._forks.stdin is not None
        self._forks.stdin.close()
        self._forks.wait(30)
        self._said.close()
        self.line.shutdown()

    def _ask(self, **order: Any) -> int:
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        self._forks.stdin.write(json.dumps(order) + "\n")
        self._forks.stdin.flush()
        return int(self._forks.stdout.readline())

    def begin(self, place: Path, steps: list[dict[str, Any]]) -> int:
        """Begin a process; its number."""
        env = {**_ENV, "FEAST_NB_STATE": str(place / "state"), "FEAST_NB_CACHE": str(place / "c")}
        return self._ask(
            do="begin", repo=str(self.repo), line=self.line.url, folder=str(place), env=env,
            log=str(place / "log"), said=str(place / "said"), steps=steps,
        )  # fmt: skip

    def wait(self, pid: int, seconds: float = 60.0) -> int:
        return self._ask(do="wait", pid=pid, seconds=seconds)

    def run(self, schedule: Schedule) -> Outcome:
        """Live through a schedule, recover on a good line, and say what came of it."""
        place = self.folder / f"s{schedule.seed}"
        place.mkdir()
        (place / "log").touch()
        self.line.mode = "ok"
        killed: list[int] = []
        hung: list[int] = []
        waiting: list[int] = []
        for life in schedule.lives:
            if not life.beside:
                self._end(waiting, killed, hung)
            steps = life.steps
            if any("continues" in step for step in steps):
                run_id = _first_run(place)
                if run_id is None:
                    continue
                steps = [s | {"continues": run_id} if "continues" in s else s for s in steps]
            pid = self.begin(place, steps)
            waiting.append(pid)
            if life.killed is not None:
                killed.append(pid)
                threading.Timer(life.killed, _kill, [pid]).start()
            if any(one.beside for one in schedule.lives) and _first_run(place) is None:
                _wait_for_run(place)
        self._end(waiting, killed, hung)
        self.line.mode = "ok"
        for _ in range(2):  # what the first takes over it may leave to the next
            self.wait(self.begin(place, [{"line": "ok"}, {"flush": 30.0}]))
            if not any(p.is_file() for p in (place / "state").rglob("*")):
                break
        return Outcome(self, schedule, place, killed, hung)

    def _end(self, waiting: list[int], killed: list[int], hung: list[int]) -> None:
        for pid in waiting:
            status = self.wait(pid)
            if status < -500:
                hung.append(pid)
            elif status == -signal.SIGKILL and pid not in killed:
                killed.append(pid)
        waiting.clear()


@dataclass
class Outcome:
    """What the user saw of a schedule, and what MLflow has of it."""

    laboratory: Laboratory
    schedule: Schedule
    place: Path
    killed: list[int]
    hung: list[int]

    def faults(self) -> list[str]:
        """What is not as it must be: nothing, if all is well."""
        found = [f"process {pid} hung" for pid in self.hung]
        said = (self.place / "said").read_text() if (self.place / "said").exists() else ""
        if "Traceback" in said:
            found.append(f"a traceback was shown: {said[said.index('Traceback') :][:1500]}")
        left = [p for p in (self.place / "state").rglob("*") if p.is_file()]
        if self._told:  # frames of records that no disk took
            left = [p for p in left if p.parent.name != "spool"]
        if left:
            found.append(f"left on disk: {[str(p.relative_to(self.place)) for p in left]}")
        log = [json.loads(line) for line in (self.place / "log").read_text().splitlines()]
        runs = {str(s["run"]) for s in log if s.get("run")}
        for run_id in runs:
            found += self._faults_of(run_id, [s for s in log if s.get("run") == run_id])
        return found

    def _faults_of(self, run_id: str, seen: list[dict[str, Any]]) -> list[str]:
        from mlflow import MlflowClient

        from feast_nb.integrations.mlflow import retrieval_files

        uri = self.laboratory.server
        api = MlflowClient(uri)
        found = []
        kept = retrieval_files.retrievals_of(uri, run_id).retrievals
        rows = Counter(r.entity.rows for r in kept)
        found += [f"{n} rows: {times} times" for n, times in rows.items() if times > 1]
        sure = [s for s in seen if self._must_be_there(s, seen)]
        asked = [int(s.get("retrieve") or s["online"]) for s in sure]
        found += [f"{n} rows: lost" for n in asked if n not in rows]
        for pid in {s["pid"] for s in seen}:  # in the order in which each process made them
            mine = [s for s in sure if s["pid"] == pid]
            order = [r.entity.rows for r in kept]
            places = [
                order.index(n) for s in mine if (n := s.get("retrieve") or s["online"]) in order
            ]
            if places != sorted(places):
                found.append(f"out of order: {order}")
        status = api.get_run(run_id).info.status
        # MLflow's own `start_run` says RUNNING to the server before anybody here knows of it.
        starting = set(self.killed) - {s["pid"] for s in seen if "start" in s}
        if status == "RUNNING" and not self._told and not starting:
            found.append("the run is RUNNING, and nobody has it")
        found += self._damaged(api, run_id, kept)
        for one in seen:
            if one.get("model") and self._must_be_there(one, seen, kind="log"):
                there = {a.path for a in api.list_artifacts(run_id, "feast/contracts")}
                if f"feast/contracts/{one['model']}.json" not in there:
                    found.append(f"no contract of {one['model']}")
        return found

    def _must_be_there(
        self, one: dict[str, Any], seen: list[dict[str, Any]], kind: str | None = None
    ) -> bool:
        """Whether the user saw it done, and was not told that it may be lost with its process."""
        if kind is None and not ("retrieve" in one or "online" in one):
            return False
        return not (self._told and one["disk"] == "full")

    @property
    def _told(self) -> bool:
        """Whether the user knows that nothing is kept on disk."""
        return "cannot be kept on disk" in (self.place / "said").read_text()

    def _damaged(self, api: Any, run_id: str, kept: Any) -> list[str]:
        import pandas as pd

        from feast_nb.frames import fingerprint

        found = []
        for one in kept:
            if one.kind != "historical" or one.state != "ran" or not one.entity.artifact:
                continue
            try:
                frame = pd.read_parquet(api.download_artifacts(run_id, one.entity.artifact))
            except Exception as problem:
                found.append(f"{one.entity.artifact}: {type(problem).__name__}")
                continue
            now = fingerprint.of(frame)
            if f"{now.rows}-{now.schema}" != one.entity.fingerprint:
                found.append(f"{one.entity.artifact} is another frame than that of {one.id}")
        return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _first_run(place: Path) -> str | None:
    for line in (place / "log").read_text().splitlines():
        said = json.loads(line)
        if said.get("run"):
            return str(said["run"])
    return None


def _wait_for_run(place: Path) -> None:
    until = time.monotonic() + 10
    while _first_run(place) is None and time.monotonic() < until:
        time.sleep(0.05)
