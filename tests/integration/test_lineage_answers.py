"""Who uses what, where it comes from, what depends on it: asked in a notebook, after trainings."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from feast_nb.display import bundle
from feast_nb.questions.source import since_of, stretch_of
from feast_nb.session import of_store

from ..conftest import answers, free_port, make_repository, unheard_of, wait_for
from .conftest import entities

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def promoted(trained: Path, tmp_path: Path, notebook: Any) -> Any:
    """A notebook on a copy of the trained repository: other tests add runs to the first one."""
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    for name in ("registry.db", "stats.parquet", "online.db", "mlflow.db"):
        shutil.copy(trained.parent / name, folder / name)
    notebook.run(f"store = %feast_store {folder}")
    notebook.space["drivers"] = entities().drop(columns="index")
    return notebook


def texts(record: Any) -> str:
    return str(bundle(record)["text/plain"])


def test_the_usage_of_a_project(promoted) -> None:
    found = promoted.run("%feast_usage")
    uses = {f.ref: f for f in found.features}

    assert uses["hourly:trips"].training == 3
    assert [m.said for m in uses["hourly:trips"].models] == ["m/1–2 (champion → 1)", "p/1"]
    assert [m.said for m in uses["hourly:acc_rate"].models] == ["m/2", "p/1"]
    assert uses["profile:age"].unused
    assert "profile:age" in promoted.run("%feast_usage --unused").unused


@pytest.fixture
def empty(notebook, repo: Path, drivers: Any) -> Any:
    """A notebook on a repository without a run."""
    notebook.run(f"store = %feast_store {repo}")
    notebook.space["drivers"] = drivers
    return notebook


def test_a_training_is_in_the_next_answer(empty) -> None:
    train = (
        "%%feast_train another --service activity --entity-df drivers --no-archive\nx = training_df"
    )
    for count in (0, 1, 2):
        assert empty.run("%feast_usage hourly").training == count
        empty.run(train)


def test_a_project_without_a_run(empty) -> None:
    assert empty.run("%feast_usage").training == 0
    assert "hourly" in texts(empty.run("%feast_lineage"))
    assert empty.run("%feast_impact hourly").models == ()
    assert empty.run("%feast_runs").runs == ()


@pytest.mark.parametrize(
    ("line", "refs"),
    [
        ("hourly", {"hourly:trips", "hourly:acc_rate", "hourly:conv_rate"}),
        ("hourly:trips", {"hourly:trips"}),
        ("service=rates", {"hourly:conv_rate", "hourly:acc_rate"}),
        ("entity=driver", {"hourly:trips", "profile:age", "doubled:doubled"}),
    ],
)
def test_the_usage_of_a_part(promoted, line: str, refs: set[str]) -> None:
    assert refs <= {f.ref for f in promoted.run(f"%feast_usage {line}").features}


def test_where_a_model_comes_from(promoted) -> None:
    found = promoted.run("%feast_lineage m@champion")
    ids = {n.id.partition(":")[0] + ":" + n.label for n in found.nodes}

    assert ids == {"source:stats", "entity:driver", "view:hourly", "service:activity", "run:v1",
                   "model:m/1"}  # fmt: skip
    assert {n.id for n in promoted.run("%feast_lineage m").nodes if n.focus} == {
        "model:m/1", "model:m/2",
    }  # fmt: skip


def test_up_and_down(promoted) -> None:
    kinds = {n.kind for n in promoted.run("%feast_lineage hourly --down 1 --up 0").nodes}

    assert kinds == {"view", "service"}


@pytest.mark.parametrize(("runs", "count"), [("all", 3), ("latest", 1), ("collapsed", 1)])
def test_runs_are_drawn_as_asked(promoted, runs: str, count: int) -> None:
    found = promoted.run(f"%feast_lineage service=activity --runs {runs}")
    drawn = [n for n in found.nodes if n.kind == "run"]

    assert len(drawn) == count
    assert sum(n.count for n in drawn) == (1 if runs == "latest" else 3)


def test_a_run_by_its_id_and_name(promoted) -> None:
    run = next(r for r in promoted.run("%feast_runs").runs if r.name == "v2")

    for named in (run.id, run.id[:10], "v2", "run=v2"):
        found = promoted.run(f"%feast_lineage {named}")
        assert {n.label for n in found.nodes if n.focus} == {"v2"}
        assert "m/2" in {n.label for n in found.nodes}
        assert "m/1" not in {n.label for n in found.nodes}


def test_what_depends_on_a_view_and_on_a_feature(promoted) -> None:
    found = promoted.run("%feast_impact hourly")

    assert [m.name for m in found.models] == ["m/1", "m/2", "p/1"]
    assert found.models[0].aliases == ("champion",)
    assert [v.name for v in found.views] == ["doubled"]
    assert [m.name for m in promoted.run("%feast_impact hourly:acc_rate").models] == ["m/2", "p/1"]
    assert promoted.run("%feast_impact profile").models == ()


def test_the_newest_runs(promoted) -> None:
    found = promoted.run("%feast_runs --service activity --most 2")

    assert [r.name for r in found.runs] == ["bare", "v2"]
    assert [r.name for r in promoted.run("%feast_runs --model m@champion").runs] == ["v1"]
    assert {r.name for r in promoted.run("%feast_runs --model m").runs} == {"v1", "v2"}
    assert found.runs[1].metrics == {"auc": 0.7}
    assert len(found.to_pandas()) == 2
    assert promoted.run("%feast_runs --since 2020-01-01 --mine").runs
    assert promoted.run("%feast_runs --since 2999-01-01").runs == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%feast_usage hourli", "did you mean hourly"),
        ("%feast_usage m", "m is a model"),
        ("%feast_usage --since yesterday", "30d"),
        ("%feast_usage --experiment driver", "did you mean drivers"),
        ("%feast_lineage view=m", "no view m"),
        ("%feast_lineage m/9", "did you mean"),
        ("%feast_lineage hourly --up -1", "0 or more"),
        ("%feast_lineage hourly --runs some", "--runs"),
        ("%feast_impact m", "m is a model"),
        ("%feast_impact", "required"),
        ("%feast_runs --service activiti", "did you mean activity"),
        ("%feast_runs --model z", "no model z"),
        ("%feast_runs --most 0", "1 or more"),
        ("%feast_ops --most x", "--most"),
    ],
)
def test_mistakes_are_one_line(promoted, line: str, said: str) -> None:
    shown = promoted.fails(line)

    assert said in shown
    assert len(shown.strip().splitlines()) == 1


def test_a_name_of_two_things_asks_which(promoted) -> None:
    promoted.run(
        "from feast import FeatureService\n"
        "store.apply([FeatureService(name='hourly', "
        "features=[store.get_feature_view('hourly')[['trips']]])])"
    )

    assert "view=hourly or service=hourly" in promoted.fails("%feast_impact hourly")
    assert promoted.run("%feast_impact view=hourly").models
    promoted.run("store.delete_feature_service('hourly')")


def test_help_and_manual(promoted) -> None:
    for name in ("usage", "lineage", "impact", "runs", "ops"):
        assert "Examples" in repr(promoted.run(f"%feast_{name} --help"))


def test_a_hostile_name_is_shown_as_it_is(empty) -> None:
    empty.run(f"%feast_run {EVIL!r}")
    empty.run("f = store.get_historical_features(drivers, ['hourly:trips']).to_df()")
    empty.run("%feast_run --end")
    found = empty.run("%feast_runs")

    assert found.runs[0].name == EVIL
    shown = bundle(found)
    assert "<img src=x" not in shown["text/html"]
    assert EVIL in shown["text/plain"]


def test_a_live_drawing(promoted) -> None:
    if not (Path(__file__).parents[2] / "feast_nb/static/lineage.js").exists():
        assert "npm run build" in promoted.fails("%feast_lineage m --live")
        return
    widget = promoted.run("%feast_lineage m --live")
    data = widget._repr_mimebundle_()
    data = data[0] if isinstance(data, tuple) else data

    assert widget.graph["kind"] == "lineage"
    assert "<img" in data["text/html"]
    assert "m/1" in data["text/plain"]


# ---------------------------------------------------------------------- operations


def test_operations_are_a_timeline(tmp_path: Path, notebook) -> None:
    block = 'mlflow: {enabled: true, tracking_uri: "sqlite:///mlflow.db", log_operations: true}'
    folder = make_repository(tmp_path / "repo", mlflow=block)
    notebook.run(f"store = %feast_store {folder}")
    notebook.run("from feast import FeatureService\n"
                 "store.apply([FeatureService(name='new', features=[store.get_feature_view('hourly')])])")  # fmt: skip
    notebook.space["begin"] = datetime(2024, 1, 1, tzinfo=UTC)
    notebook.space["end"] = datetime(2024, 1, 12, tzinfo=UTC)
    notebook.run("store.materialize(begin, end)")
    found = notebook.run("%feast_ops")

    wrote, _, first = found.operations
    applied = found.operations[1]
    assert [o.what for o in found.operations] == ["materialize", "apply", "apply"]
    assert "hourly" in (*first.created, *first.changed)
    assert set(wrote.views) == {"hourly", "profile"}
    assert (wrote.start or "").startswith("2024-01-01")
    assert (wrote.end or "").startswith("2024-01-12")
    assert "new" in (*applied.created, *applied.changed)
    assert notebook.run("%feast_usage").training == 0
    assert len(found.to_pandas()) == 3
    assert "materialize" in texts(found)


def test_no_operations_says_how_to_have_them(promoted) -> None:
    assert "log_operations: true" in texts(promoted.run("%feast_ops"))


# ---------------------------------------------------------------------- the server away


@pytest.mark.slow
def test_with_the_server_away_the_copy_answers_and_says_as_of_when(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
               "--backend-store-uri", f"sqlite:///{tmp_path}/m.db", "--workers", "1"]  # fmt: skip
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for(lambda: answers(f"{url}/health"), 60, "the MLflow server")
        folder = make_repository(
            tmp_path / "repo", mlflow=f"mlflow: {{enabled: true, tracking_uri: '{url}'}}"
        )
        from feast import FeatureStore

        session = of_store(FeatureStore(repo_path=str(folder)))
        api = session.store.mlflow.client
        tags = {"feast.project": "drivers", "feast.retrieval_type": "historical",
                "feast.feature_refs": "hourly:trips"}  # fmt: skip
        api.create_run(api.create_experiment("drivers"), tags=tags)
        first = session.usage()
        assert (first.training, first.notes) == (1, ())
        link = session.recent().runs[0].url
        assert link is not None
        assert link.startswith(f"{url}/#/experiments/")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    unheard_of()
    away = session.usage()

    assert away.training == 1
    assert re.match(r"as of \d{4}-\d\d-\d\d \d\d:\d\d UTC: the MLflow server", away.notes[0])


def test_the_file_is_in_the_cache_folder(promoted) -> None:
    promoted.run("%feast_usage")

    assert list(Path(os.environ["FEAST_NB_CACHE"]).rglob("*.sqlite"))


@pytest.mark.parametrize(
    ("text", "days"), [("30d", 30), ("2w", 14), ("48h", 2), ("1970-01-02", None)]
)
def test_since(text: str, days: int | None) -> None:
    now = 1e9
    expected = 86_400_000 if days is None else int((now - days * 86_400) * 1000)

    assert since_of(text, now) == expected
    assert since_of(None, now) is None


@pytest.mark.parametrize(
    ("days", "stretch"), [(10, 1), (60, 1), (61, 7), (420, 7), (900, 28), (3000, 91)]
)
def test_a_chart_has_about_sixty_bars(days: int, stretch: int) -> None:
    assert stretch_of(0 + 1, days * 86_400) == stretch


def test_what_is_written_after_the_end_leaves_its_moment(empty) -> None:
    """By which a history notices it: MLflow has no `changed since`."""
    empty.run("%feast_run v1")
    empty.run(
        "f = store.get_historical_features(drivers, ['hourly:trips', 'hourly:conv_rate']).to_df()"
    )
    empty.run("%feast_run --end")
    api = empty.space["store"].mlflow.client
    (experiment,) = [e for e in api.search_experiments() if e.name == "drivers"]
    (run,) = api.search_runs([experiment.experiment_id])
    assert "feast_nb.written_at" not in run.data.metrics
    empty.run("%feast_usage")
    empty.run("from sklearn.linear_model import LinearRegression\n"
              "model = LinearRegression().fit(f[['trips', 'conv_rate']].fillna(0), drivers['y'])")  # fmt: skip
    empty.run("%feast_log model --register late")
    found = empty.run("%feast_usage hourly:trips")

    assert [m.said for m in found.features[0].models] == ["late/1"]
    (run,) = api.search_runs([experiment.experiment_id])
    assert run.data.metrics["feast_nb.written_at"] > run.info.end_time / 1000 - 1
    assert (
        api.get_model_version("late", "1").tags["feast_nb.features"]
        == "hourly:trips,hourly:conv_rate"
    )


def test_the_numbers_of_a_view_are_those_of_its_runs(promoted) -> None:
    found = promoted.run("%feast_usage profile")

    assert (found.training, found.prediction, sum(found.trend)) == (0, 0, 0)
    assert promoted.run("%feast_usage hourly:acc_rate").training == 3


def test_what_another_process_applies_is_seen(empty) -> None:
    import feast_nb

    empty.run("%feast_usage")
    other = feast_nb.open(empty.space["store"].repo_path).store
    other.delete_feature_view("profile")

    assert "profile" not in [v.ref for v in empty.run("%feast_usage").views]
