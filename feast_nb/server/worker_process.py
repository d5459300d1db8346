"""The worker process as the server sees it: started when asked, made anew when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from dataclasses import dataclass
from logging import Logger
from typing import Any

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


class Died(Exception):
    """The worker ended before it had answered."""


class Process:
    """One worker process. It ends after `idle` seconds without a question, and with the server."""

    def __init__(self, log: Logger, idle: float) -> None:
        self._log = log
        self._idle = idle
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._numbers = itertools.count(1)
        self._heard = 0.0
        self._asked = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def ask(self, question: dict[str, Any], limit: float) -> Reply:
        """The answer; raises `TimeoutError` after `limit` seconds, `Died` where it dies twice."""
        for attempt in range(1, _TRIES + 1):
            process = await self._started()
            number = next(self._numbers)
            loop = asyncio.get_running_loop()
            self._asked = begin = loop.time()
            reply = self._waiting[number] = loop.create_future()
            try:
                assert process.stdin is not None
                process.stdin.write(json.dumps({"id": number, **question}).encode() + b"\n")
                await process.stdin.drain()
                return await asyncio.wait_for(reply, limit)
            except (Died, ConnectionError):
                if attempt == _TRIES:
                    raise Died from None
            except TimeoutError:
                if self._heard < begin:  # it has not said a word since: it hangs
                    self._log.warning("feast_nb: the worker hangs, and is made anew.")
                    self._kill(process)
                raise
            finally:
                self._waiting.pop(number, None)
        raise Died

    async def _started(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._process is None:
                # -P: what lies in the server's folder must not be taken for a library.
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "feast_nb.server.worker",
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
                self._process = process
                for work in (self._hear(process), self._note(process), self._rest(process)):
                    task = asyncio.ensure_future(work)
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
            return self._process

    async def _hear(self, process: asyncio.subprocess.Process) -> None:
        """Hand on what it answers; when it ends, nobody waits any longer."""
        assert process.stdout is not None
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while line := await process.stdout.readline():
                head = json.loads(line)
                body = await process.stdout.readexactly(head["size"])
                self._heard = now = asyncio.get_running_loop().time()
                reply = self._waiting.get(head["id"])
                if reply is not None and not reply.done():
                    reply.set_result(
                        Reply(head["status"], body, head["etag"], head["as_of"], head["state"], now)
                    )
        await process.wait()
        if self._process is process:
            self._process = None
            for reply in self._waiting.values():
                if not reply.done():
                    reply.set_exception(Died())

    async def _note(self, process: asyncio.subprocess.Process) -> None:
        """What libraries print there is for whoever debugs the server."""
        assert process.stderr is not None
        while chunk := await process.stderr.read(65_536):
            for line in chunk.decode(errors="replace").splitlines():
                self._log.debug("feast_nb worker: %s", line)

    async def _rest(self, process: asyncio.subprocess.Process) -> None:
        """End it when nobody has asked for long."""
        loop = asyncio.get_running_loop()
        while process.returncode is None:
            left = self._asked + self._idle - loop.time()
            if left <= 0 and not self._waiting:
                self.end(process)
                return
            await asyncio.sleep(max(left, 0.05))

    def end(self, process: asyncio.subprocess.Process | None = None) -> None:
        """Let it end: it does so when there is nothing more to be asked."""
        process = process or self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
            if self._process is process:
                self._process = None

    async def stop(self) -> None:
        """End it, and wait until it has."""
        process, tasks = self._process, list(self._tasks)
        if process is not None:
            self.end(process)
            await process.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _kill(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if self._process is process:
            self._process = None
