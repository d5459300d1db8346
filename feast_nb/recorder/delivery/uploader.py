"""From the outbox to MLflow: a run's entries as one batch of tags, and its artifacts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...errors import ArtifactError, GoneError, TrackingError
from ...integrations.mlflow import clients, datasets, http, models, retrieval_files, runs, writer
from ...records.contract import Contract
from ...records.outbox import (
    OPERATION,
    ContractEntry,
    FileEntry,
    OperationEntry,
    OutboxEntry,
    RunEnd,
    VersionEntry,
)
from ...records.retrieval import TRAINING_FRAME, Retrieval, Retrievals
from .run_document import (
    INCOMPLETE,
    DeliveryStep,
    RunDocument,
    check_entry,
    contract_address,
    retrieval_ids,
    retrievals_in,
    tags_of,
    text_artifacts,
    to_json,
    version_tags,
)
from .run_queue import Batch

_EVERY = 30.0  # seconds between two writings of the retrievals of a run that goes on
_SHARE = 20.0  # or as many times as long as the last one took: ten thousand take seconds
_NONE = Retrievals("")


@dataclass
class UploadState:
    """What MLflow has of a run already, so that it is not sent again."""

    document: RunDocument = field(default_factory=RunDocument)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    place: str | None = None  # this writer's own file of retrievals
    before: Retrievals = _NONE  # what is in it from a process that died
    others: Retrievals = _NONE  # what the other writers have written
    several: bool = False
    unread: bool = False  # another's file is there, and could not be read
    datasets: set[str] = field(default_factory=set)
    written: float = 0.0
    took: float = 0.0  # by the last writing of the retrievals
    told_end: bool = False  # an end of the run was among what was sent

    def read(self, uri: str, run_id: str, own: bool) -> None:
        """What the run's other files hold now; of one that a dead process left, its own too.

        Another's that cannot be read holds up nothing: what was known of it stays, and the run
        stays marked as incomplete.
        """
        there = retrieval_files.places(uri, run_id)
        if own and self.place in there and self.before is _NONE:
            self.before = _whole_or_none(uri, run_id, str(self.place))
        self.unread = False
        found = [self.others]
        for place in there:
            if place != self.place:
                try:
                    found.append(retrieval_files.read(uri, run_id, place))
                except TrackingError:
                    self.unread = True
        self.others = retrieval_files.joined(run_id, found)
        theirs = retrieval_files.joined(run_id, (self.others, self.before))
        ours = {*tags_of(theirs, RunDocument())[0], *self.tags, INCOMPLETE}
        self.tags = {k: v for k, v in runs.tags_of(uri, run_id).items() if k in ours}


def _whole_or_none(uri: str, run_id: str, place: str) -> Retrievals:
    """What a file of a dead process holds; nothing where it is cut short."""
    try:
        return retrieval_files.read(uri, run_id, place)
    except ArtifactError:
        return Retrievals(run_id)


class Uploader:
    """Writes batches to MLflow; remembers per run what was sent.

    `set_aside(run_id, entry, reason)` takes what cannot be read, so that the rest can go.
    """

    def __init__(self, set_aside: Callable[[str, OutboxEntry, str], None]) -> None:
        self._states: dict[tuple[str, str], UploadState] = {}
        self._set_aside = set_aside

    def deliver(self, batch: Batch) -> bool:
        """Write what is new to MLflow, and say whether it has the whole run for good now.

        Raises soon where the server is away or refuses.
        """
        with http.short_timeouts(), clients.in_workspace(batch.workspace):
            return self._deliver(batch)

    def _deliver(self, batch: Batch) -> bool:
        if batch.run_id.startswith(OPERATION):
            return self._operations(batch)
        uri, run_id = batch.tracking_uri, batch.run_id
        state = self._states.setdefault((run_id, batch.writer), UploadState())
        if batch.known and not state.document.holds_entries:
            for entry in batch.known:
                state.document.add(entry)
        new = self._readable(batch)
        for entry in new:
            state.document.add(entry)
        done = batch.final or state.document.ended is not None
        began = time.monotonic()
        due = done or not state.written or began - state.written > max(_EVERY, _SHARE * state.took)
        moment = self._step(batch, state, due, done)
        there = _files(moment, new)
        self._write(moment, state, new, there)
        if due and state.several:
            self._agree(moment, state)
        if due:
            self._datasets(uri, run_id, state, moment.whole.retrievals)
            state.written = time.monotonic() if moment.whole.retrievals else 0.0
            state.took = time.monotonic() - began
        self._models(batch, state, new)
        self._endings(batch, state, new)
        for path, _ in there:
            remove_file(path)
        if done and (batch.adopted or state.document.ended):
            for cells in state.document.cells:
                cells.unlink(missing_ok=True)
        return due

    def _operations(self, batch: Batch) -> bool:
        """What was done becomes a run once: one that was begun before is looked for."""
        for entry in self._readable(batch):
            if isinstance(entry, OperationEntry):
                try:
                    writer.log_operation(batch.tracking_uri, entry)
                except GoneError as gone:
                    self._set_aside(batch.run_id, entry, str(gone))
        return True

    def _step(self, batch: Batch, state: UploadState, due: bool, done: bool) -> DeliveryStep:
        """What is to be written now, with what the other writers of the run have written."""
        uri, run_id, writer = batch.tracking_uri, batch.run_id, batch.writer
        document = state.document
        mine = retrievals_in(run_id, document, writer)
        fresh, own = not (document.resumed or batch.adopted), batch.adopted
        if due and (mine.retrievals or mine.writes):
            if state.place is None:
                state.place, alone = retrieval_files.claimed(uri, run_id, writer, fresh)
                state.others, own = _NONE, True  # its own file was among them
            else:
                alone = retrieval_files.claims(uri, run_id) == [writer]
            state.several = not (alone and state.place == retrieval_files.FIRST)
        if due and (state.several or not fresh):
            state.read(uri, run_id, own)
        whole = retrieval_files.joined(run_id, (state.others, state.before, mine))
        mine = retrieval_files.joined(run_id, (state.before, mine))
        mine = replace(retrieval_files.without(mine, state.others), writer=writer)
        if state.place not in (None, retrieval_files.FIRST):
            mine = retrieval_files.renamed(mine)
        several = state.several or not fresh
        return DeliveryStep(batch, document, whole, mine, state.place, due, done, several)

    def _readable(self, batch: Batch) -> list[OutboxEntry]:
        """The new entries; what another process wrote and cannot be used is set aside first."""
        if not batch.adopted:
            return list(batch.new)
        good: list[OutboxEntry] = []
        for entry in batch.new:
            try:
                check_entry(entry)
            except (TypeError, ValueError, KeyError, AttributeError) as problem:
                self._set_aside(batch.run_id, entry, f"{entry.kind}: {problem}")
            else:
                good.append(entry)
        return good

    def _write(
        self,
        moment: DeliveryStep,
        state: UploadState,
        new: Sequence[OutboxEntry],
        files: Sequence[tuple[Path, str]],
    ) -> None:
        """Tags and metrics in one request, files, and what is not true any more taken off."""
        texts = text_artifacts(moment.batch.tracking_uri, moment, new)
        late = bool(new) and _late(moment.batch, state)
        self._tag(moment, state, [*files, *texts], late)
        state.told_end = moment.document.ended is not None

    def _tag(
        self,
        moment: DeliveryStep,
        state: UploadState,
        files: Sequence[tuple[Path | str, str]] = (),
        late: bool = False,
    ) -> bool:
        """Write the tags and metrics that differ, with some files; whether any tag did."""
        uri, run_id = moment.batch.tracking_uri, moment.batch.run_id
        all_tags, metrics = tags_of(moment.whole, moment.document)
        if moment.holds_something and (state.unread or not moment.done):
            all_tags[INCOMPLETE] = "true"
        if late:  # by which a history finds what it has read before
            metrics[writer.WRITTEN_AT] = round(time.time(), 3)
        new = {k: v for k, v in all_tags.items() if state.tags.get(k) != v}
        counted = {k: v for k, v in metrics.items() if state.metrics.get(k) != v}
        writer.write(uri, run_id, new, counted, files)  # it says where the server is away, too
        stale = {k: v for k, v in state.tags.items() if k not in all_tags}
        if stale:  # a service that was true of the first retrieval, say, and is not of both
            writer.untag(uri, run_id, stale)
        state.tags, state.metrics = all_tags, metrics
        return bool(new or stale)

    def _agree(self, moment: DeliveryStep, state: UploadState) -> None:
        """Tags of all writers: whoever writes them looks once more what the others have by then."""
        uri, run_id = moment.batch.tracking_uri, moment.batch.run_id
        for _ in range(3):
            state.read(uri, run_id, own=False)
            whole = retrieval_files.joined(run_id, (state.others, moment.mine))
            if not self._tag(replace(moment, whole=whole), state):
                return

    def forget(self, run_id: str) -> None:
        """What was sent of a run is not to be sent again: its rows are erased."""
        for key in [key for key in self._states if key[0] == run_id]:
            del self._states[key]

    def _datasets(
        self, uri: str, run_id: str, state: UploadState, retrievals: Sequence[Retrieval]
    ) -> None:
        """Training frames as dataset inputs, each once."""
        new = [
            r
            for r in retrievals
            if r.kind == "historical" and r.state == "ran" and r.result
            and r.result.fingerprint and r.result.fingerprint not in state.datasets
        ]  # fmt: skip
        if new:
            datasets.log(uri, run_id, new)
            state.datasets |= {str(r.result.fingerprint) for r in new if r.result}

    def _models(self, batch: Batch, state: UploadState, new: Sequence[OutboxEntry]) -> None:
        """Contracts and versions; what MLflow does not have any more is set aside with a word."""
        for entry in new:
            try:
                if isinstance(entry, ContractEntry):
                    self._contract(batch.tracking_uri, entry.contract)
                elif isinstance(entry, VersionEntry):
                    self._version(batch, state, entry)
            except GoneError as gone:
                self._set_aside(batch.run_id, entry, str(gone))

    def _contract(self, uri: str, contract: Contract) -> None:
        named = {
            "feast_nb.contract": contract_address(contract),
            "feast_nb.retrievals": retrieval_ids(contract),
        }
        models.keep_contract(uri, contract.model_id, to_json(contract.to_dict()), named)

    def _version(self, batch: Batch, state: UploadState, entry: VersionEntry) -> None:
        """Tag a version by its contract, which MLflow has where it was sent before."""
        known = state.document.contracts
        if entry.model_id and entry.model_id not in known:
            place = f"feast/contracts/{entry.model_id}.json"
            text = writer.text_of(batch.tracking_uri, batch.run_id, place)
            if text:
                known[entry.model_id] = Contract.read(text, place)
        named = version_tags(entry, state.document, state.tags)
        models.tag_version(batch.tracking_uri, entry.name, entry.version, named)

    def _endings(self, batch: Batch, state: UploadState, new: Sequence[OutboxEntry]) -> None:
        """End runs whose server was away when they ended, and those a dead kernel left open.

        One that was opened again since goes on.
        """
        for entry in new:
            if isinstance(entry, RunEnd) and entry.late and state.document.ended is not None:
                if entry.status not in runs.ENDINGS:
                    self._set_aside(batch.run_id, entry, f"no status {entry.status}")
                    continue
                runs.terminate(batch.tracking_uri, batch.run_id, entry.status, only_running=True)


def _files(moment: DeliveryStep, new: Sequence[OutboxEntry]) -> list[tuple[Path, str]]:
    """The files to upload, each with its artifact.

    The name by which Feast's tools find the training's entity frame is the first writer's.
    """
    files = [e for e in new if isinstance(e, FileEntry) and Path(e.path).exists()]
    found = [(Path(e.path), e.artifact) for e in files]
    if moment.place == retrieval_files.FIRST:
        kept = [r.entity.artifact for r in moment.mine.retrievals if r.entity.artifact]
        first = [path for path, artifact in found if [artifact] == kept[:1]]
        if first and TRAINING_FRAME not in kept:  # a run that another process began
            batch = moment.batch
            if TRAINING_FRAME not in writer.artifacts_of(batch.tracking_uri, batch.run_id):
                found.append((first[0], TRAINING_FRAME))
    elif moment.place is not None:
        place = retrieval_files.frame_place(moment.document.retrievals.values())
        return [(path, place if a == TRAINING_FRAME else a) for path, a in found]
    return found


def _late(batch: Batch, state: UploadState) -> bool:
    """Whether a run may have ended before this is written to it."""
    ended = state.document.ended is not None
    return batch.adopted or (ended and (state.told_end or batch.failures > 0))


def remove_file(path: Path) -> None:
    """Remove a file or folder that MLflow has, or that has nowhere to go."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
