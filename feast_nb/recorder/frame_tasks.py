"""What is found out of a frame while the cell goes on: its hash, its types, a copy of it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from ..errors import FeastNbError, StoreError, brief
from ..frames import fingerprint, parquet
from ..patching import forks
from ..records.outbox import WriteEntry
from ..records.retrieval import (
    TRAINING_FRAME,
    DroppedRows,
    LateValues,
    Result,
    Retrieval,
    Write,
    entity_place,
)
from ..records.run import RunRef
from .frame_archive import NO_RUN, ArchivedCopy, FrameArchive

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ..frames import Tabular
    from .retrieval_store import RetrievalStore


# Completes a record with what takes longer to find out.
Look: TypeAlias = Callable[[Retrieval], Retrieval]


@dataclass
class PendingRetrieval:
    """A retrieval on its way: what is needed until its job has run.

    `types` are those that Feast declares, once its registry was looked at; `explain` says why rows
    asked for did not come back, `late` which values were not there yet at their row's moment;
    `keep_rows` keeps the entity rows that a query or date range gave, and `keep` the result itself
    where it has at most `max_rows` rows.
    """

    id: str
    entity: pd.DataFrame | None = None
    types: Callable[[], Mapping[str, pa.DataType]] = dict
    explain: Callable[[pd.DataFrame, Tabular], tuple[DroppedRows, ...]] | None = None
    late: Callable[[pd.DataFrame, Tabular], tuple[LateValues, ...]] | None = None
    keep_rows: bool = False
    keep: bool = False
    max_rows: int = 0
    started: bool = False


@runtime_checkable
class EngineFrame(Protocol):
    """An entity frame whose rows stay with the engine that has them (Spark)."""

    def sums(self) -> list[tuple[int, int, int]]: ...

    def schema(self) -> pa.Table: ...

    def span(self, column: str) -> tuple[str | None, str | None]: ...

    def why_not(self) -> str | None: ...

    def write(self, path: Path) -> None: ...


class FrameTasks:
    """Work for the background: each finds out one thing and has the store write it down."""

    def __init__(
        self,
        store: RetrievalStore,
        archive: FrameArchive,
        warn: Callable[[str], None],
        made_here: Callable[[str], bool],
    ) -> None:
        """`made_here` says whether a run began in this process: others write to it, too."""
        self._made_here = made_here
        self._store = store
        self._archive = archive
        self._warn = warn
        self._unseen: dict[str, Look] = {}
        _all.add(self)

    def forget_unseen(self) -> None:
        """In a forked child: what its parent lacks is the parent's to look up."""
        self._unseen.clear()

    def look(self, id: str, look: Look) -> None:
        """Complete a record; and those whose definitions could not be had, once another's could."""
        if self._looked(id, look):
            self.look_again()

    def look_again(self) -> None:
        """Try once more what a registry was away for."""
        for id, look in list(self._unseen.items()):
            if self._looked(id, look):
                self._store.send(id)

    def _looked(self, id: str, look: Look) -> bool:
        """Whether the registry answered."""
        before = self._store.table.retrievals[id]
        try:
            found = look(before)
        except StoreError as problem:
            why = brief(problem, 200).rstrip(".")
            if not self._unseen:
                self._warn(
                    f"the definitions behind a retrieval are not known yet ({why}). They are "
                    "looked up again with the next one, and when the run ends."
                )
            self._unseen[id] = look
            while len(self._unseen) > _MOST_UNSEEN:  # the oldest stay unknown
                self._unseen.pop(next(iter(self._unseen)))
            found = replace(before, unseen=why)
        else:
            self._unseen.pop(id, None)
        if found.entity.join_keys != before.entity.join_keys:
            self._store.change_entity(id, join_keys=found.entity.join_keys)
        changed = {
            f: getattr(found, f) for f in _LOOKED_UP if getattr(found, f) != getattr(before, f)
        }
        if changed:
            self._store.change(id, **changed)
        return found.unseen is None

    def entity(self, id: str, frame: Tabular, keep: bool, max_rows: int) -> None:
        stamp = self._store.table.retrievals[id].entity.timestamp
        if stamp is not None and stamp.column in frame.columns:
            stamp = parquet.span(frame, stamp.column)
        digest = fingerprint.of(frame).digest
        kept = self._archived(id, digest, frame, keep, max_rows)
        self._store.change_entity(id, timestamp=stamp, fingerprint=digest, **kept)

    def engine(self, id: str, engine: EngineFrame, keep: bool, max_rows: int) -> None:
        """As for a pandas frame: the engine adds up the rows, and writes the copy."""
        entity = self._store.table.retrievals[id].entity
        sums = fingerprint.Sums()
        for part in engine.sums():
            sums.add_sums(*part)
        columns = fingerprint.columns_of(engine.schema(), {})
        digest = sums.fingerprint((c.name, c.kind) for c in columns).digest
        stamp = entity.timestamp
        if stamp is not None:
            first, last = engine.span(stamp.column)
            stamp = replace(stamp, min=first, max=last)
        kept = self._kept_by_engine(id, digest, engine, keep, max_rows, sums.length)
        self._store.change_entity(id, timestamp=stamp, fingerprint=digest, rows=sums.length, **kept)

    def _kept_by_engine(
        self, id: str, digest: str, engine: EngineFrame, keep: bool, max_rows: int, rows: int
    ) -> dict[str, object]:
        run_id = self._store.table.retrievals[id].run_id
        reason = _not_kept(keep, rows, max_rows) or engine.why_not()
        if reason or run_id is None:
            return {"reason": reason or NO_RUN}

        def write(path: Path) -> tuple[bool, None, tuple[()]]:
            engine.write(path)
            return True, None, ()

        return _as_fields(
            self._archive.store("entity", id, run_id, digest, self._name_of(run_id, id), write)
        )

    def _archived(
        self, id: str, digest: str, frame: Tabular, keep: bool, max_rows: int
    ) -> dict[str, object]:
        """Keep a copy of an entity frame; returns where it is kept, or why it is not."""
        if reason := _not_kept(keep, len(frame), max_rows):
            return {"reason": reason}
        run_id = self._store.table.retrievals[id].run_id
        name = self._name_of(run_id, id)
        write = partial(parquet.write, frame)
        return _as_fields(self._archive.store("entity", id, run_id, digest, name, write))

    def _name_of(self, run_id: str | None, id: str) -> str:
        """The first entity frame takes the name by which Feast's tools find it.

        Not in a run that another process began, and may have given one.
        """
        first = (
            run_id is not None
            and self._made_here(run_id)
            and not self._archive.has("entity", run_id)
            and self._store.table.is_of_tags(run_id, id)
        )
        return TRAINING_FRAME if first else entity_place(id)

    def copy_to(self, run: RunRef, id: str) -> None:
        """A run uses what was retrieved when none was open: it keeps the frames too."""
        retrieval = self._store.table.retrievals[id]
        entity, result = retrieval.entity, retrieval.result
        moved: dict[str, Any] = {}
        if entity.fingerprint is not None:
            name = self._name_of(run.id, id)
            copy = self._archive.copy_to_run("entity", id, run.id, entity.fingerprint, name)
            if copy is not None:
                moved["entity"] = replace(entity, **_as_fields(copy))
        if result is not None and result.fingerprint is not None:
            name = f"feast/results/{id}.parquet"
            copy = self._archive.copy_to_run("result", id, run.id, result.fingerprint, name)
            if copy is not None:
                moved["result"] = replace(result, artifact=copy.artifact)
        if not moved:
            return
        with self._store.lock:
            if retrieval.run_id == run.id:
                self._store.change(id, **moved)
            else:
                self._store.table.move(run.id, id, moved.get("entity"), moved.get("result"))
                self._store.put_all(id, soon=True)

    def result(
        self, pending: PendingRetrieval, held: Tabular | Result | Callable[[], Tabular | Result]
    ) -> None:
        try:
            before = self._store.table.retrievals[pending.id]
            table = held() if callable(held) else held
            if isinstance(table, Result):
                self._store.change(pending.id, result=table)
                return
            result = parquet.result_of(table, pending.types(), before.entity.rows)
            if result.dropped and pending.explain and pending.entity is not None:
                result = replace(result, losses=self._explained(pending, table))
            if pending.late and pending.entity is not None:
                result = replace(result, late=self._late(pending, table))
            self._store.change(pending.id, result=result)
            self._keep_result(pending, result, table)
            if before.entity.kind in ("sql", "range") and before.unseen is None:
                self._entity_rows(pending, table)
            pending.entity = None
        finally:
            self._store.send(pending.id)

    def _keep_result(self, pending: PendingRetrieval, result: Result, table: Tabular) -> None:
        """Keep a training frame's values: only by them a later one can be compared in detail."""
        if _not_kept(pending.keep, result.rows, pending.max_rows) or not result.fingerprint:
            return
        run_id = self._store.table.retrievals[pending.id].run_id
        name = f"feast/results/{pending.id}.parquet"
        write = partial(parquet.write, table)
        copy = self._archive.store("result", pending.id, run_id, result.fingerprint, name, write)
        if copy.artifact is not None:  # else the fingerprint still tells whether another differs
            self._store.change(pending.id, result=replace(result, artifact=copy.artifact))

    def _entity_rows(self, pending: PendingRetrieval, table: Tabular) -> None:
        """What a query or a date range really asked for: the result without its features."""
        retrieval = self._store.table.retrievals[pending.id]
        given = {*retrieval.columns(), *retrieval.beside}
        names = [c.name for c in retrieval.result.columns] if retrieval.result else []
        entity = [n for n in names if n not in given]
        rows = parquet.part_of(table, entity)
        digest = fingerprint.of(rows).digest
        kept = self._archived(pending.id, digest, rows, pending.keep_rows, 0)
        self._store.change_entity(
            pending.id, rows=len(rows), columns=tuple(entity), fingerprint=digest, **kept
        )

    def write(
        self,
        run: RunRef,
        write: Write,
        frame: Tabular | None,
        views: Callable[[], tuple[str, ...]] | None,
    ) -> None:
        done = write
        if frame is not None:
            columns, digest = parquet.columns_of(frame, {}), fingerprint.of(frame).digest
            done = replace(done, rows=len(frame), columns=columns, fingerprint=digest)
        if views is not None:
            done = replace(done, views=self._written_to(write, views))
        self._store.table.completed(run.id, write, done)
        self._store.put(run, WriteEntry(done))

    def _written_to(self, write: Write, views: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
        try:
            return views()
        except FeastNbError as problem:
            self._warn(f"which views the push to {write.name} wrote to is not known: {problem}")
            return ()

    def late_too(self, id: str, late: tuple[LateValues, ...]) -> None:
        """What was found out in the cell, once the result is hashed."""
        result = self._store.table.retrievals[id].result
        if result is not None:
            self._store.change(id, result=replace(result, late=(*result.late, *late)))
            self._store.send(id)

    def _late(self, pending: PendingRetrieval, held: Tabular) -> tuple[LateValues, ...]:
        assert pending.late is not None
        assert pending.entity is not None
        try:
            return pending.late(pending.entity, held)
        except Exception as problem:  # as above
            self._warn(
                f"whether values were known at their rows' moments is not known ({problem})."
            )
            return ()

    def _explained(self, pending: PendingRetrieval, held: Tabular) -> tuple[DroppedRows, ...]:
        assert pending.explain is not None
        assert pending.entity is not None
        try:
            return pending.explain(pending.entity, held)
        except Exception as problem:  # the sources are the user's, and may be out of reach: said
            self._warn(f"rows were dropped, and why could not be found out ({problem}).")
            return ()


def _as_fields(copy: ArchivedCopy) -> dict[str, Any]:
    """A copy as the fields of the entity frame that it is of."""
    return {"artifact": copy.artifact, "changed": copy.changed, "reason": copy.reason}


def _not_kept(keep: bool, rows: int, max_rows: int) -> str | None:
    if not keep:
        return "archiving is off"
    if max_rows and rows > max_rows:
        return f"{rows:,} rows above entity_df_max_rows ({max_rows:,})"
    return None


_all: weakref.WeakSet[FrameTasks] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_all):
        each.forget_unseen()


forks.in_child(_after_fork)

_MOST_UNSEEN = 1000  # retrievals whose definitions are looked up again
_LOOKED_UP = ("refs", "service", "service_basis", "services", "views", "behind", "sources",
              "registry", "beside", "unseen")  # fmt: skip
