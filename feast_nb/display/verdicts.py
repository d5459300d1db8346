"""What an answer comes to: the lines that stand first, the same in HTML and in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..records.answers import Resolution, Score
from ..records.retrieval import Retrieval
from ..records.run import Comparison, MetricChange, TrainingSummary
from . import words

_METRICS = 8
_HUGE = 1e300  # what SQLite makes of an infinite metric


class Metric(NamedTuple):
    """A metric as it is shown: its value, and how it changed where that can be told."""

    name: str
    value: str
    change: str
    better: bool | None


def sign(it: TrainingSummary) -> str:
    """How the run ended, in one sign."""
    return words.STATUS.get(it.run.status, "")


def made(it: TrainingSummary) -> str:
    """What stands where no version was registered: what was logged, or how the run ended."""
    run = it.run.name
    if it.run.status in ("FAILED", "KILLED"):
        return f"{run} {it.run.status.lower()}"
    if not it.models:
        return f"{run}: no model was logged"
    names = [" ".join(filter(None, [m.flavor, m.variable or "model"])) for m in it.models]
    return f"{run}: {words.listed(names)}, not registered"


def against(it: Comparison, taken: Sequence[str]) -> str:
    """The version that a new one is held against, and the aliases that the new one took of it."""
    if it.unknown:
        return f"not compared with {it.model}: {it.unknown}"
    named = [f"@{a}{' until now' if a in taken else ''}" for a in it.aliases]
    return f"against {it.model}" + (f" ({', '.join(named)})" if named else "")


def aliases(it: TrainingSummary) -> list[str]:
    """The aliases that point at what was registered."""
    return [alias for model in it.models for alias in model.aliases]


def metrics(it: TrainingSummary) -> list[Metric]:
    """The run's metrics, those first that the earlier version has too; the first few."""
    changed = {c.name: c for c in it.compared.metrics} if it.compared else {}
    order = sorted(it.metrics, key=lambda name: (name not in changed, name))[:_METRICS]
    return [_metric(name, it.metrics[name], changed.get(name)) for name in order]


def _metric(name: str, value: float, changed: MetricChange | None) -> Metric:
    shown = words.number(value)
    if changed is None:
        return Metric(name, shown, "", None)
    step = value - changed.before
    if step == 0 or not abs(step) < _HUGE:
        return Metric(name, shown, "unchanged" if step == 0 else "", None)
    arrow = {True: "▲ ", False: "▼ "}[step > 0] if changed.better is not None else ""
    size = f"{'+' if step > 0 else '−'}{_size(abs(step))}"
    worse = " worse" if changed.better is False else ""
    return Metric(name, shown, f"{arrow}{size}{worse}", changed.better)


def _size(step: float) -> str:
    """How far a metric moved, to two digits below one: more of them would not be read."""
    return f"{step:.2g}" if step < 1 else words.number(step)


def more_metrics(it: TrainingSummary) -> int:
    """How many metrics are not among the first few."""
    return max(len(it.metrics) - _METRICS, 0)


def shaped_by(it: TrainingSummary) -> str:
    """`22 features (10 new, 0 gone) · 37,423 rows, as many as asked · can be rebuilt`."""
    if not it.sources:
        return "no training set was retrieved"
    failed = [r for r in it.sources if r.state == "failed"]
    if len(failed) == len(it.sources):
        return f"the retrieval failed: {failed[0].error}"
    beside = sum(r.kind == "historical" for r in it.retrievals) - len(it.sources)
    more = words.count(beside, "further retrieval") if beside else ""
    return " · ".join(filter(None, [_features(it), _rows(it.sources), it.rebuilt, more]))


def _features(it: TrainingSummary) -> str:
    asked = [f for f in it.features if f.ref]
    made = it.models[0].contract if len(it.models) == 1 else None
    if made is not None and made.is_of_features:
        used = sum(f.input is not None for f in asked)
        said = words.count(len(asked), "feature")
        said = said if used == len(asked) else f"uses {used} of {said}"
    else:
        said = f"{words.count(len(asked), 'feature')} retrieved"
    compared = it.compared
    if compared is None or compared.new is None or compared.gone is None:
        return said
    return f"{said} ({len(compared.new)} new, {len(compared.gone)} gone)"


def _rows(sources: Sequence[Retrieval]) -> str:
    if len(sources) > 1:
        rows = [f"{r.result.rows:,}" if r.result else r.state for r in sources]
        return f"{len(sources)} retrievals ({words.listed(rows)} rows)"
    one = sources[0]
    if one.result is None:
        return "never run" if one.state == "submitted" else one.state
    given, dropped = one.result.rows, one.result.dropped
    if dropped > 0:
        return f"{given:,} of {one.entity.rows:,} rows, {dropped:,} dropped"
    if dropped < 0:
        return f"{words.count(given, 'row')}, {-dropped:,} more than asked"
    known = one.entity.kind == "dataframe" and one.entity.rows is not None
    return words.count(given, "row") + (", as many as asked" if known else "")


def scored(it: Score) -> str:
    """How many rows were scored, and whether something is to be known of them first."""
    mark = "✓" if is_clean(it) else "⚠"
    return f"{mark} {words.count(it.rows, 'row')} scored with {it.model}"


def is_clean(it: Score) -> bool:
    """Whether every row had its features, none of them stale, and nothing is to be said."""
    return not (it.absent or it.stale or it.notes)


def fed(it: Score) -> str:
    """What the model was fed: from where, and how much of it was missing."""
    where = "from the online store" if it.mode == "online" else "as of the moments given"
    missing = sum(it.nulls.values())
    parts = [
        f"{it.absent:,} without features" if it.absent else "",
        f"{it.stale:,} stale" if it.stale else "",
        words.count(missing, "missing value") if missing else "",
    ]
    said = [part for part in parts if part]
    return f"{where}, {', '.join(said) if said else 'nothing missing'}"


def resolved(it: Resolution) -> str:
    """Whether the registry still says what the model was trained on."""
    grades = [c.grade for c in it.drift]
    if not is_compared(it):
        return f"⚠ {it.model}: its definitions at training are not known"
    for grade in ("breaks serving", "needs retraining"):
        if grade in grades:
            return f"⚠ {it.model} {grade}: {words.count(grades.count(grade), 'change')} since"
    if not has_order(it):
        return f"⚠ {it.model}: definitions unchanged; the order of its inputs is not known"
    harmless = f", {words.count(len(grades), 'harmless change')} aside" if grades else ""
    return f"✓ {it.model} can be served: definitions unchanged since training{harmless}"


def is_compared(it: Resolution) -> bool:
    """Whether the contract holds the definitions of the training."""
    return it.contract is None or bool(it.contract.views) if it.basis == "contract" else False


def is_unchanged(it: Resolution) -> bool:
    """Whether nothing that matters changed, and the model can be fed in its order."""
    return is_compared(it) and has_order(it) and all(c.grade == "safe" for c in it.drift)


def has_order(it: Resolution) -> bool:
    """Whether the order of the model's inputs is known: scoring asks for it else."""
    return it.contract is None or it.contract.order not in ("assumed", "unknown")


def served(it: Resolution) -> str:
    """What is to be served: the service where it is still right, and how many features."""
    basis = "" if it.basis == "contract" else f", read from its {it.basis}"
    how = f"service {it.service}" if it.service else "by references, not by a service"
    return f"{words.count(len(it.refs), 'feature')}, {how}{basis}"
