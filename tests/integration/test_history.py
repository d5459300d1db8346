"""A local copy of an MLflow store equals the store, whatever happened to it in between."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import feast_nb.history.sync
from feast_nb.errors import TrackingError
from feast_nb.history import History, database, queries
from feast_nb.integrations.mlflow.pages import Pages

from ..conftest import STARTUP

TABLES = {
    "experiments": "SELECT * FROM experiments",
    "runs": "SELECT r.*, a.refs, d.* FROM runs r LEFT JOIN asked a ON a.id = r.asked "
    "JOIN details d ON d.run = r.id",
    "versions": "SELECT v.*, a.refs FROM versions v LEFT JOIN asked a ON a.id = v.asked",
    "aliases": "SELECT name, alias, version FROM aliases",
}


def told(history: History) -> dict[str, set[tuple[Any, ...]]]:
    """Everything a copy holds, but for the numbers it gave to lists of references."""
    found = {}
    for name, sql in TABLES.items():
        cursor = history._db.execute(sql)
        places = [n for n, c in enumerate(cursor.description) if c[0] != "asked"]
        found[name] = {tuple(row[n] for n in places) for row in cursor}
    return found


def tags(refs: str = "hourly:trips", project: str = "p", **more: str) -> dict[str, str]:
    return {
        "feast.project": project,
        "feast.retrieval_type": "historical",
        "feast.feature_refs": refs,
        "feast.feature_count": str(len(refs.split(","))),
        **{k.replace("__", "."): v for k, v in more.items()},
    }


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with nothing in it: making one takes seconds."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def server(empty: Path, tmp_path: Path) -> Any:
    import mlflow

    shutil.copy(empty, tmp_path / "mlflow.db")
    return mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


@pytest.fixture
def uri(server: Any) -> str:
    return str(server.tracking_uri)


def pages(uri: str) -> Pages:
    return Pages(uri, None, "p")


class Changes(RuleBasedStateMachine):
    """What people and other programs do to a tracking server between two refreshes."""

    folder: Path
    uri: str
    number = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        import mlflow

        self.mine = f"p{next(self.number)}"  # one store for all examples: opening one takes long
        self.api = mlflow.MlflowClient(self.uri)
        self.experiments = [self.api.create_experiment(f"{self.mine}-{n}") for n in "ab"]
        self.history = History(self.folder / f"{self.mine}.sqlite")
        self.steps = 0
        self.running: list[str] = []
        self.ended: list[str] = []
        self.deleted: list[str] = []
        self.models: dict[str, list[int]] = {}

    @initialize()
    def some_runs_are_there(self) -> None:
        for refs in ("a:x", "a:x,b:y", "b:y"):
            run = self.api.create_run(self.experiments[0], tags=tags(refs, self.mine))
            self.api.set_terminated(run.info.run_id)
            self.ended.append(run.info.run_id)

    @invariant()
    def is_refreshed_now_and_then(self) -> None:
        self.steps += 1
        if self.steps % 2:
            self.refreshes()

    def teardown(self) -> None:
        self.refreshes()
        anew = History(self.folder / f"{self.mine}-anew.sqlite")
        anew.refresh(Pages(self.uri, None, self.mine))
        try:
            assert told(self.history) == told(anew)
        finally:
            anew.close()
            self.history.close()

    def drawn(self, data: Any, these: list[Any]) -> Any:
        return these[data.draw(st.integers(0, len(these) - 1))]

    def refreshes(self) -> None:
        self.history.refresh(Pages(self.uri, None, self.mine))
        time.sleep(0.002)  # MLflow's times are whole milliseconds

    @rule(data=st.data(), ours=st.booleans(), refs=st.sampled_from(["a:x", "a:x,b:y"]))
    def starts(self, data: Any, ours: bool, refs: str) -> None:
        experiment = self.drawn(data, self.experiments)
        run = self.api.create_run(experiment, tags=tags(refs, self.mine) if ours else {})
        self.running.append(run.info.run_id)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), status=st.sampled_from(["FINISHED", "FAILED", "KILLED"]))
    def ends(self, data: Any, status: str) -> None:
        run = self.drawn(data, self.running)
        self.api.set_terminated(run, status)
        self.running.remove(run)
        self.ended.append(run)

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def is_resumed(self, data: Any) -> None:
        run = self.drawn(data, self.ended)
        self.api.update_run(run, status="RUNNING")
        self.ended.remove(run)
        self.running.append(run)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), name=st.sampled_from(["new", "newer"]))
    def is_renamed_and_tagged_while_running(self, data: Any, name: str) -> None:
        run = self.drawn(data, self.running)
        self.api.update_run(run, name=name)
        self.api.set_tag(run, "feast.feature_service", name)
        self.api.log_metric(run, "rmse", len(name))

    @precondition(lambda self: self.ended)
    @rule(data=st.data(), service=st.sampled_from(["s", "t"]))
    def is_written_to_late(self, data: Any, service: str) -> None:
        run = self.drawn(data, self.ended)
        self.api.set_tag(run, "feast.feature_service", service)
        if "feast.project" in self.api.get_run(run).data.tags:
            self.api.log_metric(run, "feast_nb.written_at", time.time())

    @precondition(lambda self: self.running or self.ended)
    @rule(data=st.data())
    def is_deleted(self, data: Any) -> None:
        run = self.drawn(data, self.running + self.ended)
        self.api.delete_run(run)
        (self.running if run in self.running else self.ended).remove(run)
        self.deleted.append(run)

    @precondition(lambda self: self.deleted)
    @rule(data=st.data())
    def is_restored(self, data: Any) -> None:
        run = self.drawn(data, self.deleted)
        self.api.restore_run(run)
        self.deleted.remove(run)
        running = self.api.get_run(run).info.status == "RUNNING"
        (self.running if running else self.ended).append(run)

    @precondition(lambda self: self.running or self.ended)
    @rule(data=st.data(), which=st.sampled_from("mn"))
    def is_registered(self, data: Any, which: str) -> None:
        name = f"{self.mine}-{which}"
        if name not in self.models:
            self.api.create_registered_model(name)
        run = self.drawn(data, self.running + self.ended)
        version = self.api.create_model_version(name, f"runs:/{run}/model", run)
        self.models.setdefault(name, []).append(int(version.version))

    @precondition(lambda self: any(self.models.values()))
    @rule(
        data=st.data(),
        what=st.sampled_from(["alias", "unalias", "stage", "tag", "features", "delete"]),
    )
    def version_changes(self, data: Any, what: str) -> None:
        name = self.drawn(data, [n for n, versions in self.models.items() if versions])
        version = self.drawn(data, self.models[name])
        if what == "alias":
            self.api.set_registered_model_alias(name, "champion", version)
        elif what == "unalias":
            self.api.delete_registered_model_alias(name, "champion")
        elif what == "stage":
            self.api.transition_model_version_stage(name, version, "Production")
        elif what == "tag":
            self.api.set_model_version_tag(name, version, "feast.feature_service", "s")
        elif what == "features":
            self.api.set_model_version_tag(name, version, "feast_nb.features", "a:x")
        else:
            self.api.delete_model_version(name, version)
            self.models[name].remove(version)

    @precondition(lambda self: f"{self.mine}-m" in self.models)
    @rule()
    def model_is_renamed(self) -> None:
        name = f"{self.mine}-{next(self.number)}"
        self.api.rename_registered_model(f"{self.mine}-m", name)
        self.models[name] = self.models.pop(f"{self.mine}-m")


@pytest.mark.slow
def test_after_any_changes_a_refreshed_copy_equals_one_made_anew(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no overlap between two refreshes: with it, all of this lies within two minutes."""
    monkeypatch.setattr(feast_nb.history.sync, "OVERLAP", 0)
    Changes.folder, Changes.uri = tmp_path, uri
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Changes,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.generate],  # making a failure smaller takes minutes: read it as it is
            suppress_health_check=list(HealthCheck),
        ),
    )


# ---------------------------------------------------------------------- one by one


def made(api: Any, count: int = 1, refs: str = "hourly:trips", **more: str) -> list[str]:
    """Runs that have ended."""
    known = api.get_experiment_by_name("p")
    experiment = known.experiment_id if known else api.create_experiment("p")
    ids = []
    for _ in range(count):
        run = api.create_run(experiment, tags=tags(refs, **more))
        api.set_terminated(run.info.run_id)
        ids.append(run.info.run_id)
    return ids


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    opened = History(tmp_path / "cache" / "history.sqlite")
    yield opened
    opened.close()


def test_nothing_new_is_at_most_eight_requests(server: Any, uri: str, history: History) -> None:
    made(server, 5)
    history.refresh(pages(uri))
    again = pages(uri)
    history.refresh(again)

    assert again.requests <= 8


def test_what_is_written_late_is_seen(
    server: Any, uri: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feast_nb.history.sync, "OVERLAP", 0)
    old, *_ = made(server, 3)
    history.refresh(pages(uri))
    time.sleep(0.01)
    server.set_tag(old, "feast.feature_service", "late")
    server.log_metric(old, "feast_nb.written_at", time.time())
    history.refresh(pages(uri))

    assert queries.runs(history, ids=[old])[0].service == "late"


def test_deleted_and_restored(
    server: Any, uri: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feast_nb.history.sync, "OVERLAP", 0)
    old, *_ = made(server, 3)
    history.refresh(pages(uri))
    server.delete_run(old)
    history.refresh(pages(uri))
    assert sum(g.runs for g in queries.groups(history)) == 2
    server.restore_run(old)
    history.refresh(pages(uri))
    assert sum(g.runs for g in queries.groups(history)) == 3


def test_another_projects_runs_are_not_copied(server: Any, uri: str, history: History) -> None:
    made(server, 2)
    other = server.create_run("0", tags={"feast.project": "other"})
    server.create_run("0")
    history.refresh(pages(uri))

    assert [i for (i,) in history.rows("SELECT id FROM runs WHERE id = ?", other.info.run_id)] == []
    assert history.rows("SELECT count(*) FROM runs") == [(2,)]


def test_a_project_of_strange_name(server: Any, uri: str, history: History) -> None:
    run = server.create_run("0", tags={**tags(), "feast.project": "it's"})
    history.refresh(Pages(uri, None, "it's"))

    assert history.rows("SELECT id FROM runs") == [(run.info.run_id,)]


class Breaks(Pages):
    """A server that goes away after some pages."""

    pages_left = 2

    def runs(self, where: str = "", **more: Any) -> Iterator[list[Any]]:
        for page in super().runs(where, **more):
            if not more and where:
                if not self.pages_left:
                    raise TrackingError("gone")
                self.pages_left -= 1
            yield page


def test_an_interrupted_first_copy_goes_on_where_it_stopped(
    server: Any, uri: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feast_nb.integrations.mlflow.pages.PAGE", 4)
    made(server, 20)
    with pytest.raises(TrackingError):
        history.refresh(Breaks(uri, None, "p"))
    assert history.as_of is None
    assert history.rows("SELECT count(*) FROM runs") == [(7,)]  # two pages, one run on both
    wheres: list[str] = []

    class Rest(Pages):
        def runs(self, where: str = "", **more: Any) -> Iterator[list[Any]]:
            wheres.append(where)
            return super().runs(where, **more)

    newest = max(at for (at,) in history.rows("SELECT started FROM runs"))
    history.refresh(Rest(uri, None, "p"))

    assert next(w for w in wheres if w).startswith(f"attributes.start_time >= {newest} AND")
    assert history.rows("SELECT count(*) FROM runs") == [(20,)]


def test_reading_anew_finds_what_no_refresh_can(
    server: Any, uri: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feast_nb.history.sync, "OVERLAP", 0)
    old, *_ = made(server, 3)
    history.refresh(pages(uri))
    server.set_tag(old, "feast.feature_service", "edited")
    history.refresh(pages(uri))
    assert queries.runs(history, ids=[old])[0].service is None
    history.refresh(pages(uri), anew=True)
    assert queries.runs(history, ids=[old])[0].service == "edited"


def test_a_first_copy_tells_how_far_it_is(server: Any, uri: str, history: History) -> None:
    made(server, 4)
    told_: list[tuple[int, float]] = []
    history.refresh(pages(uri), progress=lambda count, share: told_.append((count, share)))

    assert told_[-1] == (4, 1.0)
    assert [s for _, s in told_] == sorted(s for _, s in told_)


def test_references_too_many_for_a_tag_are_read_from_the_run(
    server: Any, uri: str, history: History, tmp_path: Path
) -> None:
    import json

    from feast_nb.records.retrieval import Retrieval, Retrievals

    refs = tuple(f"hourly:f{n}" for n in range(300))
    (run,) = made(server, 1, feast_nb__refs_missing="290")
    document = Retrievals(run, (Retrieval("r", "historical", "p", refs, "ran"),))
    server.log_text(run, json.dumps(document.to_dict()), "feast/retrievals.json")
    history.refresh(pages(uri))

    assert queries.runs(history, ids=[run])[0].refs == refs
    assert queries.groups(history)[0].cut == 0


def test_what_feast_cut_is_never_taken_for_a_reference(
    server: Any, uri: str, history: History
) -> None:
    made(server, 1, "hourly:trips,hourly:conv_r...", feast__feature_count="300")
    history.refresh(pages(uri))
    (group,) = queries.groups(history)

    assert group.refs == ("hourly:trips",)
    assert group.cut == 1


def test_a_contract_that_no_tag_tells_is_read_once(server: Any, uri: str, history: History) -> None:
    import json

    from feast_nb.records.contract import Contract, Input

    (run,) = made(server, 1, "hourly:trips,hourly:rating")
    contract = Contract("m-1", run, "p", inputs=(Input("trips", "hourly:trips"),), service="s")
    server.log_text(run, json.dumps(contract.to_dict()), "feast/contracts/m-1.json")
    server.create_registered_model("m")
    where = f"runs:/{run}/feast/contracts/m-1.json"
    server.create_model_version("m", f"runs:/{run}/model", run, tags={"feast_nb.contract": where})
    history.refresh(pages(uri))
    (model,) = queries.models(history)
    assert (model.refs, model.own, model.service) == (("hourly:trips",), True, "s")
    again = pages(uri)
    history.refresh(again)
    assert again.requests <= 8


# ---------------------------------------------------------------------- the file


def test_a_file_that_is_broken_is_made_anew_with_a_word(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    opened = History(path)

    assert "broken" in str(opened.why)
    assert opened.rows("SELECT count(*) FROM runs") == [(0,)]
    opened.close()


def test_a_file_of_another_format_is_made_anew_with_a_word(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    opened = History(path)
    opened.note(format=0)
    opened.close()
    again = History(path)

    assert again.why == "was kept in format 0"
    again.close()
    assert History(path).why is None


def test_a_file_of_ours_is_opened_as_it_is(server: Any, uri: str, tmp_path: Path) -> None:
    made(server, 2)
    path = tmp_path / "history.sqlite"
    first = History(path)
    first.refresh(pages(uri))
    first.close()
    again = History(path)

    assert again.why is None
    assert again.rows("SELECT count(*) FROM runs") == [(2,)]
    again.close()


def test_no_address_and_no_password_in_the_files_name_or_content(
    server: Any, uri: str, tmp_path: Path
) -> None:
    path = database.path_of(tmp_path, "https://me:hunter2@mlflow.example", None, "p")
    made(server, 1)
    opened = History(path)
    opened.refresh(pages(uri))
    opened.close()

    assert not [p for p in tmp_path.rglob("*") if "hunter2" in p.name or "example" in p.name]
    assert not [p for p in tmp_path.glob("*.sqlite*") if b"hunter2" in p.read_bytes()]
    assert path != database.path_of(tmp_path, "https://me:hunter2@mlflow.example", None, "q")
    assert path != database.path_of(tmp_path, "https://me:hunter2@mlflow.example", "other", "p")


REFRESHES = """
import sys
from pathlib import Path
from feast_nb.history import History
from feast_nb.integrations.mlflow.pages import Pages
history = History(Path(sys.argv[1]))
for _ in range(int(sys.argv[3])):
    history.refresh(Pages(sys.argv[2], None, "p"), anew=True)
    print("done", flush=True)
"""


def process(path: Path, uri: str, times: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", REFRESHES, str(path), uri, str(times)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([STARTUP, str(root)])},
    )


@pytest.mark.slow
def test_two_processes_share_one_file(server: Any, uri: str, tmp_path: Path) -> None:
    made(server, 30)
    path = tmp_path / "history.sqlite"
    both = [process(path, uri, 3) for _ in range(2)]
    opened = History(path)
    while any(p.poll() is None for p in both):  # asked all the while
        counts = opened.rows("SELECT count(*) FROM runs")
        assert counts[0][0] in range(31)
        time.sleep(0.02)

    assert [p.wait() for p in both] == [0, 0]
    opened.refresh(pages(uri))
    assert opened.rows("SELECT count(*) FROM runs") == [(30,)]
    opened.close()


@pytest.mark.slow
def test_a_killed_writer_corrupts_nothing(server: Any, uri: str, tmp_path: Path) -> None:
    made(server, 40)
    path = tmp_path / "history.sqlite"
    for wait in (0.0, 0.02, 0.05, 0.08):
        writer = process(path, uri, 1000)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(wait)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        with contextlib.closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    opened = History(path)
    opened.refresh(pages(uri))

    assert opened.why is None
    assert opened.rows("SELECT count(*) FROM runs") == [(40,)]
    opened.close()


def test_asking_from_several_threads(server: Any, uri: str, history: History) -> None:
    made(server, 10)
    history.refresh(pages(uri))
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(queries.runs(history)))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [10] * 8


# ---------------------------------------------------------------------- while it is read


class Meanwhile(Pages):
    """A server on which something happens after the first page of runs."""

    happens: Any = None

    def runs(self, where: str = "", **more: Any) -> Iterator[list[Any]]:
        for page in super().runs(where, **more):
            yield page
            if where and page and self.happens is not None:
                self.happens, happens = None, self.happens
                happens()


def test_a_run_deleted_while_it_is_read_hides_no_other(
    server: Any, uri: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feast_nb.integrations.mlflow.pages.PAGE", 4)
    ids = made(server, 12)
    reader = Meanwhile(uri, None, "p")
    reader.happens = lambda: server.delete_run(ids[0])
    history.refresh(reader)

    assert history.rows("SELECT count(*) FROM runs") == [(12,)]
    assert history.rows("SELECT id FROM runs WHERE deleted = 1") == [(ids[0],)]


def test_a_run_restored_while_it_is_read_is_there(
    server: Any, uri: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feast_nb.integrations.mlflow.pages.PAGE", 4)
    ids = made(server, 12)
    server.delete_run(ids[0])
    reader = Meanwhile(uri, None, "p")
    reader.happens = lambda: server.restore_run(ids[0])
    history.refresh(reader)

    assert history.rows("SELECT count(*) FROM runs WHERE deleted = 0") == [(12,)]


def test_what_happened_between_an_interruption_and_going_on_is_read(
    server: Any, uri: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feast_nb.integrations.mlflow.pages.PAGE", 4)
    monkeypatch.setattr(feast_nb.history.sync, "OVERLAP", 0)
    first, *_ = made(server, 20)
    with pytest.raises(TrackingError):
        history.refresh(Breaks(uri, None, "p"))
    time.sleep(0.01)
    server.set_tag(first, "feast.feature_service", "late")
    server.log_metric(first, "feast_nb.written_at", time.time())
    made(server, 1)
    history.refresh(pages(uri))

    assert history.rows("SELECT count(*) FROM runs") == [(21,)]
    assert queries.runs(history, ids=[first])[0].service == "late"


def test_reading_anew_that_fails_leaves_what_was_there(
    server: Any, uri: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feast_nb.integrations.mlflow.pages.PAGE", 4)
    made(server, 20)
    history.refresh(pages(uri))
    before = history.as_of
    with pytest.raises(TrackingError):
        history.refresh(Breaks(uri, None, "p"), anew=True)

    assert (history.as_of, history.rows("SELECT count(*) FROM runs")) == (before, [(20,)])


def test_a_store_made_anew_at_the_same_address_is_another_one(
    empty: Path, server: Any, uri: str, history: History, tmp_path: Path
) -> None:
    """Whoever runs a tutorial twice has one: the same numbers of experiments, other runs."""
    import mlflow

    made(server, 5)
    history.refresh(pages(uri))
    other = tmp_path / "other.db"
    shutil.copy(empty, other)
    again = mlflow.MlflowClient(f"sqlite:///{other}")
    made(again, 2)
    history.refresh(pages(f"sqlite:///{other}"))

    assert history.rows("SELECT count(*) FROM runs") == [(2,)]


def imported(server: Any) -> None:
    """An old run in an experiment that was not there before."""
    late = server.create_experiment("imported")
    run = server.create_run(late, start_time=1_000_000, tags=tags())
    server.set_terminated(run.info.run_id, end_time=1_000_001)


def test_an_experiment_that_comes_late_with_old_runs(
    server: Any, uri: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported, or only now to be seen by this user."""
    monkeypatch.setattr(feast_nb.history.sync, "OVERLAP", 0)
    made(server, 2)
    history.refresh(pages(uri))
    imported(server)
    history.refresh(pages(uri))

    assert history.rows("SELECT count(*) FROM runs") == [(3,)]


@pytest.mark.parametrize("text", ['{"schema_version": "9.0"}', "no json", "[]", "null"])
def test_one_file_that_cannot_be_read_stops_nobody(
    server: Any, uri: str, history: History, text: str
) -> None:
    (run,) = made(server, 1, feast_nb__refs_missing="3")
    server.log_text(run, text, "feast/retrievals.json")
    server.log_text(run, text, "feast/contracts/m-1.json")
    server.create_registered_model("m")
    where = f"runs:/{run}/feast/contracts/m-1.json"
    server.create_model_version("m", f"runs:/{run}/model", run, tags={"feast_nb.contract": where})
    history.refresh(pages(uri))
    (model,) = queries.models(history)
    assert (model.refs, model.own) == (("hourly:trips",), False)
    again = pages(uri)
    history.refresh(again)
    # The contract is not asked for again; the run of a moment ago is, by its start and its end.
    assert again.requests <= 8 + 2


def test_a_model_whose_run_is_gone_for_good_is_still_there(
    server: Any, uri: str, history: History
) -> None:
    """`mlflow gc`: whoever serves it still needs its features."""
    server.create_registered_model("m")
    mine = {"feast_nb.features": "hourly:trips", "feast_nb.project": "p"}
    server.create_model_version("m", "runs:/gone/model", None, tags=mine)
    server.create_model_version(
        "m", "runs:/gone/model", None, tags={**mine, "feast_nb.project": "q"}
    )
    server.set_registered_model_alias("m", "champion", 1)
    made(server, 1)
    history.refresh(pages(uri))
    (model,) = queries.models(history, (), "p")

    assert (model.shown, model.aliases, model.refs) == ("m/1", ("champion",), ("hourly:trips",))


def test_a_training_that_loads_the_champion_is_a_training(
    server: Any, uri: str, history: History
) -> None:
    """Feast's `load_model` tags the run that is open with the model that it loads."""
    (run,) = made(server, 1, feast__model_name="champion", feast__model_version="1")
    made(server, 1, feast__model_name="champion", feast__model_version="1")
    server.create_registered_model("challenger")
    server.create_model_version("challenger", f"runs:/{run}/model", run)
    history.refresh(pages(uri))

    assert sorted(g.kind for g in queries.groups(history)) == ["prediction", "training"]


@pytest.mark.parametrize("number", ["inf", "nan", "many", ""])
def test_numbers_that_are_none(server: Any, uri: str, history: History, number: str) -> None:
    made(server, 1, feast__entity_df_rows=number)
    history.refresh(pages(uri))

    assert queries.runs(history)[0].rows is None


def test_no_secret_is_kept(server: Any, uri: str, history: History) -> None:
    run = server.create_run("0", tags=tags(mlflow__source__name="https://me:hunter2@git/x.ipynb"))
    server.log_param(run.info.run_id, "password", "hunter2")
    history.refresh(pages(uri))

    assert b"hunter2" not in history.path.read_bytes()
    assert history.path.stat().st_mode & 0o077 == 0


def test_what_is_gone_goes_also_where_reading_anew_was_interrupted(
    empty: Path, server: Any, uri: str, history: History, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The runs of a database that was made anew, of which the first reading failed midway."""
    import mlflow

    monkeypatch.setattr("feast_nb.integrations.mlflow.pages.PAGE", 4)
    made(server, 5)
    history.refresh(pages(uri))
    other = f"sqlite:///{tmp_path}/other.db"
    shutil.copy(empty, tmp_path / "other.db")
    made(mlflow.MlflowClient(other), 20)
    with pytest.raises(TrackingError):
        history.refresh(Breaks(other, None, "p"))
    history.refresh(pages(other))

    assert history.rows("SELECT count(*) FROM runs") == [(20,)]


class FailsLate(Pages):
    """A server that goes away when its models are asked for."""

    def versions(self) -> Iterator[Any]:
        raise TrackingError("gone")


class FailsEarly(Pages):
    """A server that goes away after it told its experiments."""

    def runs(self, where: str = "", **more: Any) -> Iterator[list[Any]]:
        raise TrackingError("gone")


@pytest.mark.parametrize("fails", [FailsLate, FailsEarly])
def test_an_experiment_is_known_only_when_its_runs_are(
    server: Any, uri: str, history: History, monkeypatch: pytest.MonkeyPatch, fails: type[Pages]
) -> None:
    monkeypatch.setattr(feast_nb.history.sync, "OVERLAP", 0)
    made(server, 2)
    history.refresh(pages(uri))
    imported(server)
    with pytest.raises(TrackingError):
        history.refresh(fails(uri, None, "p"))
    history.refresh(pages(uri))

    assert history.rows("SELECT count(*) FROM runs") == [(3,)]


def test_a_notebook_is_found_by_its_whole_path_and_not_by_its_end(
    server: Any, uri: str, history: History
) -> None:
    """The same checkout in two homes; of a run that knows only the end, the end is compared."""
    paths = ("/home/ann/team/a.ipynb", "/home/bob/team/a.ipynb", "team/a.ipynb", "a.ipynb",
             "notebook")  # fmt: skip
    ids = {path: made(server, 1, feast_nb__notebook=path)[0] for path in paths}
    history.refresh(pages(uri))

    def of(path: str) -> set[str]:
        found = {r.id for r in queries.runs(history, notebook=path)}
        return {path for path, id in ids.items() if id in found}

    assert of("/home/ann/team/a.ipynb") == {"/home/ann/team/a.ipynb", "team/a.ipynb", "a.ipynb"}
    assert of("/srv/a.ipynb") == {"a.ipynb"}
    assert of("/srv/b.ipynb") == set()
