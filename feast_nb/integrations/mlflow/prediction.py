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

    from mlflow.exceptions import MlflowException

    signature = getattr(model.metadata, "signature", None)
    inputs = getattr(signature, "inputs", None)
    by_name = inputs is not None and inputs.has_input_names()
    if inputs is not None and inputs.is_tensor_spec():
        kind = inputs.input_types()[0]
        fed = fed.to_numpy(dtype=kind) if not by_name else fed
    elif inputs is not None and not by_name and len(fed.columns) == len(inputs.inputs) == 1:
        fed = fed.iloc[:, 0].tolist()  # of texts, say, which have no column
    elif not named and not by_name:
        fed = fed.to_numpy()
    places = None
    try:
        if "prophet" in model.metadata.flavors and "ds" in getattr(fed, "columns", ()):
            fed, places = _in_time(fed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*feature names.*")
            warnings.filterwarnings("ignore", message=".*integer column.*")
            answer = _asked(model, fed, by_name).predict(fed)
    except MlflowException as problem:
        raise ModelError(f"the model rejected its input: {_reason(problem)}") from problem
    except Exception as problem:  # of whatever library, or the user's own
        text = f"{type(problem).__name__}: {brief(problem, 300)}"
        raise ModelError(
            f"the model failed on its input ({text}); ask it in its own library, as "
            "session.load_model gives it."
        ) from problem
    found = _columns(answer)
    for values in found.values():
        if len(values) != len(fed):
            raise ModelError(
                f"the model does not answer row by row ({len(fed):,} asked, {len(values):,} "
                "answered); ask it in its own library, as session.load_model gives it."
            )
    return found if places is None else {name: found[name][places] for name in found}


def _in_time(fed: Any) -> tuple[Any, Any]:
    """Rows as Prophet answers them, by moments without a zone, and each one's place among them."""
    import numpy as np
    import pandas as pd

    moments = pd.to_datetime(fed["ds"])
    if moments.dt.tz is not None:
        moments = moments.dt.tz_convert(None)
    order = np.argsort(moments.to_numpy(), kind="stable")
    return fed.assign(ds=moments).iloc[order].reset_index(drop=True), np.argsort(order)


def _reason(problem: Exception) -> str:
    """Why MLflow refuses; before it, a schema's refusal shows the whole frame."""
    text = str(problem)
    if text.startswith("Failed to enforce schema"):
        text = text.rpartition(" Error: ")[2]
    return brief(text, 300)


def _columns(answer: Any) -> dict[str, Any]:
    """Column → values of what a model said."""
    import pandas as pd

    if isinstance(answer, pd.DataFrame):
        if len(answer.columns) == 1:
            return {"prediction": answer.iloc[:, 0].to_numpy()}
        return {f"prediction_{name}": answer[name].to_numpy() for name in answer.columns}
    if isinstance(answer, dict):
        return {f"prediction_{name}": _array(values) for name, values in answer.items()}
    array = _array(answer)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1:
        return {"prediction": array}
    flat = array.reshape(len(array), -1)
    return {f"prediction_{i}": flat[:, i] for i in range(flat.shape[1])}


def _array(values: Any) -> Any:
    """An array of at least one dimension; of lists of several lengths, one of lists."""
    import numpy as np

    try:
        return np.atleast_1d(np.asarray(values))
    except ValueError:
        found = np.empty(len(values), dtype=object)
        found[:] = list(values)
        return found
