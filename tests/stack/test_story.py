"""The same story on three stacks: embedded, direct to servers, through an operator's remote ones."""

from __future__ import annotations

from typing import Any

import pytest

from .stacks import NAMES
from .story import STEPS

SAME = ("plan", "train and register", "materialize", "health", "resolve", "features", "score online", "score as of", "vector",
        "reproduce", "usage", "impact", "runs", "operations", "panel")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", STEPS)
def test_every_step_on_every_stack(told: dict[str, Any], name: str, what: str) -> None:
    assert told[name][what]["ok"], told[name][what]["said"]


@pytest.mark.parametrize("what", SAME)
def test_what_comes_of_it_is_the_same(told: dict[str, Any], what: str) -> None:
    embedded, *others = (
        str(told[name][what].get("value")).replace(f"{name}_model", "model") for name in NAMES
    )
    assert others == [embedded] * 2


@pytest.mark.parametrize("name", NAMES)
def test_nothing_fails_beside_it(told: dict[str, Any], name: str) -> None:
    """What our threads could not do is said on the error output."""
    said = [line for line in told[name][""]["value"].splitlines() if line.startswith("feast_nb:")]
    assert said == []


def test_a_catalog_names_sources_alike(told: dict[str, Any]) -> None:
    found = [told[name]["catalog"]["value"] for name in NAMES]
    assert found[0]["sources"] == {"stats": "FileSource", "bonus": "RequestSource"}
    assert found[1:] == found[:1] * 2
