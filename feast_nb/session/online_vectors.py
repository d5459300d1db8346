"""What a service feeds its model: one call of the online store, in the model's order."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..contracts import inputs
from ..errors import FeatureError, TrackingError
from ..integrations.feast import online, registry
from . import resolution, scoring

if TYPE_CHECKING:
    from .session import Session

_FRESH = 60.0  # seconds after which an alias is looked up again


@dataclass
class ServingPlan:
    """What is asked for a model, as long as the registry stands as it did."""

    asked: online.FeatureRequest
    state: Any
    until: float

    @cached_property
    def wanted(self) -> frozenset[str]:
        """The keys, to hold a row's against."""
        return frozenset(self.asked.keys)


def vector(
    session: Session,
    model: str,
    entity_rows: Sequence[Mapping[str, Any]],
    allow_drift: bool,
    columns: Sequence[str] = (),
) -> Any:
    """The array for `predict`: rows × the model's inputs, in its order, nulls as NaN.

    `entity_rows` are dictionaries of join keys, request data and inputs that are no features. The
    model is resolved at the first call, when the registry changes, and once a minute (an alias may
    have moved). Raises as `resolve` and `score` do.

    A model that takes its columns by name (a pipeline that begins with a `ColumnTransformer`) or
    as categories predicts from no array: give it `pandas.DataFrame(array, columns=…)` with the
    names of its contract, of their types, or let `score` do it.
    """
    plan = _plan(session, model, allow_drift, tuple(columns))
    contract = plan.asked.contract
    rows = list(entity_rows)
    if isinstance(entity_rows, Mapping) or not all(isinstance(row, Mapping) for row in rows):
        kind = type(entity_rows).__name__
        raise FeatureError(f"{kind} is not a list of dictionaries; use frame.to_dict('records').")
    if not rows:
        return inputs.matrix(contract, {i.name: [] for i in contract.inputs})
    keys = _keys_of(plan, rows)
    found: dict[str, list[Any]] = {}
    for part in [[key] for key in keys] if plan.asked.one_by_one else [keys]:
        came = session.store.get_online_features(
            features=plan.asked.features,
            entity_rows=part,
            full_feature_names=contract.full_feature_names,
        )
        for name, values in online.in_its_words(contract, came).items():
            found.setdefault(name, []).extend(values)
    for name in plan.asked.others:
        found[name] = [row[name] for row in rows]
    return inputs.matrix(contract, found)


def _keys_of(plan: ServingPlan, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What Feast is asked for, of each row the same columns: it takes those of the first for all.

    Raises `FeatureError` for a row that lacks one, or gives a feature too.
    """
    asked = plan.asked
    found = []
    for row in rows:
        if not asked.others and plan.wanted == row.keys():
            found.append(row)
            continue
        online.check_given(list(row), asked.keys, asked.others)
        for one in asked.contract.inputs:
            if one.ref and one.name in row:
                raise FeatureError(
                    f"{one.name} is given, and it is a feature ({one.ref}) too; leave it out."
                )
        found.append({k: row[k] for k in asked.keys})
    return found


def _plan(session: Session, model: str, allow_drift: bool, columns: tuple[str, ...]) -> ServingPlan:
    key = model, allow_drift, columns
    plan = session.serving_plans.get(key)
    state = registry.state_of(session.store.registry)
    if plan is not None and plan.until > time.monotonic() and plan.state == state:
        return plan
    try:
        resolved = resolution.resolve(session, model, allow_drift)
    except TrackingError:
        if plan is None or plan.state != state:
            raise
        plan.until = time.monotonic() + _FRESH  # MLflow is away: a service goes on as it did
        return plan
    contract = scoring.usable(resolved, columns)
    asked = online.ask(session.store, contract, resolved.features, watch=False)
    online.check_online(asked)
    state = registry.state_of(session.store.registry)
    session.serving_plans[key] = ServingPlan(asked, state, time.monotonic() + _FRESH)
    return session.serving_plans[key]
