"""The alert rules of the documentation: Prometheus takes them, and they fire where they should."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .servers import installed

RULES = Path(__file__).resolve().parents[2] / "docs" / "howto" / "alerts.yml"
CASES = Path(__file__).with_name("alerts_test.yml")


@pytest.mark.parametrize("asked", [("check", "rules", RULES), ("test", "rules", CASES)])
def test_the_rules_hold(asked: tuple[str, ...]) -> None:
    command = [installed("promtool", "prometheus"), *map(str, asked)]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
