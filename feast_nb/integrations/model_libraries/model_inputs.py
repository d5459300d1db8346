"""What a model says it takes: the names of its inputs in its own order, or how many they are."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .fitted_state import is_fitted
from .flavors import flavor_of

if TYPE_CHECKING:
    import keras
    import lightgbm as lgb
    import xgboost as xgb
    from catboost import CatBoost
    from onnx import ModelProto
    from prophet.forecaster import Prophet
    from sklearn.base import BaseEstimator
    from statsmodels.base.wrapper import ResultsWrapper

# Libraries whose models refuse or misread a frame's names where they know none themselves: they
# were given an array.
BY_POSITION = ("catboost", "xgboost", "lightgbm", "tensorflow", "keras", "pytorch", "onnx")
# What was fitted inside a search or around a target, and knows the names that its owner does not.
_INNER = ("best_estimator_", "estimator_", "regressor_", "classifier_")


@dataclass(frozen=True)
class Inputs:
    """What a model says it takes: names in order where it knows them, else how many."""

    names: tuple[str, ...] | None = None
    width: int | None = None


def inputs_of(model: object) -> Inputs:
    """The names of a model's inputs, in its own order, or their number."""
    if not takes_rows(model):
        return Inputs()
    flavor = flavor_of(model)
    found = _NAMES.get(flavor or "", _sklearn_names)
    names = found(model) if flavor is not None else None
    if names is not None and len(names):
        return Inputs(tuple(str(n) for n in names), len(names))
    return Inputs(None, _width(model) if flavor is not None else None)


def takes_rows(model: object) -> bool:
    """Whether a model is asked by rows of inputs.

    A forecaster goes on with the series that it was fitted on: MLflow asks it for so many periods,
    or from a start to an end, and what its `fit` was given are no inputs.
    """
    flavor = flavor_of(model)
    if flavor == "statsmodels":
        series = getattr(sys.modules.get("statsmodels.tsa.base.tsa_model"), "TimeSeriesModel", None)
        return series is None or not isinstance(getattr(model, "model", None), series)
    return flavor != "pmdarima"


def _sklearn_names(model: object, depth: int = 3) -> Sequence[str] | None:
    """What scikit-learn keeps, less what a `ColumnTransformer` at the start leaves out."""
    names = getattr(model, "feature_names_in_", None)
    if names is not None and len(names):
        return _of_column_transformer(model, list(names))
    for part in _INNER if depth else ():
        inner = getattr(model, part, None)
        if inner is not None and (kind := flavor_of(inner)) is not None:
            if kind == "sklearn":
                return _sklearn_names(inner, depth - 1)
            return inputs_of(inner).names
    return None


def _of_column_transformer(model: BaseEstimator, names: list[str]) -> list[str]:
    """A transformer of columns takes by name only those that one of its parts takes."""
    first = model
    for _ in range(8):
        if hasattr(first, "best_estimator_"):
            first = first.best_estimator_
        elif getattr(first, "steps", None):
            first = first.steps[0][1]
    taken = getattr(first, "_transformer_to_input_indices", None)
    if not taken or not hasattr(first, "transformers_"):
        return names
    left_out = {name for name, part, _ in first.transformers_ if _drops(part)}
    places = {n for name, found in taken.items() if name not in left_out for n in found}
    own = list(getattr(first, "feature_names_in_", names))
    return [n for place, n in enumerate(own) if place in places]


def _drops(part: object) -> bool:
    return isinstance(part, str) and part == "drop"


def _lightgbm_names(model: lgb.LGBMModel | lgb.Booster) -> Sequence[str] | None:
    """LightGBM names the columns of a bare array itself: those are nobody's."""
    if hasattr(model, "get_params") and not is_fitted(model):
        return None
    names = model.feature_name() if callable(getattr(model, "feature_name", None)) else None
    names = names or model.feature_name_
    made_up = all(n == f"Column_{i}" for i, n in enumerate(names))
    return None if made_up else list(names)


def _xgboost_names(model: xgb.XGBModel | xgb.Booster) -> Sequence[str] | None:
    if hasattr(model, "get_params"):
        return getattr(model, "feature_names_in_", None)
    names: Sequence[str] | None = model.feature_names  # None for a booster of an array
    return names


def _catboost_names(model: CatBoost) -> Sequence[str] | None:
    """CatBoost numbers the columns of a bare array."""
    names = model.feature_names_ if is_fitted(model) else None
    return None if not names or list(names) == [str(i) for i in range(len(names))] else names


def _statsmodels_names(results: ResultsWrapper) -> Sequence[str] | None:
    """The columns of the frame that was fitted; of a formula, the variables that it names.

    An array's columns are called `x1`, `const`: nobody's.
    """
    data = results.model.data
    frame = getattr(data, "frame", None)
    formula = getattr(results.model, "formula", None)
    if isinstance(formula, str) and frame is not None:
        named = set(re.findall(r"[^\W\d]\w*", formula.partition("~")[2]))
        return [str(c) for c in frame.columns if str(c) in named]
    if not hasattr(getattr(data, "orig_exog", None), "columns"):
        return None
    names: Sequence[str] | None = results.model.exog_names
    return names


def _prophet_names(model: Prophet) -> Sequence[str]:
    return ["ds", *model.extra_regressors]


def _onnx_names(graph: ModelProto) -> Sequence[str] | None:
    """A graph of one column to each input has names; one tensor of several has none."""
    inputs = _onnx_inputs(graph)
    one_each = all(width == 1 for _, width in inputs)
    return [name for name, _ in inputs] if len(inputs) > 1 and one_each else None


def _onnx_inputs(graph: ModelProto) -> list[tuple[str, int | None]]:
    found = []
    weights = {w.name for w in graph.graph.initializer}
    for one in graph.graph.input:
        if one.name not in weights:
            sizes = [d.dim_value for d in one.type.tensor_type.shape.dim]
            found.append((one.name, sizes[1] if len(sizes) > 1 and sizes[1] else None))
    return found


def _keras_names(model: keras.Model) -> Sequence[str] | None:
    """A functional model of one column to each input has names."""
    with contextlib.suppress(AttributeError, ValueError):  # one that was never built
        inputs = list(model.inputs)
        if len(inputs) > 1 and all(tuple(i.shape)[1:] == (1,) for i in inputs):
            return [str(i.name).partition(":")[0] for i in inputs]
    return None


def _no_names(model: object) -> None:
    """Of this kind none keeps any."""


_NAMES: dict[str, Callable[[Any], Sequence[str] | None]] = {
    "lightgbm": _lightgbm_names,
    "xgboost": _xgboost_names,
    "catboost": _catboost_names,
    "statsmodels": _statsmodels_names,
    "prophet": _prophet_names,
    "onnx": _onnx_names,
    "keras": _keras_names,
    "tensorflow": _keras_names,
    "spacy": _no_names,
    "pytorch": _no_names,
    "transformers": _no_names,
    "sentence_transformers": _no_names,
}


def _width(model: Any) -> int | None:
    if flavor_of(model) == "onnx":
        inputs = _onnx_inputs(model)
        return inputs[0][1] if len(inputs) == 1 else None
    for name in ("n_features_in_", "num_features", "num_feature"):
        found = getattr(model, name, None)
        found = found() if callable(found) else found
        if isinstance(found, int):
            return found
    if flavor_of(model) in ("keras", "tensorflow"):
        with contextlib.suppress(AttributeError, ValueError, TypeError, IndexError):
            shape = tuple(model.inputs[0].shape)
            return int(shape[1]) if len(model.inputs) == 1 and len(shape) == 2 else None
    if flavor_of(model) == "catboost" and is_fitted(model):
        return len(model.feature_names_)
    return None
