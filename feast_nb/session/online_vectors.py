"""What a service feeds its model: one call of the online store, in the model's order."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..contracts import inputs
from ..errors import FeatureError, TrackingError, UsageError, brief
from ..integrations.feast import registry
from ..integrations.feast.serving import feature_request, feature_status, fetched_features
from . import resolution, scoring

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from prometheus_client import Counter

    from ..integrations.feast.serving.feature_status import Codes
    from .session import Session

    Rows: TypeAlias = Sequence[Mapping[str, object]]
    Array: TypeAlias = npt.NDArray[Any]  # of numbers, or of objects

Missing = Literal["raise", "nan", "skip"]
Expired = Literal["serve", "null", "raise"]

_FRESH = 60.0  # seconds after which an alias is looked up again
_POLICIES = {"missing": ("raise", "nan", "skip"), "expired": ("serve", "null", "raise")}
_NAMED = 3  # rows that a refusal names


@dataclass
class ServingPlan:
    """What is asked for a model, as long as the registry stands as it did."""

    model: str
    asked: feature_request.FeatureRequest
    state: object
    definitions: str | None
    until: float

    @cached_property
    def wanted(self) -> frozenset[str]:
        """The keys, to hold a row's against."""
        return frozenset(self.asked.keys)


@dataclass(frozen=True)
class OnlineRows:
    """What a model is fed for some rows, and how each value stands, rows × the model's inputs."""

    plan: ServingPlan
    columns: dict[str, list[object]]
    codes: Codes

    @property
    def statuses(self) -> npt.NDArray[np.object_]:
        return feature_status.names(self.codes)

    @property
    def vector(self) -> Array:
        return inputs.matrix(self.plan.asked.contract, self.columns)

    @property
    def frame(self) -> pd.DataFrame:
        return inputs.frame(self.plan.asked.contract, self.columns)


def fetch(
    session: Session,
    model: str,
    entity_rows: Rows,
    allow_drift: bool = False,
    columns: Sequence[str] = (),
    missing: Missing = "raise",
    expired: Expired = "serve",
) -> OnlineRows:
    """What a model is fed for some rows, from the online store.

    Raises `FeatureError` for rows that cannot be asked for, and for rows without any value or with
    one that is older than its view's TTL, where these are not to be served.
    """
    for option, value in (("missing", missing), ("expired", expired)):
        if value not in _POLICIES[option]:
            raise UsageError(f"{option}={value!r}: use one of {', '.join(_POLICIES[option])}.")
    plan = _plan(session, model, allow_drift, tuple(columns))
    rows = list(entity_rows)
    if isinstance(entity_rows, Mapping) or not all(isinstance(row, Mapping) for row in rows):
        kind = type(entity_rows).__name__
        raise FeatureError(f"{kind} is not a list of dictionaries; use frame.to_dict('records').")
    if not rows:
        names = [one.name for one in plan.asked.contract.inputs]
        return OnlineRows(plan, {name: [] for name in names}, feature_status.none(len(names)))
    given = _given(plan, rows)
    fed = fetched_features.FetchedFeatures({})
    for part in range(len(rows)) if plan.asked.one_by_one else [slice(None)]:
        some = slice(part, part + 1) if isinstance(part, int) else part
        asked = {name: values[some] for name, values in given.items()}
        fed.add(fetched_features.online(session.store, plan.asked, asked), some.start or 0)
    _count(plan, fed)
    return _served(plan, rows, fed, missing, expired)


def _served(
    plan: ServingPlan,
    rows: Rows,
    fed: fetched_features.FetchedFeatures,
    missing: Missing,
    expired: Expired,
) -> OnlineRows:
    """What came, as far as it is to be served."""
    if fed.absent and missing == "raise":
        raise FeatureError(
            f"{_named(plan, rows, fed.absent)} no value of {plan.model}'s features in the online "
            "store: materialize them, or serve such rows as gaps (missing='nan') or leave them "
            "out (missing='skip')."
        )
    if fed.stale and expired == "raise":
        raise FeatureError(
            f"{_named(plan, rows, fed.stale)} a value older than its view's TTL: materialize anew, "
            "or serve it as it is (expired='serve') or as a gap (expired='null')."
        )
    columns = fed.columns
    if fed.stale and expired == "null":
        assert fed.codes is not None
        old = fed.codes == feature_status.EXPIRED
        columns = {
            name: [None if gone else value for value, gone in zip(values, old[:, at], strict=True)]
            for at, (name, values) in enumerate(columns.items())
        }
    if fed.absent and missing == "skip":
        left = [place for place in range(len(rows)) if place not in fed.absent]
        columns = {name: [values[i] for i in left] for name, values in columns.items()}
    assert fed.codes is not None
    return OnlineRows(plan, columns, fed.codes)


def _named(plan: ServingPlan, rows: Rows, places: set[int]) -> str:
    """`2 of 5 rows (row 3: driver_id=1003, …) have`."""
    first = sorted(places)[:_NAMED]
    keys = plan.asked.entities
    said = [f"row {i}: {', '.join(f'{key}={rows[i][key]!r}' for key in keys)}" for i in first]
    more = " …" if len(places) > _NAMED else ""
    have = "has" if len(places) == 1 else "have"
    return f"{len(places):,} of {len(rows):,} rows ({brief('; '.join(said), 200)}{more}) {have}"


def _count(plan: ServingPlan, fed: fetched_features.FetchedFeatures) -> None:
    """Count what was served, for a service that exports its metrics."""
    assert fed.codes is not None
    for code, count in enumerate(feature_status.counts(fed.codes)):
        if count:
            _features_served().labels(plan.model, feature_status.NAMES[code]).inc(count)


def _given(plan: ServingPlan, rows: Rows) -> dict[str, list[object]]:
    """The columns that Feast and the model need, of each row the same.

    Raises `FeatureError` for a row that lacks one, or gives a feature too.
    """
    asked = plan.asked
    for row in rows:
        if not asked.others and plan.wanted == row.keys():
            continue
        feature_request.check_given(list(row), asked.keys, asked.others)
        for one in asked.contract.inputs:
            if one.ref and one.name in row:
                raise FeatureError(
                    f"{one.name} is given, and it is a feature ({one.ref}) too; leave it out."
                )
    return {name: [row[name] for row in rows] for name in (*asked.keys, *asked.others)}


def _plan(session: Session, model: str, allow_drift: bool, columns: tuple[str, ...]) -> ServingPlan:
    key = model, allow_drift, columns
    plan = session.serving_plans.get(key)
    state = registry.state_of(session.store.registry)
    if plan is not None and plan.state != state and _holds_the_same(session, plan):
        plan.state = state  # a SQL registry's copy is another one after each refresh
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
    asked = feature_request.ask(session.store, contract, resolved.features)
    feature_request.check_online(asked)
    state = registry.state_of(session.store.registry)
    definitions = registry.registry_hash(session.store)
    session.serving_plans[key] = ServingPlan(
        resolved.model, asked, state, definitions, time.monotonic() + _FRESH
    )
    return session.serving_plans[key]


def _holds_the_same(session: Session, plan: ServingPlan) -> bool:
    """Whether the registry's definitions are those of the plan, whenever they were read."""
    known = plan.definitions
    return known is not None and registry.registry_hash(session.store) == known


@cache
def _features_served() -> Counter:
    """What is counted of served features, in the process's own Prometheus registry.

    A service that exports `prometheus_client`'s registry, as Feast's feature server does, has it.
    """
    from prometheus_client import Counter

    return Counter(
        "feast_nb_features_served",
        "Values that were served to a model, by how they stood: present, null, expired, missing.",
        ["model", "status"],
    )
