"""Feast alone and with feast_nb, group 1: answers of Feast's own integration that are wrong, and nobody says so."""

from __future__ import annotations

import subprocess
import sys
import time

import pandas as pd
import pytest
from mlflow import MlflowClient

import feast_nb
from feast_nb import recorder

from ..conftest import NOW, artifacts, read_json, unheard_of
from .conftest import change_yaml, contracts_of, fit, retrievals_of, tags_of

RATES = ["hourly:conv_rate", "hourly:acc_rate"]
ACTIVITY = [*RATES, "hourly:trips"]
EVERYTHING = [*ACTIVITY, "profile:age"]


def entities(rows: int) -> pd.DataFrame:
    """An entity frame of so many rows, no two alike."""
    moments = [NOW - pd.Timedelta(hours=i // 10) for i in range(rows)]
    return pd.DataFrame({"driver_id": [i % 10 for i in range(rows)], "event_timestamp": moments})


@pytest.mark.conformance("1.1")
def test_1_1_each_model_says_what_it_was_trained_on(alone, load, drivers) -> None:
    """Two models in one run: Feast names the last retrieval's service for both, without an error.

    Right is lineage by logged model and by version. Feast's own resolve compares with the one list
    of the run: for the first model it raises rather than answer wrongly.
    """
    from feast.mlflow_integration import FeastMlflowModelResolutionError

    def two_models_in_one_run(store):
        with store.mlflow.start_run(run_name="two") as run:
            v1 = store.get_historical_features(drivers, store.get_feature_service("rates")).to_df()
            store.mlflow.log_model(fit(v1, "conv_rate", "acc_rate"), "small")
            everything = store.get_feature_service("everything")
            v2 = store.get_historical_features(drivers, everything).to_df()
            store.mlflow.log_model(fit(v2, "conv_rate", "acc_rate", "trips", "age"), "big")
        store.mlflow.register_model(f"runs:/{run.info.run_id}/small", "C_small")
        store.mlflow.register_model(f"runs:/{run.info.run_id}/big", "C_big")
        return run.info.run_id

    # given what Feast alone does: the model of two features is resolved to a service of four
    two_models_in_one_run(alone)
    assert alone.mlflow.resolve_features("models:/C_small/1") == "everything"

    # when the extension is loaded
    store = load()
    run_id = two_models_in_one_run(store)
    load.sent()

    # then each logged model has its own lineage
    contracts = contracts_of(store, run_id)
    assert contracts["small"]["refs"] == RATES
    assert [i["ref"] for i in contracts["small"]["inputs"]] == RATES
    assert contracts["small"]["service"] == "rates"
    assert contracts["big"]["refs"] == EVERYTHING
    assert contracts["big"]["service"] == "everything"
    first, second = (r["id"] for r in retrievals_of(store, run_id))
    assert contracts["small"]["retrievals"] == [first]
    assert contracts["big"]["retrievals"] == [second]

    # and so has each version, and no answer of Feast's own is wrong
    assert store.mlflow.resolve_features("models:/C_big/1") == "everything"
    with pytest.raises(FeastMlflowModelResolutionError, match="mismatch for service 'rates'"):
        store.mlflow.resolve_features("models:/C_small/1")
    for name, service in (("small", "rates"), ("big", "everything")):
        tags = store.mlflow.client.get_model_version(f"C_{name}", "1").tags
        assert tags["feast.feature_service"] == service
        path = f"feast/contracts/{contracts[name]['model_id']}.json"
        assert tags["feast_nb.contract"] == f"runs:/{run_id}/{path}"


@pytest.mark.conformance("1.1")
def test_1_1_a_model_of_a_bare_list_has_no_service(alone, load, drivers) -> None:
    """A model of one reference, then one of a service: Feast gives the service to both.

    Right is that the version of the first one has no service, and resolve does not invent one.
    """
    from feast.mlflow_integration import FeastMlflowModelResolutionError

    def list_then_service(store):
        with store.mlflow.start_run() as run:
            v1 = store.get_historical_features(drivers, ["hourly:trips"]).to_df()
            service = store.get_feature_service("activity")
            v2 = store.get_historical_features(drivers, service).to_df()
            store.mlflow.log_model(fit(v1, "trips"), "listed")
            store.mlflow.log_model(fit(v2, "conv_rate"), "served")
        store.mlflow.register_model(f"runs:/{run.info.run_id}/listed", "listed")
        return run.info.run_id

    list_then_service(alone)
    assert alone.mlflow.resolve_features("models:/listed/1") == "activity", "Feast alone"

    store = load()
    run_id = list_then_service(store)
    load.sent()

    contracts = contracts_of(store, run_id)
    assert contracts["listed"]["refs"] == ["hourly:trips"]
    assert contracts["served"]["refs"] == ACTIVITY
    version = store.mlflow.client.get_model_version("listed", "1")
    assert not version.tags.get("feast.feature_service")
    with pytest.raises(FeastMlflowModelResolutionError):
        store.mlflow.resolve_features("models:/listed/1")


@pytest.mark.conformance("1.1")
def test_1_1_a_slow_server_changes_nothing(load, drivers, monkeypatch) -> None:
    """`store.mlflow.register_model` tags the version from the run, late where the server is slow.

    Right is the service of the version's own model, whichever tag arrives last.
    """
    store = load()
    with store.mlflow.start_run() as run:
        v1 = store.get_historical_features(drivers, store.get_feature_service("rates")).to_df()
        store.mlflow.log_model(fit(v1, "conv_rate", "acc_rate"), "small")
        everything = store.get_feature_service("everything")
        v2 = store.get_historical_features(drivers, everything).to_df()
        store.mlflow.log_model(fit(v2, "trips", "age"), "big")
    client = store.mlflow.client
    original = client.get_run

    def slow(run_id):
        time.sleep(0.8)  # Feast reads the run between registering and tagging
        return original(run_id)

    monkeypatch.setattr(client, "get_run", slow)
    store.mlflow.register_model(f"runs:/{run.info.run_id}/small", "C_small")
    load.sent()

    tags = client.get_model_version("C_small", "1").tags
    assert tags["feast.feature_service"] == "rates"


@pytest.mark.conformance("1.2")
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "sent between"])
def test_1_2_a_run_keeps_all_retrievals_and_no_service_that_is_not_theirs(
    alone, load, drivers, apart
) -> None:
    """A second retrieval of no service's: Feast leaves the first one's service beside its features.

    Right is every retrieval kept, and a service named only where it is true of all of them.
    """
    others = ["profile:age", "hourly:conv_rate"]

    def two_retrievals(store, between=lambda: None):
        store.delete_feature_service("everything")  # now no service holds both views
        with store.mlflow.start_run() as run:
            service = store.get_feature_service("activity")
            store.get_historical_features(drivers, service).to_df()
            between()
            store.get_historical_features(drivers, others).to_df()
        return run.info.run_id

    native = tags_of(alone, two_retrievals(alone))
    assert native["feast.feature_service"] == "activity", "Feast alone: the first one's"
    assert native["feast.feature_refs"] == ",".join(others), "… beside the second one's"

    store = load()
    run_id = two_retrievals(store, load.sent if apart else lambda: None)

    first, second = retrievals_of(store, run_id)
    assert (first["refs"], first["service"]) == (ACTIVITY, "activity")
    assert (second["refs"], second["service"], second["service_basis"]) == (others, None, "none")
    tags = tags_of(store, run_id)
    assert "feast.feature_service" not in tags
    assert tags["feast.feature_refs"] == ",".join([*ACTIVITY, "profile:age"])
    assert tags["feast.feature_views"] == "hourly,profile"
    assert tags["feast.feature_count"] == "4"


@pytest.mark.conformance("1.2")
def test_1_2_a_run_that_another_process_goes_on_with_names_no_service_of_before(
    repo, drivers, client
) -> None:
    """The same where the second retrieval is made by the process that resumes the run."""
    session = feast_nb.open(repo)
    with session.run("v1") as run:
        service = session.store.get_feature_service("activity")
        session.store.get_historical_features(drivers, service).to_df()
    assert client.get_run(run.ref.id).data.tags["feast.feature_service"] == "activity"
    recorder.shut()

    session = feast_nb.open(repo)
    again = session.runs.resume(run.ref.id)
    session.store.get_historical_features(drivers, ["profile:age"]).to_df()
    session.runs.end(again)

    tags = client.get_run(run.ref.id).data.tags
    assert tags["feast.feature_refs"] == ",".join([*ACTIVITY, "profile:age"])
    assert "feast.feature_service" not in tags


@pytest.mark.conformance("1.3")
def test_1_3_each_retrieval_keeps_its_own_entity_frame(alone, load, tmp_path) -> None:
    """Two retrievals with `auto_log_entity_df`: Feast's second frame overwrites the first.

    Right is one artifact for each distinct frame, and each retrieval naming its own.
    """

    def forty_then_seven(store):
        with store.mlflow.start_run() as run:
            service = store.get_feature_service("activity")
            store.get_historical_features(entities(40), service).to_df()
            store.get_historical_features(entities(7), service).to_df()
        return run.info.run_id

    run_id = forty_then_seven(alone)
    assert len(alone.mlflow.get_training_entity_df(run_id)) == 7, "Feast alone: 40 rows are lost"

    store = load()
    run_id = forty_then_seven(store)

    client = store.mlflow.client
    first, second = (r["entity"] for r in retrievals_of(store, run_id))
    assert first["artifact"] != second["artifact"]
    assert {first["artifact"], second["artifact"]} <= set(artifacts(client, run_id))
    frames = [
        pd.read_parquet(client.download_artifacts(run_id, e["artifact"])) for e in (first, second)
    ]
    pd.testing.assert_frame_equal(frames[0], entities(40))
    pd.testing.assert_frame_equal(frames[1], entities(7))
    assert first["artifact"] == "entity_df.parquet", "Feast's own name is the first one's"
    assert len(store.mlflow.get_training_entity_df(run_id)) == 40


@pytest.mark.conformance("1.3")
def test_1_3_entity_tags_are_those_of_one_retrieval(alone, load, drivers, monkeypatch) -> None:
    """SQL, then a DataFrame: Feast says `dataframe` beside the query of the retrieval before it.

    Right is tags of one retrieval, and both in the record.
    """
    import duckdb
    from feast.infra.passthrough_provider import PassthroughProvider

    # A store that takes SQL: neither of Feast's embedded ones does. The rest is Feast's own.
    original = PassthroughProvider.get_historical_features

    def takes_sql(provider, config, views, refs, entity_df, *args, **kwargs):
        if isinstance(entity_df, str):
            entity_df = duckdb.sql(entity_df).df()
        return original(provider, config, views, refs, entity_df, *args, **kwargs)

    monkeypatch.setattr(PassthroughProvider, "get_historical_features", takes_sql)
    query = "SELECT 1::BIGINT AS driver_id, TIMESTAMPTZ '2024-01-10 12:00:00+00' AS event_timestamp"

    def sql_then_frame(store):
        with store.mlflow.start_run() as run:
            assert len(store.get_historical_features(query, ACTIVITY).to_df()) == 1
            store.get_historical_features(drivers, ACTIVITY).to_df()
        return run.info.run_id

    native = tags_of(alone, sql_then_frame(alone))
    assert native["feast.entity_df_type"] == "dataframe", "Feast alone"
    assert native["feast.entity_df_query"] == query, "Feast alone: of the retrieval before"

    store = load()
    run_id = sql_then_frame(store)

    first, second = (r["entity"] for r in retrievals_of(store, run_id))
    assert (first["kind"], first["query"]) == ("sql", query)
    assert (second["kind"], second["rows"], second["query"]) == ("dataframe", 6, None)
    tags = tags_of(store, run_id)
    assert tags["feast.entity_df_type"] == "sql"
    assert tags["feast.entity_df_query"] == query
    assert "feast.entity_df_rows" not in tags
    assert "feast.entity_df_columns" not in tags


@pytest.mark.conformance("1.4")
def test_1_4_a_serving_call_leaves_the_training_lineage_alone(alone, load, drivers) -> None:
    """An online smoke test before log_model: Feast keeps its one feature as the model's lineage.

    Right is that a model's lineage is what it was trained on.
    """
    from feast.mlflow_integration import FeastMlflowModelResolutionError

    def train_try_and_log(store):
        with store.mlflow.start_run() as run:
            service = store.get_feature_service("activity")
            frame = store.get_historical_features(drivers, service).to_df()
            model = fit(frame, "conv_rate", "acc_rate", "trips")
            store.get_online_features(["profile:age"], [{"driver_id": 1}]).to_dict()
            store.mlflow.log_model(model, "model")
        store.mlflow.register_model(f"runs:/{run.info.run_id}/model", "smoked")
        return run.info.run_id

    run_id = train_try_and_log(alone)
    assert read_json(alone.mlflow.client, run_id, "feast_features.json") == ["profile:age"]
    assert tags_of(alone, run_id)["feast.retrieval_type"] == "online"
    with pytest.raises(FeastMlflowModelResolutionError, match="Feature mismatch"):
        alone.mlflow.resolve_features("models:/smoked/1")

    store = load()
    run_id = train_try_and_log(store)

    assert store.mlflow.resolve_features("models:/smoked/1") == "activity"
    assert read_json(store.mlflow.client, run_id, "feast_features.json") == ACTIVITY
    assert contracts_of(store, run_id)["model"]["refs"] == ACTIVITY
    tags = tags_of(store, run_id)
    assert tags["feast.retrieval_type"] == "historical"
    assert tags["feast.feature_service"] == "activity"
    assert tags["feast.entity_count"] == "6"
    assert [r["kind"] for r in retrievals_of(store, run_id)] == ["historical", "online"]


RETRIEVE = "frame = store.get_historical_features(drivers, store.get_feature_service({!r})).to_df()"


@pytest.mark.conformance("1.10")
def test_1_10_what_was_retrieved_while_the_server_was_away_arrives_later(
    alone, line, served, load, drivers, mlflow_server, monkeypatch, capsys
) -> None:
    """The server is away for the second of two retrievals: Feast keeps the first one's tags.

    Right is both, as soon as the server is back, and a run that says so as long as it is not whole.
    """
    from feast import FeatureStore

    # given what Feast alone does (without MLflow's retries, which take eight minutes)
    with monkeypatch.context() as patience:
        patience.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        folder = alone.repo_path
        change_yaml(folder, f"sqlite:///{folder}/mlflow.db", line.url)
        alone = FeatureStore(repo_path=str(folder))
        with alone.mlflow.start_run() as run:
            alone.get_historical_features(drivers, alone.get_feature_service("rates")).to_df()
            line.cut()
            alone.get_historical_features(drivers, alone.get_feature_service("activity")).to_df()
            line.mend()
        assert tags_of(alone, run.info.run_id)["feast.feature_service"] == "rates", "Feast alone"

    # when the extension is loaded, and the server goes away between two cells
    store = load(served)
    book, client = load.book, MlflowClient(mlflow_server)
    book.space["drivers"] = drivers
    run = book.run("%feast_run v1")
    book.run(RETRIEVE.format("rates"))
    load.sent()
    before = client.get_run(run.id).data.tags
    assert before["feast.feature_service"] == "rates"
    assert before["feast_nb.incomplete"] == "true", "the run is open"
    line.cut()
    unheard_of()
    book.run(RETRIEVE.format("activity"))
    recorder.current().recording.settle()
    assert not recorder.current().outbox.flush(seconds=2)
    capsys.readouterr()
    book.run("1")
    said = capsys.readouterr().err

    # then the user is told, the run says that it is not whole, and has everything once it is
    assert said.count("records wait on disk") == 1, "the notice of the background"
    assert client.get_run(run.id).data.tags["feast_nb.incomplete"] == "true"
    line.mend()
    load.sent()
    tags = client.get_run(run.id).data.tags
    assert tags["feast.feature_service"] == "activity", "which is the union of both"
    assert tags["feast.feature_refs"] == ",".join(ACTIVITY)
    assert tags["feast_nb.incomplete"] == "true", "the run is still open"
    book.run("%feast_run --end")
    assert "feast_nb.incomplete" not in client.get_run(run.id).data.tags
    assert [r["service"] for r in retrievals_of(store, run.id)] == ["rates", "activity"]


@pytest.mark.conformance("1.10")
@pytest.mark.parametrize("who", ["the same kernel", "the next kernel"])
def test_1_10_a_run_that_ended_meanwhile_is_made_whole(
    line, served, load, drivers, mlflow_server, who
) -> None:
    """The server is still away when the run ends: incomplete on the server until all is there."""
    store = load(served)
    book, client = load.book, MlflowClient(mlflow_server)
    book.space["drivers"] = drivers
    run = book.run("%feast_run v1")
    book.run(RETRIEVE.format("rates"))
    load.sent()
    line.cut()
    unheard_of()
    book.run(RETRIEVE.format("activity"))
    ended = book.run("%feast_run --end")
    assert ended.pending > 0
    left = client.get_run(run.id)
    assert (left.info.status, left.data.tags["feast_nb.incomplete"]) == ("RUNNING", "true")

    if who == "the next kernel":
        recorder.shut()
    line.mend()
    assert recorder.current().flush()

    now = client.get_run(run.id)
    assert now.info.status == "FINISHED"
    assert "feast_nb.incomplete" not in now.data.tags
    assert now.data.tags["feast.feature_refs"] == ",".join(ACTIVITY)
    kept = read_json(client, run.id, "feast/retrievals.json")["retrievals"]
    assert [(r["service"], r["state"]) for r in kept] == [("rates", "ran"), ("activity", "ran")]
    assert store.project == kept[1]["project"]


@pytest.mark.conformance("1.10")
def test_1_10_a_run_of_feasts_own_call_is_made_whole_too(
    line, served, load, drivers, mlflow_server
) -> None:
    """The same where the run is `store.mlflow.start_run()`, and the server is back before its end.

    It goes away right after the first retrieval was sent, with no pause.
    """
    store = load(served)
    client = MlflowClient(mlflow_server)
    with store.mlflow.start_run() as run:
        store.get_historical_features(drivers, store.get_feature_service("rates")).to_df()
        load.sent()
        line.cut()
        store.get_historical_features(drivers, ["profile:age"]).to_df()
        time.sleep(1)  # the background tries in vain
        run_id = run.info.run_id
        assert client.get_run(run_id).data.tags["feast.feature_refs"] == ",".join(RATES)
        assert client.get_run(run_id).data.tags["feast_nb.incomplete"] == "true"
        line.mend()

    load.sent()
    tags = client.get_run(run_id).data.tags
    assert tags["feast.feature_refs"] == ",".join([*RATES, "profile:age"])
    assert "feast_nb.incomplete" not in tags
    assert client.get_run(run_id).info.status == "FINISHED"


APPLY = """
import sys
from feast import FeatureService, FeatureStore

store = FeatureStore(repo_path=sys.argv[1])
store.apply([FeatureService(name="pair", features=[store.get_feature_view("hourly")[["conv_rate", "trips"]]])])
"""
PAIR = ["hourly:conv_rate", "hourly:trips"]


def applied_elsewhere(repo) -> None:
    """Another process, as `feast apply` is, applies a service of exactly two references."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", APPLY, str(repo)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.conformance("1.12")
@pytest.mark.parametrize("registry", ["file", "sql"])
def test_1_12_a_service_that_another_process_applied_is_seen(
    alone, load, repo, drivers, tmp_path, registry
) -> None:
    """A list, a warm kernel, then `feast apply` of a service of just that list: Feast does not see.

    It says the smallest service that holds the list, for five minutes. Right is the exact one, and
    none where there is none.
    """
    from feast import FeatureStore

    from ..conftest import define

    def before_and_after(store, folder):
        with store.mlflow.start_run() as first:
            store.get_historical_features(drivers, PAIR).to_df()
        applied_elsewhere(folder)
        with store.mlflow.start_run() as second:
            store.get_historical_features(drivers, PAIR).to_df()
            store.get_online_features(PAIR, [{"driver_id": 1}]).to_dict()
        return first.info.run_id, second.info.run_id

    def prepared(folder):
        if registry == "sql":
            block = "registry: {registry_type: sql, path: sqlite:///%s/registry.sqlite}"
            change_yaml(folder, "registry: registry.db", block % folder)
            FeatureStore(repo_path=str(folder)).apply(define(folder))

    if registry == "file":  # given what Feast alone does
        runs = before_and_after(alone, tmp_path / "alone")
        native = [tags_of(alone, i)["feast.feature_service"] for i in runs]
        assert native == ["activity", "activity"], "Feast alone"

    # when the extension is loaded
    prepared(repo)
    store = load(repo)
    before, after = before_and_after(store, repo)
    load.sent()

    # then the service is the one that holds just these, from the moment it is there
    (kept,) = retrievals_of(store, before)
    assert (kept["service"], kept["service_basis"]) == (None, "none")
    assert "feast.feature_service" not in tags_of(store, before)
    for kept in retrievals_of(store, after):
        assert (kept["service"], kept["service_basis"]) == ("pair", "exact"), kept["kind"]
    assert tags_of(store, after)["feast.feature_service"] == "pair"
