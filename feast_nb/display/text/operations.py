"""What is said as text of what is done to the stores, and of how they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...records.operation import Health, Materialization, Snapshot
from .. import operation_words, words
from .table import table


def _materialization(it: Materialization) -> list[str]:
    lines = [operation_words.loaded(it)]
    lines += [f"  ⚠ {note}" for note in it.notes]
    rows = [operation_words.load(load) for load in it.views]
    if rows:
        lines += ["", table(rows, operation_words.LOAD)]
    lines += [f"  {load.view}: {load.why}" for load in it.views if load.why]
    return lines


def _health(it: Health) -> list[str]:
    lines = [operation_words.healthy(it)]
    lines += [f"  ⚠ {note}" for note in it.notes]
    part = ""
    for each in it.lines:
        if each.part != part:
            part = each.part
            lines += ["", part]
        took = f"  {words.seconds(each.seconds)}" if each.seconds is not None else ""
        lines.append(
            f"  {operation_words.LIGHTS.get(each.light, '?')} {each.name}: {each.said}{took}"
        )
        if each.remedy:
            lines.append(f"      → {each.remedy}")
        for one in operation_words.distributions(each):
            then, now = map(operation_words.blocks, zip(*one.bars, strict=True))
            lines.append(f"      {then} in training, {now} served: {one.ref}, {one.said}")
    return lines


def _snapshot(it: Snapshot) -> list[str]:
    models, runs = words.count(it.models, "model version"), words.count(it.runs, "run")
    return [f"{it.path or 'snapshot'}: {it.project} as of {words.moment(it.at)} UTC, "
            f"{words.count(it.views, 'view')}, {models}, {runs}"]  # fmt: skip


RENDERERS: dict[str, Callable[[Any], list[str]]] = {
    "materialization": _materialization,
    "health": _health,
    "snapshot": _snapshot,
}
