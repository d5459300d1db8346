"""Frames and cells that dead processes left: what a record names stays, the rest goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from feast_nb.recorder import spool_files


@pytest.fixture
def dead() -> int:
    """The number of a process that is gone."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name not in ("outbox", "work")}


def test_only_what_dead_processes_left_and_nobody_names_is_swept(
    tmp_path: Path, dead: int, monkeypatch
) -> None:
    outbox = tmp_path / "outbox"
    outbox.mkdir()
    mine = spool_files.frame_path(tmp_path, "r-1", "entity")
    monkeypatch.setattr(os, "getpid", lambda: dead)
    named = spool_files.frame_path(tmp_path, "r-2", "entity")
    lost = spool_files.frame_path(tmp_path, "r-3", "result")
    cells = spool_files.cells_path(tmp_path, "0" * 32, "abcdef01")
    draft = cells.with_suffix(f".{dead}")
    loose = spool_files.loose_folder(tmp_path)
    loose.mkdir()
    elsewhere = tmp_path / f"r-4-entity-ffffff.{dead}.parquet"  # another machine's
    old = tmp_path / "r-5-entity.parquet"  # of 0.1, which named no process
    for path in (mine, named, lost, cells, draft, loose / "x.parquet", elsewhere, old):
        path.write_text("")
    (outbox / "1-a.jsonl").write_text(f'{{"path": "{named}"}}')

    spool_files.sweep(tmp_path, outbox)

    assert names(tmp_path) == {mine.name, named.name, elsewhere.name, old.name}


def test_a_runs_frames_are_erased_wherever_they_wait(tmp_path: Path) -> None:
    loose = spool_files.loose_folder(tmp_path)
    loose.mkdir()
    for folder, id in ((tmp_path, "r-1"), (loose, "r-1"), (tmp_path, "r-2")):
        spool_files.frame_path(folder, id, "entity").write_text("")

    erased = spool_files.erase(tmp_path, ["r-1"])

    assert len(erased) == 2
    assert [p.name[:3] for p in tmp_path.rglob("*.parquet")] == ["r-2"]
