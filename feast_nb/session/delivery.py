"""From the outbox to MLflow: a run's entries as one batch of tags, and its artifacts."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__, origin
from ..entries import (
    CellsEntry,
    ContractEntry,
    FileEntry,
    OriginEntry,
    OutboxEntry,
    RetrievalEntry,
    RunEnd,
    RunStart,
    VersionEntry,
    WriteEntry,
)
from ..features import hashes
from ..records import Contract, Origin, Retrieval, Retrievals, Write, canonical
from ..run_queue import Batch
from ..runs import datasets, http, models, tags, tracking, writing

RETRIEVALS = "feast/retrievals.json"
CELLS = "feast/cells.ipynb"
_EVERY = 30.0  # seconds between two writings of the retrievals of a run that goes on
INCOMPLETE = "feast_nb.incomplete"
WRITTEN_AT = "feast_nb.written_at"


@dataclass
class RunDocument:
    """What a run's entries add up to; later ones take the place of earlier ones."""

    retrievals: dict[str, Retrieval] = field(default_factory=dict)
    writes: dict[str, Write] = field(default_factory=dict)
    contracts: dict[str, Contract] = field(default_factory=dict)
    origin: Origin | None = None
    cells: Path | None = None
    inherited_from: str | None = None
    source: str | None = None
    resumed: bool = False
    ended: str | None = None

    @property
    def holds_entries(self) -> bool:
        """Whether anything was added yet."""
        return self != RunDocument()

    def add(self, entry: OutboxEntry) -> None:
        match entry:
            case RetrievalEntry():
                self.retrievals[entry.retrieval.id] = entry.retrieval
                self.inherited_from = entry.inherited_from or self.inherited_from
            case WriteEntry():
                self.writes[entry.write.id] = entry.write
            case ContractEntry():
                self.contracts[entry.contract.model_id] = entry.contract
            case OriginEntry():
                self.origin = entry.origin
            case CellsEntry():
                self.cells = Path(entry.path)
            case RunStart():
                self.resumed = self.resumed or entry.resumed
                self.source = entry.source or self.source
                self.ended = None
            case RunEnd():
                self.ended = entry.status


@dataclass
class UploadState:
    """What MLflow has of a run already, so that it is not sent again."""

    document: RunDocument = field(default_factory=RunDocument)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    earlier: Retrievals | None = None
    datasets: set[str] = field(default_factory=set)
    written: float = 0.0
    told_end: bool = False  # an end of the run was among what was sent


@dataclass(frozen=True)
class _Moment:
    """One delivery: whether the run's documents are due now, and whether the run is done."""

    batch: Batch
    document: RunDocument
    whole: Retrievals
    due: bool
    done: bool

    @property
    def holds_something(self) -> bool:
        """Whether the run has anything to do with Feast: others are left as they are."""
        return bool(self.whole.retrievals or self.whole.writes or self.document.contracts)


class Uploader:
    """Writes batches to MLflow; remembers per run what was sent.

    `set_aside(run_id, entry, reason)` takes what cannot be read, so that the rest can go.
    """

    def __init__(self, set_aside: Callable[[str, OutboxEntry, str], None]) -> None:
        self._states: dict[str, UploadState] = {}
        self._set_aside = set_aside

    def deliver(self, batch: Batch) -> bool:
        """Write what is new to MLflow, and say whether it has the whole run for good now.

        Raises soon where the server is away or refuses.
        """
        with http.short_timeouts():
            return self._deliver(batch)

    def _deliver(self, batch: Batch) -> bool:
        uri, run_id = batch.tracking_uri, batch.run_id
        state = self._states.setdefault(run_id, UploadState())
        if batch.known and not state.document.holds_entries:
            for entry in batch.known:
                state.document.add(entry)
        new = self._readable(batch)
        for entry in new:
            state.document.add(entry)
        if (state.document.resumed or batch.adopted) and state.earlier is None:
            state.earlier = earlier(uri, run_id)
            before = _tags(state.earlier.retrievals, state.document)[0]
            state.tags = {**before, INCOMPLETE: "true"}
        done = batch.final or state.document.ended is not None
        due = done or not state.written or time.monotonic() - state.written > _EVERY
        whole = _merged(run_id, state.earlier, state.document)
        moment = _Moment(batch, state.document, whole, due, done)
        files = [(Path(e.path), e.artifact) for e in new if isinstance(e, FileEntry)]
        there = [(path, artifact) for path, artifact in files if path.exists()]
        self._write(moment, state, new, there)
        if due:
            self._datasets(uri, run_id, state, whole.retrievals)
            state.written = time.monotonic() if whole.retrievals else 0.0
        self._models(uri, state, new)
        self._endings(uri, run_id, new)
        for path, _ in there:
            remove_file(path)
        cells = state.document.cells
        if done and cells is not None and (batch.adopted or state.document.ended):
            cells.unlink(missing_ok=True)
        return due

    def _readable(self, batch: Batch) -> list[OutboxEntry]:
        """The new entries; what another process wrote and cannot be used is set aside first."""
        if not batch.adopted:
            return list(batch.new)
        good: list[OutboxEntry] = []
        for entry in batch.new:
            try:
                _try(entry)
            except (TypeError, ValueError, KeyError, AttributeError) as problem:
                self._set_aside(batch.run_id, entry, f"{entry.kind}: {problem}")
            else:
                good.append(entry)
        return good

    def _write(
        self,
        moment: _Moment,
        state: UploadState,
        new: Sequence[OutboxEntry],
        files: Sequence[tuple[Path, str]],
    ) -> None:
        """Tags and metrics in one request, files, and what is not true any more taken off."""
        uri, run_id = moment.batch.tracking_uri, moment.batch.run_id
        all_tags, metrics = _tags(moment.whole.retrievals, moment.document)
        if not moment.done and moment.holds_something:
            all_tags[INCOMPLETE] = "true"
        if new and _late(moment.batch, state):  # by which a history finds what it has read before
            metrics[WRITTEN_AT] = round(time.time(), 3)
        writing.write(
            uri,
            run_id,
            {k: v for k, v in all_tags.items() if state.tags.get(k) != v},
            {k: v for k, v in metrics.items() if state.metrics.get(k) != v},
            [*files, *_texts(uri, moment, new)],
        )
        stale = {k: v for k, v in state.tags.items() if k not in all_tags}
        if stale:  # a service that was true of the first retrieval, say, and is not of both
            writing.untag(uri, run_id, stale)
        state.tags, state.metrics = all_tags, metrics
        state.told_end = moment.document.ended is not None

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

    def _models(self, uri: str, state: UploadState, new: Sequence[OutboxEntry]) -> None:
        for entry in new:
            if isinstance(entry, ContractEntry):
                contract = state.document.contracts[entry.contract.model_id]
                named = {
                    "feast_nb.contract": _address(contract), "feast_nb.retrievals": _ids(contract)
                }  # fmt: skip
                text = _json(contract.to_dict())
                models.keep_contract(uri, contract.model_id, text, named)
            elif isinstance(entry, VersionEntry):
                named = _version_tags(entry, state.document, state.tags)
                models.tag_version(uri, entry.name, entry.version, named)

    def _endings(self, uri: str, run_id: str, new: Sequence[OutboxEntry]) -> None:
        """End runs whose server was away when they ended, and those a dead kernel left open."""
        for entry in new:
            if isinstance(entry, RunEnd) and entry.late:
                tracking.terminate(uri, run_id, entry.status, only_running=True)


def _try(entry: OutboxEntry) -> None:
    """Use an entry as a delivery does; raises what the delivery would."""
    document = RunDocument()
    document.add(entry)
    _tags(list(document.retrievals.values()), document)
    _json(_merged("", None, document).to_dict())
    for contract in document.contracts.values():
        _ids(contract), _json(contract.to_dict()), canonical(contract.features, contract.views)
    if isinstance(entry, FileEntry):
        Path(entry.path), entry.artifact.rpartition("/")


def _texts(uri: str, moment: _Moment, new: Sequence[OutboxEntry]) -> list[tuple[Path | str, str]]:
    """The artifacts that are written as text, where they are due."""
    document, whole = moment.document, moment.whole
    texts: list[tuple[Path | str, str]] = [
        (_json(e.contract.to_dict()), f"feast/contracts/{e.contract.model_id}.json")
        for e in new
        if isinstance(e, ContractEntry)
    ]
    if moment.due and (whole.retrievals or whole.writes):
        texts.append((_json(whole.to_dict()), RETRIEVALS))
        if refs := _training_refs(document, whole.retrievals):
            texts.append((json.dumps(refs), "feast_features.json"))
    if moment.done and moment.holds_something:
        if document.cells is not None and document.cells.exists():
            texts.append((_cells(uri, whole.run_id, document), CELLS))
        if document.origin is not None:
            texts.append((_json(document.origin.to_dict()), "feast/notebook.json"))
    return texts


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


def _address(contract: Contract) -> str:
    return f"runs:/{contract.run_id}/feast/contracts/{contract.model_id}.json"


def _version_tags(
    entry: VersionEntry, document: RunDocument, run_tags: Mapping[str, str]
) -> dict[str, str]:
    """As Feast tags a registered version, with the contract's own service."""
    contract = document.contracts.get(entry.model_id or "")
    if contract is None:
        return {}
    shown, missing = tags.whole(canonical(contract.features, contract.views))
    named = {"feast_nb.contract": _address(contract)}
    if shown and not missing:  # an index, for those who look at thousands of versions
        named |= {"feast_nb.features": shown, "feast_nb.project": contract.project}
    if contract.service:
        named["feast.feature_service"] = contract.service
    elif "feast.feature_service" in run_tags:
        # The run's service is not this model's: without a word here Feast would take it for its.
        named["feast.feature_service"] = ""
    return named


def _ids(contract: Contract) -> str:
    return tags.whole(contract.retrievals)[0]


def _cells(uri: str, run_id: str, document: RunDocument) -> str:
    """The cells that ran; those of earlier kernels first, where the run was resumed."""
    assert document.cells is not None
    text = document.cells.read_text(encoding="utf-8")
    before = writing.read_text(uri, run_id, CELLS) if document.resumed else None
    return _json(origin.continued(json.loads(before), json.loads(text))) if before else text


def earlier(uri: str, run_id: str) -> Retrievals:
    """What MLflow has of a run's retrievals and writes, whole and in order."""
    text = writing.read_text(uri, run_id, RETRIEVALS)
    return Retrievals.from_dict(json.loads(text)) if text else Retrievals(run_id)


def _merged(run_id: str, before: Retrievals | None, document: RunDocument) -> Retrievals:
    retrievals = {r.id: r for r in (before.retrievals if before else ())} | document.retrievals
    writes = {w.id: w for w in (before.writes if before else ())} | document.writes
    in_order = sorted(retrievals.values(), key=lambda r: r.at or "")
    views = [v for r in in_order for v in (*r.views, *r.behind)]
    known = (before.definitions if before else {}) | hashes.parts_of(views)
    return Retrievals(run_id, tuple(in_order), tuple(writes.values()), known)


def _training_refs(document: RunDocument, retrievals: Sequence[Retrieval]) -> list[str] | None:
    """The references that the last model was trained on, whole: what Feast's tools check."""
    if not document.contracts:
        return None
    last = list(document.contracts.values())[-1]
    if last.refs:
        return list(last.refs)
    historical = [r for r in retrievals if r.kind == "historical" and r.state == "ran"]
    return list(historical[0].refs) if historical else None


def _tags(
    retrievals: Sequence[Retrieval], document: RunDocument
) -> tuple[dict[str, str], dict[str, float]]:
    all_tags, metrics = tags.of(retrievals)
    done: list[Any] = [*retrievals, *document.writes.values()]
    if not done:
        return all_tags, metrics
    all_tags["feast_nb.version"] = __version__
    cells = [r.cell for r in done if r.cell]
    if cells and cells[0].notebook:
        all_tags["feast_nb.notebook"] = cells[0].notebook
    if cells and cells[0].number is not None:
        all_tags["feast_nb.cell"] = str(cells[0].number)
    if document.inherited_from:
        all_tags["feast_nb.inherited_from"] = document.inherited_from
    if document.source:
        all_tags["mlflow.source.name"] = document.source
        all_tags["mlflow.source.type"] = "NOTEBOOK"
    if document.writes:
        written = tags.union(w.views for w in document.writes.values() if w.state == "ran")
        all_tags["feast_nb.views_written"] = tags.whole(written)[0]
        all_tags.setdefault("feast.project", next(iter(document.writes.values())).project)
    if document.origin is not None and document.origin.commit:
        all_tags["mlflow.source.git.commit"] = document.origin.commit
        if document.origin.branch:
            all_tags["mlflow.source.git.branch"] = document.origin.branch
        all_tags["feast_nb.git_dirty"] = str(bool(document.origin.dirty)).lower()
    return all_tags, metrics


def _json(data: object) -> str:
    return json.dumps(data, indent=1)
