"""The file of a history: its tables, opened so that several processes may use it at once."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..paths import private_folder

FORMAT = 2
MEMORY = Path(":memory:")  # no file: it is in memory

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS experiments (
    id TEXT PRIMARY KEY, name TEXT, deleted INTEGER, made INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asked (id INTEGER PRIMARY KEY, refs TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, experiment TEXT, name TEXT, status TEXT, started INTEGER, kind TEXT,
    project TEXT, ended INTEGER, deleted INTEGER, user TEXT, service TEXT, asked INTEGER,
    cut INTEGER, notebook TEXT, rows INTEGER, model TEXT, version TEXT, written REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS details (
    run TEXT PRIMARY KEY, metrics TEXT, params TEXT, tags TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_uses ON runs (
    deleted, kind, asked, service, started, user, cut
);
CREATE INDEX IF NOT EXISTS runs_started ON runs (started);
CREATE INDEX IF NOT EXISTS runs_predicting ON runs (model, version) WHERE model IS NOT NULL;
CREATE TABLE IF NOT EXISTS versions (
    name TEXT, version INTEGER, run TEXT, model_id TEXT, stage TEXT, created INTEGER,
    updated INTEGER, asked INTEGER, service TEXT, contract TEXT, tags TEXT,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS versions_run ON versions (run);
CREATE TABLE IF NOT EXISTS aliases (
    name TEXT, alias TEXT, version INTEGER, PRIMARY KEY (name, alias)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contract_texts (address TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contracts (
    address TEXT PRIMARY KEY, asked INTEGER, service TEXT
) WITHOUT ROWID;
"""

# What is kept of a run as it is, and what is kept of it as JSON.
RUN = ("id", "experiment", "name", "status", "started", "kind", "project", "ended", "deleted",
       "user", "service", "cut", "notebook", "rows", "model", "version", "written")  # fmt: skip
DETAILS = ("metrics", "params", "tags")


def put(db: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Rows of column → value; one that is there with the same key is replaced."""
    if rows:
        names = list(rows[0])
        values = ", ".join(f":{name}" for name in names)
        db.executemany(
            f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({values})", rows
        )


def path_of(folder: Path, tracking_uri: str, registry_uri: str | None, project: str) -> Path:
    """The file of a server, registry and project; no credentials, nor any address, in its name."""
    named = json.dumps([tracking_uri, registry_uri, project])
    return folder / f"{hashlib.blake2b(named.encode(), digest_size=10).hexdigest()}.sqlite"


def open_file(path: Path) -> tuple[sqlite3.Connection, str | None]:
    """The file, made where there is none, and why it was made anew, if it was.

    One of another format, or one that is broken, is made anew: all of it can be read again.
    """
    if path == MEMORY:
        return _made(path), None
    private_folder(path.parent)
    why = None
    with alone(Path(f"{path}.opening"), wait=True):
        if path.exists() and (why := fault_of(path)) is not None:
            remove(path)
        path.touch(0o600)  # SQLite's files beside it are made as it is
        db = _made(path)
        path.chmod(0o600)  # who trained what on which data is not everybody's
    return db, why


def _made(path: Path) -> sqlite3.Connection:
    db = connected(path)
    with transaction(db):
        for statement in _TABLES.split(";"):
            if statement.strip():
                db.execute(statement)
        db.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (str(FORMAT),))
    return db


def remove(path: Path) -> None:
    """Take a file and what SQLite keeps beside it away."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def fault_of(path: Path) -> str | None:
    """Why a file cannot be used; raises `sqlite3.OperationalError` for one that is in use."""
    try:
        with contextlib.closing(connected(path)) as db:
            known = db.execute("SELECT name FROM sqlite_master WHERE name = 'meta'").fetchone()
            if not known:
                return None
            found = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
            db.execute("SELECT count(*) FROM runs").fetchone()
    except sqlite3.OperationalError as problem:
        if "no such" in str(problem):
            return "was of another make"
        raise
    except sqlite3.DatabaseError as problem:
        return f"was broken ({problem})"
    if found is None or found[0] != str(FORMAT):
        return f"was kept in format {found[0] if found else 'unknown'}"
    return None


def connected(path: Path) -> sqlite3.Connection:
    """A connection that waits for other processes, and writes ahead where the disk allows it."""
    db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError:  # a file system whose files share no memory (NFS)
        db.execute("PRAGMA journal_mode=DELETE")
    db.execute("PRAGMA synchronous=NORMAL")
    return db


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; a killed writer leaves the file as it was."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


@contextlib.contextmanager
def alone(path: Path, wait: bool) -> Iterator[bool]:
    """One refresh at a time, whoever asks; False where another has it in hand."""
    handle = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(handle)
        yield False
        return
    try:
        yield True
    finally:
        os.close(handle)


def names_in(
    path: Path, runs: int = 50
) -> tuple[dict[str, tuple[str, ...]], list[tuple[str, str]]]:
    """Registered models with their aliases, and the newest runs as id and name; nothing is made.

    What cannot be read now holds no names: whoever asks in earnest is told why.
    """
    if not path.exists():
        return {}, []
    try:
        address = f"{path.resolve().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
            found: dict[str, list[str]] = {
                name: [] for (name,) in db.execute("SELECT DISTINCT name FROM versions")
            }
            for name, alias in db.execute("SELECT name, alias FROM aliases"):
                found.setdefault(name, []).append(alias)
            newest = db.execute(
                "SELECT id, name FROM runs WHERE deleted = 0 ORDER BY started DESC LIMIT ?", (runs,)
            ).fetchall()
    except sqlite3.Error:
        return {}, []
    return {name: tuple(aliases) for name, aliases in found.items()}, newest
