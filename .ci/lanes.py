"""Run jobs of `jobs.json`, two at a time, and say of each how it went and how long it took.

`lanes.py` runs all of them, `lanes.py --quick` those of `make test`, `lanes.py NAME …` those named.
What a job prints goes to a file and is printed when the job ends. Something that failed or was
skipped fails the whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

ROOT = Path(__file__).parents[1]
LOGS = ROOT / "build" / "ci"
LANES = 2
LIMIT = 3600  # seconds for one job
# What pytest closes with, and vitest: `1 failed, 12 passed in 4.2s`, `Tests  5 passed (5)`.
CLOSING = re.compile(r"(=+ )?\d+ (passed|failed|error|skipped).* in [\d.]+s|\s*Tests  ")
COLOURS = re.compile(r"\x1b\[[\d;]*m")


def python_of(version: str) -> str:
    """A Python of that version, from pyenv or from the path; none is an error."""
    known = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    found = [*map(str, known), shutil.which(f"python{version}")]
    for python in filter(None, found):
        if subprocess.run([python, "--version"], capture_output=True).returncode == 0:
            return python
    sys.exit(f"there is no Python {version} here, and pyproject.toml claims it")


def counted(output: str) -> dict[str, int]:
    """How many tests passed, failed and were skipped, by the closing lines of the runners."""
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    for line in COLOURS.sub("", output).splitlines():
        if CLOSING.match(line):
            for number, word in re.findall(r"(\d+) (passed|failed|error|skipped)", line):
                counts["failed" if word == "error" else word] += int(number)
    return counts


def computed(output: str) -> float:
    """The processor's seconds, by the last line of `times`: the same whatever else runs."""
    found = re.search(r"(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$", output)
    if found is None:
        return 0.0
    minutes, seconds, more_minutes, more = map(float, found.groups())
    return 60 * (minutes + more_minutes) + seconds + more


class Shells:
    """Commands that run, each in a process group of its own, so that all of it can be ended."""

    def __init__(self) -> None:
        self._running: set[int] = set()

    def run(self, command: str, python: str, log: Path) -> int:
        """Run one command in a shell; its exit code. One that hangs is ended after a while."""
        environment = {**os.environ, "PYTHON": python, "MAKEFLAGS": ""}
        with log.open("wb") as out:
            shell = subprocess.Popen(
                f"({command}); code=$?; times; exit $code", shell=True, cwd=ROOT,
                env=environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            self._running.add(shell.pid)
            try:
                return shell.wait(timeout=LIMIT)
            except subprocess.TimeoutExpired:
                out.write(f"\nended: it took more than {LIMIT} s\n".encode())
                return 1
            finally:
                self._running.discard(shell.pid)
                with contextlib.suppress(ProcessLookupError):  # whatever a job leaves behind, too
                    os.killpg(shell.pid, signal.SIGKILL)

    def end(self) -> None:
        """End all that run."""
        for group in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)


def main(names: list[str]) -> int:
    """Run the jobs of these names; the exit code."""
    jobs: list[dict[str, Any]] = json.loads((ROOT / ".ci" / "jobs.json").read_text())
    if names == ["--quick"]:
        jobs = [job for job in jobs if job.get("quick")]
    elif names:
        unknown = set(names) - {job["name"] for job in jobs}
        if unknown:
            sys.exit(f"no job is called {', '.join(sorted(unknown))}: see .ci/jobs.json")
        jobs = [job for job in jobs if job["name"] in names]
    versions = {job["python"] for job in jobs}
    if names == ["--quick"]:  # in the environment that called, whatever its version
        pythons = dict.fromkeys(versions, os.environ.get("PYTHON", sys.executable))
    else:
        pythons = {version: python_of(version) for version in versions}
    shells = Shells()
    LOGS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    seconds: dict[str, float] = {}
    busy: dict[str, float] = {}
    total = dict.fromkeys(("passed", "failed", "skipped"), 0)
    wrong: list[str] = []

    def done(name: str, code: int, log: Path, started: float) -> None:
        seconds[name] = time.monotonic() - started
        output = log.read_text(errors="replace")
        counts, busy[name] = counted(output), computed(output)
        if code or counts["failed"] or counts["skipped"]:
            wrong.append(name)
            counts["failed"] += not counts["failed"]
        for word, number in counts.items():
            total[word] += number
        verdict = "FAILED" if name in wrong else "ok"
        print(f"──── {name}: {verdict}, {seconds[name]:.0f} s ────\n{output}", flush=True)

    # What several jobs use is made before any of them starts.
    if any("VENV=" not in job["run"] for job in jobs):
        started, log = time.monotonic(), LOGS / "prepare.log"
        python = next(pythons[job["python"]] for job in jobs if "VENV=" not in job["run"])
        done("prepare", shells.run("make prepare", python, log), log, started)
    waiting: SimpleQueue[dict[str, Any]] = SimpleQueue()
    for job in [] if wrong else jobs:
        waiting.put(job)
    said = threading.Lock()

    def lane() -> None:
        while True:
            try:
                job = waiting.get_nowait()
            except Empty:
                return
            started, log = time.monotonic(), LOGS / f"{job['name']}.log"
            code = shells.run(job["run"], pythons[job["python"]], log)
            with said:
                done(job["name"], code, log, started)

    lanes = [threading.Thread(target=lane) for _ in range(LANES)]
    for thread in lanes:
        thread.start()
    try:
        for thread in lanes:
            thread.join()
    except KeyboardInterrupt:
        with contextlib.suppress(Empty):
            while waiting.get_nowait():
                pass
        shells.end()
        raise

    print(f"──── {time.monotonic() - began:.0f} s in all ────")
    for name, took in seconds.items():
        verdict = "  FAILED" if name in wrong else ""
        print(f"{took:6.0f} s, {busy[name]:5.0f} of processor  {name}{verdict}")
    closing = f"{total['passed']} passed, {total['failed']} failed"
    print(closing + (f", {total['skipped']} skipped" if total["skipped"] else ""))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
