"""Feast alone and with feast_nb, group 1: wrong answers about a model, given without a word.

The models are trained twice, by Feast alone and with the extension, and shared by the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import feast_nb
from feast_nb import recorder
from feast_nb.errors import Drift
from feast_nb.session import of_store

from ..conftest import NOW, STARTUP, define, make_repository, stats
from .conftest import change_yaml, fit, forget, retrievals_of, tags_of

pytestmark = pytest.mark.xdist_group("models")  # its fixtures are made once, not in each worker

ACTIVITY = ["hourly:conv_rate", "hourly:acc_rate", "hourly:trips"]
EVERYTHING = [*ACTIVITY, "profile:age"]
COMPUTED = [*ACTIVITY, "totals:total"]
OWN_ORDER = ["hourly:trips", "totals:total", "hourly:conv_rate", "hourly:acc_rate"]
INPUTS = ("trips", "total", "conv_rate", "acc_rate")


@contextmanager
def apart(folder: Path) -> Iterator[None]:
    """What a fixture of a whole module needs: a folder, no state of the user's."""
    import skops.io  # its import looks into every module: a `feast.mlflow` without a store raises

    assert skops.io.dumps is not None
    assert recorder._recorder is None, "the control comes before the extension is loaded"

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(folder)
        patch.setenv("FEAST_NB_STATE", str(folder / "state"))
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        forget()
        try:
            yield
        finally:
            recorder.shut()
            forget()


def opened(folder: Path) -> Any:
    """A repository as Feast alone opens it."""
    from feast import FeatureStore

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return FeatureStore(repo_path=str(folder))


def shown(book: Any, value: Any, kind: str = "text/plain") -> str:
    """What a cell's value is shown as."""
    text: str = book.shell.display_formatter.format(value)[0][kind]
    return text


def asked() -> pd.DataFrame:
    """An entity frame of all ten drivers, and a label."""
    return pd.DataFrame(
        {"driver_id": range(10), "event_timestamp": [NOW] * 10, "y": [0, 1, 0, 1, 1] * 2}
    )


def added() -> Any:
    """What the on-demand view computes where a model is trained: a new function each time."""

    def total(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"total": inputs["conv_rate"].astype("float64") + inputs["acc_rate"]})

    return total


def multiplied() -> Any:
    """What it computes afterwards, under the same name."""

    def total(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"total": inputs["conv_rate"].astype("float64") * inputs["acc_rate"]})

    return total


def computed(
    folder: Path,
    *,
    order: tuple[str, ...] = ("conv_rate", "acc_rate", "trips"),
    trips: str = "Int64",
    ttl: timedelta = timedelta(days=3),
    file: str = "stats.parquet",
    code: Any = added,
    key: str = "driver_id",
) -> list[Any]:
    """The tests' repository with an on-demand view `totals`, and a service `computed` of it all.

    Each option is a kind of change that a registry takes without a word.
    """
    import feast
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import Float32, Float64

    driver = Entity(name="driver", join_keys=[key], value_type=ValueType.INT64)
    _, _, profile, *_ = define(folder)
    hourly = FeatureView(
        name="hourly",
        entities=[driver],
        ttl=ttl,
        schema=[
            Field(name="conv_rate", dtype=Float32),
            Field(name="acc_rate", dtype=Float32),
            Field(name="trips", dtype=getattr(feast.types, trips)),
        ],
        source=FileSource(name="stats", path=str(folder / file), timestamp_field="event_timestamp"),
    )
    totals = on_demand_feature_view(
        name="totals", sources=[hourly], schema=[Field(name="total", dtype=Float64)]
    )(code())
    return [
        driver,
        hourly,
        *([profile] if key == "driver_id" else []),
        totals,
        FeatureService(name="computed", features=[hourly[list(order)], totals]),
    ]


@dataclass(frozen=True)
class Trained:
    """Two repositories, each with the models `m` (named inputs), `plain` and `auto` registered.

    They are not to be changed: a test applies its changes to a copy, whose MLflow is theirs.
    """

    native: Path
    ours: Path

    def copies(self, folder: Path) -> tuple[Path, Path]:
        """Copies of both for a test of its own; sources and MLflow stay where they are."""
        pair = folder / "native_copy", folder / "our_copy"
        for original, copy in zip((self.native, self.ours), pair, strict=True):
            shutil.copytree(original, copy, ignore=shutil.ignore_patterns("mlruns", "mlflow.db"))
        return pair


def train(store: Any) -> None:
    """Three models of one service: by Feast's own call, by plain MLflow, and by autolog."""
    import mlflow

    service = store.get_feature_service("computed")
    with store.mlflow.start_run(run_name="feasts own"):
        frame = store.get_historical_features(asked(), service).to_df()
        store.mlflow.log_model(fit(frame, *INPUTS), "model", registered_model_name="m")
    with store.mlflow.start_run(run_name="plain"):
        frame = store.get_historical_features(asked(), service).to_df()
        mlflow.sklearn.log_model(fit(frame, *INPUTS), name="model", registered_model_name="plain")
    mlflow.sklearn.autolog(silent=True, registered_model_name="auto", log_datasets=False)
    try:
        with store.mlflow.start_run(run_name="auto"):
            fit(store.get_historical_features(asked(), service).to_df(), *INPUTS)
    finally:
        mlflow.sklearn.autolog(disable=True, silent=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Trained:
    """The models of this file, by Feast alone and with the extension."""
    place = tmp_path_factory.mktemp("models")
    folders = []
    with apart(place):
        for name in ("native", "ours"):
            folder = place / name
            shutil.copytree(template, folder)
            change_yaml(folder, "sqlite:///mlflow.db", f"sqlite:///{folder}/mlflow.db")
            # drivers go by another key too, in another file with other values
            other = stats().assign(rider_id=lambda f: f["driver_id"], trips=7)
            other.to_parquet(folder / "other.parquet")
            opened(folder).apply(computed(folder))
            train(opened(folder) if name == "native" else feast_nb.open(folder).store)
            folders.append(folder)
    return Trained(*folders)


# ------------------------------------------------------------------ 1.5 the data changed


def rewritten(path: Path, change: Any) -> None:
    """Write a source's file anew, changed."""
    frame = pd.read_parquet(path)
    change(frame)
    frame.to_parquet(path)


def doubled(frame: pd.DataFrame) -> None:
    frame["conv_rate"] = frame["conv_rate"] * 2


@pytest.mark.conformance("1.5")
def test_1_5_a_source_that_was_changed_is_told(alone, load, repo, drivers) -> None:
    """The entity frame of then, and a source that was written anew: Feast gives other values.

    No word of it, and both runs have the same tags. Right is a verdict that names the columns, how
    many values differ, and the source.
    """
    # given what Feast alone does
    service = alone.get_feature_service("activity")
    with alone.mlflow.start_run() as run:
        before = alone.get_historical_features(drivers, service).to_df()
    rewritten(alone.repo_path / "stats.parquet", doubled)
    with alone.mlflow.start_run() as again:
        rows = alone.mlflow.get_training_entity_df(run.info.run_id)
        after = alone.get_historical_features(rows, service).to_df()
    assert not (before["conv_rate"] == after["conv_rate"]).any(), "Feast alone"
    told = [
        {k: v for k, v in tags_of(alone, r.info.run_id).items() if k.startswith("feast.")}
        for r in (run, again)
    ]
    assert told[0] == told[1], "Feast alone: nothing tells the two runs apart"

    # when the same is done with the extension
    store = load()
    book = load.book
    book.space["drivers"] = drivers
    run = book.run("%feast_run v1")
    book.run("frame = store.get_historical_features(drivers, "
             "store.get_feature_service('activity')).to_df()")  # fmt: skip
    book.run("%feast_run --end")
    same = book.run("%feast_reproduce v1 --verify")
    assert same.verdict in ("identical", "reordered"), "DuckDB gives rows in any order"
    assert (same.columns, same.because) == ((), ())
    rewritten(repo / "stats.parquet", doubled)
    found = book.run("%feast_reproduce v1 --verify --into again")

    # then it is told, with the column, the values and the source
    assert (found.verdict, found.missing, found.new) == ("different", 0, 0)
    (column,) = found.columns
    assert (column.name, column.differ) == ("conv_rate", 6)
    (because,) = found.because
    assert "source stats has changed" in because
    text = shown(book, found)
    for word in ("different", "conv_rate: 6 values differ", "source stats has changed"):
        assert word in text
    was = book.space["frame"].set_index("driver_id")["conv_rate"]
    now = book.space["again"].set_index("driver_id")["conv_rate"]
    assert np.allclose(now[was.index], was * 2)
    assert retrievals_of(store, run.id)[0]["refs"] == ACTIVITY


@pytest.mark.conformance("1.5")
def test_1_5_one_value_that_was_changed_in_secret_is_told(load, repo, drivers) -> None:
    """One value of another file of the same length, with the time of the old one: as rsync does.

    No look at the file tells that; the values do.
    """
    load()
    book = load.book
    book.space["drivers"] = drivers
    book.run("%feast_run v1")
    book.run("store.get_historical_features(drivers, ['hourly:trips', 'hourly:conv_rate']).to_df()")
    book.run("%feast_run --end")
    path = repo / "stats.parquet"
    stood = path.stat()

    def one(frame: pd.DataFrame) -> None:
        mine = (frame["driver_id"] == 3) & (frame["event_timestamp"] == NOW)
        assert mine.sum() == 1
        frame.loc[mine, "trips"] = frame.loc[mine, "trips"] + 1

    rewritten(path, one)
    os.utime(path, ns=(stood.st_atime_ns, stood.st_mtime_ns))
    found = book.run("%feast_reproduce v1 --verify")

    assert found.verdict == "different"
    assert [(c.name, c.differ) for c in found.columns] == [("trips", 1)]
    assert "driver_id=3" in found.columns[0].examples[0]


@pytest.mark.conformance("1.5")
def test_1_5_a_source_written_anew_with_the_same_in_it_is_no_change(load, repo, drivers) -> None:
    """The control of the other two: rows in another order and later ones make no difference."""
    load()
    book = load.book
    book.space["drivers"] = drivers
    book.run("%feast_run v1")
    book.run("store.get_historical_features(drivers, ['hourly:trips', 'hourly:conv_rate']).to_df()")
    book.run("%feast_run --end")
    later = stats().assign(event_timestamp=lambda f: f["event_timestamp"] + pd.Timedelta("30d"))
    both = pd.concat([later, stats()]).sample(frac=1, random_state=1)
    both.to_parquet(repo / "stats.parquet")

    found = book.run("%feast_reproduce v1 --verify")

    assert found.verdict in ("identical", "reordered")
    assert (found.columns, found.because) == ((), ())


# ------------------------------------------------------------------ 1.6 the definitions changed

KINDS = {
    "order in the service": (
        {"order": ("trips", "conv_rate", "acc_rate")},
        ("reordered", "service computed", None, "safe"),
        "service computed is reordered",
    ),
    "dtype": (
        {"trips": "String"},
        ("retyped", "hourly:trips", "schema", "breaks serving"),
        "hourly:trips was int64, is string",
    ),
    "TTL": (
        {"ttl": timedelta(hours=1)},
        ("redefined", "hourly", "ttl", "needs retraining"),
        "the TTL of hourly was 3 days, is 1 hour",
    ),
    "source file": (
        {"file": "other.parquet"},
        ("moved", "hourly", "location", "safe"),
        "other.parquet",
    ),
    "on-demand code": (
        {"code": multiplied},
        ("redefined", "totals", "code", "needs retraining"),
        "the code of totals was",
    ),
    "join key": (
        {"key": "rider_id", "file": "other.parquet"},
        ("redefined", "hourly", "entities", "breaks serving"),
        "join key of hourly",
    ),
}


def told(changes: Any) -> list[tuple[Any, ...]]:
    return [(c.kind, c.what, c.part, c.grade) for c in changes]


@pytest.mark.conformance("1.6")
@pytest.mark.parametrize("kind", KINDS)
def test_1_6_what_was_defined_anew_is_told_by_its_gravity(trained, tmp_path, load, kind) -> None:
    """Order, type, TTL, file, code or join key: Feast's resolve answers as if nothing had happened.

    Right is each told: what breaks serving is refused, what needs retraining unless
    `--allow-drift`, and what is safe is said in the answer.
    """
    options, expected, words = KINDS[kind]
    native, ours = trained.copies(tmp_path)
    # given what Feast alone does
    alone = opened(native)
    alone.apply(computed(trained.native, **options))
    assert alone.mlflow.resolve_features("models:/m/1") == "computed", "Feast alone"

    # when the same change is applied with the extension
    store = load(ours)
    book = load.book
    before = book.run("%feast_resolve m")
    assert (before.drift, before.service) == ((), "computed"), "nothing has changed yet"
    store.apply(computed(trained.ours, **options))

    # then it is told, and graded
    grade = expected[-1]
    if grade == "safe":
        found = book.run("%feast_resolve m")
        assert told(found.drift) == [expected]
        assert found.drift[0].old != found.drift[0].new
    else:
        assert words in book.fails("%feast_resolve m")
        with pytest.raises(Drift) as refused:
            of_store(store).resolve("m")
        assert expected in told(refused.value.changes)
        assert {c.grade for c in refused.value.changes} == {grade}
        if grade == "breaks serving":
            assert words in book.fails("%feast_resolve m --allow-drift")
            return
        found = book.run("%feast_resolve m --allow-drift")
        assert told(found.drift) == [expected]
    assert list(found.refs) == OWN_ORDER
    assert words in shown(book, found)


@pytest.mark.conformance("1.6")
def test_1_6_an_entity_that_is_applied_by_itself_is_seen_too(trained, tmp_path, load) -> None:
    """`store.apply(entity)` with another join key, its views left as they are: Feast asks for that.

    An online store is then asked with a key that it was never filled with. Right is a refusal.
    """
    from feast import Entity, ValueType

    native, ours = trained.copies(tmp_path)
    rider = Entity(name="driver", join_keys=["rider_id"], value_type=ValueType.INT64)
    alone = opened(native)
    alone.apply(rider)
    assert alone.get_entity("driver").join_key == "rider_id", "it is applied"
    assert alone.mlflow.resolve_features("models:/m/1") == "computed", "Feast alone"

    store = load(ours)
    load.book.run("%feast_resolve m")
    store.apply(rider)

    said = load.book.fails("%feast_resolve m")
    assert "join key" in said
    assert "rider_id" in said
    assert "join key" in load.book.fails("%feast_resolve m --allow-drift")


# ------------------------------------------------------------------ 1.7 the order at serving

SERVE = """
import json, sys, warnings

warnings.simplefilter("ignore")
folder = sys.argv[1]
rows = [{"driver_id": i} for i in range(10)]

import mlflow
from feast import FeatureStore

store = FeatureStore(repo_path=folder)
online = store.get_online_features(store.get_feature_service("everything"), rows).to_df()
by_hand = online.drop(columns="driver_id")
mlflow.set_tracking_uri(store.config.mlflow.get_tracking_uri())
bare = mlflow.pyfunc.load_model("models:/bare/1")
said = {"order": list(by_hand.columns), "by_hand": bare.predict(by_hand.to_numpy()).tolist()}
assert not getattr(sys.modules.get("feast_nb.recorder"), "_recorder", None)

import pandas as pd
import feast_nb

session = feast_nb.open(folder)
for name, columns in (("named", ()), ("bare", json.loads(sys.argv[2]))):
    scored = session.score(name, pd.DataFrame(rows), with_features=True, columns=columns)
    said[name] = {
        "vector": session.vector(name, rows, columns=columns).tolist(),
        "fed": list(scored.columns[1:-1]),
        "score": scored["prediction"].tolist(),
        "refs": list(session.resolve(name).refs),
    }
print("SAID", json.dumps(said))
"""
SEEDS = ("1", "2", "3")


@dataclass(frozen=True)
class Ordered:
    """Two models of the service `everything`, each with what it was trained on in its own order."""

    repo: Path
    frame: pd.DataFrame
    predicted: dict[str, list[float]]
    said: dict[str, dict[str, Any]]

    ORDER: ClassVar = {
        "named": ["age", "trips", "acc_rate", "conv_rate"],
        "bare": ["conv_rate", "acc_rate", "trips", "age"],
    }


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Ordered:
    """Models of a frame and of a bare array, and what three processes say that serve them."""
    from sklearn.linear_model import LinearRegression

    place = tmp_path_factory.mktemp("ordered")
    folder, models = place / "repo", {}
    with apart(place):
        shutil.copytree(template, folder)
        change_yaml(folder, "sqlite:///mlflow.db", f"sqlite:///{folder}/mlflow.db")
        opened(folder).apply(define(folder))
        opened(folder).materialize(
            datetime(2023, 12, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
        )
        session = feast_nb.open(folder)
        store = session.store
        for name, order in Ordered.ORDER.items():
            with store.mlflow.start_run(run_name=name):
                service = store.get_feature_service("everything")
                frame = store.get_historical_features(asked(), service).to_df()
                x = frame[order] if name == "named" else frame[order].to_numpy()
                models[name] = LinearRegression().fit(x, frame["y"])
                store.mlflow.log_model(models[name], "model", registered_model_name=name)
    frame = frame.sort_values("driver_id", ignore_index=True)
    predicted = {
        name: model.predict(frame[order] if name == "named" else frame[order].to_numpy()).tolist()
        for (name, model), order in zip(models.items(), Ordered.ORDER.values(), strict=True)
    }
    env = {**os.environ, "FEAST_NB_STATE": str(place / "state"), "PYTHONSAFEPATH": ""}
    env["PYTHONPATH"] = os.pathsep.join([STARTUP, str(Path(feast_nb.__file__).parents[1])])
    processes = {
        seed: subprocess.Popen(
            [sys.executable, "-c", SERVE, str(folder), json.dumps(Ordered.ORDER["bare"])],
            env={**env, "PYTHONHASHSEED": seed},
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in SEEDS
    }
    said = {}
    for seed, process in processes.items():
        out, wrong = process.communicate(timeout=800)
        assert process.returncode == 0, wrong
        (line,) = [x for x in out.splitlines() if x.startswith("SAID ")]
        said[seed] = json.loads(line.removeprefix("SAID "))
    return Ordered(folder, frame, predicted, said)


@pytest.mark.conformance("1.7")
@pytest.mark.parametrize("name", ["named", "bare"])
def test_1_7_every_process_feeds_a_model_in_its_own_order(ordered, name) -> None:
    """`get_online_features(service).to_df()` has its columns in another order in each process.

    A model of a bare array takes them as they come, and predicts something else. Right is the
    order of the training, in every process.
    """
    order = ordered.ORDER[name]
    # given what Feast alone does
    by_hand = [said["order"] for said in ordered.said.values()]
    assert any(columns != ordered.ORDER["bare"] for columns in by_hand), "Feast alone"
    for said in ordered.said.values():
        right = said["order"] == ordered.ORDER["bare"]
        assert np.allclose(said["by_hand"], ordered.predicted["bare"], rtol=1e-4) is right

    # then ours are right in each
    expected = ordered.frame[order].to_numpy(dtype="float64")
    view = {"age": "profile"}
    for seed, said in ordered.said.items():
        assert said[name]["refs"] == [f"{view.get(c, 'hourly')}:{c}" for c in order], seed
        assert said[name]["fed"] == order, seed
        assert np.allclose(said[name]["vector"], expected, rtol=1e-6), seed
        assert np.allclose(said[name]["score"], ordered.predicted[name], rtol=1e-4), seed


@pytest.mark.conformance("1.7")
@pytest.mark.parametrize("name", ["named", "bare"])
def test_1_7_the_magic_scores_in_the_models_order(ordered, load, name) -> None:
    """`%feast_score` in the notebook gives the predictions of the training, row by row."""
    load(ordered.repo)
    book = load.book
    book.space["wanted"] = pd.DataFrame({"driver_id": [7, 0, 3]})

    order = f"--columns {','.join(ordered.ORDER[name])}" if name == "bare" else ""
    scored = book.run(f"%feast_score {name} --entities wanted {order}")

    assert scored["driver_id"].tolist() == [7, 0, 3]
    expected = [ordered.predicted[name][i] for i in (7, 0, 3)]
    assert np.allclose(scored["prediction"], expected, rtol=1e-4)


@pytest.mark.conformance("1.7")
def test_1_7_an_order_that_was_assumed_is_said(ordered, load) -> None:
    """A bare array has no names: its order is taken from what was asked for, and that is told."""
    load(ordered.repo)

    assert load.book.run("%feast_resolve named").notes == ()
    found = load.book.run("%feast_resolve bare")
    assert any("order assumed" in note for note in found.notes)
    assert "order assumed" in shown(load.book, found)


# ------------------------------------------------------------------ 1.8 whatever logged it


def without_acc_rate(folder: Path) -> list[Any]:
    """The view, and with it the on-demand view and the service, without `acc_rate`."""
    from feast import FeatureService, FeatureView

    driver, hourly, *_ = define(folder)
    kept = [f for f in hourly.schema if f.name in ("conv_rate", "trips")]
    view = FeatureView(
        name="hourly", entities=[driver], ttl=hourly.ttl, schema=kept, source=hourly.batch_source
    )
    return [driver, view, FeatureService(name="computed", features=[view])]


@pytest.mark.conformance("1.8")
@pytest.mark.parametrize("model", ["m", "plain", "auto"])
def test_1_8_a_model_is_checked_whatever_logged_it(trained, tmp_path, load, model) -> None:
    """A feature is removed: Feast notices for a model of its own `log_model`, and for no other.

    Right is the same check for one of plain `mlflow.sklearn.log_model`, and for autolog's.
    """
    from feast.mlflow_integration import FeastMlflowModelResolutionError

    native, ours = trained.copies(tmp_path)
    # given what Feast alone does
    alone = opened(native)
    alone.apply(without_acc_rate(trained.native))
    if model == "m":
        with pytest.raises(FeastMlflowModelResolutionError, match="acc_rate"):
            alone.mlflow.resolve_features("models:/m/1")
    else:
        assert alone.mlflow.resolve_features(f"models:/{model}/1") == "computed", "Feast alone"

    # when the extension is loaded
    store = load(ours)
    book = load.book
    found = book.run(f"%feast_resolve {model}/1")
    assert list(found.refs) == OWN_ORDER
    assert (found.basis, found.service, found.drift) == ("contract", "computed", ())
    store.apply(without_acc_rate(trained.ours))

    # then it is refused, for resolve and for all that serves
    with pytest.raises(Drift) as refused:
        of_store(store).resolve(f"{model}/1", allow_drift=True)
    assert ("removed", "hourly:acc_rate", None, "breaks serving") in told(refused.value.changes)
    book.space["wanted"] = pd.DataFrame({"driver_id": [1]})
    for line in (f"%feast_resolve {model}/1", f"%feast_score {model}/1 --entities wanted"):
        assert "hourly:acc_rate is removed" in book.fails(line), line
    with pytest.raises(Drift):
        of_store(store).vector(f"{model}/1", [{"driver_id": 1}])


# ------------------------------------------------------------------ 1.9 another project's model


@pytest.mark.conformance("1.9")
@pytest.mark.parametrize("who", ["feast_nb", "Feast alone"])
def test_1_9_a_model_of_another_project_is_refused(trained, tmp_path, load, who) -> None:
    """Two projects on one server: Feast resolves the other's model to a service of this one.

    Right is a refusal that names both projects, whoever recorded the training.
    """
    their = trained.ours if who == "feast_nb" else trained.native

    def riders(folder: Path, server: Path) -> Path:
        address = f"sqlite:///{server}/mlflow.db"
        return make_repository(folder, project="riders", tracking_uri=address, define=computed)

    alone = opened(riders(tmp_path / "alone", trained.native))
    assert alone.mlflow.resolve_features("models:/m/1") == "computed", "Feast alone"

    store = load(riders(tmp_path / "riders", their))
    book = load.book
    book.space["wanted"] = pd.DataFrame({"driver_id": [1]})
    for line in ("%feast_resolve m/1", "%feast_resolve m/1 --allow-drift",
                 "%feast_score m/1 --entities wanted"):  # fmt: skip
        said = book.fails(line)
        assert "project drivers" in said, line
        assert "riders" in said, line
    with pytest.raises(feast_nb.errors.ModelError, match=r"drivers.*riders"):
        of_store(store).vector("m/1", [{"driver_id": 1}])


@pytest.mark.conformance("1.9")
@pytest.mark.parametrize("who", ["feast_nb", "Feast alone"])
def test_1_9_a_training_of_another_project_is_not_rebuilt_without_a_word(
    trained, tmp_path, load, who
) -> None:
    """The same for a training set: this project's views have the same names and other values.

    Right is a refusal, or an answer, that names both projects.
    """
    their = trained.ours if who == "feast_nb" else trained.native
    address = f"sqlite:///{their}/mlflow.db"
    folder = make_repository(
        tmp_path / "other", project="riders", tracking_uri=address, define=computed
    )
    rewritten(folder / "stats.parquet", doubled)
    load(folder)
    book = load.book

    done = book.shell.run_cell("%feast_reproduce m/1")

    said = shown(book, done.result) if done.success else book.tracebacks[-1]
    assert "riders" in said
    assert "drivers" in said


# ------------------------------------------------------------------ 1.11 fed something else


@pytest.mark.conformance("1.11")
@pytest.mark.parametrize("who", ["feast_nb", "Feast alone"])
def test_1_11_a_model_that_is_fed_another_service_is_told(
    trained, tmp_path, load, capsys, who
) -> None:
    """`load_model` of a model of one service, then another service is asked: Feast says nothing.

    It overwrites the tag. Right is one line that names the model, both services, what is missing,
    whoever recorded the training.
    """
    from feast import FeatureService

    native, ours = trained.copies(tmp_path)

    def served(store):
        store.apply(
            FeatureService(name="pair", features=[store.get_feature_view("hourly")[["trips"]]])
        )
        with store.mlflow.start_run() as run:
            store.mlflow.load_model("models:/m/1")
            between = tags_of(store, run.info.run_id)["feast.feature_service"]
            store.get_online_features(store.get_feature_service("pair"), [{"driver_id": 1}])
        return run.info.run_id, between

    # given what Feast alone does
    alone = opened(native)
    run_id, between = served(alone)
    said = capsys.readouterr()
    assert between == "computed"
    assert tags_of(alone, run_id)["feast.feature_service"] == "pair", "Feast alone"
    assert "computed" not in said.out + said.err, "Feast alone"

    # when the same is done in a notebook
    (tmp_path / "again").mkdir()
    store = load(ours if who == "feast_nb" else trained.copies(tmp_path / "again")[0])
    book = load.book
    book.space["served"] = served
    capsys.readouterr()
    book.run("served(store)")

    # then it is said, once
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("feast_nb: ")]
    assert "m/1 was trained on computed, and service pair has no" in line
    for ref in ("hourly:conv_rate", "hourly:acc_rate", "totals:total"):
        assert ref in line
    assert "hourly:trips" not in line
    assert store.project == "drivers"


@pytest.mark.conformance("1.11")
@pytest.mark.parametrize(
    "features",
    ["store.get_feature_service('computed')",
     "['hourly:acc_rate', 'hourly:conv_rate', 'profile:age', 'totals:total', 'hourly:trips']"],
    ids=["its own service", "all it takes and more"],
)  # fmt: skip
def test_1_11_a_model_that_is_fed_what_it_takes_is_not_told(
    trained, load, capsys, features
) -> None:
    """The control: its own service, or a list that holds all it takes, is worth no line."""
    load(trained.ours)
    book = load.book
    capsys.readouterr()
    book.run(
        "with store.mlflow.start_run():\n"
        "    model = store.mlflow.load_model('models:/m/1')\n"
        f"    store.get_online_features({features}, [{{'driver_id': 1}}])"
    )
    book.run("1")

    assert "feast_nb: " not in capsys.readouterr().err


@pytest.mark.conformance("1.11")
def test_1_11_a_model_of_an_ended_run_is_no_longer_held_against_another(
    trained, load, capsys
) -> None:
    """A run that loaded nothing asks what it likes, though the run before had loaded a model."""
    load(trained.ours)
    book = load.book
    book.run("with store.mlflow.start_run():\n    store.mlflow.load_model('models:/m/1')")
    capsys.readouterr()
    book.run(
        "with store.mlflow.start_run():\n"
        "    store.get_online_features(['profile:age'], [{'driver_id': 1}])"
    )
    book.run("1")

    assert "feast_nb: " not in capsys.readouterr().err
