"""A server that is down, hangs, or was restarted: one line that names it, and soon; then it works.

Three of a notebook's doors that need what is at fault are asked, in a process of the stack's own.
The user's own calls of Feast are left alone, and are none of them.
"""

from __future__ import annotations

import json
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import notebook_of
from .stacks import Stack

# Seconds that a client's limit, a look before and a busy machine take together. At rest it is 5 s
# for a store, and 6 s for MLflow, whose server is looked at once more.
SOON = 20.0
FOR_EVER = 300.0

_MLFLOW = r"TrackingError: the MLflow server at 127\.0\.0\.1:\d+ "
FAULTS: list[tuple[str, str, str, dict[str, str]]] = [
    ("direct", "Redis", "hangs", {"vector": r"StoreError: Redis at \S+ did not answer within 4.5 s"}),
    ("direct", "Redis", "down", {"vector": r"StoreError: Redis at \S+ cannot be reached"}),
    ("direct", "Postgres", "hangs", {
        "plan": r"StoreError: the registry's database at \S+ did not answer within 4.5 s",
        "open_anew": r"RepositoryError: .* the registry's database at \S+ did not answer within",
        "resolve": _MLFLOW + "runs, and did not answer in time",
        "vector": "",
    }),
    ("direct", "Postgres", "down", {
        "plan": r"StoreError: the registry's database at \S+ cannot be used",
        "open_anew": r"RepositoryError: .* the registry's database at \S+ cannot be used",
        "resolve": _MLFLOW + r"answers 50\d",
        "vector": "",
    }),
    ("direct", "ObjectStore", "down", {"resolve": _MLFLOW + "runs, and did not|" + _MLFLOW + "answ"}),
    ("direct", "Mlflow", "hangs", {"resolve": _MLFLOW + r"cannot be reached \(no answer\)",
                                   "vector": ""}),
    ("direct", "Mlflow", "down", {"resolve": _MLFLOW + r"cannot be reached \(connection refused\)",
                                  "vector": ""}),
    ("remote", "RegistryServer", "hangs", {
        "plan": r"StoreError: the registry server at \S+ did not answer within 4.5 s",
        "open_anew": r"RepositoryError: .* the registry server at \S+ did not answer within 4.5 s",
    }),
    ("remote", "RegistryServer", "down", {
        "plan": r"StoreError: the registry server at \S+ cannot be reached",
        "open_anew": r"RepositoryError: .* the registry server at \S+ cannot be reached",
    }),
    ("remote", "FeatureServer", "hangs", {
        "vector": r"StoreError: the feature server at \S+ did not answer within 4.5 s"}),
    ("remote", "FeatureServer", "down", {
        "vector": r"StoreError: the feature server at \S+ cannot be reached"}),
    ("remote", "OfflineServer", "hangs", {
        "rebuild": r"StoreError: the offline server at \S+ did not answer within 4.5 s", "vector": ""}),
    ("remote", "OfflineServer", "down", {
        "rebuild": r"StoreError: the offline server at \S+ cannot be reached", "vector": ""}),
    ("remote", "ObjectStore", "hangs", {
        "rebuild": _MLFLOW + "runs, and did not answer in time", "vector": ""}),  # it is asked first
    ("remote", "Redis", "down", {
        "vector": r"StoreError: the feature server at \S+ (answered|did not answer within 4.5 s)"}),
    ("remote", "Postgres", "down", {
        "plan": r"StoreError: the registry server at \S+ answers with an error"}),
]  # fmt: skip


class NotebookProcess:
    """A notebook of a stack that is asked by its doors' names."""

    def __init__(self, stack: Stack) -> None:
        log = (stack.repo.parent / f"{stack.name}-doors.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.stack.doors", str(stack.repo), f"{stack.name}_model"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            **notebook_of(stack),
        )  # fmt: skip

    def ask(self, door: str, interrupted_after: float | None = None) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{door}\n")
        self.process.stdin.flush()
        if interrupted_after is not None:
            time.sleep(interrupted_after)
            self.process.send_signal(signal.SIGINT)
        assert select.select([self.process.stdout], [], [], FOR_EVER)[0], f"{door} does not end"
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> None:
        self.process.kill()
        self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def notebooks(three: dict[str, Stack], told: Any) -> Iterator[dict[str, NotebookProcess]]:
    """A notebook of each stack, after its story."""
    running = {name: NotebookProcess(three[name]) for name in ("direct", "remote")}
    yield running
    for each in running.values():
        each.end()


@pytest.mark.parametrize(
    ("name", "server", "how", "doors"), FAULTS, ids=[f"{f[0]}-{f[1]}-{f[2]}" for f in FAULTS]
)
def test_it_is_one_line_that_names_who_is_at_fault(
    three: dict[str, Stack], notebooks: Any, name: str, server: str, how: str, doors: dict[str, str]
) -> None:
    notebook, at_fault = notebooks[name], three[name].server(server)
    before = {door: healthy(notebook, door) for door in doors}
    stop(at_fault, how)
    try:
        for door, words in doors.items():
            found = notebook.ask(door)
            if not words:  # it does without
                assert found.get("value") == before[door], found
                continue
            assert not found["ok"], found
            said = f"{found['kind']}: {found['said']}"
            assert re.match(words, said), said
            assert "\n" not in said
            assert found["seconds"] < SOON, found
    finally:
        if how == "hangs":
            at_fault.signal(signal.SIGCONT)
        else:
            at_fault.start()
    refill(three)
    for door, known in before.items():
        assert healthy(notebook, door) == known


# The look at an offline server is one call of Arrow's, which no interrupt ends: it takes its limit.
WAITS = [(name, server, door) for name, server, how, doors in FAULTS if how == "hangs"
         for door, words in doors.items() if words and server != "OfflineServer"]  # fmt: skip


@pytest.mark.parametrize(("name", "server", "door"), WAITS, ids=["-".join(w) for w in WAITS])
def test_an_interrupt_ends_the_wait_at_once(
    three: dict[str, Stack], notebooks: Any, name: str, server: str, door: str
) -> None:
    """No driver waits once more for what nobody waits for: at rest it takes a tenth of a second."""
    notebook, at_fault = notebooks[name], three[name].server(server)
    known = healthy(notebook, door)
    at_fault.signal(signal.SIGSTOP)
    try:
        found = notebook.ask(door, interrupted_after=1.5)
    finally:
        at_fault.signal(signal.SIGCONT)
    assert found["kind"] == "KeyboardInterrupt", found
    assert found["seconds"] < 3.0, found
    assert healthy(notebook, door) == known


def stop(server: Any, how: str) -> None:
    if how == "hangs":
        server.signal(signal.SIGSTOP)
    elif hasattr(server, "stop"):
        server.stop()
    else:
        server.end()


def healthy(notebook: NotebookProcess, door: str) -> Any:
    """What a door gives, as soon as it does: a server behind a server takes a while to notice."""
    deadline = time.monotonic() + 120
    while not (found := notebook.ask(door))["ok"]:
        assert time.monotonic() < deadline, found
        time.sleep(1.0)
    return found["value"]


def refill(three: dict[str, Stack]) -> None:
    """Redis keeps nothing over a restart: each stack is materialized anew where it was emptied."""
    import redis

    if redis.Redis(port=three["direct"].server("Redis").port).dbsize():
        return
    load = "import feast_nb, sys; done = feast_nb.open(sys.argv[1]).materialize("
    load += "start='2024-01-01', end='2024-01-12'); print(done); assert done.state == 'loaded'"
    for name in ("direct", "remote"):
        command = [sys.executable, "-c", load, str(three[name].repo)]
        done = subprocess.run(command, capture_output=True, text=True, **notebook_of(three[name]))
        assert done.returncode == 0, done.stdout + done.stderr
