"""Feast alone and with feast_nb, group 3: runs that land elsewhere than the user said, and global side effects."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

import feast_nb
from feast_nb import recorder

from ..conftest import make_repository
from .conftest import change_yaml, fit, forget, tags_of


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


def again(store: Any) -> Any:
    """A store's repository as Feast opens it in a fresh kernel."""
    from feast import FeatureStore

    forget()
    return FeatureStore(repo_path=str(store.repo_path))


def swept() -> list[str]:
    """What lies in the working folder, which is empty then."""
    found = sorted(Path.cwd().iterdir())
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return [path.name for path in found]


def registered(store: Any, drivers: Any, name: str) -> None:
    """Register a model on the store's server, and forget it all as a fresh kernel does."""
    with store.mlflow.start_run() as run:
        frame = store.get_historical_features(drivers, ["hourly:trips"]).to_df()
        store.mlflow.log_model(fit(frame, "trips"), "model")
    store.mlflow.register_model(f"runs:/{run.info.run_id}/model", name)
    forget()


@pytest.mark.conformance("3.1")
def test_3_1_a_fresh_kernel_loads_from_the_repositorys_server(alone, load, drivers) -> None:
    """`store.mlflow.load_model` before any `start_run`: Feast looks on MLflow's default server.

    There it makes a database in the working folder. Right is the server of the YAML, and no trace
    of it afterwards.
    """
    registered(alone, drivers, "uri_m")
    swept()
    with pytest.raises(mlflow.MlflowException, match="uri_m not found"):
        again(alone).mlflow.load_model("models:/uri_m/1")
    assert swept() == ["mlflow.db"], "Feast alone: a stray database"

    store = load()
    registered(store, drivers, "uri_m")
    store = load()
    assert not mlflow.is_tracking_uri_set()

    model = store.mlflow.load_model("models:/uri_m/1")

    assert len(model.predict(drivers.assign(trips=3)[["trips"]])) == 6
    assert not mlflow.is_tracking_uri_set(), "no choice of the user's is made for them"
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.conformance("3.1")
def test_3_1_a_fresh_kernel_registers_on_the_repositorys_server(
    alone, load, drivers, capsys
) -> None:
    """`store.mlflow.register_model` likewise: Feast registers in the stray database, then fails."""

    def logged(store):
        with store.mlflow.start_run() as run:
            service = store.get_feature_service("activity")
            frame = store.get_historical_features(drivers, service).to_df()
            store.mlflow.log_model(fit(frame, "trips"), "model")
        forget()
        return run.info.run_id

    run_id = logged(alone)
    swept()
    with pytest.raises(mlflow.MlflowException, match="not found"):
        again(alone).mlflow.register_model(f"runs:/{run_id}/model", "stray")
    names = [m.name for m in MlflowClient().search_registered_models()]
    assert names == ["stray"], "Feast alone: in the stray database"
    assert "mlflow.db" in swept()

    store = load()
    run_id = logged(store)
    store = load()

    version = store.mlflow.register_model(f"runs:/{run_id}/model", "ours")
    load.sent()

    found = store.mlflow.client.get_model_version("ours", version.version)
    assert found.run_id == run_id
    assert found.tags["feast.feature_service"] == "activity"
    assert store.mlflow.resolve_features("models:/ours/1") == "activity"
    assert not mlflow.is_tracking_uri_set()
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.conformance("3.1")
def test_3_1_the_server_of_the_users_choice_is_chosen_again(load, drivers, elsewhere) -> None:
    """A server that the user chose is theirs again after `load_model`, and when it fails too."""
    store = load()
    registered(store, drivers, "uri_m")
    mlflow.set_tracking_uri(elsewhere)

    store.mlflow.load_model("models:/uri_m/1")
    assert mlflow.get_tracking_uri() == elsewhere
    with pytest.raises(mlflow.MlflowException, match="nobodys not found"):
        store.mlflow.load_model("models:/nobodys/1")
    assert mlflow.get_tracking_uri() == elsewhere


@pytest.mark.conformance("3.2")
def test_3_2_a_model_logged_without_a_run_is_on_the_repositorys_server(
    alone, load, drivers, client
) -> None:
    """`store.mlflow.log_model` with no run, in a fresh kernel: Feast logs to a stray database.

    Right is the repository's server, database and artifacts, or an error.
    """
    frame = drivers.assign(trips=range(6))

    again(alone).mlflow.log_model(fit(frame, "trips"), "model")
    assert alone.mlflow.client.search_logged_models(["0"]).to_list() == []
    assert swept() == ["mlflow.db", "mlruns"], "Feast alone: a stray database"

    store = load()
    assert store.mlflow.log_model(fit(frame, "trips"), "model") is None

    (found,) = client.search_logged_models(["0"]).to_list()
    assert found.name == "model"
    model = mlflow.sklearn.load_model(found.artifact_location.removeprefix("file://"))
    assert len(model.predict(frame[["trips"]])) == 6
    assert not mlflow.is_tracking_uri_set()
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.conformance("3.2")
def test_3_2_in_a_run_of_another_server_the_model_stays_with_the_run(
    load, drivers, elsewhere
) -> None:
    """With a run open on another server, `store.mlflow.log_model` logs there, as Feast alone."""
    store = load()
    mlflow.set_tracking_uri(elsewhere)
    with mlflow.start_run() as run:
        store.mlflow.log_model(fit(drivers.assign(trips=range(6)), "trips"), "model")

    there = MlflowClient(elsewhere)
    assert len(there.get_run(run.info.run_id).outputs.model_outputs) == 1
    assert mlflow.get_tracking_uri() == elsewhere
    assert store.mlflow.client.search_logged_models(["0"]).to_list() == []


@pytest.fixture
def another(tmp_path, repo, elsewhere) -> Path:
    """A repository of another project, on another server."""
    return make_repository(tmp_path / "another", project="riders", tracking_uri=elsewhere)


def project_of_next_run() -> str:
    """The project that `feast.mlflow` is bound to, as a run that it starts says."""
    import feast.mlflow

    with feast.mlflow.start_run() as run:
        pass
    project: str = run.data.tags["feast.project"]
    return project


@pytest.mark.conformance("3.3")
def test_3_3_the_drop_in_is_bound_to_the_open_store(
    alone, load, another, tmp_path, monkeypatch
) -> None:
    """`feast.mlflow` after `FeatureStore(A)`, in the folder of C: Feast binds it to C.

    Where the folder is none of a repository it raises, and advises what is done. Right is A.
    """
    monkeypatch.chdir(another)
    assert project_of_next_run() == "riders", "Feast alone: the folder's, not the store's"
    forget()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(RuntimeError, match="create a FeatureStore"):
        project_of_next_run()

    store = load()
    assert project_of_next_run() == "drivers"
    monkeypatch.chdir(another)
    assert project_of_next_run() == "drivers"
    experiment = store.mlflow.client.get_experiment_by_name("drivers")
    assert len(store.mlflow.client.search_runs([experiment.experiment_id])) == 2


@pytest.mark.conformance("3.3")
@pytest.mark.parametrize("opened", ["after %load_ext", "before %load_ext"])
def test_3_3_the_drop_in_may_be_imported_last(load, repo, another, monkeypatch, opened) -> None:
    """The same with its first import in the process, and with a plain `FeatureStore(A)`."""
    import feast
    from feast import FeatureStore

    monkeypatch.delitem(sys.modules, "feast.mlflow")
    monkeypatch.delattr(feast, "mlflow")
    monkeypatch.chdir(another)
    if opened == "after %load_ext":
        load.bare().run(f"from feast import FeatureStore\nstore = FeatureStore({str(repo)!r})")
    else:
        store = FeatureStore(repo_path=str(repo))
        load.bare().space["store"] = store
    load.book.run("import feast.mlflow\nwith feast.mlflow.start_run() as run: pass")

    run = load.book.space["run"]
    assert run.data.tags["feast.project"] == "drivers"
    assert MlflowClient(f"sqlite:///{repo}/mlflow.db").get_run(run.info.run_id), "beside its store"


@pytest.mark.conformance("3.4")
@pytest.mark.parametrize("touched", ["never", "in order", "the older one last"])
def test_3_4_the_drop_in_follows_the_store_opened_last(alone, load, another, touched) -> None:
    """Two stores: Feast's `feast.mlflow` stays with the one it was first used for.

    Its documentation says "most recently created", which is right.
    """
    from feast import FeatureStore

    def open_both(first):
        if first.repo_path == alone.repo_path:
            assert first.mlflow  # Feast alone binds a store when it is touched first
        before = project_of_next_run()
        second = FeatureStore(repo_path=str(another))
        touch = {"never": [], "in order": [first, second], "the older one last": [second, first]}
        assert all(store.mlflow for store in touch[touched])
        return before, project_of_next_run()

    assert open_both(again(alone)) == ("drivers", "drivers"), "Feast alone"

    assert open_both(load()) == ("drivers", "riders")


@pytest.mark.conformance("3.4")
def test_3_4_an_explicit_choice_holds(load, another) -> None:
    """`feast.mlflow.init(store)` is the user's word, until a store is opened after it."""
    import feast.mlflow

    first, second = load(), load(another)
    assert project_of_next_run() == second.project
    feast.mlflow.init(first)
    assert project_of_next_run() == first.project
    assert project_of_next_run() == first.project
    load(another)
    assert project_of_next_run() == second.project


def said_after(book: Any, capsys: pytest.CaptureFixture[str], source: str) -> list[str]:
    """The lines that the user is told after a cell."""
    capsys.readouterr()
    book.run(source)
    return [x for x in capsys.readouterr().err.splitlines() if x.startswith("feast_nb:")]


@pytest.mark.conformance("3.6")
@pytest.mark.parametrize("through", ["feast.mlflow", "store.mlflow"])
def test_3_6_a_run_id_where_a_name_goes_is_pointed_out(load, capsys, through) -> None:
    """`feast.mlflow.start_run("<run id>")` makes a new run of that name; MLflow's would resume.

    It cannot be put right: Feast's first argument is a name. The user is told, in one line.
    """
    store = load()
    book = load.book
    book.run(f"import feast.mlflow\nwith {through}.start_run(run_name='v1') as run: pass")
    run_id = book.space["run"].info.run_id

    said = said_after(book, capsys, f"with {through}.start_run({run_id!r}) as again: pass")

    again = store.mlflow.client.get_run(book.space["again"].info.run_id)
    assert again.info.run_id != run_id
    assert again.info.run_name == run_id
    assert len(said) == 1
    assert f'start_run(run_id="{run_id}")' in said[0]

    # and what it advises is right, and no other name is suspected
    said = said_after(book, capsys, f'with {through}.start_run(run_id="{run_id}") as again: pass')
    assert (said, book.space["again"].info.run_id) == ([], run_id)
    assert said_after(book, capsys, f"with {through}.start_run('v2'): pass") == []


@pytest.mark.conformance("3.6")
def test_3_6_mlflows_own_options_of_register_model_are_taken(alone, load, drivers) -> None:
    """`register_model(…, tags=, await_registration_for=)`: Feast alone raises a TypeError.

    Right is what MLflow does with them, and the lineage as ever.
    """
    import feast.mlflow

    def register(store):
        with store.mlflow.start_run() as run:
            service = store.get_feature_service("activity")
            frame = store.get_historical_features(drivers, service).to_df()
            store.mlflow.log_model(fit(frame, "trips"), "model")
        uri = f"runs:/{run.info.run_id}/model"
        return feast.mlflow.register_model(
            uri, "dropped_in", tags={"team": "ranking"}, await_registration_for=5
        )

    with pytest.raises(TypeError, match="unexpected keyword argument"):
        register(alone)
    forget()

    store = load()
    version = register(store)
    load.sent()

    tags = store.mlflow.client.get_model_version("dropped_in", version.version).tags
    assert tags["team"] == "ranking"
    assert tags["feast.feature_service"] == "activity"
    assert "feast_nb.contract" in tags


@pytest.mark.conformance("3.6")
def test_3_6_a_server_chosen_by_the_drop_in_is_pointed_out(alone, load, elsewhere, capsys) -> None:
    """`feast.mlflow.set_tracking_uri(X)` is undone by the next `start_run`: the YAML's is used.

    Feast's documentation says so; whoever wrote the call is told, in one line.
    """
    import feast.mlflow

    def start(store):
        assert store.mlflow
        feast.mlflow.set_tracking_uri(elsewhere)
        with feast.mlflow.start_run() as run:
            pass
        return store.mlflow.client.get_run(run.info.run_id).info.status

    assert start(again(alone)) == "FINISHED", "Feast alone: on the YAML's server"

    store = load()
    book = load.book
    said = said_after(
        book,
        capsys,
        f"import feast.mlflow\nfeast.mlflow.set_tracking_uri({elsewhere!r})\n"
        "with feast.mlflow.start_run() as run: pass",
    )
    run_id = book.space["run"].info.run_id
    assert store.mlflow.client.get_run(run_id).info.status == "FINISHED"
    assert len(said) == 1, "the user's choice was not followed, and nobody says so"
    assert "mlflow.tracking_uri" in said[0]


@pytest.mark.conformance("3.6")
def test_3_6_the_drop_in_lists_what_it_passes_on(alone, load) -> None:
    """`dir(feast.mlflow)`: none of MLflow's names, so that no Tab finds them.

    Right is that what can be called can be completed; it is gone with the extension.
    """
    import feast.mlflow

    assert again(alone).mlflow
    assert callable(feast.mlflow.log_params)
    assert "log_params" not in dir(feast.mlflow), "Feast alone"

    load()
    assert callable(feast.mlflow.log_params)
    assert {"log_params", "start_run", "resolve_features"} <= set(dir(feast.mlflow))


def old_runs(folder: Path) -> None:
    """A folder of runs as MLflow kept them until 3.6."""
    (folder / "0").mkdir(parents=True)
    (folder / "0" / "meta.yaml").write_text(
        f"artifact_location: file://{folder}/0\ncreation_time: 1\nexperiment_id: '0'\n"
        "last_update_time: 1\nlifecycle_stage: active\nname: Default\n"
    )


FOLDERS = {
    "file URL": 'mlflow: {{enabled: true, tracking_uri: "file://{folder}"}}',
    "path": 'mlflow: {{enabled: true, tracking_uri: "{folder}"}}',
    "no URI": "mlflow: {{enabled: true}}",
}


@pytest.mark.conformance("3.7")
@pytest.mark.parametrize("named", list(FOLDERS))
def test_3_7_a_folder_of_runs_is_answered_with_what_to_do(
    load, tmp_path, drivers, capsys, named
) -> None:
    """MLflow 3.17 takes no folder of files: Feast warns of it, and `store.mlflow` is None.

    Right is an error in one line that says what to write, a word of it where the repository is
    opened, and retrievals that work.
    """
    from feast import FeatureStore

    old_runs(runs := Path.cwd() / "mlruns")
    repository = make_repository(tmp_path / "old", mlflow=FOLDERS[named].format(folder=runs))
    with pytest.warns(UserWarning, match="Failed to configure MLflow"):
        assert FeatureStore(repo_path=str(repository)).mlflow is None, "Feast alone"
    forget()

    book = load.bare()
    book.space["drivers"] = drivers
    book.run(f"store = %feast_store {repository}")
    (warning,) = [w for w in feast_nb.open(repository).repository.warnings if "MLflow" in w]
    assert "sqlite:///" in warning
    assert "refuses a folder of files" in str(book.shown) + capsys.readouterr().out

    for line in ("%feast_run v1", "%%feast_run v1\n1"):
        said = book.fails(line)
        assert said.startswith("TrackingError: MLflow refuses ")
        assert said.count("\n") == 0
        assert 'tracking_uri: "sqlite:///' in said
        assert "feature_store.yaml" in said
    frame = book.run("store.get_historical_features(drivers, ['hourly:trips']).to_df()")
    assert len(frame) == 6
    assert not Path("mlflow.db").exists()


@pytest.mark.conformance("3.7")
def test_3_7_a_folder_is_used_where_mlflow_is_told_to(load, tmp_path, drivers, monkeypatch) -> None:
    """`MLFLOW_ALLOW_FILE_STORE=true`: the folder works, and nobody warns of it."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    block = 'mlflow: {enabled: true, tracking_uri: "file://%s"}' % (tmp_path / "mlruns")
    repository = make_repository(tmp_path / "old", mlflow=block)

    store = load(repository)
    load.book.space["drivers"] = drivers
    assert not [w for w in feast_nb.open(repository).repository.warnings if "folder" in w]
    run = load.book.run(
        "%%feast_run v1\nstore.get_historical_features(drivers, ['hourly:trips']).to_df()"
    )

    assert tags_of(store, run.id)["feast.feature_refs"] == "hourly:trips"


@pytest.mark.conformance("3.7")
def test_3_7_an_empty_folder_of_that_name_is_no_store(load, tmp_path, monkeypatch) -> None:
    """No URI, and a ./mlruns without runs in it: MLflow takes ./mlflow.db, and nobody warns."""
    plain = make_repository(tmp_path / "plain", mlflow="mlflow: {enabled: true}")
    monkeypatch.chdir(folder(tmp_path / "nb"))  # applying it made a database in the old one
    folder(Path.cwd() / "mlruns")
    load.bare()
    assert not [w for w in feast_nb.open(plain).repository.warnings if "folder" in w]

    store = load(plain)
    run = load.book.run("%%feast_run v1\n1")
    assert store.mlflow.client.get_run(run.id).info.status == "FINISHED"
    assert Path("mlflow.db").exists()


@pytest.mark.conformance("3.7")
def test_3_7_old_runs_beside_a_database_are_still_mlflows_choice(load, tmp_path) -> None:
    """No URI, old runs in ./mlruns and a ./mlflow.db too: MLflow chooses the folder."""
    old_runs(Path.cwd() / "mlruns")
    Path("mlflow.db").touch()
    repository = make_repository(tmp_path / "both", mlflow="mlflow: {enabled: true}")
    load(repository)

    assert load.book.fails("%feast_run v1").startswith("TrackingError: MLflow refuses ")
    assert [w for w in feast_nb.open(repository).repository.warnings if "folder" in w]


@pytest.mark.conformance("3.9")
def test_3_9_without_mlflow_the_way_to_it_is_said(alone, load, drivers, capsys, repo) -> None:
    """`enabled: true`, and no mlflow installed: Feast's `store.mlflow` is None, without a word.

    Right is one line that says how to install it; retrievals work as without it.
    """
    fresh = again(alone)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "mlflow", None)
        assert fresh.mlflow is None, "Feast alone"

    book = load.bare()
    book.space["drivers"] = drivers
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "mlflow", None)
        book.run(f"store = %feast_store {repo}")
        shown = str(book.shown) + capsys.readouterr().out
        for line in ("%feast_run v1", "%%feast_run v1\n1"):
            said = book.fails(line)
            assert said.startswith("TrackingError: mlflow is not installed")
            assert said.count("\n") == 0
            assert "pip install" in said
        frame = book.run("store.get_historical_features(drivers, ['hourly:trips']).to_df()")
        book.run("store.get_online_features(['hourly:trips'], [{'driver_id': 1}]).to_dict()")
        assert recorder.current().recording.settle()
    assert len(frame) == 6
    assert "mlflow is not installed" in shown
    kept = list(recorder.current().recording.table.retrievals.values())
    assert [(r.kind, r.state) for r in kept] == [("historical", "ran"), ("online", "ran")]
    assert importlib.import_module("mlflow") is mlflow


WITHOUT = """
import sys
import pandas as pd
from IPython.core.interactiveshell import InteractiveShell

try:
    import mlflow
except ImportError:
    pass
else:
    sys.exit("mlflow is there")
shell = InteractiveShell.instance(colors="nocolor")
shell.run_cell("%load_ext feast_nb").raise_error()
shell.run_cell(f"store = %feast_store {sys.argv[1]}").raise_error()
shell.user_ns["drivers"] = pd.DataFrame(
    {"driver_id": [1, 2], "event_timestamp": [pd.Timestamp("2024-01-05", tz="UTC")] * 2}
)
shell.run_cell("%feast_run v1")
shell.run_cell("frame = store.get_historical_features(drivers, ['hourly:trips']).to_df()").raise_error()
print("ROWS", len(shell.user_ns["frame"]))
shell.run_cell("%unload_ext feast_nb").raise_error()
print("ENDED")
"""


@pytest.mark.conformance("3.9")
def test_3_9_in_a_process_that_has_no_mlflow(repo, tmp_path) -> None:
    """The same for real: a process with every library of this one, but without mlflow."""
    import feast

    (libraries := tmp_path / "libraries").mkdir()
    for found in Path(feast.__file__).parents[1].iterdir():
        if not found.name.startswith("mlflow"):
            (libraries / found.name).symlink_to(found)
    root = Path(feast_nb.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-S", "-W", "ignore", "-c", WITHOUT, str(repo)],
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{libraries}"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "ROWS 2" in done.stdout
    assert "ENDED" in done.stdout
    told = [x for x in done.stdout.splitlines() if x.startswith("TrackingError")]
    assert told == [
        "TrackingError: mlflow is not installed here; install it with: pip install 'feast[mlflow]'."
    ]
    assert "Traceback" not in done.stdout + done.stderr
