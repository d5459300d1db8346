"""Sends the runs of an outbox: a thread for each server; one that is away holds up no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from ...patching import threads
from .run_queue import Batch, RunQueue

Deliver = Callable[[Batch], bool]

_RETRY = (1.0, 5.0, 15.0, 60.0)
# Times as long as sending kept the processor, which the cell needs too: a tenth of the time stays a
# tenth as a run grows. What a slow server takes is no reason to wait.
_REST = 9.0
_LONGEST_REST = 5.0


class Sender:
    """Takes what is due from the queues; `changed` is their lock, and is told of all that changes.

    `deliver` writes a batch and says whether MLflow has the whole run for good, `sent` is told so
    with the lock held, `troubled` of what failed. `connect` is asked once for each server, in a
    thread of the user's, to load what delivering needs, and says whether it could.
    """

    def __init__(
        self,
        queues: Mapping[str, RunQueue],
        changed: threading.Condition,
        deliver: Deliver,
        sent: Callable[[RunQueue, Batch, bool], None],
        troubled: Callable[[RunQueue], None],
        connect: Callable[[str], bool] | None,
    ) -> None:
        self._queues = queues
        self._changed = changed
        self._deliver = deliver
        self._sent = sent
        self._troubled = troubled
        self._connect = connect
        self._threads: dict[str, threading.Thread] = {}
        self._connected: set[str] = set()
        self._closing = False

    def connect(self, *uris: str) -> None:
        """In a thread of the user's: load what delivering needs (to `uris`, too), and begin."""
        if threads.is_ours():
            return
        threads.load_wanted()
        with self._changed:
            wanted = {q.tracking_uri for q in self._queues.values()} | set(uris)
        for uri in wanted - self._connected:
            try:
                there = self._connect is None or self._connect(uri)
            except Exception as problem:  # whatever a store raises: said, and tried again
                self._refused(uri, problem)
                continue
            if there:
                with self._changed:
                    self._connected.add(uri)
                    self.start(uri)

    def is_stuck(self, queue: RunQueue) -> bool:
        """Whether waiting is of no use: it failed, or nothing can be sent to its server yet."""
        waits = self._connect is not None and queue.tracking_uri not in self._connected
        return queue.trouble is not None or (waits and not queue.settled)

    def start(self, uri: str) -> None:
        """Have a server's thread at work, where it can be; the lock is held."""
        if self._connect is not None and uri not in self._connected:
            return
        if uri not in self._threads or not self._threads[uri].is_alive():
            self._closing = False
            self._threads[uri] = threads.start(lambda: self._work(uri), "outbox")

    def stop(self) -> None:
        """Let the threads end; the lock is held."""
        self._closing = True
        self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait for each thread, at most `seconds`."""
        for thread in list(self._threads.values()):
            thread.join(seconds)

    def _work(self, uri: str) -> None:
        while (batch := self._next(uri)) is not None:
            queue = self._queues[batch.run_id]
            began = time.thread_time()
            try:
                whole = threads.do(
                    lambda batch=batch: self._deliver(batch),  # type: ignore[misc]
                    self._wake,
                    lambda: self._closing,
                )
            except threads.Stopped:
                queue.busy = False
                return
            except Exception as problem:  # the thread's door: said by `troubled`, tried again
                self._failed(queue, problem)
            else:
                with self._changed:
                    queue.busy = False
                    rest = min(_REST * (time.thread_time() - began), _LONGEST_REST)
                    queue.rests_until = time.monotonic() + rest
                    self._sent(queue, batch, whole)
                    self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _next(self, uri: str) -> Batch | None:
        """Wait for a run of a server that is due; None when the outbox closes."""
        with self._changed:
            while not self._closing:
                mine = (q for q in self._queues.values() if q.due and q.tracking_uri == uri)
                waiting = sorted(mine, key=lambda q: q.due)
                now = time.monotonic()
                if waiting and waiting[0].due <= now:
                    waiting[0].due = 0.0
                    waiting[0].busy = True
                    waiting[0].sending = (waiting[0].last, waiting[0].final)
                    return waiting[0].batch()
                self._changed.wait(waiting[0].due - now if waiting else None)
            return None

    def _refused(self, uri: str, problem: Exception) -> None:
        for queue in [q for q in self._queues.values() if q.due and q.tracking_uri == uri]:
            self._failed(queue, problem)

    def _failed(self, queue: RunQueue, problem: BaseException) -> None:
        with self._changed:
            queue.busy = False
            queue.due = time.monotonic() + _RETRY[min(queue.failures, len(_RETRY) - 1)]
            queue.failures += 1
            queue.trouble = problem
            self._changed.notify_all()
        self._troubled(queue)
