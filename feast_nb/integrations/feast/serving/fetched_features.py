"""A model's inputs as Feast has them: fetched, put in the model's words, and looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ....errors import FeatureError, nearest
from ....records.contract import Contract
from ....records.references import column_names
from ..calls import REPEATABLE, about
from ..servers import remote_answers, store_door
from . import feature_status
from .feature_request import FeatureRequest

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore
    from feast.online_response import OnlineResponse
    from feast.protos.feast.types.Value_pb2 import Value as ValueProto

    from ..calls import Features
    from .feature_status import Codes


@dataclass
class FetchedFeatures:
    """What was fetched for some rows: input → values, in the model's order, and what was amiss.

    `absent` and `stale` hold the places of rows whose entity no view knows, and of those with a
    value older than its view's TTL. `codes` has the status of each value (`feature_status`), rows
    × inputs, of what came from an online store.
    """

    columns: dict[str, list[object]]
    absent: set[int] = field(default_factory=set)
    stale: set[int] = field(default_factory=set)
    codes: Codes | None = None

    def add(self, other: FetchedFeatures, after: int) -> None:
        """Append what was fetched for further rows, `after` so many."""
        import numpy as np

        for name, values in other.columns.items():
            self.columns.setdefault(name, []).extend(values)
        self.absent |= {after + i for i in other.absent}
        self.stale |= {after + i for i in other.stale}
        if other.codes is not None:
            before = () if self.codes is None else (self.codes,)
            self.codes = np.concatenate([*before, other.codes])


def online(
    store: FeatureStore, asked: FeatureRequest, rows: Mapping[str, list[object]]
) -> FetchedFeatures:
    """The inputs of some rows from the online store; `rows` holds the columns that are needed."""
    contract = asked.contract
    with store_door.asking(store, "online store"), _call_about(asked):
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
    own = _own_names(contract)
    names = [own.get(name, name) for name in proto.metadata.feature_names.val]
    results = dict(zip(names, proto.results, strict=True))
    codes = feature_status.of_answer(asked.told_by, asked.watched, {**came, **columns}, results)
    return _looked_at(asked, columns, codes)


@contextmanager
def _call_about(asked: FeatureRequest) -> Iterator[None]:
    """The call is recorded as one for the model's features, without what is asked beside them."""
    token = about.set(asked.recorded)
    try:
        with remote_answers.with_timestamps():
            yield
    finally:
        about.reset(token)


def _looked_at(
    asked: FeatureRequest, columns: dict[str, list[object]], codes: Any
) -> FetchedFeatures:
    """What came, and the rows without anything, and with anything that is too old."""
    timed = [place for place, names in enumerate(asked.told_by.values())
             if any(name in asked.watched for name in names)]  # fmt: skip
    looked = codes[:, timed]
    gone = (looked == feature_status.MISSING).all(axis=1) if timed else looked.any(axis=1)
    old = (looked == feature_status.EXPIRED).any(axis=1)
    return FetchedFeatures(
        columns, set(gone.nonzero()[0].tolist()), set(old.nonzero()[0].tolist()), codes
    )


def in_its_words(contract: Contract, response: OnlineResponse) -> dict[str, list[object]]:
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


def _as_stored(value: object, proto: ValueProto) -> object:
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


def _as_trained(wanted: FeatureRequest) -> Features:
    """The features in the order in which the training asked for them.

    The dask store gives other rows for another order, where a view has no entity.
    """
    assert wanted.recorded is not None
    if not isinstance(wanted.recorded, list):
        return wanted.recorded
    place = {ref: n for n, ref in enumerate(wanted.contract.refs)}
    return sorted(wanted.recorded, key=lambda ref: place.get(ref, len(place)))


_ROW, _AT = "feast_nb_row", "event_timestamp"


def moments_of(given: pd.DataFrame, column: str) -> pd.Series:
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


def historical(
    store: FeatureStore, wanted: FeatureRequest, given: pd.DataFrame, moments: str
) -> FetchedFeatures:
    """The inputs of a frame's rows as they were at the moments in one of its columns."""
    from .. import definitions

    contract = wanted.contract
    asked = given[list(wanted.keys)].reset_index(drop=True)
    asked[_AT] = moments_of(given, moments)
    asked[_ROW] = range(len(asked))
    arguments = {n: v for n, v in contract.arguments.items() if n in REPEATABLE}

    def ask() -> pd.DataFrame:
        found: pd.DataFrame = store.get_historical_features(
            entity_df=asked,
            features=_as_trained(wanted),
            full_feature_names=contract.full_feature_names,
            **arguments,
        ).to_df()
        return found

    with definitions.retrieving(store, wanted.views):
        frame = store_door.answered(store, "offline store", ask)
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
