"""What is to be known of a retrieval, from Feast's objects and results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..frames import matching
from ..integrations.feast import sources
from ..integrations.feast.calls import Call
from ..integrations.feast.jobs import JobResult
from ..masking import public_uri
from ..records.retrieval import Retrieval

if TYPE_CHECKING:
    import pandas as pd
    from feast.mlflow_integration.config import MlflowConfig
    from feast.online_response import OnlineResponse

    from ..integrations.feast.definitions import ResolvedRequest


def is_written(settings: MlflowConfig) -> bool:
    """Whether the YAML says in so many words whether entity frames are kept."""
    return "auto_log_entity_df" in settings.model_fields_set


def look_up(call: Call, asked: ResolvedRequest) -> Callable[[Retrieval], Retrieval]:
    """What takes longer to find out: a service that was just applied, what the sources hold."""

    def look(retrieval: Retrieval) -> Retrieval:
        from ..integrations.feast import definitions

        if retrieval.service_basis != "given":
            service, basis, fitting = definitions.service_now(call.store, asked.refs)
            retrieval = replace(retrieval, service=service, service_basis=basis, services=fitting)
        if retrieval.kind == "online":
            return retrieval
        by_source = {
            v.batch_source.name: v
            for v in (*asked.views.values(), *asked.behind.values())
            if v.batch_source is not None
        }
        repo = call.store.repo_path
        found = (sources.looked_into(s, by_source[s.name], repo) for s in retrieval.sources)
        return replace(retrieval, sources=tuple(found))

    return look


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
