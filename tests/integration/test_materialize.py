"""Loading the online store: what is read and written of each view, interrupted, failed, emptied."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import feast_nb
from feast_nb.errors import FeatureError, UsageError, Warned
from feast_nb.integrations.feast.materialization import progress
from feast_nb.operations import materialize as loading

from ..conftest import make_repository

RANGE = {"start": "2024-01-01", "end": "2024-01-12"}


@pytest.fixture
def session(repo: Path) -> Any:
    return feast_nb.open(repo)


def intervals(session: Any, view: str = "hourly") -> list[Any]:
    found = session.store.registry.get_feature_view(view, session.store.project)
    return list(found.materialization_intervals)


def online(session: Any) -> int:
    rows = {"driver_id": list(range(10))}
    found = session.store.get_online_features(["hourly:trips"], rows).to_dict()["trips"]
    return sum(value is not None for value in found)


def test_each_view_says_what_was_read_and_written(session) -> None:
    done = session.materialize(**RANGE)

    assert done.state == "loaded"
    hourly, profile = done.views
    assert (hourly.view, hourly.read, hourly.written) == ("hourly", 200, 10)
    assert (hourly.newest, hourly.end) == ("2024-01-10T12:00:00+00:00", "2024-01-12T00:00:00+00:00")
    assert (profile.view, profile.written) == ("profile", 10)
    assert online(session) == 10
    assert str(done).startswith("✓ loaded 2 views of drivers into sqlite in ")
    (row,) = done.to_pandas().query("view == 'hourly'").to_dict("records")
    assert row["written"] == 10


def test_it_is_what_feast_itself_loads(session, tmp_path) -> None:
    """The same rows are online, and the same range is marked, as by Feast's own call."""
    session.materialize(**RANGE)
    other = feast_nb.open(make_repository(tmp_path / "other"))
    start, end = (pd.Timestamp(RANGE[k], tz="UTC").to_pydatetime() for k in ("start", "end"))
    other.store.materialize(start, end)

    def held(opened: Any) -> Any:
        rows = [{"driver_id": i} for i in range(10)]
        refs = ["hourly:trips", "hourly:conv_rate", "profile:age"]
        return opened.store.get_online_features(refs, rows).to_df().sort_index(axis=1)

    pd.testing.assert_frame_equal(held(session), held(other))
    assert intervals(session) == intervals(other)


def test_a_dry_run_loads_nothing(session) -> None:
    done = session.materialize("hourly", dry_run=True, **RANGE)

    assert [load.state for load in done.views] == ["planned"]
    assert (intervals(session), online(session)) == ([], 0)
    assert session.operations().operations == ()


def test_without_a_start_each_goes_on_from_where_it_was_left(session) -> None:
    session.materialize(start="2024-01-01", end="2024-01-05")
    done = session.materialize("hourly", end="2024-01-12")

    assert done.incremental
    (load,) = done.views
    assert load.start == "2024-01-05T00:00:00+00:00"
    assert load.read == 120
    assert intervals(session)[-1][1] == pd.Timestamp("2024-01-12", tz="UTC")


def test_a_view_that_was_never_loaded_begins_where_feast_begins(session) -> None:
    """At now minus its TTL, whatever --end: before that nothing is loaded, and it is said."""
    done = session.materialize("hourly", end="2024-01-12")

    (load,) = done.views
    began = pd.Timestamp.now(tz="UTC") - pd.Timestamp(load.start)
    assert pd.Timedelta(days=3) <= began < pd.Timedelta(days=3, hours=1)
    (note,) = done.notes
    assert note.startswith("hourly was never loaded: Feast begins at 20")
    assert note.endswith(
        "which is after --end, and loads nothing. Say from when: --start 2024-01-09."
    )
    ((start, _),) = intervals(session)
    assert abs(pd.Timestamp(start) - pd.Timestamp(load.start)) < pd.Timedelta(minutes=5)


def test_progress_is_told_batch_by_batch(session, monkeypatch) -> None:
    monkeypatch.setattr(progress, "BATCH", 3)
    phases: list[str] = []
    asked = loading.LoadRequest(("hourly",), *(pd.Timestamp(RANGE[k], tz="UTC") for k in RANGE))
    loading.materialize(
        session.store, asked, lambda view, counts: phases.append(f"{view} {counts.phase}")
    )

    assert phases[0] == "hourly reading"
    assert phases[-4:] == [f"hourly writing {n} of 10" for n in (3, 6, 9, 10)]
    assert session.store.config.materialization_config.online_write_batch_size is None


def test_an_interrupt_leaves_what_was_written_and_no_range(session, monkeypatch) -> None:
    monkeypatch.setattr(progress, "BATCH", 4)

    def interrupts(view: str, counts: Any) -> None:
        if counts.written:
            raise KeyboardInterrupt

    asked = loading.LoadRequest((), *(pd.Timestamp(RANGE[k], tz="UTC") for k in RANGE))
    done = loading.materialize(session.store, asked, interrupts)

    assert [(v.view, v.state, v.written) for v in done.views] == [
        ("hourly", "interrupted", 4), ("profile", "left out", None),
    ]  # fmt: skip
    assert "its range is not marked as loaded" in str(done.views[0].why)
    assert (intervals(session), online(session)) == ([], 4)
    assert session.materialize(**RANGE).state == "loaded"
    assert online(session) == 10


def test_an_interrupt_takes_no_view_out_of_service(session, monkeypatch) -> None:
    """Feast marks a view that was loaded before as MATERIALIZING, and serves none that is."""
    session.materialize(**RANGE)
    monkeypatch.setattr(progress, "BATCH", 4)

    def interrupts(view: str, counts: Any) -> None:
        if counts.written:
            raise KeyboardInterrupt

    asked = loading.LoadRequest(("hourly",), *(pd.Timestamp(RANGE[k], tz="UTC") for k in RANGE))
    assert loading.materialize(session.store, asked, interrupts).state == "interrupted"

    assert online(session) == 10
    assert session.health("hourly", seconds=60).lines[0].said.count("MATERIALIZING") == 0


def test_what_fails_is_said_and_logged_as_failed(session, repo) -> None:
    (repo / "stats.parquet").unlink()
    done = session.materialize(**RANGE)

    assert [v.state for v in done.views] == ["failed", "left out"]
    assert "stats.parquet" in str(done.views[0].why)
    (operation,) = session.operations().operations
    assert (operation.what, operation.status, operation.views) == (
        "materialize", "FAILED", ("hourly",),
    )  # fmt: skip


def test_a_store_that_was_emptied_is_said_before_an_incremental_run(session, repo) -> None:
    session.materialize(**RANGE)
    with sqlite3.connect(repo / "online.db") as database:
        database.execute("DELETE FROM drivers_hourly")
    done = session.materialize("hourly", end="2024-01-13")

    (note,) = done.notes
    assert note.startswith(
        "the online store has no row of hourly, which was loaded up to 2024-01-12"
    )
    assert "%feast_materialize hourly --start" in note
    assert (done.views[0].written, online(session)) == (0, 0)


def test_it_is_logged_once_even_where_feast_logs_too(session) -> None:
    session.store.config.mlflow.log_operations = True
    session.materialize(**RANGE)

    (operation,) = session.operations().operations
    assert operation.views == ("hourly", "profile")
    assert (operation.what, operation.status) == ("materialize", "FINISHED")
    assert operation.start == "2024-01-01T00:00:00+00:00"
    assert session.store.config.mlflow.log_operations is True


def test_a_job_on_a_server_prints_the_answer_and_nothing_else(tmp_path, mlflow_server) -> None:
    """MLflow prints a link for each run that it ends: JSON with it would be none."""
    repo = make_repository(tmp_path / "served", tracking_uri=mlflow_server)
    command = [sys.executable, "-m", "feast_nb", "materialize", "--repo", str(repo)]
    done = subprocess.run(
        [*command, "--start", "2024-01-01", "--end", "2024-01-12", "--format", "json"],
        capture_output=True, text=True,
    )  # fmt: skip

    assert json.loads(done.stdout)["notes"] == []


def test_mlflow_away_loads_and_says_so(tmp_path) -> None:
    repo = make_repository(tmp_path / "away", tracking_uri="http://127.0.0.1:9")
    session = feast_nb.open(repo)
    assert session.materialize(**RANGE).state == "loaded"
    assert session.recorder.outbox.pending() == 1
    with pytest.warns(Warned, match="kept on disk and go when it answers"):
        assert not session.recorder.flush()


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"views": "hourli"}, FeatureError, "there is no view hourli; did you mean hourly?"),
        ({"start": "soon"}, UsageError, "'soon' is no moment; write 2026-01-31"),
        ({"start": "2024-02-01", "end": "2024-01-01"}, UsageError, "is after --end"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything(session, given, kind, said) -> None:
    with pytest.raises(kind) as refused:
        session.materialize(**given)
    assert said in str(refused.value)
    assert intervals(session) == []


def test_the_magic_shows_it_and_stops_run_all_where_it_fails(notebook, repo) -> None:
    notebook.run(f"store = %feast_store {repo}")
    done = notebook.run("%feast_materialize hourly --start 2024-01-01 --end 2024-01-12")
    assert done.views[0].written == 10

    (repo / "stats.parquet").unlink()
    said = notebook.fails("%feast_materialize hourly --start 2024-01-01")
    assert said.startswith("StoreError: hourly was not loaded: ")
    assert "✗ failed" in notebook.shown[-1]["text/plain"]
    assert "give one" in notebook.fails("%feast_materialize --incremental --start 2024-01-01")


def test_in_a_job(repo, tmp_path) -> None:
    """`python -m feast_nb materialize`: what was loaded, and a code that a job can look at."""
    command = [sys.executable, "-m", "feast_nb", "materialize", "hourly", "--repo", str(repo)]
    done = subprocess.run(
        [*command, "--start", "2024-01-01", "--end", "2024-01-12", "--format", "json"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["views"][0]["written"] == 10

    (repo / "stats.parquet").unlink()
    failed = subprocess.run([*command, "--start", "2024-01-01"], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "✗ failed: 0 of 1 view" in failed.stdout
