"""`%feast`: where one is, which magic does what, and a next line that works as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from feast_nb.magics import _MAGICS
from feast_nb.magics.guide import TASKS

from ..conftest import make_repository


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
    assert after.run == f"no run is open; the last was {summary.run.id[:8]}."
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
