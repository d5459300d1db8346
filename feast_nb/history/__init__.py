"""The local copy of one tracking server's Feast runs and model versions, kept up to date.

A SQLite file in the user's cache folder. What a refresh reads from MLflow comes through a
`facts.Reader`; what is asked of the copy (`questions.py`) is plain SQL, so that an answer about a
hundred thousand runs is there at once.

A refresh reads what started or ended since, what runs or was written late, what was deleted or
restored, and every model version and alias. MLflow gives no way to notice a tag or name edited on
an old run, times that were set back, or `mlflow gc`: for these, read anew.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from ..facts import Reader, Run, Version
from . import tables
from .parts import Part, read_parts

OVERLAP = 120_000  # milliseconds: clocks differ, and a page may miss what is being written
RANGES = 16  # parts by start time that a first copy is read in, where several are read at once

Progress = Callable[[int, float], None]


class History:
    """One copy: open it, refresh it, ask it. Several processes may hold the same file.

    `why` says why a file that was there could not be used, and was made anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db, self.why = tables.opened(path)
        self._lock = threading.RLock()
        self._asked: dict[str, int] = {}

    def close(self) -> None:
        self._db.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is asked within is of one moment, whatever another process writes meanwhile."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")

    def rows(self, sql: str, *given: Any) -> list[tuple[Any, ...]]:
        """What a question in SQL gives."""
        with self._lock:
            return self._db.execute(sql, given).fetchall()

    @property
    def as_of(self) -> float | None:
        """When what the copy holds was true, in seconds since 1970; None before the first copy."""
        found = self._meta("as_of")
        return float(found) if found else None

    def refresh(self, reader: Reader, anew: bool = False, progress: Progress | None = None) -> int:
        """Bring the copy up to date; how many runs were read.

        `anew` reads everything again. An interrupted first copy goes on where it stopped; what
        another process is reading is waited for, and not read twice.
        """
        asked = time.time()
        with tables.alone(self.path, wait=True), self._lock:
            if not anew and (self.as_of or 0) >= asked:
                return 0
            began, self._asked = time.time(), {}  # another process may have numbered them anew
            if anew:
                self._begin_anew()
            added = self._experiments(reader)
            if self._meta("whole") is None:
                resumed = self._meta("began") is not None
                count = self._first(reader, began, progress, sweep=not resumed)
                count += self._since(reader, began, ()) if resumed else 0
            else:
                count = self._since(reader, began, added)
            self._models(reader)
            self._set("as_of", began)
            return count

    # ------------------------------------------------------------------ the first copy

    def _first(self, reader: Reader, began: float, progress: Progress | None, sweep: bool) -> int:
        """Every run of the project, several ranges of start time at once.

        `sweep`: what was there before and is not found any more goes. Until then it stays: the
        copy answers while it is read anew, and where that fails.
        """
        parts = self._parts(reader)
        if self._meta("began") is None:
            self._set("began", began)
        before = {id for (id,) in self.rows("SELECT id FROM runs")} if sweep else set()
        count = 0
        # First and last: what is restored while it is read was in the one and not in the other.
        before -= self._deleted(reader)
        for number, page, upto in read_parts(reader, parts):
            parts[number] = parts[number].read_to(upto)
            with tables.transaction(self._db):
                self._keep(reader, page)
                self._put("parts", json.dumps([astuple(p) for p in parts]))
            before -= {run.id for run in page}
            count += len(page)
            if progress is not None:
                progress(count, sum(p.share for p in parts) / len(parts))
        before -= self._deleted(reader)
        self._remove(before)
        self._mark(self._reached(), float(self._meta("began") or began))
        with tables.transaction(self._db):
            self._db.execute("DELETE FROM meta WHERE key IN ('began', 'parts')")
            self._put("whole", "yes")
        return count

    def _parts(self, reader: Reader) -> list[Part]:
        """Where an interrupted copy stopped; else the time from the first run to the last."""
        if kept := self._meta("parts"):
            return [Part(*part) for part in json.loads(kept)]
        ends = [
            r for newest in (False, True) for p in reader.runs(most=1, newest=newest) for r in p
        ]
        if not ends:
            return []
        first, last = ends[0].started, ends[-1].started + 1
        parts = RANGES if reader.at_once > 1 else 1
        step = max((last - first) // parts + 1, 60_000)
        edges = [*range(first, last, step), last]
        return [Part(a, b, a) for a, b in itertools.pairwise(edges)]

    def _reached(self) -> _Marks:
        found = self.rows("SELECT max(started), max(ended), max(written) FROM runs")[0]
        return _Marks(*(v or 0 for v in found))

    # ------------------------------------------------------------------ later

    def _since(self, reader: Reader, began: float, added: Collection[str]) -> int:
        """What began, ended, runs, or was written to late since; what was deleted or restored."""
        marks = _Marks(*json.loads(self._meta("marks") or "[0, 0, 0]"))
        running = {r for (r,) in self.rows("SELECT id FROM runs WHERE status = 'RUNNING'")}
        count = 0
        for page in reader.runs(experiments=added) if added else ():
            count += len(page)
            with tables.transaction(self._db):
                self._keep(reader, page)
        for where in (
            f"attributes.start_time >= {marks.started - OVERLAP}",
            f"attributes.end_time >= {marks.ended - OVERLAP}",
            "attributes.status = 'RUNNING'",
            f"metrics.`feast_nb.written_at` >= {marks.written - OVERLAP / 1000}",
        ):
            for page in reader.runs(where):
                count += len(page)
                running -= {run.id for run in page}
                with tables.transaction(self._db):
                    self._keep(reader, page)
                marks.add(page)
        running -= self._deleted(reader)
        self._again(reader, running)
        self._mark(marks, began)
        return count

    def _deleted(self, reader: Reader) -> set[str]:
        """Deletion and restoration change no time: the deleted ones are listed each time."""
        now: set[str] = set()
        for page in reader.runs(deleted=True):
            now |= {run.id for run in page}
            with tables.transaction(self._db):
                self._keep(reader, page)
        before = {r for (r,) in self.rows("SELECT id FROM runs WHERE deleted = 1")}
        self._again(reader, before - now)
        return now

    def _again(self, reader: Reader, ids: set[str]) -> None:
        """Runs that left a list: restored, gone for good, or ended by another clock."""
        for id in sorted(ids):
            found = reader.run(id)
            if found is None:
                self._remove([id])
                continue
            with tables.transaction(self._db):
                self._keep(reader, [found])

    def _remove(self, ids: Iterable[str]) -> None:
        gone = [(id,) for id in ids]
        with tables.transaction(self._db):
            self._db.executemany("DELETE FROM runs WHERE id = ?", gone)
            self._db.executemany("DELETE FROM details WHERE run = ?", gone)

    # ------------------------------------------------------------------ models

    def _experiments(self, reader: Reader) -> list[str]:
        """Those that were not there before: imported, or only now to be seen by this user.

        What may not be seen any more goes with its runs. An experiment that was made at another
        time than the one of its number is of another store: a database made anew, say.
        """
        before = dict(self.rows("SELECT id, made FROM experiments"))
        now = reader.experiments()
        if any(now[id][2] != made for id, made in before.items() if id in now):
            self._begin_anew()
        for id in set(before) - set(now):
            self._remove(r for (r,) in self.rows("SELECT id FROM runs WHERE experiment = ?", id))
        rows = [(id, *of) for id, of in now.items()]
        self._replace("experiments", rows)
        return sorted(set(now) - set(before))

    def _models(self, reader: Reader) -> None:
        """Versions and aliases whole: a tag or an alias that is set changes no time of theirs."""
        versions = list(reader.versions())
        self._contracts(reader, versions)
        rows = [
            (v.name, v.version, v.run, v.model_id, v.stage, v.created, v.updated,
             self._asked_id(v.refs) if v.refs is not None else None, v.service, v.contract,
             json.dumps(dict(v.tags), sort_keys=True))
            for v in versions
        ]  # fmt: skip
        self._replace("versions", rows)
        aliases = reader.aliases()
        self._replace("aliases", [(n, a, v) for n, of in aliases.items() for a, v in of.items()])

    def _contracts(self, reader: Reader, versions: Sequence[Version]) -> None:
        """Contracts that no tag tells whole, each read once: they never change."""
        known = {a for (a,) in self.rows("SELECT address FROM contracts")}
        wanted = [v for v in versions if v.refs is None and v.contract and v.contract not in known]
        if not wanted:
            return
        for address, (refs, service) in reader.contracts(wanted).items():
            with tables.transaction(self._db):
                self._db.execute(
                    "INSERT OR REPLACE INTO contracts VALUES (?, ?, ?)",
                    (address, self._asked_id(refs) if refs is not None else None, service),
                )

    # ------------------------------------------------------------------ the file

    def _keep(self, reader: Reader, page: Iterable[Run]) -> None:
        runs, details = [], []
        for run in page:
            r = self._completed(reader, run)
            runs.append((r.id, r.experiment, r.name, r.status, r.started, r.kind, r.project,
                         r.ended, r.deleted, r.user, r.service, self._asked_id(r.refs), r.cut,
                         r.parent, r.notebook, r.rows, r.model, r.version, r.trained_in,
                         r.written))  # fmt: skip
            details.append((r.id, _text(r.metrics), _text(r.params), _text(r.tags)))
        marks = ",".join("?" * 20)
        self._db.executemany(f"INSERT OR REPLACE INTO runs VALUES ({marks})", runs)
        self._db.executemany("INSERT OR REPLACE INTO details VALUES (?, ?, ?, ?)", details)

    def _completed(self, reader: Reader, run: Run) -> Run:
        """A run with all its references, read from its files only where that is not done yet."""
        if not run.cut or "feast_nb.refs_missing" not in run.tags:
            return run
        known = self.rows(
            "SELECT a.refs FROM runs r JOIN asked a ON a.id = r.asked WHERE r.id = ? AND r.cut = 0 "
            "AND r.ended IS ? AND r.written = ?",
            run.id, run.ended, run.written,
        )  # fmt: skip
        if known and run.ended:
            return replace(run, refs=tuple(json.loads(known[0][0])), cut=False)
        return reader.whole(run)

    def _asked_id(self, refs: Sequence[str]) -> int:
        """The number of a list of references: thousands of runs ask for the same."""
        text = json.dumps(refs)
        if text not in self._asked:
            self._db.execute("INSERT OR IGNORE INTO asked (refs) VALUES (?)", (text,))
            found = self._db.execute("SELECT id FROM asked WHERE refs = ?", (text,)).fetchone()
            self._asked[text] = int(found[0])
        return self._asked[text]

    def _replace(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        """A table's rows, written only where they differ: nobody waits for nothing."""
        before = set(self.rows(f"SELECT * FROM {table}"))
        if before == set(rows):
            return
        with tables.transaction(self._db):
            self._db.execute(f"DELETE FROM {table}")
            if rows:
                marks = ",".join("?" * len(rows[0]))
                self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def _begin_anew(self) -> None:
        """Everything is read again; until that is done, what is there answers."""
        with tables.transaction(self._db):
            self._db.execute("DELETE FROM contracts")
            self._db.execute("DELETE FROM meta WHERE key IN ('whole', 'parts', 'began', 'marks')")

    def _meta(self, key: str) -> str | None:
        found = self.rows("SELECT value FROM meta WHERE key = ?", key)
        return str(found[0][0]) if found else None

    def _set(self, key: str, value: Any) -> None:
        with tables.transaction(self._db):
            self._put(key, value)

    def _put(self, key: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, str(value)))

    def _mark(self, marks: _Marks, began: float) -> None:
        """How far this refresh has come; what changed while it read is read next time."""
        now = int(began * 1000)
        upto = [min(marks.started, now), min(marks.ended, now), min(marks.written, began)]
        self._set("marks", json.dumps(upto))


@dataclass
class _Marks:
    """The latest start, end (milliseconds) and late writing (seconds) that were seen."""

    started: int = 0
    ended: int = 0
    written: float = 0.0

    def add(self, page: Iterable[Run]) -> None:
        for run in page:
            self.started = max(self.started, run.started)
            self.ended = max(self.ended, run.ended or 0)
            self.written = max(self.written, run.written)


def _text(of: Mapping[str, Any]) -> str:
    return json.dumps(dict(of), sort_keys=True)
