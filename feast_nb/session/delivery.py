"""From the outbox to MLflow: a run's entries as one batch of tags, and its artifacts."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import __version__
from ..outbox import Entry, Parcel
from ..records import Contract, Retrieval, Retrievals
from ..runs import models, tags, tracking, writing

RETRIEVALS = "feast/retrievals.json"
_EVERY = 30.0  # seconds between two writings of the retrievals of a run that goes on


@dataclass
class Book:
    """What a run's entries add up to."""

    retrievals: dict[str, Retrieval] = field(default_factory=dict)
    contracts: dict[str, Contract] = field(default_factory=dict)
    resumed: bool = False
    ended: str | None = None


def fold(entries: Sequence[Entry]) -> Book:
    """Later entries for the same retrieval or model take the place of earlier ones."""
    book = Book()
    for entry in entries:
        kind = entry["kind"]
        if kind == "retrieval":
            retrieval = Retrieval.from_dict(entry["retrieval"])
            book.retrievals[retrieval.id] = retrieval
        elif kind == "contract":
            contract = Contract.from_dict(entry["contract"])
            book.contracts[contract.model_id] = contract
        elif kind == "opened":
            book.resumed = book.resumed or entry.get("resumed", False)
            book.ended = None
        elif kind == "ended":
            book.ended = entry["status"]
    return book


@dataclass
class Sent:
    """What MLflow has of a run already, so that it is not sent again."""

    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    earlier: tuple[Retrieval, ...] | None = None
    written: float = 0.0


class Delivery:
    """Delivers parcels; remembers per run what was sent."""

    def __init__(self) -> None:
        self._sent: dict[str, Sent] = {}

    def deliver(self, parcel: Parcel) -> None:
        """Write what is new to MLflow; raises where the server is away or refuses."""
        uri, run_id = parcel.tracking_uri, parcel.run_id
        book = fold(parcel.entries)
        sent = self._sent.setdefault(run_id, Sent())
        if (book.resumed or parcel.adopted) and sent.earlier is None:
            sent.earlier = earlier(uri, run_id)
            sent.tags = _tags(sent.earlier)[0]
        retrievals = _merged(sent.earlier or (), book)
        new = parcel.entries[parcel.delivered :]
        files = [(Path(e["path"]), e["artifact"]) for e in new if e["kind"] == "file"]
        there = [(path, artifact) for path, artifact in files if path.exists()]
        texts = self._texts(run_id, book, retrievals, new, parcel.final)
        all_tags, metrics = _tags(retrievals)
        writing.write(
            uri,
            run_id,
            {k: v for k, v in all_tags.items() if sent.tags.get(k) != v},
            {k: v for k, v in metrics.items() if sent.metrics.get(k) != v},
            [*there, *texts],
        )
        stale = {k: v for k, v in sent.tags.items() if k not in all_tags}
        if stale:  # a service that was true of the first retrieval, say, and is not of both
            writing.untag(uri, run_id, stale)
        sent.tags, sent.metrics = all_tags, metrics
        if any(artifact == RETRIEVALS for _, artifact in texts):
            sent.written = time.monotonic()
        self._models(uri, book, new, all_tags)
        self._endings(uri, run_id, new)
        for path, _ in there:
            path.unlink(missing_ok=True)

    def _texts(
        self,
        run_id: str,
        book: Book,
        retrievals: Sequence[Retrieval],
        new: Sequence[Entry],
        final: bool,
    ) -> list[tuple[Path | str, str]]:
        """The artifacts that are written as text, where they are due."""
        texts: list[tuple[Path | str, str]] = []
        for entry in new:
            if entry["kind"] == "contract":
                model_id = entry["contract"]["model_id"]
                texts.append((_json(entry["contract"]), f"feast/contracts/{model_id}.json"))
        sent = self._sent[run_id]
        due = time.monotonic() - sent.written > _EVERY or not sent.written
        if retrievals and (final or book.ended or due):
            document = Retrievals(run_id, tuple(retrievals)).to_dict()
            texts.append((_json(document), RETRIEVALS))
            if refs := _training_refs(book, retrievals):
                texts.append((json.dumps(refs), "feast_features.json"))
        return texts

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


def _version_tags(entry: Entry, book: Book, run_tags: Mapping[str, str]) -> dict[str, str]:
    """As Feast tags a registered version, with the contract's own service."""
    contract = book.contracts.get(entry["model_id"] or "")
    if contract is None:
        return {}
    where = f"runs:/{contract.run_id}/feast/contracts/{contract.model_id}.json"
    named = {"feast_nb.contract": where}
    if contract.service:
        named["feast.feature_service"] = contract.service
    elif "feast.feature_service" in run_tags:
        # The run's service is not this model's: without a word here Feast would take it for its.
        named["feast.feature_service"] = ""
    return named


def _ids(contract: Contract) -> str:
    return tags.whole(contract.retrievals)[0]


def earlier(uri: str, run_id: str) -> tuple[Retrieval, ...]:
    """What MLflow has of a run's retrievals, whole and in order."""
    text = writing.read_text(uri, run_id, RETRIEVALS)
    return Retrievals.from_dict(json.loads(text)).retrievals if text else ()


def _merged(earlier: Sequence[Retrieval], book: Book) -> list[Retrieval]:
    return list(({r.id: r for r in earlier} | book.retrievals).values())


def _training_refs(book: Book, retrievals: Sequence[Retrieval]) -> list[str] | None:
    """The references that the last model was trained on, whole: what Feast's tools check."""
    if not book.contracts:
        return None
    last = list(book.contracts.values())[-1]
    if last.refs:
        return list(last.refs)
    historical = [r for r in retrievals if r.kind == "historical" and r.state == "ran"]
    return list(historical[0].refs) if historical else None


def _tags(retrievals: Sequence[Retrieval]) -> tuple[dict[str, str], dict[str, float]]:
    all_tags, metrics = tags.of(retrievals)
    if retrievals:
        all_tags["feast_nb.version"] = __version__
        cells = [r.cell for r in retrievals if r.cell]
        if cells and cells[0].notebook:
            all_tags["feast_nb.notebook"] = cells[0].notebook
        if cells and cells[0].number is not None:
            all_tags["feast_nb.cell"] = str(cells[0].number)
    return all_tags, metrics


def _json(data: object) -> str:
    return json.dumps(data, indent=1)
