"""From the outbox to MLflow: a run's entries as one batch of tags, and its artifacts."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__, origin
from ..features import hashes
from ..outbox import Entry, Parcel
from ..records import Contract, Origin, Retrieval, Retrievals, Write, canonical
from ..runs import datasets, models, reach, tags, tracking, writing

RETRIEVALS = "feast/retrievals.json"
CELLS = "feast/cells.ipynb"
_EVERY = 30.0  # seconds between two writings of the retrievals of a run that goes on
INCOMPLETE = "feast_nb.incomplete"
WRITTEN_AT = "feast_nb.written_at"


@dataclass
class Book:
    """What a run's entries add up to; later ones take the place of earlier ones."""

    read: int = 0
    retrievals: dict[str, Retrieval] = field(default_factory=dict)
    writes: dict[str, Write] = field(default_factory=dict)
    contracts: dict[str, Contract] = field(default_factory=dict)
    origin: Origin | None = None
    cells: Path | None = None
    inherited_from: str | None = None
    source: str | None = None
    resumed: bool = False
    ended: str | None = None

    def add(self, entry: Entry) -> None:
        kind = entry["kind"]
        if kind == "retrieval":
            retrieval = Retrieval.from_dict(entry["retrieval"])
            self.retrievals[retrieval.id] = retrieval
            self.inherited_from = entry.get("inherited_from") or self.inherited_from
        elif kind == "write":
            write = Write.from_dict(entry["write"])
            self.writes[write.id] = write
        elif kind == "contract":
            contract = Contract.from_dict(entry["contract"])
            self.contracts[contract.model_id] = contract
        elif kind == "origin":
            self.origin = Origin.from_dict(entry["origin"])
        elif kind == "cells":
            self.cells = Path(entry["path"])
        elif kind == "opened":
            self.resumed = self.resumed or entry.get("resumed", False)
            self.source = entry.get("source") or self.source
            self.ended = None
        elif kind == "ended":
            self.ended = entry["status"]
        self.read += 1

    @property
    def holds_something(self) -> bool:
        """Whether the run has anything to do with Feast: others are left as they are."""
        return bool(self.retrievals or self.writes or self.contracts)


def fold(entries: Sequence[Entry]) -> Book:
    """What entries add up to."""
    book = Book()
    for entry in entries:
        book.add(entry)
    return book


@dataclass
class Sent:
    """What MLflow has of a run already, so that it is not sent again."""

    book: Book = field(default_factory=Book)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    earlier: Retrievals | None = None
    datasets: set[str] = field(default_factory=set)
    written: float = 0.0


class Delivery:
    """Delivers parcels; remembers per run what was sent."""

    def __init__(self) -> None:
        self._sent: dict[str, Sent] = {}

    def deliver(self, parcel: Parcel) -> None:
        """Write what is new to MLflow; raises soon where the server is away or refuses."""
        with reach.sending():
            self._deliver(parcel)

    def _deliver(self, parcel: Parcel) -> None:
        uri, run_id = parcel.tracking_uri, parcel.run_id
        sent = self._sent.setdefault(run_id, Sent())
        book = self._book(parcel, sent)
        if (book.resumed or parcel.adopted) and sent.earlier is None:
            sent.earlier = earlier(uri, run_id)
            sent.tags = {**_tags(sent.earlier.retrievals, book)[0], INCOMPLETE: "true"}
        document = _merged(run_id, sent.earlier, book)
        retrievals = document.retrievals
        new = parcel.entries[parcel.delivered :]
        done = parcel.final or book.ended is not None
        due = done or not sent.written or time.monotonic() - sent.written > _EVERY
        files = [(Path(e["path"]), e["artifact"]) for e in new if e["kind"] == "file"]
        there = [(path, artifact) for path, artifact in files if path.exists()]
        all_tags, metrics = _tags(retrievals, book)
        if not done and book.holds_something:
            all_tags[INCOMPLETE] = "true"
        if _late(parcel, book) and new:  # by which a history finds what it has read before
            metrics[WRITTEN_AT] = round(time.time(), 3)
        writing.write(
            uri,
            run_id,
            {k: v for k, v in all_tags.items() if sent.tags.get(k) != v},
            {k: v for k, v in metrics.items() if sent.metrics.get(k) != v},
            [*there, *self._texts(uri, book, document, new, due, done)],
        )
        stale = {k: v for k, v in sent.tags.items() if k not in all_tags}
        if stale:  # a service that was true of the first retrieval, say, and is not of both
            writing.untag(uri, run_id, stale)
        sent.tags, sent.metrics = all_tags, metrics
        if due:
            self._datasets(uri, run_id, sent, retrievals)
            sent.written = time.monotonic() if retrievals else 0.0
        self._models(uri, book, new, all_tags)
        self._endings(uri, run_id, new)
        for path, _ in there:
            put_away(path)
        if done and book.cells is not None and (parcel.adopted or book.ended):
            book.cells.unlink(missing_ok=True)

    def _book(self, parcel: Parcel, sent: Sent) -> Book:
        """The run's entries added up: only new ones are read, but where a parcel starts anew."""
        if parcel.delivered == 0 or sent.book.read > len(parcel.entries):
            sent.book = Book()
        for entry in parcel.entries[sent.book.read :]:
            sent.book.add(entry)
        return sent.book

    def _texts(
        self,
        uri: str,
        book: Book,
        document: Retrievals,
        new: Sequence[Entry],
        due: bool,
        done: bool,
    ) -> list[tuple[Path | str, str]]:
        """The artifacts that are written as text, where they are due."""
        texts: list[tuple[Path | str, str]] = []
        for entry in new:
            if entry["kind"] == "contract":
                model_id = entry["contract"]["model_id"]
                texts.append((_json(entry["contract"]), f"feast/contracts/{model_id}.json"))
        if due and (document.retrievals or document.writes):
            texts.append((_json(document.to_dict()), RETRIEVALS))
            if refs := _training_refs(book, document.retrievals):
                texts.append((json.dumps(refs), "feast_features.json"))
        if done and book.holds_something:
            if book.cells is not None and book.cells.exists():
                texts.append((_cells(uri, document.run_id, book), CELLS))
            if book.origin is not None:
                texts.append((_json(book.origin.to_dict()), "feast/notebook.json"))
        return texts

    def _datasets(self, uri: str, run_id: str, sent: Sent, retrievals: Sequence[Retrieval]) -> None:
        """Training frames as dataset inputs, each once."""
        new = [
            r
            for r in retrievals
            if r.kind == "historical" and r.state == "ran" and r.result
            and r.result.fingerprint and r.result.fingerprint not in sent.datasets
        ]  # fmt: skip
        if new:
            datasets.log(uri, run_id, new)
            sent.datasets |= {str(r.result.fingerprint) for r in new if r.result}

    def _models(
        self, uri: str, book: Book, new: Sequence[Entry], run_tags: Mapping[str, str]
    ) -> None:
        for entry in new:
            if entry["kind"] == "contract":
                contract = book.contracts[entry["contract"]["model_id"]]
                where = f"runs:/{contract.run_id}/feast/contracts/{contract.model_id}.json"
                named = {"feast_nb.contract": where, "feast_nb.retrievals": _ids(contract)}
                text = _json(contract.to_dict())
                models.keep_contract(uri, contract.model_id, text, named)
            elif entry["kind"] == "version":
                named = _version_tags(entry, book, run_tags)
                models.tag_version(uri, entry["name"], entry["version"], named)

    def _endings(self, uri: str, run_id: str, new: Sequence[Entry]) -> None:
        """End runs whose server was away when they ended, and those a dead kernel left open."""
        for entry in new:
            if entry["kind"] == "ended" and entry.get("late"):
                tracking.terminate(uri, run_id, entry["status"], only_running=True)


def _late(parcel: Parcel, book: Book) -> bool:
    """Whether a run may have ended before this is written to it."""
    ended = next((n for n, e in enumerate(parcel.entries) if e["kind"] == "ended"), None)
    after = ended is not None and book.ended is not None and parcel.delivered > ended
    return after or parcel.adopted or (book.ended is not None and parcel.failures > 0)


def put_away(path: Path) -> None:
    """Remove a file or folder that MLflow has, or that has nowhere to go."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _version_tags(entry: Entry, book: Book, run_tags: Mapping[str, str]) -> dict[str, str]:
    """As Feast tags a registered version, with the contract's own service."""
    contract = book.contracts.get(entry["model_id"] or "")
    if contract is None:
        return {}
    where = f"runs:/{contract.run_id}/feast/contracts/{contract.model_id}.json"
    shown, missing = tags.whole(canonical(contract.features, contract.views))
    named = {"feast_nb.contract": where}
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


def _cells(uri: str, run_id: str, book: Book) -> str:
    """The cells that ran; those of earlier kernels first, where the run was resumed."""
    assert book.cells is not None
    text = book.cells.read_text(encoding="utf-8")
    before = writing.read_text(uri, run_id, CELLS) if book.resumed else None
    return _json(origin.continued(json.loads(before), json.loads(text))) if before else text


def earlier(uri: str, run_id: str) -> Retrievals:
    """What MLflow has of a run's retrievals and writes, whole and in order."""
    text = writing.read_text(uri, run_id, RETRIEVALS)
    return Retrievals.from_dict(json.loads(text)) if text else Retrievals(run_id)


def _merged(run_id: str, before: Retrievals | None, book: Book) -> Retrievals:
    retrievals = {r.id: r for r in (before.retrievals if before else ())} | book.retrievals
    writes = {w.id: w for w in (before.writes if before else ())} | book.writes
    in_order = sorted(retrievals.values(), key=lambda r: r.at or "")
    views = [v for r in in_order for v in (*r.views, *r.behind)]
    known = (before.definitions if before else {}) | hashes.parts_of(views)
    return Retrievals(run_id, tuple(in_order), tuple(writes.values()), known)


def _training_refs(book: Book, retrievals: Sequence[Retrieval]) -> list[str] | None:
    """The references that the last model was trained on, whole: what Feast's tools check."""
    if not book.contracts:
        return None
    last = list(book.contracts.values())[-1]
    if last.refs:
        return list(last.refs)
    historical = [r for r in retrievals if r.kind == "historical" and r.state == "ran"]
    return list(historical[0].refs) if historical else None


def _tags(retrievals: Sequence[Retrieval], book: Book) -> tuple[dict[str, str], dict[str, float]]:
    all_tags, metrics = tags.of(retrievals)
    done: list[Any] = [*retrievals, *book.writes.values()]
    if not done:
        return all_tags, metrics
    all_tags["feast_nb.version"] = __version__
    cells = [r.cell for r in done if r.cell]
    if cells and cells[0].notebook:
        all_tags["feast_nb.notebook"] = cells[0].notebook
    if cells and cells[0].number is not None:
        all_tags["feast_nb.cell"] = str(cells[0].number)
    if book.inherited_from:
        all_tags["feast_nb.inherited_from"] = book.inherited_from
    if book.source:
        all_tags["mlflow.source.name"] = book.source
        all_tags["mlflow.source.type"] = "NOTEBOOK"
    if book.writes:
        written = tags.union(w.views for w in book.writes.values() if w.state == "ran")
        all_tags["feast_nb.views_written"] = tags.whole(written)[0]
        all_tags.setdefault("feast.project", next(iter(book.writes.values())).project)
    if book.origin is not None and book.origin.commit:
        all_tags["mlflow.source.git.commit"] = book.origin.commit
        if book.origin.branch:
            all_tags["mlflow.source.git.branch"] = book.origin.branch
        all_tags["feast_nb.git_dirty"] = str(bool(book.origin.dirty)).lower()
    return all_tags, metrics


def _json(data: object) -> str:
    return json.dumps(data, indent=1)
