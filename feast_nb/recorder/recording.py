"""From calls noticed to retrievals recorded: nothing here waits for MLflow.

What needs Feast or MLflow comes in as callables. What takes longer than a moment (hashes, copies,
a look at the sources) is done by a thread of our own, from a copy of the entity frame and from
the Arrow table that Feast itself made, so that the cell goes on at once and may change its frames
as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from uuid import uuid4

from .. import frames
from ..frames import fingerprint, parquet
from ..records.contract import Contract
from ..records.outbox import ContractEntry, FileEntry, OutboxEntry, RetrievalEntry, WriteEntry
from ..records.retrieval import (
    Cell,
    DroppedRows,
    EntityFrame,
    LinkedBy,
    Result,
    Retrieval,
    Seconds,
    Write,
)
from ..records.run import RunRef
from .background import Background
from .delivery.outbox import Outbox
from .frame_archive import NO_RUN, ArchivedCopy, FrameArchive
from .retrieval_table import RetrievalTable


@dataclass
class PendingRetrieval:
    """A retrieval on its way: what is needed until its job has run.

    `look` completes the record with what takes longer to find out; `explain` says why rows asked
    for did not come back; `keep_rows` keeps the entity rows that a query or date range gave, and
    `keep` the result itself where it has at most `max_rows` rows.
    """

    id: str
    entity: Any = None
    types: Mapping[str, Any] = field(default_factory=dict)
    explain: Callable[[Any, Any], tuple[DroppedRows, ...]] | None = None
    keep_rows: bool = False
    keep: bool = False
    max_rows: int = 0
    started: bool = False


@runtime_checkable
class EngineFrame(Protocol):
    """An entity frame whose rows stay with the engine that has them (Spark)."""

    def sums(self) -> list[tuple[int, int, int]]: ...

    def schema(self) -> Any: ...

    def span(self, column: str) -> tuple[str | None, str | None]: ...

    def why_not(self) -> str | None: ...

    def write(self, path: Path) -> None: ...


class Recording:
    """The retrievals and models of this process, each written to the outbox as it happens."""

    def __init__(
        self,
        outbox: Outbox,
        run_of_call: Callable[[], RunRef | None],
        cell: Callable[[], Cell | None],
        spool: Path,
        warn: Callable[[str], None],
        archives: Callable[[str], bool] = lambda run_id: True,
    ) -> None:
        self.outbox = outbox
        self.ledger = RetrievalTable()
        self._uris: dict[str, str] = {}
        self._copies = FrameArchive(spool, self._put_file)
        self._archives = archives
        self._run_of_call = run_of_call
        self._cell = cell
        self.spool = spool
        self._warn = warn
        self._lock = self.ledger.lock
        self._background = Background(warn)

    # ------------------------------------------------------------------ what happens

    def submitted(
        self,
        draft: Retrieval,
        entity: Any = None,
        archive: bool = False,
        max_rows: int = 0,
        look: Callable[[Retrieval], Retrieval] | None = None,
        run: RunRef | None = None,
    ) -> str:
        """Keep a retrieval whose job was made, with its `run` or the one active now; its id.

        A pandas `entity` must be a copy: it is hashed and (where `archive` says so and it has at
        most `max_rows` rows) archived in the background. `look` completes the record there.
        """
        run = run or self._run_of_call()
        retrieval = replace(
            draft,
            id=draft.id or f"r-{uuid4().hex[:12]}",
            cell=draft.cell or self._cell(),
            run_id=run.id if run else None,
            at=_now(),
        )
        with self._lock:  # the background may be completing the same record
            if retrieval.kind == "online" and (same := self.ledger.same_call(retrieval)):
                retrieval = replace(same, count=same.count + 1, last=retrieval.at)
            if run:
                self._uris[run.id] = run.tracking_uri
            self._keep(retrieval)
        if retrieval.count > 1:
            return retrieval.id
        if look is not None:
            self._later(self._look, retrieval.id, look)
        if frames.is_pandas(entity):
            self._later(self._hash_entity, retrieval.id, entity, archive, max_rows)
        elif isinstance(entity, EngineFrame):
            self._later(self._hash_engine, retrieval.id, entity, archive, max_rows)
        return retrieval.id

    def ran(
        self, pending: PendingRetrieval, seconds: float, result: Any, kept: str | None = None
    ) -> None:
        """Keep what came back: an Arrow table, a pandas frame (copied here), or how to get one."""
        self._adopt_run(pending.id)
        self._update(pending.id, state="ran", run_seconds=seconds, kept=kept)
        if self.ledger.retrievals[pending.id].count > 1:
            self._send(pending.id)
            return
        held = result.copy() if frames.is_pandas(result) else result
        self._later(self._hash_result, pending, held)

    def counted(
        self, pending: PendingRetrieval, seconds: float, rows: int | None, kept: str | None = None
    ) -> None:
        """Keep a job that ran where no frame can be had from it (it was written elsewhere)."""
        self._adopt_run(pending.id)
        self._update(pending.id, state="ran", run_seconds=seconds, kept=kept)
        if rows is not None:
            self._set(pending.id, result=Result(rows=rows))
        self._send(pending.id)

    def failed(self, pending: PendingRetrieval, seconds: float, error: BaseException) -> None:
        """Keep a job that raised, as just that."""
        self._adopt_run(pending.id)
        self._update(pending.id, state="failed", run_seconds=seconds)
        self._set(pending.id, error=f"{type(error).__name__}: {error}"[:500])
        self._send(pending.id)

    def named(self, id: str, kept: str) -> None:
        """Say where the result of a retrieval was written to, once that has a name."""
        self._set(id, kept=kept)
        self._send(id)

    def wrote(self, write: Write, frame: Any = None) -> None:
        """Keep that features were written; `frame` (a copy) is hashed in the background."""
        run = self._run_of_call()
        if run is None:
            return
        self._uris[run.id] = run.tracking_uri
        made = replace(
            write, id=f"w-{uuid4().hex[:12]}", cell=self._cell(), run_id=run.id, at=_now()
        )
        self.ledger.wrote(run.id, made)
        self.put(run, WriteEntry(made), soon=frame is None)
        if frame is not None:
            self._later(self._hash_write, run, made, frame)

    def modelled(self, run: RunRef, contract: Contract) -> None:
        """Keep the contract of a model that was logged."""
        with self._lock:
            self.ledger.contracts[contract.model_id] = contract
            self._uris[run.id] = run.tracking_uri
        self.put(run, ContractEntry(contract))

    def link(
        self, run: RunRef, id: str, by: LinkedBy, inherited_from: str | None = None
    ) -> Retrieval:
        """Say that a run uses what a retrieval gave, and how that is known; the surest way stays.

        A retrieval that was made elsewhere (another cell, another run) is written to this run
        too, as a copy that says how it was linked, so that a match is never read as a fact.
        """
        with self._lock:
            new, tell = self.ledger.link(run.id, id, by)
            self._uris[run.id] = run.tracking_uri
            original = self.ledger.retrievals[id]
            if original.run_id == run.id:
                return original
            linked = self.ledger.copy_for(run.id, id)
        if not tell:
            return linked  # every cell that reads the frame says it again
        self.put(run, RetrievalEntry(linked, inherited_from))
        if new and original.run_id is None and self._archives(run.id):
            self._later(self._take_along, run, id)
        return linked

    def _put_file(self, run_id: str, path: Path, artifact: str) -> None:
        self.put(RunRef(run_id, self._uris[run_id]), FileEntry(str(path), artifact), soon=False)

    def put(self, run: RunRef, entry: OutboxEntry, soon: bool = True) -> None:
        """Send an entry of another kind (tags, metrics, the end of a run) on its way."""
        self.outbox.put(run.id, run.tracking_uri, entry, soon)

    def held(self) -> AbstractContextManager[None]:
        """A time in which Feast works for the cell: nothing is begun in the background."""
        return self._background.held()

    def settle(self, seconds: float = 60.0) -> bool:
        """Wait for hashes and archives under way, at most `seconds`; whether all are done."""
        return self._background.settle(seconds)

    def close(self) -> None:
        self.settle()
        self._background.close()
        self._copies.close()

    # ------------------------------------------------------------------ in the background

    def _later(self, task: Callable[..., None], *args: Any) -> None:
        self._background.later(task, *args)

    def _look(self, id: str, look: Callable[[Retrieval], Retrieval]) -> None:
        before = self.ledger.retrievals[id]
        found = look(before)
        changed = {
            f: getattr(found, f) for f in _LOOKED_UP if getattr(found, f) != getattr(before, f)
        }
        if changed:
            self._set(id, **changed)

    def _hash_entity(self, id: str, frame: Any, keep: bool, max_rows: int) -> None:
        stamp = self.ledger.retrievals[id].entity.timestamp
        if stamp is not None and stamp.column in frame.columns:
            stamp = parquet.span(frame, stamp.column)
        digest = fingerprint.of(frame).digest
        kept = self._archive(id, digest, frame, keep, max_rows)
        self._set_entity(id, timestamp=stamp, fingerprint=digest, **kept)

    def _hash_engine(self, id: str, engine: EngineFrame, keep: bool, max_rows: int) -> None:
        """As for a pandas frame: the engine adds up the rows, and writes the copy."""
        entity = self.ledger.retrievals[id].entity
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
        self._set_entity(id, timestamp=stamp, fingerprint=digest, rows=sums.length, **kept)

    def _kept_by_engine(
        self, id: str, digest: str, engine: EngineFrame, keep: bool, max_rows: int, rows: int
    ) -> dict[str, Any]:
        run_id = self.ledger.retrievals[id].run_id
        reason = _not_kept(keep, rows, max_rows) or engine.why_not()
        if reason or run_id is None:
            return {"reason": reason or NO_RUN}

        def write(path: Path) -> tuple[bool, None, tuple[()]]:
            engine.write(path)
            return True, None, ()

        return _as_fields(
            self._copies.keep("entity", id, run_id, digest, self._name_of(run_id, id), write)
        )

    def _archive(
        self, id: str, digest: str, frame: Any, keep: bool, max_rows: int
    ) -> dict[str, Any]:
        """Keep a copy of an entity frame; returns where it is kept, or why it is not."""
        if reason := _not_kept(keep, len(frame), max_rows):
            return {"reason": reason}
        run_id = self.ledger.retrievals[id].run_id
        name = self._name_of(run_id, id)
        write = partial(parquet.write, frame)
        return _as_fields(self._copies.keep("entity", id, run_id, digest, name, write))

    def _name_of(self, run_id: str | None, id: str) -> str:
        """The first entity frame takes the name by which Feast's tools find it."""
        first = (
            run_id is not None
            and not self._copies.has("entity", run_id)
            and self.ledger.is_of_tags(run_id, id)
        )
        return "entity_df.parquet" if first else f"feast/entities/{id}.parquet"

    def _take_along(self, run: RunRef, id: str) -> None:
        """A run uses what was retrieved when none was open: it keeps the frames too."""
        retrieval = self.ledger.retrievals[id]
        entity, result = retrieval.entity, retrieval.result
        moved: dict[str, Any] = {}
        if entity.fingerprint is not None:
            name = self._name_of(run.id, id)
            copy = self._copies.take_along("entity", id, run.id, entity.fingerprint, name)
            if copy is not None:
                moved["entity"] = replace(entity, **_as_fields(copy))
        if result is not None and result.fingerprint is not None:
            name = f"feast/results/{id}.parquet"
            copy = self._copies.take_along("result", id, run.id, result.fingerprint, name)
            if copy is not None:
                moved["result"] = replace(result, artifact=copy.artifact)
        if not moved:
            return
        with self._lock:
            if retrieval.run_id == run.id:
                self._set(id, **moved)
            else:
                self.ledger.move(run.id, id, moved.get("entity"), moved.get("result"))
                self._put_all(id, soon=True)

    def _hash_result(self, pending: PendingRetrieval, held: Any) -> None:
        try:
            before = self.ledger.retrievals[pending.id]
            table = held() if callable(held) else held
            if isinstance(table, Result):
                self._set(pending.id, result=table)
                return
            result = parquet.result_of(table, pending.types, before.entity.rows)
            if result.dropped and pending.explain and pending.entity is not None:
                result = replace(result, losses=self._explained(pending, table))
            self._set(pending.id, result=result)
            self._keep_result(pending, result, table)
            if before.entity.kind in ("sql", "range"):
                self._entity_rows(pending, table)
            pending.entity = None
        finally:
            self._send(pending.id)

    def _keep_result(self, pending: PendingRetrieval, result: Result, table: Any) -> None:
        """Keep a training frame's values: only by them a later one can be compared in detail."""
        if _not_kept(pending.keep, result.rows, pending.max_rows) or not result.fingerprint:
            return
        run_id = self.ledger.retrievals[pending.id].run_id
        name = f"feast/results/{pending.id}.parquet"
        write = partial(parquet.write, table)
        copy = self._copies.keep("result", pending.id, run_id, result.fingerprint, name, write)
        if copy.artifact is not None:  # else the fingerprint still tells whether another differs
            self._set(pending.id, result=replace(result, artifact=copy.artifact))

    def _entity_rows(self, pending: PendingRetrieval, table: Any) -> None:
        """What a query or a date range really asked for: the result without its features."""
        retrieval = self.ledger.retrievals[pending.id]
        given = {*retrieval.columns(), *retrieval.beside}
        names = [c.name for c in retrieval.result.columns] if retrieval.result else []
        entity = [n for n in names if n not in given]
        rows = parquet.part_of(table, entity)
        digest = fingerprint.of(rows).digest
        kept = self._archive(pending.id, digest, rows, pending.keep_rows, 0)
        self._set_entity(
            pending.id, rows=len(rows), columns=tuple(entity), fingerprint=digest, **kept
        )

    def _hash_write(self, run: RunRef, write: Write, frame: Any) -> None:
        done = replace(
            write,
            rows=len(frame),
            columns=parquet.columns_of(frame, {}),
            fingerprint=fingerprint.of(frame).digest,
        )
        self.ledger.completed(run.id, write, done)
        self.put(run, WriteEntry(done))

    def _explained(self, pending: PendingRetrieval, held: Any) -> tuple[DroppedRows, ...]:
        assert pending.explain is not None
        try:
            return pending.explain(pending.entity, held)
        except Exception as problem:  # the sources are the user's, and may be out of reach: said
            self._warn(f"rows were dropped, and why could not be found out ({problem}).")
            return ()

    # ------------------------------------------------------------------ keeping

    def _adopt_run(self, id: str) -> None:
        """A job made outside any run belongs to the run in which it runs."""
        if self.ledger.retrievals[id].run_id is None and (run := self._run_of_call()):
            self._uris[run.id] = run.tracking_uri
            self._set(id, run_id=run.id)
            if self._archives(run.id):
                self._later(self._take_along, run, id)

    def _update(self, id: str, state: str, run_seconds: float, kept: str | None = None) -> None:
        before = self.ledger.retrievals[id]
        seconds = Seconds(before.seconds.submit, round(run_seconds, 6))
        self._set(id, state=state, seconds=seconds, error=None, kept=kept or before.kept)

    def _set_entity(self, id: str, **changes: Any) -> None:
        with self._lock:
            entity: EntityFrame = replace(self.ledger.retrievals[id].entity, **changes)
            self._set(id, entity=entity)

    def _set(self, id: str, **changes: Any) -> None:
        with self._lock:
            self._keep(replace(self.ledger.retrievals[id], **changes))

    def _keep(self, retrieval: Retrieval) -> None:
        """Write a retrieval to disk for each run that it belongs to; `_send` sends it."""
        with self._lock:
            self.ledger.keep(retrieval)
            self._put_all(retrieval.id, soon=False)

    def _send(self, id: str) -> None:
        """What is known of a retrieval is complete: MLflow may have it."""
        with self._lock:
            for run_id in self.ledger.runs_of(id):
                self.outbox.hurry(run_id)

    def _put_all(self, id: str, soon: bool) -> None:
        retrieval = self.ledger.retrievals[id]
        for run_id in self.ledger.runs_of(id):
            mine = retrieval if run_id == retrieval.run_id else self.ledger.copy_for(run_id, id)
            self.put(RunRef(run_id, self._uris[run_id]), RetrievalEntry(mine), soon)


def _as_fields(copy: ArchivedCopy) -> dict[str, Any]:
    """A copy as the fields of the entity frame that it is of."""
    return {"artifact": copy.artifact, "changed": copy.changed, "reason": copy.reason}


def _not_kept(keep: bool, rows: int, max_rows: int) -> str | None:
    if not keep:
        return "archiving is off"
    if max_rows and rows > max_rows:
        return f"{rows:,} rows above entity_df_max_rows ({max_rows:,})"
    return None


_LOOKED_UP = ("service", "service_basis", "services", "sources")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
