"""Secrets planted all over a notebook: none is in anything that was written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..unit.test_masking import CELLS, S


def written(*folders: Path) -> bytes:
    """Every byte below some folders: databases, artifacts, outboxes, copies."""
    files = (p for folder in folders for p in sorted(folder.rglob("*")) if p.is_file())
    return b"\0".join(p.read_bytes() for p in files)


def test_nothing_that_was_written_holds_a_secret(notebook, repo, drivers, tmp_path) -> None:
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    notebook.run("%feast_run planted")
    shell = notebook.shell
    for cell in CELLS:  # many fail, as their names are nobody's: the texts count
        shell.run_cell(cell, store_history=True)
    notebook.tracebacks.clear()
    notebook.run(
        "password = 'hunter2'\n"
        "df = store.get_historical_features(drivers, ['hourly:trips']).to_df()"
    )
    query = "SELECT 1 AS driver_id, now() AS event_timestamp -- password=hunter2"
    shell.run_cell(f"job = store.get_historical_features({query!r}, ['hourly:trips'])")
    shell.run_cell("job.to_df()")
    open_to_others = [
        str(p) for folder in (os.environ["FEAST_NB_STATE"], os.environ["FEAST_NB_CACHE"])
        for p in (Path(folder), *Path(folder).rglob("*")) if p.exists() and p.stat().st_mode & 0o077
    ]  # fmt: skip
    assert open_to_others == []
    notebook.run("%feast_run --end")
    notebook.run("u = %feast_usage")
    state = Path(os.environ["FEAST_NB_STATE"])
    cache = Path(os.environ["FEAST_NB_CACHE"])

    found = written(repo, state, cache)

    history = [p for p in cache.rglob("*") if p.stat().st_mode & 0o077]
    assert history == []
    assert b"planted" in found
    assert b"hourly:trips" in found
    assert S.encode() not in found


@pytest.mark.parametrize("how", ["environment", "open", "configuration"])
def test_no_text_of_a_cell_is_kept_where_nobody_wants_it(
    notebook, repo, drivers, client, monkeypatch, how: str
) -> None:
    shell = notebook.shell
    if how == "environment":
        monkeypatch.setenv("FEAST_NB_RECORD_CELLS", "0")
    if how == "configuration":
        shell.config.FeastNb.record_cells = False
    notebook.run("%unload_ext feast_nb")
    notebook.run("%load_ext feast_nb")
    if how == "open":
        notebook.run(f"import feast_nb\nfeast_nb.open({str(repo)!r}, record_cells=False)")
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")

    record = notebook.run(
        "%%feast_run bare\n"
        "unmistakable = store.get_historical_features(drivers, ['hourly:trips']).to_df()"
    )

    names = {f.path for f in client.list_artifacts(record.id, "feast")}
    assert "feast/retrievals.json" in names
    assert "feast/cells.ipynb" not in names
    assert b"unmistakable" not in written(repo, Path(os.environ["FEAST_NB_STATE"]))
    if how == "configuration":
        del shell.config.FeastNb
