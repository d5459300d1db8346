"""A model's inputs as Feast serves them: fetched, put in the model's order, and looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import FeatureError, nearest
from ...records.contract import Contract
from .calls import REPEATABLE

# Feast's `FieldStatus`; a store that says PRESENT for an entity it does not know (Redis) gives it
# a null of 1970.
_NOT_FOUND = 3


@dataclass
class FetchedFeatures:
    """What was fetched for some rows: input → values, in the model's order, and what was amiss.

    `absent` and `stale` hold the places of rows whose entity no view knows, and of those with a
    value older than its view's TTL.
    """

    columns: dict[str, list[Any]]
    absent: set[int] = field(default_factory=set)
    stale: set[int] = field(default_factory=set)

    def add(self, other: FetchedFeatures, after: int) -> None:
        """Append what was fetched for further rows, `after` so many."""
        for name, values in other.columns.items():
            self.columns.setdefault(name, []).extend(values)
        self.absent |= {after + i for i in other.absent}
        self.stale |= {after + i for i in other.stale}


@dataclass(frozen=True)
class FeatureRequest:
    """What is asked for a model: looked up once, however many batches are fetched.

    `keys` are the columns that a caller must give (join keys, of them `entities`, and request
    data), `others` the inputs that are no features. `watched` holds the TTL in seconds of each
    column whose values tell whether an entity is known and how old it is.
    """

    contract: Contract
    features: Any
    keys: tuple[str, ...]
    entities: tuple[str, ...]
    others: tuple[str, ...]
    watched: dict[str, float]


def ask(store: Any, contract: Contract, features: Any, watch: bool = True) -> FeatureRequest:
    """What to ask for a model's inputs; `features` as a `Resolution` has them.

    To `watch` features of on-demand views, what these compute from is fetched beside them.
    """
    from . import definitions

    # Of a service Feast fetches all, for which it wants all of its keys.
    views = definitions.views_of(store, features, definitions.refs_of(store, features))
    entities = definitions.join_keys_of(store, views.values())
    requested = definitions.request_fields_of(views.values())
    watched = {}
    for one in contract.inputs:
        view = views.get((one.ref or "").partition(":")[0])
        if hasattr(view, "ttl"):
            watched[one.name] = _ttl(view)
    if watch and isinstance(features, list):
        behind = _behind(store, contract, views)
        features = [*features, *(ref for ref, _ in behind.values() if ref not in features)]
        watched |= {column: ttl for column, (_, ttl) in behind.items()}
    others = tuple(i.name for i in contract.inputs if not i.ref and i.name not in entities)
    keys = tuple(dict.fromkeys((*entities, *requested)))
    return FeatureRequest(contract, features, keys, entities, others, watched)


def _ttl(view: Any) -> float:
    return float(view.ttl.total_seconds()) if view.ttl else 0.0


def _behind(
    store: Any, contract: Contract, views: Mapping[str, Any]
) -> dict[str, tuple[str, float]]:
    """Column → (reference, TTL) of what on-demand views compute from, where no name is taken."""
    from . import definitions

    taken = {i.name for i in contract.inputs}
    found: dict[str, tuple[str, float]] = {}
    for name, view in definitions.views_behind(store, views).items():
        for feature in view.features if hasattr(view, "ttl") else ():
            column = f"{name}__{feature.name}" if contract.full_feature_names else feature.name
            if column not in taken:
                taken.add(column)
                found[column] = f"{name}:{feature.name}", _ttl(view)
                break  # one feature tells of its view
    return found


def check_given(given: Sequence[str], keys: Sequence[str], others: Sequence[str]) -> None:
    """Raise `FeatureError` for the first column that is needed and not given."""
    for name in (*keys, *others):
        if name not in given:
            what = "an entity key or request data" if name in keys else "an input of the model"
            hint = nearest(name, given)
            raise FeatureError(f"no column {name}, which is {what}; {hint or 'give it.'}")


def online(store: Any, asked: FeatureRequest, rows: Mapping[str, list[Any]]) -> FetchedFeatures:
    """The inputs of some rows from the online store; `rows` holds the columns that are needed."""
    contract = asked.contract
    response = store.get_online_features(
        features=asked.features,
        entity_rows={k: rows[k] for k in asked.keys},
        full_feature_names=contract.full_feature_names,
    )
    came, proto = response.to_dict(), response.proto
    columns = {}
    for one in contract.inputs:
        if one.ref is None:
            columns[one.name] = list(rows[one.name])
            continue
        if one.name not in came:
            raise FeatureError(f"the online store gave no {one.name} ({one.ref}).")
        columns[one.name] = came[one.name]
    fed = FetchedFeatures(columns)
    _look(asked.watched, proto, came, fed)
    return fed


def _look(
    watched: Mapping[str, float],
    proto: Any,
    came: Mapping[str, Sequence[Any]],
    fed: FetchedFeatures,
) -> None:
    """Tell an entity that is not known from one with nulls, and both from old values."""
    import time

    now = time.time()
    known: set[int] = set()
    rows: set[int] = set()
    for name, result in zip(proto.metadata.feature_names.val, proto.results, strict=True):
        ttl = watched.get(name)
        if ttl is None:
            continue
        for i, value in enumerate(came[name]):
            moment = result.event_timestamps[i].seconds
            rows.add(i)
            if result.statuses[i] != _NOT_FOUND and (value is not None or moment > 0):
                known.add(i)
            if value is not None and ttl and 0 < moment < now - ttl:
                fed.stale.add(i)
    fed.absent = rows - known


def _as_trained(wanted: FeatureRequest) -> Any:
    """The features in the order in which the training asked for them.

    The dask store gives other rows for another order, where a view has no entity.
    """
    if not isinstance(wanted.features, list):
        return wanted.features
    place = {ref: n for n, ref in enumerate(wanted.contract.refs)}
    return sorted(wanted.features, key=lambda ref: place.get(ref, len(place)))


_ROW, _AT = "feast_nb_row", "event_timestamp"


def moments_of(given: Any, column: str) -> Any:
    """A column's moments in UTC; raises `FeatureError` where it is not there, or holds others."""
    import pandas as pd

    if column not in given.columns:
        hint = nearest(column, [str(c) for c in given.columns])
        raise FeatureError(f"no column {column} to score as of; {hint}")
    values = given[column].reset_index(drop=True)
    if pd.api.types.is_numeric_dtype(values):
        raise FeatureError(f"{column} holds {values.dtype}, no moments to score as of.")
    try:
        return pd.to_datetime(values, utc=True)
    except (ValueError, TypeError) as problem:
        first = str(problem).splitlines()[0].rstrip(".")
        raise FeatureError(f"{column} holds no moments to score as of: {first}.") from None


def historical(store: Any, wanted: FeatureRequest, given: Any, moments: str) -> FetchedFeatures:
    """The inputs of a frame's rows as they were at the moments in one of its columns."""
    contract = wanted.contract
    asked = given[list(wanted.keys)].reset_index(drop=True)
    asked[_AT] = moments_of(given, moments)
    asked[_ROW] = range(len(asked))
    arguments = {n: v for n, v in contract.arguments.items() if n in REPEATABLE}
    frame = store.get_historical_features(
        entity_df=asked,
        features=_as_trained(wanted),
        full_feature_names=contract.full_feature_names,
        **arguments,
    ).to_df()
    came = frame.drop_duplicates(_ROW).set_index(_ROW).reindex(range(len(asked)))
    columns = {}
    for one in contract.inputs:
        if one.ref is None:
            columns[one.name] = list(given[one.name])
        elif one.name not in came.columns:
            raise FeatureError(f"the offline store gave no {one.name} ({one.ref}).")
        else:
            values = came[one.name]
            columns[one.name] = values.astype(object).where(values.notna(), None).tolist()
    lost = set(range(len(asked))) - set(frame[_ROW])
    return FetchedFeatures(columns, absent=lost)
