"""Operations on a time axis: applies with their grades, materializations as bars, failures red."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..records.answers import Operation

_LANES = ("apply", "materialize")
_WIDTH, _LEFT, _LANE, _TOP = 720.0, 86.0, 26.0, 6.0
_INK, _RED, _BLUE = "#7b7b7b", "#c0392b", "#3a7ebf"
_GRADES = {"safe": "#2e8b57", "needs retraining": "#b7791f", "breaks serving": _RED}
_STEPS = [timedelta(minutes=m) for m in (1, 5, 15, 60, 180, 360, 720)]
_STEPS += [timedelta(days=d) for d in (1, 2, 7, 14, 30, 91, 365)]


def timeline(operations: Sequence[Operation]) -> str:
    """An SVG of operations by when they were done; empty without any that says when."""
    dated = [(at, o) for o in operations if (at := _moment(o.at)) is not None]
    if not dated:
        return ""
    first = min(at for at, _ in dated)
    last = max(at + timedelta(seconds=o.seconds or 0) for at, o in dated)
    room = max((last - first) * 0.04, timedelta(seconds=30))
    first, last = first - room, last + room

    def x(at: datetime) -> float:
        return _LEFT + (_WIDTH - _LEFT - 8) * ((at - first) / (last - first))

    marks = [_mark(o, x(at), x(at + timedelta(seconds=o.seconds or 0))) for at, o in dated]
    bottom = _TOP + _LANE * len(_LANES)
    names = "".join(
        f'<text x="0" y="{_middle(lane) + 4:g}">{lane}</text>'
        f'<path d="M{_LEFT:g} {_middle(lane):g}H{_WIDTH:g}" stroke="{_INK}" stroke-opacity=".35"/>'
        for lane in _LANES
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {bottom + 20:g}" '
        f'width="{_WIDTH:g}" height="{bottom + 20:g}" font-size="11" fill="{_INK}" '
        f'font-family="system-ui,-apple-system,Segoe UI,sans-serif">{names}'
        f"{''.join(_ticks(first, last, x, bottom))}{''.join(marks)}</svg>"
    )


def _moment(text: str | None) -> datetime | None:
    """An ISO time; None for another text."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _middle(lane: str) -> float:
    return _TOP + _LANE * (_LANES.index(lane) + 0.5)


def _mark(one: Operation, begins: float, ends: float) -> str:
    """A bar that is as long as it took, or a sign for what is done at once; ✕ for what failed."""
    failed = one.status in ("FAILED", "KILLED")
    if one.what == "apply":
        y, colour = _middle("apply"), _RED if failed else _GRADES.get(one.grade or "", _INK)
        if failed:
            return _cross(begins, y)
        return f'<path d="M{begins:.1f} {y - 7:g}l6 7l-6 7l-6 -7z" fill="{colour}"/>'
    y, colour = _middle("materialize"), _RED if failed else _BLUE
    width = max(ends - begins, 4.0)
    bar = (
        f'<rect x="{begins:.1f}" y="{y - 6:g}" width="{width:.1f}" height="12" rx="2" '
        f'fill="{colour}"/>'
    )
    return bar + (_cross(begins + width + 7, y) if failed else "")


def _cross(x: float, y: float) -> str:
    path = f"M{x - 4:.1f} {y - 4:g}l8 8m0 -8l-8 8"
    return f'<path d="{path}" stroke="{_RED}" stroke-width="2" fill="none"/>'


def _ticks(
    first: datetime, last: datetime, x: Callable[[datetime], float], bottom: float
) -> list[str]:
    """Moments below the axis: six or so, whole minutes, hours or days."""
    step = next((s for s in _STEPS if (last - first) / s <= 6), _STEPS[-1])
    start = datetime.min.replace(tzinfo=UTC)
    at = start + step * -(-(first - start) // step)
    shown = []
    while at <= last:
        text = f"{at:%Y-%m-%d}" if step >= timedelta(days=1) else f"{at:%m-%d %H:%M}"
        place = x(at)
        shown.append(
            f'<path d="M{place:.1f} {bottom:g}v4" stroke="{_INK}"/>'
            f'<text x="{place:.1f}" y="{bottom + 15:g}" text-anchor="middle">{text}</text>'
        )
        at += step
    return shown
