"""A model's inputs as Feast serves them: fetched, put in the model's order, and looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import FeatureError, nearest
from ...records.contract import Contract
from ...records.references import column_names
from .calls import REPEATABLE
from .views import View

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
    column whose values tell whether an entity is known and how old it is. `views` are those asked
    for, `clash` is why Feast cannot serve them online at all.
    """

    contract: Contract
    features: Any
    keys: tuple[str, ...]
    entities: tuple[str, ...]
    others: tuple[str, ...]
    watched: dict[str, float]
    views: tuple[View, ...] = ()
    clash: str | None = None

    @property
    def one_by_one(self) -> bool:
        """Whether an on-demand view among them computes one row at a time (`singleton`).

        Feast gives one value then, for any number of rows.
        """
        return any(view.is_singleton for view in self.views)


def ask(store: Any, contract: Contract, features: Any, watch: bool = True) -> FeatureRequest:
    """What to ask for a model's inputs; `features` as a `Resolution` has them.

    To `watch` features of on-demand views, what these compute from is fetched beside them.
    """
    from . import definitions, registry

    # Of a service Feast fetches all, for which it wants all of its keys.
    known = registry.definitions_of(store)
    views = definitions.views_of(known, features, definitions.refs_of(store, features))
    entities = definitions.join_keys_of(known, views.values())
    requested = definitions.request_fields_of(views.values())
    watched = {}
    for one in contract.inputs:
        view = views.get((one.ref or "").partition(":")[0])
        if view is not None and view.is_timed:
            watched[one.name] = view.ttl
    if watch and isinstance(features, list):
        behind = _behind(contract, definitions.views_behind(known, views))
        features = [*features, *(ref for ref, _ in behind.values() if ref not in features)]
        watched |= {column: ttl for column, (_, ttl) in behind.items()}
    others = tuple(i.name for i in contract.inputs if not i.ref and i.name not in entities)
    keys = tuple(dict.fromkeys((*entities, *requested)))
    clash = definitions.key_clash(known, views.values())
    return FeatureRequest(
        contract, features, keys, entities, others, watched, tuple(views.values()), clash
    )


def check_online(asked: FeatureRequest) -> None:
    """Raise `FeatureError` for what Feast cannot serve online."""
    if asked.clash:
        raise FeatureError(asked.clash)


def _behind(contract: Contract, behind: Mapping[str, View]) -> dict[str, tuple[str, float]]:
    """Column → (reference, TTL) of what on-demand views compute from, where no name is taken."""
    taken = {i.name for i in contract.inputs}
    found: dict[str, tuple[str, float]] = {}
    for name, view in behind.items():
        for feature in view.features if view.is_timed else ():
            column = f"{name}__{feature.name}" if contract.full_feature_names else feature.name
            if column not in taken:
                taken.add(column)
                found[column] = f"{name}:{feature.name}", view.ttl
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
    came, proto = in_its_words(contract, response), response.proto
    columns = {}
    for one in contract.inputs:
        if one.ref is None:
            columns[one.name] = list(rows[one.name])
            continue
        if one.name not in came:
            raise FeatureError(f"the online store gave no {one.name} ({one.ref}).")
        columns[one.name] = came[one.name]
    fed = FetchedFeatures(columns)
    own = _own_names(contract)
    names = [own.get(name, name) for name in proto.metadata.feature_names.val]
    _look(asked.watched, names, proto, came, fed)
    return fed


def in_its_words(contract: Contract, response: Any) -> dict[str, list[Any]]:
    """An online answer by the names, and with the texts, that the training frame had.

    Stores differ in the names of pinned versions. Offline, Json, Uuid and Decimal features are
    texts, which Feast parses online: the model gets them as they are stored.
    """
    own = _own_names(contract)
    came = {own.get(name, name): values for name, values in response.to_dict().items()}
    texts = {i.name for i in contract.inputs if _TEXTS.fullmatch(i.dtype or "")}
    proto = response.proto
    for sent, result in zip(proto.metadata.feature_names.val, proto.results, strict=True):
        name = own.get(sent, sent)
        if name in texts:
            came[name] = [_as_stored(v, p) for v, p in zip(came[name], result.values, strict=True)]
    return came


_TEXTS = re.compile(r"(large_)?(string|list<\w+: (large_)?string>)")


def _as_stored(value: Any, proto: Any) -> Any:
    """A value as the store keeps it, where that is text or a list of texts."""
    if value is None or isinstance(value, str):
        return value
    stored = getattr(proto, str(proto.WhichOneof("val")))
    if isinstance(stored, str):
        return stored
    inner = list(getattr(stored, "val", ()))
    return inner if inner and all(isinstance(v, str) for v in inner) else value


def _own_names(contract: Contract) -> dict[str, str]:
    """What a store may call a feature of a pinned version → what the model calls it."""
    mine = {one.name for one in contract.inputs}
    own: dict[str, str] = {}
    for one in contract.inputs:
        for name in column_names(one.ref, contract.full_feature_names) if one.ref else ():
            if name not in mine:
                own.setdefault(name, one.name)
    return own


def _look(
    watched: Mapping[str, float],
    names: Sequence[str],
    proto: Any,
    came: Mapping[str, Sequence[Any]],
    fed: FetchedFeatures,
) -> None:
    """Tell an entity that is not known from one with nulls, and both from old values."""
    import time

    now = time.time()
    known: set[int] = set()
    rows: set[int] = set()
    for name, result in zip(names, proto.results, strict=True):
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
    from . import definitions

    contract = wanted.contract
    asked = given[list(wanted.keys)].reset_index(drop=True)
    asked[_AT] = moments_of(given, moments)
    asked[_ROW] = range(len(asked))
    arguments = {n: v for n, v in contract.arguments.items() if n in REPEATABLE}
    with definitions.retrieving(store, wanted.views):
        frame = store.get_historical_features(
            entity_df=asked,
            features=_as_trained(wanted),
            full_feature_names=contract.full_feature_names,
            **arguments,
        ).to_df()
    frame = frame.rename(columns=_own_names(contract))
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
