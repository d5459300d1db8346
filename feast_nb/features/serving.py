"""A model's inputs as Feast serves them: fetched, put in the model's order, and looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import FeatureError, nearest
from ..records import Contract

# Feast's `FieldStatus`; a store that says PRESENT for an entity it does not know (Redis) gives it
# a null of 1970.
_NOT_FOUND = 3


@dataclass
class Fed:
    """What was fetched for some rows: input → values, in the model's order, and what was amiss.

    `absent` and `stale` hold the places of rows whose entity no view knows, and of those with a
    value older than its view's TTL.
    """

    columns: dict[str, list[Any]]
    absent: set[int] = field(default_factory=set)
    stale: set[int] = field(default_factory=set)

    def add(self, other: Fed, after: int) -> None:
        """Append what was fetched for further rows, `after` so many."""
        for name, values in other.columns.items():
            self.columns.setdefault(name, []).extend(values)
        self.absent |= {after + i for i in other.absent}
        self.stale |= {after + i for i in other.stale}


def needed(
    store: Any, contract: Contract, features: Any
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns that a caller must give: join keys and request data; other inputs."""
    from . import definitions

    views = definitions.views_of(store, features, contract.features)
    keys = definitions.join_keys_of(store, views.values())
    asked = definitions.request_fields_of(views.values())
    own = tuple(i.name for i in contract.inputs if not i.ref)
    return tuple(dict.fromkeys((*keys, *asked))), tuple(n for n in own if n not in keys)


def check_given(given: Sequence[str], keys: Sequence[str], others: Sequence[str]) -> None:
    """Raise `FeatureError` for the first column that is needed and not given."""
    for name in (*keys, *others):
        if name not in given:
            what = "an entity key or request data" if name in keys else "an input of the model"
            hint = nearest(name, given)
            raise FeatureError(f"no column {name}, which is {what}; {hint or 'give it.'}")


def online(store: Any, contract: Contract, features: Any, rows: Mapping[str, list[Any]]) -> Fed:
    """The inputs of some rows from the online store; `rows` holds what `needed` names."""
    keys, _ = needed(store, contract, features)
    response = store.get_online_features(
        features=features,
        entity_rows={k: rows[k] for k in keys},
        full_feature_names=contract.full_feature_names,
    )
    came, proto = response.to_dict(), response.proto
    places = {name: i for i, name in enumerate(proto.metadata.feature_names.val)}
    columns = {}
    for one in contract.inputs:
        if one.ref is None:
            columns[one.name] = list(rows[one.name])
            continue
        if one.name not in came:
            raise FeatureError(f"the online store gave no {one.name} ({one.ref}).")
        columns[one.name] = came[one.name]
    fed = Fed(columns)
    _look(ttls_of(store, contract, features), contract, proto, places, fed)
    return fed


def _look(
    ttls: Mapping[str, float], contract: Contract, proto: Any, places: Mapping[str, int], fed: Fed
) -> None:
    """Tell an entity that is not known from one with nulls, and both from old values."""
    import time

    now = time.time()
    known: set[int] = set()
    rows: set[int] = set()
    for one in contract.inputs:
        view = (one.ref or "").partition(":")[0]
        if view not in ttls or one.name not in places:
            continue
        result = proto.results[places[one.name]]
        for i, value in enumerate(fed.columns[one.name]):
            moment = result.event_timestamps[i].seconds
            rows.add(i)
            if result.statuses[i] != _NOT_FOUND and (value is not None or moment > 0):
                known.add(i)
            if value is not None and ttls[view] and 0 < moment < now - ttls[view]:
                fed.stale.add(i)
    fed.absent = rows - known


def ttls_of(store: Any, contract: Contract, features: Any) -> dict[str, float]:
    """The TTL in seconds of each view that a contract names; on-demand views have none."""
    from . import definitions

    views = definitions.views_of(store, features, contract.features)
    return {
        name: view.ttl.total_seconds() if view.ttl else 0.0
        for name, view in views.items()
        if hasattr(view, "ttl")
    }


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


def historical(store: Any, contract: Contract, features: Any, given: Any, moments: str) -> Fed:
    """The inputs of a frame's rows as they were at the moments in one of its columns."""

    keys, _ = needed(store, contract, features)
    asked = given[list(keys)].reset_index(drop=True)
    asked[_AT] = moments_of(given, moments)
    asked[_ROW] = range(len(asked))
    frame = store.get_historical_features(
        entity_df=asked, features=features, full_feature_names=contract.full_feature_names
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
    return Fed(columns, absent=lost)
