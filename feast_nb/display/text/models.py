"""What is said of models as text: features, resolutions, differences, reproductions, scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ...records.answers import (
    Change,
    Erasure,
    ModelDiff,
    ModelFeatures,
    Reproduction,
    Resolution,
    Score,
)
from ...records.document import Document
from .. import next_steps, verdicts, words
from .table import table


def _resolution(it: Resolution) -> list[str]:
    lines = [verdicts.resolved(it), f"  {verdicts.served(it)}"]
    lines += _changes(it.drift)
    lines += [f"  ⚠ {note}" for note in it.notes]
    lines.append(table([(n, ref) for n, ref in enumerate(it.refs, 1)], ("#", "feature")))
    return lines + next_lines(it)


def _features(it: ModelFeatures) -> list[str]:
    service = f"  {it.service}" if it.service else ""
    lines = [f"{it.model}{service}  {words.count(len(it.features), 'feature')}, order {it.order}"]
    lines += [f"  ⚠ {note}" for note in it.notes]
    rows = [
        (f.input, f.ref, f.dtype or f.declared or "–", words.share(f.nulls), words.reach_of(f),
         f.ttl or "–", f.source or "–", f.owner or "–", f.description or "")
        for f in it.features
    ]  # fmt: skip
    heads = ("#", "feature", "dtype", "nulls", "range", "TTL", "source", "owner", "description")
    lines.append(table(rows, heads))
    if it.others:
        lines.append(f"other inputs: {', '.join(it.others)}")
    return lines


def _diff(it: ModelDiff) -> list[str]:
    lines = [f"{it.one}  {it.other}" + ("  the same" if it.same else "")]
    lines += [f"  ⚠ {note}" for note in it.notes]
    lines += _changes(it.definitions)
    rows = [(d.what, d.one or "–", d.other or "–") for d in (*it.features, *it.data, *it.metrics)]
    lines += [table(rows, ("", it.one, it.other))] if rows else []
    return lines + next_lines(it)


def _reproduction(it: Reproduction) -> list[str]:
    lines = [f"{words.verdict(it)}  {words.count(it.rows, 'row')}  run {it.run_id[:8]}"]
    lines += [f"  {because}" for because in it.because]
    lines += [f"  ⚠ {note}" for note in it.notes]
    for column in it.columns:
        lines.append(f"  {column.name}: {words.differing(column)}")
        lines += [f"    {example}" for example in column.examples]
    return lines + next_lines(it)


def _score(it: Score) -> list[str]:
    lines = [verdicts.scored(it), f"  {verdicts.fed(it)}"]
    lines += [f"  ⚠ {note}" for note in it.notes]
    lines += next_lines(it)
    if it.verbose:
        lines.append(f"  prediction run {it.run_id}")
        rows = [(name, f"{number:,}") for name, number in sorted(it.nulls.items())]
        lines += [table(rows, ("input", "nulls"))] if rows else []
    return lines


def next_lines(it: Document) -> list[str]:
    """What to do next, one line for each."""
    steps = [step.line or step.url for step in next_steps.of(it)]
    return [f"  {'Next' if i == 0 else '    '}  {step}" for i, step in enumerate(steps)]


def _changes(changes: Iterable[Change]) -> list[str]:
    lines = []
    for change in changes:
        lines.append(f"  {words.change(change)}")
        lines += [f"    {line}" for line in change.diff.splitlines()]
    return lines


def _erasure(it: Erasure) -> list[str]:
    lines = [f"run {it.run_id}  {words.count(len(it.erased), 'file')} erased"]
    lines += [f"  {name}" for name in it.erased]
    return [*lines, *(f"  ⚠ not reached: {what}" for what in it.beyond)]


RENDERERS: dict[str, Callable[[Any], list[str]]] = {
    "resolution": _resolution,
    "features": _features,
    "model_diff": _diff,
    "reproduction": _reproduction,
    "score": _score,
    "erasure": _erasure,
}
