"""The health of a project: each way of going wrong, made for real, is its own line and no other."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

import feast_nb
from feast_nb.errors import FeatureError, UsageError

from ..conftest import define, make_repository, stats, wait_for
from ..stack.feast_servers import FeatureServer

NOW = pd.Timestamp.now(tz="UTC").floor("s")
SECONDS = 60.0  # for a machine that is busy: nothing here hangs but what is meant to


def kept(frame: pd.DataFrame, repo: Path) -> None:
    """As the source, in the unit that DuckDB reads."""
    unit = {"event_timestamp": "datetime64[us, UTC]"}
    frame.astype(unit).to_parquet(repo / "stats.parquet")


def fresh(rows: int = 20) -> pd.DataFrame:
    """The tests' rows, moved so that the newest is an hour old."""
    frame = stats(rows)
    frame["event_timestamp"] += NOW - pd.Timedelta(hours=1) - frame["event_timestamp"].max()
    return frame.astype({"event_timestamp": "datetime64[us, UTC]"})


@pytest.fixture
def session(repo: Path) -> Any:
    """A project that is well: loaded whole, a moment ago."""
    fresh().to_parquet(repo / "stats.parquet")
    ages = fresh(1)[["driver_id", "event_timestamp"]].assign(age=range(30, 40))
    ages.to_parquet(repo / "ages.parquet")
    opened = feast_nb.open(repo)
    assert opened.materialize(start=NOW - pd.Timedelta(days=30), end=NOW).state == "loaded"
    return opened


def wrong(session: Any, **asked: Any) -> dict[str, str]:
    """`part name` → light and reason, of what is not green."""
    found = session.health(seconds=SECONDS, **asked)
    return {f"{x.part} {x.name}": f"{x.light}: {x.said}" for x in found.lines if x.light != "green"}


def only(found: dict[str, str], line: str) -> str:
    assert list(found) == [line], found
    return found[line]


def online_table(repo: Path, view: str = "hourly") -> Any:
    return sqlite3.connect(repo / "online.db"), f"drivers_{view}"


def test_a_project_that_is_well_is_all_green(session) -> None:
    found = session.health(seconds=SECONDS)

    assert found.light == "green", str(found)
    parts = [line.part for line in found.lines]
    assert sorted(set(parts)) == ["online store", "registry", "skew", "source", "view"]
    view = next(x for x in found.lines if (x.part, x.name) == ("view", "hourly"))
    assert view.facts["coverage"] == 1.0
    assert "10 of 10 sampled entities are online" in view.said
    skew = next(x for x in found.lines if (x.part, x.name) == ("skew", "hourly"))
    assert skew.said == "10 entities, every value is that of the source"
    assert str(found).startswith("✓ drivers: all ")


def test_a_view_that_was_never_materialized(repo) -> None:
    found = wrong(feast_nb.open(repo), views="hourly")

    assert only(found, "view hourly") == "red: it was never materialized"


def test_an_online_store_that_was_emptied(session, repo) -> None:
    database, table = online_table(repo)
    with database:
        database.execute(f"DELETE FROM {table}")
    found = session.health(seconds=SECONDS)

    lines = {f"{x.part} {x.name}": x for x in found.lines if x.light != "green"}
    assert lines["view hourly"].light == "red"
    assert lines["view hourly"].said.startswith("nothing of it is online")
    assert lines["view hourly"].remedy.startswith("%feast_materialize hourly --start ")
    assert set(lines) == {"view hourly"}


def test_some_entities_are_missing(session, repo) -> None:
    database, table = online_table(repo)
    with database:
        keys = [k for (k,) in database.execute(f"SELECT DISTINCT entity_key FROM {table}")]
        database.execute(f"DELETE FROM {table} WHERE entity_key IN (?, ?)", keys[:2])

    said = only(wrong(session), "view hourly")
    assert said.startswith("red: 2 of 10 entities that were loaded are missing")


def test_rows_that_came_late(session, repo) -> None:
    """Their event is of the range that was loaded: no incremental run loads them."""
    frame = fresh()
    late = frame[frame["driver_id"] == 3].tail(1).assign(trips=1)
    late["event_timestamp"] += pd.Timedelta(minutes=30)
    kept(pd.concat([frame, late]), repo)

    said = only(wrong(session), "view hourly")
    assert said.startswith(
        "red: rows of 1 entity came after their range was loaded: no incremental"
    )


def test_values_that_expired_and_are_served(session, repo) -> None:
    old = fresh()
    old["event_timestamp"] -= pd.Timedelta(days=5)
    kept(old, repo)
    assert (
        session.materialize("hourly", start=NOW - pd.Timedelta(days=60), end=NOW).state == "loaded"
    )
    # The online store keeps what is newer: it is emptied first.
    database, table = online_table(repo)
    with database:
        database.execute(f"DELETE FROM {table}")
    session.materialize("hourly", start=NOW - pd.Timedelta(days=60), end=NOW)

    said = only(wrong(session), "view hourly")
    assert said.startswith("red: expired: the newest is 5 days old, its TTL is 3 days")


def test_newer_values_that_nobody_loaded(session, repo) -> None:
    frame = fresh()
    newer = frame.groupby("driver_id").tail(1).assign(event_timestamp=NOW + pd.Timedelta(minutes=1))
    kept(pd.concat([frame, newer]), repo)

    said = only(wrong(session), "view hourly")
    assert said.startswith("amber: newer values of 10 entities are not loaded yet")


def test_what_no_load_was_to_bring_is_not_missing(repo) -> None:
    """The newest row of a driver lies before what was loaded: it is nobody's fault."""
    frame = fresh()
    old = frame["driver_id"] == 7
    frame.loc[old, "event_timestamp"] -= pd.Timedelta(days=2)
    kept(frame, repo)
    session = feast_nb.open(repo)
    session.materialize("hourly", start=NOW - pd.Timedelta(days=1), end=NOW)

    assert wrong(session, views="hourly") == {}


def test_every_view_of_a_source_is_looked_at(session, repo) -> None:
    from feast import FeatureView, Field
    from feast.types import Int64

    hourly = session.store.get_feature_view("hourly")
    wants = FeatureView(name="a_wants_more", entities=[session.store.get_entity("driver")],
                        schema=[Field(name="gone", dtype=Int64)],
                        source=hourly.batch_source)  # fmt: skip
    frame = fresh().assign(gone=1)
    kept(frame, repo)
    session.store.apply([wants])
    kept(frame.drop(columns="gone"), repo)

    assert wrong(session)["source stats"] == (
        "red: its source has no column gone (a_wants_more:gone)"
    )


def test_nothing_is_said_of_a_model_that_is_served_nothing(session, repo) -> None:
    from sklearn.linear_model import LinearRegression

    drivers = pd.DataFrame({"driver_id": range(10), "event_timestamp": NOW, "y": range(10)})
    with session.train("n", features=["hourly:trips"], entity_df=drivers, register="n") as made:
        made.model = LinearRegression().fit(made.frame[["trips"]], made.frame["y"])
    database, table = online_table(repo)
    with database:
        database.execute(f"DELETE FROM {table}")

    assert wrong(session, model="n/1")["model n/1"] == "unknown: nothing is online of hourly:trips"


@pytest.mark.parametrize(
    "asked", [{"sample": 0}, {"seconds": 0.0}, {"server": "127.0.0.1:6566"}], ids=str
)
def test_what_cannot_be_meant_is_refused(session, asked) -> None:
    with pytest.raises(UsageError):
        session.health(**asked)


def test_a_load_that_is_overdue(repo) -> None:
    fresh().to_parquet(repo / "stats.parquet")
    session = feast_nb.open(repo)
    ends = [NOW - pd.Timedelta(minutes=60 - m) for m in (0, 10, 20)]
    for end in ends:
        start = NOW - pd.Timedelta(days=30)
        assert session.materialize("hourly", start=start, end=end).state == "loaded"

    said = only(wrong(session, views="hourly"), "view hourly")
    assert said.startswith("amber: overdue: loaded every 10 minutes before, and not for ")


def test_a_value_online_that_is_another(session) -> None:
    """Somebody wrote into the online store: the same event, and a value that differs by one."""
    rows = fresh().query("driver_id == 4").tail(1)
    session.store.write_to_online_store("hourly", rows.assign(trips=rows["trips"] + 1))

    said = only(wrong(session), "skew hourly")
    trips = int(rows["trips"].iloc[0])
    assert said == (
        f"red: online is not offline: hourly:trips 1 of 10 (offline {trips}, online {trips + 1})"
    )


def test_a_column_of_another_type(session, repo) -> None:
    """A text where a number is declared: the source says it, and what is online is not compared."""
    fresh().assign(trips=fresh()["trips"].astype(str) + " km").to_parquet(repo / "stats.parquet")

    found = wrong(session)
    assert found.pop("source stats") == (
        "red: hourly:trips is declared Int64, its source has String"
    )
    assert set(found) <= {"skew hourly"}


def test_a_source_that_is_gone(session, repo) -> None:
    (repo / "stats.parquet").unlink()
    found = wrong(session)

    assert found["source stats"].startswith("red: it cannot be read: ")
    assert found["view hourly"].startswith("unknown: ")
    assert set(found) == {"source stats", "view hourly"}


def test_a_disabled_view(session) -> None:
    session.store.disable_feature_view("profile")

    assert only(wrong(session), "view profile") == "red: Feast does not serve it: disabled"


def test_what_a_model_is_served_lies_outside_its_training(session, repo) -> None:
    from sklearn.linear_model import LinearRegression

    drivers = pd.DataFrame({"driver_id": range(10), "event_timestamp": NOW, "y": range(10)})
    with session.train("m", features=["hourly:trips", "hourly:conv_rate"], entity_df=drivers,
                       register="m") as training:  # fmt: skip
        frame = training.frame
        training.model = LinearRegression().fit(frame[["trips", "conv_rate"]], frame["y"])
    assert wrong(session, model="m/1") == {}

    moved = fresh().assign(trips=fresh()["trips"] + 1000)
    moved.to_parquet(repo / "stats.parquet")
    session.materialize("hourly", start=NOW - pd.Timedelta(days=30), end=NOW)
    said = only(wrong(session, model="m/1"), "model m/1")
    assert said.startswith("amber: hourly:trips lies outside its range in training (")
    assert said.endswith("in 100%")


def many(moved: float = 0.0) -> pd.DataFrame:
    """A row of each of 300 drivers: numbers around 100, give or take ten."""
    draw = np.random.default_rng(5)
    rates = draw.random(300).astype("float32")
    frame = pd.DataFrame({
        "driver_id": range(300), "event_timestamp": NOW - pd.Timedelta(hours=1), "acc_rate": rates,
        "conv_rate": rates, "trips": (draw.normal(100 + moved, 10, 300)).round().astype("int64"),
    })  # fmt: skip
    return frame.astype({"event_timestamp": "datetime64[us, UTC]"})


def test_a_feature_that_moved_by_a_standard_deviation_is_red(session, repo) -> None:
    """It lies within the training's range: only how it is distributed tells."""
    from sklearn.linear_model import LinearRegression

    many().to_parquet(repo / "stats.parquet")
    session.materialize("hourly", start=NOW - pd.Timedelta(days=30), end=NOW)
    drivers = pd.DataFrame({"driver_id": range(300), "event_timestamp": NOW, "y": range(300)})
    for name, archive in (("m", True), ("bare", False)):
        with session.train(name, features=["hourly:trips", "hourly:conv_rate"], entity_df=drivers,
                           register=name, archive=archive) as training:  # fmt: skip
            frame = training.frame
            training.model = LinearRegression().fit(frame[["trips", "conv_rate"]], frame["y"])
    asked = {"sample": 300, "seconds": SECONDS}
    calm = session.health(model="m/1", **asked)
    (line,) = [x for x in calm.lines if x.part == "model"]
    assert (line.light, line.said) == ("green", "2 inputs lie within what it was trained on "
                                       "(nulls, ranges and distributions)")  # fmt: skip
    assert line.facts["hourly:trips.psi"] == 0.0
    assert len(line.facts["hourly:trips.training"]) == 10

    many(moved=10).to_parquet(repo / "stats.parquet")
    session.materialize("hourly", start=NOW - pd.Timedelta(days=30), end=NOW)
    found = session.health(model="m/1", **asked)
    (line,) = [x for x in found.lines if x.light != "green"]
    assert (line.part, line.light) == ("model", "red")
    assert line.said.startswith("hourly:trips has moved far from its training (PSI ")
    assert "hourly:conv_rate" not in line.said
    assert line.facts["hourly:trips.p"] < 0.001
    shown = str(found)
    assert "▁" in shown
    assert "hourly:trips, PSI" in shown
    assert 'fact="hourly:trips.psi"' in found.to_prometheus()

    bare = session.health(model="bare/1", **asked)
    assert bare.notes == (
        "bare/1: its run keeps no copy of its training set; distributions are not compared.",
    )
    assert [x.light for x in bare.lines if x.part == "model"] == ["amber"]  # the range tells it


def test_a_feature_server_that_hangs_is_red_and_ends_in_time(session, tmp_path) -> None:
    code = (
        "from http.server import *\n"
        "class Never(BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        import time; time.sleep(600)\n"
        "server = HTTPServer(('127.0.0.1', 0), Never)\n"
        "print(server.server_port, flush=True)\n"
        "server.serve_forever()\n"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        address = f"http://127.0.0.1:{int(server.stdout.readline())}"
        found = session.health("hourly", server=address, seconds=5)
    finally:
        server.kill()
        server.wait()
    (line,) = [x for x in found.lines if x.part == "feature server"]
    assert line.light == "red"
    assert line.said.startswith("it did not answer within ")


def test_a_feature_server_is_asked_as_a_service_asks_it(session, repo, tmp_path) -> None:
    """Real look-ups through it; one that serves another project says so, and is no well one."""
    server = FeatureServer(tmp_path, repo, {})
    try:
        server.start()
        found = session.health("hourly", server=server.url, seconds=SECONDS)
        (line,) = [x for x in found.lines if x.part == "feature server"]
        assert line.light == "green", line
        assert line.said.startswith("/health answers 200; 20 look-ups of hourly p50 ")
        assert 0 < line.facts["p50_seconds"] <= line.facts["p99_seconds"]

        other = make_repository(tmp_path / "other", define=lambda folder: named(folder, "another"))
        opened = feast_nb.open(other)
        (line,) = [x for x in opened.health(server=server.url, seconds=SECONDS).lines
                   if x.part == "feature server"]  # fmt: skip
        assert (line.light, line.remedy) == (
            "red", "see its log, and whether it serves this project",
        )  # fmt: skip
        assert line.said.startswith("a look-up of another answers ")
    finally:
        server.end()


def named(folder: Path, name: str) -> list[Any]:
    """One view of this name over the tests' rows."""
    driver, hourly, *_ = define(folder)
    hourly.name = name
    return [driver, hourly]


def test_a_process_that_cannot_begin_says_why(session, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    found = session.health("hourly")
    assert {(x.light, x.said) for x in found.lines} == {("unknown", "it was not looked at")}

    broken = session.store.repo_path / "broken"
    broken.write_text("#!/bin/sh\necho 'ImportError: no module named feast' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    found = session.health("hourly")
    said = "it was not looked at (ImportError: no module named feast)"
    assert {x.said for x in found.lines} == {said}


def test_an_interrupt_ends_it_and_leaves_no_process(session, repo) -> None:
    code = (
        "import sys, feast_nb\n"
        f"session = feast_nb.open({str(repo)!r})\n"
        "print('looking', flush=True)\n"
        "session.health(seconds=60)\n"
    )
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip
    assert running.stdout
    running.stdout.readline()
    wait_for(lambda: looking(running.pid), 60, "the process that looks")
    children = looking(running.pid)
    os.kill(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert said.rstrip().endswith("KeyboardInterrupt")
    wait_for(lambda: not any(map(psutil.pid_exists, children)), 60, "it to be gone")


def looking(pid: int) -> list[int]:
    """The processes that look for a process."""
    found = psutil.Process(pid).children(recursive=True)
    return [one.pid for one in found if any("health.process" in part for part in one.cmdline())]


def test_the_process_stays_for_the_next_look_and_ends_with_whoever_asks(repo, session) -> None:
    """Another repository, another environment: each look takes on its own."""
    code = (
        "import os, sys, feast_nb, psutil\n"
        "from feast_nb.operations import health_process\n"
        "pids, said = set(), []\n"
        "for folder, name in zip(sys.argv[1:], ('one', 'two')):\n"
        "    os.environ['STORE'] = f'{folder}/online.db'\n"
        "    found = feast_nb.open(folder).health(seconds=60)\n"
        "    said.append({l.name: l.light for l in found.lines if l.part == 'view'})\n"
        "    pids.add(health_process._kept[0]._process.pid)\n"
        "print(len(pids), said, sep='|')\n"
        "print(*pids)\n"
    )
    other = make_repository(repo.parent / "other", define=lambda folder: named(folder, "another"))
    for folder in (repo, other):
        yaml = folder / "feature_store.yaml"
        yaml.write_text(yaml.read_text().replace("path: online.db", 'path: "${STORE}"'))
    done = subprocess.run([sys.executable, "-c", code, str(repo), str(other)],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.strip().splitlines()[-2:]
    assert first == "1|[{'hourly': 'green', 'profile': 'green'}, {'another': 'red'}]"
    wait_for(lambda: not psutil.pid_exists(int(second)), 60, "it to end")


def test_a_look_writes_nothing(session, repo) -> None:
    """No run, no prediction, no state: a look every minute leaves nothing behind."""
    from mlflow import MlflowClient

    def everything() -> list[str]:
        api = MlflowClient(f"sqlite:///{repo}/mlflow.db")
        ids = [e.experiment_id for e in api.search_experiments()]
        return sorted(run.info.run_id for run in api.search_runs(ids))

    assert session.recorder.flush()  # what was loaded for these tests
    before, registry = everything(), (repo / "registry.db").read_bytes()
    session.health(seconds=SECONDS)
    assert (everything(), (repo / "registry.db").read_bytes()) == (before, registry)


def test_a_view_that_is_none_is_refused(session) -> None:
    with pytest.raises(FeatureError, match="no view hourli is served online; did you mean hourly"):
        session.health("hourli")


def test_the_magic_a_frame_and_metrics(notebook, session, repo) -> None:
    notebook.run(f"store = %feast_store {repo}")
    found = notebook.run(f"%feast_health hourly --seconds {SECONDS}")

    frame = found.to_pandas()
    assert list(frame.columns[:4]) == ["part", "name", "light", "said"]
    from prometheus_client.parser import text_string_to_metric_families

    families = {f.name: f for f in text_string_to_metric_families(found.to_prometheus())}
    lights = {(s.labels["part"], s.labels["name"]): s.value
              for s in families["feast_nb_health"].samples}  # fmt: skip
    assert lights["view", "hourly"] == 0.0
    facts = {s.labels["fact"] for s in families["feast_nb_health_fact"].samples}
    assert {"coverage", "age_seconds", "p99_seconds"} <= facts


def test_in_a_job(session, repo) -> None:
    command = [sys.executable, "-m", "feast_nb", "health", "--repo", str(repo), "--seconds", "60"]
    well = subprocess.run([*command, "--format", "json"], capture_output=True, text=True)
    assert well.returncode == 0, well.stdout + well.stderr
    assert {line["light"] for line in json.loads(well.stdout)["lines"]} == {"green"}

    database, table = online_table(repo)
    with database:
        database.execute(f"DELETE FROM {table}")
    ill = subprocess.run([*command, "--format", "prometheus"], capture_output=True, text=True)
    assert ill.returncode == 1
    assert 'feast_nb_health{name="hourly",part="view",project="drivers"} 2.0' in ill.stdout
