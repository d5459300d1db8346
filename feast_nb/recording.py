"""From calls noticed to retrievals recorded: nothing here waits for MLflow.

What needs Feast or MLflow comes in as callables. A frame's hash and archive are made by a thread
of our own, from a copy of the entity frame and from the Arrow table that Feast itself made, so
that the cell goes on at once and may change its frames as it likes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from . import fingerprint, frames
from .outbox import Outbox
from .records import Cell, Column, Contract, Loss, Result, Retrieval, Seconds


class RunRef(NamedTuple):
    """The run that a record belongs to, and where its server is."""

    id: str
    tracking_uri: str


@dataclass
class Pending:
    """A retrieval on its way: what is needed until its job has run."""

    id: str
    entity: Any = None
    types: Mapping[str, Any] = field(default_factory=dict)
    explain: Callable[[Any, Any], tuple[Loss, ...]] | None = None
    started: bool = False


class Recording:
    """The retrievals and models of this process, each written to the outbox as it happens."""

    def __init__(
        self,
        outbox: Outbox,
        run_of_call: Callable[[], RunRef | None],
        cell: Callable[[], Cell | None],
        spool: Path,
        warn: Callable[[str], None],
    ) -> None:
        self.outbox = outbox
        self.retrievals: dict[str, Retrieval] = {}
        self.contracts: dict[str, Contract] = {}
        self._linked: dict[str, dict[str, Retrieval]] = {}
        self._uris: dict[str, str] = {}
        self._archived: dict[tuple[str, str], str] = {}
        self._run_of_call = run_of_call
        self._cell = cell
        self._spool = spool
        self._warn = warn
        self._lock = threading.RLock()
        self._pool: ThreadPoolExecutor | None = None
        self._work: set[Future[None]] = set()

    # ------------------------------------------------------------------ what happens

    def submitted(
        self, draft: Retrieval, entity: Any = None, archive: bool = False, max_rows: int = 0
    ) -> str:
        """Keep a retrieval whose job was made, with the run active now; returns its id.

        A pandas `entity` is copied here, hashed and (where `archive` says so and it has at most
        `max_rows` rows) archived in the background.
        """
        run = self._run_of_call()
        retrieval = replace(
            draft,
            id=draft.id or f"r-{uuid4().hex[:12]}",
            cell=draft.cell or self._cell(),
            run_id=run.id if run else None,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        if retrieval.kind == "online" and (same := self._same_call(retrieval)):
            retrieval = replace(same, count=same.count + 1, last=retrieval.at)
        if run:
            self._uris[run.id] = run.tracking_uri
        self._keep(retrieval)
        if frames.is_pandas(entity) and retrieval.count == 1:
            copy = entity.copy()
            copy.attrs = {}
            self._later(self._hash_entity, retrieval.id, copy, archive, max_rows)
        return retrieval.id

    def ran(self, pending: Pending, seconds: float, result: Any) -> None:
        """Keep what came back: an Arrow table, or a pandas frame (which is copied here)."""
        self._adopt_run(pending.id)
        self._update(pending.id, state="ran", run_seconds=seconds)
        held = result.copy() if frames.is_pandas(result) else result
        self._later(self._hash_result, pending, held)

    def counted(self, pending: Pending, seconds: float, rows: int | None) -> None:
        """Keep a job that ran where no frame can be had from it (it was written elsewhere)."""
        self._adopt_run(pending.id)
        self._update(pending.id, state="ran", run_seconds=seconds)
        if rows is not None:
            self._set(pending.id, result=Result(rows=rows))

    def failed(self, pending: Pending, seconds: float, error: BaseException) -> None:
        """Keep a job that raised, as just that."""
        self._adopt_run(pending.id)
        self._update(pending.id, state="failed", run_seconds=seconds)
        self._set(pending.id, error=f"{type(error).__name__}: {error}"[:500])

    def modelled(self, run: RunRef, contract: Contract) -> None:
        """Keep the contract of a model that was logged."""
        with self._lock:
            self.contracts[contract.model_id] = contract
            self._uris[run.id] = run.tracking_uri
        self.put(run, {"kind": "contract", "contract": contract.to_dict()})

    def link(self, run: RunRef, id: str, linked_by: frames.LinkedBy) -> Retrieval:
        """Write a retrieval that was made elsewhere (another cell, another run) to this run too.

        The run's copy says how it was linked, so that a match is never read as a fact.
        """
        with self._lock:
            original = self.retrievals[id]
            entity = original.entity
            if entity.artifact:  # the copy is another run's
                where = f"runs:/{original.run_id}/{entity.artifact}"
                entity = replace(entity, artifact=None, reason=f"it is kept in {where}")
            linked = replace(original, run_id=run.id, linked_by=linked_by, entity=entity)
            self._linked.setdefault(run.id, {})[id] = linked
            self._uris[run.id] = run.tracking_uri
        self.put(run, {"kind": "retrieval", "retrieval": linked.to_dict()})
        return linked

    def put(self, run: RunRef, entry: dict[str, Any]) -> None:
        """Send an entry of another kind (tags, metrics, the end of a run) on its way."""
        self.outbox.put(run.id, run.tracking_uri, entry)

    # ------------------------------------------------------------------ what is known

    def of_run(self, run_id: str) -> list[Retrieval]:
        """The retrievals of a run: those linked to it, then those made in it, in order."""
        made = [r for r in list(self.retrievals.values()) if r.run_id == run_id]
        linked = self._linked.get(run_id, {})
        return [*linked.values(), *(r for r in made if r.id not in linked)]

    def source_of(
        self, run_id: str, names: Sequence[str] | None, width: int | None
    ) -> Retrieval | None:
        """The retrieval a model was trained on: one of its run, or an older one that covers more.

        Of equals the run's own is taken, and of those the latest.
        """
        own = self.of_run(run_id)
        if names:
            ids = {r.id for r in own}
            older = [r for r in self.retrievals.values() if r.id not in ids]
            return frames.of_model(names, width, [*older, *own])
        return frames.of_model(names, width, own)

    def settle(self, seconds: float = 60.0) -> bool:
        """Wait for hashes and archives under way, at most `seconds`; whether all are done."""
        return not wait(list(self._work), timeout=seconds).not_done

    def close(self) -> None:
        self.settle()
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    # ------------------------------------------------------------------ in the background

    def _hash_entity(self, id: str, frame: Any, archive: bool, max_rows: int) -> None:
        digest = fingerprint.of(frame).digest
        retrieval = self.retrievals[id]
        artifact, reason = None, None
        if not archive:
            reason = "archiving is off"
        elif max_rows and len(frame) > max_rows:
            reason = f"{len(frame):,} rows above entity_df_max_rows ({max_rows:,})"
        elif retrieval.run_id:
            artifact, reason = self._archive(retrieval.run_id, id, digest, frame)
        else:
            reason = "no run was open when it was asked for"
        entity = replace(
            self.retrievals[id].entity, fingerprint=digest, artifact=artifact, reason=reason
        )
        self._set(id, entity=entity)

    def _archive(
        self, run_id: str, id: str, digest: str, frame: Any
    ) -> tuple[str | None, str | None]:
        """Write a frame beside the outbox and send it; each distinct frame of a run goes once.

        The first one takes the name by which Feast's `get_training_entity_df` finds it.
        """
        if (run_id, digest) in self._archived:
            return self._archived[run_id, digest], None
        first = self._is_first(run_id, id)
        artifact = "entity_df.parquet" if first else f"feast/entities/{id}.parquet"
        path = self._spool / f"{id}.parquet"
        try:
            self._spool.mkdir(parents=True, exist_ok=True, mode=0o700)
            frame.to_parquet(path, index=False)
        except OSError as problem:
            return None, f"it could not be written to {self._spool} ({problem.strerror})"
        except Exception as problem:  # Arrow's many; the reason is recorded and shown
            text = " ".join(str(problem).split())[:200]
            return None, f"Parquet cannot hold it: {text}"
        self._archived[run_id, digest] = artifact
        entry = {"kind": "file", "path": str(path), "artifact": artifact}
        self.put(RunRef(run_id, self._uris[run_id]), entry)
        return artifact, None

    def _hash_result(self, pending: Pending, held: Any) -> None:
        found = fingerprint.of(held, pending.types)
        asked = self.retrievals[pending.id].entity.rows
        dropped = asked - len(held) if asked is not None else 0
        losses: tuple[Loss, ...] = ()
        if dropped and pending.explain and pending.entity is not None:
            losses = self._explained(pending, held)
        result = Result(
            rows=len(held),
            dropped=dropped,
            losses=losses,
            columns=columns_of(held, pending.types),
            fingerprint=found.digest,
            row_order=found.row_order,
        )
        self._set(pending.id, result=result)
        pending.entity = None

    def _explained(self, pending: Pending, held: Any) -> tuple[Loss, ...]:
        assert pending.explain is not None
        try:
            return pending.explain(pending.entity, held)
        except Exception as problem:  # the sources are the user's, and may be out of reach: said
            self._warn(f"rows were dropped, and why could not be found out ({problem}).")
            return ()

    def _is_first(self, run_id: str, id: str) -> bool:
        """Whether a frame takes the name that Feast's tools look for: that of the tags does."""
        if any(run == run_id for run, _ in self._archived):
            return False
        made = [r for r in self.of_run(run_id) if r.kind == "historical" and r.linked_by is None]
        ids = [r.id for r in made]
        earlier = made[: ids.index(id)] if id in ids else []
        return all(r.entity.kind == "dataframe" for r in earlier)

    def _later(self, task: Callable[..., None], *args: Any) -> None:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="feast_nb hash")
            future = self._pool.submit(self._guarded, task, *args)
            self._work.add(future)
        future.add_done_callback(self._work.discard)

    def _guarded(self, task: Callable[..., None], *args: Any) -> None:
        try:
            task(*args)
        except Exception as problem:  # the background thread's door: it warns
            self._warn(f"a frame could not be hashed ({type(problem).__name__}: {problem}).")

    # ------------------------------------------------------------------ keeping

    def _same_call(self, new: Retrieval) -> Retrieval | None:
        """An online call of this run and cell that asked for the same features of as many keys."""

        def asked(r: Retrieval) -> tuple[Any, ...]:
            cell = r.cell.number if r.cell else None
            return r.kind, r.run_id, r.project, r.refs, r.service, r.full_feature_names, cell

        for old in reversed(list(self.retrievals.values())):
            if asked(old) == asked(new) and old.entity == new.entity and old.state == "ran":
                return old
        return None

    def _adopt_run(self, id: str) -> None:
        """A job made outside any run belongs to the run in which it runs."""
        if self.retrievals[id].run_id is None and (run := self._run_of_call()):
            self._uris[run.id] = run.tracking_uri
            self._set(id, run_id=run.id)

    def _update(self, id: str, state: str, run_seconds: float) -> None:
        before = self.retrievals[id]
        seconds = Seconds(before.seconds.submit, round(run_seconds, 6))
        self._set(id, state=state, seconds=seconds, error=None)

    def _set(self, id: str, **changes: Any) -> None:
        with self._lock:
            self._keep(replace(self.retrievals[id], **changes))

    def _keep(self, retrieval: Retrieval) -> None:
        with self._lock:
            self.retrievals[retrieval.id] = retrieval
            if retrieval.run_id:
                run = RunRef(retrieval.run_id, self._uris[retrieval.run_id])
                self.put(run, {"kind": "retrieval", "retrieval": retrieval.to_dict()})


def columns_of(held: Any, types: Mapping[str, Any]) -> tuple[Column, ...]:
    """Name, type and missing values of each column of an Arrow table or pandas frame."""
    if frames.is_pandas(held):
        nulls = held.isna().sum()
        return tuple(
            Column(str(name), str(types.get(str(name), held.dtypes.iloc[i])), int(nulls.iloc[i]))
            for i, name in enumerate(held.columns)
        )
    return tuple(
        Column(name, str(array.type), _missing(array))
        for name, array in zip(held.column_names, held.columns, strict=True)
    )


def _missing(array: Any) -> int:
    """Nulls of an Arrow column, and for floats the NaNs that stand for nulls in pandas."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(array.type):
        return int(array.null_count)
    return int(pc.sum(pc.is_null(array, nan_is_null=True)).as_py() or 0)
