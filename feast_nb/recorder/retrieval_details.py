"""What is to be known of a retrieval, from Feast's objects and results."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from ..errors import FeatureError, StoreError, brief
from ..frames import entity_frames, matching
from ..integrations.feast import sources
from ..integrations.feast.calls import Call
from ..integrations.feast.jobs import JobResult
from ..masking import public_uri, without_secrets
from ..records.references import column_names
from ..records.retrieval import DroppedRows, EntityFrame, LateValues, Retrieval, Seconds

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from feast import FeatureStore
    from feast.mlflow_integration.config import MlflowConfig
    from feast.online_response import OnlineResponse

    from ..frames import Tabular
    from ..integrations.feast.resolved_request import ResolvedRequest

NOT_YET = "not looked up yet"
_REST = 10.0  # seconds for which a registry that is away is not asked for one more retrieval
_away: WeakKeyDictionary[FeatureStore, tuple[float, str]] = WeakKeyDictionary()


def is_written(settings: MlflowConfig) -> bool:
    """Whether the YAML says in so many words whether entity frames are kept."""
    return "auto_log_entity_df" in settings.model_fields_set


class RequestedDefinitions:
    """What the registry defines of a call's features: at hand, or looked up in the background.

    A call is noticed on the cell's time, on which no registry is asked.
    """

    def __init__(self, call: Call) -> None:
        from ..integrations.feast import resolved_request

        self._call = replace(call, entity=None)  # its rows are not kept for a later look
        self._found = resolved_request.at_hand(call.store, call.features, call.read)
        self.named = self._found or resolved_request.by_name(call.features)

    def draft(self, kind: Literal["historical", "online"], entity: EntityFrame) -> Retrieval:
        """The call's record, with what it named; `whole` adds what that is."""
        call = self._call
        entity = replace(entity, join_keys=entity.join_keys or self.named.join_keys)
        return Retrieval(
            id="",
            kind=kind,
            project=call.store.project,
            refs=self.named.refs,
            service=self.named.service,
            service_basis=self.named.basis,
            services=self.named.fitting,
            entity=entity,
            seconds=Seconds(round(call.seconds, 6)),
            full_feature_names=call.full_feature_names,
            call=call.name,
            arguments=without_secrets(call.arguments),
        )

    def whole(self, draft: Retrieval) -> Retrieval:
        """The record with the definitions, as far as they are at hand."""
        if self._found is None:
            return replace(draft, unseen=NOT_YET)
        return self._completed(draft, self._found)

    def _completed(self, retrieval: Retrieval, asked: ResolvedRequest) -> Retrieval:
        from ..integrations.feast import resolved_request

        entity = retrieval.entity
        read = [*asked.views.values(), *asked.behind.values()]
        if retrieval.service_basis != "given":
            retrieval = replace(retrieval, service=asked.service, service_basis=asked.basis,
                                services=asked.fitting)  # fmt: skip
        return replace(
            retrieval,
            refs=asked.refs,
            views=asked.records,
            behind=asked.behind_records,
            entity=replace(entity, join_keys=entity.join_keys or asked.join_keys),
            sources=sources.identify(read, self._call.store.repo_path),
            registry=asked.registry,
            beside=resolved_request.unasked(asked, retrieval.full_feature_names),
            unseen=None,
        )

    def look(self, retrieval: Retrieval) -> Retrieval:
        """The record with what takes longer to find out, in the background.

        Definitions that were not at hand, a service that was just applied, what the sources hold.
        Raises `StoreError` where the registry is away: then it may be looked up later.
        """
        from ..integrations.feast import resolved_request

        store = self._call.store
        if self._found is None:
            try:
                asked = self._asked()
            except FeatureError as problem:
                return replace(retrieval, unseen=brief(problem, 200))
            when = str(retrieval.at), self._call.seconds
            if changed := ", ".join(resolved_request.changed_since(asked, *when)):
                why = f"{changed} was applied again, or loaded, before it was read"
                return replace(retrieval, unseen=why)
            self._found = asked
        if retrieval.unseen is not None:  # what follows may be begun anew
            retrieval = self._completed(retrieval, self._found)
        if retrieval.service_basis != "given":
            with suppress(StoreError):  # else as the copy has it
                service, basis, fitting = resolved_request.service_now(store, retrieval.refs)
                retrieval = replace(
                    retrieval, service=service, service_basis=basis, services=fitting
                )
        if retrieval.kind == "online":
            return retrieval
        by_source = {
            v.batch_source.name: v
            for v in (*self._found.views.values(), *self._found.behind.values())
            if v.batch_source is not None
        }
        repo = store.repo_path
        found = (sources.looked_into(s, by_source[s.name], repo) for s in retrieval.sources)
        return replace(retrieval, sources=tuple(found))

    def _asked(self) -> ResolvedRequest:
        """What the registry says; one that was away a moment ago is not waited for once more."""
        from ..integrations.feast import resolved_request

        store = self._call.store
        since, why = _away.get(store, (0.0, ""))
        if why and time.monotonic() - since < _REST:
            raise StoreError(why)
        try:
            return resolved_request.look_up(store, self._call.features, self._call.read)
        except StoreError as problem:
            _away[store] = time.monotonic(), str(problem)
            raise

    def types(self) -> dict[str, pa.DataType]:
        """Result column → the type that Feast declares for it; nothing where that is not known."""
        from ..integrations.feast import definitions

        if self._found is None:
            return {}
        asked = self._found
        return definitions.types_of(asked.views, asked.refs, self._call.full_feature_names)

    def dropped(self, wanted: pd.DataFrame, given: Tabular) -> tuple[DroppedRows, ...]:
        """Why rows that were asked for did not come back."""
        from ..integrations.feast import point_in_time

        if self._found is None:
            return (DroppedRows(len(wanted) - len(given), "why is not known"),)
        column = entity_frames.timestamp_column(wanted)
        views, keys = list(self._found.views.values()), self._found.join_keys
        repo = self._call.store.repo_path
        return point_in_time.dropped(wanted, given, keys, str(column), views, repo)

    def late(self, wanted: pd.DataFrame, given: Tabular) -> tuple[LateValues, ...]:
        """Which values were not there yet at their row's moment, by the sources."""
        from ..integrations.feast import point_in_time

        if self._found is None:
            return ()
        asked, call = self._found, self._call
        columns = {n: r for r in asked.refs for n in column_names(r, call.full_feature_names)}
        column = entity_frames.timestamp_column(wanted)
        return point_in_time.late_values(
            given, columns, asked.join_keys, str(column), asked.views, call.store.repo_path
        )


def place_of(ran: JobResult) -> str | None:
    """Where a job's result was written to, if it was."""
    if ran.storage is not None:
        return sources.address_of(ran.storage)
    if ran.method == "to_remote_storage" and ran.result:
        first = str(ran.result[0])
        return public_uri(first.rpartition("/")[0] if len(ran.result) > 1 else first)
    return None


def file_of(ran: JobResult) -> Path | None:
    """A local file or folder that a job wrote, and from which its result can be read."""
    where = place_of(ran)
    if where is None or "://" in where.removeprefix("file://"):
        return None
    path = Path(where.removeprefix("file://"))
    return path if path.exists() else None


def online_frame(response: OnlineResponse, draft: Retrieval) -> pd.DataFrame:
    """An online answer as a frame in the order asked: Feast's own order changes by process."""
    frame: pd.DataFrame = type(response).to_df(response)
    wanted = [c for c in draft.columns() if c in frame.columns]
    rest = sorted(c for c in frame.columns if c not in wanted)
    return frame[[*rest, *wanted]]


def mark_online(response: OnlineResponse, id: str) -> None:
    """Have the frame of an online response say which retrieval it is of."""
    original = response.to_df

    def to_df(*args: Any, **kwargs: Any) -> pd.DataFrame:
        frame: pd.DataFrame = original(*args, **kwargs)
        matching.mark(frame, id)
        return frame

    response.to_df = to_df  # type: ignore[method-assign]
