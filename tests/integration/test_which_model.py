"""Which model a cell made, in which order it takes its inputs, and which run is its own."""

from __future__ import annotations

import pytest

TRAIN = "%%feast_train v1 --service activity --entity-df drivers"
FITS = """
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
import mlflow
X, y = training_df[["trips", "acc_rate"]], training_df["y"]
"""


@pytest.fixture
def book(notebook, repo, drivers):
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    return notebook


def registered(client, name: str) -> object:
    import mlflow

    version = max(client.search_model_versions(f"name = '{name}'"), key=lambda v: int(v.version))
    return mlflow.sklearn.load_model(f"models:/{name}/{version.version}")


@pytest.mark.parametrize(
    "code",
    ["%time model = LinearRegression().fit(X, y)",
     "def f():\n    global model\n    model = LinearRegression().fit(X, y)\nf()",
     "if (model := LinearRegression().fit(X, y)): pass",
     "model, _n = LinearRegression().fit(X, y), 1",
     "import types\nkept = types.SimpleNamespace()\nkept.model = LinearRegression().fit(X, y)",
     "known.fit(X, y)"],
    ids=["time", "global", "walrus", "tuple", "attribute", "second fit"],
)  # fmt: skip
def test_two_models_are_a_question_however_they_are_bound(book, client, code) -> None:
    book.run("from sklearn.linear_model import LinearRegression\nimport numpy as np")
    book.run("known = LinearRegression().fit(np.eye(6, 2), range(6))")

    said = book.fails(
        TRAIN + " --register best --alias champion" + FITS + "floor = DummyRegressor().fit(X, y)\n"
        + code
    )  # fmt: skip

    assert "this cell made 2 models" in str(said)
    assert "--register best --alias champion" in str(said)
    assert not client.search_registered_models()


def test_the_model_named_is_registered_not_the_last_that_was_logged(book, client) -> None:
    book.run(
        TRAIN + " --register best --alias champion --model best" + FITS
        + "for alpha in (1.0, 1e6):\n"
        "    with mlflow.start_run(nested=True):\n"
        "        mlflow.sklearn.log_model(Ridge(alpha).fit(X, y), name='trial')\n"
        "best = Ridge(0.5).fit(X, y)"
    )  # fmt: skip

    assert registered(client, "best").alpha == 0.5


def test_what_autolog_logged_of_the_model_named_is_registered(book, client) -> None:
    try:
        summary = book.run(
            TRAIN + " --register best --model good" + FITS + "mlflow.sklearn.autolog(silent=True)\n"
            "good = Ridge(1.0).fit(X, y)\nworse = Ridge(1e9).fit(X, y)"
        )
    finally:
        book.run("mlflow.sklearn.autolog(disable=True)")

    assert registered(client, "best").alpha == 1.0
    assert len(summary.models) == 2  # not logged once more


def test_a_transformer_beside_a_predictor_is_no_candidate(book, client) -> None:
    book.run(
        TRAIN + " --register one" + FITS
        + "from sklearn.preprocessing import StandardScaler\n"
        "scaler = StandardScaler().fit(X)\n"
        "mlflow.sklearn.log_model(scaler, name='scaler')\n"
        "model = LinearRegression().fit(X, y)"
    )  # fmt: skip

    assert type(registered(client, "one")).__name__ == "LinearRegression"


def test_a_model_is_logged_to_the_run_that_made_it(book, client) -> None:
    """Though another training came since, of the same columns."""
    first = book.run(TRAIN + FITS + "big = LinearRegression().fit(X, y)")
    book.space["drivers"] = book.space["drivers"].head(3)
    book.run(TRAIN + FITS + "small = LinearRegression().fit(X, y)")
    logged = book.run("%feast_log big --register chosen")

    assert client.get_model_version("chosen", "1").run_id == first.run.id
    assert logged.contract.retrievals == (first.retrievals[0].id,)


OWN = """
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
class Ratio(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        A = np.c_[np.ones(len(X)), np.asarray(X, float)]
        self.c_ = np.linalg.lstsq(A, np.asarray(y, float), rcond=None)[0]
        return self
    def predict(self, X):
        return np.c_[np.ones(len(X)), np.asarray(X, float)] @ self.c_
"""


@pytest.mark.parametrize(
    ("fit", "order"),
    [("Ratio().fit(X, y)", "frame"), ("Ratio().fit(X.to_numpy(), y)", "array"),
     ("GridSearchCV(Ratio(), {}, cv=2).fit(X, y)", "frame")],
)  # fmt: skip
def test_an_estimator_without_names_takes_what_its_fit_was_given(book, fit, order) -> None:
    book.run(OWN + "from sklearn.model_selection import GridSearchCV")
    summary = book.run(TRAIN + FITS + f"model = {fit}")

    (model,) = summary.models
    assert model.contract.order == order
    assert [i.ref for i in model.contract.inputs] == ["hourly:trips", "hourly:acc_rate"]


def test_a_name_that_mlflow_refuses_is_told_before_the_training(book, client) -> None:
    for name in ("team/ride", "a@b", "it's", "m-0123456789abcdef0123456789abcdef"):
        said = book.fails(f'{TRAIN} --register "{name}"\nran = True')
        assert "is not a valid model name" in str(said)
    assert "ran" not in book.space


def test_a_lambda_is_kept_by_cloudpickle_with_a_word(book) -> None:
    with pytest.warns(UserWarning, match="it is kept by cloudpickle"):
        summary = book.run(
            TRAIN + FITS + "from sklearn.pipeline import make_pipeline\n"
            "from sklearn.preprocessing import FunctionTransformer\n"
            "model = make_pipeline(FunctionTransformer(lambda f: f * 2), LinearRegression())"
            ".fit(X, y)"
        )

    assert summary.models


def test_a_run_left_open_inside_is_ended_with_the_cell(book, client) -> None:
    import mlflow

    book.fails(TRAIN + FITS + "child = mlflow.start_run(nested=True)\nraise ValueError('boom')")

    assert mlflow.active_run() is None
    assert client.get_run(book.space["child"].info.run_id).info.status == "FAILED"


def test_a_run_that_the_cell_ended_keeps_its_status(book, client) -> None:
    summary = book.run(TRAIN + FITS + "mlflow.end_run('FAILED')")

    assert client.get_run(summary.run.id).info.status == "FAILED"


def test_a_functions_own_variable_can_be_logged(book, client) -> None:
    book.run(
        "def train():\n"
        "    from sklearn.linear_model import LinearRegression\n"
        "    %feast_run inner\n"
        "    frame = store.get_historical_features(\n"
        "        drivers, store.get_feature_service('activity')).to_df()\n"
        "    own = LinearRegression().fit(frame[['trips']], frame['y'])\n"
        "    %feast_log own --register m\n"
        "    %feast_run --end\n"
        "train()"
    )

    assert registered(client, "m").n_features_in_ == 1


def test_a_scoring_in_the_same_cell_did_not_make_the_model(book, client) -> None:
    """The one run that the cell begins only predicts: the model belongs to the last training."""
    first = book.run(TRAIN + " --register m" + FITS + "model = LinearRegression().fit(X, y)")
    book.run(
        "frame = training_df[['trips']]\nother = LinearRegression().fit(frame, training_df['y'])\n"
        "scored = %feast_score m --entities drivers --as-of event_timestamp"
    )
    logged = book.run("%feast_log other")

    assert logged.run_id == first.run.id


def test_each_run_of_a_loop_is_linked_to_its_own_retrieval(book, client) -> None:
    book.run(
        "from sklearn.linear_model import LinearRegression\nimport mlflow\n"
        "for i, refs in enumerate((['hourly:trips', 'hourly:acc_rate'], "
        "['hourly:conv_rate', 'hourly:trips'])):\n"
        "    cols = [r.split(':')[1] for r in refs]\n"
        "    with store.mlflow.start_run(run_name=f'loop{i}'):\n"
        "        df = store.get_historical_features(drivers, refs).to_df()\n"
        "        model = LinearRegression().fit(df[cols].to_numpy(), df['y'])\n"
        "        mlflow.sklearn.log_model(model, name='model', registered_model_name=f'm{i}')"
    )

    for i, refs in enumerate(("hourly:trips,hourly:acc_rate", "hourly:conv_rate,hourly:trips")):
        run = client.get_run(client.get_model_version(f"m{i}", "1").run_id)
        assert run.data.tags["feast.feature_refs"] == refs
        assert run.data.tags["feast.feature_count"] == "2"


def test_of_two_runs_in_a_cell_each_has_its_own_frame(book, client) -> None:
    book.run(
        "one = store.get_historical_features(drivers, ['hourly:trips']).to_df()\n"
        "two = store.get_historical_features(drivers, ['hourly:acc_rate']).to_df()"
    )
    book.run(
        "import mlflow\n"
        "with store.mlflow.start_run(run_name='a') as a:\n    mlflow.log_metric('n', len(one))\n"
        "with store.mlflow.start_run(run_name='b') as b:\n    mlflow.log_metric('n', len(two))"
    )

    for name, refs in (("a", "hourly:trips"), ("b", "hourly:acc_rate")):
        run = client.get_run(book.space[name].info.run_id)
        assert run.data.tags["feast.feature_refs"] == refs


CITIES = """
import numpy as np, pandas as pd
drivers["city"] = np.where(drivers.index % 2, "Bonn", "Köln")
drivers["good"] = drivers.index % 2
where = drivers[["driver_id", "event_timestamp"]].head(3)
where["city"] = ["Köln", "Bonn", "Aachen"]
"""


@pytest.mark.parametrize(
    "fit",
    ["import lightgbm\nmodel = lightgbm.LGBMClassifier(n_estimators=5, min_child_samples=1, "
     "min_data_in_bin=1, verbose=-1).fit(X, y)",
     "import xgboost\nmodel = xgboost.XGBClassifier(n_estimators=5, enable_categorical=True)"
     ".fit(X, y)"],
    ids=["lightgbm", "xgboost"],
)  # fmt: skip
def test_categories_are_given_as_they_were_in_training(book, fit: str) -> None:
    book.run(CITIES)
    book.run(
        TRAIN + " --register cat\n"
        "X, y = training_df[['trips', 'city']].astype({'city': 'category'}), training_df['good']\n"
        + fit
    )

    scored = book.run("%feast_score cat --entities where --as-of event_timestamp --with-features")

    kind = book.space["X"]["city"].dtype
    fed = scored[["trips", "city"]].astype({"city": kind})
    assert scored["prediction"].tolist() == list(book.space["model"].predict(fed))
    assert "1 of 3 values ('Aachen', say) are no category of" in book.shown[-1]["text/plain"]


def test_a_transformer_of_columns_needs_what_it_takes_by_name(book) -> None:
    book.run(CITIES)
    summary = book.run(
        TRAIN + " --register ct --target good\n"
        "from sklearn.compose import ColumnTransformer\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import OneHotEncoder, StandardScaler\n"
        "parts = [('n', StandardScaler(), ['trips']), ('c', OneHotEncoder(), ['city'])]\n"
        "model = make_pipeline(ColumnTransformer(parts), LogisticRegression())\n"
        "model.fit(training_df, training_df['good'])"
    )

    assert {i.name for i in summary.models[0].contract.inputs} == {"trips", "city"}
    book.run("where = where[:2]")
    assert len(book.run("%feast_score ct --entities where --as-of event_timestamp")) == 2


def test_a_model_that_takes_its_target_is_told(book) -> None:
    summary = book.run(
        "%%feast_train v1 --service activity --entity-df drivers --target y\n"
        "from sklearn.linear_model import LinearRegression\n"
        "model = LinearRegression().fit(training_df[['trips', 'y']], training_df['y'])"
    )

    assert "model takes y, the target, as an input" in " ".join(summary.warnings)


@pytest.mark.parametrize("kind", ["float64", "float32", "int32"])
def test_what_the_cell_made_another_number_is_given_as_that(book, kind: str) -> None:
    """MLflow refuses the whole numbers of a feature whose floats the model was trained on."""
    book.run(
        TRAIN + " --register cast" + FITS
        + f"X = X.astype({{'trips': '{kind}'}})\nmodel = LinearRegression().fit(X, y)"
    )  # fmt: skip

    scored = book.run(
        "%feast_score cast --entities drivers --as-of event_timestamp --with-features"
    )
    fed = scored[["trips", "acc_rate"]]
    assert fed["trips"].dtype == kind
    assert scored["prediction"].tolist() == pytest.approx(list(book.space["model"].predict(fed)))
