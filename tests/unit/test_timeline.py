"""The time axis of operations: each at its moment, as long as it took, in the colour of its grade."""

from __future__ import annotations

import re

from feast_nb.display.timeline import timeline
from feast_nb.records.answers import Operation

DAY = "2026-11-2{}T06:00:00+00:00"


def places(svg: str, colour: str) -> list[float]:
    """Where diamonds of a colour stand, from left to right."""
    found = re.findall(rf'<path d="M([\d.]+) [^"]*z" fill="{colour}"/>', svg)
    return sorted(map(float, found))


def test_each_apply_stands_at_its_moment_in_the_colour_of_its_grade() -> None:
    svg = timeline([
        Operation("apply", "FINISHED", grade="breaks serving", at=DAY.format(9)),
        Operation("apply", "FINISHED", grade="needs retraining", at=DAY.format(7)),
        Operation("apply", "FINISHED", grade="safe", at=DAY.format(5)),
        Operation("apply", "FINISHED", at=DAY.format(3)),
    ])  # fmt: skip
    ((safe,), (retrain,), (breaks,), (unknown,)) = (
        places(svg, colour) for colour in ("#2e8b57", "#b7791f", "#c0392b", "#7b7b7b")
    )
    assert unknown < safe < retrain < breaks
    assert abs((safe - unknown) - (breaks - retrain)) < 0.2


def test_a_materialization_is_as_long_as_it_took_and_a_failed_one_red_and_crossed() -> None:
    took = [
        Operation("materialize", "FINISHED", at=DAY.format(1), seconds=6 * 3600),
        Operation("materialize incremental", "FINISHED", at=DAY.format(2), seconds=12 * 3600),
        Operation("materialize", "FAILED", at=DAY.format(4), seconds=0.1),
    ]
    svg = timeline(took)
    bars = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)".*?fill="(#\w+)"', svg)

    assert [colour for _, _, colour in bars] == ["#3a7ebf", "#3a7ebf", "#c0392b"]
    six, twelve, least = (float(width) for _, width, _ in bars)
    assert abs(twelve - 2 * six) < 0.2
    assert least == 4.0  # seen, however short
    assert svg.count('stroke="#c0392b"') == 1


def test_one_moment_and_none_are_drawn_too() -> None:
    assert timeline([]) == timeline([Operation("apply", "RUNNING")]) == ""
    alone = timeline([Operation("apply", "FAILED", at=DAY.format(1))])
    assert alone.count('stroke="#c0392b"') == 1
    assert "11-21 06:00" in alone


def test_years_of_operations_have_a_handful_of_moments() -> None:
    svg = timeline([Operation("apply", "FINISHED", at=f"20{year}-01-01T00:00:00+00:00")
                    for year in range(18, 27)])  # fmt: skip
    assert 3 <= svg.count("text-anchor") <= 10
