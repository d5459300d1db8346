"""NATIVE.md, group 3: runs that land elsewhere than the user said, and global side effects."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from ..conftest import make_repository
from .conftest import change_yaml


def experiment_of(store: Any, run: Any) -> str:
    """The name of the experiment that a run is in, as the store's server has it."""
    client = store.mlflow.client
    name: str = client.get_experiment(client.get_run(run.info.run_id).info.experiment_id).name
    return name


def choose(store: Any, experiment: str) -> None:
    """Choose an experiment as MLflow's users do."""
    mlflow.set_tracking_uri(store.config.mlflow.tracking_uri)
    mlflow.set_experiment(experiment)


def fill(store: Any) -> None:
    """Some experiments more, so that the project's has an id that no other server knows."""
    for name in ("one", "two", "three"):
        store.mlflow.client.create_experiment(name)


@pytest.fixture
def elsewhere(template: Path, tmp_path: Path) -> str:
    """Another tracking server, with nothing on it."""
    shutil.copy(template / "mlflow.db", tmp_path / "elsewhere.db")
    return f"sqlite:///{tmp_path}/elsewhere.db"


@pytest.mark.conformance("3.5")
def test_3_5_the_chosen_experiment_is_respected(alone, load) -> None:
    """`set_experiment`, then `store.mlflow.start_run()`: Feast switches to the project's experiment.

    Right is what Feast's docstring says: the choice holds, for this run, for later plain ones, and
    for a nested child.
    """

    def three_runs(store):
        choose(store, "my-experiment")
        with store.mlflow.start_run() as first:
            pass
        with mlflow.start_run() as plain:
            pass
        choose(store, "my-experiment")
        with mlflow.start_run() as parent, store.mlflow.start_run(nested=True) as child:
            pass
        return [experiment_of(store, run) for run in (first, plain, parent, child)]

    assert three_runs(alone) == ["drivers", "drivers", "my-experiment", "drivers"]

    assert three_runs(load()) == ["my-experiment"] * 4


@pytest.mark.conformance("3.5")
def test_3_5_a_run_of_another_experiment_is_resumed(alone, load) -> None:
    """`start_run(run_id=…)` of a run that is not in the project's experiment: Feast raises.

    Right is that the run goes on where it is.
    """

    def resume(store):
        choose(store, "my-experiment")
        with mlflow.start_run() as first:
            pass
        with store.mlflow.start_run(run_id=first.info.run_id) as again:
            pass
        assert again.info.run_id == first.info.run_id
        return experiment_of(store, again)

    with pytest.raises(mlflow.MlflowException, match="experiment ID"):
        resume(alone)

    assert resume(load()) == "my-experiment"


@pytest.mark.conformance("3.5")
def test_3_5_a_chosen_experiment_is_used_though_the_projects_is_deleted(alone, load) -> None:
    """The project's experiment was deleted in MLflow: Feast raises, whatever the user chose.

    Right is that a chosen experiment is used.
    """

    def start(store):
        client = store.mlflow.client
        client.delete_experiment(client.create_experiment("drivers"))
        choose(store, "my-experiment")
        with store.mlflow.start_run() as run:
            pass
        return experiment_of(store, run)

    with pytest.raises(mlflow.MlflowException, match="deleted experiment"):
        start(alone)

    assert start(load()) == "my-experiment"


@pytest.mark.conformance("3.5")
def test_3_5_a_switch_of_servers_is_followed(alone, load, elsewhere) -> None:
    """Another server is chosen afterwards: MLflow looks there for the experiment that Feast chose.

    Right is that what `store.mlflow.start_run()` did does not stand in the way of a plain run.
    """

    def switch(store):
        with store.mlflow.start_run():
            pass
        mlflow.set_tracking_uri(elsewhere)
        with mlflow.start_run() as run:
            pass
        return MlflowClient(elsewhere).get_run(run.info.run_id).info.status

    fill(alone)
    with pytest.raises(mlflow.MlflowException, match="No Experiment with id"):
        switch(alone)

    store = load()
    fill(store)
    assert switch(store) == "FINISHED"


@pytest.mark.conformance("3.5")
def test_3_5_a_choice_made_on_another_server_is_none_here(alone, load, elsewhere) -> None:
    """An experiment chosen on another server: Feast takes the project's, and so do we."""

    def start(store):
        mlflow.set_tracking_uri(elsewhere)
        for name in ("one", "two", "three"):  # its id is none of the store's server
            mlflow.set_experiment(name)
        with store.mlflow.start_run() as run:
            pass
        return experiment_of(store, run)

    assert start(alone) == "drivers"

    assert start(load()) == "drivers"


@pytest.mark.conformance("3.5")
def test_3_5_another_stores_run_is_no_choice_of_the_user(alone, load, tmp_path, repo) -> None:
    """Two projects on one server: each store's runs go to its own project's experiment.

    Feast alone does that; what one store's `start_run` sets must not be read as the user's choice.
    """
    from feast import FeatureStore

    server = f"sqlite:///{repo}/mlflow.db"
    other = make_repository(tmp_path / "other", project="riders", tracking_uri=server)

    def one_after_the_other(first, second):
        with first.mlflow.start_run() as run_1:
            pass
        with second.mlflow.start_run() as run_2:
            pass
        return [experiment_of(first, run_1), experiment_of(second, run_2)]

    alone.config.mlflow.tracking_uri = server
    native = one_after_the_other(alone, FeatureStore(repo_path=str(other)))
    assert native == ["drivers", "riders"], "Feast alone"

    first, second = load(), FeatureStore(repo_path=str(other))

    assert one_after_the_other(first, second) == ["drivers", "riders"]
    load.book.space["store"] = second
    assert load.book.run("%%feast_run own\n1").experiment == "riders"


@pytest.mark.conformance("3.4")
def test_3_4_the_repository_named_last_is_the_one_that_is_used(load, tmp_path) -> None:
    """Two stores, both touched: Feast goes on with the first. Right is the one just named."""
    other = make_repository(tmp_path / "other", project="riders")

    first, second = load(), load(other)

    assert (first.project, second.project) == ("drivers", "riders")
    assert load.book.run("%%feast_run own\n1").experiment == "riders"


@pytest.mark.conformance("3.8")
def test_3_8_a_relative_tracking_database_is_the_repositorys(
    repo, tmp_path, monkeypatch, load, drivers
) -> None:
    """`sqlite:///mlflow.db` in the YAML: Feast alone makes one database in each notebook's folder.

    Right is one database, beside `feature_store.yaml`.
    """
    from feast import FeatureStore

    # given what Feast alone does (the file's name is new to MLflow, which keeps databases open)
    change_yaml(repo, "sqlite:///mlflow.db", "sqlite:///row_3_8.db")
    monkeypatch.chdir(folder(tmp_path / "nb_alone"))
    with FeatureStore(repo_path=str(repo)).mlflow.start_run():
        pass
    assert Path("row_3_8.db").exists(), "Feast alone: in the notebook's folder"
    assert not (repo / "row_3_8.db").exists()
    (repo / "mlflow.db").rename(repo / "row_3_8.db")  # made already, which takes MLflow a second

    # when the extension is loaded, and two notebooks lie in folders of their own
    started = []
    for name in ("nb_a", "nb_b"):
        monkeypatch.chdir(folder(tmp_path / name))
        store = load(repo)
        with store.mlflow.start_run(run_name=name) as run:
            store.get_historical_features(drivers, ["hourly:trips"]).to_df()
        started.append(run.info.run_id)

    # then both runs are in the repository's database, and none is beside the notebooks
    client = MlflowClient(f"sqlite:///{repo}/row_3_8.db")
    experiment = client.get_experiment_by_name("drivers")
    found = client.search_runs([experiment.experiment_id])
    assert {r.info.run_id for r in found} == set(started)
    assert not list(tmp_path.glob("nb_[ab]/*.db"))


@pytest.mark.conformance("3.8")
@pytest.mark.parametrize("start", ["store.mlflow.start_run()", "mlflow.start_run()"])
def test_3_8_artifacts_lie_beside_the_repositorys_database(
    repo, tmp_path, monkeypatch, load, drivers, start
) -> None:
    """The artifacts of a SQLite database: Feast alone puts them in the notebook's folder.

    Right is beside the database, whoever makes the experiment, and nothing beside the notebook.
    """
    monkeypatch.chdir(folder(tmp_path / "nb"))
    store = load()
    book = load.book
    book.space["drivers"] = drivers
    if start == "mlflow.start_run()":
        choose(store, "my-experiment")
    book.run(
        f"import mlflow\nwith {start} as run:\n"
        "    _ = store.get_historical_features(drivers, ['hourly:trips']).to_df()"
    )

    client = store.mlflow.client
    run = client.get_run(book.space["run"].info.run_id)
    assert run.info.artifact_uri.removeprefix("file://").startswith(str(repo))
    client.download_artifacts(run.info.run_id, "feast/retrievals.json")
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.conformance("3.8")
def test_3_8_a_store_that_was_opened_before_has_the_same_database(
    repo, tmp_path, monkeypatch, load
) -> None:
    """A `FeatureStore` made before `%load_ext` tracks where one made after it does."""
    from feast import FeatureStore

    change_yaml(repo, "sqlite:///mlflow.db", "sqlite:///row_3_8_early.db")
    (repo / "mlflow.db").rename(repo / "row_3_8_early.db")
    monkeypatch.chdir(folder(tmp_path / "nb"))
    early = FeatureStore(repo_path=str(repo))

    book = load.bare()
    book.space["store"] = early
    with early.mlflow.start_run() as by_feast:
        pass
    by_us = book.run("%%feast_run v1\n1")

    client = MlflowClient(f"sqlite:///{repo}/row_3_8_early.db")
    experiment = client.get_experiment_by_name("drivers")
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    assert {r.info.run_id for r in found} == {by_feast.info.run_id, by_us.id}
    assert list(Path.cwd().iterdir()) == []


def folder(path: Path) -> Path:
    path.mkdir()
    return path
