"""Models in MLflow: how they are logged, registered, loaded and tagged."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ...errors import GoneError, ModelError, Told, brief, nearest
from ...frames import is_pandas
from ...records.contract import ModelVersion
from ..model_libraries.flavors import FLAVORS, flavor_named, flavor_of
from .clients import client
from .http import check_reachable, translate_errors
from .runs import using_server
from .silence import silent

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from mlflow.models import Model, ModelSignature
    from mlflow.models.model import ModelInfo

    Fed: TypeAlias = pd.DataFrame | npt.NDArray[np.generic]

OF_TENSORS = ("tensorflow", "keras", "pytorch")


def log(
    uri: str,
    run_id: str,
    model: object,
    flavor: str,
    example: Fed | None,
    name: str = "model",
) -> ModelVersion:
    """Log a model to a run with signature and input example.

    `example` is a frame of the model's inputs in its order, or None where none is known; the
    model is then logged without a signature.
    """
    check_reachable(uri)
    module = importlib.import_module(f"mlflow.{flavor}")
    arguments: dict[str, object] = {"python_model": model} if flavor == "pyfunc" else {}
    trouble = None
    with translate_errors(), _active(uri, run_id), silent():
        if example is not None and flavor in OF_TENSORS:  # their signatures have no names to lose
            example = _numbers(example)
        if example is not None:
            signature, trouble = _signature(model, example)
            if signature is not None:
                arguments["signature"] = signature
                if flavor != "keras":  # MLflow 3.17's own Keras flavour fails on an example
                    arguments["input_example"] = _of_numpy(example)[:5]
        if flavor == "pytorch" and (example is None or trouble is not None):
            arguments, trouble = _untraced(module, model)
        positional = () if flavor == "pyfunc" else (model,)
        info = module.log_model(*positional, name=name, **arguments)
    if trouble is not None:
        warnings.warn(trouble, Told, stacklevel=2)
    return ModelVersion(
        model_id=str(info.model_id), run_id=run_id, uri=info.model_uri, flavor=flavor
    )


def _untraced(module: ModuleType, model: object) -> tuple[dict[str, object], str]:
    """How a PyTorch module is logged that answers no example: MLflow would trace it by one."""
    known = "serialization_format" in inspect.signature(module.log_model).parameters
    return {"serialization_format": "pickle"} if known else {}, (
        f"{type(model).__name__} does not answer the training frame's columns as floats, by which "
        "PyTorch would trace it; it is kept by pickle, without a signature."
    )


def _numbers(example: Fed) -> npt.NDArray[np.generic] | None:
    """An example as numbers; None where it holds others: a model of texts makes its own tensors."""
    import numpy as np

    try:
        return np.asarray(example, dtype="float32")
    except (TypeError, ValueError):
        return None


def _signature(model: object, example: Fed) -> tuple[ModelSignature | None, str | None]:
    """The signature from an example and what the model says to it, and what went wrong if so.

    Rows with gaps are left out where the model refuses them: it may have been fitted without.
    None where MLflow would refuse the very values that the model was trained on.
    """
    whole = example.dropna() if hasattr(example, "dropna") else example
    answer, trouble = None, None
    for rows in (example, whole):
        try:
            answer, trouble = _answer(model, rows) if len(rows) else None, None
            break
        except Exception as problem:  # the user's model: a signature of inputs alone says as much
            trouble = (
                f"{type(model).__name__} could not predict from the training frame's columns "
                f"({type(problem).__name__}); its signature has inputs only."
            )
    return _accepted(_of_numpy(example), answer, trouble)


def _of_numpy(example: Fed) -> Fed:
    """A frame without pandas' own integers, floats and booleans: MLflow takes none with gaps."""
    if not is_pandas(example):
        return example
    plain: dict[Any, pd.Series] = {}
    for name, kind in example.dtypes.items():
        own = getattr(kind, "numpy_dtype", None)
        if own is None or not hasattr(kind, "na_value"):
            continue
        gaps = bool(example[name].isna().any())
        if own.kind == "b" and gaps:
            plain[name] = example[name].astype(object).where(example[name].notna(), None)
        else:
            plain[name] = example[name].astype("float64" if gaps else own)
    return example.assign(**plain) if plain else example


def _accepted(
    example: Fed, answer: object, trouble: str | None
) -> tuple[ModelSignature | None, str | None]:
    """A signature that takes its own example; MLflow infers some that do not (zoned moments)."""
    from mlflow.exceptions import MlflowException
    from mlflow.models import infer_signature, validate_schema

    try:
        signature = infer_signature(example, answer)
        validate_schema(example[:100], signature.inputs)
    except (MlflowException, TypeError, ValueError) as problem:
        which = _first_refused(example) or f"its inputs ({type(problem).__name__})"
        return None, (
            f"MLflow's signatures cannot hold {which} as it was trained on: the model is logged "
            "without one, and its contract says what it takes."
        )
    return signature, trouble


def _first_refused(example: Any) -> str | None:
    """The first column that MLflow refuses by itself."""
    from mlflow.exceptions import MlflowException
    from mlflow.models import infer_signature, validate_schema

    for name in getattr(example, "columns", ()):
        alone = example[[name]]
        try:
            validate_schema(alone[:100], infer_signature(alone).inputs)
        except (MlflowException, TypeError, ValueError):
            return str(name)
    return None


def _answer(model: Any, example: Fed) -> object:
    """What a model says to an example, or None for one that is only called by MLflow."""
    predict = getattr(model, "predict", None)
    flavor = flavor_of(model)
    if flavor == "pytorch":
        import torch

        with torch.no_grad():
            answer = model(torch.from_numpy(example))
        return answer.numpy() if isinstance(answer, torch.Tensor) else None
    if flavor == "pyfunc" and "context" in inspect.signature(model.predict).parameters:
        return predict(None, example) if callable(predict) else None
    return predict(example) if callable(predict) else None


@contextlib.contextmanager
def _active(uri: str, run_id: str) -> Iterator[None]:
    """Have a run active in this thread for MLflow's fluent calls, an ended one too."""
    import mlflow
    from mlflow.tracking import fluent

    before = mlflow.get_tracking_uri()
    stack = fluent._active_run_stack.get()
    mlflow.set_tracking_uri(uri)
    stack.append(mlflow.ActiveRun(mlflow.get_run(run_id)))
    try:
        yield
    finally:
        stack.pop()
        mlflow.set_tracking_uri(before)


def register(uri: str, logged: ModelVersion, name: str, aliases: Sequence[str]) -> ModelVersion:
    """Register a logged model as a new version of `name` and point the aliases at it."""
    check_reachable(uri)
    import mlflow

    with translate_errors(), silent():
        version = mlflow.register_model(f"models:/{logged.model_id}", name)
        for alias in aliases:
            client(uri).set_registered_model_alias(name, alias, version.version)
    return ModelVersion(
        model_id=logged.model_id,
        run_id=logged.run_id,
        uri=f"models:/{name}/{version.version}",
        flavor=logged.flavor,
        name=name,
        version=str(version.version),
        aliases=tuple(aliases),
    )


def uri_of(uri: str, named: str) -> str:
    """MLflow's URI for a model as people name it: `name/3`, `name@alias`, `name`, or a URI.

    A bare name means its latest version. Raises `ModelError` where there is no such model.
    """
    if "://" in named or named.startswith(("models:/", "runs:/")):
        return named
    if "@" in named or "/" in named:
        return f"models:/{named}"
    known = [int(v.version) for v in client(uri).search_model_versions(f"name = '{named}'")]
    if not known:
        hint = nearest(named, list(registered_names(uri)))
        raise ModelError(f"no registered model {named}; {hint or 'none is registered.'}")
    return f"models:/{named}/{max(known)}"


def load(uri: str, named: str, flavor: str | None = None) -> Any:
    """A logged or registered model, in the library it was trained with (`flavor`), not as PyFunc.

    Raises `ModelError` where there is no such model, or not of that flavour.
    """
    check_reachable(uri)
    from mlflow.exceptions import MlflowException
    from mlflow.models import get_model_info

    with using_server(uri, always=True), silent():
        address = uri_of(uri, named)
        try:
            kinds = get_model_info(address).flavors
        except MlflowException as problem:
            text = brief(problem, 300)
            raise ModelError(f"no model {named}: {text}") from problem
        mine = [f for f in FLAVORS if f in kinds]
        chosen = flavor_named(flavor) if flavor else (mine[0] if mine else "pyfunc")
        if flavor == "pyfunc" and "python_function" not in kinds:
            raise ModelError(
                f"{named} was logged as {', '.join(kinds)} alone, which MLflow cannot ask with a "
                f"frame; take it as it is: session.load_model({named!r})."
            )
        if flavor and flavor != "pyfunc" and flavor not in kinds:
            raise ModelError(f"{named} is not of flavour {flavor}, but {', '.join(mine)}.")
        return importlib.import_module(f"mlflow.{chosen}").load_model(address)


def flavor_in(info: ModelInfo | Model) -> str:
    """The flavour that a model was logged with, as MLflow wrote it down."""
    own = [name for name in info.flavors if name != "python_function"]
    return own[0] if own else "pyfunc"


def signature_of(info: ModelInfo) -> dict[str, str] | None:
    """Column → type of a logged model's signature, where it has named columns."""
    inputs = getattr(getattr(info, "signature", None), "inputs", None)
    if inputs is None or not inputs.has_input_names():
        return None
    return {str(c.name): str(getattr(c.type, "name", c.type)) for c in inputs.inputs}


def registered_names(uri: str) -> dict[str, tuple[str, ...]]:
    """Every registered model's name with its aliases, all pages of them."""
    api = client(uri)
    found: dict[str, tuple[str, ...]] = {}
    token = None
    while True:
        page = api.search_registered_models(max_results=1000, page_token=token)
        found.update({m.name: tuple(m.aliases or ()) for m in page})
        token = page.token
        if not token:
            return found


def versions_of_run(uri: str, run_id: str) -> list[ModelVersion]:
    """The registered versions that came from a run, with the aliases that point at them now."""
    api = client(uri)
    found = []
    for version in api.search_model_versions(f"run_id = '{run_id}'"):
        aliases = api.get_registered_model(version.name).aliases or {}
        mine = tuple(a for a, number in aliases.items() if str(number) == str(version.version))
        found.append(
            ModelVersion(
                model_id=str(version.source or "").removeprefix("models:/"),
                run_id=run_id,
                uri=f"models:/{version.name}/{version.version}",
                name=version.name,
                version=str(version.version),
                aliases=mine,
            )
        )
    return found


@contextlib.contextmanager
def _there(what: str) -> Iterator[None]:
    """Raise `GoneError` for something that MLflow does not have any more."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as problem:
        if problem.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise GoneError(f"{what} is not there any more") from problem
        raise


def tag_version(uri: str, name: str, version: str, tags: dict[str, str]) -> None:
    """Write tags on a registered version."""
    api = client(uri)
    with _there(f"version {version} of {name}"):
        for key, value in tags.items():
            api.set_model_version_tag(name, version, key, value)


def keep_contract(uri: str, model_id: str, text: str, tags: dict[str, str]) -> None:
    """Put a contract among the files of a LoggedModel, and say in its tags what it holds."""
    import tempfile
    from pathlib import Path

    api = client(uri)
    with tempfile.TemporaryDirectory(prefix="feast_nb") as place:
        path = Path(place) / "feast_contract.json"
        path.write_text(text, encoding="utf-8")
        with _there(f"logged model {model_id}"):
            api.log_model_artifact(model_id, str(path))
            api.set_logged_model_tags(model_id, tags)
