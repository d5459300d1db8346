"""The worker process as the server sees it: started when asked, made anew when it dies or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from dataclasses import dataclass
from logging import Logger
from typing import TYPE_CHECKING

from ..records.messages import AnswerHead

if TYPE_CHECKING:
    from ..records.messages import Question

_TRIES = 2


@dataclass(frozen=True)
class Reply:
    """What the worker said: `state` is that of the tracking server; `at` the server's own clock."""

    status: int
    body: bytes
    etag: str | None = None
    as_of: str | None = None
    state: str = "ready"
    at: float = 0.0


class WorkerDied(Exception):
    """The worker ended before it had answered."""


class WorkerHung(Exception):
    """The worker gave no sign of life, and was ended."""


class WorkerProcess:
    """One worker process. It ends after `idle` seconds without a question, and with the server."""

    def __init__(self, log: Logger, idle: float) -> None:
        self._log = log
        self._idle = idle
        self._running: _Running | None = None
        self._starting = asyncio.Lock()
        self._asked = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        return self._running.process.pid if self._running else None

    @property
    def ready(self) -> bool:
        """Whether it has imported Feast and MLflow; before that it answers nothing."""
        return self._running is not None and self._running.ready

    async def ask(self, question: Question, silence: float) -> Reply:
        """The answer, however long it takes: an import on a busy machine has no time limit.

        Raises `Hung` where the worker gives no sign of life for `silence` seconds, `Died` where it
        dies twice.
        """
        for _attempt in range(_TRIES):
            running = await self._started()
            self._asked = asyncio.get_running_loop().time()
            try:
                return await running.ask(question, silence)
            except WorkerHung:
                self._log.warning("feast_nb: the worker hangs, and is made anew.")
                self._forget(running)
                running.kill()
                raise
            except (WorkerDied, ConnectionError):
                self._forget(running)
        raise WorkerDied

    async def _started(self) -> _Running:
        async with self._starting:
            if self._running is None:
                # -P: what lies in the server's folder must not be taken for a library.
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "feast_nb.server.worker",
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
                self._running = running = _Running(process)
                for work in (self._hear(running), self._note(process), self._rest(running)):
                    task = asyncio.ensure_future(work)
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
            return self._running

    async def _hear(self, running: _Running) -> None:
        await running.hear()
        self._forget(running)

    async def _note(self, process: asyncio.subprocess.Process) -> None:
        """What libraries print there is for whoever debugs the server."""
        assert process.stderr is not None
        while chunk := await process.stderr.read(65_536):
            for line in chunk.decode(errors="replace").splitlines():
                self._log.debug("feast_nb worker: %s", line)

    async def _rest(self, running: _Running) -> None:
        """End it when nobody has asked for long."""
        loop = asyncio.get_running_loop()
        while running.process.returncode is None:
            left = self._asked + self._idle - loop.time()
            if left <= 0 and not running.waiting:
                self._forget(running)
                running.end()
                return
            await asyncio.sleep(max(left, 0.05))

    async def stop(self) -> None:
        """End it, and wait until it has."""
        running, tasks = self._running, list(self._tasks)
        if running is not None:
            self._forget(running)
            running.end()
            await running.process.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, running: _Running) -> None:
        if self._running is running:
            self._running = None


class _Running:
    """One life of the worker: who waits for its answers, and when it last gave a sign of life."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.ready = False
        self.waiting: dict[int, asyncio.Future[Reply]] = {}
        self._numbers = itertools.count(1)
        self._heard = 0.0

    async def ask(self, question: Question, silence: float) -> Reply:
        """Raises `Hung` after so many seconds without a sign of life, `Died` where it ends."""
        if self.process.returncode is not None:
            raise WorkerDied
        number = next(self._numbers)
        loop = asyncio.get_running_loop()
        asked = loop.time()
        reply: asyncio.Future[Reply] = loop.create_future()
        self.waiting[number] = reply
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps({"id": number, **question}).encode() + b"\n")
            await self.process.stdin.drain()
            while not reply.done():
                left = max(asked, self._heard) + silence - loop.time()
                if left <= 0:
                    raise WorkerHung
                await asyncio.wait([reply], timeout=left)
            return reply.result()
        finally:
            self.waiting.pop(number, None)

    async def hear(self) -> None:
        """Hand on what it answers; when it ends, nobody waits any longer."""
        assert self.process.stdout is not None
        loop = asyncio.get_running_loop()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while line := await self.process.stdout.readline():
                self._heard = loop.time()
                said = json.loads(line)
                if "sign" in said:
                    self.ready = self.ready or said["sign"] == "ready"
                    continue
                head = AnswerHead.from_dict(said)
                body = await self.process.stdout.readexactly(head.size)
                self._heard = now = loop.time()
                reply = self.waiting.get(head.id)
                if reply is not None and not reply.done():
                    reply.set_result(
                        Reply(head.status, body, head.etag, head.as_of, head.state, now)
                    )
        await self.process.wait()
        for reply in self.waiting.values():
            if not reply.done():
                reply.set_exception(WorkerDied())

    def end(self) -> None:
        """Let it end: it does so when there is nothing more to be asked."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
