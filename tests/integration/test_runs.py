"""`%feast_run`: a run that later cells belong to."""

from __future__ import annotations

import threading

import pytest

from ..conftest import read_json, records_of


@pytest.fixture
def book(notebook, repo, drivers):
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    return notebook


RETRIEVE = "store.get_historical_features(drivers, ['hourly:trips']).to_df()"
ONLINE = "store.get_online_features(['hourly:trips'], [{'driver_id': 1}]).to_dict()"


def test_later_cells_belong_to_an_open_run(book, client) -> None:
    run = book.run("%feast_run v1 --tag team=ranking --tag note='two words' --description hello")
    book.run(RETRIEVE)
    book.run("store.get_historical_features(drivers.head(2), ['profile:age']).to_arrow()")
    state = book.run("%feast_run")
    ended = book.run("%feast_run --end")

    assert [r.refs for r in state.open[0].retrievals] == [("hourly:trips",), ("profile:age",)]
    assert ended.status == "FINISHED"
    data = client.get_run(run.id).data
    assert (data.tags["team"], data.tags["note"]) == ("ranking", "two words")
    assert data.tags["mlflow.note.content"] == "hello"
    assert data.tags["feast.feature_refs"] == "hourly:trips,profile:age"
    kept = read_json(client, run.id, "feast/retrievals.json")["retrievals"]
    assert [k["result"]["rows"] for k in kept] == [6, 2]


def test_one_cell_in_a_run(book, client) -> None:
    ended = book.run(f"%%feast_run v1\nframe = {RETRIEVE}\nframe.shape")

    assert (ended.status, len(ended.retrievals)) == ("FINISHED", 1)
    assert len(book.space["frame"]) == 6


def test_a_failing_cell_fails_its_run(book, client) -> None:
    said = book.fails("%%feast_run v1\n1/0")

    assert "ZeroDivisionError" in said
    (run,) = client.search_runs(["1"])
    assert run.info.status == "FAILED"


def test_a_second_run_is_an_answer_and_a_nested_one_is_a_child(book, client) -> None:
    outer = book.run("%feast_run v1")
    said = book.fails("%feast_run v2")
    inner = book.run("%feast_run v2 --nested")
    assert said == (
        "UsageError: run v1 is open since cell 3; end it with %feast_run --end, or add --nested."
    )
    assert client.get_run(inner.id).data.tags["mlflow.parentRunId"] == outer.id
    assert [r.name for r in book.run("%feast_run").open] == ["v2", "v1"]
    assert book.run("%feast_run --end").name == "v2"
    assert book.run("%feast_run --end --status failed").status == "FAILED"
    assert "no run of %feast_run is open" in book.fails("%feast_run --end")


def test_a_run_is_resumed_and_keeps_what_it_had(book, client) -> None:
    first = book.run(f"%%feast_run v1\n_ = {RETRIEVE}")
    book.run(f"%feast_run --resume {first.id}")
    book.run("_ = store.get_historical_features(drivers, ['profile:age']).to_df()")
    book.run("%feast_run --end")

    kept = read_json(client, first.id, "feast/retrievals.json")["retrievals"]
    assert [k["refs"] for k in kept] == [["hourly:trips"], ["profile:age"]]
    assert client.get_run(first.id).info.status == "FINISHED"
    assert "MLflow refuses" in book.fails("%feast_run --resume 00000000000000000000000000000000")


def test_a_run_of_a_dead_kernel_is_resumed_with_its_retrievals(book, repo, client) -> None:
    """What MLflow has of an earlier process's run is kept, not written over."""
    import subprocess
    import sys

    code = (
        f"import feast_nb, pandas as pd\n"
        f"session = feast_nb.open({str(repo)!r})\n"
        "drivers = pd.DataFrame({'driver_id': [1], 'event_timestamp': "
        "[pd.Timestamp('2024-01-05', tz='UTC')]})\n"
        "with session.run('v1') as run:\n"
        "    session.store.get_historical_features(drivers, ['hourly:trips']).to_df()\n"
        "print(run.ref.id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    run_id = done.stdout.strip().splitlines()[-1]
    book.run(f"%feast_run --resume {run_id}")
    book.run("_ = store.get_historical_features(drivers, ['profile:age']).to_df()")
    book.run("%feast_run --end")

    kept = records_of(client, run_id)
    assert [k["refs"] for k in kept] == [["hourly:trips"], ["profile:age"]]
    assert client.get_run(run_id).data.tags["feast.feature_refs"] == "hourly:trips,profile:age"


def test_pause_and_unpause(book, client) -> None:
    book.run("%feast_run v1")
    assert book.run("%feast_run --pause").recording is False
    book.run(RETRIEVE)
    assert book.run("%feast_run --unpause").recording is True
    book.run("_ = store.get_historical_features(drivers, ['profile:age']).to_df()")
    ended = book.run("%feast_run --end")

    assert [r.refs for r in ended.retrievals] == [("profile:age",)]
    assert client.get_run(ended.id).data.tags["feast.feature_refs"] == "profile:age"


def test_experiments_chosen_before_are_respected(book, client, monkeypatch) -> None:
    assert book.run("%%feast_run a\n1").experiment == "drivers"
    assert book.run("%%feast_run b --experiment mine\n1").experiment == "mine"
    uri = book.run("store.config.mlflow.tracking_uri")
    book.run(
        f"import mlflow\nmlflow.set_tracking_uri({uri!r})\n_ = mlflow.set_experiment('chosen')"
    )
    assert book.run("%%feast_run c\n1").experiment == "chosen"
    assert book.run("%%feast_train d\n1").run.experiment == "chosen"


@pytest.mark.parametrize(
    "start",
    [
        "store.mlflow.start_run(run_name='x')",
        "mlflow.start_run(run_name='x')",
        "feast.mlflow.start_run(run_name='x')",
    ],
)
def test_runs_started_in_any_way_are_recorded_alike(book, client, start) -> None:
    uri = book.run("store.config.mlflow.tracking_uri")
    book.run(
        "import mlflow, feast.mlflow\nfeast.mlflow.init(store)\n"
        f"mlflow.set_tracking_uri({uri!r})\n"
        f"with {start} as run:\n"
        f"    _ = {RETRIEVE}\n"
        f"    for _ in range(3):\n        {ONLINE}\n"
    )

    run_id = book.space["run"].info.run_id
    historical, online = read_json(client, run_id, "feast/retrievals.json")["retrievals"]
    assert (historical["kind"], historical["result"]["rows"]) == ("historical", 6)
    assert (online["kind"], online["count"], online["result"]["rows"]) == ("online", 3, 1)
    tags = client.get_run(run_id).data.tags
    assert (tags["feast.retrieval_type"], tags["feast.entity_count"]) == ("historical", "6")


def test_feasts_own_auto_log_is_quiet_while_ours_records(book, monkeypatch) -> None:
    from feast.mlflow_integration.client import FeastMlflowClient

    written = []
    monkeypatch.setattr(
        FeastMlflowClient, "log_feature_retrieval", lambda *a, **k: written.append(k)
    )
    book.run(f"%%feast_run v1\n_ = {RETRIEVE}\n_ = {ONLINE}")

    assert written == []


def test_auto_log_off_records_only_what_a_magic_asked_for(book, client) -> None:
    book.run("store.config.mlflow.auto_log = False")
    ended = book.run(f"%%feast_run v1\n_ = {RETRIEVE}")
    book.run(f"with store.mlflow.start_run(run_name='own') as own:\n    _ = {RETRIEVE}")

    assert len(ended.retrievals) == 1
    tags = client.get_run(book.space["own"].info.run_id).data.tags
    assert {k for k in tags if k.startswith("feast")} == {"feast.project"}


def test_a_thread_belongs_to_the_only_open_run(book) -> None:
    book.run("%feast_run v1")
    store, drivers = book.space["store"], book.space["drivers"]
    ask = threading.Thread(
        target=lambda: store.get_historical_features(drivers, ["hourly:trips"]).to_df()
    )
    ask.start()
    ask.join()

    assert len(book.run("%feast_run --end").retrievals) == 1


def test_rows_that_the_store_dropped_are_counted_by_kind(
    notebook, template, tmp_path, client
) -> None:
    """dask drops what it has no value for; which rows and why is said in plain words."""
    import pandas as pd

    from ..conftest import make_repository

    repo = make_repository(tmp_path / "dasked", offline="file")
    at = pd.to_datetime(
        ["2024-01-05", "2024-01-05", "2024-03-01", "2023-06-01", "2024-01-06"], utc=True
    )
    notebook.space["asked"] = pd.DataFrame({"driver_id": [1, 1, 2, 3, 4], "event_timestamp": at})
    notebook.run(f"store = %feast_store {repo}")
    summary = notebook.run("%%feast_train v1 --features hourly:trips --entity-df asked\n1")

    result = summary.retrievals[0].result
    assert (result.rows, result.dropped) == (2, 3)
    assert {(loss.rows, loss.why) for loss in result.losses} == {
        (1, "the same key and timestamp asked for twice"),
        (1, "older than the TTL"),
        (1, "only values later than asked for"),
    }
    assert "dropped 3 of 5 rows asked for" in " ".join(summary.warnings)


def test_unloading_puts_everything_back(repo) -> None:
    import sys

    import mlflow
    from feast import FeatureStore
    from feast.mlflow_integration.client import FeastMlflowClient
    from mlflow.models import Model
    from mlflow.tracking import fluent
    from mlflow.tracking._tracking_service.client import TrackingServiceClient

    from ..conftest import Notebook

    def state(shell):
        seen = {
            (owner, name): vars(owner).get(name)
            for owner, names in {
                FeatureStore: [
                    "get_historical_features",
                    "get_online_features",
                    "mlflow",
                    "__init__",
                ],
                FeastMlflowClient: ["log_model", "start_run", "resolve_features"],
                Model: ["log"],
                fluent: ["start_run", "end_run"],
                mlflow: ["start_run", "end_run"],
                TrackingServiceClient: ["create_experiment"],
            }.items()
            for name in names
        }
        formatter = shell.display_formatter.mimebundle_formatter
        return (
            seen,
            {k: sorted(v) for k, v in shell.magics_manager.magics.items()},
            list(shell.Completer.custom_matchers),
            {k: len(v) for k, v in shell.events.callbacks.items()},
            (set(formatter.type_printers), set(formatter.deferred_printers)),
            list(sys.meta_path),
            mlflow.get_tracking_uri(),
        )

    book = Notebook()
    before = state(book.shell)
    book.run("%load_ext feast_nb")
    book.run("%load_ext feast_nb")
    loaded = state(book.shell)
    book.run(f"store = %feast_store {repo}\nstore")
    book.run("%%feast_run v1\n1")
    assert mlflow.get_tracking_uri() != before[-1]
    book.run("%unload_ext feast_nb")

    assert loaded[0] != before[0]
    assert state(book.shell) == before
    assert "feast_run" not in book.shell.magics_manager.magics["line"]
