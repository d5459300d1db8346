"""Predictions from entity keys alone, and the run that says what the model was fed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from feast_nb.errors import Drift, FeatureError, ModelError, UsageError
from feast_nb.records import answers

from ..conftest import NOW, make_repository, read_json, stats
from .conftest import define as plain
from .conftest import entities

pytestmark = pytest.mark.xdist_group("score")  # its models are trained once, not by each worker

ORDER = "--columns trips,acc_rate,conv_rate"  # of `p`, which cannot say it itself
OLD = "{} of {} rows have a value older than its view's TTL"


def define(repo: Path) -> list[Any]:
    """As for the other models, with a service that asks for one view of two drivers."""
    from feast import FeatureService

    objects = plain(repo)
    hourly = next(o for o in objects if o.name == "hourly")
    origin = hourly.with_name("origin").with_join_key_map({"driver_id": "origin_id"})
    target = hourly.with_name("target").with_join_key_map({"driver_id": "target_id"})
    return [*objects, FeatureService(name="pair", features=[origin, target])]


def further_models(session: Any) -> None:
    """Models of every shape that `trained` has none of; `made` keeps what they said in training."""
    import mlflow
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    class Table(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any) -> Any:
            trips = model_input["trips"]
            return pd.DataFrame({"low": trips - 1.0, "high": trips + 1.0})

    class Seen(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any) -> Any:
            said = ",".join(model_input.columns)
            return [said] * len(model_input)

    drivers = entities().drop(columns="index").assign(bonus=range(100, 110), weight=1.5)
    drivers["weight"] += drivers["driver_id"]
    pairs = drivers.rename(columns={"driver_id": "origin_id"})
    pairs["target_id"] = (pairs["origin_id"] + 1) % 10

    def train(name: str, make: Any, entity_df: Any = drivers, **options: Any) -> None:
        with session.train(name, entity_df=entity_df, register=name, **options) as training:
            training.model = make(training.frame)

    def linear(*columns: str) -> Any:
        return lambda frame: LinearRegression().fit(frame[list(columns)], frame["y"])

    train(
        "derived", linear("conv_rate", "doubled"), features=("hourly:conv_rate", "doubled:doubled")
    )
    train("keyed", linear("weight", "driver_id", "trips"), features=("hourly:trips",))
    train("full", linear("hourly__trips", "hourly__conv_rate"), service="activity",
          full_feature_names=True)  # fmt: skip
    train("pair", linear("target__trips", "origin__conv_rate"), pairs, service="pair",
          full_feature_names=True)  # fmt: skip
    train("two", lambda f: LinearRegression().fit(f[["trips", "conv_rate"]], f[["y", "driver_id"]]),
          service="activity")  # fmt: skip
    train("gaps", lambda f: HistGradientBoostingRegressor(min_samples_leaf=1, max_iter=3).fit(
        f[["conv_rate", "acc_rate"]], f["y"]), service="rates")  # fmt: skip
    train("table", lambda f: Table(), service="activity")
    train("seen", lambda f: Seen(), service="activity")


def outside_models(folder: Path) -> None:
    """`stranger` never met Feast; `tagged` has only what Feast's own integration leaves."""
    import mlflow
    from sklearn.linear_model import LinearRegression

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    frame = stats()[["trips", "acc_rate"]].astype({"trips": "int32"})
    model = LinearRegression().fit(frame, frame["trips"])
    try:
        with mlflow.start_run():
            for name in ("stranger", "tagged"):
                signature = mlflow.models.infer_signature(frame, model.predict(frame))
                mlflow.sklearn.log_model(
                    model, name=name, signature=signature, registered_model_name=name
                )
        api = mlflow.MlflowClient()
        api.set_model_version_tag("tagged", "1", "feast.feature_service", "activity")
    finally:
        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def further(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own with those models, materialized once."""

    import feast_nb
    from feast_nb import recorder

    folder = make_repository(tmp_path_factory.mktemp("further") / "repo", define=define)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEAST_NB_STATE", str(folder.parent / "state"))
        session = feast_nb.open(folder)
        session.store.materialize(
            datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC)
        )
        further_models(session)
        recorder.shut()
        outside_models(folder)
    return folder


@pytest.fixture
def more(further: Path, notebook: Any) -> Any:
    """A notebook on the repository with further models."""
    notebook.run(f"store = %feast_store {further}")
    notebook.space["drivers"] = entities().drop(columns="index")
    return notebook


def session_of(book: Any) -> Any:
    from feast_nb.session import of_store

    return of_store(book.space["store"])


def client_of(book: Any) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{book.space['store'].repo_path}/mlflow.db")


def runs_of(book: Any, experiment: str = "drivers") -> list[Any]:
    """The runs of an experiment, newest first."""
    api = client_of(book)
    found = api.get_experiment_by_name(experiment)
    return list(api.search_runs([found.experiment_id])) if found else []


def last_run(book: Any) -> Any:
    return runs_of(book)[0]


def score_of(book: Any, run: Any | None = None) -> answers.Score:
    """What the last run says it fed."""
    run = run or last_run(book)
    kept = read_json(client_of(book), run.info.run_id, "feast/score.json")
    return answers.Score.from_dict(kept)


def metrics_of(run: Any) -> dict[str, float]:
    names = ("rows", "absent", "stale", "nulls")
    return {n: run.data.metrics[f"feast_nb.{n}"] for n in names}


def latest() -> pd.DataFrame:
    """The newest row of each driver: what is materialized."""
    return stats().groupby("driver_id").last()


def known_at(drivers: pd.Series, moments: pd.Series) -> pd.DataFrame:
    """Row by row, what a point-in-time join must find: worked out without Feast."""
    table, found = stats(), []
    for driver, moment in zip(drivers, moments, strict=True):
        mine = table[(table.driver_id == driver) & (table.event_timestamp <= moment)]
        mine = mine[mine.event_timestamp >= moment - pd.Timedelta(days=3)]
        found.append(mine.iloc[-1] if len(mine) else None)
    return pd.DataFrame(found).reset_index(drop=True)


def said(book: Any, capsys: Any) -> str:
    """What the user was told since the last look, one line each: by the magic, or by itself."""
    shown = [line for data in book.shown for line in data["text/plain"].splitlines()]
    book.shown.clear()
    notes = [line.strip() for line in shown if line.startswith("  ⚠ ")]
    lines = capsys.readouterr().err.splitlines()
    return "\n".join([*notes, *(line for line in lines if line.startswith("feast_nb: "))])


# ---------------------------------------------------------------------- keys only


def test_keys_alone_are_enough(promoted) -> None:
    promoted.run("keys = drivers[['driver_id']]\nscored = %feast_score m/1 --entities keys")
    scored = promoted.space["scored"]
    model = session_of(promoted).load_model("m/1")

    assert list(scored.columns) == ["driver_id", "prediction"]
    assert scored["driver_id"].tolist() == list(range(10))
    expected = model.predict(latest()[["trips", "conv_rate"]])
    assert scored["prediction"].tolist() == expected.tolist()
    assert len(set(expected)) == 2


def test_a_positional_model_gets_its_own_order(promoted) -> None:
    scored = promoted.run(f"%feast_score p --entities drivers {ORDER} --with-features")
    model = session_of(promoted).load_model("p/1")
    order = ["trips", "acc_rate", "conv_rate"]

    assert list(scored.columns)[3:] == [*order, "prediction"]
    assert (scored[order].to_numpy() == latest()[order].to_numpy()).all()
    assert scored["prediction"].tolist() == model.predict(latest()[order].to_numpy()).tolist()


@pytest.mark.parametrize("model", ["p", "m/1"])
def test_an_order_that_nobody_knows_is_asked_for_and_one_that_is_known_is_not_changed(
    promoted, model: str
) -> None:
    wrong = "" if model == "p" else " --columns conv_rate,trips"

    said = str(promoted.fails(f"%feast_score {model} --entities drivers{wrong}"))

    if model == "p":
        assert "the order of p/1's inputs is not known" in said
        assert ORDER in said
    else:
        assert "m/1 knows its inputs itself: trips,conv_rate" in said


def test_one_key_asked_twice_has_two_rows(promoted) -> None:
    promoted.space["keys"] = pd.DataFrame({"driver_id": [3, 0, 3]})
    scored = promoted.run("%feast_score m/1 --entities keys --with-features")

    assert scored["trips"].tolist() == latest()["trips"].loc[[3, 0, 3]].tolist()


def test_labels_ids_order_and_index_pass_through(promoted) -> None:
    given = promoted.space["drivers"].sample(frac=1, random_state=4).assign(id=list("abcdefghij"))
    given.index = pd.Index([5, 5, 7, 1, 2, 3, 9, 9, 9, 0], name="line")
    promoted.space["given"] = given
    before = given.copy()
    scored = promoted.run(f"%feast_score p --entities given {ORDER} --with-features")

    pd.testing.assert_frame_equal(scored[list(given.columns)], before)
    pd.testing.assert_frame_equal(given, before)
    assert scored["trips"].tolist() == latest()["trips"].loc[given["driver_id"]].tolist()
    in_order = promoted.run(f"%feast_score p --entities drivers {ORDER}")["prediction"]
    assert scored["prediction"].tolist() == in_order.loc[given["driver_id"]].tolist()


def test_into_binds_a_variable_and_the_value_is_the_same_frame(promoted) -> None:
    promoted.run("value = %feast_score m/1 --entities drivers --into kept")

    assert promoted.space["kept"] is promoted.space["value"]


def test_the_entity_key_never_reaches_the_model(more) -> None:
    """The model itself says which columns it was given."""
    more.run("given = drivers.assign(bonus=1, acc_rat=2.0)")
    scored = more.run("%feast_score seen --entities given --columns conv_rate,acc_rate,trips")

    assert set(scored["prediction"]) == {"conv_rate,acc_rate,trips"}


def test_a_key_that_the_model_was_trained_on_does_reach_it(more) -> None:
    given = more.space["drivers"].assign(weight=2.5)
    more.space["given"] = given
    scored = more.run("%feast_score keyed --entities given")
    expected = (
        session_of(more)
        .load_model("keyed")
        .predict(pd.DataFrame({"weight": 2.5, "driver_id": range(10), "trips": latest()["trips"]}))
    )

    assert scored["prediction"].to_numpy() == pytest.approx(expected)
    rows = [{"driver_id": 4, "weight": 2.5}]
    array = session_of(more).vector("keyed", rows)
    assert array.tolist() == [[2.5, 4.0, float(latest()["trips"].loc[4])]]


def test_full_feature_names_are_served_as_they_were_trained(more) -> None:
    scored = more.run("%feast_score full --entities drivers --with-features")
    past = more.run("%feast_score full --entities drivers --with-features --as-of event_timestamp")

    assert scored["hourly__trips"].tolist() == latest()["trips"].tolist()
    pd.testing.assert_frame_equal(scored, past)
    array = session_of(more).vector("full", [{"driver_id": 2}])
    assert array.tolist() == [latest().loc[2, ["trips", "conv_rate"]].tolist()]


@pytest.mark.parametrize("as_of", ["", "--as-of event_timestamp"], ids=["online", "as of"])
def test_a_view_that_is_asked_for_twice_has_the_keys_of_both(more, as_of) -> None:
    """`origin` and `target` are one view under two names; each row has two drivers."""
    more.space["pairs"] = pd.DataFrame(
        {"origin_id": [1, 2], "target_id": [5, 1], "event_timestamp": [NOW] * 2}
    )
    scored = more.run(f"%feast_score pair --entities pairs --with-features {as_of}")

    assert scored["target__trips"].tolist() == latest()["trips"].loc[[5, 1]].tolist()
    assert scored["origin__conv_rate"].tolist() == latest()["conv_rate"].loc[[1, 2]].tolist()
    shown = more.fails(f"%feast_score pair --entities drivers {as_of}")
    assert shown.startswith(
        ("FeatureError: no column origin_id, ", "FeatureError: no column target_id, ")
    )


# ---------------------------------------------------------------------- what must be given


@pytest.mark.parametrize("as_of", ["", "--as-of event_timestamp"], ids=["online", "as of"])
def test_request_data_is_taken_from_the_frame(more, as_of: str) -> None:
    more.run("given = drivers.assign(bonus=range(10))")
    scored = more.run(f"%feast_score derived --entities given --with-features {as_of}")

    assert scored["doubled"].tolist() == (latest()["trips"] * 2.0 + np.arange(10)).tolist()
    fed = latest()[["conv_rate"]].assign(doubled=scored["doubled"].to_numpy())
    expected = session_of(more).load_model("derived").predict(fed)
    assert scored["prediction"].to_numpy() == pytest.approx(expected)


@pytest.mark.parametrize("as_of", ["", "--as-of event_timestamp"], ids=["online", "as of"])
def test_request_data_that_is_missing_is_named(more, as_of: str) -> None:
    more.run("given = drivers.assign(bonsu=1)")
    before = len(runs_of(more))

    shown = more.fails(f"%feast_score derived --entities given {as_of}")
    assert shown == (
        "FeatureError: no column bonus, which is an entity key or request data; did you mean bonsu?"
    )
    assert len(runs_of(more)) == before


def test_a_missing_key_column_is_named_with_the_nearest(promoted) -> None:
    promoted.run("given = drivers.rename(columns={'driver_id': 'driverid'})")
    before = len(runs_of(promoted))

    assert promoted.fails("%feast_score m/1 --entities given") == (
        "FeatureError: no column driver_id, which is an entity key or request data; did you mean "
        "driverid?"
    )
    assert len(runs_of(promoted)) == before


def test_an_input_that_is_no_feature_is_named_where_it_is_missing(more) -> None:
    assert more.fails("%feast_score keyed --entities drivers").startswith(
        "FeatureError: no column weight, which is an input of the model; "
    )


def test_a_given_feature_is_refused_unless_it_is_preferred(promoted) -> None:
    promoted.run("given = drivers.assign(trips=range(10))")

    assert promoted.fails("%feast_score m/1 --entities given") == (
        "FeatureError: trips is given, and it is a feature (hourly:trips) too; leave it out, or add "
        "--prefer-given to use it as it is."
    )
    scored = promoted.run("%feast_score m/1 --entities given --prefer-given")
    expected = (
        session_of(promoted)
        .load_model("m/1")
        .predict(latest()[["trips", "conv_rate"]].assign(trips=range(10)))
    )
    assert scored["prediction"].tolist() == expected.tolist()
    assert scored["trips"].tolist() == list(range(10))
    assert expected.tolist() != promoted.run("%feast_score m/1 --entities drivers")[
        "prediction"
    ].tolist()  # fmt: skip


@pytest.mark.parametrize("as_of", ["", "--as-of event_timestamp"], ids=["online", "as of"])
def test_a_preferred_column_of_another_type_is_an_error(promoted, as_of: str) -> None:
    promoted.run("given = drivers.assign(trips=[str(i) for i in range(10)])")

    assert promoted.fails(f"%feast_score m/1 --entities given --prefer-given {as_of}") == (
        "FeatureError: trips was int64 in training, and '0' (str) came; the model would take it "
        "for something else."
    )
    assert last_run(promoted).info.status == "FAILED"


def test_a_preferred_column_with_gaps_of_pandas_own_kind_is_used(more) -> None:
    """`Float32` and `Int64` of pandas hold `pd.NA`."""
    more.run(
        "given = drivers.assign(conv_rate=[None] + [0.5] * 9).astype({'conv_rate': 'Float64'})"
    )
    scored = more.run("%feast_score gaps --entities given --prefer-given")
    fed = latest()[["conv_rate", "acc_rate"]].assign(conv_rate=[np.nan] + [0.5] * 9)

    expected = session_of(more).load_model("gaps").predict(fed)
    assert scored["prediction"].to_numpy() == pytest.approx(expected)


# ---------------------------------------------------------------------- batches and no rows


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_any_size_of_batch_gives_the_same(promoted, batch: int) -> None:
    promoted.space["keys"] = pd.DataFrame(
        {"driver_id": [4, 99, 2, 0, 98, 7, 3]}, index=range(7, 0, -1)
    )
    whole = promoted.run(f"%feast_score p --entities keys {ORDER} --with-features")
    first = last_run(promoted)
    parts = promoted.run(f"%feast_score p --entities keys {ORDER} --with-features --batch {batch}")
    second = last_run(promoted)

    pd.testing.assert_frame_equal(parts, whole)
    assert first.info.run_id != second.info.run_id
    assert metrics_of(second) == metrics_of(first)
    assert metrics_of(first) == {"rows": 7.0, "absent": 2.0, "stale": 5.0, "nulls": 6.0}


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_nothing_is_a_usage_error(promoted, batch: int) -> None:
    shown = promoted.fails(f"%feast_score m/1 --entities drivers --batch {batch}")
    assert shown.startswith(f"UsageError: --batch {batch}")
    with pytest.raises(UsageError):
        session_of(promoted).score("m/1", promoted.space["drivers"], batch=batch)


@pytest.mark.parametrize("as_of", ["", "--as-of event_timestamp"], ids=["online", "as of"])
def test_no_rows_give_no_rows(promoted, as_of: str) -> None:
    promoted.run("none = drivers[:0]")
    scored = promoted.run(f"%feast_score m/1 --entities none --with-features {as_of}")

    assert list(scored.columns) == [*promoted.space["drivers"], "trips", "conv_rate", "prediction"]
    assert len(scored) == 0
    run = last_run(promoted)
    assert run.info.status == "FINISHED"
    assert metrics_of(run) == {"rows": 0.0, "absent": 0.0, "stale": 0.0, "nulls": 0.0}


# ---------------------------------------------------------------------- several outputs


def test_several_outputs_are_several_columns(more) -> None:
    scored = more.run("%feast_score two --entities drivers")
    expected = session_of(more).load_model("two").predict(latest()[["trips", "conv_rate"]])

    assert list(scored.columns)[3:] == ["prediction_0", "prediction_1"]
    assert scored[["prediction_0", "prediction_1"]].to_numpy() == pytest.approx(expected)


def test_an_answer_with_names_keeps_them(more) -> None:
    more.run("given = drivers.set_index(drivers.driver_id + 100)")
    scored = more.run("%feast_score table --entities given --columns conv_rate,acc_rate,trips")

    assert list(scored.columns)[3:] == ["prediction_low", "prediction_high"]
    assert scored["prediction_low"].tolist() == (latest()["trips"] - 1.0).tolist()
    assert scored["prediction_high"].tolist() == (latest()["trips"] + 1.0).tolist()


def test_several_outputs_leave_rows_with_gaps_empty(more) -> None:
    more.space["keys"] = pd.DataFrame({"driver_id": [99, 1]})
    scored = more.run("%feast_score two --entities keys")

    outputs = scored[["prediction_0", "prediction_1"]]
    assert outputs.isna().all(axis=1).tolist() == [True, False]


# ---------------------------------------------------------------------- as of a moment


@pytest.fixture
def past(promoted: Any) -> Any:
    """Two moments for each driver, in no order, with a row twice and an index of their own."""
    rows = pd.DataFrame({"driver_id": [*range(10), *range(10)]})
    rows["seen"] = pd.Timestamp("2024-01-03 06:00", tz="UTC") + pd.to_timedelta(
        np.arange(20) * 8, unit="h"
    )
    rows["id"] = range(20)
    rows = pd.concat([rows, rows.iloc[[3, 3]]]).sample(frac=1, random_state=2)
    promoted.space["past"] = rows.set_index(pd.Index(range(100, 100 + 2 * len(rows), 2)))
    return promoted


def test_as_of_scores_each_row_as_it_was_then(past) -> None:
    """Shuffled, with a row three times over, and an index that is not 0, 1, 2…."""
    given = past.space["past"].copy()
    scored = past.run(f"%feast_score p --entities past {ORDER} --as-of seen --with-features")
    order = ["trips", "acc_rate", "conv_rate"]
    then = known_at(given["driver_id"], given["seen"])[order].astype(float)

    pd.testing.assert_frame_equal(scored[list(given.columns)], given)
    assert (scored[order].to_numpy() == then.to_numpy()).all()
    assert len(then.drop_duplicates()) == 20
    model = session_of(past).load_model("p/1")
    assert scored["prediction"].tolist() == model.predict(then.to_numpy()).tolist()
    score = score_of(past)
    assert (score.mode, score.rows, score.absent, score.stale) == ("historical", 22, 0, 0)


@pytest.mark.parametrize("kind", ["naive", "text", "other zone", "dates"])
def test_moments_may_be_written_in_any_way(past, kind: str) -> None:
    """What names no zone is in UTC, as for Feast."""
    given = past.space["past"]
    if kind == "dates":
        given["seen"] = given["seen"].dt.normalize()
    written = {
        "naive": lambda s: s.dt.tz_localize(None),
        "text": lambda s: s.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "other zone": lambda s: s.dt.tz_convert("Asia/Tokyo"),
        "dates": lambda s: s.dt.date,
    }[kind]
    past.space["other"] = given.assign(seen=written(given["seen"]))
    expected = past.run(f"%feast_score p --entities past {ORDER} --as-of seen --with-features")
    found = past.run(f"%feast_score p --entities other {ORDER} --as-of seen --with-features")

    pd.testing.assert_frame_equal(found.drop(columns="seen"), expected.drop(columns="seen"))


def test_as_of_a_moment_before_everything_has_no_features(past, capsys) -> None:
    past.space["past"]["seen"] -= pd.Timedelta(days=400)
    scored = past.run("%feast_score m/1 --entities past --as-of seen --with-features")

    assert len(scored) == 22
    assert scored[["trips", "conv_rate"]].isna().all(axis=None)
    assert scored["prediction"].isna().all()
    assert "22 of 22 rows have gaps, and no prediction" in said(past, capsys)
    assert score_of(past).nulls == {"trips": 22, "conv_rate": 22}


def test_a_column_of_moments_that_is_not_there_is_named(promoted) -> None:
    assert promoted.fails("%feast_score m/1 --entities drivers --as-of event_time") == (
        "FeatureError: no column event_time to score as of; did you mean event_timestamp?"
    )


@pytest.mark.parametrize("values", [["soon"] * 10, list(range(10))], ids=["text", "numbers"])
def test_a_column_that_holds_no_moments_is_refused(promoted, values: list[Any]) -> None:
    """Numbers would be taken for nanoseconds of 1970, and every feature would be missing."""
    promoted.space["given"] = promoted.space["drivers"].assign(seen=values)

    shown = promoted.fails("%feast_score m/1 --entities given --as-of seen")
    assert shown.startswith("FeatureError: ")
    assert "seen" in shown


def test_a_row_without_a_moment_has_no_prediction_and_is_told(promoted, capsys) -> None:
    given = promoted.space["drivers"]
    given.loc[3, "event_timestamp"] = pd.NaT
    scored = promoted.run("%feast_score m/1 --entities drivers --as-of event_timestamp")

    assert scored["prediction"].isna().tolist() == [i == 3 for i in range(10)]
    assert "1 of 10 rows have gaps, and no prediction" in said(promoted, capsys)
    assert score_of(promoted).nulls == {"trips": 1, "conv_rate": 1}


def test_online_and_as_of_exclude_each_other(promoted) -> None:
    assert promoted.fails(
        "%feast_score m/1 --entities drivers --online --as-of event_timestamp"
    ) == ("UsageError: --online and --as-of cannot be used together; choose one.")


# ---------------------------------------------------------------------- the prediction run


def test_the_prediction_run_is_linked_to_the_model_and_its_training(promoted) -> None:
    promoted.run("scored = %feast_score m@champion --entities drivers")
    run = last_run(promoted)
    version = client_of(promoted).get_model_version("m", "1")

    tags = run.data.tags
    assert tags["feast.model_name"] == "m"
    assert tags["feast.model_version"] == "1"
    assert tags["feast.training_run_id"] == version.run_id
    assert tags["feast.project"] == "drivers"
    assert tags["mlflow.runName"] == "score m/1"
    assert "mlflow.parentRunId" not in tags
    assert run.info.status == "FINISHED"
    assert metrics_of(run) == {"rows": 10.0, "absent": 0.0, "stale": 10.0, "nulls": 0.0}
    score = score_of(promoted, run)
    assert (score.model, score.run_id, score.mode) == ("m/1", run.info.run_id, "online")
    assert (score.rows, score.absent, score.stale, score.nulls) == (10, 0, 10, {})
    assert score.fingerprint == tags["feast_nb.fed"]


def test_the_same_rows_fed_have_the_same_fingerprint_and_others_another(promoted) -> None:
    prints = []
    for given in ("drivers", "drivers", "drivers[:9]"):
        promoted.run(f"given = {given}\nscored = %feast_score m/1 --entities given")
        prints.append(score_of(promoted).fingerprint)

    assert prints[0] == prints[1] != prints[2]


def test_the_prediction_run_is_a_child_of_the_open_run(promoted) -> None:
    promoted.run("run = %feast_run nightly")
    promoted.run("scored = %feast_score m/1 --entities drivers")
    promoted.run("%feast_run --end")
    child, parent = runs_of(promoted)[:2]

    assert (parent.info.run_name, child.info.run_name) == ("nightly", "score m/1")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (child.info.status, parent.info.status) == ("FINISHED", "FINISHED")
    assert "feast_nb.rows" not in parent.data.metrics
    assert "feast.model_name" not in parent.data.tags


def test_the_prediction_run_goes_to_the_experiment_named(promoted) -> None:
    before = len(runs_of(promoted))
    promoted.run("scored = %feast_score m/1 --entities drivers --experiment nightly_scores")

    assert [r.info.run_name for r in runs_of(promoted, "nightly_scores")] == ["score m/1"]
    assert len(runs_of(promoted)) == before


def test_a_script_scores_as_a_notebook_does(promoted) -> None:
    book = promoted.run("%feast_score m@champion --entities drivers")
    script = session_of(promoted).score("m@champion", promoted.space["drivers"])

    pd.testing.assert_frame_equal(script, book)
    assert last_run(promoted).data.tags["feast.model_version"] == "1"


# ---------------------------------------------------------------------- absent, null, stale


def serve_now(book: Any, **columns: list[Any]) -> None:
    """Write rows of this very moment to the online store, as a stream would."""
    frame = pd.DataFrame(columns)
    frame["event_timestamp"] = pd.Timestamp.now("UTC")
    frame = frame.astype({"conv_rate": "float32", "acc_rate": "float32", "trips": "Int64"})
    book.space["store"].write_to_online_store("hourly", frame)


def test_absent_null_and_stale_are_told_apart(promoted, capsys) -> None:
    """Fresh, a null, known but old, unknown: each is counted as what it is."""
    serve_now(promoted, driver_id=[1, 2], conv_rate=[0.5, None], acc_rate=[0.5] * 2, trips=[20, 21])
    promoted.space["keys"] = pd.DataFrame({"driver_id": [1, 2, 3, 99]})
    capsys.readouterr()
    scored = promoted.run("%feast_score m/1 --entities keys --with-features")

    assert scored["conv_rate"].isna().tolist() == [False, True, False, True]
    assert scored["trips"].isna().tolist() == [False, False, False, True]
    run = last_run(promoted)
    assert metrics_of(run) == {"rows": 4.0, "absent": 1.0, "stale": 1.0, "nulls": 3.0}
    score = score_of(promoted, run)
    assert (score.absent, score.stale) == (1, 1)
    assert score.nulls == {"trips": 1, "conv_rate": 2}
    told = said(promoted, capsys)
    assert "⚠ 1 of 4 entities have no features: not found in the online store" in told
    assert OLD.format(1, 4) in told
    assert "2 of 4 rows have gaps, and no prediction: the model takes none (" in told
    assert scored["prediction"].isna().tolist() == [False, True, False, True]
    kept = "\n".join(score.notes)
    assert all(line.removeprefix("⚠ ") in kept for line in told.splitlines())


def test_fresh_rows_as_in_training_are_nothing_to_tell(promoted, capsys) -> None:
    now = latest().reset_index()
    serve_now(
        promoted, **{c: now[c].tolist() for c in ("driver_id", "conv_rate", "acc_rate", "trips")}
    )
    capsys.readouterr()
    promoted.run("scored = %feast_score m/1 --entities drivers")

    assert said(promoted, capsys) == ""
    assert metrics_of(last_run(promoted)) == {
        "rows": 10.0,
        "absent": 0.0,
        "stale": 0.0,
        "nulls": 0.0,
    }


def test_an_old_null_is_a_null_and_not_stale(promoted) -> None:
    frame = pd.DataFrame(
        {"driver_id": [1], "event_timestamp": [NOW + timedelta(hours=1)],
         "conv_rate": [None], "acc_rate": [0.5], "trips": [None]}
    ).astype({"conv_rate": "float32", "acc_rate": "float32", "trips": "Int64"})  # fmt: skip
    promoted.space["store"].write_to_online_store("hourly", frame)
    promoted.space["keys"] = pd.DataFrame({"driver_id": [1]})
    promoted.run("scored = %feast_score m/1 --entities keys")

    assert metrics_of(last_run(promoted)) == {
        "rows": 1.0,
        "absent": 0.0,
        "stale": 0.0,
        "nulls": 2.0,
    }


def test_a_model_that_takes_gaps_is_given_them(more, capsys) -> None:
    more.space["keys"] = pd.DataFrame({"driver_id": [1, 99]})
    scored = more.run("%feast_score gaps --entities keys")
    fed = latest()[["conv_rate", "acc_rate"]].loc[[1]]
    fed.loc[99] = np.nan

    expected = session_of(more).load_model("gaps").predict(fed)
    assert scored["prediction"].to_numpy() == pytest.approx(expected)
    assert "no prediction" not in said(more, capsys)


def test_nulls_and_values_unlike_training_are_warned_of(promoted, capsys) -> None:
    serve_now(promoted, driver_id=[1, 2, 3], conv_rate=[None, None, 0.5], acc_rate=[0.5] * 3,
              trips=[20, 21, 7000])  # fmt: skip
    promoted.space["keys"] = pd.DataFrame({"driver_id": [1, 2, 3]})
    capsys.readouterr()
    promoted.run("scored = %feast_score m/1 --entities keys")

    told = said(promoted, capsys)
    assert "conv_rate: 67% are null, in training 0%." in told
    (trips,) = (i for i in session_of(promoted).resolve("m/1").contract.inputs if i.name == "trips")
    assert f"trips: 1 of 3 values lie outside training's {trips.min:g} to {trips.max:g}." in told


FRESH, EPOCH = int(time.time()), 0
YEAR = FRESH - 365 * 86400


def looked_at(trips: list[tuple[int, Any, int]], ages: list[tuple[int, Any, int]]) -> Any:
    """What is made of an answer whose cells are (status, value, seconds)."""
    from feast.online_response import OnlineResponse
    from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
    from feast.protos.feast.types.Value_pb2 import Value
    from google.protobuf.timestamp_pb2 import Timestamp

    from feast_nb.integrations.feast.serving import feature_status

    proto = GetOnlineFeaturesResponse()
    keys = [(1, i, 0) for i in range(len(trips))]
    for name, cells in {"driver_id": keys, "age": ages, "trips": trips}.items():
        proto.metadata.feature_names.val.append(name)
        proto.results.append(
            GetOnlineFeaturesResponse.FeatureVector(
                values=[Value() if v is None else Value(int64_val=v) for _, v, _ in cells],
                statuses=[status for status, _, _ in cells],
                event_timestamps=[Timestamp(seconds=s) for _, _, s in cells],
            )
        )
    came = OnlineResponse(proto).to_dict()
    results = dict(zip(proto.metadata.feature_names.val, proto.results, strict=True))
    codes = feature_status.of_answer(
        {name: (name,) for name in ("trips", "age")},
        {"trips": ("hourly", 3 * 86400.0), "age": ("profile", 0.0)},
        came,
        results,
    )
    return feature_status.names(codes).T.tolist()


PRESENT, NOT_FOUND = 1, 3


def test_what_redis_answers_is_read_right() -> None:
    """It says PRESENT for an entity that it does not know, with a null of 1970."""
    unknown, old_null = (PRESENT, None, EPOCH), (PRESENT, None, YEAR)
    trips, ages = looked_at(
        trips=[(PRESENT, 5, FRESH), unknown, (PRESENT, None, FRESH), (PRESENT, 5, YEAR), old_null,
               unknown],
        ages=[(PRESENT, 30, YEAR), unknown, (PRESENT, 30, YEAR), (PRESENT, 30, YEAR), unknown,
              (PRESENT, 30, YEAR)],
    )  # fmt: skip

    assert trips == ["present", "missing", "null", "expired", "null", "missing"]
    assert ages == ["present", "missing", "present", "present", "missing", "present"]


def test_what_sqlite_answers_is_read_right() -> None:
    unknown = (NOT_FOUND, None, EPOCH)
    trips, ages = looked_at(
        trips=[(PRESENT, 5, FRESH), unknown, (PRESENT, None, FRESH), (PRESENT, 5, YEAR), unknown],
        ages=[(PRESENT, 30, FRESH), unknown, unknown, unknown, (PRESENT, 30, FRESH)],
    )

    assert trips == ["present", "missing", "null", "expired", "missing"]
    assert ages == ["present", "missing", "missing", "missing", "present"]


# ---------------------------------------------------------------------- what changed since


def test_a_feature_of_another_type_breaks_serving_in_every_way(promoted) -> None:
    """`conv_rate` became text, in the registry and in the data; it is materialized anew."""
    from feast import Field
    from feast.types import String

    store = promoted.space["store"]
    source = Path(store.repo_path) / "stats.parquet"
    stats().astype({"conv_rate": "str"}).to_parquet(source)
    view = store.get_feature_view("hourly")
    view.features = [
        Field(name="conv_rate", dtype=String) if f.name == "conv_rate" else f for f in view.features
    ]
    store.apply([view])
    store.materialize(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC))
    before = len(runs_of(promoted))

    for options in ("", "--allow-drift", "--as-of event_timestamp --allow-drift"):
        shown = promoted.fails(f"%feast_score m/1 --entities drivers {options}")
        assert shown.startswith("Drift: m/1 cannot be served: ")
        assert "conv_rate" in shown
        assert "string" in shown
    with pytest.raises(Drift):
        session_of(promoted).vector("m/1", [{"driver_id": 1}], allow_drift=True)
    assert len(runs_of(promoted)) == before


@pytest.mark.parametrize(("change", "shown"), [("half", "0.5 (float)"), ("text", "'x0' (str)")])
def test_data_of_another_type_than_in_training_is_an_error(promoted, change, shown) -> None:
    """The registry says what it said; the source holds something else."""
    source = Path(promoted.space["store"].repo_path) / "stats.parquet"
    frame = stats()
    other = {"half": lambda s: s * 0 + 0.5, "text": lambda s: "x" + (s * 0).astype(str)}
    frame["trips"] = other[change](frame["trips"])
    frame.to_parquet(source)

    said = promoted.fails("%feast_score m/1 --entities drivers --as-of event_timestamp")
    assert said.startswith(f"FeatureError: trips was int64 in training, and {shown} came")
    assert last_run(promoted).info.status == "FAILED"


def test_a_ttl_that_changed_needs_allow_drift(promoted) -> None:
    store = promoted.space["store"]
    view = store.get_feature_view("hourly")
    view.ttl = timedelta(days=100_000)
    store.apply([view])

    shown = promoted.fails("%feast_score m/1 --entities drivers")
    assert shown.startswith("Drift: m/1 was trained on different values: the TTL of hourly")
    scored = promoted.run("%feast_score m/1 --entities drivers --allow-drift")
    assert scored["prediction"].notna().all()
    assert metrics_of(last_run(promoted))["stale"] == 0.0
    session = session_of(promoted)
    with pytest.raises(Drift):
        session.vector("m/1", [{"driver_id": 1}])
    assert session.vector("m/1", [{"driver_id": 1}], allow_drift=True).shape == (1, 2)


@pytest.fixture
def champion(promoted: Any) -> Iterator[Any]:
    """Points m's alias at a version; it is put back."""
    api = client_of(promoted)

    def move(version: int) -> None:
        api.set_registered_model_alias("m", "champion", str(version))

    yield move
    move(1)


def test_an_alias_that_moves_is_followed(promoted, champion) -> None:
    first = promoted.run("%feast_score m@champion --entities drivers --with-features")
    champion(2)
    second = promoted.run("%feast_score m@champion --entities drivers --with-features")

    assert list(first.columns)[3:] == ["trips", "conv_rate", "prediction"]
    assert list(second.columns)[3:] == ["conv_rate", "trips", "acc_rate", "prediction"]
    run = last_run(promoted)
    assert run.data.tags["feast.model_version"] == "2"
    assert score_of(promoted, run).model == "m/2"


def test_an_alias_that_moves_in_the_middle_does_not_mix_two_models(
    promoted, champion, monkeypatch
) -> None:
    """One version's order with another one's coefficients would be silently wrong."""
    from feast_nb.integrations.feast.serving import feature_request

    check = feature_request.check_given

    def moves(*given: Any) -> None:
        check(*given)
        champion(2)

    monkeypatch.setattr(feature_request, "check_given", moves)
    promoted.run("scored = %feast_score m@champion --entities drivers")

    run = last_run(promoted)
    assert score_of(promoted, run).model == f"m/{run.data.tags['feast.model_version']}"


# ---------------------------------------------------------------------- which model


def test_an_unknown_model_is_named_with_those_there_are(promoted) -> None:
    before = len(runs_of(promoted))

    assert promoted.fails("%feast_score nn/1 --entities drivers").startswith(
        "ModelError: no registered model nn; "
    )
    assert promoted.fails("%feast_score m/9 --entities drivers") == (
        "ModelError: no version 9 of m; it has 1–2."
    )
    with pytest.raises(ModelError, match="no registered model nn"):
        session_of(promoted).vector("nn", [{"driver_id": 1}])
    assert len(runs_of(promoted)) == before


def test_a_model_that_never_met_feast_says_so(more) -> None:
    before = len(runs_of(more))

    shown = more.fails("%feast_score stranger --entities drivers")
    assert shown.startswith("ModelError: stranger/1 says nothing of features: ")
    with pytest.raises(ModelError, match="stranger/1 says nothing of features"):
        session_of(more).vector("stranger", [{"driver_id": 1}])
    assert len(runs_of(more)) == before


@pytest.mark.parametrize("as_of", ["", "--as-of event_timestamp"], ids=["online", "as of"])
def test_a_model_that_only_feast_knows_is_scored_by_its_signature(more, capsys, as_of) -> None:
    """Logged without us: Feast's tag names the service, MLflow's signature the inputs."""
    scored = more.run(f"%feast_score tagged --entities drivers --with-features {as_of}")

    assert scored["trips"].tolist() == latest()["trips"].tolist()
    model = session_of(more).load_model("tagged")
    expected = model.predict(latest()[["trips", "acc_rate"]])
    assert scored["prediction"].to_numpy() == pytest.approx(expected)
    assert "its definitions at training are not known" in said(more, capsys)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "m/1 --entities driver",
            "FeatureError: --entities driver: no variable of that name; did you mean",
        ),
        ("m/1 --entities some", "FeatureError: "),
        ("m/1 --entities drivers --into 1st", "UsageError: --into 1st is not a variable name."),
        ("m/1", "UsageError: "),
    ],
)
def test_what_cannot_be_meant_is_one_line(promoted, line: str, shown: str) -> None:
    promoted.run("some = [1, 2, 3]")
    before = len(runs_of(promoted))

    assert promoted.fails(f"%feast_score {line}").startswith(shown)
    assert len(runs_of(promoted)) == before


# ---------------------------------------------------------------------- vector


def test_a_vector_is_in_the_models_order(promoted) -> None:
    session = session_of(promoted)
    before = len(runs_of(promoted))
    order = ["trips", "acc_rate", "conv_rate"]
    array = session.vector("p", [{"driver_id": 7}, {"driver_id": 2}], columns=order)

    assert array.dtype == "float64"
    assert (array == latest()[order].loc[[7, 2]].to_numpy()).all()
    assert session.load_model("p").predict(array).shape == (2,)
    assert len(runs_of(promoted)) == before


def test_a_vector_of_float32_inputs_is_float32(more) -> None:
    assert session_of(more).vector("gaps", [{"driver_id": 1}]).dtype == "float32"


def test_a_vector_of_no_rows_is_as_wide_as_the_model(promoted) -> None:
    assert session_of(promoted).vector("m/1", []).shape == (0, 2)


def test_a_vector_takes_request_data_and_leaves_other_columns_alone(more) -> None:
    rows = [{"driver_id": 3, "bonus": 5, "y": 1}]
    array = session_of(more).vector("derived", rows)

    conv_rate, trips = latest().loc[3, ["conv_rate", "trips"]]
    assert array.tolist() == [[conv_rate, trips * 2 + 5]]
    assert rows == [{"driver_id": 3, "bonus": 5, "y": 1}]


@pytest.mark.parametrize(
    "rows",
    [[{"driverid": 1}], [{}], [{"driver_id": 1}, {}], [{"driverid": 1, "y": 0}],
     [{"driver_id": 1}, {"driverid": 2}]],
)  # fmt: skip
def test_a_vector_without_its_key_is_a_feature_error(promoted, rows) -> None:
    with pytest.raises(FeatureError, match="no column driver_id, which is an entity key"):
        session_of(promoted).vector("m/1", rows)


def test_a_vector_without_request_data_is_a_feature_error(more) -> None:
    with pytest.raises(FeatureError, match="no column bonus"):
        session_of(more).vector("derived", [{"driver_id": 1}])
    with pytest.raises(FeatureError, match="no column weight, which is an input of the model"):
        session_of(more).vector("keyed", [{"driver_id": 1}])


def test_a_vector_refuses_a_given_feature_as_a_score_does(promoted) -> None:
    """It would be passed over in silence."""
    with pytest.raises(FeatureError, match="trips is given, and it is a feature"):
        session_of(promoted).vector("m/1", [{"driver_id": 1, "trips": 3}])


def test_a_vector_follows_the_alias_after_a_minute(promoted, champion, monkeypatch) -> None:
    from feast_nb.session import online_vectors

    session, rows = session_of(promoted), [{"driver_id": 1}]
    assert session.vector("m@champion", rows).shape == (1, 2)
    champion(2)
    assert session.vector("m@champion", rows).shape == (1, 2)

    clock = time.monotonic
    monkeypatch.setattr(online_vectors.time, "monotonic", lambda: clock() + 61)
    expected = latest()[["conv_rate", "trips", "acc_rate"]].loc[[1]].to_numpy()
    assert (session.vector("m@champion", rows) == expected).all()


def test_a_vector_sees_a_change_of_the_registry_at_once(promoted) -> None:
    session, store = session_of(promoted), promoted.space["store"]
    assert session.vector("m/1", [{"driver_id": 1}]).shape == (1, 2)
    view = store.get_feature_view("hourly")
    view.ttl = timedelta(hours=1)
    store.apply([view])

    with pytest.raises(Drift, match="TTL of hourly"):
        session.vector("m/1", [{"driver_id": 1}])


def test_a_vector_serves_what_is_online_now(promoted) -> None:
    session = session_of(promoted)
    session.vector("m/1", [{"driver_id": 1}])
    serve_now(promoted, driver_id=[1], conv_rate=[0.25], acc_rate=[0.5], trips=[33])

    assert session.vector("m/1", [{"driver_id": 1}]).tolist() == [[33.0, 0.25]]


def test_a_prediction_that_is_given_is_never_overwritten(promoted) -> None:
    promoted.space["keys"] = pd.DataFrame({"driver_id": [1], "prediction": [7]})

    assert "the frame already has a column 'prediction'" in promoted.fails(
        "%feast_score m --entities keys"
    )


@pytest.mark.parametrize(
    ("keys", "said"),
    [([1, None], "driver_id is null in 1 of 2 rows"), ([1.0, 1.7], "fractional values")],
)
def test_keys_that_are_none_are_said_before_anything_is_asked(promoted, keys, said) -> None:
    """Feast fails on a null key, and cuts a fraction off: that is another entity."""
    promoted.space["keys"] = pd.DataFrame({"driver_id": keys})

    assert said in promoted.fails("%feast_score m --entities keys")


def test_a_frame_is_no_list_of_dictionaries(promoted) -> None:
    from feast_nb.session import of_store

    session = of_store(promoted.space["store"])
    with pytest.raises(FeatureError, match="to_dict"):
        session.vector("m", pd.DataFrame({"driver_id": [1]}))


def test_a_service_that_means_another_view_by_its_name_breaks_serving(more) -> None:
    """Only the service can say what `origin` is: it is not served as something else."""
    from feast import FeatureService

    store = more.space["store"]
    (renaming,) = [
        s for s in store.list_feature_services()
        if any(p.name_alias for p in s.feature_view_projections)
    ]  # fmt: skip
    versions = store.mlflow.client.search_model_versions()
    (model,) = {v.name for v in versions if v.tags.get("feast.feature_service") == renaming.name}
    assert more.run(f"%feast_resolve {model}").drift == ()
    hourly = store.get_feature_view("hourly")
    swapped = [
        hourly.with_name("origin").with_join_key_map({"driver_id": "target_id"}),
        hourly.with_name("target").with_join_key_map({"driver_id": "elsewhere_id"}),
    ]
    store.apply(FeatureService(name=renaming.name, features=swapped))
    try:
        said = more.fails(f"%feast_resolve {model}")
    finally:
        store.apply(renaming)

    assert "elsewhere_id" in said


def test_models_are_those_of_the_repositorys_server_whatever_run_is_open(
    promoted, tmp_path
) -> None:
    """Another server may have an `m/1` of its own: that one is not loaded.

    Scoring opens a run, and a run of two servers could not be ended: it is refused.
    """
    import mlflow

    from feast_nb.session import of_store

    session = of_store(promoted.space["store"])
    keys = pd.DataFrame({"driver_id": [1, 2]})
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/elsewhere.db")
    with mlflow.start_run():
        model = session.load_model("m/1")
        with pytest.raises(UsageError, match="on another server"):
            session.score("m/1", keys)
        assert mlflow.get_tracking_uri().endswith("elsewhere.db")

    assert list(model.feature_names_in_) == ["trips", "conv_rate"]
