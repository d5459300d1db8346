"""Feast alone and with feast_nb, group 5: Feast's own integration raises where nothing is wrong."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from ..conftest import NOW, read_json
from .conftest import contracts_of, fit, retrievals_of, tags_of


@pytest.mark.conformance("5.1")
def test_5_1_a_list_of_references_is_no_service(alone, load, drivers) -> None:
    """References that are a part of a service's: Feast tags the service, and resolve then raises.

    Right is a list that is called a list, and a model whose features can be read back whole.
    """
    from feast.mlflow_integration import FeastMlflowModelResolutionError

    asked = ["hourly:conv_rate"]

    def train_on_a_part(store):
        with store.mlflow.start_run() as run:
            frame = store.get_historical_features(drivers, asked).to_df()
            store.mlflow.log_model(fit(frame, "conv_rate"), "model")
        store.mlflow.register_model(f"runs:/{run.info.run_id}/model", "part")
        return run.info.run_id

    run_id = train_on_a_part(alone)
    assert tags_of(alone, run_id)["feast.feature_service"] == "rates", "Feast alone: a guess"
    with pytest.raises(FeastMlflowModelResolutionError, match=r"Feature mismatch.*acc_rate"):
        alone.mlflow.resolve_features("models:/part/1")

    store = load()
    run_id = train_on_a_part(store)
    load.sent()

    (kept,) = retrievals_of(store, run_id)
    assert (kept["refs"], kept["service"], kept["service_basis"]) == (asked, None, "none")
    assert "feast.feature_service" not in tags_of(store, run_id)
    contract = contracts_of(store, run_id)["model"]
    assert (contract["refs"], contract["service"]) == (asked, None)
    tags = store.mlflow.client.get_model_version("part", "1").tags
    assert "feast.feature_service" not in tags
    where = tags["feast_nb.contract"].removeprefix(f"runs:/{run_id}/")
    assert read_json(store.mlflow.client, run_id, where) == contract
    # Feast's call can answer with a service only; it says that there is none, and no mismatch.
    with pytest.raises(FeastMlflowModelResolutionError, match="Could not determine"):
        store.mlflow.resolve_features("models:/part/1")


def widen(store: Any, many: int) -> list[str]:
    """Apply a view of `many` features with long names, and a service of it; its references."""
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32

    view = "a_view_of_very_many_features"
    names = [f"some_rather_long_feature_name_of_a_wide_view_{i:03}" for i in range(many)]
    path = store.repo_path / "wide.parquet"
    pd.DataFrame(
        {"driver_id": [1, 2], "event_timestamp": [NOW] * 2} | {n: [0.5, 1.5] for n in names}
    ).to_parquet(path)
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    wide = FeatureView(
        name=view,
        entities=[driver],
        schema=[Field(name=n, dtype=Float32) for n in names],
        source=FileSource(name="wide", path=str(path), timestamp_field="event_timestamp"),
    )
    store.apply([driver, wide, FeatureService(name="wide", features=[wide])])
    return [f"{view}:{n}" for n in names]


@pytest.mark.conformance("5.2")
def test_5_2_many_references_are_kept_whole(alone, load) -> None:
    """150 references: Feast cuts the tag within one of them, and resolve of an unchanged service raises.

    Right is a tag that ends at a whole reference and says how many are missing, and complete lists.
    """
    from feast.mlflow_integration import FeastMlflowModelResolutionError

    asked = pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [NOW] * 2, "y": [0, 1]})

    def train_on_all(store):
        refs = widen(store, 150)
        assert len(",".join(refs)) > 11_000
        with store.mlflow.start_run() as run:
            frame = store.get_historical_features(asked, store.get_feature_service("wide")).to_df()
            store.mlflow.log_model(fit(frame, refs[0].partition(":")[2]), "model")
        store.mlflow.register_model(f"runs:/{run.info.run_id}/model", "wide_model")
        return run.info.run_id, refs

    run_id, refs = train_on_all(alone)
    tag = tags_of(alone, run_id)["feast.feature_refs"]
    assert tag.endswith("..."), "Feast alone"
    listed = read_json(alone.mlflow.client, run_id, "feast_features.json")
    assert len(listed) < 150, "Feast alone"
    assert listed[-1] not in refs, "Feast alone: a reference that does not exist"
    with pytest.raises(FeastMlflowModelResolutionError, match="Feature mismatch"):
        alone.mlflow.resolve_features("models:/wide_model/1")

    store = load()
    run_id, refs = train_on_all(store)

    tags = tags_of(store, run_id)
    shown = tags["feast.feature_refs"].split(",")
    assert len(tags["feast.feature_refs"]) <= 4990
    assert shown == refs[: len(shown)]
    assert len(",".join(refs[: len(shown) + 1])) > 4990, "as many as fit"
    assert tags["feast_nb.refs_missing"] == str(150 - len(shown))
    assert tags["feast.feature_count"] == "150"
    assert retrievals_of(store, run_id)[0]["refs"] == refs
    assert read_json(store.mlflow.client, run_id, "feast_features.json") == refs
    assert contracts_of(store, run_id)["model"]["refs"] == refs
    assert store.mlflow.resolve_features("models:/wide_model/1") == "wide"
