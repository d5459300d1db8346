"""Predictions from entity keys alone: features fetched, ordered, checked; one run says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ..contracts import inputs
from ..contracts.contract import in_order
from ..errors import FeatureError, ModelError, UsageError, brief
from ..frames import fingerprint
from ..integrations.feast.serving import feature_request, fetched_features
from ..integrations.mlflow import model_lookup, models, prediction, writer
from ..integrations.model_libraries.model_inputs import BY_POSITION
from ..records.answers import Resolution, Score
from ..records.contract import Contract
from . import resolution

if TYPE_CHECKING:
    # What a model said, by the name of the column for it.
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from mlflow.pyfunc import PyFuncModel

    Answer: TypeAlias = Mapping[str, npt.NDArray[np.generic] | pd.Series]

    import pandas as pd

    from .runs import OpenRun
    from .session import Session


@dataclass(frozen=True)
class ScoringOptions:
    """What a scoring was asked to do; every field has the name of its option.

    `told` shows what the model was fed; without it only its notes are told.
    """

    model: str
    as_of: str | None = None
    batch: int = 1000
    prefer_given: bool = False
    with_features: bool = False
    experiment: str | None = None
    allow_drift: bool = False
    columns: tuple[str, ...] = ()
    progress: bool = False
    told: Callable[[Score], None] | None = None


def score(session: Session, entities: pd.DataFrame, options: ScoringOptions) -> pd.DataFrame:
    """The frame as given with a column `prediction` (one for each output where there are several).

    Raises `Drift` as `resolve` does, `FeatureError` for a column that is missing, of another type
    than in training, or given although it is a feature, `ModelError` for a model whose order of
    inputs nobody knows.
    """
    _check(entities, options)
    uri = session.runs.uri
    found = model_lookup.find(uri, options.model)
    resolved = resolution.resolved(session, found, options.allow_drift)
    contract = usable(resolved, options.columns)
    given = [str(c) for c in entities.columns]
    asked = feature_request.ask(session.store, contract, resolved.features)
    if options.as_of is None:
        feature_request.check_online(asked)
    feature_request.check_given(given, asked.keys, asked.others)
    _check_double(contract, given, options)
    _check_keys(entities, asked.entities)
    model: PyFuncModel = models.load(uri, model_lookup.address_of(found), "pyfunc")
    with _run(session, found, resolved, options) as opened:
        fed = _fetched(session, asked, entities, options)
        if options.prefer_given:
            fed.columns |= {i.name: list(entities[i.name]) for i in contract.inputs
                            if i.name in given}  # fmt: skip
        frame = inputs.frame(contract, fed.columns)
        answer, unsaid = _predicted(model, contract, frame)
        record = _record(resolved, contract, opened, fed, frame, options)
        record = replace(record, notes=(*record.notes, *unsaid))
        _write(uri, opened, record)
    if options.told is not None:
        options.told(record)
    else:
        for note in record.notes:
            session.recorder.notices.tell(note)
    return _answered(entities, answer, frame, options)


def _check(entities: Any, options: ScoringOptions) -> None:
    """Raise for what cannot be meant, before anything is asked of anybody."""
    if not hasattr(entities, "columns") or not hasattr(entities, "iloc"):
        kind = type(entities).__name__
        raise FeatureError(f"--entities needs a DataFrame of entity keys, got a {kind}.")
    if options.batch < 1:
        raise UsageError(f"--batch {options.batch}: use 1 or more.")
    if options.as_of is not None:
        fetched_features.moments_of(entities, options.as_of)


def usable(resolved: Resolution, columns: Sequence[str] = ()) -> Contract:
    """The contract, where it or the user says the order of the inputs.

    Raises `ModelError` where neither does.
    """
    contract = resolved.contract
    assert contract is not None
    if columns and contract.order not in ("named", "signature"):
        return in_order(contract, columns)
    if columns and tuple(columns) != tuple(i.name for i in contract.inputs):
        own = ",".join(i.name for i in contract.inputs)
        raise UsageError(f"--columns: {resolved.model} knows its inputs itself: {own}.")
    if contract.order in ("assumed", "unknown"):
        own = ",".join(i.name for i in contract.inputs) or "a,b,c"
        raise ModelError(
            f"the order of {resolved.model}'s inputs is not known; name them as they were in its "
            f"fit: --columns {own} (in Python columns=[…])."
        )
    return contract


def _check_keys(entities: pd.DataFrame, keys: Sequence[str]) -> None:
    """Raise for keys that Feast would fail on, or take for another entity."""
    for key in keys:
        column = entities[key]
        gaps = int(column.isna().sum())
        if gaps:
            raise FeatureError(
                f"{key} is null in {gaps:,} of {len(column):,} rows; drop those rows."
            )
        if column.dtype.kind == "f" and (column % 1 != 0).any():
            raise FeatureError(
                f"{key} has fractional values, which Feast would truncate; entity keys must be "
                "whole numbers."
            )


def _check_double(contract: Contract, given: Sequence[str], options: ScoringOptions) -> None:
    if "prediction" in given:
        raise FeatureError(
            "the frame already has a column 'prediction'; rename it and score again."
        )
    for one in contract.inputs:
        if one.ref and one.name in given and not options.prefer_given:
            raise FeatureError(
                f"{one.name} is given, and it is a feature ({one.ref}) too; leave it out, or add "
                "--prefer-given to use it as it is."
            )


@contextmanager
def _run(
    session: Session, found: model_lookup.ModelRef, resolved: Resolution, options: ScoringOptions
) -> Iterator[OpenRun]:
    """A prediction run, tagged as `store.mlflow.load_model` does it; a child of an open one."""
    from ..integrations.mlflow import runs

    if (foreign := runs.active()) and foreign[1].rstrip("/") != session.runs.uri.rstrip("/"):
        raise UsageError(  # MLflow has one server at a time: the user's run could not be ended
            f"run {foreign[0][:8]} is open on another server. End it with mlflow.end_run() and "
            "score again."
        )
    tags = {"feast_nb.predicts": resolved.model}
    if found.name:
        tags |= {"feast.model_name": found.name, "feast.model_version": str(found.version)}
    if found.run_id:
        tags["feast.training_run_id"] = found.run_id
    nested = session.runs.innermost is not None or runs.active() is not None
    with runs.of_its_own(), session.run(
        f"score {resolved.model}", experiment=options.experiment, tags=tags, nested=nested,
        archive=False,
    ) as opened:  # fmt: skip
        session.recorder.models.leave_out(opened.ref)
        yield opened


def _fetched(
    session: Session,
    asked: feature_request.FeatureRequest,
    entities: pd.DataFrame,
    options: ScoringOptions,
) -> fetched_features.FetchedFeatures:
    if options.as_of is not None:
        return fetched_features.historical(session.store, asked, entities, options.as_of)
    fed = fetched_features.FetchedFeatures({i.name: [] for i in asked.contract.inputs})
    size = 1 if asked.one_by_one else options.batch
    for start in _steps(len(entities), size, options):
        part = entities.iloc[start : start + size]
        rows = {name: part[name].tolist() for name in (*asked.keys, *asked.others)}
        fed.add(fetched_features.online(session.store, asked, rows), start)
    return fed


def _steps(rows: int, size: int, options: ScoringOptions) -> Iterable[int]:
    steps = range(0, rows, size)
    if not options.progress or len(steps) < 2:
        return steps
    from tqdm.auto import tqdm

    bar: Iterable[int] = tqdm(steps, desc=f"score {options.model}", unit="batch")
    return bar


def _predicted(
    model: PyFuncModel, contract: Contract, frame: pd.DataFrame
) -> tuple[Answer, tuple[str, ...]]:
    """The model's answer; where it takes no gaps, to the rows without, and a word on that."""

    # A frame to every model that takes one: its names cannot be wrong, its place could be.
    by_position = models.flavor_in(model.metadata) in BY_POSITION
    named = contract.order in ("named", "signature", "frame", "given")
    if by_position and contract.order in ("frame", "given"):
        named = False
    if not len(frame):
        return {}, ()
    try:
        return prediction.predict(model, frame, named), ()
    except (ModelError, ValueError):
        if not frame.isna().any(axis=None):
            raise
    return _by_gaps(model, contract, frame, named)


def _by_gaps(
    model: PyFuncModel, contract: Contract, frame: pd.DataFrame, named: bool
) -> tuple[Answer, tuple[str, ...]]:
    """Rows with gaps in the same inputs together: what one row is refused for costs no other."""
    import pandas as pd

    found: dict[str, pd.Series] = {}  # of whatever things: a gap of a truth value is no `True`
    refused, first = 0, ""
    for gaps, rows in frame.groupby(frame.isna().apply(tuple, axis=1), sort=False):
        typed = inputs.frame(contract, {c: rows[c].tolist() for c in rows.columns})
        try:
            answer = prediction.predict(model, typed, named)
        except (ModelError, ValueError) as problem:
            if not any(gaps):
                raise
            refused, first = refused + len(rows), first or brief(problem, 150)
            continue
        for name, values in answer.items():
            if name not in found:
                found[name] = pd.Series(None, index=frame.index, dtype="object")
            found[name].loc[rows.index] = pd.Series(list(values), index=rows.index, dtype="object")
    if not found:
        found["prediction"] = pd.Series(index=frame.index, dtype="float64")
    answered = {name: _typed(values) for name, values in found.items()}
    if not refused:
        return answered, ()
    said = f"{refused:,} of {len(frame):,} rows have gaps, and no prediction: the model takes none "
    return answered, (f"{said}({first}).",)


def _typed(values: pd.Series) -> pd.Series:
    """Numbers with gaps as floats, as pandas has them; other things with gaps as they are."""
    found = values.infer_objects()
    numbers = [v for v in values if v is not None]
    if found.dtype == object and numbers and all(_is_number(v) for v in numbers):
        return values.astype("float64")
    return found


def _is_number(value: object) -> bool:
    from numbers import Number

    return isinstance(value, Number) and "bool" not in type(value).__name__


def _record(
    resolved: Resolution,
    contract: Contract,
    opened: OpenRun,
    fed: fetched_features.FetchedFeatures,
    frame: pd.DataFrame,
    options: ScoringOptions,
) -> Score:
    rows = len(frame)
    drifted = [f"{c.grade}: {c.said}" for c in resolved.drift if c.grade != "safe"]
    known = resolved.contract.cautions if resolved.contract else ()
    answered = set(known) - set(contract.cautions)  # by --columns
    told = [note for note in resolved.notes if note not in answered]
    notes = [*told, *drifted, *inputs.training_skew(contract, frame, fed.columns)]
    online = options.as_of is None
    if fed.absent:
        where = "not found in the online store" if online else "dropped by the offline store"
        notes.append(f"{len(fed.absent):,} of {rows:,} entities have no features: {where}.")
    if fed.stale:
        notes.append(
            f"{len(fed.stale):,} of {rows:,} rows have a value older than its view's TTL; an "
            "online store serves it all the same."
        )
    return Score(
        model=resolved.model,
        run_id=opened.ref.id,
        rows=rows,
        mode="online" if online else "historical",
        absent=len(fed.absent),
        stale=len(fed.stale),
        nulls={str(name): int(count) for name, count in frame.isna().sum().items() if count},
        fingerprint=fingerprint.of(frame).digest,
        notes=tuple(notes),
    )


def _write(uri: str, opened: OpenRun, record: Score) -> None:
    nulls = sum(record.nulls.values())
    metrics = {"rows": record.rows, "absent": record.absent, "stale": record.stale, "nulls": nulls}
    writer.write(
        uri,
        opened.ref.id,
        {"feast_nb.fed": str(record.fingerprint)},
        {f"feast_nb.{k}": float(v) for k, v in metrics.items()},
        [(json.dumps(record.to_dict(), indent=1), "feast/score.json")],
    )


def _answered(
    entities: pd.DataFrame, answer: Answer, frame: pd.DataFrame, options: ScoringOptions
) -> pd.DataFrame:
    """What was given, what was fed where that is wanted, and the prediction."""
    result = entities.copy()
    result.attrs = {}
    if options.with_features:
        for name in frame.columns:
            result[name] = frame[name].to_numpy()
    if not len(frame):
        result["prediction"] = []
    for name, values in answer.items():
        result[name] = getattr(values, "to_numpy", lambda values=values: values)()
    return result
