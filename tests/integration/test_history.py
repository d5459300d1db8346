"""A local copy of an MLflow store equals the store, whatever happened to it in between."""

from __future__ import annotations

import itertools
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import feast_nb.history
from feast_nb.history import History
from feast_nb.runs.reading import Pages

TABLES = {
    "experiments": "SELECT id, name, deleted FROM experiments",
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
    monkeypatch.setattr(feast_nb.history, "OVERLAP", 0)
    Changes.folder, Changes.uri = tmp_path, uri
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Changes,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
