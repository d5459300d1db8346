"""Feast alone and with feast_nb, group 5: models that Feast's resolve refuses or guesses about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ..conftest import define
from .conftest import contracts_of, fit, retrievals_of, tags_of
from .test_1_models import shown

ACTIVITY = ["hourly:conv_rate", "hourly:acc_rate", "hourly:trips"]


def widened(store: Any) -> None:
    """Add a feature to the view that the service `activity` uses whole, as `feast apply` does."""
    from feast import FeatureService, FeatureView, Field
    from feast.types import Float32

    path = store.repo_path / "stats.parquet"
    frame = pd.read_parquet(path)
    frame.assign(rating=4.5).astype({"rating": "float32"}).to_parquet(path)
    driver, hourly, profile, *services = define(store.repo_path)
    wider = FeatureView(
        name="hourly",
        entities=[driver],
        ttl=hourly.ttl,
        schema=[Field(name="rating", dtype=Float32), *hourly.schema],
        source=hourly.batch_source,
    )
    for service in services:
        store.delete_feature_service(service.name)
    store.apply([driver, wider, profile, FeatureService(name="activity", features=[wider])])


@pytest.mark.conformance("5.3")
def test_5_3_a_feature_that_was_added_is_no_harm_to_an_earlier_model(alone, load, drivers) -> None:
    """A view gets one feature more, and a service uses that view whole: Feast's resolve raises.

    Right is that the earlier model is served as before: the same references, the same predictions.
    """
    from feast.mlflow_integration import FeastMlflowModelResolutionError

    def trained(store):
        with store.mlflow.start_run() as run:
            service = store.get_feature_service("activity")
            frame = store.get_historical_features(drivers, service).to_df()
            model = fit(frame, "trips", "conv_rate", "acc_rate")
            store.mlflow.log_model(model, "model")
        store.mlflow.register_model(f"runs:/{run.info.run_id}/model", "earlier")
        return frame, model

    # given what Feast alone does
    trained(alone)
    assert alone.mlflow.resolve_features("models:/earlier/1") == "activity"
    widened(alone)
    with pytest.raises(FeastMlflowModelResolutionError, match=r"Feature mismatch.*Extra.*rating"):
        alone.mlflow.resolve_features("models:/earlier/1")

    # when the extension is loaded, and the view is materialized as it is now
    store = load()
    book = load.book
    frame, model = trained(store)
    widened(store)
    store.materialize(datetime(2023, 12, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC))
    found = book.run("%feast_resolve earlier/1")

    # then the service is still right, the addition is said, and nothing is refused
    order = ["hourly:trips", "hourly:conv_rate", "hourly:acc_rate"]
    assert (found.service, list(found.refs)) == ("activity", order)
    assert {(c.kind, c.grade) for c in found.drift} == {("added", "safe")}
    assert any("hourly:rating" in c.what for c in found.drift)
    assert "hourly:rating" in shown(book, found)

    # and what is served is what the model takes, in its order
    online = store.get_online_features(found.features, [{"driver_id": 1}]).to_dict()
    assert set(online) == {"driver_id", "trips", "conv_rate", "acc_rate"}
    book.space["drivers"] = frame[["driver_id"]]
    scored = book.run("%feast_score earlier/1 --entities drivers --with-features")
    assert list(scored.columns) == ["driver_id", "trips", "conv_rate", "acc_rate", "prediction"]
    expected = model.predict(frame[["trips", "conv_rate", "acc_rate"]])
    assert np.array_equal(scored["prediction"], expected)
    for column in ("trips", "conv_rate", "acc_rate"):
        assert np.allclose(scored[column], frame[column]), column


@pytest.fixture
def twice(alone, load) -> Any:
    """Both stores have a second service of the same features; the extension is loaded."""
    from feast import FeatureService

    def again(store):
        views = [store.get_feature_view("hourly")]
        store.apply(FeatureService(name="activity_again", features=views))
        return store

    return again(alone), lambda: again(load())


@pytest.mark.conformance("5.4")
def test_5_4_a_list_that_two_services_hold_is_neither_s(twice, load, drivers) -> None:
    """One list of features, two services of just these: Feast tags the last one it finds.

    Right is that both are named, and the run, the model and its version claim neither.
    """
    native, loaded = twice

    def trained(store):
        with store.mlflow.start_run() as run:
            frame = store.get_historical_features(drivers, ACTIVITY).to_df()
            store.mlflow.log_model(fit(frame, "trips", "acc_rate"), "model")
        store.mlflow.register_model(f"runs:/{run.info.run_id}/model", "ambiguous")
        return run.info.run_id

    # given what Feast alone does
    run_id = trained(native)
    assert tags_of(native, run_id)["feast.feature_service"] == "activity_again", "Feast alone"
    assert native.mlflow.resolve_features("models:/ambiguous/1") == "activity_again"

    # when the extension is loaded
    store = loaded()
    run_id = trained(store)
    load.sent()

    # then both are kept, and none is claimed
    (kept,) = retrievals_of(store, run_id)
    assert (kept["service"], kept["service_basis"]) == (None, "none")
    assert kept["services"] == ["activity", "activity_again"]
    assert "feast.feature_service" not in tags_of(store, run_id)
    assert contracts_of(store, run_id)["model"]["service"] is None
    version = store.mlflow.client.get_model_version("ambiguous", "1")
    assert "feast.feature_service" not in version.tags

    # and the model is resolved to what it takes
    found = load.book.run("%feast_resolve ambiguous/1")
    assert (found.service, found.drift) == (None, ())
    assert list(found.refs) == list(found.features) == ["hourly:trips", "hourly:acc_rate"]
    assert "by references, not by a service" in shown(load.book, found)


@pytest.mark.conformance("5.4")
def test_5_4_a_service_that_is_given_is_told_from_its_twin(twice, load, drivers) -> None:
    """The control: the service itself, and not a list, is that service and no other."""
    native, loaded = twice

    def retrieved(store):
        with store.mlflow.start_run() as run:
            service = store.get_feature_service("activity")
            store.get_historical_features(drivers, service).to_df()
        return run.info.run_id

    assert tags_of(native, retrieved(native))["feast.feature_service"] == "activity"

    store = loaded()
    run_id = retrieved(store)
    load.sent()
    (kept,) = retrievals_of(store, run_id)
    assert (kept["service"], kept["service_basis"]) == ("activity", "given")
    assert tags_of(store, run_id)["feast.feature_service"] == "activity"


TRAIN = """\
%%feast_train v1 --features hourly:conv_rate,hourly:acc_rate,hourly:trips --entity-df asked
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit(training_df[["trips"]], training_df["y"])
"""
RUN = """\
%feast_run v1
frame = store.get_historical_features(
    asked, ["hourly:conv_rate", "hourly:acc_rate", "hourly:trips"]
).to_df()
ended = %feast_run --end
ended
"""


@pytest.mark.conformance("5.4")
@pytest.mark.parametrize("cell", [TRAIN, RUN], ids=["a training", "a run"])
def test_5_4_the_user_sees_which_services_a_list_may_be(twice, load, drivers, cell) -> None:
    """In the notebook: a training's summary, and a run as it is shown, name both services."""
    twice[1]()
    book = load.book
    book.space["asked"] = drivers

    value = book.run(cell)

    for kind in ("text/plain", "text/html"):
        assert "activity, activity_again" in shown(book, value, kind), kind
