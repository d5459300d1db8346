"""Feast alone and with feast_nb, group 2: lineage that Feast's own integration loses, and nobody says so."""

from __future__ import annotations

import time

import mlflow
import pandas as pd
import pytest

from ..conftest import artifacts
from .conftest import change_yaml, retrievals_of, tags_of

FIVE_ROWS = ("auto_log_entity_df: true", "auto_log_entity_df: true, entity_df_max_rows: 5")


def at_most_five_rows(store):
    """The store of the same repository, with `entity_df_max_rows: 5` in its YAML."""
    from feast import FeatureStore

    change_yaml(store.repo_path, *FIVE_ROWS)
    return FeatureStore(repo_path=str(store.repo_path))


def six_rows(store, drivers):
    with store.mlflow.start_run() as run:
        store.get_historical_features(drivers, store.get_feature_service("activity")).to_df()
    return run.info.run_id


@pytest.mark.conformance("2.7")
def test_2_7_a_large_entity_frame_is_not_archived_and_that_is_said(
    alone, load, repo, drivers
) -> None:
    """Above `entity_df_max_rows` Feast keeps no frame and says nothing.

    Right is a fingerprint all the same, and the reason in the record, the tag and the summary.
    """
    # given what Feast alone does: no artifact, no word
    alone = at_most_five_rows(alone)
    run_id = six_rows(alone, drivers)
    assert artifacts(alone.mlflow.client, run_id) == {}
    assert not {k for k in tags_of(alone, run_id) if "archived" in k}

    # when the extension is loaded
    change_yaml(repo, *FIVE_ROWS)
    store = load()
    run_id = six_rows(store, drivers)

    # then the run says why there is no frame, and has its fingerprint
    why = "6 rows above entity_df_max_rows (5)"
    assert "entity_df.parquet" not in artifacts(store.mlflow.client, run_id)
    (kept,) = retrievals_of(store, run_id)
    assert (kept["entity"]["artifact"], kept["entity"]["reason"]) == (None, why)
    assert kept["entity"]["fingerprint"]
    assert tags_of(store, run_id)["feast_nb.entity_archived"] == f"false: {why}"

    # and a training's summary tells its reader
    book = load.book
    book.space["drivers"] = drivers
    summary = book.run("%%feast_train v1 --service activity --entity-df drivers\n1")
    assert [w for w in summary.warnings if why in w], summary.warnings
    shown, _ = book.shell.display_formatter.format(summary)
    assert why in shown["text/html"]
    assert why in shown["text/plain"]


@pytest.mark.conformance("2.7")
def test_2_7_asking_for_the_frame_names_the_reason(alone, load, repo, drivers) -> None:
    """Later Feast advises to enable `auto_log_entity_df`, which is enabled.

    Right is the reason why the run has no frame.
    """
    from feast.mlflow_integration import FeastMlflowEntityDfError

    alone = at_most_five_rows(alone)
    run_id = six_rows(alone, drivers)
    with pytest.raises(FeastMlflowEntityDfError, match="Ensure auto_log_entity_df is enabled"):
        alone.mlflow.get_training_entity_df(run_id)

    change_yaml(repo, *FIVE_ROWS)
    store = load()
    run_id = six_rows(store, drivers)

    with pytest.raises(FeastMlflowEntityDfError) as refused:
        store.mlflow.get_training_entity_df(run_id)
    said = "\n".join([str(refused.value), *getattr(refused.value, "__notes__", ())])
    assert "6 rows above entity_df_max_rows (5)" in said


def trained(store, entity):
    with store.mlflow.start_run() as run:
        frame = store.get_historical_features(entity, ["hourly:trips"]).to_df()
        store.mlflow.log_training_dataset(frame)
    return store.mlflow.client.get_run(run.info.run_id), frame


@pytest.mark.conformance("2.10")
def test_2_10_a_training_frame_is_a_dataset_of_the_run(alone, load, drivers) -> None:
    """`log_training_dataset(df)`: Feast's source is of no use, and without the call there is none.

    Right is a dataset of every run: the frame's fingerprint, schema and rows, and a source from
    which the entity frame loads.
    """
    run, _ = trained(alone, drivers)
    (native,) = run.inputs.dataset_inputs
    mlflow.set_tracking_uri(alone.config.mlflow.tracking_uri)
    with pytest.raises(Exception, match="No such artifact"):
        mlflow.data.get_source(native).load()

    store = load()
    with store.mlflow.start_run() as started:
        service = store.get_feature_service("rates")
        frame = store.get_historical_features(drivers, service).to_df()
    run = store.mlflow.client.get_run(started.info.run_id)

    (ours,) = run.inputs.dataset_inputs
    (kept,) = retrievals_of(store, run.info.run_id)
    assert (ours.dataset.name, ours.dataset.source_type) == ("rates", "feast")
    assert ours.dataset.digest == kept["result"]["fingerprint"]
    assert ours.dataset.profile == '{"num_rows": 6}'
    assert [(t.key, t.value) for t in ours.tags] == [("mlflow.data.context", "training")]
    for column in ("conv_rate", "acc_rate", "driver_id", "event_timestamp", "y"):
        assert f'"name": "{column}"' in ours.dataset.schema
    mlflow.set_tracking_uri(store.config.mlflow.get_tracking_uri())
    source = mlflow.data.get_source(ours)
    assert source.features == ["hourly:conv_rate", "hourly:acc_rate"]
    back = pd.read_parquet(source.load())
    pd.testing.assert_frame_equal(back, drivers)
    assert len(frame) == len(back)


@pytest.mark.conformance("2.10")
def test_2_10_the_digest_tells_frames_apart(load, drivers, repo) -> None:
    """The same data in another order is the same; one value less is not."""
    store = load()

    def digest(entity):
        with store.mlflow.start_run() as run:
            store.get_historical_features(entity, ["hourly:trips"]).to_df()
        (one,) = store.mlflow.client.get_run(run.info.run_id).inputs.dataset_inputs
        return one.dataset.digest

    first = digest(drivers)
    assert digest(drivers.iloc[::-1]) == first
    source = pd.read_parquet(repo / "stats.parquet")
    source["trips"] += source["driver_id"] == 3
    source.to_parquet(repo / "stats.parquet")
    assert digest(drivers) != first, "the source has changed: one driver's values"


@pytest.mark.conformance("2.10")
def test_2_10_the_default_settings_keep_the_rows_of_a_training(alone, load, repo, drivers) -> None:
    """`auto_log_entity_df` is false where nobody says so: Feast keeps no rows at all.

    Right is that a training keeps them, and that a run of the user's own has their fingerprint.
    """
    from feast import FeatureStore

    for folder in (alone.repo_path, repo):
        change_yaml(folder, ", auto_log_entity_df: true", "")
    run, _ = trained(FeatureStore(repo_path=str(alone.repo_path)), drivers)
    assert artifacts(alone.mlflow.client, run.info.run_id) == {}, "Feast alone"

    store = load()
    load.book.space["drivers"] = drivers
    summary = load.book.run("%%feast_train v1 --service rates --entity-df drivers\n1")
    back = store.mlflow.get_training_entity_df(summary.run.id)
    pd.testing.assert_frame_equal(back, drivers)

    with store.mlflow.start_run() as run:
        store.get_historical_features(drivers, ["hourly:trips"]).to_df()
    (kept,) = retrievals_of(store, run.info.run_id)
    (trained_on,) = retrievals_of(store, summary.run.id)
    assert (kept["entity"]["artifact"], kept["entity"]["reason"]) == (None, "archiving is off")
    assert kept["entity"]["fingerprint"] == trained_on["entity"]["fingerprint"]


@pytest.mark.conformance("2.12")
def test_2_12_a_job_that_never_ran_is_not_tagged_as_used(alone, load, drivers) -> None:
    """A retrieval asked for and never run: Feast tags its features as if they had been read.

    Right is a record that says it was only submitted, and no tags of features.
    """

    def never_run(store):
        with store.mlflow.start_run() as run:
            store.get_historical_features(drivers, store.get_feature_service("activity"))
        return run.info.run_id

    native = tags_of(alone, never_run(alone))
    assert native["feast.feature_service"] == "activity", "Feast alone"
    assert native["feast.feature_count"] == "3", "Feast alone"

    store = load()
    run_id = never_run(store)

    (kept,) = retrievals_of(store, run_id)
    assert (kept["state"], kept["result"], kept["seconds"]["run"]) == ("submitted", None, None)
    assert {k for k in tags_of(store, run_id) if k.startswith("feast.")} == {"feast.project"}


@pytest.mark.conformance("2.12")
def test_2_12_a_job_that_failed_is_not_tagged_as_used(alone, load, drivers) -> None:
    """A retrieval whose `.to_df()` fails: Feast tags its features as if they had been read.

    Right is a record that says it failed, with the error, and no tags of features; the user's
    error is the user's.
    """

    def source_vanishes(store):
        service = store.get_feature_service("activity")
        with store.mlflow.start_run() as run:
            job = store.get_historical_features(drivers, service)
            source = store.repo_path / "stats.parquet"
            source.rename(source.with_suffix(".gone"))
            with pytest.raises(Exception, match=r"stats\.parquet"):
                job.to_df()
        return run.info.run_id

    native = tags_of(alone, source_vanishes(alone))
    assert native["feast.feature_service"] == "activity", "Feast alone"

    store = load()
    run_id = source_vanishes(store)

    (kept,) = retrievals_of(store, run_id)
    assert (kept["state"], kept["result"]) == ("failed", None)
    assert "stats.parquet" in kept["error"]
    assert {k for k in tags_of(store, run_id) if k.startswith("feast.")} == {"feast.project"}


@pytest.mark.conformance("2.12")
def test_2_12_the_duration_is_that_of_the_read(alone, load, drivers, monkeypatch) -> None:
    """`feast.job_submission_sec` is the time to build the job; the read itself is not timed.

    Right is both: the tag as Feast means it, and the seconds that the read took.
    """
    from feast.infra.offline_stores.ibis import IbisRetrievalJob

    original = IbisRetrievalJob._to_arrow_internal

    def slow(job, *args, **kwargs):
        time.sleep(0.5)
        return original(job, *args, **kwargs)

    monkeypatch.setattr(IbisRetrievalJob, "_to_arrow_internal", slow)

    def read_slowly(store):
        store.get_historical_features(drivers, ["hourly:trips"])  # imports what a job needs
        with store.mlflow.start_run() as run:
            store.get_historical_features(drivers, ["hourly:trips"]).to_df()
        return run.info.run_id

    run_id = read_slowly(alone)
    metrics = alone.mlflow.client.get_run(run_id).data.metrics
    assert set(metrics) == {"feast.job_submission_sec"}
    assert metrics["feast.job_submission_sec"] < 0.5, "Feast alone: without the read"

    store = load()
    run_id = read_slowly(store)

    (kept,) = retrievals_of(store, run_id)  # the one outside the run is none of its
    assert 0.5 <= kept["seconds"]["run"] < 10
    assert kept["seconds"]["submit"] < 0.5
    metrics = store.mlflow.client.get_run(run_id).data.metrics
    assert metrics["feast.job_submission_sec"] < 0.5
