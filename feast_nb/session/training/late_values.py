"""Values from after their rows' moments, in sources that cannot be read from here.

Where a source is a Parquet file at hand, `point_in_time` looks into it. Of all others (tables,
object stores, what an offline server has) the offline store is asked once more, for a few rows by
themselves: it knows of nothing but their own moments then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...errors import brief
from ...frames import is_pandas
from ...integrations.feast import definitions, point_in_time
from ...integrations.feast.servers import store_door
from ...integrations.feast.views import View
from ...records.retrieval import LateValues

if TYPE_CHECKING:
    from ...records.retrieval import Retrieval
    from ..session import Session

_ROWS = 50
_QUICK = 10.0  # seconds: a retrieval that took longer is not asked for once more
UNKNOWN = "whether values were known at their rows' moments is not known"


def look(session: Session, features: Any, views: Sequence[View], entity: Any, frame: Any) -> None:
    """Have the record of a training's frame say which values its rows would not get alone.

    Nothing is asked where every source is a file here, nor where asking took long. What goes wrong
    is said, and costs the training nothing.
    """
    recorder = session.recorder
    for id in recorder.links.of(frame):  # the very retrieval that gave it
        made = recorder.recording.table.retrievals[id]
        if (made.seconds.run or 0.0) > _QUICK:
            continue
        named = {view.name: view for view in views}
        try:
            sample = AskedAlone.of(session, made, features, named, entity, made.entity.join_keys)
            found = sample.unlike(frame) if sample else ()
        except Exception as problem:  # of any store: a training is never lost for this
            recorder.notices.say(f"{UNKNOWN}: {brief(problem, 200)}")
            continue
        if found:
            recorder.recording.late(made.id, found)


@dataclass(frozen=True)
class AskedAlone:
    """Some rows of a training set, asked for by themselves.

    `columns` are those of views whose sources are no files here, each with its view.
    """

    session: Session
    features: Any
    views: Mapping[str, View]
    rows: Any
    by: tuple[str, ...]
    columns: Mapping[str, str]
    arguments: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        session: Session,
        retrieval: Retrieval,
        features: Any,
        views: Mapping[str, View],
        entity: Any,
        keys: Sequence[str],
    ) -> AskedAlone | None:
        """Rows of the entity frame of a retrieval; None where there is nothing to ask."""
        stamp = retrieval.entity.timestamp
        if stamp is None or not is_pandas(entity):
            return None
        repo, by = session.store.repo_path, (*keys, stamp.column)
        away = {
            name
            for name, view in views.items()
            if view.is_timed and view.batch_source and not point_in_time.is_at_hand(view, repo)
        }
        columns = {c: ref.partition(":")[0] for c, ref in retrieval.columns().items()}
        columns = {c: view for c, view in columns.items() if view in away}
        if not columns or not set(by) <= set(entity.columns):
            return None
        arguments = {"full_feature_names": retrieval.full_feature_names, **retrieval.arguments}
        rows = point_in_time.spread(entity, _ROWS)
        return cls(session, features, views, rows, by, columns, arguments)

    def unlike(self, frame: Any) -> tuple[LateValues, ...]:
        """The values of a frame that its rows do not get by themselves, view by view."""
        return self._differences(frame, self._alone, "alone", self.columns)

    def written_later(self) -> tuple[LateValues, ...]:
        """The values that were written after their rows' moments, where sources say when.

        Feast's `filter_by_created_timestamp` leaves such out. Raises `NotImplementedError` where
        the offline store cannot (Feast 0.67's own).
        """
        says = {c: v for c, v in self.columns.items()
                if (of := self.views[v].batch_source) and of.created_timestamp_column}  # fmt: skip
        if not says:
            return ()
        known = self._ask(filter_by_created_timestamp=True)
        return self._differences(self._alone, known, "created", says)

    @cached_property
    def _alone(self) -> Any:
        return self._ask()

    def _ask(self, **more: Any) -> Any:
        store = self.session.store

        def ask() -> Any:
            job = store.get_historical_features(
                entity_df=self.rows, features=self.features, **{**self.arguments, **more}
            )
            return job.to_df()

        noticing = self.session.recorder.runs.unnoticed()
        with noticing, definitions.retrieving(store, self.views.values()):
            return store_door.answered(store, "offline store", ask)

    def _differences(
        self, one: Any, other: Any, by: Any, columns: Mapping[str, str]
    ) -> tuple[LateValues, ...]:
        """How many rows of both have other values, by view; rows that are there twice left out."""
        mine, theirs = self._keyed(one), self._keyed(other)
        both = mine.index.intersection(theirs.index)
        differ: dict[str, Any] = {}
        for column, view in columns.items():
            pairs = zip(mine.loc[both, column], theirs.loc[both, column], strict=True)
            unlike = [not point_in_time.is_same(*pair) for pair in pairs]
            before = differ.get(view, [False] * len(both))
            differ[view] = [a or b for a, b in zip(before, unlike, strict=True)]
        return tuple(
            LateValues(view, sum(rows), len(both), by) for view, rows in differ.items() if any(rows)
        )

    def _keyed(self, frame: Any) -> Any:
        import pandas as pd

        keys, rows = list(self.by), frame.copy()
        rows[keys[-1]] = pd.to_datetime(rows[keys[-1]], utc=True)
        return rows.drop_duplicates(keys, keep=False).set_index(keys)
