"""MLflow's flavours that a notebook's models are logged with."""

from __future__ import annotations

# Flavour → (the module whose presence makes it possible, the classes it takes). Looked up in
# `sys.modules`: a model of a library that was never imported cannot exist.
FLAVORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pyfunc": ("mlflow.pyfunc.model", ("PythonModel",)),
    "xgboost": ("xgboost", ("XGBModel", "Booster")),
    "lightgbm": ("lightgbm", ("LGBMModel", "Booster")),
    "sklearn": ("sklearn.base", ("BaseEstimator",)),
    "tensorflow": ("tensorflow", ("Module", "keras.Model")),
    "keras": ("keras", ("Model",)),
    "pytorch": ("torch.nn", ("Module",)),
}
