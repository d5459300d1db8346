"""From calls noticed to retrievals recorded: nothing here waits for MLflow.

What needs Feast or MLflow comes in as callables. What takes longer than a moment (hashes, copies,
a look at the sources) is done by a thread of our own, from a copy of the entity frame and from
the Arrow table that Feast itself made, so that the cell goes on at once and may change its frames
as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVarTuple
from uuid import uuid4

from .. import frames
from ..masking import masked_text
from ..records.contract import Contract
from ..records.outbox import ContractEntry, FileEntry, OutboxEntry, RetrievalEntry, WriteEntry
from ..records.retrieval import Cell, LateValues, LinkedBy, Result, Retrieval, Seconds, Write
from ..records.run import RunRef
from .background import Background
from .frame_archive import FrameArchive
from .frame_tasks import EngineFrame, FrameTasks, Look, PendingRetrieval
from .retrieval_store import RetrievalStore

Given = TypeVarTuple("Given")

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ..frames import Tabular
    from .delivery.outbox import Outbox
    from .open_runs import OpenRuns
    from .retrieval_table import RetrievalTable


class Recording:
    """The retrievals and models of this process, each written to the outbox as it happens."""

    def __init__(
        self,
        outbox: Outbox,
        table: RetrievalTable,
        runs: OpenRuns,
        cell: Callable[[], Cell | None],
        spool: Path,
        warn: Callable[[str], None],
        archives: Callable[[str], bool] = lambda run_id: True,
    ) -> None:
        self.outbox = outbox
        self.table = table
        self._runs = runs
        self._store = RetrievalStore(outbox, table)
        self._frames = FrameArchive(spool, self._put_file)
        self._hashes = FrameTasks(self._store, self._frames, warn, runs.made_here)
        self._archives = archives
        self._cell = cell
        self.spool = spool
        self._background = Background(warn)

    # ------------------------------------------------------------------ what happens

    def submitted(
        self,
        draft: Retrieval,
        entity: object = None,
        archive: bool = False,
        max_rows: int = 0,
        look: Look | None = None,
        run: RunRef | None = None,
    ) -> str:
        """Keep a retrieval whose job was made, with its `run` or the one active now; its id.

        A pandas `entity` must be a copy: it is hashed and (where `archive` says so and it has at
        most `max_rows` rows) archived in the background. `look` completes the record there.
        """
        run = run or self._runs.of_call()
        retrieval = replace(
            draft,
            id=draft.id or f"r-{uuid4().hex[:12]}",
            cell=draft.cell or self._cell(),
            run_id=run.id if run else None,
            at=_now(),
        )
        with self._store.lock:
            if retrieval.kind == "online":
                self.table.remember_call(retrieval)
            if run:
                self._store.is_of(run)
                self.table.made_in(self._runs.training_of(run.id), retrieval.id)
            self._store.keep(retrieval)
        if look is not None:
            self._later(self._hashes.look, retrieval.id, look)
        if frames.is_pandas(entity):
            self._later(self._hashes.entity, retrieval.id, entity, archive, max_rows)
        elif isinstance(entity, EngineFrame):
            self._later(self._hashes.engine, retrieval.id, entity, archive, max_rows)
        return retrieval.id

    def answered(
        self,
        draft: Retrieval,
        seconds: float,
        answer: Callable[[], Tabular | Result],
        *,
        whole: Look = lambda draft: draft,
        look: Look | None = None,
        types: Callable[[], Mapping[str, pa.DataType]] = dict,
        run: RunRef | None = None,
    ) -> str:
        """Keep an online call, which has its `answer` already; its id.

        One that was made before in this run and cell is counted: only another one is made `whole`.
        """
        id = self._counted(draft, run)
        if id is None:
            id = self.submitted(whole(draft), look=look, run=run)
            self.ran(PendingRetrieval(id, types=types), seconds, answer)
        return id

    def _counted(self, draft: Retrieval, run: RunRef | None) -> str | None:
        run = run or self._runs.of_call()
        made = replace(draft, cell=draft.cell or self._cell(), run_id=run.id if run else None)
        with self._store.lock:  # the background may be completing the same record
            same = self.table.same_call(made)
            if same is None:
                return None
            if run:
                self.table.made_in(self._runs.training_of(run.id), same.id)
            self._store.count(same.id, _now())
            return same.id

    def ran(
        self,
        pending: PendingRetrieval,
        seconds: float,
        result: Tabular | Callable[[], Tabular | Result],
        kept: str | None = None,
    ) -> None:
        """Keep what came back: an Arrow table, a pandas frame (copied here), or how to get one."""
        self._adopt_run(pending.id)
        self._update(pending.id, state="ran", run_seconds=seconds, kept=kept)
        held = result.copy() if frames.is_pandas(result) else result
        self._later(self._hashes.result, pending, held)

    def counted(
        self, pending: PendingRetrieval, seconds: float, rows: int | None, kept: str | None = None
    ) -> None:
        """Keep a job that ran where no frame can be had from it (it was written elsewhere)."""
        self._adopt_run(pending.id)
        self._update(pending.id, state="ran", run_seconds=seconds, kept=kept)
        if rows is not None:
            self._store.change(pending.id, result=Result(rows=rows))
        self._store.send(pending.id)

    def failed(self, pending: PendingRetrieval, seconds: float, error: BaseException) -> None:
        """Keep a job that raised, as just that."""
        self._adopt_run(pending.id)
        self._update(pending.id, state="failed", run_seconds=seconds)
        self._store.change(pending.id, error=masked_text(f"{type(error).__name__}: {error}")[:500])
        self._store.send(pending.id)

    def late(self, id: str, late: tuple[LateValues, ...]) -> None:
        """Keep which values were not there yet, where the cell itself found it out."""
        self._later(self._hashes.late_too, id, late)

    def named(self, id: str, kept: str) -> None:
        """Say where the result of a retrieval was written to, once that has a name."""
        self._store.change(id, kept=kept)
        self._store.send(id)

    def wrote(
        self,
        write: Write,
        frame: pd.DataFrame | None = None,
        views: Callable[[], tuple[str, ...]] | None = None,
    ) -> None:
        """Keep that features were written.

        In the background `frame` (a copy) is hashed, and `views` says which were written to.
        """
        run = self._runs.of_call()
        if run is None:
            return
        self._store.is_of(run)
        made = replace(
            write, id=f"w-{uuid4().hex[:12]}", cell=self._cell(), run_id=run.id, at=_now()
        )
        self.table.wrote(run.id, made)
        more = frame is not None or views is not None
        self.put(run, WriteEntry(made), soon=not more)
        if more:
            self._later(self._hashes.write, run, made, frame, views)

    def modelled(self, run: RunRef, contract: Contract) -> None:
        """Keep the contract of a model that was logged."""
        with self._store.lock:
            self.table.contracts[contract.model_id] = contract
            self._store.is_of(run)
        self.put(run, ContractEntry(contract))

    def link(
        self, run: RunRef, id: str, by: LinkedBy, inherited_from: str | None = None
    ) -> Retrieval:
        """Say that a run uses what a retrieval gave, and how that is known; the surest way stays.

        A retrieval that was made elsewhere (another cell, another run) is written to this run
        too, as a copy that says how it was linked, so that a match is never read as a fact.
        """
        with self._store.lock:
            new, tell = self.table.link(run.id, id, by)
            self._store.is_of(run)
            original = self.table.retrievals[id]
            if original.run_id == run.id:
                return original
            linked = self.table.copy_for(run.id, id)
        if not tell:
            return linked  # every cell that reads the frame says it again
        self.put(run, RetrievalEntry(linked, inherited_from))
        if new and original.run_id is None and self._archives(run.id):
            self._later(self._hashes.copy_to, run, id)
        return linked

    def link_all(self, run: RunRef, found: Mapping[str, LinkedBy]) -> None:
        """Say that a run uses what several retrievals gave, in the order of the retrievals."""
        for id in [i for i in list(self.table.retrievals) if i in found]:
            made_in = self.table.retrievals[id].run_id
            self.link(run, id, found[id], self._runs.ancestor(run.id, made_in))

    def _put_file(self, run_id: str, path: Path, artifact: str) -> None:
        self._store.put_for(run_id, FileEntry(str(path), artifact), soon=False)

    def put(self, run: RunRef, entry: OutboxEntry, soon: bool = True) -> None:
        """Send an entry of another kind (tags, metrics, the end of a run) on its way."""
        self.outbox.put(run.id, run.tracking_uri, entry, soon)

    def held(self) -> AbstractContextManager[None]:
        """A time in which Feast works for the cell: nothing is begun in the background."""
        return self._background.held()

    def look_again(self) -> None:
        """Look up once more what a registry was away for: the run is about to end."""
        self._later(self._hashes.look_again)

    def settle(self, seconds: float = 60.0) -> bool:
        """Wait for hashes and archives under way, at most `seconds`; whether all are done."""
        return self._background.settle(seconds)

    def close(self) -> None:
        self.settle()
        self._background.close()
        self._frames.close()

    def _later(self, task: Callable[[*Given], None], *args: *Given) -> None:
        self._background.later(task, *args)

    def _adopt_run(self, id: str) -> None:
        """A job made outside any run belongs to the run in which it runs."""
        if self.table.retrievals[id].run_id is None and (run := self._runs.of_call()):
            self._store.is_of(run)
            self.table.made_in(self._runs.training_of(run.id), id)
            self._store.change(id, run_id=run.id)
            if self._archives(run.id):
                self._later(self._hashes.copy_to, run, id)

    def _update(self, id: str, state: str, run_seconds: float, kept: str | None = None) -> None:
        before = self.table.retrievals[id]
        seconds = Seconds(before.seconds.submit, round(run_seconds, 6))
        self._store.change(id, state=state, seconds=seconds, error=None, kept=kept or before.kept)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
