"""Answers as they are kept: one question at a time however many ask it, the last answer on disk."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..paths import cache_folder, private_folder
from . import route_names
from .worker_process import Reply

if TYPE_CHECKING:
    from ..records.messages import Question

    Ask = Callable[[Question, float], Awaitable[Reply]]

FRESH = 2.0  # seconds within which an answer is not asked for again
_KEPT = 64_000_000  # bytes of answers kept in memory: as many as the largest one may have
_LIVE = (route_names.HEALTH,)  # how far a look has come, a moment later is another answer
_ON_DISK = (route_names.CATALOG, route_names.OPERATIONS, route_names.RUNS)


@dataclass(frozen=True)
class CachedAnswer:
    """A reply, or None where there is none yet; and the state that is told with it.

    `starting`: the worker imports its libraries; `reading`: it works on the answer; `refreshing`:
    the reply is an older one, and a newer one is on its way.
    """

    reply: Reply | None
    state: str


class CachedAnswers:
    """The last answer to each question."""

    def __init__(self, ask: Ask, ready: Callable[[], bool], limit: float) -> None:
        self._ask = ask
        self._ready = ready
        self._limit = limit
        self._kept: OrderedDict[str, Reply] = OrderedDict()
        self._size = 0
        self._under_way: dict[str, asyncio.Task[Reply]] = {}

    async def get(self, question: Question, wait: float | None) -> CachedAnswer:
        """The answer to a question, as new as `wait` seconds allow; None: as long as it takes.

        An older one is given rather than none. Where there is none, a worker that is still
        starting is waited for `wait` seconds (None: not at all), one that reads for the limit.
        Raises what `ask` raises.
        """
        key = json.dumps(question, sort_keys=True)
        loop = asyncio.get_running_loop()
        kept = self._kept.get(key)
        fresh = 0.0 if question["ask"] in _LIVE else FRESH
        if kept is not None and 0 < loop.time() - kept.at < fresh:
            return CachedAnswer(kept, kept.state)
        if kept is not None:
            self._kept.move_to_end(key)
        starting = not self._ready()
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.ensure_future(self._asked(key, question))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        if kept is None and wait is not None:
            kept = await loop.run_in_executor(None, _read, _place(key), question)
        done, _ = await asyncio.wait([task], timeout=self._patience(kept, wait, starting))
        if done:
            self._drop(key, task)
            reply = task.result()
            return CachedAnswer(reply, reply.state)
        if kept is not None:
            return CachedAnswer(kept, "refreshing")
        return CachedAnswer(None, "reading" if self._ready() else "starting")

    def _patience(self, kept: Reply | None, wait: float | None, starting: bool) -> float:
        if kept is not None:
            return self._limit if wait is None else wait
        return min(wait or 0.0, self._limit) if starting else self._limit

    def _ended(self, key: str, task: asyncio.Task[Reply]) -> None:
        """What was read is kept; a refusal waits a while for whoever was told to ask again."""
        told = task.cancelled() or (task.exception() is None and task.result().status == 200)
        if told:
            self._drop(key, task)
        else:
            asyncio.get_running_loop().call_later(self._limit, self._drop, key, task)

    def _drop(self, key: str, task: asyncio.Task[Reply]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]

    async def _asked(self, key: str, question: Question) -> Reply:
        reply = await self._ask(question, self._limit)
        if reply.status == 200:
            self._keep(key, reply)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, _write, _place(key), question, reply)
        else:
            self._leave(key)
        return reply

    @property
    def size(self) -> int:
        """Bytes of what is kept in memory."""
        return self._size

    def _keep(self, key: str, reply: Reply) -> None:
        """The oldest go where there is no room for all."""
        self._leave(key)
        self._kept[key] = reply
        self._size += len(key) + len(reply.body)
        while self._size > _KEPT:
            self._leave(next(iter(self._kept)))

    def _leave(self, key: str) -> None:
        reply = self._kept.pop(key, None)
        if reply is not None:
            self._size -= len(key) + len(reply.body)


def _place(key: str) -> Path:
    name = hashlib.blake2b(key.encode(), digest_size=12).hexdigest()
    return cache_folder() / "panel" / f"{name}.json"


def _lasts(question: Question) -> bool:
    """Whether it is what a panel shows first."""
    part = question.get("object") or question.get("page_token")
    return question["ask"] in _ON_DISK and not part


def _write(path: Path, question: Question, reply: Reply) -> None:
    """Keep an answer for the next start; without a disk to keep it on there is none."""
    if not _lasts(question):
        return
    with contextlib.suppress(OSError):
        private_folder(path.parent)
        head = {k: v for k, v in asdict(reply).items() if k not in ("body", "at")}
        part = path.with_suffix(f".{os.getpid()}")
        part.touch(0o600)
        part.write_bytes(json.dumps(head).encode() + b"\n" + reply.body)
        part.replace(path)


def _read(path: Path, question: Question) -> Reply | None:
    if not _lasts(question):
        return None
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        return Reply(**json.loads(head), body=body)
    except (OSError, ValueError, TypeError):  # none, or of another version
        return None
