"""Records on their way to MLflow, on disk until MLflow has them.

One file for each process, one JSON line for each entry, handed to the operating system before
`put` returns, so that a killed kernel loses nothing. Threads of ours deliver, one for each
server. The file is locked while its process lives: one that can be locked was left by a dead
process, and the next session delivers what is in it.

What MLflow has for good is forgotten, and the file is written anew without it when it has grown:
its size follows what is still to be delivered.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ...patching import forks
from .outbox_file import OutboxFile, left_behind, open_elsewhere
from .run_queue import Batch, LeftBehind, RunQueue
from .sender import Deliver, Sender

if TYPE_CHECKING:
    from ...records.outbox import OutboxEntry, RetrievalEntry

_SETTLE = 0.2  # seconds in which further entries for a run join the same request
_POLL = 0.5  # seconds between two looks whether a thread of ours lacks a module

_outboxes: weakref.WeakSet[Outbox] = weakref.WeakSet()


class Outbox:
    """Takes entries at once, delivers them later, loses none.

    `deliver` writes a batch to MLflow and says whether MLflow has all of the run's entries for
    good. `connect` is asked once for each server, in a thread of the user's, to load what
    delivering needs, and says whether it could; `say` tells the user. `workspace` says in which
    of its server's workspaces a new run is.
    """

    def __init__(
        self,
        folder: Path,
        deliver: Deliver,
        troubled: Callable[[RunQueue], None],
        connect: Callable[[str], bool] | None = None,
        say: Callable[[str], None] = lambda message: None,
        workspace: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.folder = folder
        self._deliver = deliver
        self._troubled = troubled
        self._connect = connect
        self._say = say
        self._workspace = workspace
        self._begin()
        _outboxes.add(self)

    def _begin(self) -> None:
        self._queues: dict[str, RunQueue] = {}
        self._changed = threading.Condition()
        self._file = OutboxFile(self.folder)
        self._sender = Sender(
            self._queues, self._changed, self._deliver, self._sent, self._troubled, self._connect
        )

    @property
    def path(self) -> Path:
        """The file of this process; it may not be there yet."""
        return self._file.path

    # ------------------------------------------------------------------ in

    def put(self, run_id: str, tracking_uri: str, entry: OutboxEntry, soon: bool = True) -> None:
        """Keep an entry for a run: on disk when this returns, in MLflow soon.

        A disk that refuses it is told of, once; it waits in memory then. One that is not for
        `soon` goes with the next that is, with `hurry` or with `flush`.
        """
        self._tell(self._kept(run_id, tracking_uri, entry, soon))

    def _kept(
        self, run_id: str, tracking_uri: str, entry: OutboxEntry, soon: bool = True
    ) -> str | None:
        """Keep an entry; why the disk refuses it, where it does."""
        with self._changed:
            queue = self._queue(run_id, tracking_uri)
            trouble = self._written(queue, entry)
            queue.add(entry)
            self._file.compact(self._queues.values())
            if trouble:  # only MLflow can keep it
                queue.rests_until = 0.0
            if soon or trouble:
                self._hurry(queue)
        return trouble

    def _tell(self, trouble: str | None) -> None:
        if trouble:
            self._say(
                f"records cannot be kept on disk ({trouble}): they go straight to MLflow, and what "
                "it does not have yet is lost when this process ends."
            )

    def put_again(self, run_id: str, tracking_uri: str, entry: RetrievalEntry) -> None:
        """Keep a retrieval that was counted up: by its count alone, where the rest is here."""
        from ...records.outbox import RepeatEntry

        made = entry.retrieval
        with self._changed:
            counts = self._queue(run_id, tracking_uri).holds(entry.key)
            small = RepeatEntry(made.id, made.count, made.last)
            trouble = self._kept(run_id, tracking_uri, small if counts else entry)
        self._tell(trouble)

    def _queue(self, run_id: str, tracking_uri: str) -> RunQueue:
        if run_id not in self._queues:
            workspace = self._workspace()
            self._queues[run_id] = RunQueue(run_id, tracking_uri, self._file.writer, workspace)
        return self._queues[run_id]

    def _written(self, queue: RunQueue, entry: OutboxEntry | None = None) -> str | None:
        """Write down what is kept of a run, and a new entry; why not, where the disk refuses.

        It is tried again, all of it, with the next entry.
        """
        try:
            self._file.begin(queue)
            if entry is not None:
                self._file.write_entry(queue, queue.last + 1, entry)
        except OSError as problem:
            queue.on_disk = False
            return problem.strerror or type(problem).__name__
        return None

    def hurry(self, run_id: str) -> None:
        """Send what is kept for a run soon."""
        with self._changed:
            queue = self._queues.get(run_id)
            if queue is not None and queue.is_behind:
                self._hurry(queue)

    def _hurry(self, queue: RunQueue) -> None:
        queue.due = queue.due or max(time.monotonic() + _SETTLE, queue.rests_until)
        self._sender.start(queue.tracking_uri)
        self._changed.notify_all()

    def hold(self, run_id: str) -> None:
        """Keep a run on disk until `release`: MLflow has yet to end it, and we may die before."""
        with self._changed:
            if run_id in self._queues:
                self._queues[run_id].held = True

    def release(self, run_id: str) -> None:
        """MLflow has ended a run, or was asked to: nothing more is kept for it than is unsent."""
        with self._changed:
            queue = self._queues.get(run_id)
            if queue is not None and queue.held:
                queue.release()
                self._mark(queue)

    # ------------------------------------------------------------------ waiting

    def connect(self, *uris: str) -> None:
        """In a thread of the user's: load what delivering needs (to `uris`, too), and begin."""
        self._sender.connect(*uris)

    def flush(self, run_id: str | None = None, seconds: float = 10.0, final: bool = False) -> bool:
        """Wait until MLflow has everything (of one run), at most `seconds`; whether it has."""
        deadline = time.monotonic() + seconds
        with self._changed:
            queues = [q for q in self._queues.values() if run_id in (None, q.run_id)]
            queues = [q for q in queues if not q.settled or (final and not q.finished)]
            under_way = {q.run_id for q in queues if q.busy}
            for queue in queues:
                queue.send_now(final)
        while True:
            self.connect()
            with self._changed:
                for uri in {q.tracking_uri for q in queues}:
                    self._sender.start(uri)
                self._changed.notify_all()
                if all(q.settled for q in queues):
                    return True
                for queue in queues:  # one that began before does not tell how it is now
                    if queue.trouble and queue.run_id in under_way:
                        under_way.remove(queue.run_id)
                        queue.due, queue.trouble = time.monotonic(), None
                        self._changed.notify_all()
                left = deadline - time.monotonic()
                if left <= 0 or any(self._sender.is_stuck(q) for q in queues):
                    return False
                self._changed.wait(min(left, _POLL))

    def pending(self, run_id: str | None = None) -> int:
        """How many entries MLflow does not have yet."""
        with self._changed:
            return sum(q.pending for q in self._queues.values() if run_id in (None, q.run_id))

    def close(self, seconds: float = 5.0) -> bool:
        """Deliver what can be delivered in time and stop; the rest stays on disk for the next."""
        done = self.flush(seconds=seconds, final=True)
        with self._changed:
            self._sender.stop()
        self._sender.join(1.0 if done else 0.1)
        with self._changed:
            if done and all(q.finished or not q.entries for q in self._queues.values()):
                self._file.remove(self._queues.values())
            else:  # MLflow lacks something of a run, be it what waits for the next document
                self._file.close()
        return done

    # ------------------------------------------------------------------ those who died

    def recover(self) -> Iterator[LeftBehind]:
        """Take over the files of dead processes: what is in them is delivered from here on.

        Their entries are copied to this outbox's own file before theirs is removed; a death in
        between delivers some twice, and none never. What cannot be read is set aside, with a
        word. Yields each run, so that the caller can see which were left open.
        """
        for found in left_behind(self.folder, but=self.path):
            # What is in it, before any of it is delivered and forgotten.
            left = [LeftBehind(q.run_id, q.tracking_uri, tuple(q.kept())) for q in found.queues]
            with self._changed:
                troubles = [self._take_over(queue) for queue in found.queues]
            if any(troubles):  # it stays on disk, and ours by its lock
                self._file.kept.append(found)
                self._say(
                    f"records of an earlier session cannot be taken over on disk "
                    f"({next(filter(None, troubles))}); they stay in {found.path.name}."
                )
            else:
                found.remove()
            if found.rejected:
                self._say(
                    f"{len(found.rejected)} records of an earlier session cannot be read "
                    f"({found.rejected[0]}); they are set aside in {self.folder / 'rejected'}."
                )
            yield from left

    def held_by_others(self) -> set[str]:
        """The runs that other living processes on this machine have open."""
        return open_elsewhere(self.folder, but=self.path)

    def _take_over(self, dead: RunQueue) -> str | None:
        """Make a dead process's entries ours; a run that goes on here gets all of them anew.

        Why they could not be written down here, where that is so.
        """
        if dead.finished and not dead.pending:
            return None
        mine = self._queues.setdefault(dead.run_id, dead)
        if mine is not dead:
            mine.take_over(dead)
        trouble = self._written(mine)
        mine.due = time.monotonic()
        self._sender.start(mine.tracking_uri)
        self._changed.notify_all()
        return trouble

    @property
    def keeps_all(self) -> bool:
        """Whether all that dead processes left is written down in this process's own file."""
        return not self._file.kept

    def set_aside(self, run_id: str, entry: OutboxEntry, reason: str) -> None:
        """Keep an entry that cannot be delivered apart from the others, which go."""
        with self._changed:
            queue = self._queues[run_id]
            if queue.drop(entry):
                self._file.reject(queue, entry)
        what = "what was done cannot be logged"
        if not queue.is_operation:
            what = f"a record of run {run_id[:8]} cannot be delivered"
        self._say(f"{what} ({reason}); it is set aside in {self.folder / 'rejected'}.")

    # ------------------------------------------------------------------ what was sent

    def _sent(self, queue: RunQueue, batch: Batch, whole: bool) -> None:
        queue.deliver(batch, whole)
        self._mark(queue)
        if queue.is_operation and queue.finished:
            self._queues.pop(queue.run_id, None)

    def _mark(self, queue: RunQueue) -> None:
        """Write down how far MLflow has come; what it has for good is not kept on disk."""
        with suppress(OSError):  # a full disk: without the mark it goes once more
            self._file.write_mark(queue)
        if all(q.finished for q in self._queues.values()):
            self._file.remove(self._queues.values())
        else:
            self._file.compact(self._queues.values())


def _after_fork() -> None:
    """A forked child has entries of its own only, and no part in its parent's lock."""
    for outbox in list(_outboxes):
        outbox._file.let_go()
        outbox._begin()


forks.in_child(_after_fork)
