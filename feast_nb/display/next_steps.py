"""What to do next with an answer: lines to run, and a page to open."""

from __future__ import annotations

import re
from collections.abc import Callable
from shlex import quote
from typing import Any, NamedTuple

from ..records.answers import ModelDiff, Reproduction, Resolution, Score
from ..records.contract import ModelVersion
from ..records.document import Document
from ..records.run import TrainingSummary
from . import words


class Step(NamedTuple):
    """A thing to do next: a line for a cell, or an address."""

    label: str
    line: str = ""
    url: str = ""


def of(record: Document) -> list[Step]:
    """The next steps of a record, the likeliest first."""
    steps = _STEPS[record.kind](record) if record.kind in _STEPS else []
    # IPython would take what stands in braces for Python.
    return [step for step in steps if not re.search(r"[{}$]", step.line)]


def _training(it: TrainingSummary) -> list[Step]:
    page = words.link(it.run.url)
    opened = [Step("Open in MLflow", url=page)] if page else []
    registered = [m for m in it.models if m.name]
    if len(registered) != 1:
        logged = [m for m in it.models if m.variable]
        line = f"%feast_log {logged[0].variable} --register NAME" if len(logged) == 1 else ""
        return [*([Step("Register", line)] if line and not registered else []), *opened]
    model = registered[0]
    named = f"{model.name}/{model.version}"
    steps = []
    if it.compared and not it.compared.unknown:
        steps.append(Step("Diff", f"%feast_diff {quote(it.compared.model)} {quote(named)}"))
    steps.append(_score(_served_as(model), it.entity_name))
    return [*steps, Step("Lineage", f"%feast_lineage {quote(named)}"), *opened]


def _served_as(model: ModelVersion) -> str:
    return f"{model.name}@{model.aliases[0]}" if model.aliases else f"{model.name}/{model.version}"


def _score(model: str, entities: str | None = None) -> Step:
    return Step("Score", f"%feast_score {quote(model)} --entities {entities or 'entity_df'}")


def _scored(it: Score) -> list[Step]:
    return [Step("Features", f"%feast_features {quote(it.model)}"),
            Step("Lineage", f"%feast_lineage {quote(it.model)}")]  # fmt: skip


def _resolved(it: Resolution) -> list[Step]:
    return [_score(it.model), Step("Lineage", f"%feast_lineage {quote(it.model)}")]


def _reproduced(it: Reproduction) -> list[Step]:
    if it.verdict == "not compared":
        return [Step("Compare", f"%feast_reproduce {it.run_id} --verify")]
    if it.verdict != "different":
        return []
    views = list(dict.fromkeys(ref.partition(":")[0] for ref in it.refs))
    return [Step("Impact", f"%feast_impact {quote(views[0])}")] if len(views) == 1 else []


def _told_apart(it: ModelDiff) -> list[Step]:
    return [Step("Lineage", f"%feast_lineage {quote(it.one)} {quote(it.other)}")]


_STEPS: dict[str, Callable[[Any], list[Step]]] = {
    "training": _training,
    "score": _scored,
    "resolution": _resolved,
    "reproduction": _reproduced,
    "model_diff": _told_apart,
}
