"""A training set retrieved again from what a run kept, and held against what it was then."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts import drift
from ..errors import FeatureError, brief
from ..frames import comparison, fingerprint, parquet
from ..integrations.feast import (
    definition_hashes,
    definitions,
    point_in_time,
    registry,
    repository,
    sources,
)
from ..integrations.feast.views import View
from ..integrations.mlflow import writer
from ..records.answers import Reproduction
from ..records.contract import Contract
from ..records.retrieval import Retrieval, Source, Span
from . import resolution
from .recorded_training_set import RecordedRetrieval, asked_again, recorded_of, retrieve
from .training import late_values

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ..integrations.feast.calls import Features
    from .session import Session


def reproduce(
    session: Session, named: str, number: int | None = None, verify: bool = False
) -> Reproduction:
    """Retrieve a run's or model's training frame again; with `verify` say whether it is the same.

    `number` (from one) chooses among several retrievals. The new frame is `.frame`. Raises
    `FeatureError` where it cannot be retrieved again, with the reason.
    """
    recorded = recorded_of(session, named, number)
    registry.refresh(session.store)
    retrieval = recorded.retrieval
    resolution.check_project(session, named, retrieval.project)
    asked = asked_again(session, recorded)
    features = _features(session, retrieval)
    views = definitions.views_of(registry.definitions_of(session.store), features, retrieval.refs)
    _check_available(views)
    with (
        session.recorder.runs.apart(),
        definitions.retrieving(session.store, views.values()),
    ):  # an open run does not train on it: a later cell may
        frame = retrieve(session, retrieval, features, asked)
    found = Reproduction(
        run_id=recorded.run_id,
        retrieval=retrieval.id or None,
        refs=retrieval.refs,
        rows=len(frame),
        because=_redefined(session, retrieval, recorded.definitions),
        notes=_lost(session, retrieval, views.values(), asked.get("entity_df"), frame),
        frame=frame,
    )
    if verify:
        found = _verified(session, recorded, views, found)
        entity = asked.get("entity_df")
        late = _late(session, retrieval, features, views, frame, entity)
        found = replace(found, notes=(*found.notes, *late))
    if found.verdict in ("identical", "reordered"):  # a file written anew, with the same in it
        return found
    return replace(found, because=(*found.because, *_sources_changed(session, retrieval)))


def _check_available(views: Mapping[str, View]) -> None:
    try:
        definitions.check_available(views.values())
    except FeatureError as problem:
        raise FeatureError(f"cannot be rebuilt now: {problem}") from None


def _features(session: Session, retrieval: Retrieval) -> Features:
    """The references of then; the service itself where it renames views and still is the same."""
    if retrieval.service:
        try:
            service = repository.service_named(session.store, retrieval.service)
        except FeatureError:
            service = None
        same = service is not None and definitions.service_refs(service) == retrieval.refs
        if service is not None and same and resolution.renames(service):
            now = {p.name_to_use(): p.name for p in service.feature_view_projections}
            then = {v.name: v.view for v in retrieval.views}
            if then and any(now.get(name) != view for name, view in then.items()):
                raise FeatureError(
                    f"cannot be rebuilt: service {retrieval.service} means other views by its "
                    "names than it did."
                )
            return service
    try:
        repository.check_refs(session.store, retrieval.refs)
    except FeatureError as problem:
        raise FeatureError(f"cannot be rebuilt: {problem}") from None
    return list(retrieval.refs)


# ------------------------------------------------------------------ what changed since


def _redefined(
    session: Session, retrieval: Retrieval, known: Mapping[str, object]
) -> tuple[str, ...]:
    """Which definition is not what it was then; `known` is what its hashes stood for."""
    if retrieval.unseen is not None:
        return (f"the definitions of then are not known ({retrieval.unseen})",)
    then = Contract("", None, retrieval.project, refs=retrieval.refs,
                    views=(*retrieval.behind, *retrieval.views),
                    definitions=dict(known))  # fmt: skip
    records = registry.definitions_of(session.store).records(drift.versions_named(then))
    changes = drift.compare(then, records, definition_hashes.parts_of(records.values()))
    return tuple(c.said for c in changes if c.kind not in ("added", "reordered"))


def _sources_changed(session: Session, retrieval: Retrieval) -> tuple[str, ...]:
    """Which source holds something else than it held then."""
    by_name = registry.definitions_of(session.store).views
    read = (*retrieval.views, *retrieval.behind)
    mine = [by_name[v.view] for v in read if v.view in by_name]
    now = {s.name: s for s in sources.identify(mine, session.store.repo_path)}
    by_source = {v.batch_source.name: v for v in mine if v.batch_source is not None}
    said: list[str] = []
    for was in retrieval.sources:
        if was.name in now:
            is_now = sources.looked_into(
                now[was.name], by_source[was.name], session.store.repo_path, imports=True
            )
            said += _source_changed(was, is_now)
    return tuple(said)


def _source_changed(was: Source, now: Source) -> list[str]:
    found = []
    for name, told in (("rows", "rows"), ("newest", "newest event"), ("etag", "ETag"),
                       ("size", "bytes"), ("modified", "written"), ("path", "place")):  # fmt: skip
        old, new = getattr(was, name), getattr(now, name)
        if old is not None and new is not None and old != new:
            found.append(f"{told} {old}, now {new}")
    if found:
        return [f"source {was.name} has changed: {'; '.join(found[:3])}."]
    if now.unseen:
        return [
            f"source {was.name} cannot be looked at from here ({now.unseen}): whether it changed "
            "is not known."
        ]
    return []


def _lost(
    session: Session,
    retrieval: Retrieval,
    views: Collection[View],
    asked: object,
    frame: pd.DataFrame,
) -> tuple[str, ...]:
    """Rows that the offline store of today did not give, and why."""
    import pandas as pd

    if not isinstance(asked, pd.DataFrame) or len(asked) == len(frame):
        return ()
    stamp = retrieval.entity.timestamp or Span("event_timestamp")
    keys = retrieval.entity.join_keys or definitions.join_keys_of(
        registry.definitions_of(session.store), views
    )
    repo = session.store.repo_path
    lost = point_in_time.dropped(asked, frame, keys, stamp.column, views, repo)
    return tuple(f"{_rows_that(loss.rows)}: {loss.why}." for loss in lost)


def _late(
    session: Session,
    retrieval: Retrieval,
    features: Features,
    views: Mapping[str, View],
    frame: pd.DataFrame,
    entity: object,
) -> tuple[str, ...]:
    """Values that were not there yet, or not written yet, at the moments of their rows.

    By what the sources hold, where they are files here; else by what the offline store gives for
    some rows alone, and without values that were written later.
    """
    stamp = retrieval.entity.timestamp
    if stamp is None or retrieval.entity.kind != "dataframe":
        return ()
    known = registry.definitions_of(session.store)
    keys = retrieval.entity.join_keys or definitions.join_keys_of(known, views.values())
    whole = not retrieval.arguments.get("filter_by_created_timestamp")
    found = point_in_time.late_values(
        frame,
        retrieval.columns(),
        keys,
        stamp.column,
        views,
        session.store.repo_path,
        created=whole,
    )
    alone = late_values.AskedAlone.of(session, retrieval, features, views, entity, keys)
    try:
        if alone is not None:
            found = (*found, *alone.unlike(frame))
            found = (*found, *(alone.written_later() if whole else ()))
    except Exception as problem:  # of any store: the verdict stands, and this is said
        return (*(one.said for one in found), f"{late_values.UNKNOWN}: {brief(problem, 200)}")
    return tuple(late.said for late in found)


def _rows_that(rows: int) -> str:
    """So many rows were not given, or (below none) came twice."""
    one = abs(rows) == 1
    said = "came twice" if rows < 0 else f"{'was' if one else 'were'} not given"
    return f"{abs(rows):,} row{'' if one else 's'} {said}"


# ------------------------------------------------------------------ comparing


def _verified(
    session: Session, recorded: RecordedRetrieval, views: Mapping[str, View], found: Reproduction
) -> Reproduction:
    then = recorded.retrieval.result
    if then is None or then.fingerprint is None:
        why = "Feast alone recorded it: what came back then is not known, so nothing proves it."
        if recorded.by_us:
            why = "no fingerprint was recorded: the kernel ended before it was made."
        return replace(found, notes=(*found.notes, why))
    retrieval = recorded.retrieval
    types = definitions.types_of(views, retrieval.refs, retrieval.full_feature_names)
    now = fingerprint.of(found.frame, types)
    if now.digest != then.fingerprint:  # it may have been hashed while the registry was away
        undeclared = fingerprint.of(found.frame)
        now = undeclared if undeclared.digest == then.fingerprint else now
    if now.digest == then.fingerprint:
        same = then.row_order is None or now.row_order == then.row_order
        return replace(found, verdict="identical" if same else "reordered")
    return _differences(session, recorded, types, replace(found, verdict="different"))


def _differences(
    session: Session,
    recorded: RecordedRetrieval,
    types: Mapping[str, pa.DataType],
    found: Reproduction,
) -> Reproduction:
    """Where two frames differ, from the copy that the run kept; else only that they do."""
    retrieval = recorded.retrieval
    artifact = retrieval.result.artifact if retrieval.result else None
    if artifact is None:
        missing = max(0, (retrieval.result.rows if retrieval.result else 0) - found.rows)
        why = "the run keeps no copy of what came back: where it differs is not known."
        return replace(found, missing=missing, notes=(*found.notes, why))
    where = artifact if artifact.startswith("runs:/") else f"runs:/{recorded.run_id}/{artifact}"
    with tempfile.TemporaryDirectory(prefix="feast_nb") as place:
        rows = retrieval.result.rows if retrieval.result else None
        kept = parquet.read_table(
            writer.download(session.runs.uri, where, Path(place)), rows, where
        )
    old = kept.to_pandas()
    stamp = retrieval.entity.timestamp
    shown = [*retrieval.entity.join_keys, *([stamp.column] if stamp else [])]
    compared = comparison.compare(old, found.frame, _keys(retrieval, stamp), shown)
    found = replace(found, missing=compared.missing, new=compared.new, columns=compared.columns)
    if compared.missing or compared.new or compared.columns:
        return found
    unlike = comparison.unlike(kept, found.frame, types)
    if unlike:
        return replace(found, columns=unlike)
    why = "the run's copy does not keep all of what came back: where it differs is not known."
    return replace(found, notes=(*found.notes, why))


def _keys(retrieval: Retrieval, stamp: Span | None) -> Sequence[str]:
    """What tells rows apart: all that came with the entity rows."""
    given = {*retrieval.columns(), *retrieval.beside}
    own = [c.name for c in retrieval.result.columns] if retrieval.result else []
    return [c for c in own if c not in given] or [*retrieval.entity.join_keys,
                                                  *([stamp.column] if stamp else [])]  # fmt: skip
