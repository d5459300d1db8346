"""What our runs hold beside what Feast writes by itself, and Feast's own tools on our runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from ..conftest import define, make_repository
from .conftest import change_yaml, fit

SERVICE = "feast.feature_service"
REFS = "feast.feature_refs"
COUNT = "feast.feature_count"
VIEWS = "feast.feature_views"
ENTITIES = "feast.entity_count"
SECONDS = "metric feast.job_submission_sec"

ACTIVITY = "hourly:conv_rate,hourly:acc_rate,hourly:trips"
KEYS = [{"driver_id": 1}, {"driver_id": 2}]


def facts(store: Any, run_id: str) -> dict[str, str]:
    """A run's tags in Feast's name, and the names of its metrics; times are left out."""
    data = store.mlflow.client.get_run(run_id).data
    tags = {k: v for k, v in data.tags.items() if k.startswith("feast.")}
    return tags | {f"metric {name}": "a time" for name in data.metrics}


def differences(native: dict[str, str], ours: dict[str, str]) -> dict[str, tuple[Any, Any]]:
    """Key → (Feast's value, ours) wherever they differ; None for a key that is not there."""
    return {
        key: (native.get(key), ours.get(key))
        for key in sorted(native | ours)
        if native.get(key) != ours.get(key)
    }


def in_a_run(store: Any, retrieve: Callable[[Any], None]) -> str:
    with store.mlflow.start_run() as run:
        retrieve(store)
    run_id: str = run.info.run_id
    return run_id


def test_one_retrieval_of_a_service_is_written_as_feast_writes_it(alone, load, drivers) -> None:
    """One retrieval, a DataFrame, an explicit service: the same keys and the same values."""

    def retrieve(store):
        store.get_historical_features(drivers, store.get_feature_service("everything")).to_df()

    native = facts(alone, in_a_run(alone, retrieve))
    store = load()
    ours = facts(store, in_a_run(store, retrieve))

    assert ours == native
    assert native == {  # and so that this compares something:
        "feast.project": "drivers",
        "feast.retrieval_type": "historical",
        SERVICE: "everything",
        VIEWS: "hourly,profile",
        REFS: f"{ACTIVITY},profile:age",
        ENTITIES: "6",
        COUNT: "4",
        "feast.entity_df_type": "dataframe",
        "feast.entity_df_rows": "6",
        "feast.entity_df_columns": "driver_id,event_timestamp,y",
        SECONDS: "a time",
    }


def exact_list(store, drivers, pause):
    store.get_historical_features(drivers, ["hourly:acc_rate", "hourly:conv_rate"]).to_df()


def part_of_a_service(store, drivers, pause):
    store.get_historical_features(drivers, ["hourly:conv_rate"]).to_df()


def list_of_two_services(store, drivers, pause):
    twin = next(o for o in define(store.repo_path) if o.name == "rates")
    twin.name = "twin_of_rates"
    store.apply(twin)
    store.get_historical_features(drivers, ["hourly:conv_rate", "hourly:acc_rate"]).to_df()


def two_retrievals(store, drivers, pause):
    store.get_historical_features(drivers, store.get_feature_service("activity")).to_df()
    pause()
    store.get_historical_features(drivers.head(2), ["profile:age"]).to_df()


def twice_the_same(store, drivers, pause):
    for _ in range(2):
        store.get_historical_features(drivers, store.get_feature_service("activity")).to_df()
        pause()


def online(store, drivers, pause):
    store.get_online_features(store.get_feature_service("rates"), KEYS)


def online_by_columns(store, drivers, pause):
    store.get_online_features(["hourly:trips", "profile:age"], {"driver_id": [1, 2, 3]})


def online_twice(store, drivers, pause):
    for _ in range(2):
        store.get_online_features(["hourly:trips", "profile:age"], KEYS)
        pause()


def training_then_online(store, drivers, pause):
    store.get_historical_features(drivers, store.get_feature_service("activity")).to_df()
    pause()
    store.get_online_features(store.get_feature_service("rates"), KEYS)


def online_then_training(store, drivers, pause):
    store.get_online_features(store.get_feature_service("rates"), KEYS)
    pause()
    store.get_historical_features(drivers, ["hourly:trips"]).to_df()


def never_run(store, drivers, pause):
    store.get_historical_features(drivers, store.get_feature_service("activity"))


def full_names(store, drivers, pause):
    service = store.get_feature_service("activity")
    store.get_historical_features(drivers, service, full_feature_names=True).to_df()


NEVER_RUN = {
    "feast.retrieval_type": ("historical", None),
    SERVICE: ("activity", None),
    VIEWS: ("hourly", None),
    REFS: (ACTIVITY, None),
    ENTITIES: ("6", None),
    COUNT: ("3", None),
    "feast.entity_df_type": ("dataframe", None),
    "feast.entity_df_rows": ("6", None),
    "feast.entity_df_columns": ("driver_id,event_timestamp,y", None),
    SECONDS: ("a time", None),
}


@pytest.mark.parametrize(
    ("retrieve", "intended"),
    [
        # A list that is exactly one service's is that service's, as with Feast.
        (exact_list, {}),
        # Feast guesses the smallest service that holds the list; ours names only what is true.
        (part_of_a_service, {SERVICE: ("rates", None)}),
        (list_of_two_services, {SERVICE: ("twin_of_rates", None)}),
        # Feast keeps the last retrieval only; ours are the union, and the rows of all together.
        (
            two_retrievals,
            {
                SERVICE: ("everything", None),
                VIEWS: ("profile", "hourly,profile"),
                REFS: ("profile:age", f"{ACTIVITY},profile:age"),
                COUNT: ("1", "4"),
                ENTITIES: ("2", "8"),
                "feast.entity_df_rows": ("2", "6"),
            },
        ),
        (twice_the_same, {ENTITIES: ("6", "12")}),
        (full_names, {}),
        (online, {}),
        (online_by_columns, {SERVICE: ("everything", None)}),
        (online_twice, {SERVICE: ("everything", None)}),
        # A serving call does not take the place of the training's retrieval.
        (
            training_then_online,
            {
                "feast.retrieval_type": ("online", "historical"),
                SERVICE: ("rates", "activity"),
                REFS: ("hourly:conv_rate,hourly:acc_rate", ACTIVITY),
                COUNT: ("2", "3"),
                ENTITIES: ("2", "6"),
            },
        ),
        # … and a service that a serving call named is not the training's.
        (online_then_training, {SERVICE: ("activity", None)}),
        # What was never read is not said to have been used.
        (never_run, NEVER_RUN),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_where_our_tags_differ_it_is_intended(alone, load, drivers, retrieve, intended) -> None:
    """Each difference from what Feast writes stands in this table, and there is no other.

    Neither does it matter whether what came before was sent already, as between two cells.
    """
    native = facts(alone, in_a_run(alone, lambda s: retrieve(s, drivers, lambda: None)))
    store = load()
    at_once = facts(store, in_a_run(store, lambda s: retrieve(s, drivers, lambda: None)))
    sent_between = facts(store, in_a_run(store, lambda s: retrieve(s, drivers, load.sent)))

    assert differences(native, at_once) == intended
    assert differences(native, sent_between) == intended


@pytest.mark.parametrize("start", [datetime(2024, 1, 2, tzinfo=UTC), None], ids=["from", "until"])
def test_a_range_of_dates_is_written_as_feast_writes_it(tmp_path, load, start) -> None:
    """No entity frame, but dates (the dask store takes them): the same keys and values.

    But the count: Feast says 0 entities whatever came back (row 2.9).
    """
    from feast import FeatureStore

    def retrieve(store):
        dates = {"end_date": datetime(2024, 1, 5, tzinfo=UTC)}
        dates |= {"start_date": start} if start else {}
        store.get_historical_features(features=store.get_feature_service("rates"), **dates).to_df()

    repos = {name: make_repository(tmp_path / name, offline="file") for name in ("dates", "ours")}
    change_yaml(repos["dates"], "sqlite:///mlflow.db", f"sqlite:///{repos['dates']}/mlflow.db")
    alone = FeatureStore(repo_path=str(repos["dates"]))
    native = facts(alone, in_a_run(alone, retrieve))
    store = load(repos["ours"])
    ours = facts(store, in_a_run(store, retrieve))

    assert differences(native, ours) == {ENTITIES: ("0", ours[ENTITIES])}
    assert int(ours[ENTITIES]) > 0
    assert native["feast.entity_df_type"] == "range"
    assert native[ENTITIES] == "0"
    assert native["feast.end_date"].startswith("2024-01-05")


def test_a_query_is_written_as_feast_writes_it(alone, load, monkeypatch) -> None:
    """Entities by SQL, a long query too: the same keys and values."""
    import duckdb
    from feast.infra.passthrough_provider import PassthroughProvider

    original = PassthroughProvider.get_historical_features

    def takes_sql(provider, config, views, refs, entity_df, *args, **kwargs):
        frame = duckdb.sql(entity_df).df()  # neither of Feast's embedded stores takes SQL
        return original(provider, config, views, refs, frame, *args, **kwargs)

    monkeypatch.setattr(PassthroughProvider, "get_historical_features", takes_sql)
    query = "SELECT 1::BIGINT AS driver_id, TIMESTAMPTZ '2024-01-10 12:00:00+00' AS event_timestamp"
    query += " -- " + "long " * 1200

    def retrieve(store):
        store.get_historical_features(query, store.get_feature_service("rates")).to_df()

    native = facts(alone, in_a_run(alone, retrieve))
    store = load()
    ours = facts(store, in_a_run(store, retrieve))

    assert differences(native, ours) == {}
    assert native[ENTITIES] == "-1"
    assert len(native["feast.entity_df_query"]) == 4990


# ---------------------------------------------------------------------- Feast's tools


def train_and_predict(store: Any, drivers: pd.DataFrame) -> str:
    """A training with a registered model, and a prediction run of it; the training's run."""
    with store.mlflow.start_run(run_name="training") as training:
        service = store.get_feature_service("activity")
        frame = store.get_historical_features(drivers, service).to_df()
        store.mlflow.log_model(fit(frame, "conv_rate", "acc_rate", "trips"), "model")
    run_id: str = training.info.run_id
    store.mlflow.register_model(f"runs:/{run_id}/model", "ranking")
    with store.mlflow.start_run(run_name="prediction"):
        store.mlflow.load_model("models:/ranking/1")
        store.get_online_features(store.get_feature_service("activity"), KEYS)
    return run_id


def test_feasts_resolve_and_entity_frame_work_on_our_runs(alone, load, drivers) -> None:
    """`resolve_features` and `get_training_entity_df` answer as they do for Feast's own runs."""
    run_id = train_and_predict(alone, drivers)
    service = alone.mlflow.resolve_features("models:/ranking/1")
    frame = alone.mlflow.get_training_entity_df(run_id)

    store = load()
    run_id = train_and_predict(store, drivers)

    assert store.mlflow.resolve_features("models:/ranking/1") == service == "activity"
    pd.testing.assert_frame_equal(store.mlflow.get_training_entity_df(run_id), frame)
    pd.testing.assert_frame_equal(frame, drivers)


def test_a_prediction_run_is_tagged_as_feast_tags_it(alone, load, drivers) -> None:
    """`load_model` and an online retrieval: the same tags, the link to the training included."""

    def predictions(store):
        run_id = train_and_predict(store, drivers)
        experiment = store.mlflow.client.get_experiment_by_name("drivers")
        found = store.mlflow.client.search_runs([experiment.experiment_id])
        (run,) = (r for r in found if r.info.run_name == "prediction")
        said = facts(store, run.info.run_id)
        assert said.pop("feast.training_run_id") == run_id
        return said

    native = predictions(alone)
    assert predictions(load()) == native
    assert native["feast.model_name"] == "ranking"


ENDPOINTS = ("mlflow-runs", "mlflow-feature-usage", "mlflow-feature-models")


def answers(store: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the three endpoints of `feast ui` answer for a store."""
    from fastapi.testclient import TestClient
    from feast import ui_server

    # The registry's REST routes need grpcio, which Feast does not install (row 8.1).
    monkeypatch.setattr(ui_server, "_setup_rest_mode", lambda app, store: None)
    ui = TestClient(ui_server.get_app(store, store.project))
    found = {name: ui.get(f"/api/{name}") for name in ENDPOINTS}
    assert {a.status_code for a in found.values()} == {200}
    return {name: answer.json() for name, answer in found.items()}


def apart(value: Any, store: Any) -> Any:
    """An answer without what differs between any two servers: folders, ids of runs, times."""
    if isinstance(value, dict):
        times = ("start_time", "last_used")
        return {k: "a time" if k in times else apart(v, store) for k, v in value.items()}
    if isinstance(value, list):
        return [apart(v, store) for v in value]
    if isinstance(value, str):
        return re.sub(r"\b[0-9a-f]{32}\b", "a run", value.replace(str(store.repo_path), "here"))
    return value


def test_feasts_ui_answers_for_our_runs_as_for_its_own(alone, load, drivers, monkeypatch) -> None:
    """`/api/mlflow-runs`, `-feature-usage` and `-feature-models`: the same answers."""
    train_and_predict(alone, drivers)
    native = apart(answers(alone, monkeypatch), alone)
    store = load()
    train_and_predict(store, drivers)
    ours = apart(answers(store, monkeypatch), store)

    for name in ENDPOINTS:
        assert ours[name] == native[name]
    # and so that this compares something:
    assert [r["run_name"] for r in native["mlflow-runs"]["runs"]] == ["prediction", "training"]
    assert native["mlflow-feature-usage"]["feature_usage"]["hourly"]["models"] == ["ranking"]
    assert set(native["mlflow-feature-models"]["feature_models"]) == set(ACTIVITY.split(","))
