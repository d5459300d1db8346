"""`%feast`: where one is, which magic does what, and a next line that works as it is."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pytest

import feast_nb
from feast_nb.magics import _MAGICS
from feast_nb.magics.guide import TASKS
from feast_nb.session.known_names import KnownNames

from ..conftest import YAML, make_repository


def test_every_magic_is_named_with_its_task_and_a_sentence(notebook, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = notebook.run("%feast")

    named = {name for magics in TASKS.values() for name in magics}
    assert named == set(_MAGICS["line"]) - {"feast"}
    assert [m.name for m in shown.magics] == [n for magics in TASKS.values() for n in magics]
    assert all(m.does.endswith(".") and 20 < len(m.does) < 200 for m in shown.magics)


def test_where_no_repository_is_it_says_how_to_make_one(notebook, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = notebook.run("%feast")

    assert (shown.next, shown.project) == ("!feast init my_project", None)
    assert "no feature_store.yaml in this folder" in str(shown.why)


def test_a_repository_is_found_and_not_opened(notebook, repo, monkeypatch) -> None:
    monkeypatch.chdir(repo)
    shown = notebook.run("%feast")

    assert (shown.next, shown.path) == ("store = %feast_store", str(repo))
    notebook.run(str(shown.next))
    assert notebook.run("%feast").project == "drivers"


def test_the_next_line_trains_and_then_scores(notebook, repo, drivers) -> None:
    notebook.space["trips"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    shown = notebook.run("%feast")
    assert shown.run == "no run is open."
    assert shown.next == "%%feast_train v1 --service activity --entity-df trips"

    summary = notebook.run(
        f"{shown.next} --register m --alias champion\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "features = [c for c in training_df.columns if c not in trips.columns]\n"
        "model = LogisticRegression().fit(training_df[features].fillna(0), training_df['y'])"
    )
    assert summary.models[0].name == "m"
    after = notebook.run("%feast")
    assert after.next == "%feast_score m@champion --entities trips"
    assert after.run == f"no run is open; the last was v1 ({summary.run.id[:8]})."
    notebook.run("%feast_run second")
    assert notebook.run("%feast").run == "run second is open."


def test_what_is_switched_off_or_not_applied_has_its_line(notebook, tmp_path) -> None:
    off = make_repository(tmp_path / "off", mlflow="")
    notebook.run(f"store = %feast_store {off}")
    assert notebook.run("%feast").next.startswith("mlflow: {enabled: true")
    bare = make_repository(tmp_path / "bare", define=lambda _: [])
    notebook.run(f"store = %feast_store {bare}")
    assert notebook.run("%feast").next == "!feast apply"


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("rebuild", "feast_reproduce"),
        ("prove the same", "feast_reproduce"),
        ("serve", "feast_resolve"),
        ("predict", "feast_score"),
        ("what breaks", "feast_impact"),
        ("compare", "feast_diff"),
        ("unused", "feast_usage"),
        ("who applied", "feast_ops"),
        ("register", "feast_train"),
    ],
)
def test_a_word_finds_the_magic(notebook, words: str, first: str) -> None:
    found = notebook.run(f"%feast {words}")

    assert found.magics[0].name == first
    assert len(found.magics) < 5


def test_a_word_that_nothing_answers_is_said_with_the_nearest(notebook) -> None:
    found = notebook.run("%feast predikt")

    assert found.magics == ()
    assert str(found) == "no magic matches predikt; did you mean predict?"


def test_nothing_heavy_is_loaded_for_it(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\nshell.run_line_magic('load_ext', 'feast_nb')\n"
        "shell.run_cell('%feast')\nprint(sorted({'feast', 'mlflow', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_help_needs_no_cell_below_it(notebook) -> None:
    assert "--entity-df" in repr(notebook.run("%%feast_train --help"))
    assert "--resume" in repr(notebook.run("%%feast_run --help\n"))
    for line, said in (("%%feast_train v1", "needs a cell below its line"),
                       ("%%feast_run v1", "needs a cell below its line; for later cells write %feast_run")):  # fmt: skip
        result = notebook.shell.run_cell(line)
        assert said in str(result.error_in_exec)
    notebook.run("%unload_ext feast_nb")
    assert "_with_a_body" not in str(notebook.shell.input_transformers_cleanup)


# ---------------------------------------------------------------------- what others warn of


def test_what_libraries_warn_of_is_one_line_and_what_the_cell_warns_of_is_shown(
    notebook, repo, drivers, recwarn
) -> None:
    """No red box by a library's deprecation over the first training; the user's own stays."""
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    notebook.run(
        "import warnings, mlflow\n"
        "start = mlflow.start_run\n"
        "def old(*a, **k):\n"
        "    warnings.warn('start_run is old', FutureWarning)\n"
        "    return start(*a, **k)\n"
        "mlflow.start_run = old"
    )
    notebook.shown.clear()
    notebook.run(
        "%%feast_train v1 --service activity --entity-df drivers\n"
        "warnings.warn('mine', UserWarning)\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "m = LogisticRegression().fit(training_df[['trips']], training_df['y'])"
    )
    notebook.run("mlflow.start_run = start; warnings.warn('after', UserWarning)")

    said = [str(warning.message) for warning in recwarn]
    assert "start_run is old" not in said
    assert [text for text in said if text in ("mine", "after")] == ["mine", "after"]
    (folded,) = [d for d in notebook.shown if "from other libraries" in d["text/plain"]]
    assert "start_run is old" in folded["text/plain"]
    assert "<details" in folded["text/html"]


def test_an_empty_repository_says_to_apply(notebook, tmp_path, drivers) -> None:
    mlflow = f"mlflow: {{enabled: true, tracking_uri: 'sqlite:///{tmp_path}/mlflow.db'}}"
    text = YAML.format(project="p", offline="duckdb", mlflow=mlflow)
    (tmp_path / "feature_store.yaml").write_text(text)
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {tmp_path}")
    for what in ("--features hourly:trips", "--service activity"):
        said = notebook.fails(f"%%feast_train v1 {what} --entity-df drivers\n1")
        assert "nothing is applied in this repository yet: run `feast apply`." in said


# ---------------------------------------------------------------------- what DuckDB reads

TRAIN = "%%feast_train v1 --features stats:trips --entity-df keys\n1"


@pytest.fixture
def relative(tmp_path, monkeypatch):
    """A repository as `feast init` makes it: its source is a path relative to it."""
    folder = tmp_path / "repo"
    (folder / "data").mkdir(parents=True)
    (folder / "feature_store.yaml").write_text(
        "project: p\nprovider: local\nregistry: data/registry.db\nentity_key_serialization_version: 3\n"
        "online_store: {type: sqlite, path: data/online.db}\n"
        "mlflow: {enabled: true, tracking_uri: 'sqlite:///mlflow.db'}\n"
    )
    now = pd.Timestamp("2024-01-01", tz="UTC")
    frame = pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [now] * 2, "trips": [3, 4]})
    frame.to_parquet(folder / "data/stats.parquet")
    monkeypatch.chdir(tmp_path)
    _apply(folder, "data/stats.parquet")
    return folder


def _apply(folder, path: str) -> None:
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource
    from feast.types import Int64

    driver = Entity(name="driver", join_keys=["driver_id"])
    source = FileSource(name="stats_source", path=path, timestamp_field="event_timestamp")
    view = FeatureView(
        name="stats", entities=[driver], schema=[Field(name="trips", dtype=Int64)], source=source
    )
    FeatureStore(repo_path=str(folder)).apply([driver, view])


def test_duckdb_is_advised_only_where_it_reads_the_sources(notebook, relative) -> None:
    notebook.run(f"store = %feast_store {relative}")
    assert "drops training rows" in notebook.shown[-1]["text/plain"]
    assert "type: duckdb" not in notebook.shown[-1]["text/plain"]

    _apply(relative, str(relative / "data/stats.parquet"))
    notebook.run(f"store = %feast_store {relative}")
    assert "offline_store: {type: duckdb}" in notebook.shown[-1]["text/plain"]


def test_a_path_that_duckdb_would_not_find_is_one_line_with_the_whole_path(
    notebook, relative, monkeypatch
) -> None:
    """It takes a relative path from the process's folder, and answers with its own traceback."""
    yaml = relative / "feature_store.yaml"
    yaml.write_text(yaml.read_text() + "offline_store: {type: duckdb}\n")
    notebook.run(
        f"store = %feast_store {relative}\nimport pandas as pd\n"
        "keys = pd.DataFrame({'driver_id': [1], 'event_timestamp': [pd.Timestamp('2024-01-01', tz='UTC')]})"
    )
    said = notebook.fails(TRAIN)
    assert said.startswith(
        "FeatureError: source stats_source is data/stats.parquet, a relative path"
    )
    assert str(relative / "data/stats.parquet") in said

    monkeypatch.chdir(relative)  # where it would be found, it is
    assert notebook.run(TRAIN).retrievals[0].state == "ran"


# ---------------------------------------------------------------------- Tab in a fresh kernel


def test_tab_knows_models_and_runs_of_the_local_history_and_asks_no_server(
    notebook, repo, drivers
) -> None:
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    notebook.run(
        "%%feast_train v1 --service activity --entity-df drivers --register m --alias champion\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression().fit(training_df[['trips']], training_df['y'])"
    )
    notebook.run("%feast_usage")
    (repo / "mlflow.db").rename(repo / "away.db")

    fresh = feast_nb.open(repo)
    names = fresh.names = KnownNames()
    names.refresh(fresh)
    deadline = time.monotonic() + 30
    while not (names.models and names.refs) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert names.models == {"m": ("champion",)}
    assert list(names.runs.values()) == ["v1"]
    assert "hourly:trips" in names.refs
    assert not (repo / "mlflow.db").exists()


def test_a_magic_in_a_cell_and_a_saved_hook_lose_no_warning(notebook, repo, recwarn) -> None:
    """`logging.captureWarnings` keeps what shows warnings and puts it back, cells later."""
    notebook.run(f"store = %feast_store {repo}")
    notebook.run("%%feast_run one\nimport logging, warnings\nlogging.captureWarnings(True)")
    notebook.run("logging.captureWarnings(False)\nwarnings.warn('still seen', UserWarning)")

    assert "still seen" in [str(warning.message) for warning in recwarn]


def test_what_libraries_warn_of_in_a_magic_within_a_cell_is_folded(notebook, repo, recwarn) -> None:
    notebook.run(f"store = %feast_store {repo}")
    notebook.run(
        "import warnings\nfrom feast_nb.session.session import Session\n"
        "usage = Session.usage\n"
        "def old(*a, **k):\n"
        "    warnings.warn('usage is old', FutureWarning)\n"
        "    return usage(*a, **k)\n"
        "Session.usage = old"
    )
    try:
        notebook.run("%%feast_run one\nseen = %feast_usage")
    finally:
        notebook.run("Session.usage = usage")

    assert "usage is old" not in [str(warning.message) for warning in recwarn]
    assert "usage is old" in "".join(data["text/plain"] for data in notebook.shown)
