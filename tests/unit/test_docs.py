"""The pages lead to each other, and the table that a program writes has its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..conformance import table

ROOT = Path(__file__).parents[2]
BUILT = {"changelog.md", "security.md", "magics.md"}  # by `make docs`
PAGES = sorted(
    [*ROOT.glob("*.md"), *(p for p in (ROOT / "docs").rglob("*.md") if p.name not in BUILT)]
)


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub turns them into addresses."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", text).lower().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text("utf-8"))

    for path, heading in links:
        target = page.parent / path if path else page
        if target.name in BUILT:
            target = ROOT / f"{target.stem.upper()}.md"
        assert target.exists(), path
        if heading:
            assert heading in anchors(target), f"{path}#{heading}"


@pytest.mark.parametrize("name", ["benchmarks", "conformance", "limits"])
def test_the_readme_names_each_page(name: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert f"(docs/{name}.md" in readme


def test_the_conformance_table_has_its_place() -> None:
    text = table.PAGE.read_text(encoding="utf-8")

    assert text.index(table.BEGIN) < text.index("| | Feast alone |") < text.index(table.END)
