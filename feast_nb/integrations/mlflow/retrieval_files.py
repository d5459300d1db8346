"""The retrievals of a run: one file for each process that wrote to it, read together.

An artifact store cannot compare and swap: two processes that wrote one file would take each
other's records. `feast/retrievals.json` belongs to the first that wrote, for good; each further
one, a run continued later included, has `feast/retrievals/<writer>.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ...errors import ArtifactError
from ...records.retrieval import TRAINING_FRAME, Retrieval, Retrievals, Write, entity_place
from . import writer
from .clients import client
from .http import check_reachable

FIRST = "feast/retrievals.json"
_FOLDER = "feast/retrievals"
CLAIM = "feast_nb.writer."


def retrievals_of(uri: str, run_id: str) -> Retrievals:
    """What MLflow has of a run's retrievals and writes, of all writers, in order of time.

    Raises `GoneError` where there is no such run any more.
    """
    return joined(run_id, [read(uri, run_id, place) for place in places(uri, run_id)])


def places(uri: str, run_id: str) -> list[str]:
    """The files of a run that hold retrievals, the first writer's first."""
    there = writer.artifacts_of(uri, run_id, "feast")
    found = [FIRST] if FIRST in there else []
    if there.get(_FOLDER):
        further = writer.artifacts_of(uri, run_id, _FOLDER)
        found += sorted(path for path in further if path.endswith(".json"))
    return found


def read(uri: str, run_id: str, place: str) -> Retrievals:
    """What one of the files of a run holds; raises `ArtifactError` where it is damaged."""
    text = writer.downloaded(uri, run_id, place)
    return Retrievals.read(text, f"{place} of run {run_id[:8]}")


def rewrite(uri: str, run_id: str, place: str, kept: Retrievals) -> None:
    """Write a file of a run that has ended anew."""
    writer.write(uri, run_id, {}, {}, [(json.dumps(kept.to_dict(), indent=1), place)])


def joined(run_id: str, parts: Iterable[Retrievals]) -> Retrievals:
    """Several files as one; of a record in two of them what is known last."""
    retrievals: dict[str, Retrieval] = {}
    writes: dict[str, Write] = {}
    definitions: dict[str, object] = {}
    for part in parts:
        for one in part.retrievals:
            known = retrievals.get(one.id)
            if known is None or _progress(one) >= _progress(known):
                retrievals[one.id] = one
        writes |= {w.id: w for w in part.writes}
        definitions |= part.definitions
    in_order = sorted(retrievals.values(), key=lambda r: r.at or "")
    return Retrievals(run_id, tuple(in_order), tuple(writes.values()), definitions)


def without(mine: Retrievals, others: Retrievals) -> Retrievals:
    """The records of a writer that no other file has as well."""
    known = {r.id: _progress(r) for r in others.retrievals}
    written = {w.id for w in others.writes}
    return replace(
        mine,
        retrievals=tuple(
            r for r in mine.retrievals if r.id not in known or _progress(r) > known[r.id]
        ),
        writes=tuple(w for w in mine.writes if w.id not in written),
    )


def frame_place(retrievals: Iterable[Retrieval]) -> str:
    """Where a writer that is not the first has the frame that the first keeps as Feast does."""
    ids = [r.id for r in retrievals if r.entity.artifact == TRAINING_FRAME]
    return entity_place(ids[0]) if ids else TRAINING_FRAME


def renamed(mine: Retrievals) -> Retrievals:
    """A further writer's records, with their own frame named where it is."""
    place = frame_place(mine.retrievals)
    return replace(
        mine,
        retrievals=tuple(
            replace(r, entity=replace(r.entity, artifact=place))
            if r.entity.artifact == TRAINING_FRAME
            else r
            for r in mine.retrievals
        ),
    )


def _progress(one: Retrieval) -> tuple[bool, int, bool]:
    """How much is known of a retrieval: a job runs after it was submitted, and then is hashed."""
    return one.state != "submitted", one.count, one.result is not None


def claimed(uri: str, run_id: str, by: str, fresh: bool = False) -> tuple[str, bool]:
    """The file that a writer of a run may write from here on, and whether it is the only one.

    Each writer says in a tag of its own that it writes, and then looks who else says so: of two
    that begin at once at least one sees the other, and only who sees nobody, and no first file
    of somebody else's, takes the first file. A `fresh` run was begun by this writer: nothing is
    listed, for which MLflow looks for Spark. Raises `GoneError` where the run is gone.
    """
    writer.write(uri, run_id, {CLAIM + by: "true"}, {})
    first = alone = claims(uri, run_id) == [by]
    if not (fresh and alone) and FIRST in writer.artifacts_of(uri, run_id, "feast"):
        try:
            first = read(uri, run_id, FIRST).writer == by
        except ArtifactError:
            first = False
    return (FIRST if first else f"{_FOLDER}/{by}.json"), alone


def claims(uri: str, run_id: str) -> list[str]:
    """The writers that said they write to a run."""
    check_reachable(uri)
    tags: Mapping[str, str] = client(uri).get_run(run_id).data.tags
    return [key.removeprefix(CLAIM) for key in tags if key.startswith(CLAIM)]
