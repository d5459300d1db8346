"""The local copy of one tracking server's Feast runs and model versions.

A SQLite file in the user's cache folder. `sync.py` brings it up to date with what MLflow says
through a `facts.Reader`; what is asked of the copy (`queries.py`) is plain SQL, so that an
answer about a hundred thousand runs is there at once.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..records.facts import Reader, RunFact
from . import database
from .sync import Progress, Refresh


class History:
    """One copy: open it, refresh it, ask it. Several processes may hold the same file.

    `why` says why a file that was there could not be used, and was made anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db, self.why = database.open_file(path)
        self._lock = threading.RLock()
        self._numbers: dict[str, int] = {}

    @classmethod
    def empty(cls) -> History:
        """One of which nothing is known, in memory: where there is no tracking server."""
        return cls(database.MEMORY)

    def close(self) -> None:
        self._db.close()

    def refresh(self, reader: Reader, anew: bool = False, progress: Progress | None = None) -> int:
        """Bring the copy up to date; how many runs were read.

        `anew` reads everything again. An interrupted first copy goes on where it stopped; what
        another process is reading is waited for, and not read twice.
        """
        asked = time.time()
        with database.alone(self.path, wait=True), self._lock:
            if not anew and (self.as_of or 0) >= asked:
                return 0
            self._numbers = {}  # another process may have given others
            return Refresh(self, reader).run(anew, progress)

    def copy_to(self, path: Path) -> None:
        """All of it as another file, whole whatever is written meanwhile (SQLite's backup)."""
        with self._lock:
            other = sqlite3.connect(path)
            try:
                self._db.backup(other)
            finally:
                other.close()

    @property
    def as_of(self) -> float | None:
        """When what the copy holds was true, in seconds since 1970; None before the first copy."""
        found = self.meta("as_of")
        return float(found) if found else None

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

    def rows(self, sql: str, *given: object) -> list[tuple[Any, ...]]:
        """What a question in SQL gives."""
        with self._lock:
            return self._db.execute(sql, given).fetchall()

    def named_rows(self, sql: str, *given: object) -> Iterator[dict[str, Any]]:
        """The same, each row as column → value."""
        with self._lock:
            found = self._db.execute(sql, given)
            names = [name for name, *_ in found.description]
            rows = found.fetchall()
        return (dict(zip(names, row, strict=True)) for row in rows)

    # ------------------------------------------------------------------ what a refresh writes

    def keep(self, page: Iterable[RunFact], **noted: object) -> None:
        """Runs as they are now, and what is noted with them: both, or neither."""
        runs, details = [], []
        with database.transaction(self._db):
            for run in page:
                kept = {name: getattr(run, name) for name in database.RUN}
                runs.append({**kept, "asked": self.number(run.refs)})
                texts = {name: _text(getattr(run, name)) for name in database.DETAILS}
                details.append({"run": run.id, **texts})
            database.put(self._db, "runs", runs)
            database.put(self._db, "details", details)
            self._note(noted)

    def remove(self, ids: Iterable[str]) -> None:
        """Forget runs."""
        gone = [(id,) for id in ids]
        with database.transaction(self._db):
            self._db.executemany("DELETE FROM runs WHERE id = ?", gone)
            self._db.executemany("DELETE FROM details WHERE run = ?", gone)

    def replace(self, table: str, rows: Sequence[Mapping[str, object]]) -> None:
        """A table's rows, column by column, written only where they differ: nobody waits."""
        names = list(rows[0]) if rows else ["1"]
        now = {tuple(row[name] for name in names) for row in rows}
        if set(self.rows(f"SELECT {', '.join(names)} FROM {table}")) == now:
            return
        with database.transaction(self._db):
            self._db.execute(f"DELETE FROM {table}")
            database.put(self._db, table, rows)

    def contract_texts(self, addresses: Iterable[str]) -> dict[str, str]:
        """Contracts as they were kept, by their addresses: they never change."""
        wanted = set(addresses)
        found = self.rows("SELECT address, text FROM contract_texts")
        return {address: text for address, text in found if address in wanted}

    def keep_contract_texts(self, texts: Mapping[str, str]) -> None:
        """Keep contracts that were read."""
        with database.transaction(self._db):
            rows = [{"address": address, "text": text} for address, text in texts.items()]
            database.put(self._db, "contract_texts", rows)

    def number(self, refs: Sequence[str]) -> int:
        """The number of a list of references: thousands of runs ask for the same."""
        text = json.dumps(refs)
        if text not in self._numbers:
            self._db.execute("INSERT OR IGNORE INTO asked (refs) VALUES (?)", (text,))
            found = self._db.execute("SELECT id FROM asked WHERE refs = ?", (text,)).fetchone()
            self._numbers[text] = int(found[0])
        return self._numbers[text]

    def meta(self, key: str) -> str | None:
        """What a refresh noted about the copy itself."""
        found = self.rows("SELECT value FROM meta WHERE key = ?", key)
        return str(found[0][0]) if found else None

    def note(self, **noted: object) -> None:
        """Note something about the copy; None takes it away."""
        with database.transaction(self._db):
            self._note(noted)

    def _note(self, noted: Mapping[str, object]) -> None:
        for key, value in noted.items():
            if value is None:
                self._db.execute("DELETE FROM meta WHERE key = ?", (key,))
            else:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, str(value)))


def _text(of: Mapping[str, object]) -> str:
    return json.dumps(dict(of), sort_keys=True)
