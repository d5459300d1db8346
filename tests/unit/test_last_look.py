"""The last look at a repository's health, as a panel finds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feast_nb.operations import last_look
from feast_nb.records.operation import Health, HealthLine


@pytest.fixture
def yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEAST_NB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "feature_store.yaml"


def line(part: Any, name: str, light: Any = "green") -> HealthLine:
    return HealthLine(part, name, light, "as it is")


def keep(yaml: Path, *lines: HealthLine, whole: bool = True) -> list[tuple[str, str, str]]:
    last_look.keep(yaml, Health("p", at="2026-01-20T12:00:00+00:00", lines=lines), whole)
    found = last_look.kept(yaml)
    assert found is not None
    return [(x.part, x.name, x.light) for x in found.lines]


def test_nobody_has_looked_yet(yaml: Path) -> None:
    assert last_look.kept(yaml) is None


def test_a_look_at_one_view_leaves_the_others(yaml: Path) -> None:
    keep(yaml, line("view", "a", "red"), line("view", "b"))
    assert keep(yaml, line("view", "a"), whole=False) == [
        ("view", "a", "green"), ("view", "b", "green"),
    ]  # fmt: skip


def test_what_a_whole_look_does_not_find_is_gone_but_for_models(yaml: Path) -> None:
    keep(yaml, line("view", "a"), line("model", "m/1", "amber"))
    assert keep(yaml, line("view", "b")) == [("model", "m/1", "amber"), ("view", "b", "green")]


@pytest.mark.parametrize("part", ["registry", "online store"])
def test_one_that_is_away_takes_the_place_of_when_it_was_there(yaml: Path, part: str) -> None:
    """By its address where it answers, by its kind where it does not."""
    keep(yaml, line(part, "localhost:6570"))
    assert keep(yaml, line(part, "remote", "red"), whole=False) == [(part, "remote", "red")]


def test_each_line_keeps_the_moment_of_its_own_look(yaml: Path) -> None:
    keep(yaml, replace(line("view", "a"), at="2026-01-01T00:00:00+00:00"))
    keep(yaml, replace(line("view", "b"), at="2026-01-02T00:00:00+00:00"), whole=False)
    found = last_look.kept(yaml)
    assert found is not None
    assert [x.at for x in found.lines] == ["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"]


def test_it_is_the_users_alone_and_a_broken_one_is_none(yaml: Path) -> None:
    keep(yaml, line("view", "a"))
    place = last_look._place(yaml)
    assert place.stat().st_mode & 0o777 == 0o600
    place.write_text("{")
    assert last_look.kept(yaml) is None
