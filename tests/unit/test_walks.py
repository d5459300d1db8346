"""The walks in CONTRIBUTING name files and functions that are there, and what each of them calls."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEP = re.compile(r"^\d+\. `([^`]+)` `([^`]+)`.* calls `([^`]+)`$", re.M)
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
STEPS = STEP.findall(TEXT)


def source_of(file: str, name: str) -> str:
    """The text of a class, function or method; fails where it is not there."""
    path = ROOT / file if file.startswith("labextension/") else ROOT / "feast_nb" / file
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        found = re.search(rf"^export (?:class|(?:async )?function) {name}\b.*", text, re.M | re.S)
        assert found, f"{file} exports no {name}"
        return found[0]
    nodes: list[ast.stmt] = ast.parse(text).body
    found_node: ast.AST | None = None
    for part in name.split("."):
        found_node = next((n for n in nodes if getattr(n, "name", None) == part), None)
        assert found_node is not None, f"{file} has no {name}"
        nodes = getattr(found_node, "body", [])
    assert found_node is not None
    return ast.get_source_segment(text, found_node) or ""


def test_every_numbered_step_is_read() -> None:
    assert len(STEPS) == len(re.findall(r"^\d+\. `", TEXT, re.M)) > 20


@pytest.mark.parametrize(("file", "name", "calls"), STEPS)
def test_a_step_is_there_and_calls_what_it_is_said_to(file: str, name: str, calls: str) -> None:
    body = source_of(file, name).split("\n", 1)[1]

    assert re.search(rf"\b{calls}\b", body), f"{name} of {file} mentions no {calls}"


def test_a_step_that_is_not_there_fails() -> None:
    with pytest.raises(AssertionError, match="has no"):
        source_of("recorder/recording.py", "Recording.nowhere")
