"""Models in a session: log one to the run that made it, and register it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import frames
from ..errors import FeastNbError, ModelError, UsageError, brief
from ..frames import matching
from ..integrations.mlflow import models
from ..integrations.model_libraries.flavors import flavor_named, flavor_of
from ..integrations.model_libraries.model_inputs import inputs_of
from ..recorder.recorder import Recorder
from ..recorder.run_listener import guessed_signature
from ..records.contract import ModelVersion
from ..records.retrieval import LinkedBy, Retrieval
from ..records.run import RunRef
from . import made_models

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from .session import Session

_ANSI = re.compile("\x1b\\[[0-9;]*m")


def check_name(name: str) -> None:
    """Raise `UsageError` for a name that MLflow would refuse after the training, or nobody can say.

    MLflow takes no slash and no colon; `@` starts an alias, a quote ends its search, and `m-` with
    32 digits is a logged model's id.
    """
    if not name.strip() or re.search(r"[/:@'\"]", name) or re.fullmatch(r"m-[0-9a-f]{32}", name):
        raise UsageError(
            f"--register {name or repr(name)} is not a valid model name; avoid / : @ and "
            "quotes, and not the id of a logged model."
        )


def check_alias(alias: str) -> None:
    """Raise `UsageError` for an alias that MLflow would refuse after the training."""
    if not re.fullmatch(r"[\w-]+", alias) or re.fullmatch(r"(?i)v\d+|latest", alias):
        raise UsageError(
            f"--alias {alias} is not an alias MLflow accepts; use letters, digits, _ and -, and "
            "neither v1 nor latest."
        )


def example(columns: Sequence[str], at_hand: Sequence[object]) -> pd.DataFrame | None:
    """The columns a model was fitted on, in its order, from a frame at hand that has them."""
    for frame in at_hand if columns else ():
        if frames.is_pandas(frame) and set(columns) <= set(frame.columns) and len(frame):
            return frame[list(columns)]
    return None


def log(
    recorder: Recorder,
    run: RunRef,
    model: object,
    *,
    variable: str | None = None,
    flavor: str | None = None,
    at_hand: Sequence[object] = (),
    retrievals: Sequence[Retrieval] = (),
    by: LinkedBy = "columns",
) -> ModelVersion:
    """Log a model to a run, with flavour, signature, input example and contract.

    `by` says how it is known that it was trained on `retrievals`, where it is not known better.
    """
    kind = flavor_named(flavor) if flavor else flavor_of(model)
    if kind is None:
        raise ModelError(
            f"{variable or 'this'} is a {type(model).__name__}, not a model MLflow can log. Name "
            "its flavour with --flavor, or wrap it in mlflow.pyfunc.PythonModel."
        )
    found, fit = inputs_of(model), recorder.models.find(model).fit
    names = found.names
    mine = matching.of_model(names, found.width, retrievals, recorder.links.now)
    asked = tuple(c for r in mine for c in r.columns_given())
    frame: pd.DataFrame | npt.NDArray[np.generic] | None
    frame = example(names or (fit.columns if fit else asked), at_hand)
    if frame is not None and names is None and (fit is None or not fit.named):
        # Names in its signature would be our guess; so would anything, of a model of any width.
        # PyTorch is traced by an example, whose numbers do not matter.
        known = found.width == len(frame.columns) or (found.width is None and fit is not None)
        known = known or (found.width is None and kind in models.OF_TENSORS)
        frame = frame.to_numpy() if known else None
    if frame is not None and frames.has_categories(frame):
        frame = (
            None  # MLflow would call them texts, and refuse the categories that it was fitted on
        )
    try:
        with guessed_signature(names is None):
            logged = models.log(run.tracking_uri, run.id, model, kind, frame)
    except FeastNbError:
        raise
    except Exception as problem:  # a flavour's own trouble with the user's model: said with a way
        text = brief(_ANSI.sub("", str(problem)), 300)
        again = f"%feast_log {variable}" if variable else "session.log_model(model)"
        raise ModelError(
            f"{variable or 'the model'} could not be logged as {kind} ({text}); it is still "
            f"there: {again} tries again."
        ) from problem
    contract = recorder.recording.table.contracts.get(logged.model_id)
    if retrievals and (by == "declared" or (contract is not None and not contract.retrievals)):
        recorder.run_listener.link(logged.model_id, retrievals, by)
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


def log_trained(
    session: Session,
    model: object,
    run_id: str | None,
    register_as: str | None,
    aliases: Sequence[str],
    *,
    variable: str | None = None,
    flavor: str | None = None,
    at_hand: Sequence[object] = (),
) -> ModelVersion:
    """Log a model that exists already to the run that made it, and register it.

    What is logged of it already, as it is now, is registered and not logged again. Raises
    `ModelError` where there is no run to log it to, or where nobody knows which of several.
    """
    recorder = session.recorder
    recording = recorder.recording
    recording.look_again()
    recording.settle()
    if register_as is not None:
        check_name(register_as)
    run = run_to_log_to(session, run_id, model)
    known = made_models.log_of(model, recorder.run_listener.logged)
    if register_as and known and known.run == run and flavor in (None, known.flavor):
        contract = recording.table.contracts.get(known.model_id)
        logged = ModelVersion(known.model_id, run.id, f"models:/{known.model_id}", known.flavor,
                              variable=variable, contract=contract)  # fmt: skip
    else:
        mine = recording.table.of_run(run.id)
        logged = log(
            recorder, run, model, variable=variable, flavor=flavor, at_hand=at_hand, retrievals=mine
        )
    if register_as:
        logged = register(recorder, run, logged, register_as, aliases)
        session.names.remember_model(register_as, tuple(aliases))
    recorder.flush(run.id, final=True)
    return logged


def run_to_log_to(session: Session, run_id: str | None, model: object) -> RunRef:
    """The run named, the one that made the model, the one open, else the last that ended.

    Raises `ModelError`, a question, where a cell made the model in one of several runs.
    """
    recorder, runs = session.recorder, session.runs
    if run_id:
        return RunRef(run_id, runs.uri)
    origin = recorder.models.find(model)
    made_in = origin.runs or _runs_that_retrieved(session, origin.links or {})
    if len(made_in) > 1:
        raise _which_run("the cell that made it had", made_in)
    if made_in:
        return made_in[0]
    if runs.innermost is not None:
        return runs.innermost.ref
    inputs = inputs_of(model)
    table = recorder.recording.table
    found = table.sources_of("", inputs.names, inputs.width, recorder.links.now)
    retrieved_in = _runs_that_retrieved(session, [source.id for source in found])
    if len(retrieved_in) > 1:
        raise _which_run("what it may have been fitted on was retrieved in", retrieved_in)
    if retrieved_in:
        return retrieved_in[0]
    if runs.last is not None:
        return runs.last
    raise ModelError("no run to log the model to. Start one with %feast_run NAME.")


def _which_run(said: str, several: Sequence[RunRef]) -> ModelError:
    ids = ", ".join(run.id[:8] for run in several)
    return ModelError(f"{said} {len(several)} runs ({ids}); say which one made it: --run RUN_ID.")


def _runs_that_retrieved(session: Session, links: Iterable[str]) -> tuple[RunRef, ...]:
    """The runs, open or ended, that retrieved what a model was fitted on."""
    table = session.recorder.recording.table
    found = dict.fromkeys(table.retrievals[id].run_id for id in links)
    return tuple(RunRef(id, session.runs.uri) for id in found if id is not None)
