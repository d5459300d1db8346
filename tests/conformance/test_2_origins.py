"""Feast alone and with feast_nb, group 2: where a run came from, and what was written in it."""

from __future__ import annotations

import platform
import subprocess
import warnings
from datetime import timedelta
from importlib import metadata
from pathlib import Path

import nbformat
import pytest

from ..conftest import NOW, make_repository, read_json
from .conftest import retrievals_of, tags_of


def six_rows(store, drivers) -> str:
    with store.mlflow.start_run() as run:
        store.get_historical_features(drivers, store.get_feature_service("activity")).to_df()
    return str(run.info.run_id)


def git(folder, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(
        ["git", *who, "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def versioned(repo, monkeypatch):
    """The repository's folder as a git repository, and the working folder."""
    git(repo, "init", "-q", "-b", "trials")
    git(repo, "add", "feature_store.yaml")
    git(repo, "commit", "-q", "-m", "one")
    monkeypatch.chdir(repo)
    return repo


def notebook_of(store, run_id: str) -> dict:
    return read_json(store.mlflow.client, run_id, "feast/notebook.json")


@pytest.mark.conformance("2.13")
@pytest.mark.parametrize("dirty", [False, True], ids=["clean", "dirty"])
def test_2_13_a_run_has_its_commit_and_packages(load, drivers, versioned, dirty) -> None:
    """In a notebook neither Feast nor MLflow keeps the commit; nobody keeps the packages.

    Right is both, and whether files that git knows were changed; new files alone are no change.
    """
    (versioned / "new.txt").write_text("of no commit")
    if dirty:
        with (versioned / "feature_store.yaml").open("a") as yaml:
            yaml.write("# changed\n")
    store = load()
    run_id = six_rows(store, drivers)

    head = git(versioned, "rev-parse", "HEAD")
    origin = notebook_of(store, run_id)
    assert (origin["kind"], origin["schema_version"]) == ("origin", "1.1")
    assert (origin["commit"], origin["branch"], origin["dirty"]) == (head, "trials", dirty)
    assert origin["python"] == platform.python_version()
    for name in ("feast", "mlflow", "pandas", "scikit-learn"):
        assert origin["packages"][name] == metadata.version(name)
    tags = tags_of(store, run_id)
    assert tags["mlflow.source.git.commit"] == head
    assert tags["mlflow.source.git.branch"] == "trials"
    assert tags["feast_nb.git_dirty"] == str(dirty).lower()


@pytest.mark.conformance("2.13")
def test_2_13_outside_git_there_is_no_commit(load, drivers) -> None:
    """And nothing is said of one: neither of a folder without git, nor of one without commits."""
    store = load()
    without = six_rows(store, drivers)
    git(Path.cwd(), "init", "-q")
    empty = six_rows(store, drivers)

    for run_id in (without, empty):
        origin = notebook_of(store, run_id)
        assert (origin["commit"], origin["branch"], origin["dirty"]) == (None, None, None)
        assert "feast_nb.git_dirty" not in tags_of(store, run_id)


@pytest.mark.conformance("2.13")
def test_2_13_the_commit_is_that_of_the_notebook(load, drivers, versioned, monkeypatch) -> None:
    """A notebook in one repository, whose kernel works in the folder of another."""
    import ipykernel  # without it there is no notebook to look for

    assert ipykernel
    other = versioned.parent / "notebooks"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "another")
    book = load.bare()
    book.space["__vsc_ipynb_file__"] = str(other / "trial.ipynb")  # as VS Code tells it
    store = load()
    run_id = six_rows(store, drivers)

    origin = notebook_of(store, run_id)
    assert origin["notebook"] == str(other / "trial.ipynb")
    assert (
        origin["commit"] == git(other, "rev-parse", "HEAD") != git(versioned, "rev-parse", "HEAD")
    )
    assert tags_of(store, run_id)["feast_nb.notebook"] == str(other / "trial.ipynb")


@pytest.mark.conformance("2.13")
def test_2_13_a_run_has_the_cells_that_ran(load, drivers) -> None:
    """The source of the cells is kept by nobody; right is all of them, in order, no secrets."""
    store = load()
    book = load.book
    book.space["drivers"] = drivers
    book.run("before = 1\npassword = 'xyzzy'")
    book.run("run = store.mlflow.start_run()")
    book.run("df = store.get_historical_features(drivers, ['hourly:trips']).to_df()")
    book.fails("1 / 0")
    book.run("%%capture\nprint('magic')")
    book.run("import mlflow; mlflow.end_run()")
    book.run("after = 'the run has ended'")

    run_id = book.space["run"].info.run_id
    local = store.mlflow.client.download_artifacts(run_id, "feast/cells.ipynb")
    notebook = nbformat.read(local, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert [c.source for c in notebook.cells][2:] == [
        "before = 1\npassword = '…'",
        "run = store.mlflow.start_run()",
        "df = store.get_historical_features(drivers, ['hourly:trips']).to_df()",
        "1 / 0",
        "%%capture\nprint('magic')",
        "import mlflow; mlflow.end_run()",
    ]
    assert [c.execution_count for c in notebook.cells] == list(range(1, 9))
    assert "xyzzy" not in Path(local).read_text()
    (kept,) = retrievals_of(store, run_id)
    assert kept["cell"]["number"] == 5


@pytest.mark.conformance("2.13")
def test_2_13_the_state_of_the_registry_is_recorded(alone, load, drivers, repo) -> None:
    """A view is changed between two runs: Feast's tags are the same in both.

    Right is a hash of the project that differs, and one of the view that tells what.
    """

    def changed(store):
        view = store.get_feature_view("hourly")
        view.ttl = timedelta(hours=1)
        store.apply(view)

    def tags(store):
        found = tags_of(store, six_rows(store, drivers))
        return {k: v for k, v in found.items() if k.startswith("feast.")}

    before = tags(alone)
    changed(alone)
    assert tags(alone) == before, "Feast alone"

    store = load()
    first, same = six_rows(store, drivers), six_rows(store, drivers)
    changed(store)
    last = six_rows(store, drivers)

    (first,), (same,), (last,) = (retrievals_of(store, run) for run in (first, same, last))
    assert first["registry"] == same["registry"] != last["registry"]
    (was,), (now,) = first["views"], last["views"]
    assert first["views"] == same["views"]
    assert {k for k in was["hashes"] if was["hashes"][k] != now["hashes"][k]} == {"ttl"}


def values(*drivers: int):
    import pandas as pd

    return pd.DataFrame(
        {
            "driver_id": list(drivers),
            "event_timestamp": [NOW] * len(drivers),
            "conv_rate": [0.25] * len(drivers),
            "acc_rate": [0.5] * len(drivers),
            "trips": [7] * len(drivers),
        }
    )


def feed(store) -> None:
    """Two views that a push source feeds."""
    from feast import FeatureView, Field, PushSource
    from feast.types import Int64

    batch = store.get_feature_view("hourly").batch_source
    pushed = PushSource(name="pushed", batch_source=batch)
    driver = store.get_entity("driver")
    fed = [
        FeatureView(
            name=name, entities=[driver], schema=[Field(name="trips", dtype=Int64)], source=pushed
        )
        for name in ("fed", "also_fed")
    ]
    store.apply([pushed, *fed])


def writes_of(store, run_id: str) -> list[dict]:
    return read_json(store.mlflow.client, run_id, "feast/retrievals.json")["writes"]


@pytest.mark.conformance("2.14")
def test_2_14_a_write_to_the_online_store_is_recorded(alone, load) -> None:
    """`write_to_online_store` in a run: Feast tags no more than the project.

    Right is what was written where, with rows, columns and a fingerprint.
    """

    def write(store, *drivers):
        with store.mlflow.start_run() as run:
            store.write_to_online_store("hourly", df=values(*drivers))
        return run.info.run_id

    native = tags_of(alone, write(alone, 1, 2))
    assert {k for k in native if k.startswith("feast")} == {"feast.project"}, "Feast alone"

    store = load()
    run_id, other = write(store, 1, 2), write(store, 1, 3)

    (kept,) = writes_of(store, run_id)
    assert (kept["call"], kept["to"], kept["state"]) == ("write_to_online_store", "online", "ran")
    assert (kept["name"], kept["views"], kept["project"]) == ("hourly", ["hourly"], "drivers")
    assert (kept["rows"], kept["run_id"]) == (2, run_id)
    assert [c["name"] for c in kept["columns"]] == list(values().columns)
    assert kept["seconds"] > 0
    assert kept["fingerprint"] != writes_of(store, other)[0]["fingerprint"]
    tags = tags_of(store, run_id)
    assert (tags["feast.project"], tags["feast_nb.views_written"]) == ("drivers", "hourly")
    assert "feast.feature_refs" not in tags
    got = store.get_online_features(["hourly:trips"], [{"driver_id": 1}]).to_dict()
    assert got["trips"] == [7], "it was written, too"


@pytest.mark.conformance("2.14")
@pytest.mark.parametrize("to", ["ONLINE", "ONLINE_AND_OFFLINE"])
def test_2_14_a_push_is_one_write(load, to) -> None:
    """A push writes to each view that the source feeds: one call, one record."""
    from feast.data_source import PushMode

    store = load()
    feed(store)
    with store.mlflow.start_run() as run:
        store.push("pushed", values(1, 2), to=PushMode[to])

    (kept,) = writes_of(store, run.info.run_id)
    assert (kept["call"], kept["to"], kept["name"]) == ("push", to.lower(), "pushed")
    assert kept["views"] == ["also_fed", "fed"]
    assert (kept["rows"], kept["state"]) == (2, "ran")
    assert tags_of(store, run.info.run_id)["feast_nb.views_written"] == "also_fed,fed"


@pytest.mark.conformance("2.14")
def test_2_14_a_write_to_the_offline_store_is_recorded(load, repo) -> None:
    store = load()
    with store.mlflow.start_run() as run:
        store.write_to_offline_store("hourly", values(1, 2, 3), reorder_columns=True)

    (kept,) = writes_of(store, run.info.run_id)
    assert (kept["call"], kept["to"]) == ("write_to_offline_store", "offline")
    assert (kept["name"], kept["rows"], kept["state"]) == ("hourly", 3, "ran")


@pytest.mark.conformance("2.14")
def test_2_14_a_write_that_fails_is_no_write(load) -> None:
    """The user's error is the user's; the record says that it failed, and no tag says it wrote."""
    store = load()
    with store.mlflow.start_run() as run:
        with pytest.raises(KeyError, match="nowhere"):
            store.write_to_online_store("nowhere", values(1))
        store.write_to_online_store("hourly", values(1))

    failed, done = writes_of(store, run.info.run_id)
    assert (failed["state"], failed["name"]) == ("failed", "nowhere")
    assert "nowhere" in failed["error"]
    assert (done["state"], done["error"]) == ("ran", None)
    assert tags_of(store, run.info.run_id)["feast_nb.views_written"] == "hourly"


@pytest.mark.conformance("2.14")
def test_2_14_a_write_with_no_run_open_is_of_none(load, drivers) -> None:
    store = load()
    store.write_to_online_store("hourly", values(1))
    run_id = six_rows(store, drivers)

    assert writes_of(store, run_id) == []


@pytest.mark.conformance("2.14")
@pytest.mark.parametrize("saved", [True, False], ids=["saved dataset", "persist"])
def test_2_14_what_was_saved_of_a_retrieval_is_recorded(tmp_path, load, drivers, saved) -> None:
    """`create_saved_dataset`, or `job.persist`, in a run: Feast does not say where the data went.

    Right is a retrieval that ran, with rows and fingerprint, and where its result was kept.
    """
    from feast import FeatureStore
    from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

    load.bare()
    store = FeatureStore(repo_path=str(make_repository(tmp_path / "dasked", offline="file")))
    path = tmp_path / "kept.parquet"
    storage = SavedDatasetFileStorage(path=str(path))
    with store.mlflow.start_run() as run:
        job = store.get_historical_features(drivers, store.get_feature_service("rates"))
        if saved:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # an experimental feature
                store.create_saved_dataset(job, "january", storage)
        else:
            job.persist(storage)
    run_id = run.info.run_id

    (kept,) = retrievals_of(store, run_id)
    where = f"saved dataset january in {path}" if saved else str(path)
    assert (kept["kept"], kept["state"], kept["service"]) == (where, "ran", "rates")
    assert path.exists()
    assert kept["result"]["rows"] == 6
    names = {c["name"] for c in kept["result"]["columns"]}
    assert names == {"driver_id", "event_timestamp", "y", "conv_rate", "acc_rate"}
    assert tags_of(store, run_id)["feast.feature_service"] == "rates"
    with store.mlflow.start_run() as plain:
        store.get_historical_features(drivers, store.get_feature_service("rates")).to_df()
    (read,) = retrievals_of(store, plain.info.run_id)
    assert read["kept"] is None
    assert kept["result"]["fingerprint"] == read["result"]["fingerprint"]
