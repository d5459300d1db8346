"""A feature repository is found, and its relative paths mean files beside it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from feast_nb.errors import RepositoryError
from feast_nb.integrations.feast import store


def repository(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / store.YAML).write_text("project: p\n")
    return (folder / store.YAML).resolve()


# ---------------------------------------------------------------------- find


@pytest.mark.parametrize(
    ("uri", "meant"),
    [
        ("sqlite:///mlflow.db", "sqlite:////repo/mlflow.db"),
        ("sqlite:///./mlflow.db?timeout=9", "sqlite:////repo/mlflow.db?timeout=9"),
        ("sqlite:///sqlite", "sqlite:////repo/sqlite"),
        ("sqlite+pysqlite:///a//b.db", "sqlite+pysqlite:////repo/a/b.db"),
        ("sqlite:////there.db", "sqlite:////there.db"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_a_relative_database_is_taken_from_a_folder(uri: str, meant: str) -> None:
    assert store.anchored(uri, Path("/repo")) == meant


def test_the_nearest_repository_upward_is_meant(tmp_path: Path) -> None:
    repository(tmp_path)
    near = repository(tmp_path / "a")
    inside = tmp_path / "a" / "notebooks" / "deep"
    inside.mkdir(parents=True)

    assert store.find(inside) == near


def test_the_working_folder_is_where_the_search_begins() -> None:
    here = repository(Path.cwd())

    assert store.find() == here


def test_a_file_that_the_environment_names_is_of_the_working_folder(
    tmp_path: Path, monkeypatch
) -> None:
    """As Feast has it: a file kept elsewhere says where things are from the folder one works in."""
    elsewhere = repository(tmp_path / "envs")
    assert store.folder_of(elsewhere) == elsewhere.parent

    monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", str(elsewhere))
    assert store.folder_of(elsewhere) == Path.cwd()
    opened = SimpleNamespace(repo_path=Path.cwd())
    assert store.yaml_of_store(opened) == elsewhere
    own = repository(Path.cwd())
    assert store.yaml_of_store(opened) == own


def test_the_environment_goes_before_the_search(tmp_path: Path, monkeypatch) -> None:
    repository(Path.cwd())
    named = repository(tmp_path / "named")
    monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", str(named))

    assert store.find() == named


def test_a_folder_of_that_name_is_no_repository(tmp_path: Path) -> None:
    above = repository(tmp_path / "r")
    (tmp_path / "r" / "a" / store.YAML).mkdir(parents=True)

    assert store.find(tmp_path / "r" / "a") == above


def test_no_repository_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError) as raised:
        store.find(tmp_path)

    assert str(tmp_path.resolve()) in str(raised.value)
    assert "%feast_store PATH" in str(raised.value)
    assert "\n" not in str(raised.value)


# ---------------------------------------------------------------------- yaml_of


@pytest.mark.parametrize("path", ["repo", "repo/feature_store.yaml", "./repo/../repo"])
def test_a_path_means_the_folder_or_the_file(path: str) -> None:
    yaml = repository(Path("repo"))

    assert store.yaml_of(path) == yaml
    assert store.yaml_of(Path(path)) == yaml


def test_a_project_of_feast_init_has_its_repository_one_folder_down() -> None:
    yaml = repository(Path("project/feature_repo"))

    assert store.yaml_of("project") == yaml


def test_the_users_home_may_be_written_short(monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    yaml = repository(Path("repo"))

    assert store.yaml_of("~/repo") == yaml


def test_a_yaml_of_another_name_may_be_named() -> None:
    Path("staging.yaml").write_text("project: p\n")

    assert store.yaml_of("staging.yaml") == Path("staging.yaml").resolve()


def test_a_path_that_is_not_there_is_told_apart_from_one_without_a_repository() -> None:
    Path("empty").mkdir()

    with pytest.raises(RepositoryError, match="there is no nowhere;"):
        store.yaml_of("nowhere")
    with pytest.raises(RepositoryError, match=r"no feature_store\.yaml in empty;"):
        store.yaml_of("empty")


# ---------------------------------------------------------------------- SQLite


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:///../shared/mlflow.db", "../shared/mlflow.db"),
        ("sqlite:////abs/mlflow.db", "/abs/mlflow.db"),
        ("sqlite+pysqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:///mlflow.db?timeout=5", "mlflow.db"),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("sqlite:///", None),
        ("postgresql:///db", None),
        ("http://host/sqlite:///x", None),
        ("mlruns", None),
        ("", None),
    ],
)
def test_the_file_of_a_sqlite_uri(uri: str, file: str | None) -> None:
    assert store.sqlite_file(uri) == (Path(file) if file else None)


def opened(uri: str | None, folder: Path) -> Any:
    settings = SimpleNamespace(enabled=True, tracking_uri=uri)
    config = SimpleNamespace(mlflow=settings, repo_path=folder)
    return SimpleNamespace(config=config, repo_path=str(folder))


def mended(uri: str | None, folder: Path) -> str | None:
    it = opened(uri, folder)
    store.mend_paths(it)
    found: str | None = it.config.mlflow.tracking_uri
    return found


def test_a_relative_tracking_file_lies_beside_the_repository(tmp_path: Path) -> None:
    repo = tmp_path.resolve() / "repo"

    assert mended("sqlite:///data/mlflow.db", repo) == f"sqlite:///{repo}/data/mlflow.db"
    assert (repo / "data").is_dir()


def test_mending_twice_is_mending_once(tmp_path: Path) -> None:
    it = opened("sqlite:///mlflow.db", tmp_path)
    store.mend_paths(it)
    once = it.config.mlflow.tracking_uri
    store.mend_paths(it)

    assert it.config.mlflow.tracking_uri == once


@pytest.mark.parametrize(
    "uri",
    ["sqlite:////abs/mlflow.db", "http://host:5000", "sqlite:///:memory:", "databricks", "", None],
)
def test_other_tracking_uris_stay_as_they_are(uri: str | None, tmp_path: Path) -> None:
    assert mended(uri, tmp_path) == uri


def test_what_a_tracking_uri_says_beside_its_file_stays(tmp_path: Path) -> None:
    repo = tmp_path.resolve()

    assert mended("sqlite+pysqlite:///mlflow.db?timeout=5", repo) == (
        f"sqlite+pysqlite:///{repo}/mlflow.db?timeout=5"
    )


def test_a_store_without_a_tracking_block_is_left_alone(tmp_path: Path) -> None:
    it = SimpleNamespace(config=SimpleNamespace(), repo_path=str(tmp_path))

    store.mend_paths(it)

    assert store.settings_of(it) is None


@pytest.mark.parametrize("enabled", [True, False])
def test_settings_are_those_of_a_block_that_is_enabled(enabled: bool, tmp_path: Path) -> None:
    it = opened(None, tmp_path)
    it.config.mlflow.enabled = enabled

    assert (store.settings_of(it) is not None) is enabled


# ---------------------------------------------------------------------- open_store


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("project: [", ""),
        ("registry: r.db\n", "project"),
        ("", ""),
        ("project: p\nregistry: r.db\nprovider: local\noffline_store: {type: nonsense}\n", "nonsense"),
    ],
    ids=["no yaml", "no project", "empty", "no such store"],
)  # fmt: skip
def test_a_file_that_feast_cannot_use_is_one_line_with_its_name(text: str, said: str) -> None:
    Path("repo").mkdir()
    yaml = (Path("repo") / store.YAML).resolve()
    yaml.write_text(text)

    with pytest.raises(RepositoryError) as raised:
        store.open_store(yaml)

    assert str(yaml) in str(raised.value)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is not None
