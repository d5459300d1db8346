"""A prediction: what a model says as MLflow asks it, as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ... import frames
from ...errors import ModelError, brief

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from mlflow.pyfunc import PyFuncModel


def _asked(model: PyFuncModel, fed: object, signed: bool) -> Any:
    """What predicts: past a signature that knows categories as texts, and no zones of moments."""
    if signed and (frames.has_categories(fed) or frames.has_zones(fed)):
        raw = model.get_raw_model()
        return raw if hasattr(raw, "get_params") else model
    return model


def predict(model: PyFuncModel, fed: Any, named: bool) -> dict[str, npt.NDArray[np.generic]]:
    """Column → values of a model's answer to a frame; `prediction` where there is one.

    A model that was fitted on a bare array gets one (`named` is false), unless its signature has
    names: MLflow then asks for them.
    """
    import warnings

    import numpy as np
    import pandas as pd
    from mlflow.exceptions import MlflowException

    signature = getattr(model.metadata, "signature", None)
    inputs = getattr(signature, "inputs", None)
    by_name = inputs is not None and inputs.has_input_names()
    if inputs is not None and inputs.is_tensor_spec():
        kind = inputs.input_types()[0]
        fed = fed.to_numpy(dtype=kind) if not by_name else fed
    elif not named and not by_name:
        fed = fed.to_numpy()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*feature names.*")
            warnings.filterwarnings("ignore", message=".*integer column.*")
            answer = _asked(model, fed, by_name).predict(fed)
    except MlflowException as problem:
        text = brief(problem, 300)
        raise ModelError(f"the model rejected its input: {text}") from problem
    if isinstance(answer, pd.DataFrame):
        if len(answer.columns) == 1:
            return {"prediction": answer.iloc[:, 0].to_numpy()}
        return {f"prediction_{name}": answer[name].to_numpy() for name in answer.columns}
    if isinstance(answer, dict):
        return {f"prediction_{name}": np.asarray(values) for name, values in answer.items()}
    array = np.asarray(answer)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1:
        return {"prediction": array}
    flat = array.reshape(len(array), -1)
    return {f"prediction_{i}": flat[:, i] for i in range(flat.shape[1])}
