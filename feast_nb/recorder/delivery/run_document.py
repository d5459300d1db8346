"""What a run's entries add up to, as tags, metrics and documents of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from ...integrations.feast import definition_hashes
from ...integrations.mlflow import tags, writer
from ...notebook import provenance
from ...notebook.identity import source_type
from ...records.contract import Contract
from ...records.outbox import (
    CellsEntry,
    ContractEntry,
    FileEntry,
    OperationEntry,
    OriginEntry,
    OutboxEntry,
    RetrievalEntry,
    RunEnd,
    RunStart,
    VersionEntry,
    WriteEntry,
)
from ...records.references import canonical
from ...records.retrieval import Retrieval, Retrievals, Write
from ...records.run import Origin
from .run_queue import Batch

CELLS = "feast/cells.ipynb"
INCOMPLETE = "feast_nb.incomplete"


@dataclass
class RunDocument:
    """What a run's entries add up to; later ones take the place of earlier ones."""

    retrievals: dict[str, Retrieval] = field(default_factory=dict)
    writes: dict[str, Write] = field(default_factory=dict)
    contracts: dict[str, Contract] = field(default_factory=dict)
    origin: Origin | None = None
    cells: dict[Path, None] = field(default_factory=dict)
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
                self.cells[Path(entry.path)] = None
            case RunStart():
                self.resumed = self.resumed or entry.resumed
                self.source = entry.source or self.source
                self.ended = None
            case RunEnd():
                self.ended = entry.status


@dataclass(frozen=True)
class DeliveryStep:
    """One delivery: whether the run's documents are due now, and whether the run is done.

    `whole` is what all writers have of the run, `mine` what goes to `place`, this one's own file.
    """

    batch: Batch
    document: RunDocument
    whole: Retrievals
    mine: Retrievals
    place: str | None
    due: bool
    done: bool
    several: bool = False

    @property
    def holds_something(self) -> bool:
        """Whether the run has anything to do with Feast: others are left as they are."""
        return bool(self.whole.retrievals or self.whole.writes or self.document.contracts)


def check_entry(entry: OutboxEntry) -> None:
    """Use an entry as a delivery does; raises what the delivery would."""
    document = RunDocument()
    document.add(entry)
    whole = retrievals_in("", document)
    tags_of(whole, document)
    to_json(whole.to_dict())
    for contract in document.contracts.values():
        (
            retrieval_ids(contract),
            to_json(contract.to_dict()),
            canonical(contract.features, contract.views),
        )
    if isinstance(entry, FileEntry):
        Path(entry.path), entry.artifact.rpartition("/")
    if isinstance(entry, OperationEntry):
        json.loads(entry.record)


def text_artifacts(
    uri: str, moment: DeliveryStep, new: Sequence[OutboxEntry]
) -> list[tuple[Path | str, str]]:
    """The artifacts that are written as text, where they are due."""
    document, whole = moment.document, moment.whole
    texts: list[tuple[Path | str, str]] = [
        (to_json(e.contract.to_dict()), f"feast/contracts/{e.contract.model_id}.json")
        for e in new
        if isinstance(e, ContractEntry)
    ]
    if moment.due and moment.place is not None:
        texts.append((retrievals_text(moment.mine), moment.place))
        if refs := _training_refs(document, whole.retrievals):
            texts.append((json.dumps(refs), "feast_features.json"))
    if moment.done and moment.holds_something:
        if cells := [path for path in document.cells if path.exists()]:
            texts.append((_cells(uri, whole.run_id, cells, moment.several), CELLS))
        if document.origin is not None:
            texts.append((to_json(document.origin.to_dict()), "feast/notebook.json"))
    return texts


def contract_address(contract: Contract) -> str:
    """Where a contract is among the artifacts of its run."""
    return f"runs:/{contract.run_id}/feast/contracts/{contract.model_id}.json"


def version_tags(
    entry: VersionEntry, document: RunDocument, run_tags: Mapping[str, str]
) -> dict[str, str]:
    """As Feast tags a registered version, with the contract's own service."""
    contract = document.contracts.get(entry.model_id or "")
    if contract is None:
        return {}
    shown, missing = tags.whole(canonical(contract.features, contract.views))
    named = {"feast_nb.contract": contract_address(contract)}
    if shown and not missing:  # an index, for those who look at thousands of versions
        named |= {"feast_nb.features": shown, "feast_nb.project": contract.project}
    if contract.service:
        named["feast.feature_service"] = contract.service
    elif "feast.feature_service" in run_tags:
        # The run's service is not this model's: without a word here Feast would take it for its.
        named["feast.feature_service"] = ""
    return named


def retrieval_ids(contract: Contract) -> str:
    """The retrievals that a model was trained on, as a tag holds them."""
    return tags.whole(contract.retrievals)[0]


def _cells(uri: str, run_id: str, paths: Sequence[Path], several: bool) -> str:
    """The cells that ran; those of other kernels that worked on the run first."""
    texts = [path.read_text(encoding="utf-8") for path in paths]
    before = writer.read_text(uri, run_id, CELLS) if several else None
    whole, *later = [json.loads(text) for text in (*([before] if before else []), *texts)]
    for notebook in later:
        whole = provenance.continued(whole, notebook)
    return to_json(whole)


def retrievals_in(run_id: str, document: RunDocument, writer: str | None = None) -> Retrievals:
    """What a writer knows of a run's retrievals and writes."""
    retrievals = tuple(sorted(document.retrievals.values(), key=lambda r: r.at or ""))
    views = [v for r in retrievals for v in (*r.views, *r.behind)]
    writes, known = tuple(document.writes.values()), definition_hashes.parts_of(views)
    return Retrievals(run_id, retrievals, writes, known, writer)


def _training_refs(document: RunDocument, retrievals: Sequence[Retrieval]) -> list[str] | None:
    """The references that the last model was trained on, whole: what Feast's tools check."""
    if not document.contracts:
        return None
    last = list(document.contracts.values())[-1]
    if last.refs:
        return list(last.refs)
    historical = [r for r in retrievals if r.kind == "historical" and r.state == "ran"]
    return list(historical[0].refs) if historical else None


def tags_of(whole: Retrievals, document: RunDocument) -> tuple[dict[str, str], dict[str, float]]:
    """The tags and metrics that say what a run retrieved and wrote, and what is known of it."""
    all_tags, metrics = tags.build(whole.retrievals)
    done: list[Retrieval | Write] = [*whole.retrievals, *whole.writes]
    if not done:
        return all_tags, metrics
    all_tags["feast_nb.version"] = version("feast-nb")
    cells = [r.cell for r in done if r.cell]
    if cells and cells[0].notebook:
        all_tags["feast_nb.notebook"] = cells[0].notebook
    if cells and cells[0].number is not None:
        all_tags["feast_nb.cell"] = str(cells[0].number)
    if document.inherited_from:
        all_tags["feast_nb.inherited_from"] = document.inherited_from
    if document.source:
        all_tags["mlflow.source.name"] = document.source
        all_tags["mlflow.source.type"] = source_type(document.source)
    if whole.writes:
        written = tags.union(w.views for w in whole.writes if w.state == "ran")
        all_tags["feast_nb.views_written"] = tags.whole(written)[0]
        all_tags.setdefault("feast.project", whole.writes[0].project)
    if document.origin is not None and document.origin.commit:
        all_tags["mlflow.source.git.commit"] = document.origin.commit
        if document.origin.branch:
            all_tags["mlflow.source.git.branch"] = document.origin.branch
        all_tags["feast_nb.git_dirty"] = str(bool(document.origin.dirty)).lower()
    return all_tags, metrics


def retrievals_text(document: Retrievals) -> str:
    """A file of retrievals, each turned into text by itself: there may be ten thousand."""
    head = replace(document, retrievals=()).to_dict()
    fields = {name: to_json(value) for name, value in head.items()}
    each = (to_json(retrieval.to_dict()) for retrieval in document.retrievals)
    fields["retrievals"] = f"[{','.join(each)}]"
    return "{\n" + ",\n".join(f'"{name}": {text}' for name, text in fields.items()) + "\n}"


def to_json(data: object) -> str:
    """A value as the text of an artifact, or a part of one.

    By pydantic's writer: Python's own makes a list of every comma, 150 MB for 6,000 retrievals.
    """
    from pydantic_core import PydanticSerializationError
    from pydantic_core import to_json as written

    try:
        return written(data, indent=1, inf_nan_mode="constants").decode()
    except PydanticSerializationError:  # half of a surrogate pair, which Python's escapes
        return json.dumps(data, indent=1)
