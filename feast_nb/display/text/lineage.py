"""What is said as text of usage, lineage, impact, recent runs and operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ...records.answers import Operations, RecentRuns
from ...records.lineage import FeatureUsage, Impact, Lineage, Node, Usage
from ...records.operation import Plan
from .. import words
from .table import table

_LINES = 200


def _usage(it: Usage) -> list[str]:
    about = f" of {it.named}" if it.named else ""
    lines = [
        f"use{about} in {it.project}: {words.count(it.training, 'training run')}, "
        f"{words.count(it.prediction, 'prediction run')}"
    ]
    lines += [f"  ⚠ {note}" for note in it.notes]
    if len(it.views) > 1:
        lines += ["", table([_row(v) for v in it.views[:_LINES]], ("view", *_HEADS))]
    if it.features:
        lines += ["", table([_row(f) for f in it.features[:_LINES]], ("feature", *_HEADS))]
    left = len(it.features) - _LINES
    if left > 0:
        lines.append(f"and {left:,} more; .to_pandas() has them all")
    return lines


_HEADS = ("training", "prediction", "last used", "by", "services", "models")


def _row(it: FeatureUsage) -> tuple[object, ...]:
    gone = " (gone)" if it.gone else f" (through {', '.join(it.through)})" if it.through else ""
    return (
        it.ref + gone,
        it.training or "–",
        it.prediction or "–",
        words.moment(it.last) if it.last else "never",
        words.listed(it.users),
        words.listed(it.services),
        words.listed([m.said for m in it.models]),
    )


def _lineage(it: Lineage) -> list[str]:
    lines = [f"lineage of {it.title}: {words.count(len(it.nodes), 'object')}"]
    lines += [f"  ⚠ {note}" for note in it.notes]
    focus = [i for i, n in enumerate(it.nodes) if n.focus]
    after = _next(it, backwards=False)
    if not focus:
        targets = {b for _, b in it.edges}
        roots = [i for i in range(len(it.nodes)) if i not in targets]
        return _short([*lines, *_trees(it, roots, after, "")])
    before = _next(it, backwards=True)
    for i in focus:
        lines.append(_said(it.nodes[i]))
        up, down = (
            _trees(it, before.get(i, []), before, "    "),
            _trees(it, after.get(i, []), after, "    "),
        )
        lines += ["  comes from", *up] if before.get(i) else []
        lines += ["  is used by", *down] if after.get(i) else []
    return _short(lines)


def _next(it: Lineage, backwards: bool) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for a, b in it.edges:
        found.setdefault(b if backwards else a, []).append(a if backwards else b)
    return found


def _trees(
    it: Lineage, roots: list[int], after: dict[int, list[int]], indent: str
) -> Iterator[str]:
    """An indented tree; what was shown with all below it is not shown twice."""
    shown: set[int] = set()
    waiting = [(root, indent) for root in reversed(roots)]
    while waiting:
        i, space = waiting.pop()
        again = i in shown and i in after
        yield f"{space}{_said(it.nodes[i])}{' (as above)' if again else ''}"
        if not again:
            shown.add(i)
            waiting += [(j, space + "  ") for j in reversed(after.get(i, []))]


def _said(node: Node) -> str:
    marks = [*(f"@{a}" for a in node.aliases), node.sub]
    return f"{node.kind} {node.label}" + "".join(f" {m}" for m in marks if m)


def _short(lines: list[str]) -> list[str]:
    if len(lines) <= _LINES:
        return lines
    return [
        *lines[:_LINES],
        f"and {len(lines) - _LINES:,} more lines; name an object to see its part",
    ]


def _impact(it: Impact) -> list[str]:
    lines = [f"if {it.object} changes: {words.depends(it)}"]
    if it.since:
        lines[0] += f" since {words.moment(it.since)}"
    lines += [f"  ⚠ {note}" for note in it.notes]
    rows = [
        (m.name, " ".join(f"@{a}" for a in m.aliases), m.through or "", m.predictions or "–",
         words.moment(m.since))
        for m in it.models[:_LINES]
    ]  # fmt: skip
    if rows:
        lines += ["", table(rows, ("model", "alias", "uses", "predictions", "registered"))]
    others = [
        (
            d.name,
            d.kind.replace("_", "-"),
            d.count if d.kind != "on_demand" else "",
            words.moment(d.last) if d.last else "",
        )
        for d in (*it.views, *it.services, *it.notebooks)
    ]
    if others:
        lines += ["", table(others, ("also", "kind", "runs", "last"))]
    return lines


def _runs(it: RecentRuns) -> list[str]:
    lines = [f"{words.count(len(it.runs), 'run')} of {it.project}, newest first"]
    lines += [f"  ⚠ {note}" for note in it.notes]
    rows = [
        (r.name, r.counts_as, words.status(r.status), words.moment(r.started),
         r.service or "–", r.features, r.rows if r.rows is not None else "–",
         words.listed(r.models),
         " ".join(f"{k} {words.number(v)}" for k, v in sorted(r.metrics.items())[:3]), r.id)
        for r in it.runs
    ]  # fmt: skip
    heads = (
        "run",
        "kind",
        "status",
        "started",
        "service",
        "features",
        "rows",
        "models",
        "metrics",
        "id",
    )
    return [*lines, "", table(rows, heads)] if rows else lines


def _operations(it: Operations) -> list[str]:
    lines = [f"{words.count(len(it.operations), 'operation')} on {it.project}, newest first"]
    lines += [f"  ⚠ {note}" for note in it.notes]
    rows = [
        (o.what, words.status(o.status), words.moment(o.at), words.seconds(o.seconds),
         words.changed(o), words.ranged(o), o.user or "–")
        for o in it.operations
    ]  # fmt: skip
    heads = ("operation", "status", "at", "took", "what", "range", "by")
    return [*lines, "", table(rows, heads)] if rows else lines


def _plan(it: Plan) -> list[str]:
    lines = [words.planned(it)]
    lines += [f"  ⚠ not checked: {text}" for text in it.unchecked]
    lines += [f"  ⚠ {note}" for note in it.notes]
    for change in it.changes[:_LINES]:
        lines += ["", f"{change.action} {change.object}: {change.grade}, {change.reason}"]
        lines += [f"    {line}" for line in change.lines]
        if change.aside:
            lines.append(f"    also {', '.join(change.aside)}")
        lines += [f"  {text}" for text in words.touches(change)]
    if it.only_registered:
        names = words.listed(it.only_registered)
        lines += ["", f"in no file (--full shows what deleting breaks): {names}"]
    return lines


RENDERERS: dict[str, Callable[[Any], list[str]]] = {
    "usage": _usage,
    "lineage": _lineage,
    "impact": _impact,
    "plan": _plan,
    "runs": _runs,
    "operations": _operations,
}
