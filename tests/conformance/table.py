"""`make conformance`: run the conformance tests and write their table into `docs/conformance.md`.

A row is a behaviour of Feast's own MLflow integration; its tests say what Feast alone does (most
run it, as the control) and what is right. The table says it in the words of the first test.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
BEGIN, END = "<!-- conformance -->", "<!-- /conformance -->"


class Rows:
    """What the tests of each row say, and how many of them passed."""

    def __init__(self) -> None:
        self.texts: dict[str, tuple[str, str]] = {}
        self.passed: dict[str, int] = {}
        self.failed: dict[str, int] = {}
        self._places: dict[str, tuple[str, int]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Counted where the reports arrive; `conftest.py` wrote row and docstring on the test."""
        known = dict(report.user_properties)
        if "row" not in known or (report.when != "call" and report.passed):
            return
        row = str(known["row"])
        counts = self.passed if report.passed else self.failed
        counts[row] = counts.get(row, 0) + 1
        said = parts(str(known["says"]))
        if said:
            self._keep(row, (report.location[0], report.location[1] or 0), said)

    def _keep(self, row: str, place: tuple[str, int], said: tuple[str, str]) -> None:
        """The first test of a row in its file speaks for it."""
        if row not in self.texts or place < self._places[row]:
            self.texts[row], self._places[row] = said, place


def parts(docstring: str) -> tuple[str, str] | None:
    """What Feast does, and what is right; None for a docstring that does not say both."""
    text = " ".join(docstring.split())
    found = re.split(r"[.;:,]? ?\bRight is (?:that )?", text, maxsplit=1, flags=re.I)
    if len(found) < 2:
        return None
    right = re.split(r"(?<=[a-z0-9`)])\. ", found[1], maxsplit=1)[0]
    return sentence(found[0]), sentence(right)


def sentence(text: str) -> str:
    text = text.strip().rstrip(".;:,")
    return (text[:1].upper() + text[1:]).replace("|", "\\|")


def table(rows: Rows) -> str:
    """The rows as Markdown, in their order."""
    lines = ["| | Feast alone | with `feast_nb` | tests |", "| --- | --- | --- | --- |"]
    for row in sorted(rows.texts, key=lambda r: [int(n) for n in r.split(".")]):
        native, ours = rows.texts[row]
        failed = rows.failed.get(row, 0)
        count = f"{rows.passed.get(row, 0)}" + (f", {failed} fail" if failed else "")
        lines.append(f"| {row} | {native} | {ours} | {count} |")
    return "\n".join(lines)


def main() -> int:
    """Run, write the page's table, and fail where a test does."""
    rows = Rows()
    folder = str(Path(__file__).parent)
    code = pytest.main(["-q", folder, "-n", "2", "--dist", "loadgroup"], plugins=[rows])
    if not rows.passed:
        return int(code)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}", encoding="utf-8")
    print(f"{len(rows.texts)} rows written into {PAGE.name}")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
