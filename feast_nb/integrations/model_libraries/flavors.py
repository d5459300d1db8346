"""MLflow's flavours that a notebook's models are logged with."""

from __future__ import annotations

import importlib
import importlib.util
import sys

from ...errors import ModelError, nearest

# Flavour → (the module that defines its classes, those classes); the first that fits wins, so the
# particular stand before the general. Looked up in `sys.modules`: a model of a library that was
# never imported cannot exist.
FLAVORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pyfunc": ("mlflow.pyfunc.model", ("PythonModel",)),
    "catboost": ("catboost", ("CatBoost",)),
    "xgboost": ("xgboost", ("XGBModel", "Booster")),
    "lightgbm": ("lightgbm", ("LGBMModel", "Booster")),
    "statsmodels": ("statsmodels.base.wrapper", ("ResultsWrapper",)),
    "prophet": ("prophet.forecaster", ("Prophet",)),
    "pmdarima": ("pmdarima", ("base.BaseARIMA", "pipeline.Pipeline")),
    "onnx": ("onnx", ("ModelProto",)),
    "spacy": ("spacy.language", ("Language",)),
    "sentence_transformers": ("sentence_transformers", ("SentenceTransformer",)),
    "transformers": ("transformers.pipelines.base", ("Pipeline",)),
    "spark": ("pyspark.ml.base", ("Model",)),
    "sklearn": ("sklearn.base", ("BaseEstimator",)),
    "tensorflow": ("tensorflow", ("Module", "keras.Model")),
    "keras": ("keras", ("Model",)),
    "pytorch": ("torch.nn", ("Module",)),
}
_ROOTS = {module.partition(".")[0] for module, _ in FLAVORS.values()}


def flavor_of(model: object) -> str | None:
    """MLflow's flavour for a model, or None for something that is no model it knows."""
    kind = type(model)
    if not any(c.__module__.partition(".")[0] in _ROOTS for c in kind.__mro__):
        return None  # nearly all of a notebook's variables
    for flavor, (module_name, classes) in FLAVORS.items():
        module = sys.modules.get(module_name)
        for dotted in classes if module is not None else ():
            known: object = module
            for part in dotted.split("."):
                known = getattr(known, part, None)
            if isinstance(known, type) and issubclass(kind, known):
                return flavor
    return None


def flavor_named(name: str) -> str:
    """A flavour the user typed: any module of MLflow that logs models.

    Raises `ModelError` with the nearest name, or where the flavour's library is missing.
    """
    if name in FLAVORS:
        library = FLAVORS[name][0].partition(".")[0]
        if library not in sys.modules and importlib.util.find_spec(library) is None:
            raise ModelError(f"flavour {name} needs {library}, which is not installed here.")
        return name
    known = f"mlflow.{name}"
    if not name.isidentifier() or importlib.util.find_spec(known) is None:
        raise ModelError(f"no flavour {name}; {nearest(name, FLAVORS)}")
    try:
        module = importlib.import_module(known)
    except ImportError as problem:
        raise ModelError(f"flavour {name} needs a library: {problem}") from problem
    if not callable(getattr(module, "log_model", None)):
        raise ModelError(f"mlflow.{name} logs no models; {nearest(name, FLAVORS)}")
    return name
