"""Numbers, times and states in words, the same in HTML and in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ..records.answers import Change, ColumnDifference, Feature, Operation, Reproduction
from ..records.contract import ModelVersion
from ..records.lineage import Impact
from ..records.operation import REFUSED, Plan, PlannedChange
from ..records.retrieval import Retrieval, Write
from ..records.run import Origin


def count(number: int, thing: str, things: str | None = None) -> str:
    """`1 row`, `2 rows`, `12,500 rows`."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def share(value: float | None) -> str:
    """A share in percent; small ones are never rounded to none."""
    if value is None:
        return "–"
    if value == 0:
        return "0 %"
    return "< 0.1 %" if value < 0.001 else f"{value * 100:.1f} %"


def seconds(value: float | None) -> str:
    """Wall time: `120 ms`, `2.3 s`, `6 min 54 s`, `2 h 5 min`."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def link(url: str | None) -> str | None:
    """An address to link to: one of the web, and nothing else that a browser would run."""
    return url if url and url.startswith(("http://", "https://")) else None


def number(value: float | None) -> str:
    """A metric, to four digits."""
    if value is None:
        return "–"
    if 1000 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.4g}"


def moment(text: str | None) -> str:
    """An ISO time as `2013-09-30 23:59`, UTC."""
    if not text:
        return "–"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    found = found.astimezone(UTC) if found.tzinfo else found
    return found.strftime("%Y-%m-%d %H:%M")


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first few of some names, and how many more there are."""
    if not names:
        return "–"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def depends(it: Impact) -> str:
    """How much depends on an object."""
    others = len(it.models) - len(it.live)
    said = [
        f"{count(len(it.live), 'model version')} with an alias",
        count(others, "other version") if others else "",
        count(len(it.services), "service") if it.services else "",
        count(it.runs, "training run"),
    ]
    return ", ".join(part for part in said if part)


def ranged(it: Operation) -> str:
    """The range of a materialization."""
    if not it.end:
        return ""
    return f"{moment(it.start) if it.start else '…'} – {moment(it.end)}"


def changed(it: Operation) -> str:
    """What an operation created, updated, deleted or wrote."""
    changes = {"created": it.created, "updated": it.updated, "deleted": it.deleted,
               "changed": it.changed}  # fmt: skip
    said = [f"{verb} {listed(names, 4)}" for verb, names in changes.items() if names]
    if not said and not it.views and it.what == "apply" and not it.trouble:
        return "no changes logged (Feast does not log deletions)"
    said = said or ([listed(it.views, 4)] if it.views or not it.trouble else [])
    if it.grade is not None and it.grade != "safe":
        said.append(f"{it.grade}, since: {it.reason}" if it.reason else it.grade)
    return "; ".join([*said, it.trouble] if it.trouble else said)


def short(digest: str | None) -> str:
    """The beginning of a fingerprint: enough to see that two differ."""
    return digest[:12] if digest else "–"


def unseen(retrieval: Retrieval) -> str:
    """That the registry could not be looked at for a retrieval, and why."""
    return f"its definitions are not known: {retrieval.unseen}" if retrieval.unseen else ""


def asked_and_given(retrieval: Retrieval) -> str:
    """`37,423 asked, 37,423 given`: rows, or why there are none."""
    entity, result = retrieval.entity, retrieval.result
    asked = f"{entity.rows:,} asked" if entity.rows is not None else entity.kind
    if retrieval.state == "failed":
        return f"{asked}, failed: {retrieval.error}"
    if result is None:
        return f"{asked}, never run" if retrieval.state == "submitted" else asked
    return f"{asked}, {result.rows:,} given"


def reach(retrieval: Retrieval) -> str:
    """From the first to the last moment asked for."""
    span = retrieval.entity.timestamp
    if span is None or not span.min:
        entity = retrieval.entity
        return f"{entity.start or '…'} – {entity.end or '…'}" if entity.kind == "range" else "–"
    return f"{moment(span.min)} – {moment(span.max)}"


def service(retrieval: Retrieval) -> str:
    """The service, and how it is known; a list that is no service's says so; and what was given."""
    given = (f"{name}={value}" for name, value in sorted(retrieval.arguments.items()))
    return ", ".join([_service(retrieval), *filter(None, [retrieval.call]), *given])


def _service(retrieval: Retrieval) -> str:
    if retrieval.service:
        return retrieval.service + (
            " (same features)" if retrieval.service_basis == "exact" else ""
        )
    several = (
        f" (the same in {', '.join(retrieval.services)})" if len(retrieval.services) > 1 else ""
    )
    return f"list of features{several}"


LINKS = {
    "declared": "declared",
    "attrs": "matched by frame",
    "name": "matched by variable",
    "parent": "from the parent run",
    "columns": "matched by columns only",
}


def cell(retrieval: Retrieval) -> str:
    """The cell that retrieved, and how it is known where the run did not do so itself."""
    known = retrieval.cell and retrieval.cell.number is not None
    where = f"cell {retrieval.cell.number}" if known and retrieval.cell else "–"
    if retrieval.linked_by:
        return f"{where}, {LINKS.get(retrieval.linked_by, retrieval.linked_by)}"
    return where


def write(it: Write) -> str:
    """`pushed 3 rows to the online store of hourly`, as it ended."""
    rows = count(it.rows, "row") if it.rows is not None else "rows"
    views = ", ".join(it.views) or it.name
    done = f"wrote {rows} to the {it.to.replace('_', ' ')} store of {views}"
    source = f" through {it.name}" if it.call == "push" else ""
    return done + source + (f", failed: {it.error}" if it.state == "failed" else "")


def version(model: ModelVersion) -> str:
    """`arrival_delay/2`, or that it is not registered."""
    return f"{model.name}/{model.version}" if model.name else "not registered"


def commit(it: Origin) -> str:
    """`main at 1a2b3c4d, with changes not committed`."""
    if not it.commit:
        return "no git commit"
    where = f"{it.branch} at {it.commit[:8]}" if it.branch else it.commit[:8]
    return where + (", with changes not committed" if it.dirty else "")


def change(it: Change) -> str:
    """A change and its grade: `needs retraining: the TTL of hourly was 3 days, is 1 hour`."""
    return f"{it.grade}: {it.said}"


def reach_of(it: Feature) -> str:
    """The range of a feature's values in training."""
    return "–" if it.min is None or it.max is None else f"{it.min:g} – {it.max:g}"


def differing(it: ColumnDifference) -> str:
    """How much of a column differs."""
    if not it.differ:
        return "type changed, values equal"
    return count(it.differ, "value differs", "values differ")


def verdict(it: Reproduction) -> str:
    """What a reproduction came to, in a few words."""
    if it.verdict == "identical":
        return "✓ identical"
    if it.verdict == "reordered":
        return "✓ the same rows, in another order"
    if it.verdict == "not compared":
        return "retrieved again, not compared"
    rows = [f"{it.missing:,} missing" if it.missing else "", f"{it.new:,} new" if it.new else ""]
    return ", ".join(["✗ different", *(r for r in rows if r)])


STATUS = {"FINISHED": "✓", "RUNNING": "●", "FAILED": "✗", "KILLED": "✗"}


def status(name: str) -> str:
    """A run's status with a sign, so that colour is not all that tells."""
    return f"{STATUS.get(name, '')} {name.lower()}".strip()


def planned(it: Plan) -> str:
    """What a plan comes to, in one line."""
    if not it.changes and any(text.startswith(REFUSED) for text in it.unchecked):
        return f"not compared with {it.against}"
    if not it.changes:
        return f"nothing to change: {it.project} is as {it.against} has it"
    graded = [
        f"{sum(c.grade == grade for c in it.changes)} {grade}"
        for grade in ("breaks serving", "needs retraining", "safe")
        if any(c.grade == grade for c in it.changes)
    ]
    changes = count(len(it.changes), "change")
    said = f"applied {changes}" if it.applied else f"{changes} against {it.against}"
    head = f"{said}: {', '.join(graded)}"
    return f"{head}; breaks {listed(it.broken)}" if it.broken else head


def touches(change: PlannedChange) -> list[str]:
    """The models, notebooks and predictions that a change touches."""
    said = []
    if change.models:
        said.append("models: " + listed([m.shown for m in change.models], 8))
    said += [
        f"{m.shown}: {m.through}"
        for m in change.models[:8]
        if m.through and m.through not in change.reason
    ]
    if change.notebooks:
        said.append("trained in: " + listed(change.notebooks))
    if change.predictions:
        said.append(f"{count(change.predictions, 'prediction run')} in the last 30 days")
    return said
