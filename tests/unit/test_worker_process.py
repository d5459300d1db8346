"""When the server gives its worker up: on a clock of the test's own, with a worker of lines."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import Iterator
from typing import Any

import pytest

from feast_nb.server.worker_process import WorkerHung, _Running

ANSWER = json.dumps(
    {"id": 1, "status": 200, "etag": None, "as_of": None, "state": "ready", "size": 2}
)


class Skipping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Time passes by what the loop would have waited, without waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    clock = Skipping()
    loop = asyncio.SelectorEventLoop(clock)
    loop.time = lambda: clock.now  # type: ignore[method-assign]
    yield loop
    loop.close()


class Lines:
    """A worker's process that says a line in every 20 seconds."""

    returncode = None

    def __init__(self, said: list[str]) -> None:
        self.stdin, self.stdout = self, asyncio.StreamReader()
        self._said = said

    def write(self, _: bytes) -> None: ...

    async def drain(self) -> None: ...

    async def talk(self) -> None:
        for line in self._said:
            await asyncio.sleep(20)
            self.stdout.feed_data(line.encode())


async def ask(said: list[str]) -> Any:
    process = Lines(said)
    running = _Running(process)  # type: ignore[arg-type]
    asides = [asyncio.ensure_future(of) for of in (running.hear(), process.talk())]
    try:
        return await running.ask({"ask": "catalog"}, silence=30), running.ready
    finally:
        for task in asides:
            task.cancel()
        await asyncio.gather(*asides, return_exceptions=True)


def test_one_that_computes_is_not_given_up(loop: asyncio.AbstractEventLoop) -> None:
    """A slow machine is no worker that hangs: the answer may take any time."""
    alive = '{"sign": "alive"}\n'
    said = [alive, alive, '{"sign": "ready"}\n', alive, ANSWER + "\n{}"]
    reply, ready = loop.run_until_complete(ask(said))

    assert (reply.body, reply.at, ready) == (b"{}", 100, True)


@pytest.mark.parametrize("said", [[], ['{"sign": "ready"}\n'], ['{"sign": "alive"}\n'] * 3])
def test_one_that_gives_no_sign_of_life_is(
    loop: asyncio.AbstractEventLoop, said: list[str]
) -> None:
    with pytest.raises(WorkerHung):
        loop.run_until_complete(ask(said))

    assert loop.time() == 20 * len(said) + 30
