"""Runs, trainings, retrievals, contracts and repositories as plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import brief, visible
from ...records.contract import Contract, ModelVersion
from ...records.document import Document
from ...records.overview import Guide
from ...records.retrieval import Retrieval, Retrievals
from ...records.run import (
    LibraryWarnings,
    Origin,
    Repository,
    RunState,
    TrackedRun,
    TrainingSummary,
)
from .. import verdicts, words
from . import lineage, models, operations
from .table import table


def render(record: Document) -> str:
    """A record as lines of text."""
    return visible("\n".join(_RENDERERS[record.kind](record)), lines=True)


def _training(it: TrainingSummary) -> list[str]:
    lines = [_made(it)]
    shown = [f"{m.name} {m.value}" + (f" {m.change}" if m.change else "")
             for m in verdicts.metrics(it)]  # fmt: skip
    more = verdicts.more_metrics(it)
    if shown:
        lines.append("  " + "   ".join(shown) + (f"   and {more} more" if more else ""))
    lines.append(f"  {verdicts.shaped_by(it)}")
    lines += [f"  ⚠ {warning}" for warning in it.warnings]
    lines += models.next_lines(it)
    return [*lines, *(_details(it) if it.verbose else [])]


def _made(it: TrainingSummary) -> str:
    named = [words.version(m) + "".join(f" @{a}" for a in m.aliases) for m in it.models if m.name]
    failed = it.run.status in ("FAILED", "KILLED")
    made = ", ".join(named) if named and not failed else verdicts.made(it)
    beside = f"    {verdicts.against(it.compared, verdicts.aliases(it))}" if it.compared else ""
    return f"{verdicts.sign(it)} {made}{beside}"


def _details(it: TrainingSummary) -> list[str]:
    run = it.run
    head = f"{run.name}  {words.status(run.status)}  {run.experiment}"
    lines = ["", f"  {head}  {words.seconds(it.seconds)}  run {run.id}"]
    lines += [f"  {m.flavor or 'model'} {words.version(m)}  {m.model_id}" for m in it.models]
    if verdicts.more_metrics(it):
        lines += [f"  {k} {words.number(v)}" for k, v in sorted(it.metrics.items())]
    for label, refs in (("new", it.compared and it.compared.new),
                        ("gone", it.compared and it.compared.gone)):  # fmt: skip
        lines += [f"  {label}: {', '.join(refs)}"] if refs else []
    lines += _retrievals(it.retrievals)
    lines += [f"  {words.write(w)}" for w in it.writes]
    if it.features:
        rows = [
            (
                f.input or "",
                f.ref or f"{f.column} (not a feature)",
                f.dtype or "–",
                words.share(f.null_share),
            )
            for f in it.features
        ]
        lines += ["", table(rows, ("#", "feature", "dtype", "nulls"))]
    return lines


def _retrievals(retrievals: Sequence[Retrieval]) -> list[str]:
    lines = []
    for r in retrievals:
        times = f" ×{r.count}" if r.count > 1 else ""
        lines.append(
            f"  {r.kind}{times}: {words.service(r)}, {words.count(len(r.refs), 'feature')}, "
            f"rows {words.asked_and_given(r)}, {words.seconds(r.seconds.run)}, "
            f"fingerprint {words.short(r.result.fingerprint if r.result else None)}"
            + (f", from {words.cell(r)}" if r.linked_by else "")
        )
        if r.entity.timestamp and r.entity.timestamp.min:
            lines.append(f"    {r.entity.timestamp.column} {words.reach(r)}")
        if r.unseen:
            lines.append(f"    ⚠ {words.unseen(r)}")
    return lines


def _run(it: TrackedRun) -> list[str]:
    lines = [f"{it.name}  {words.status(it.status)}  {it.experiment}  run {it.id}"]
    lines += [f"  ⚠ {w}" for w in it.warnings]
    done = [*_retrievals(it.retrievals), *(f"  {words.write(w)}" for w in it.writes)]
    lines += done or ["  nothing retrieved yet"]
    if it.pending:
        lines.append(f"  {words.count(it.pending, 'record')} on the way to MLflow")
    return lines + ([it.url] if it.url else [])


def _state(it: RunState) -> list[str]:
    lines = [] if it.recording else ["recording is paused; %feast_run --unpause goes on"]
    for run in it.open:
        lines += _run(run)
    return lines or ["no run is open; start one with %feast_run NAME"]


def _model(it: ModelVersion) -> list[str]:
    aliases = "".join(f" @{a}" for a in it.aliases)
    lines = [f"{it.flavor or ''} model {words.version(it)}{aliases}  {it.model_id}".strip()]
    return lines + _inputs(it.contract)


def _contract(it: Contract) -> list[str]:
    head = f"contract of {it.flavor or ''} model {it.name}  {it.model_id}"
    return [" ".join(head.split()), *_inputs(it)]


def _kept(it: Retrievals) -> list[str]:
    kept = [*_retrievals(it.retrievals), *(f"  {words.write(w)}" for w in it.writes)]
    return [f"run {it.run_id}", *(kept or ["  nothing retrieved"])]


def _origin(it: Origin) -> list[str]:
    head = f"{it.notebook or 'no notebook'}  {words.commit(it)}  Python {it.python or '–'}"
    return [head, *(f"  ⚠ {w}" for w in it.cautions)]


def _inputs(contract: Contract | None) -> list[str]:
    lines: list[str] = []
    if contract and contract.inputs:
        rows = [(n, i.name, i.ref or "not a feature", i.dtype or "–")
                for n, i in enumerate(contract.inputs, 1)]  # fmt: skip
        lines.append(table(rows, ("#", "input", "feature", "dtype")))
    return lines


def _repository(it: Repository) -> list[str]:
    tracking = it.tracking_uri or "MLflow's default"
    lines = [
        f"{it.project}  {it.path}",
        f"  registry {it.registry}, offline {it.offline_store}, online {it.online_store}",
        f"  MLflow {tracking if it.mlflow.get('enabled') else 'off'}",
    ]
    lines += [f"  ⚠ {w}" for w in it.warnings]
    if not it.views:
        lines.append("  nothing is applied yet: store.apply([…]) or `feast apply`")
    views = [(name, len(features), ", ".join(features)) for name, features in it.views.items()]
    if views:
        lines += ["", table(views, ("view", "features", "names"))]
    services = [(name, len(refs)) for name, refs in it.services.items()]
    if services:
        lines += ["", table(services, ("service", "features"))]
    return lines


def _guide(it: Guide) -> list[str]:
    head = "  ".join(part for part in (it.project, it.path) if part)
    lines = [head] if head else []
    lines += [f"  MLflow {it.tracking_uri}"] if it.tracking_uri else []
    lines += [f"  {it.run}"] if it.run else []
    if it.next:
        lines += ["", f"Next: {it.next}", f"  {it.why}", ""]
    elif it.why:
        lines.append(it.why)
    if it.magics:
        tasks = [m.task for m in it.magics]
        shown = [t if i == 0 or t != tasks[i - 1] else "" for i, t in enumerate(tasks)]
        rows = [(t, m.sign + m.name, m.does) for t, m in zip(shown, it.magics, strict=True)]
        lines.append(table(rows, ("task", "magic", "what it does")))
        lines.append("%feast WORD finds the magic for a word; --help shows how each is written.")
    return lines


def _library_warnings(it: LibraryWarnings) -> list[str]:
    head = words.count(len(it.warnings), "warning")
    first = f": {brief(it.warnings[0], 100)}" if it.warnings else ""
    return [f"({head} from other libraries{first})"]


_RENDERERS: dict[str, Callable[[Any], list[str]]] = {
    "training": _training,
    "run": _run,
    "run_state": _state,
    "model_version": _model,
    "contract": _contract,
    "retrievals": _kept,
    "origin": _origin,
    "repository": _repository,
    "guide": _guide,
    "library_warnings": _library_warnings,
    **models.RENDERERS,
    **lineage.RENDERERS,
    **operations.RENDERERS,
}
