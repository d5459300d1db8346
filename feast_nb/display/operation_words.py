"""How what is done to the stores is said, in text and in HTML."""

from __future__ import annotations

from ..records.operation import Health, Materialization, ViewLoad
from . import words

# A sign beside each colour, so that colour is not all that tells.
LIGHTS = {"green": "✓", "amber": "⚠", "red": "✗", "unknown": "?"}
COLOURS = {"green": "#2e8b57", "amber": "#b9770e", "red": "#c0392b", "unknown": "#808080"}
STATES = {"loaded": "✓", "failed": "✗", "interrupted": "✗", "running": "…", "planned": "",
          "left out": "–"}  # fmt: skip
STATE_COLOURS = {"loaded": "#2e8b57", "failed": "#c0392b", "interrupted": "#b9770e",
                 "running": "#3a7ebf"}  # fmt: skip
LOAD = ("view", "state", "rows read", "written", "newest event", "range", "took")


def loaded(it: Materialization) -> str:
    """What a materialization came to, in one line."""
    if not it.views:
        return f"{it.project} has no view that is served online"
    views = words.count(len(it.views), "view")
    if it.dry_run:
        return f"{views} of {it.project} would be loaded into {it.online_store}; nothing was"
    done = sum(load.state == "loaded" for load in it.views)
    took = f" in {words.seconds(it.seconds)}" if it.seconds is not None else ""
    if done == len(it.views):
        return f"✓ loaded {views} of {it.project} into {it.online_store}{took}"
    sign = "…" if it.state == "running" else "✗"
    return f"{sign} {it.state}: {done} of {views} of {it.project} loaded{took}"


def load(it: ViewLoad) -> tuple[str, ...]:
    """A view's row of the table."""
    state = f"{STATES.get(it.state, '')} {it.state}".strip()
    return (it.view, state, _rows(it.read), _rows(it.written), words.moment(it.newest),
            f"{words.moment(it.start) if it.start else '…'} – {words.moment(it.end)}",
            words.seconds(it.seconds))  # fmt: skip


def _rows(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def healthy(it: Health) -> str:
    """What a look came to, in one line."""
    of_model = f" for {it.model}" if it.model else ""
    found = {light: sum(line.light == light for line in it.lines) for light in LIGHTS}
    told = [f"{found[light]} {light}" for light in ("red", "amber", "unknown") if found[light]]
    took = f", looked in {words.seconds(it.seconds)}" if it.seconds is not None else ""
    if not told:
        return f"✓ {it.project}{of_model}: all {words.count(len(it.lines), 'line')} green{took}"
    told.append(f"{found['green']} green")
    return f"{LIGHTS.get(it.light, '?')} {it.project}{of_model}: {', '.join(told)}{took}"
