"""Everything a user can get wrong: one line that says what, then what to do."""

from __future__ import annotations

import time

import pandas as pd
import pytest

from ..conftest import NOW, free_port, make_repository


def one_line(said: str) -> str:
    assert "\n" not in said, said
    return said


@pytest.fixture
def book(notebook, repo, drivers):
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    return notebook


def test_no_repository(notebook) -> None:
    said = one_line(notebook.fails("%feast_store"))
    assert said.startswith("RepositoryError: no feature_store.yaml in")
    assert "feast init" in said
    assert "there is no nowhere" in one_line(notebook.fails("%feast_store nowhere"))
    assert "RepositoryError" in one_line(notebook.fails("%feast_run v1"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("project: [", "feature_store.yaml"),
        ("registry: registry.db", "project"),
        ("project: p\nprovider: local\nregistry: r.db\nmlflow: {enabled: maybe}", "enabled"),
        ("project: p\nprovider: local\nregistry: r.db\noffline_store: {type: nosuch}", "nosuch"),
        ("- a list", "feature_store.yaml"),
        ("", "feature_store.yaml"),
    ],
)
def test_a_broken_yaml(notebook, tmp_path, text, expected) -> None:
    (tmp_path / "feature_store.yaml").write_text(text)

    said = one_line(notebook.fails(f"%feast_store {tmp_path}"))
    assert said.startswith("RepositoryError: ")
    assert expected in said


def test_a_variable_that_is_not_set(notebook, repo, monkeypatch) -> None:
    """Feast takes `${DATA}` as it stands, and makes a registry in a folder of that name."""
    yaml = repo / "feature_store.yaml"
    text = yaml.read_text() + "# ${NOBODY} reads a comment\n"
    yaml.write_text(text.replace("registry: registry.db", "registry: ${FNB_DATA}/registry.db"))

    said = one_line(notebook.fails(f"%feast_store {repo}"))
    assert said == (
        f"RepositoryError: {yaml}, line 2: ${{FNB_DATA}} is not set in the environment; set it, or "
        "write what it stands for."
    )
    assert not [path for path in repo.iterdir() if "$" in path.name]

    monkeypatch.setenv("FNB_DATA", str(repo))
    notebook.run(f"store = %feast_store {repo}")


def test_an_unreachable_registry(notebook, tmp_path) -> None:
    uri = f"postgresql+psycopg://me:secret@127.0.0.1:{free_port()}/feast"
    (tmp_path / "feature_store.yaml").write_text(
        f"project: p\nprovider: local\nregistry: {{registry_type: sql, path: '{uri}'}}"
    )

    said = one_line(notebook.fails(f"%feast_store {tmp_path}"))
    assert said.startswith("RepositoryError: ")
    assert "secret" not in said


def test_mlflow_disabled(notebook, tmp_path, drivers) -> None:
    repo = make_repository(tmp_path / "off", mlflow="")
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")

    shown = notebook.shown[-1]["text/plain"]
    assert "MLflow is off here" in shown
    said = one_line(notebook.fails("%feast_run v1"))
    assert said.startswith("TrackingError: MLflow is not enabled for this repository; add")
    frame = notebook.run("store.get_historical_features(drivers, ['hourly:trips']).to_df()")
    assert len(frame) == 6


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--service activty --entity-df drivers", "no feature service activty; did you mean activity?"),
        ("--features hourly:tripz --entity-df drivers", "view hourly has no feature tripz; did you mean trips?"),
        ("--features hourli:trips --entity-df drivers", "no feature view hourli for hourli:trips; did you mean hourly?"),
        ("--features trips --entity-df drivers", "trips needs its view: write view:feature"),
        ("--service activity --entity-df driverz", "--entity-df driverz: no variable of that name; did you mean drivers?"),
        ("--service activity --entity-df number", "number is a int, not an entity frame"),
        ("--service activity --entity-df empty", "empty is empty: there are no rows"),
        ("--service activity --entity-df timeless", "timeless has no timestamp column"),
        ("--service activity --entity-df keyless", "keyless has no join key driver_id; did you mean driver?"),
        ("--service activity --entity-df drivers --target z", "drivers has no target column z"),
        ("--service activity --start yesterday", "yesterday is not a date"),
        ("--features hourly:trips,hourly:tripz --entity-df drivers", "view hourly has no feature tripz; did you mean trips?"),
        ("--features hourly:trips other:trips --entity-df drivers", "no feature view other for other:trips"),
    ],
)  # fmt: skip
def test_wrong_features_and_frames(book, client, line, expected) -> None:
    book.space["number"] = 3
    book.space["empty"] = book.space["drivers"].iloc[:0]
    book.space["timeless"] = pd.DataFrame({"driver_id": [1]})
    book.space["keyless"] = pd.DataFrame({"driver": [1], "event_timestamp": [NOW]})

    said = one_line(book.fails(f"%%feast_train v1 {line}\n1"))
    assert said.startswith("FeatureError: ")
    assert expected in said
    assert client.get_experiment_by_name("drivers") is None, "no run was started for it"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%%feast_train v1 --alias a\n1", "--alias needs --register NAME"),
        (
            "%%feast_train v1 --register m --alias v1\n1",
            "--alias v1 is not an alias MLflow accepts",
        ),
        (
            "%%feast_train v1 --register m --alias 'a b'\n1",
            "--alias a b is not an alias MLflow accepts",
        ),
        ("%%feast_train v1 --into 1x\n1", "--into 1x is not a variable name"),
        ("%feast_train v1", "%%feast_train needs a cell below its line"),
        ("%%feast_train v1 --service activity\n1", "need --entity-df VAR, or --start and --end"),
        ("%%feast_train v1 --entity-df drivers\n1", "--entity-df needs --service NAME"),
        (
            "%%feast_train v1 --service a --features b:c --entity-df drivers\n1",
            "cannot be used together",
        ),
        ("%%feast_train v1 --servce activity\n1", "no option --servce; did you mean --service?"),
        ("%%feast_train v1 --service\n1", "expected one argument"),
        ("%%feast_train v1 --tag novalue\n1", "--tag novalue has no value"),
        ("%feast_run --end --pause", "cannot be used together"),
        ("%feast_run --status FAILED", "--status needs --end"),
        ("%feast_run 'v1", "no closing quotation"),
        ("%feast_store a b", "unrecognized arguments: b"),
        ("%feast_log", "required: model"),
        ("%feast_log model --alias a", "--alias needs --register"),
    ],
)
def test_wrong_lines(book, cell, expected) -> None:
    said = one_line(book.fails(cell))
    assert said.startswith("UsageError: ")
    assert expected in said


def test_wrong_models(book) -> None:
    book.run("number = 3")
    said = one_line(book.fails("%%feast_train v1 --model modell\nmodel = 1"))
    assert said.startswith("ModelError: no variable modell")
    assert "is a int, not a model MLflow can log" in one_line(
        book.fails("%%feast_train v1 --model number\n1")
    )
    assert "no flavour sklern; did you mean sklearn?" in one_line(
        book.fails("%%feast_train v1 --flavor sklern\n1")
    )
    assert "no variable nothing" in one_line(book.fails("%feast_log nothing"))


@pytest.mark.parametrize("cell", ["%feast_run v1", "%%feast_train v1\nran = True"])
def test_a_tracking_server_that_is_not_there_is_answered_at_once(book, cell) -> None:
    book.run(f"store.config.mlflow.tracking_uri = 'http://me:secret@127.0.0.1:{free_port()}'")
    started = time.monotonic()
    said = one_line(book.fails(cell))

    assert time.monotonic() - started < 60, "MLflow itself tries for minutes"
    assert said.startswith("TrackingError: the MLflow server at 127.0.0.1:")
    assert "secret" not in said
    assert "ran" not in book.space


def test_help_is_shown_and_runs_nothing(book) -> None:
    for magic in ("%feast_store", "%feast_run", "%feast_log", "%feast_train"):
        assert "Examples" in repr(book.run(f"{magic} --help"))
    shown = repr(book.run("%%feast_train --help\nran = True"))
    assert "--service S" in shown
    assert "ran" not in book.space


def test_one_name_in_two_views_needs_full_names(book) -> None:
    from feast import FeatureView, Field
    from feast.types import Int64

    store = book.space["store"]
    twin = FeatureView(
        name="twin", entities=[store.get_entity("driver")], schema=[Field(name="trips", dtype=Int64)],
        source=store.get_feature_view("hourly").batch_source,
    )  # fmt: skip
    store.apply([twin])
    line = "%%feast_train v1 --features hourly:trips twin:trips --entity-df drivers"

    assert "add --full-feature-names" in one_line(book.fails(f"{line}\n1"))
    book.run(f"{line} --full-feature-names\n1")


def test_a_file_without_mlflow_takes_the_environments(tmp_path, monkeypatch, notebook) -> None:
    """What an operator writes for a notebook may have no mlflow block at all."""
    repo = make_repository(tmp_path / "repo", mlflow="")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/own.db")
    notebook.run(f"store = %feast_store {repo}")
    shown = notebook.shown[-1]["text/plain"]
    assert "feature_store.yaml has no mlflow block: runs go where MLFLOW_TRACKING_URI says" in shown
    notebook.run("%feast_run there")
    notebook.run("%feast_run --end")

    assert (tmp_path / "own.db").exists()


def test_a_file_that_turns_mlflow_off_is_not_overruled(tmp_path, monkeypatch, notebook) -> None:
    repo = make_repository(tmp_path / "repo", mlflow="mlflow: {enabled: false}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/own.db")

    notebook.run(f"store = %feast_store {repo}")
    assert "MLflow is off here" in notebook.shown[-1]["text/plain"]


def test_a_file_kept_elsewhere_opens_what_feast_opens(tmp_path, monkeypatch, notebook) -> None:
    """Another registry was opened, and one written where none belongs."""
    repo = make_repository(tmp_path / "repo")
    (repo / "envs").mkdir()
    (repo / "feature_store.yaml").rename(repo / "envs" / "prod.yaml")
    monkeypatch.chdir(repo)
    monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", "envs/prod.yaml")
    store = notebook.run("store = %feast_store\nstore")

    assert [view.name for view in store.list_feature_views()] == ["hourly", "profile"]
    assert [path.name for path in (repo / "envs").iterdir()] == ["prod.yaml"]
