"""Records on their way to MLflow, on disk until MLflow has them.

One file for each process, one JSON line for each entry, handed to the operating system before
`put` returns, so that a killed kernel loses nothing. A thread delivers in the background. The
file is locked while its process lives: one that can be locked was left by a dead process, and
the next session delivers what is in it.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
Deliver = Callable[["Parcel"], None]

_SETTLE = 0.2  # seconds in which further entries for a run join the same request
_RETRY = (1.0, 5.0, 15.0, 60.0)


@dataclass
class Parcel:
    """All entries of one run, in order; those from `delivered` on are not in MLflow yet."""

    run_id: str
    tracking_uri: str
    entries: list[Entry] = field(default_factory=list)
    delivered: int = 0
    final: bool = False
    adopted: bool = False
    finished: bool = False
    on_disk: bool = False
    due: float = 0.0
    failures: int = 0
    trouble: BaseException | None = None

    @property
    def pending(self) -> int:
        return len(self.entries) - self.delivered


class Outbox:
    """Takes entries at once, delivers them later, loses none."""

    def __init__(self, folder: Path, deliver: Deliver, troubled: Callable[[Parcel], None]) -> None:
        self.folder = folder
        self._deliver = deliver
        self._troubled = troubled
        self._parcels: dict[str, Parcel] = {}
        self._changed = threading.Condition()
        self._busy: set[str] = set()
        self._threads: dict[str, threading.Thread] = {}
        self._closing = False
        self._file: int | None = None
        self.path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"

    def put(self, run_id: str, tracking_uri: str, entry: Entry, soon: bool = True) -> None:
        """Keep an entry for a run: on disk when this returns, in MLflow soon.

        One that is not for `soon` goes with the next that is, with `hurry` or with `flush`.
        """
        line = {"run": run_id, "uri": tracking_uri, "entry": entry}
        with self._changed:
            parcel = self._parcels.setdefault(run_id, Parcel(run_id, tracking_uri))
            self._put_on_disk(parcel)
            self._write(line)
            parcel.entries.append(entry)
            parcel.final = parcel.finished = False
            if soon:
                self._hurry(parcel)

    def hurry(self, run_id: str) -> None:
        """Send what is kept for a run soon."""
        with self._changed:
            parcel = self._parcels.get(run_id)
            if parcel is not None and parcel.pending:
                self._hurry(parcel)

    def _hurry(self, parcel: Parcel) -> None:
        parcel.due = parcel.due or time.monotonic() + _SETTLE
        self._start(parcel)
        self._changed.notify_all()

    def flush(self, run_id: str | None = None, seconds: float = 10.0, final: bool = False) -> bool:
        """Wait until MLflow has everything (of one run), at most `seconds`; whether it has."""
        deadline = time.monotonic() + seconds
        with self._changed:
            parcels = [p for p in self._parcels.values() if run_id in (None, p.run_id)]
            parcels = [p for p in parcels if p.pending or p.due or (final and not p.finished)]
            under_way = {p.run_id for p in parcels if p.run_id in self._busy}
            for parcel in parcels:
                parcel.due = time.monotonic()
                parcel.final = parcel.final or final
                parcel.failures = 0
                parcel.trouble = None
                self._start(parcel)
            self._changed.notify_all()
            while not all(self._settled(p) for p in parcels):
                left = deadline - time.monotonic()
                for parcel in parcels:  # one that began before does not tell how it is now
                    if parcel.trouble and parcel.run_id in under_way:
                        under_way.remove(parcel.run_id)
                        parcel.due, parcel.trouble = time.monotonic(), None
                        self._changed.notify_all()
                if left <= 0 or any(p.trouble for p in parcels):
                    return False
                self._changed.wait(left)
            return True

    def pending(self, run_id: str | None = None) -> int:
        """How many entries MLflow does not have yet."""
        with self._changed:
            return sum(p.pending for p in self._parcels.values() if run_id in (None, p.run_id))

    def close(self, seconds: float = 5.0) -> bool:
        """Deliver what can be delivered in time and stop; the rest stays on disk for the next."""
        done = self.flush(seconds=seconds, final=True)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in list(self._threads.values()):
            thread.join(1.0 if done else 0.1)
        with self._changed:
            if not self.pending():
                self._remove_file()
            elif self._file is not None:
                os.close(self._file)
                self._file = None
        return done

    def adopt(self) -> Iterator[Entry]:
        """Take over the files of dead processes: what is in them is delivered from here on.

        Their entries are copied to this outbox's own file before theirs is removed; a death in
        between delivers some twice, and none never. Yields every entry, with `run` and `uri`, so
        that the caller can see which runs were left open.
        """
        for path in sorted(self.folder.glob("*.jsonl")):
            handle = _lock(path) if path != self.path else None
            if handle is None:
                continue
            if os.fstat(handle).st_nlink == 0:  # another kernel adopted it as we opened it
                os.close(handle)
                continue
            parcels = _parcels(handle)
            with self._changed:
                for parcel in parcels:
                    self._take_over(parcel)
            path.unlink(missing_ok=True)
            os.close(handle)
            for parcel in parcels:
                for entry in parcel.entries:
                    yield {**entry, "run": parcel.run_id, "uri": parcel.tracking_uri}

    def _take_over(self, dead: Parcel) -> None:
        """Make a dead process's entries ours; a run that goes on here gets all of them anew."""
        if dead.finished and not dead.pending:
            return
        mine = self._parcels.setdefault(dead.run_id, dead)
        if mine is not dead:  # what is older comes first; what MLflow has already it takes again
            mine.entries = [*dead.entries, *mine.entries]
            mine.delivered, mine.on_disk = 0, False
            mine.adopted, mine.finished = True, False
        self._put_on_disk(mine)
        mine.due = time.monotonic()
        self._start(mine)
        self._changed.notify_all()

    def _put_on_disk(self, parcel: Parcel) -> None:
        """Begin a run in the file with all that came before: a mark counts from its first entry."""
        if parcel.on_disk:
            return
        parcel.on_disk = True
        for entry in parcel.entries:
            self._write({"run": parcel.run_id, "uri": parcel.tracking_uri, "entry": entry})
        if parcel.delivered:
            self._write_delivered(parcel)

    def _remove_file(self) -> None:
        """MLflow has everything of runs that have ended: nothing is left for a next session."""
        for parcel in self._parcels.values():
            parcel.on_disk = False
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def _settled(self, parcel: Parcel) -> bool:
        return not parcel.pending and not parcel.due and parcel.run_id not in self._busy

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        data = (json.dumps(line) + "\n").encode()
        while data:  # near a full disk the system may take less than it is given
            data = data[os.write(self._file, data) :]

    def _start(self, parcel: Parcel) -> None:
        """Each server has a thread of its own: one that does not answer holds up no other."""
        uri = parcel.tracking_uri
        if uri not in self._threads or not self._threads[uri].is_alive():
            self._closing = False
            thread = threading.Thread(
                target=self._work, args=(uri,), name="feast_nb outbox", daemon=True
            )
            self._threads[uri] = thread
            thread.start()

    def _work(self, uri: str) -> None:
        while (parcel := self._next(uri)) is not None:
            upto, final = len(parcel.entries), parcel.final
            try:
                self._deliver(parcel)
            except Exception as problem:  # the thread's door: said by `troubled`, tried again
                self._failed(parcel, problem)
            else:
                self._done(parcel, upto, final)

    def _next(self, uri: str) -> Parcel | None:
        """Wait for a run of a server that is due; None when the outbox closes."""
        with self._changed:
            while not self._closing:
                mine = (p for p in self._parcels.values() if p.due and p.tracking_uri == uri)
                waiting = sorted(mine, key=lambda p: p.due)
                now = time.monotonic()
                if waiting and waiting[0].due <= now:
                    waiting[0].due = 0.0
                    self._busy.add(waiting[0].run_id)
                    return waiting[0]
                self._changed.wait(waiting[0].due - now if waiting else None)
            return None

    def _done(self, parcel: Parcel, upto: int, final: bool) -> None:
        with self._changed:
            self._busy.discard(parcel.run_id)
            parcel.delivered, parcel.failures, parcel.trouble = upto, 0, None
            parcel.finished = final and upto == len(parcel.entries)
            self._write_delivered(parcel)
            if all(p.finished for p in self._parcels.values()):
                self._remove_file()
            self._changed.notify_all()

    def _write_delivered(self, parcel: Parcel) -> None:
        done = {"run": parcel.run_id, "uri": parcel.tracking_uri, "delivered": parcel.delivered}
        self._write({**done, "finished": parcel.finished})

    def _failed(self, parcel: Parcel, problem: BaseException) -> None:
        with self._changed:
            self._busy.discard(parcel.run_id)
            parcel.due = time.monotonic() + _RETRY[min(parcel.failures, len(_RETRY) - 1)]
            parcel.failures += 1
            parcel.trouble = problem
            self._changed.notify_all()
        self._troubled(parcel)


def _lock(path: Path) -> int | None:
    """An open handle that holds the file's lock, or None while its process lives."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _parcels(handle: int) -> list[Parcel]:
    """The runs in a dead process's file; what is no entry, a line cut short say, is passed over."""
    parcels: dict[str, Parcel] = {}
    with open(handle, encoding="utf-8", errors="replace", closefd=False) as file:
        texts = file.read().splitlines()
    for text in texts:
        try:
            line = json.loads(text)
            run, uri = line["run"], line["uri"]
            delivered = line.get("delivered")
            entry = None if delivered is not None else line["entry"]
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        parcel = parcels.setdefault(run, Parcel(run, uri, final=True, adopted=True))
        if entry is None:
            parcel.delivered = min(delivered, len(parcel.entries))
            parcel.finished = bool(line.get("finished"))
        else:
            parcel.entries.append(entry)
            parcel.finished = False
    return list(parcels.values())
