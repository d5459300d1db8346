"""The file of an outbox: a line for each entry, locked by the process that it belongs to."""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...paths import private_folder
from .run_queue import RunQueue

if TYPE_CHECKING:
    from ...records.outbox import OutboxEntry

_LARGE = 1_000_000  # bytes from which a file is written anew, without what MLflow has


class OutboxFile:
    """Made with its first entry, appended to, removed when MLflow has everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = self._fresh()
        self.writer = self.path.stem  # the path changes where the file is written anew
        self._file: int | None = None
        self._size = 0
        self._limit = _LARGE
        self.kept: list[DeadProcessFile] = []  # what could not be written down here

    def _fresh(self) -> Path:
        return self.folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"

    def begin(self, queue: RunQueue) -> None:
        """Have all that came before of a run in the file."""
        if not queue.on_disk:
            self._write(*_lines_of(queue))
            queue.on_disk = True

    def write_entry(self, queue: RunQueue, number: int, entry: OutboxEntry) -> None:
        self._write(_entry_line(queue, number, entry))

    def write_mark(self, queue: RunQueue) -> None:
        """How far MLflow has come with a run."""
        self._write(_mark_line(queue))

    def compact(self, queues: Iterable[RunQueue]) -> None:
        """Write the file anew where it has grown: with what is still needed, under a new name.

        The new one is locked before it can be found, and whole before the old one goes.
        """
        if self._size <= self._limit or self._file is None:
            return
        old, old_path = self._file, self.path
        text = "".join(line for q in queues if q.on_disk for line in _lines_of(q)).encode()
        self._limit = max(_LARGE, 2 * len(text))
        fresh = self._fresh()
        try:
            file = open_locked(fresh, text)
        except OSError:  # the disk is full, say: the old one goes on
            self._limit = self._size * 2
            return
        self._file, self.path, self._size = file, fresh, len(text)
        old_path.unlink(missing_ok=True)
        os.close(old)

    def remove(self, queues: Iterable[RunQueue]) -> None:
        """MLflow has everything of runs that have ended: nothing is left for a next session."""
        for queue in queues:
            queue.on_disk = False
        while self.kept:
            self.kept.pop().remove()
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self.close()

    def close(self) -> None:
        """Let go of the file: it is for the next session. What comes later goes to another."""
        if self._file is not None:
            os.close(self._file)
            self.path = self._fresh()
        self._file, self._size = None, 0

    def let_go(self) -> None:
        """In a forked child: the lock is the parent's alone, and ends with it."""
        self.close()

    def reject(self, queue: RunQueue, entry: OutboxEntry) -> None:
        """Set an entry aside, out of the way of the others."""
        _set_aside(self.folder, self.path.name, [_entry_line(queue, queue.last, entry)])

    def _write(self, *lines: str) -> None:
        data = "".join(lines).encode()
        if self._file is None:
            self._file, self._size = open_locked(self.path, b""), 0
        try:
            _write_all(self._file, data)
        except OSError:  # half a line would take the next one with it
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)


@dataclass
class DeadProcessFile:
    """The file of a dead process, locked: its runs, and why lines of it cannot be read."""

    path: Path
    handle: int
    queues: list[RunQueue]
    rejected: list[str] = field(default_factory=list)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self.handle)


def left_behind(folder: Path, but: Path) -> Iterator[DeadProcessFile]:
    """The files of dead processes; the caller removes each when it has what is in it."""
    for path in sorted(folder.glob("*.jsonl")):
        handle = locked(path) if path != but else None
        if handle is None:
            continue
        if os.fstat(handle).st_nlink == 0:  # another kernel took it over as we opened it
            os.close(handle)
            continue
        yield _read(path, handle)


def open_elsewhere(folder: Path, but: Path) -> set[str]:
    """The runs that living processes have open, as far as their files say."""
    found: set[str] = set()
    for path in folder.glob("*.jsonl"):
        handle = locked(path) if path != but else None
        if handle is not None:
            os.close(handle)
        elif path != but:
            found |= _open_in(path)
    return found


def _open_in(path: Path) -> set[str]:
    found: set[str] = set()
    with suppress(OSError):
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, TypeError, KeyError):  # a line that is being written
                line = json.loads(text)
                kind, run = line["entry"]["kind"], str(line["run"])
                if kind == "opened":  # a forked child has its parent's, and does not hold it
                    found.add(run)
                elif kind == "ended":
                    found.discard(run)
    return found


def _read(path: Path, handle: int) -> DeadProcessFile:
    """The runs in a dead process's file; a line cut short is passed over."""
    from ...records.outbox import entry_of

    with open(handle, encoding="utf-8", errors="replace", closefd=False) as file:
        texts = file.read().splitlines()
    queues: dict[str, RunQueue] = {}
    rejected: list[tuple[str, str]] = []
    for number, text in enumerate(texts):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            run, uri = line["run"], line["uri"]
            if not (isinstance(run, str) and isinstance(uri, str)):
                raise TypeError("it names no run")
            if run not in queues:
                queues[run] = _queue_of(line, path.stem)
            queue = queues[run]
            if line.get("delivered") is not None:
                _mark(queue, line)
                continue
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            if number < len(texts) - 1:  # a last line may be cut short
                rejected.append((f"it is no line of an outbox: {problem}", text))
            continue
        place = line["n"] if isinstance(line.get("n"), int) else None
        try:
            queue.add(entry_of(line), place)
        except ValueError as problem:
            queue.last = max(queue.last + 1, place or 0)  # others are counted as before
            rejected.append((str(problem), text))
    _set_aside(path.parent, path.name, [f"{text}\n" for _, text in rejected])
    for queue in queues.values():
        queue.final = True
    return DeadProcessFile(path, handle, list(queues.values()), [reason for reason, _ in rejected])


def _queue_of(line: dict[str, Any], stem: str) -> RunQueue:
    """A dead process's run; `stem` is the writer in files of 0.1, which name none."""
    queue = RunQueue(line["run"], line["uri"], str(line.get("writer") or stem))
    queue.workspace = line.get("workspace")
    queue.final = queue.adopted = True
    return queue


def _mark(queue: RunQueue, line: dict[str, Any]) -> None:
    queue.last = max(queue.last, int(line.get("last", 0)))
    queue.delivered = min(int(line["delivered"]), queue.last)
    queue.finished = bool(line.get("finished"))
    if line.get("whole"):
        queue.forget(queue.delivered)


def _lines_of(queue: RunQueue) -> list[str]:
    """A run as it stands: its entries, and how far MLflow has come."""
    lines = [_entry_line(queue, number, entry) for number, entry in queue.numbered()]
    return [*lines, _mark_line(queue)] if queue.delivered else lines


def _entry_line(queue: RunQueue, number: int, entry: OutboxEntry) -> str:
    from ...records.outbox import SCHEMA_VERSION

    head = {"schema_version": SCHEMA_VERSION, **_head(queue)}
    return json.dumps({**head, "n": number, "entry": entry.to_dict()}) + "\n"


def _head(queue: RunQueue) -> dict[str, str]:
    head = {"run": queue.run_id, "uri": queue.tracking_uri, "writer": queue.writer}
    return {**head, "workspace": queue.workspace} if queue.workspace else head


def _mark_line(queue: RunQueue) -> str:
    mark = {
        **_head(queue),
        "delivered": queue.delivered,
        "last": queue.last,
        "whole": queue.whole,
        "finished": queue.finished,
    }
    return json.dumps(mark) + "\n"


def open_locked(path: Path, text: bytes) -> int:
    """A new file that nobody finds before it is locked and holds its text."""
    private_folder(path.parent)
    draft = path.with_suffix(".draft")
    file = os.open(draft, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write_all(file, text)
        draft.rename(path)
    except OSError:
        os.close(file)
        draft.unlink(missing_ok=True)
        raise
    return file


def _write_all(file: int, data: bytes) -> None:
    while data:  # near a full disk the system may take less than it is given
        data = data[os.write(file, data) :]


def _set_aside(folder: Path, name: str, lines: list[str]) -> None:
    if lines:
        place = folder / "rejected"
        private_folder(place)
        file = os.open(place / name, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        try:
            _write_all(file, "".join(lines).encode())
        finally:
            os.close(file)


def locked(path: Path) -> int | None:
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
