"""A training set retrieved again: what was recorded of it, and what of that can be asked for."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ArtifactError, FeastNbError, FeatureError, ModelError
from ..frames import parquet
from ..integrations.feast import repository
from ..integrations.feast.calls import REPEATABLE
from ..integrations.feast.servers import store_door
from ..integrations.mlflow import contract_store, http, model_lookup, retrieval_files, runs, writer
from ..masking import GONE
from ..records.contract import Contract
from ..records.retrieval import EntityFrame, Retrieval

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore

    from ..integrations.feast.calls import Features
    from .session import Session


_SAVED = "get_saved_dataset"
_COMPARED = 2_000_000  # rows that are downloaded for a look


@dataclass(frozen=True)
class RecordedRetrieval:
    """A retrieval of a run, as it was recorded by us or by Feast alone."""

    run_id: str
    retrieval: Retrieval
    by_us: bool
    definitions: Mapping[str, object] = field(default_factory=dict)


# ------------------------------------------------------------------ what was recorded


def recorded_of(session: Session, named: str, number: int | None) -> RecordedRetrieval:
    """What was recorded of a run's or model’s retrieval: the one named, else its only one."""
    uri = session.runs.uri
    run_id, contract = run_of(session, named)
    document = retrieval_files.retrievals_of(uri, run_id)
    kept = [r for r in document.retrievals if r.kind == "historical" and r.state == "ran"]
    if not kept:
        if number not in (None, 1):
            raise FeatureError(f"run {named} has no retrieval {number}; it has 1.")
        return RecordedRetrieval(run_id, _of_feast(uri, run_id, named), by_us=False)
    known = document.definitions
    if number is not None:
        if not 1 <= number <= len(kept):
            raise FeatureError(f"run {named} has no retrieval {number}; it has {_numbers(kept)}.")
        return RecordedRetrieval(run_id, kept[number - 1], by_us=True, definitions=known)
    mine = [r for r in kept if contract is not None and r.id in contract.retrievals]
    chosen = mine or kept
    if len(chosen) > 1:
        listed = "; ".join(
            f"{kept.index(r) + 1}: {r.service or ', '.join(r.refs[:3])}, {_rows(r)} rows"
            for r in chosen
        )
        raise FeatureError(f"{named} has {len(chosen)} retrievals; add --retrieval N ({listed}).")
    return RecordedRetrieval(run_id, chosen[0], by_us=True, definitions=known)


def _numbers(kept: Sequence[Retrieval]) -> str:
    return "1" if len(kept) == 1 else f"1–{len(kept)}"


def _rows(retrieval: Retrieval) -> str:
    return f"{retrieval.result.rows:,}" if retrieval.result else "?"


def run_of(session: Session, named: str) -> tuple[str, Contract | None]:
    """The run that a run's name or id, or a model's name, means."""
    uri = session.runs.uri
    http.check_reachable(uri)
    if "/" not in named and "@" not in named:
        with http.translate_errors():
            run_id = model_lookup.run_named(uri, session.store.project, named)
        if run_id is not None:
            return run_id, None
    try:
        found = model_lookup.find(uri, named)
    except ModelError as problem:
        raise ModelError(
            f"{named}: no run of that name or id in {session.store.project}, and {problem}"
        ) from None
    if found.run_id is None:
        raise ModelError(f"{found.shown} was logged outside any run: nothing was recorded.")
    return found.run_id, contract_store.contract_of(uri, found)


def _of_feast(uri: str, run_id: str, named: str) -> Retrieval:
    """What Feast's own integration recorded of a run: its tags, and the files it names."""
    tags = runs.tags_of(uri, run_id)
    left = model_lookup.read_native_tags(uri, model_lookup.ModelRef(named, run_id=run_id))
    if left.refs is None or tags.get("feast.retrieval_type") == "online":
        raise FeatureError(f"run {named} recorded no historical retrieval: nothing to rebuild.")
    if left.cut:
        raise FeatureError(
            f"run {named} cannot be rebuilt: Feast cut the list of its references off "
            f"({len(left.refs)} of {tags['feast.feature_count']} are known)."
        )
    kinds: Mapping[str, Literal["sql", "range"]] = {"sql": "sql", "range": "range"}
    kind = kinds.get(tags.get("feast.entity_df_type", ""))
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


def asked_again(session: Session, recorded: RecordedRetrieval) -> dict[str, Any]:
    """The entity rows, query or date range of then, as arguments of the retrieval."""
    entity = recorded.retrieval.entity
    if recorded.retrieval.call == _SAVED:
        return {}
    if entity.kind in ("sql", "range") and entity.artifact and recorded.by_us:
        return {"entity_df": _kept(session, recorded)}  # its rows as they were then
    if entity.kind == "sql" and entity.query:
        if GONE in entity.query:
            raise FeatureError(
                "cannot be rebuilt: its query holds a secret, which is not kept. Retrieve with "
                "--archive-rows, and its rows are."
            )
        if entity.query.endswith("...") and not recorded.by_us:
            raise FeatureError("cannot be rebuilt: Feast cut the entity query off.")
        return {"entity_df": entity.query}
    if entity.kind == "range":
        import pandas as pd

        moments = {"start_date": entity.start, "end_date": entity.end}
        return {k: pd.Timestamp(v).to_pydatetime() for k, v in moments.items() if v}
    return {"entity_df": _kept(session, recorded)}


def retrieve(
    session: Session, retrieval: Retrieval, features: Features, asked: Mapping[str, Any]
) -> pd.DataFrame:
    """Ask Feast for the training set again, with the arguments of then.

    Raises `FeatureError` for one of which this version does not know what it did.
    """
    store, arguments = session.store, retrieval.arguments
    if retrieval.call == _SAVED:
        return repository.saved_rows(store, str(arguments.get("name")))
    check_repeatable(store, retrieval)
    full = retrieval.full_feature_names

    def ask() -> pd.DataFrame:
        job = store.get_historical_features(
            features=features, full_feature_names=full, **asked, **arguments
        )
        found: pd.DataFrame = job.to_df()
        return found

    try:
        return store_door.answered(store, "offline store", ask)
    except TypeError as problem:
        if "start_date" not in str(problem) and "end_date" not in str(problem):
            raise
        kind = str(getattr(store.config.offline_store, "type", "")).rpartition(".")[2]
        raise FeatureError(
            f"cannot be rebuilt here: it was asked for by a range of dates, and the offline "
            f"store {kind} takes none."
        ) from problem


def check_repeatable(store: FeatureStore, retrieval: Retrieval) -> None:
    """Raise `FeatureError` for a call that cannot be made again as it was."""
    if retrieval.call is not None:
        raise FeatureError(f"cannot be rebuilt: it was a {retrieval.call}, which asks no rows.")
    known = inspect.signature(store.get_historical_features).parameters
    for name, value in retrieval.arguments.items():
        if name not in REPEATABLE:
            raise FeatureError(
                f"cannot be rebuilt: it was retrieved with {name}={value}, and this version of "
                "feast_nb does not know what that does."
            )
        if name not in known:
            raise FeatureError(
                f"cannot be rebuilt here: it was retrieved with {name}={value}, which this "
                "version of Feast does not have."
            )


def outlook(store: FeatureStore, retrieval: Retrieval) -> str:
    """Whether a training set can be asked for again, said when it is made; else why not.

    A promise of what `asked_again` and `retrieve` will do, as far as it is known now.
    """
    entity = retrieval.entity
    if retrieval.call == _SAVED:
        return "can be rebuilt"
    try:
        check_repeatable(store, retrieval)
    except FeatureError as problem:
        return str(problem).rstrip(".")
    if entity.artifact or entity.elsewhere:
        return "can be rebuilt"
    if entity.kind == "range":
        return "can be asked again by its dates"
    if entity.kind == "sql" and entity.query:
        if GONE in entity.query:
            return "cannot be rebuilt: its query holds a secret, which is not kept"
        return "can be asked again by its query"
    return f"cannot be rebuilt: {entity.reason or 'its entity frame is not kept'}"


def training_columns(
    session: Session, contract: Contract, place: Path
) -> tuple[dict[str, dict[str, str]], str | None]:
    """Where each reference of a model has its values in training: a file in `place`, its column.

    Only of retrievals whose result the run kept; why there are none, where there are none.
    """
    uri, run_id = session.runs.uri, contract.run_id
    if run_id is None:
        return {}, "it was logged outside any run"
    try:
        recorded = retrieval_files.retrievals_of(uri, run_id).retrievals
        mine = [r for r in recorded if r.id in contract.retrievals]
        found: dict[str, dict[str, str]] = {}
        for number, retrieval in enumerate(mine):
            if retrieval.result is None or retrieval.result.artifact is None:
                continue
            if retrieval.result.rows > _COMPARED:
                return {}, f"its training set has {retrieval.result.rows:,} rows"
            artifact = retrieval.result.artifact
            where = artifact if artifact.startswith("runs:/") else f"runs:/{run_id}/{artifact}"
            file = writer.download(uri, where, place / str(number))
            parquet.check_file(file, retrieval.result.rows, where)
            for ref in retrieval.refs:
                found[ref] = {"path": str(file), "column": retrieval.column_of(ref)}
    except FeastNbError as problem:
        return {}, f"its training set is not at hand: {problem}"
    return found, None if found else "its run keeps no copy of its training set"


def _kept(session: Session, recorded: RecordedRetrieval) -> pd.DataFrame:
    entity, uri = recorded.retrieval.entity, session.runs.uri
    own = f"runs:/{recorded.run_id}/{entity.artifact}" if entity.artifact else None
    where = own or entity.elsewhere
    if where is None:
        why = entity.reason or "no reason given"
        raise FeatureError(f"cannot be rebuilt: its entity frame was not archived: {why}.")
    with tempfile.TemporaryDirectory(prefix="feast_nb") as place:
        try:
            return parquet.read_frame(writer.download(uri, where, Path(place)), entity.rows, where)
        except ArtifactError:
            raise
        except (FeastNbError, OSError) as problem:
            said = runs.tags_of(uri, recorded.run_id).get("feast.entity_df_rows")
            size = f" ({said} rows)" if said else ""
            raise FeatureError(
                f"cannot be rebuilt: the run keeps no entity frame{size}; Feast archives one "
                "with auto_log_entity_df: true, up to entity_df_max_rows."
                if not recorded.by_us
                else f"cannot be rebuilt: {where} cannot be read ({problem})."
            ) from problem
