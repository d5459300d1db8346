"""How what is done to the stores is said, in text and in HTML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..records.operation import Health, HealthLine, Materialization, ViewLoad
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


class Distribution(NamedTuple):
    """An input's values in training and as it is served: the shares of its bins, and the PSI."""

    ref: str
    psi: float
    p: float | None
    training: tuple[float, ...]
    served: tuple[float, ...]

    @property
    def said(self) -> str:
        p = "" if self.p is None else f", p {self.p:.2g}"
        return f"PSI {self.psi:.2f}{p}"

    @property
    def bars(self) -> list[tuple[float, float]]:
        """Heights between 0 and 1, of both in each bin."""
        tallest = max(*self.training, *self.served, 1e-9)
        pairs = zip(self.training, self.served, strict=True)
        return [(before / tallest, now / tallest) for before, now in pairs]


_HUGE = 1e300  # no measure: nor are infinity and what is no number
_DRAWN = 12  # distributions of a model
_BLOCKS = " ▁▂▃▄▅▆▇█"


def blocks(heights: Iterable[float]) -> str:
    """Heights between 0 and 1 as a line of blocks."""
    return "".join(_BLOCKS[round(height * (len(_BLOCKS) - 1))] for height in heights)


def distributions(it: HealthLine) -> list[Distribution]:
    """What a look measured of each input of a model, those that moved most first.

    Facts are numbers and lists by name, whatever a damaged document holds: what is no distribution
    is passed over.
    """
    found = []
    for name, psi in it.facts.items():
        ref, _, what = name.rpartition(".")
        then, now = (_shares(it.facts.get(f"{ref}.{when}")) for when in ("training", "served"))
        if what == "psi" and _is_number(psi) and then and len(then) == len(now):
            p = it.facts.get(f"{ref}.p")
            found.append(Distribution(ref, psi, p if _is_number(p) else None, then, now))
    return sorted(found, key=lambda one: -one.psi)[:_DRAWN]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < _HUGE


def _shares(value: object) -> tuple[float, ...]:
    """Shares of bins; none where one of them is no share."""
    listed = value if isinstance(value, list | tuple) else ()
    fine = all(isinstance(one, int | float) and 0 <= one <= 1 for one in listed)
    return tuple(listed) if fine else ()


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
