"""Beside Feast's own MLflow integration: what either makes, the other can use.

The other side runs in a process of its own, in which feast_nb cannot be imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ..conftest import NOW, make_repository
from .conftest import define

pytestmark = pytest.mark.xdist_group("interop")  # its models are trained once, not by each worker

ACTIVITY = ("hourly:conv_rate", "hourly:acc_rate", "hourly:trips")

BEGIN = """\
import json, sys, warnings
warnings.simplefilter("ignore")
sys.modules["feast_nb"] = None  # as where it is not installed: MLflow looks for its entry point
import mlflow, pandas as pd
import mlflow.models
from feast import FeatureStore
from sklearn.linear_model import LogisticRegression
mlflow.models.infer_pip_requirements = lambda uri, flavor, fallback, **kwargs: fallback
store = FeatureStore(repo_path={folder!r})
"""

TRAIN = """
NOW = pd.Timestamp("2024-01-10 12:00", tz="UTC")
drivers = pd.DataFrame(
    {"driver_id": range(10), "event_timestamp": [NOW] * 10, "y": [0, 1] * 5, "bonus": range(10)}
)
runs = {}

def trained(name, features, columns, register=True, array=False, frame=drivers, example=True):
    with store.mlflow.start_run(run_name=name) as run:
        df = store.get_historical_features(frame, features).to_df()
        taken = df[columns].to_numpy() if array else df[columns]
        model = LogisticRegression().fit(taken, df["y"])
        options = {} if array or not example else {"input_example": taken[:2]}
        store.mlflow.log_model(model, "model", **options)
    if register:
        store.mlflow.register_model(f"runs:/{run.info.run_id}/model", name)
    runs[name] = run.info.run_id

activity = store.get_feature_service("activity")
plain = drivers[["driver_id", "event_timestamp", "y"]]
trained("served", activity, ["trips", "conv_rate"], frame=plain)
trained("listed", ["hourly:trips", "hourly:acc_rate"], ["acc_rate", "trips"], frame=plain)
trained("bare", activity, ["trips", "conv_rate"], array=True, frame=plain)
trained("unregistered", activity, ["conv_rate"], register=False, frame=plain)
trained("request", ["doubled:doubled", "hourly:conv_rate"], ["conv_rate", "doubled", "bonus"])
with store.mlflow.start_run(run_name="asked") as run:
    store.get_historical_features(plain[:4], ["hourly:trips"]).to_df()
runs["asked"] = run.info.run_id
with store.mlflow.start_run(run_name="online") as run:
    store.get_online_features(["hourly:trips"], [{"driver_id": 1}]).to_dict()
runs["online"] = run.info.run_id
store.config.mlflow.auto_log_entity_df = False
with store.mlflow.start_run(run_name="unkept") as run:
    store.get_historical_features(plain, ["hourly:trips"]).to_df()
runs["unkept"] = run.info.run_id
print(json.dumps(runs))
"""


def feast_alone(folder: Path, script: str) -> Any:
    """Run a script in a fresh process on a repository; what its last line prints, as JSON."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "FEAST_"))}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN.format(folder=str(folder)) + script],
        capture_output=True, text=True, cwd=folder, env=kept, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A repository, and the runs that Feast alone made in it: name → id."""
    from feast import FeatureStore

    folder = tmp_path_factory.mktemp("alone") / "repo"
    folder.mkdir()
    make_repository(folder, tracking_uri=f"sqlite:///{folder}/mlflow.db", define=define)
    FeatureStore(repo_path=str(folder)).materialize(
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC)
    )
    return folder, feast_alone(folder, TRAIN)


@pytest.fixture
def book(made: tuple[Path, dict[str, str]], notebook: Any) -> Any:
    """A notebook with the extension, on that repository."""
    folder, runs = made
    notebook.run(f"store = %feast_store {folder}")
    notebook.runs = runs
    notebook.space["drivers"] = pd.DataFrame({"driver_id": range(4)})
    return notebook


UNKNOWN = "its definitions at training are not known, so changes since then cannot be checked."


# ------------------------------------------------------------------ made by Feast alone


def test_what_feast_alone_registered_is_resolved(book) -> None:
    """The version's tag names the service, the artifact the references; what is unknown is said."""
    found = book.run("%feast_resolve served/1")

    assert (found.model, found.service, found.basis) == ("served/1", "activity", "version tag")
    assert found.refs == ("hourly:trips", "hourly:conv_rate")
    assert (found.notes, found.drift) == ((UNKNOWN,), ())
    assert found.features == list(found.refs)


@pytest.mark.parametrize("named", ["served", "runs:/{run}/model"])
def test_every_name_of_it_is_the_same_model(book, named: str) -> None:
    found = book.run(f"%feast_resolve {named.format(run=book.runs['served'])}")

    assert found.model == "served/1"
    assert found.refs == ("hourly:trips", "hourly:conv_rate")


def test_a_model_that_was_not_registered_is_resolved_by_its_run(book) -> None:
    """The tag of the run says what service it was."""
    found = book.run(f"%feast_resolve runs:/{book.runs['unregistered']}/model")

    assert (found.service, found.basis) == ("activity", "run tag")
    assert found.refs == ("hourly:conv_rate",)


def test_a_list_of_references_is_found_in_what_feast_logged(book) -> None:
    """In the model's own order, and by no service that Feast may have guessed."""
    found = book.run("%feast_resolve listed")

    assert found.refs == ("hourly:acc_rate", "hourly:trips")
    assert found.features == list(found.refs)
    assert UNKNOWN in found.notes


def test_a_model_fitted_on_an_array_says_that_its_order_is_unknown(book) -> None:
    """All references of its run, and a word that nobody knows which goes where."""
    found = book.run("%feast_resolve bare")

    assert set(found.refs) == set(ACTIVITY)
    assert found.notes == (
        UNKNOWN,
        "the order of its inputs is not known: it was fitted on an array.",
    )


def test_a_feature_that_is_gone_since_is_refused(book, made) -> None:
    """Without definitions what is gone is seen all the same."""
    from feast import FeatureStore, FeatureView, Field
    from feast.types import Float32

    folder, _ = made
    store = FeatureStore(repo_path=str(folder))
    view = store.get_feature_view("hourly")
    assert isinstance(view, FeatureView)
    kept = (folder / "registry.db").read_bytes()
    store.apply([], objects_to_delete=[store.get_on_demand_feature_view("doubled")], partial=False)
    view.features = [Field(name="conv_rate", dtype=Float32), Field(name="acc_rate", dtype=Float32)]
    view.projection.features = list(view.features)
    store.apply([view])
    try:
        said = book.fails("%feast_resolve served --allow-drift")
        assert said == (
            "Drift: served/1 cannot be served: hourly:trips is removed. Put it back, or retrain."
        )
    finally:
        (folder / "registry.db").write_bytes(kept)


def test_its_features_are_shown(book) -> None:
    """In the model's order, with what the registry says of each; training values are unknown."""
    found = book.run("%feast_features served")

    assert [(f.input, f.ref) for f in found.features] == [
        (1, "hourly:trips"),
        (2, "hourly:conv_rate"),
    ]
    assert [f.declared for f in found.features] == ["Int64", "Float32"]
    assert {f.source for f in found.features} == {"stats"}
    assert {f.owner for f in found.features} == {"rides@example.com"}
    assert {f.ttl for f in found.features} == {"3 days"}
    assert {(f.nulls, f.min, f.max) for f in found.features} == {(None, None, None)}
    assert (found.service, found.notes) == ("activity", (UNKNOWN,))


def test_inputs_that_are_no_features_are_shown_apart(book) -> None:
    """`bonus` came with the entity rows: no feature, and the model takes it."""
    found = book.run("%feast_features request")

    assert [(f.input, f.ref) for f in found.features] == [
        (1, "hourly:conv_rate"),
        (2, "doubled:doubled"),
    ]
    assert len(found.others) == 1
    assert found.others[0].startswith("bonus")


@pytest.mark.parametrize(
    ("named", "refs", "rows"),
    [
        ("served", ACTIVITY, 10),
        ("listed", ("hourly:trips", "hourly:acc_rate"), 10),
        ("asked", ("hourly:trips",), 4),
        ("request", ("doubled:doubled", "hourly:conv_rate"), 10),
        ("served/1", ACTIVITY, 10),
    ],
)
def test_its_training_set_is_rebuilt_and_nothing_proves_it(book, named, refs, rows) -> None:
    """Feast keeps the entity rows and references, and nothing of what came back."""
    found = book.run(f"%feast_reproduce {named} --verify --into again")

    assert found.run_id == book.runs[named.partition("/")[0]]
    assert (found.verdict, found.rows, found.refs) == ("not compared", rows, refs)
    assert found.notes == (
        "Feast alone recorded it: what came back then is not known, so nothing proves it.",
    )
    assert found.because == ()
    again = book.space["again"]
    assert {r.partition(":")[2] for r in refs} <= set(again)
    assert len(again) == rows
    assert not again[[r.partition(":")[2] for r in refs]].isna().any().any()


def test_the_rebuilt_rows_are_those_of_then(book) -> None:
    """As Feast's own call gives them for the entity rows that the run kept."""
    again = book.run("%feast_reproduce served").frame.sort_values("driver_id", ignore_index=True)
    book.space["entity"] = pd.DataFrame(
        {"driver_id": range(10), "event_timestamp": [NOW] * 10, "y": [0, 1] * 5}
    )
    plain = book.run(f"store.get_historical_features(entity, {list(ACTIVITY)}).to_df()")

    plain = plain.sort_values("driver_id", ignore_index=True)
    plain.attrs = again.attrs = {}
    pd.testing.assert_frame_equal(again, plain)


def test_a_run_without_entity_rows_says_what_feast_would_need(book) -> None:
    """`auto_log_entity_df` was off: how many rows it had, and what to switch on."""
    assert book.fails("%feast_reproduce unkept --verify") == (
        "FeatureError: cannot be rebuilt: the run keeps no entity frame (10 rows); Feast "
        "archives one with auto_log_entity_df: true, up to entity_df_max_rows."
    )
    assert book.fails("%feast_reproduce online") == (
        "FeatureError: run online recorded no historical retrieval: nothing to rebuild."
    )


def test_it_is_scored_from_entity_keys(book) -> None:
    """The same predictions as by hand, in the model's own order."""
    scored = book.run("scored = %feast_score served --entities drivers --with-features\nscored")
    by_hand = book.run(
        "import mlflow\n"
        "mlflow.set_tracking_uri(store.mlflow.client.tracking_uri)\n"
        "online = store.get_online_features(['hourly:trips', 'hourly:conv_rate'], "
        "[{'driver_id': i} for i in range(4)]).to_df()\n"
        "mlflow.sklearn.load_model('models:/served/1')"
        ".predict(online[['trips', 'conv_rate']]).tolist()"
    )

    assert list(scored) == ["driver_id", "trips", "conv_rate", "prediction"]
    assert scored["trips"].tolist() == book.space["online"]["trips"].tolist()
    assert scored["prediction"].tolist() == by_hand


def test_a_list_is_scored_in_the_models_order(book) -> None:
    scored = book.run("%feast_score listed --entities drivers --with-features")

    assert list(scored) == ["driver_id", "acc_rate", "trips", "prediction"]
    assert not scored.isna().any().any()


def test_a_model_whose_order_nobody_knows_is_not_scored(book) -> None:
    """A guess would give predictions that are silently wrong."""
    said = book.fails("%feast_score bare --entities drivers")

    assert said == (
        "ModelError: the order of bare/1's inputs is not known; name them as they were in its "
        "fit: --columns a,b,c (in Python columns=[…])."
    )


def test_feasts_own_predictions_are_linked_the_same(book) -> None:
    """The prediction run has the tags that Feast's `load_model` writes."""
    book.run("%feast_score served --entities drivers")
    client = book.space["store"].mlflow.client
    experiment = client.get_experiment_by_name("drivers")
    (run, *_) = client.search_runs(
        [experiment.experiment_id], "tags.`feast_nb.predicts` = 'served/1'"
    )

    tags = run.data.tags
    assert (tags["feast.model_name"], tags["feast.model_version"]) == ("served", "1")
    assert tags["feast.training_run_id"] == book.runs["served"]


def test_two_of_feasts_models_are_held_side_by_side(book) -> None:
    """What is known of both: their inputs; what is not known is said of each."""
    found = book.run("%feast_diff served listed")

    told = {d.what: (d.one, d.other) for d in found.features}
    assert told["hourly:trips, place"] == ("1", "2")
    assert told["hourly:conv_rate, place"] == ("2", None)
    assert told["hourly:acc_rate, place"] == (None, "1")
    assert f"served/1: {UNKNOWN}" in found.notes
    assert f"listed/1: {UNKNOWN}" in found.notes


# ------------------------------------------------------------------ made by feast_nb


def test_feast_alone_resolves_what_feast_nb_made(promoted, trained) -> None:
    """`store.mlflow.resolve_features`, without feast_nb: by version and by alias."""
    answers = feast_alone(
        trained,
        """
import json
answers = {}
for named in ("models:/m/1", "models:/m/champion", "models:/m/2"):
    answers[named] = store.mlflow.resolve_features(named)
service = store.get_feature_service(answers["models:/m/1"])
drivers = pd.DataFrame({"driver_id": [1, 2]})
online = store.get_online_features(service, [{"driver_id": 1}, {"driver_id": 2}]).to_df()
mlflow.set_tracking_uri(store.mlflow.client.tracking_uri)
model = mlflow.sklearn.load_model("models:/m/1")
answers["predictions"] = model.predict(online[["trips", "conv_rate"]]).tolist()
version = store.mlflow.client.get_model_version("m", "1")
answers["rows"] = len(store.mlflow.get_training_entity_df(version.run_id))
print(json.dumps(answers))
""",
    )

    assert answers["models:/m/1"] == "activity"
    assert answers["models:/m/champion"] == "activity"
    assert answers["models:/m/2"] == "activity"
    assert answers["rows"] == 10
    promoted.space["two"] = pd.DataFrame({"driver_id": [1, 2]})
    ours = promoted.run("%feast_score m/1 --entities two")
    assert ours["prediction"].tolist() == answers["predictions"]
