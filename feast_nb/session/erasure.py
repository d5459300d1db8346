"""The rows of a run, erased: from MLflow and from this machine; its fingerprints stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..errors import TrackingError, UsageError
from ..integrations.mlflow import http, retrieval_files, runs, writer
from ..recorder import spool_files
from ..records.answers import Erasure
from ..records.retrieval import TRAINING_FRAME, Column, Retrieval
from .recorded_training_set import run_of

if TYPE_CHECKING:
    from .session import Session


def erase(session: Session, named: str) -> Erasure:
    """Remove a run's entity frames and results; keep what proves a rebuilt training set the same.

    Raises `UsageError` for a run that goes on: its processes would write them again.
    """
    uri = session.runs.uri
    run_id, _ = run_of(session, named)
    if runs.read(uri, run_id).status == "RUNNING":
        raise UsageError(f"run {run_id[:8]} is RUNNING; end it first.")
    if not session.recorder.flush(run_id, final=True):
        raise TrackingError(
            f"records of run {run_id[:8]} are still being sent; erase it afterwards."
        )
    files = {p: retrieval_files.read(uri, run_id, p) for p in retrieval_files.places(uri, run_id)}
    kept = [one for each in files.values() for one in each.retrievals]
    found = [_places_of(one, run_id) for one in kept]
    wanted = [path for mine, _ in found for path in mine]
    beyond = [address for _, theirs in found for address in theirs]
    if TRAINING_FRAME in writer.artifacts_of(uri, run_id):
        wanted.append(TRAINING_FRAME)
    gone, refused = _deleted(uri, run_id, list(dict.fromkeys(wanted)))
    # The records last: what could not be deleted is still named, and found when it is tried again.
    for place, each in files.items():
        left = replace(each, retrievals=tuple(_without_rows(r, gone) for r in each.retrievals))
        with http.translate_errors():
            retrieval_files.rewrite(uri, run_id, place, left)
    if gone:
        writer.write(uri, run_id, {"feast_nb.entity_archived": "false: erased"}, {})
    session.recorder.forget_rows(run_id)
    ids = [one.id for one in kept]
    here = spool_files.erase(session.recorder.spool, ids)
    beyond.append("input examples inside the run's models, and what others have downloaded")
    return Erasure(run_id, tuple(gone + here), tuple(refused + list(dict.fromkeys(beyond))))


def _places_of(one: Retrieval, run_id: str) -> tuple[list[str], list[str]]:
    """The artifacts of the run that hold rows of a retrieval, and those of other runs."""
    named = [one.entity.artifact, one.result.artifact if one.result else None]
    named.append(one.entity.elsewhere)
    mine: list[str] = []
    theirs: list[str] = []
    for path in [p for p in named if p]:
        own = path.removeprefix(f"runs:/{run_id}/")
        (theirs if own.startswith("runs:/") else mine).append(own)
    return mine, theirs


def _without_rows(one: Retrieval, gone: Sequence[str]) -> Retrieval:
    """A record without what is gone, and without the lowest and highest values."""
    reason = f"it was erased on {datetime.now(UTC).date().isoformat()}"
    entity, result = one.entity, one.result
    if entity.artifact in gone:
        entity = replace(entity, artifact=None, reason=reason)
    if result is not None:
        artifact = None if result.artifact in gone else result.artifact
        columns = _without_extremes(result.columns)
        result = replace(result, artifact=artifact, columns=columns)
    return replace(one, entity=entity, result=result)


def _without_extremes(columns: Sequence[Column]) -> tuple[Column, ...]:
    """The lowest and the highest value are somebody's."""
    return tuple(replace(c, min=None, max=None) for c in columns)


def _deleted(uri: str, run_id: str, paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which artifacts are gone, and which the store would not delete, and why."""
    gone, refused = [], []
    for path in paths:
        try:
            writer.delete(uri, run_id, path)
        except TrackingError as problem:
            refused.append(f"{path}: {problem}")
        else:
            gone.append(path)
    return gone, refused
