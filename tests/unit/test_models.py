"""Which model a cell made, whether it is trained, and what it takes."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from feast_nb.errors import ModelError
from feast_nb.integrations.model_libraries.fitted_state import is_fitted
from feast_nb.integrations.model_libraries.flavors import flavor_named, flavor_of
from feast_nb.integrations.model_libraries.model_inputs import Inputs, inputs_of
from feast_nb.integrations.model_libraries.variables import ModelVariables, holds
from feast_nb.session import made_models, models

X = pd.DataFrame({"b": [0.0, 1, 2, 3] * 6, "a": [1.0, 0, 1, 0] * 6})
Y = pd.Series([0, 1, 0, 1] * 6)
QUIET = {"verbose": -1, "n_jobs": 1, "min_child_samples": 1}


def linear() -> Any:
    return LinearRegression().fit(X, Y)


def forest(values: Any = X) -> Any:
    return lightgbm.LGBMRegressor(n_estimators=2, **QUIET).fit(values, Y)


def trees(values: Any = X) -> Any:
    return xgboost.XGBRegressor(n_estimators=2, n_jobs=1).fit(values, Y)


def booster(values: Any = X) -> Any:
    return xgboost.train({"nthread": 1}, xgboost.DMatrix(values, Y), 2)


def light_booster(values: Any = X) -> Any:
    data = lightgbm.Dataset(values, Y)
    return lightgbm.train({"verbose": -1, "num_threads": 1, "min_data_in_leaf": 1}, data, 2)


class Cell:
    """A namespace, and what a cell made of it."""

    def __init__(self, **space: Any) -> None:
        self.space = space
        self.before = ModelVariables(space)

    def run(self, source: str) -> list[str]:
        exec(source, {**globals()}, self.space)
        return [m.variable or "" for m in made_models.found(self.space, self.before, [])]


# ---------------------------------------------------------------------- candidates


def test_the_model_that_a_cell_binds_is_the_one() -> None:
    assert Cell().run("model = linear()") == ["model"]


def test_a_model_from_before_is_not_this_cells() -> None:
    assert Cell(old=linear()).run("model = linear(); old.predict(X)") == ["model"]


def test_a_model_that_the_cell_trains_is_this_cells() -> None:
    assert Cell(model=LinearRegression()).run("model.fit(X, Y)") == ["model"]


def test_a_model_rebound_to_itself_is_not_new() -> None:
    assert Cell(model=linear()).run("model = model") == []


def test_a_model_that_is_not_trained_is_none() -> None:
    assert Cell().run("model = LinearRegression()") == []


def test_what_cannot_predict_is_none() -> None:
    assert Cell(scaler=StandardScaler(), pca=PCA(1)).run("scaler.fit(X); pca.fit(X)") == []


def test_names_with_an_underscore_are_nobodys() -> None:
    assert Cell().run("_model = linear()") == []


def test_a_class_is_no_model() -> None:
    assert Cell().run("model = LinearRegression") == []


def test_two_names_of_one_model_are_one_candidate() -> None:
    assert Cell().run("model = best = linear()") == ["model"]


def test_a_step_of_a_pipeline_is_no_candidate() -> None:
    source = "step = LinearRegression(); model = make_pipeline(StandardScaler(), step).fit(X, Y)"

    assert Cell().run(source) == ["model"]


def test_the_best_of_a_search_is_no_candidate() -> None:
    source = (
        "search = GridSearchCV(LogisticRegression(), {'C': [1.0]}, cv=2).fit(X, Y)\n"
        "best = search.best_estimator_"
    )

    assert Cell().run(source) == ["search"]


def test_the_booster_of_a_model_is_no_candidate() -> None:
    assert Cell().run("model = trees(); raw = model.get_booster()") == ["model"]
    assert Cell().run("model = forest(); raw = model.booster_") == ["model"]


def test_two_models_are_a_question() -> None:
    cell = Cell()

    assert cell.run("one = linear(); two = trees()") == ["one", "two"]
    found = made_models.found(cell.space, cell.before, [])
    assert str(made_models.question(found, "best", ["champion"])) == (
        "this cell made 2 models (one, two); say which with --model, or log one now without "
        "training again: %feast_log two --register best --alias champion"
    )


def test_models_in_a_loop_leave_the_last_one() -> None:
    assert Cell().run("for C in (1.0, 2.0):\n    model = LogisticRegression(C=C).fit(X, Y)") == [
        "model"
    ]


class Odd:
    """A proxy that cannot say what it is: Werkzeug's and Django's are such outside a request."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("outside of a request")


class Rude:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize("kind", [Odd, Rude])
def test_an_object_of_the_user_never_gets_in_the_way(kind: Any) -> None:
    """The namespace is looked through before the cell runs: an error here costs the training."""
    cell = Cell(thing=kind())

    assert cell.run("model = linear()") == ["model"]


# ---------------------------------------------------------------------- containment


def test_a_model_in_a_list_or_dictionary_of_another_is_held() -> None:
    inner, outer = linear(), linear()
    outer.members_ = [{"first": (inner,)}]

    assert holds(outer, inner)
    assert not holds(inner, outer)


def test_containment_ends_in_a_circle() -> None:
    one, other = linear(), linear()
    one.friend_, other.friend_ = other, one

    assert holds(one, other)
    assert not holds(one, linear())


# ---------------------------------------------------------------------- flavours


@pytest.mark.parametrize(
    ("make", "flavor"),
    [(linear, "sklearn"), (trees, "xgboost"), (booster, "xgboost"), (forest, "lightgbm"),
     (light_booster, "lightgbm"), (lambda: make_pipeline(trees()), "sklearn"),
     (lambda: 3, None), (lambda: X, None), (lambda: "model", None)],
)  # fmt: skip
def test_flavours(make: Any, flavor: str | None) -> None:
    assert flavor_of(make()) == flavor


def test_a_flavour_that_is_not_known_is_told_with_the_nearest() -> None:
    assert flavor_named("sklearn") == "sklearn"
    with pytest.raises(ModelError, match=r"no flavour sklern; did you mean sklearn\?"):
        flavor_named("sklern")


@pytest.mark.parametrize(
    "make",
    [LinearRegression, xgboost.XGBRegressor, lightgbm.LGBMRegressor,
     lambda: Pipeline([("s", StandardScaler()), ("m", LinearRegression())]),
     lambda: GridSearchCV(LogisticRegression(), {"C": [1.0]})],
)  # fmt: skip
def test_what_was_never_trained_is_not_fitted(make: Any) -> None:
    assert not is_fitted(make())


@pytest.mark.parametrize("make", [linear, trees, booster, forest, light_booster])
def test_what_was_trained_is_fitted(make: Any) -> None:
    assert is_fitted(make())


# ---------------------------------------------------------------------- inputs


@pytest.mark.parametrize(
    "make",
    [linear, trees, booster, forest, light_booster,
     lambda: make_pipeline(StandardScaler(), LinearRegression()).fit(X, Y),
     lambda: GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2).fit(X, Y)],
    ids=["linear", "xgboost", "booster", "lightgbm", "light booster", "pipeline", "search"],
)  # fmt: skip
def test_a_model_of_a_frame_knows_its_columns_in_their_order(make: Any) -> None:
    assert inputs_of(make()) == Inputs(("b", "a"), 2)


@pytest.mark.parametrize(
    "make",
    [lambda x: LinearRegression().fit(x, Y), trees, booster, forest, light_booster],
    ids=["linear", "xgboost", "booster", "lightgbm", "light booster"],
)
def test_a_model_of_an_array_knows_only_their_number(make: Any) -> None:
    assert inputs_of(make(X.to_numpy())) == Inputs(None, 2)


def test_a_model_that_tells_nothing_is_asked_no_more() -> None:
    assert inputs_of(object()) == Inputs()


def test_features_that_are_truly_called_f0_are_known() -> None:
    """Only a bare array has names that a library made up."""
    assert inputs_of(LinearRegression().fit(X.set_axis(["f0", "f1"], axis=1), Y)).names == (
        "f0", "f1",
    )  # fmt: skip


# ---------------------------------------------------------------------- examples and names


def test_an_example_has_the_models_columns_in_its_order() -> None:
    frame = X.assign(y=Y)[["y", "a", "b"]]
    found = models.example(("b", "a"), ["no frame", X[["a"]], frame])

    assert list(found.columns) == ["b", "a"]
    assert len(found) == len(X)


@pytest.mark.parametrize("at_hand", [[], [X[["a"]]], [X.iloc[:0]], [np.zeros((2, 2))]])
def test_without_a_fitting_frame_there_is_no_example(at_hand: list[Any]) -> None:
    assert models.example(("b", "a"), at_hand) is None


def test_a_variable_that_is_not_there_is_told_with_the_nearest_model() -> None:
    space = {"model": linear(), "module": 3, "_m": linear()}

    assert made_models.named(space, "model") is space["model"]
    with pytest.raises(ModelError, match=r"no variable modl; did you mean model\?"):
        made_models.named(space, "modl")
    with pytest.raises(ModelError, match="no variable x; no model is here"):
        made_models.named({"_m": linear()}, "x")
