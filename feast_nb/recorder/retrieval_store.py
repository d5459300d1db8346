"""The retrievals of this process, each change of one written to the outbox as it happens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..records.outbox import OutboxEntry, RetrievalEntry
from ..records.retrieval import EntityFrame, Retrieval
from ..records.run import RunRef

if TYPE_CHECKING:
    from .delivery.outbox import Outbox
    from .retrieval_table import RetrievalTable


class RetrievalStore:
    """What is known of each retrieval, in the table and on disk for each run that it belongs to."""

    def __init__(self, outbox: Outbox, table: RetrievalTable) -> None:
        self.outbox = outbox
        self.table = table
        self.lock = table.lock
        self._uris: dict[str, str] = {}

    def is_of(self, run: RunRef) -> RunRef:
        """Remember where the server of a run is: records of it may come later."""
        self._uris[run.id] = run.tracking_uri
        return run

    def put(self, run: RunRef, entry: OutboxEntry, soon: bool = True) -> None:
        """Send an entry of a run on its way."""
        self.outbox.put(run.id, run.tracking_uri, entry, soon)

    def put_for(self, run_id: str, entry: OutboxEntry, soon: bool = True) -> None:
        """The same for a run whose server is known."""
        self.put(RunRef(run_id, self._uris[run_id]), entry, soon)

    def change(self, id: str, **changes: Any) -> None:
        """Change what is known of a retrieval; `send` sends it."""
        with self.lock:
            self.keep(replace(self.table.retrievals[id], **changes))

    def change_entity(self, id: str, **changes: Any) -> None:
        """The same for its entity frame."""
        with self.lock:
            entity: EntityFrame = replace(self.table.retrievals[id].entity, **changes)
            self.change(id, entity=entity)

    def keep(self, retrieval: Retrieval) -> None:
        """Write a retrieval to disk for each run that it belongs to; `send` sends it."""
        with self.lock:
            self.table.keep(retrieval)
            self.put_all(retrieval.id, soon=False)

    def count(self, id: str, last: str) -> None:
        """An online call was made again: count it for each run that it belongs to."""
        with self.lock:
            counted = self.table.count(id, last)
            for run_id in self.table.runs_of(id):
                if run_id == counted.run_id:
                    self.outbox.put_again(run_id, self._uris[run_id], RetrievalEntry(counted))
                else:
                    self.put_for(run_id, RetrievalEntry(self.table.copy_for(run_id, id)))

    def send(self, id: str) -> None:
        """What is known of a retrieval is complete: MLflow may have it."""
        with self.lock:
            for run_id in self.table.runs_of(id):
                self.outbox.hurry(run_id)

    def put_all(self, id: str, soon: bool) -> None:
        """Write a retrieval as each of its runs has it."""
        retrieval = self.table.retrievals[id]
        for run_id in self.table.runs_of(id):
            mine = retrieval if run_id == retrieval.run_id else self.table.copy_for(run_id, id)
            self.put_for(run_id, RetrievalEntry(mine), soon)
