"""Feast alone and with feast_nb, group 2: retrievals in tasks and worker threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import mlflow
import pytest

from ..conftest import NOW, artifacts
from .conftest import retrievals_of, tags_of

REFS = ["hourly:conv_rate", "hourly:acc_rate", "hourly:trips"]


def feast_tags(store, run_id: str) -> dict[str, str]:
    return {k: v for k, v in tags_of(store, run_id).items() if k.startswith("feast.")}


@pytest.fixture
def async_reads(monkeypatch) -> None:
    """SQLite reads no rows in an await; here it does, so that Feast's own async call runs on it."""
    from feast.infra.online_stores.sqlite import SqliteOnlineStore

    async def online_read_async(self, *args, **kwargs):
        await asyncio.sleep(0)
        return self.online_read(*args, **kwargs)

    monkeypatch.setattr(SqliteOnlineStore, "online_read_async", online_read_async)


def fill_online(store) -> None:
    """The newest values of two drivers."""
    import pandas as pd

    frame = pd.DataFrame(
        {
            "driver_id": [1, 2],
            "event_timestamp": [NOW] * 2,
            "conv_rate": [0.25, 0.5],
            "acc_rate": [0.5, 0.75],
            "trips": [7, 8],
        }
    )
    store.write_to_online_store("hourly", frame)


ROWS = [{"driver_id": 1}, {"driver_id": 2}]


@pytest.mark.conformance("2.4")
def test_2_4_an_awaited_online_retrieval_is_recorded_as_its_twin(alone, load, async_reads) -> None:
    """`await store.get_online_features_async(…)`: Feast records nothing, unlike its sync twin.

    Right is the same record and the same tags.
    """

    def both(store):
        fill_online(store)
        service = store.get_feature_service("rates")
        with store.mlflow.start_run() as sync:
            store.get_online_features(service, ROWS)
        with store.mlflow.start_run() as awaited:
            given = asyncio.run(store.get_online_features_async(service, ROWS)).to_dict()
        assert given["conv_rate"] == [0.25, 0.5]
        return sync.info.run_id, awaited.info.run_id

    sync, awaited = both(alone)
    assert feast_tags(alone, sync)["feast.feature_service"] == "rates"
    assert set(feast_tags(alone, awaited)) == {"feast.project"}, "Feast alone"

    store = load()
    sync, awaited = both(store)

    assert feast_tags(store, awaited) == feast_tags(store, sync)
    assert feast_tags(store, awaited)["feast.retrieval_type"] == "online"
    (one,), (other,) = retrievals_of(store, sync), retrievals_of(store, awaited)
    assert (other["kind"], other["state"], other["result"]["rows"]) == ("online", "ran", 2)
    apart = {"id", "run_id", "seconds", "at", "cell"}
    assert {k: v for k, v in other.items() if k not in apart} == {
        k: v for k, v in one.items() if k not in apart
    }


@pytest.mark.conformance("2.4")
def test_2_4_tasks_at_once_are_each_of_their_own_run(load, async_reads) -> None:
    """Two tasks, each in a run of its own: neither's retrieval lands in the other's."""
    store = load()
    fill_online(store)

    async def ask(name, refs):
        with mlflow.start_run(run_name=name) as run:
            mine = store.get_online_features_async(refs, ROWS)
            await mine
        return run.info.run_id

    async def both():
        with store.mlflow.start_run() as outer:
            first = asyncio.create_task(store.get_online_features_async(["hourly:trips"], ROWS))
            second = asyncio.create_task(store.get_online_features_async(["hourly:acc_rate"], ROWS))
            await asyncio.gather(first, second)
        return outer.info.run_id, await ask("alone", ["hourly:conv_rate"])

    outer, other = asyncio.run(both())

    refs = sorted(r["refs"][0] for r in retrievals_of(store, outer))
    assert refs == ["hourly:acc_rate", "hourly:trips"]
    assert [r["refs"] for r in retrievals_of(store, other)] == [["hourly:conv_rate"]]


@pytest.mark.conformance("2.4")
def test_2_4_a_cell_that_awaits_is_recorded(load, async_reads) -> None:
    """Top-level await in a cell, of which a task outlives the cell that made it."""
    store, book = load(), load.book
    fill_online(store)
    book.run("run = store.mlflow.start_run()")
    book.run("got = await store.get_online_features_async(['hourly:trips'], [{'driver_id': 1}])")
    book.run("import asyncio\n"
             "task = asyncio.create_task("
             "store.get_online_features_async(['hourly:acc_rate'], [{'driver_id': 1}]))\n"
             "await asyncio.sleep(0)")  # fmt: skip
    assert not book.space["task"].done()
    book.run("await task")
    mlflow.end_run()

    kept = retrievals_of(store, book.space["run"].info.run_id)
    assert [r["refs"] for r in kept] == [["hourly:trips"], ["hourly:acc_rate"]]
    assert [r["cell"]["number"] for r in kept] == [4, 5], "the cells that asked"


_one_by_one = threading.Lock()  # Feast's DuckDB connection refuses two calls at once


def in_threads(store, drivers, refs, how: str) -> None:
    def ask(ref):
        assert threading.current_thread() is not threading.main_thread()
        with _one_by_one:
            return store.get_historical_features(drivers, [ref]).to_df()

    if how == "executor":
        with ThreadPoolExecutor(2) as pool:
            assert len(list(pool.map(ask, refs))) == len(refs)
    elif how == "joblib":
        from joblib import Parallel, delayed

        Parallel(n_jobs=2, prefer="threads")(delayed(ask)(ref) for ref in refs)
    else:

        async def together():
            await asyncio.gather(*(asyncio.to_thread(ask, ref) for ref in refs))

        asyncio.run(together())


@pytest.mark.conformance("2.5")
@pytest.mark.parametrize("how", ["executor", "joblib", "to_thread"])
def test_2_5_a_retrieval_in_a_thread_is_of_the_run(alone, load, drivers, how) -> None:
    """Retrievals in worker threads: Feast asks for the run of that thread, which has none.

    Right is the run that is open where the work was handed out.
    """

    def ask(store):
        with store.mlflow.start_run() as run:
            in_threads(store, drivers, REFS, how)
        return run.info.run_id

    assert set(feast_tags(alone, ask(alone))) == {"feast.project"}, "Feast alone"

    store = load()
    run_id = ask(store)

    kept = retrievals_of(store, run_id)
    assert sorted(r["refs"][0] for r in kept) == sorted(REFS)
    assert [(r["state"], r["result"]["rows"], r["linked_by"]) for r in kept] == [
        ("ran", 6, None)
    ] * 3
    assert set(feast_tags(store, run_id)["feast.feature_refs"].split(",")) == set(REFS)


@pytest.mark.conformance("2.5")
@pytest.mark.parametrize("how", ["executor", "joblib", "to_thread"])
def test_2_5_a_retrieval_in_a_thread_of_a_child_is_of_the_child(load, drivers, how) -> None:
    """Worker threads while a nested run is open: the innermost is meant, and nothing is lost."""
    store = load()
    with store.mlflow.start_run() as parent, mlflow.start_run(nested=True) as child:
        in_threads(store, drivers, REFS[:2], how)

    assert "feast/retrievals.json" in artifacts(store.mlflow.client, child.info.run_id)
    kept = retrievals_of(store, child.info.run_id)
    assert sorted(r["refs"][0] for r in kept) == sorted(REFS[:2])
    assert [r["linked_by"] for r in kept] == [None, None]
    assert "feast/retrievals.json" not in artifacts(store.mlflow.client, parent.info.run_id)


@pytest.mark.conformance("2.5")
def test_2_5_threads_with_runs_of_their_own_keep_them_apart(load, drivers) -> None:
    """Each worker opens a run of its own: MLflow keeps one for each thread, and so do we."""
    store = load()
    together = threading.Barrier(2)

    def trial(ref):
        with mlflow.start_run() as run:
            together.wait(20)  # both runs are open when either retrieves
            with _one_by_one:
                store.get_historical_features(drivers, [ref]).to_df()
            together.wait(20)
        return run.info.run_id

    mlflow.set_tracking_uri(store.config.mlflow.get_tracking_uri())
    mlflow.set_experiment("trials")
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(trial, REFS[:2]))

    for run, ref in zip(runs, REFS, strict=False):
        (kept,) = retrievals_of(store, run)
        assert (kept["refs"], kept["run_id"]) == ([ref], run)
