"""A training set retrieved again from what a run kept, and held against what it was then."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import comparison, drift, fingerprint
from ..answers import Reproduction
from ..errors import FeastNbError, FeatureError, ModelError
from ..features import catalog, definitions, hashes, losses, sources
from ..records import Contract, EntityFrame, Retrieval, Source, Span
from ..runs import contracts, http, lookup, tracking, writing
from . import delivery, resolution

if TYPE_CHECKING:
    from . import Session


@dataclass(frozen=True)
class Recorded:
    """A retrieval of a run, as it was recorded by us or by Feast alone."""

    run_id: str
    retrieval: Retrieval
    by_us: bool
    definitions: Mapping[str, Any] = field(default_factory=dict)


def reproduce(
    session: Session, named: str, number: int | None = None, verify: bool = False
) -> Reproduction:
    """Retrieve a run's or model's training frame again; with `verify` say whether it is the same.

    `number` (from one) chooses among several retrievals. The new frame is `.frame`. Raises
    `FeatureError` where it cannot be retrieved again, with the reason.
    """
    session.store.refresh_registry()
    recorded = _recorded(session, named, number)
    retrieval = recorded.retrieval
    resolution.check_project(session, named, retrieval.project)
    asked = _asked(session, recorded)
    features = _features(session, retrieval)
    with session.recorder.apart():  # an open run does not train on it: a later cell may
        frame = _retrieved(session, features, retrieval.full_feature_names, asked)
    views = definitions.views_of(session.store, features, retrieval.refs)
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
    if found.verdict in ("identical", "reordered"):  # a file written anew, with the same in it
        return found
    return replace(found, because=(*found.because, *_sources_changed(session, retrieval)))


# ------------------------------------------------------------------ what was recorded


def _recorded(session: Session, named: str, number: int | None) -> Recorded:
    uri = session.runs.uri
    run_id, contract = _run_of(session, named)
    document = delivery.earlier(uri, run_id)
    kept = [r for r in document.retrievals if r.kind == "historical" and r.state == "ran"]
    if not kept:
        if number not in (None, 1):
            raise FeatureError(f"run {named} has no retrieval {number}; it has 1.")
        return Recorded(run_id, _of_feast(uri, run_id, named), by_us=False)
    known = document.definitions
    if number is not None:
        if not 1 <= number <= len(kept):
            raise FeatureError(f"run {named} has no retrieval {number}; it has {_numbers(kept)}.")
        return Recorded(run_id, kept[number - 1], by_us=True, definitions=known)
    mine = [r for r in kept if contract is not None and r.id in contract.retrievals]
    chosen = mine or kept
    if len(chosen) > 1:
        listed = "; ".join(
            f"{kept.index(r) + 1}: {r.service or ', '.join(r.refs[:3])}, {_rows(r)} rows"
            for r in chosen
        )
        raise FeatureError(f"{named} has {len(chosen)} retrievals; add --retrieval N ({listed}).")
    return Recorded(run_id, chosen[0], by_us=True, definitions=known)


def _numbers(kept: Sequence[Retrieval]) -> str:
    return "1" if len(kept) == 1 else f"1–{len(kept)}"


def _rows(retrieval: Retrieval) -> str:
    return f"{retrieval.result.rows:,}" if retrieval.result else "?"


def _run_of(session: Session, named: str) -> tuple[str, Contract | None]:
    """The run that a run's name or id, or a model's name, means."""
    uri = session.runs.uri
    http.check_reachable(uri)
    if "/" not in named and "@" not in named:
        with http.translate_errors():
            run_id = lookup.run_named(uri, session.store.project, named)
        if run_id is not None:
            return run_id, None
    try:
        found = lookup.find(uri, named)
    except ModelError as problem:
        raise ModelError(f"{named} is no run of {session.store.project}, and {problem}") from None
    if found.run_id is None:
        raise ModelError(f"{found.shown} was logged outside any run: nothing was recorded.")
    return found.run_id, contracts.of(uri, found)


def _of_feast(uri: str, run_id: str, named: str) -> Retrieval:
    """What Feast's own integration recorded of a run: its tags, and the files it names."""
    tags = tracking.tags_of(uri, run_id)
    left = lookup.feasts_own(uri, lookup.Found(named, run_id=run_id))
    if left.refs is None or tags.get("feast.retrieval_type") == "online":
        raise FeatureError(f"run {named} recorded no historical retrieval: nothing to rebuild.")
    if left.cut:
        raise FeatureError(
            f"run {named} cannot be rebuilt: Feast cut the list of its references off "
            f"({len(left.refs)} of {tags['feast.feature_count']} are known)."
        )
    kind: Any = {"sql": "sql", "range": "range"}.get(tags.get("feast.entity_df_type", ""))
    start, end = tags.get("feast.start_date"), tags.get("feast.end_date")
    entity = EntityFrame(
        kind or ("range" if start else "dataframe"),
        query=tags.get("feast.entity_df_query"),
        start=start,
        end=end,
        artifact="entity_df.parquet",
    )
    return Retrieval("", "historical", left.project or "", left.refs, "ran",
                     service=left.run, entity=entity)  # fmt: skip


# ------------------------------------------------------------------ asking again


def _asked(session: Session, recorded: Recorded) -> dict[str, Any]:
    """The entity rows, query or date range of then, as arguments of the retrieval."""
    entity = recorded.retrieval.entity
    if entity.kind in ("sql", "range") and entity.artifact and recorded.by_us:
        return {"entity_df": _kept(session, recorded)}  # its rows as they were then
    if entity.kind == "sql" and entity.query:
        if entity.query.endswith("...") and not recorded.by_us:
            raise FeatureError("it cannot be rebuilt: Feast cut the entity query off.")
        return {"entity_df": entity.query}
    if entity.kind == "range":
        import pandas as pd

        moments = {"start_date": entity.start, "end_date": entity.end}
        return {k: pd.Timestamp(v).to_pydatetime() for k, v in moments.items() if v}
    return {"entity_df": _kept(session, recorded)}


def _retrieved(session: Session, features: Any, full: bool, asked: dict[str, Any]) -> Any:
    store = session.store
    try:
        job = store.get_historical_features(features=features, full_feature_names=full, **asked)
    except TypeError as problem:
        if "start_date" not in str(problem) and "end_date" not in str(problem):
            raise
        kind = str(getattr(store.config.offline_store, "type", "")).rpartition(".")[2]
        raise FeatureError(
            f"it cannot be rebuilt here: it was asked for by a range of dates, and the offline "
            f"store {kind} takes none."
        ) from problem
    return job.to_df()


def _kept(session: Session, recorded: Recorded) -> Any:
    import pandas as pd

    entity, uri = recorded.retrieval.entity, session.runs.uri
    where = f"runs:/{recorded.run_id}/{entity.artifact}" if entity.artifact else None
    elsewhere = (entity.reason or "").removeprefix("it is kept in ")
    if where is None and elsewhere.startswith("runs:/"):
        where = elsewhere
    if where is None:
        why = entity.reason or "nobody said why"
        raise FeatureError(f"it cannot be rebuilt: its entity frame was not archived: {why}.")
    with tempfile.TemporaryDirectory(prefix="feast_nb") as place:
        try:
            return pd.read_parquet(writing.download(uri, where, Path(place)))
        except (FeastNbError, OSError) as problem:
            said = tracking.tags_of(uri, recorded.run_id).get("feast.entity_df_rows")
            size = f" ({said} rows)" if said else ""
            raise FeatureError(
                f"it cannot be rebuilt: the run keeps no entity frame{size}; Feast archives one "
                "with auto_log_entity_df: true, up to entity_df_max_rows."
                if not recorded.by_us
                else f"it cannot be rebuilt: {where} cannot be read ({problem})."
            ) from problem


def _features(session: Session, retrieval: Retrieval) -> Any:
    """The references of then; the service itself where it renames views and still is the same."""
    if retrieval.service:
        try:
            service = catalog.service_named(session.store, retrieval.service)
        except FeatureError:
            service = None
        same = service is not None and definitions.service_refs(service) == retrieval.refs
        if same and resolution.renames(service):
            now = {p.name_to_use(): p.name for p in service.feature_view_projections}
            then = {v.name: v.view for v in retrieval.views}
            if then and any(now.get(name) != view for name, view in then.items()):
                raise FeatureError(
                    f"it cannot be rebuilt: service {retrieval.service} means other views by its "
                    "names than it did."
                )
            return service
    try:
        catalog.check_refs(session.store, retrieval.refs)
    except FeatureError as problem:
        raise FeatureError(f"it cannot be rebuilt: {problem}") from None
    return list(retrieval.refs)


# ------------------------------------------------------------------ what changed since


def _redefined(session: Session, retrieval: Retrieval, known: Mapping[str, Any]) -> tuple[str, ...]:
    """Which definition is not what it was then; `known` is what its hashes stood for."""
    views = catalog.all_views(session.store)
    keys = definitions.keys_of_entities(session.store)
    records = hashes.view_records({v.name: v for v in views}, keys)
    parts = hashes.parts_of(records)
    then = Contract("", None, retrieval.project, refs=retrieval.refs,
                    views=(*retrieval.behind, *retrieval.views),
                    definitions=dict(known))  # fmt: skip
    changes = drift.compare(then, {r.name: r for r in records}, parts)
    return tuple(c.said for c in changes if c.kind not in ("added", "reordered"))


def _sources_changed(session: Session, retrieval: Retrieval) -> tuple[str, ...]:
    """Which source holds something else than it held then."""
    by_name = {v.name: v for v in catalog.all_views(session.store)}
    read = (*retrieval.views, *retrieval.behind)
    mine = [by_name[v.view] for v in read if v.view in by_name]
    now = {s.name: s for s in sources.of(mine, session.store.repo_path)}
    by_source = {v.batch_source.name: v for v in mine if getattr(v, "batch_source", None)}
    said: list[str] = []
    for was in retrieval.sources:
        if was.name in now:
            is_now = sources.looked_into(
                now[was.name], by_source[was.name], session.store.repo_path
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
    return [f"source {was.name} has changed: {'; '.join(found[:3])}."] if found else []


def _lost(
    session: Session, retrieval: Retrieval, views: Collection[Any], asked: Any, frame: Any
) -> tuple[str, ...]:
    """Rows that the offline store of today did not give, and why."""
    import pandas as pd

    if not isinstance(asked, pd.DataFrame) or len(asked) == len(frame):
        return ()
    stamp = retrieval.entity.timestamp or Span("event_timestamp")
    keys = retrieval.entity.join_keys or definitions.join_keys_of(session.store, views)
    lost = losses.explain(asked, frame, keys, stamp.column, views)
    return tuple(f"{_rows_that(loss.rows)}: {loss.why}." for loss in lost)


def _rows_that(rows: int) -> str:
    """So many rows were not given, or (below none) came twice."""
    one = abs(rows) == 1
    said = "came twice" if rows < 0 else f"{'was' if one else 'were'} not given"
    return f"{abs(rows):,} row{'' if one else 's'} {said}"


# ------------------------------------------------------------------ comparing


def _verified(
    session: Session, recorded: Recorded, views: Mapping[str, Any], found: Reproduction
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
    if now.digest == then.fingerprint:
        same = then.row_order is None or now.row_order == then.row_order
        return replace(found, verdict="identical" if same else "reordered")
    return _differences(session, recorded, replace(found, verdict="different"))


def _differences(session: Session, recorded: Recorded, found: Reproduction) -> Reproduction:
    """Where two frames differ, from the copy that the run kept; else only that they do."""
    import pandas as pd

    retrieval = recorded.retrieval
    artifact = retrieval.result.artifact if retrieval.result else None
    if artifact is None:
        missing = max(0, (retrieval.result.rows if retrieval.result else 0) - found.rows)
        why = "the run keeps no copy of what came back: where it differs is not known."
        return replace(found, missing=missing, notes=(*found.notes, why))
    where = artifact if artifact.startswith("runs:/") else f"runs:/{recorded.run_id}/{artifact}"
    with tempfile.TemporaryDirectory(prefix="feast_nb") as place:
        old = pd.read_parquet(writing.download(session.runs.uri, where, Path(place)))
    stamp = retrieval.entity.timestamp
    shown = [*retrieval.entity.join_keys, *([stamp.column] if stamp else [])]
    compared = comparison.compare(old, found.frame, _keys(retrieval, stamp), shown)
    return replace(found, missing=compared.missing, new=compared.new, columns=compared.columns)


def _keys(retrieval: Retrieval, stamp: Span | None) -> Sequence[str]:
    """What tells rows apart: all that came with the entity rows."""
    given = {*retrieval.columns(), *retrieval.beside}
    own = [c.name for c in retrieval.result.columns] if retrieval.result else []
    return [c for c in own if c not in given] or [*retrieval.entity.join_keys,
                                                  *([stamp.column] if stamp else [])]  # fmt: skip
