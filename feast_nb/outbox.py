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
        self._busy: str | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._adopted: list[tuple[Path, int, set[str]]] = []
        self._file: int | None = None
        self.path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"

    def put(self, run_id: str, tracking_uri: str, entry: Entry) -> None:
        """Keep an entry for a run: on disk when this returns, in MLflow soon."""
        line = {"run": run_id, "uri": tracking_uri, "entry": entry}
        with self._changed:
            self._write(line)
            parcel = self._parcels.setdefault(run_id, Parcel(run_id, tracking_uri))
            parcel.entries.append(entry)
            parcel.final = False
            parcel.due = parcel.due or time.monotonic() + _SETTLE
            self._start()
            self._changed.notify_all()

    def flush(self, run_id: str | None = None, seconds: float = 10.0, final: bool = False) -> bool:
        """Wait until MLflow has everything (of one run), at most `seconds`; whether it has."""
        deadline = time.monotonic() + seconds
        with self._changed:
            parcels = [p for p in self._parcels.values() if run_id in (None, p.run_id)]
            for parcel in parcels:
                parcel.due = time.monotonic()
                parcel.final = parcel.final or final
                parcel.failures = 0
                parcel.trouble = None
            self._start()
            self._changed.notify_all()
            while not all(self._settled(p) for p in parcels):
                left = deadline - time.monotonic()
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
        if self._thread is not None:
            self._thread.join(1.0 if done else 0.1)
        with self._changed:
            if self._file is not None:
                if not self.pending():
                    self.path.unlink(missing_ok=True)
                os.close(self._file)
                self._file = None
        return done

    def adopt(self) -> Iterator[Entry]:
        """Take over the files of dead processes: their entries are delivered from here on.

        Yields every entry of theirs, with `run` and `uri`, so that the caller can see which runs
        were left open.
        """
        for path in sorted(self.folder.glob("*.jsonl")):
            handle = _lock(path) if path != self.path else None
            if handle is None:
                continue
            parcels = dict(_parcels(path))
            with self._changed:
                self._adopted.append((path, handle, set(parcels)))
                for run_id, parcel in parcels.items():
                    self._parcels.setdefault(run_id, parcel)
                if any(p.pending for p in parcels.values()):
                    self._start()
                    self._changed.notify_all()
            for parcel in parcels.values():
                for entry in parcel.entries:
                    yield {**entry, "run": parcel.run_id, "uri": parcel.tracking_uri}
            self._sweep()

    def _settled(self, parcel: Parcel) -> bool:
        return not parcel.pending and not parcel.due and self._busy != parcel.run_id

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(self._file, (json.dumps(line) + "\n").encode())

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._closing = False
            self._thread = threading.Thread(target=self._work, name="feast_nb outbox", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (parcel := self._next()) is not None:
            upto = len(parcel.entries)
            try:
                self._deliver(parcel)
            except Exception as problem:  # the thread's door: said by `troubled`, tried again
                self._failed(parcel, problem)
            else:
                self._done(parcel, upto)

    def _next(self) -> Parcel | None:
        """Wait for a run that is due; None when the outbox closes."""
        with self._changed:
            while not self._closing:
                waiting = sorted((p for p in self._parcels.values() if p.due), key=lambda p: p.due)
                now = time.monotonic()
                if waiting and waiting[0].due <= now:
                    waiting[0].due = 0.0
                    self._busy = waiting[0].run_id
                    return waiting[0]
                self._changed.wait(waiting[0].due - now if waiting else None)
            return None

    def _done(self, parcel: Parcel, upto: int) -> None:
        with self._changed:
            self._busy = None
            parcel.delivered, parcel.failures, parcel.trouble = upto, 0, None
            if not parcel.adopted:
                done = {"run": parcel.run_id, "uri": parcel.tracking_uri, "delivered": upto}
                self._write(done)
            self._sweep()
            self._changed.notify_all()

    def _failed(self, parcel: Parcel, problem: BaseException) -> None:
        with self._changed:
            self._busy = None
            parcel.due = time.monotonic() + _RETRY[min(parcel.failures, len(_RETRY) - 1)]
            parcel.failures += 1
            parcel.trouble = problem
            self._changed.notify_all()
        self._troubled(parcel)

    def _sweep(self) -> None:
        """Remove the files of dead processes of which MLflow has everything."""
        with self._changed:
            kept = []
            for path, handle, runs in self._adopted:
                if any(self._parcels[r].pending for r in runs if r in self._parcels):
                    kept.append((path, handle, runs))
                else:
                    path.unlink(missing_ok=True)
                    os.close(handle)
            self._adopted = kept


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


def _parcels(path: Path) -> Iterator[tuple[str, Parcel]]:
    """The runs in a dead process's file; a last line cut short by the kill is passed over."""
    parcels: dict[str, Parcel] = {}
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        fresh = Parcel(line["run"], line["uri"], final=True, adopted=True, due=time.monotonic())
        parcel = parcels.setdefault(line["run"], fresh)
        if "delivered" in line:
            parcel.delivered = line["delivered"]
        else:
            parcel.entries.append(line["entry"])
    for parcel in parcels.values():
        parcel.due = time.monotonic() if parcel.pending else 0.0
    yield from parcels.items()
