"""Every library, named and positional, offline and online, in processes of every hash seed.

Feast answers an online request in an order that depends on `PYTHONHASHSEED`; a positional model
that is fed its columns as they come is silently wrong.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ..conftest import NOW, YAML

# One worker trains the six models.
pytestmark = pytest.mark.xdist_group("matrix")

LIBRARIES = ("sklearn", "xgboost", "lightgbm")
FITS = ("named", "positional")
WAYS = ("online", "as of")
SEEDS = (0, 1, 2)
DRIVERS, EARLIER = 30, 3
FEATURES = tuple(f"{word}_{unit}" for word in ("speed", "delay", "fare", "load")
                 for unit in ("mean", "peak", "share"))  # fmt: skip
# What the models take: not the order they are declared in, nor all of them.
TAKEN = ("load_peak", "delay_mean", "speed_share", "fare_mean", "load_mean", "delay_peak",
         "speed_mean", "fare_share")  # fmt: skip

# Run in a fresh process of a given seed; prints what was predicted and what was fed.
SCORE = """
import json, sys
import pandas as pd
import feast_nb

folder, entities, names = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
session = feast_nb.open(folder)
drivers = pd.read_parquet(entities)
found = {}
for name in names:
    # An array's columns have no names: whoever fitted the model says them.
    columns = json.loads(sys.argv[4]) if name.endswith("positional") else ()
    for way, options in {"online": {}, "as of": {"as_of": "event_timestamp"}}.items():
        scored = session.score(name, drivers, with_features=True, columns=columns, **options)
        fed = scored.drop(columns=[*drivers.columns, "prediction"])
        found[f"{name} {way}"] = {
            "prediction": [float(v) for v in scored["prediction"]],
            "fed": fed.to_numpy("float64").tolist(),
            "columns": list(fed.columns),
        }
    array = session.vector(name, drivers[["driver_id"]].to_dict("records"), columns=columns)
    found[f"{name} vector"] = array.astype("float64").tolist()
    if name.endswith("positional"):  # as people write it: what comes, without the key
        service = session.store.get_feature_service("taken")
        rows = drivers[["driver_id"]].to_dict("records")
        frame = session.store.get_online_features(service, rows).to_df()
        fed = frame.drop(columns="driver_id")
        answer = session.load_model(name).predict(fed.to_numpy("float32"))
        found[f"{name} by hand"] = [float(v) for v in answer]
        found["order by hand"] = list(fed.columns)
print("FOUND" + json.dumps(found))
"""


def define(repo: Path) -> list[Any]:
    """One wide view of Float32 features, and a service in the models' order."""
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(
        name="wide", path=str(repo / "wide.parquet"), timestamp_field="event_timestamp"
    )
    wide = FeatureView(
        name="wide",
        entities=[driver],
        ttl=timedelta(days=36500),
        schema=[Field(name=n, dtype=Float32) for n in FEATURES],
        source=source,
    )
    return [driver, wide, FeatureService(name="taken", features=[wide[list(TAKEN)]])]


def values() -> pd.DataFrame:
    """Each driver's rows of four days, each feature on a scale of its own; the last day is NOW."""
    draw = np.random.default_rng(11)
    days = pd.date_range(end=NOW, periods=EARLIER + 1, freq="D")
    frame = pd.DataFrame({"driver_id": np.repeat(np.arange(DRIVERS), len(days)),
                          "event_timestamp": list(days) * DRIVERS})  # fmt: skip
    frame["event_timestamp"] = frame["event_timestamp"].astype("datetime64[us, UTC]")
    for i, name in enumerate(FEATURES):
        frame[name] = (draw.random(len(frame)) * 3.0**i).astype("float32")
    return frame


def models(frame: pd.DataFrame) -> dict[str, tuple[Any, Callable[[pd.DataFrame], Any]]]:
    """The six models, trained; each with what it is fed of a frame."""
    import lightgbm
    import xgboost
    from sklearn.ensemble import ExtraTreesRegressor

    made = {
        "sklearn": lambda: ExtraTreesRegressor(n_estimators=7, random_state=0),
        "xgboost": lambda: xgboost.XGBRegressor(n_estimators=9, n_jobs=1, random_state=0),
        "lightgbm": lambda: lightgbm.LGBMRegressor(
            n_estimators=9, n_jobs=1, min_child_samples=2, random_state=0, verbose=-1
        ),
    }
    fed: dict[str, Callable[[pd.DataFrame], Any]] = {
        "named": lambda f: f[list(TAKEN)],
        "positional": lambda f: f[list(TAKEN)].to_numpy(),
    }
    return {
        f"{library}_{fit}": (made[library]().fit(fed[fit](frame), frame["y"]), fed[fit])
        for library in LIBRARIES
        for fit in FITS
    }


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A repository with the six models; its folder, its latest rows, and what each model says."""
    from feast import FeatureStore

    import feast_nb
    from feast_nb import recorder

    folder = tmp_path_factory.mktemp("matrix") / "repo"
    folder.mkdir()
    block = 'mlflow: {enabled: true, tracking_uri: "sqlite:///mlflow.db"}'
    text = YAML.format(project="matrix", offline="duckdb", mlflow=block)
    (folder / "feature_store.yaml").write_text(text)
    values().to_parquet(folder / "wide.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FeatureStore(repo_path=str(folder)).apply(define(folder))
    drivers = pd.DataFrame({"driver_id": range(DRIVERS), "event_timestamp": [NOW] * DRIVERS})
    drivers = drivers.sample(frac=1, random_state=1).reset_index(drop=True)
    drivers.to_parquet(folder / "drivers.parquet")
    labelled = drivers.assign(y=np.random.default_rng(5).random(DRIVERS))
    predicted, latest = {}, None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEAST_NB_STATE", str(folder.parent / "state"))
        session = feast_nb.open(folder)
        session.store.materialize(
            datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC)
        )
        with session.train("all", service="taken", entity_df=labelled) as training:
            latest = training.frame.sort_values("driver_id").set_index("driver_id")
            latest = latest.loc[drivers["driver_id"]]
            for name, (model, fed) in models(training.frame).items():
                session.log_model(model, variable=name, register=name, at_hand=[training.frame])
                predicted[name] = [float(v) for v in model.predict(fed(latest))]
        recorder.shut()
    return {"folder": folder, "latest": latest, "predicted": predicted}


@pytest.fixture(scope="session")
def found(wide: dict[str, Any]) -> Callable[[int], dict[str, Any]]:
    """What a fresh process of a seed scored: one process for each seed, all models in it."""

    @cache
    def run(seed: int) -> dict[str, Any]:
        folder = wide["folder"]
        environment = os.environ | {
            "PYTHONHASHSEED": str(seed),
            "FEAST_NB_STATE": str(folder.parent / f"state-{seed}"),
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }
        names = ",".join(wide["predicted"])
        done = subprocess.run(
            [sys.executable, "-c", SCORE, str(folder), str(folder / "drivers.parquet"), names,
             json.dumps(TAKEN)],
            capture_output=True, text=True, cwd=folder, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (line,) = (text for text in done.stdout.splitlines() if text.startswith("FOUND"))
        answer: dict[str, Any] = json.loads(line.removeprefix("FOUND"))
        return answer

    return run


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_predictions_are_those_of_training(wide, found, library, fit, way, seed) -> None:
    """Exactly, for the same rows: what was fed is the training frame's own columns and values."""
    name = f"{library}_{fit}"
    answer = found(seed)[f"{name} {way}"]

    assert answer["columns"] == list(TAKEN)
    assert answer["fed"] == wide["latest"][list(TAKEN)].to_numpy("float64").tolist()
    assert answer["prediction"] == wide["predicted"][name]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_vector_is_the_training_frames_rows(wide, found, library, fit, seed) -> None:
    assert (
        found(seed)[f"{library}_{fit} vector"]
        == wide["latest"][list(TAKEN)].to_numpy("float64").tolist()
    )


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_obvious_code_feeds_a_positional_model_wrongly(wide, found, library) -> None:
    """The control: without it the tests above could not fail."""
    name = f"{library}_positional"
    orders = {tuple(found(seed)["order by hand"]) for seed in SEEDS}
    wrong = [s for s in SEEDS if found(s)[f"{name} by hand"] != wide["predicted"][name]]

    assert all(sorted(order) == sorted(TAKEN) for order in orders)
    assert len(orders) > 1
    assert wrong


def test_every_model_tells_its_rows_and_its_columns_apart(wide) -> None:
    """A model that answers alike to any order would prove nothing."""
    for predicted in wide["predicted"].values():
        assert len(set(predicted)) > DRIVERS / 2
