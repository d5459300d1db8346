"""Models in a session: find the one a cell made, log it, register it, name it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .. import frames
from ..errors import FeastNbError, ModelError, UsageError, nearest
from ..frames import matching
from ..integrations.mlflow import models
from ..recorder.recorder import Recorder
from ..recorder.run_listener import guessed_signature
from ..records.contract import ModelVersion
from ..records.retrieval import Retrieval
from ..records.run import RunRef

if TYPE_CHECKING:
    from .session import Session

_ANSI = re.compile("\x1b\\[[0-9;]*m")
_DEPTH = 3  # how deep a pipeline or search may hold another candidate


@dataclass(frozen=True)
class NamespaceSnapshot:
    """What the namespace held before a cell, to see what the cell made."""

    values: Mapping[str, int]
    unfitted: frozenset[str]


def look(namespace: Mapping[str, Any]) -> NamespaceSnapshot:
    """Remember which object each variable is, and which models are not trained yet."""
    values = {k: id(v) for k, v in namespace.items() if not k.startswith("_")}
    unfitted = {k for k in values if is_model(namespace[k]) and not models.is_fitted(namespace[k])}
    return NamespaceSnapshot(values, frozenset(unfitted))


def check_alias(alias: str) -> None:
    """Raise `UsageError` for an alias that MLflow would refuse after the training."""
    if not re.fullmatch(r"[\w-]+", alias) or re.fullmatch(r"(?i)v\d+|latest", alias):
        raise UsageError(
            f"--alias {alias} is none that MLflow takes; use letters, digits, _ and -, and "
            "neither v1 nor latest."
        )


def is_model(value: Any) -> bool:
    """Whether a value is a model of a kind MLflow knows."""
    return models.flavor_of(value) is not None


def candidates(
    namespace: Mapping[str, Any], before: NamespaceSnapshot, stored: Iterable[str]
) -> list[str]:
    """The variables that hold a model which the cell trained, none contained in another.

    A variable counts when the cell bound it anew, or when its model was not trained before and
    is now; its model predicts (a PyTorch module computes) and is fitted.
    """
    found: dict[str, Any] = {}
    for name, value in namespace.items():
        if name.startswith("_") or not is_model(value):
            continue
        rebound = name in set(stored) and before.values.get(name) != id(value)
        if not rebound and name not in before.unfitted:
            continue
        able = callable(getattr(value, "predict", None)) or models.flavor_of(value) == "pytorch"
        if able and models.is_fitted(value) and not any(value is v for v in found.values()):
            found[name] = value
    return [
        name
        for name, value in found.items()
        if not any(_holds(other, value) for key, other in found.items() if key != name)
    ]


def _holds(outer: Any, inner: Any, depth: int = _DEPTH) -> bool:
    """Whether a model has another one as a part: a pipeline its steps, a search its best."""
    if depth == 0:
        return False
    parts: list[Any] = list(vars(outer).values()) if hasattr(outer, "__dict__") else []
    while parts:
        part = parts.pop()
        if part is inner:
            return True
        if isinstance(part, (list, tuple)) and len(part) < 1000:
            parts.extend(part)
        elif isinstance(part, dict) and len(part) < 1000:
            parts.extend(part.values())
        elif is_model(part) and _holds(part, inner, depth - 1):
            return True
    return False


def named(namespace: Mapping[str, Any], name: str) -> Any:
    """The model in a variable; raises `ModelError` where there is none."""
    if name not in namespace:
        known = [k for k, v in namespace.items() if not k.startswith("_") and is_model(v)]
        raise ModelError(f"no variable {name}; {nearest(name, known) or 'no model is here.'}")
    return namespace[name]


def the_one(found: Sequence[str]) -> str | None:
    """The only candidate, None for none; raises `ModelError`, a question, for several."""
    if len(found) > 1:
        raise ModelError(
            f"this cell made {len(found)} models ({', '.join(found)}); say which with --model, "
            f"or log one now without training again: %feast_log {found[-1]}"
        )
    return found[0] if found else None


def example(inputs: models.Inputs, retrievals: Sequence[Retrieval], at_hand: Sequence[Any]) -> Any:
    """The columns a model was fitted on, in its order, from a frame at hand; None if unknown.

    A model that knows neither names nor their number is taken to use what was retrieved. One of
    a bare array gets a bare array: names in its signature would be our guess, and MLflow would
    put columns in that order without a word.
    """
    names = inputs.names
    columns = tuple(c for r in retrievals for c in r.columns_given())
    if names is None and columns and inputs.width in (None, len(columns)):
        names = columns
    for frame in at_hand if names else ():
        if frames.is_pandas(frame) and set(names or ()) <= set(frame.columns) and len(frame):
            found = frame[list(names or ())]
            return found if inputs.names or inputs.width is None else found.to_numpy()
    return None


def log(
    recorder: Recorder,
    run: RunRef,
    model: Any,
    *,
    variable: str | None = None,
    flavor: str | None = None,
    at_hand: Sequence[Any] = (),
    retrievals: Sequence[Retrieval] = (),
    declared: bool = False,
) -> ModelVersion:
    """Log a model to a run, with flavour, signature, input example and contract."""
    kind = models.flavor_named(flavor) if flavor else models.flavor_of(model)
    if kind is None:
        raise ModelError(
            f"{variable or 'this'} is a {type(model).__name__}, no model MLflow knows; name its "
            "flavour with --flavor, or wrap it in mlflow.pyfunc.PythonModel."
        )
    inputs = models.inputs_of(model)
    used = recorder.links.now
    mine = matching.of_model(inputs.names, inputs.width, retrievals, used)
    frame = example(inputs, mine, at_hand)
    try:
        with guessed_signature(inputs.names is None):
            logged = models.log(run.tracking_uri, run.id, model, kind, frame)
    except FeastNbError:
        raise
    except Exception as problem:  # a flavour's own trouble with the user's model: said with a way
        text = _ANSI.sub("", " ".join(str(problem).split()))[:300]
        again = f"%feast_log {variable}" if variable else "session.log_model(model)"
        raise ModelError(
            f"{variable or 'the model'} could not be logged as {kind} ({text}); it is still "
            f"there: {again} tries again."
        ) from problem
    contract = recorder.recording.table.contracts.get(logged.model_id)
    if declared and retrievals:
        recorder.run_listener.link(logged.model_id, retrievals, "declared")
    elif contract is not None and not contract.retrievals and retrievals:
        recorder.run_listener.link(logged.model_id, retrievals, "name")
    contract = recorder.recording.table.contracts.get(logged.model_id)
    return replace(logged, variable=variable, contract=contract)


def register(
    recorder: Recorder, run: RunRef, logged: ModelVersion, name: str, aliases: Sequence[str]
) -> ModelVersion:
    """Register a logged model; the version is tagged as Feast tags it, with its contract."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="mlflow")
        version = models.register(run.tracking_uri, logged, name, aliases)
    return replace(version, variable=logged.variable, contract=logged.contract)


def run_to_log_to(session: Session, run_id: str | None, model: Any) -> RunRef:
    """The run named, the one open, the one that made the model's frame, else the last ended."""
    recorder, runs = session.recorder, session.runs
    if run_id:
        return RunRef(run_id, runs.uri)
    if runs.innermost is not None:
        return runs.innermost.ref
    inputs = models.inputs_of(model)
    table = recorder.recording.table
    for source in table.sources_of("", inputs.names, inputs.width, recorder.links.now):
        if source.run_id:
            return RunRef(source.run_id, runs.uri)
    if runs.last is not None:
        return runs.last
    raise ModelError("no run to log the model to; start one with %feast_run NAME.")
