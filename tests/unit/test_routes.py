"""The list of routes has one owner; who asks, who reads and who documents follow it."""

from __future__ import annotations

import re
from pathlib import Path

from feast_nb.server import route_names, worker

ROOT = Path(__file__).parents[2]


def test_the_panel_knows_the_servers_routes() -> None:
    text = (ROOT / "labextension" / "src" / "routeNames.ts").read_text()

    assert tuple(re.findall(r"'([a-z-]+)'", text)) == route_names.ALL


def test_the_worker_answers_each_route_of_a_repository() -> None:
    assert tuple(worker._ASKED) == route_names.OF_A_REPOSITORY


def test_the_panels_page_names_each_route() -> None:
    text = (
        (ROOT / "docs/reference/panel.md")
        .read_text()
        .partition("The routes under `feast-nb/api/`")[2]
    )

    assert set(route_names.ALL) <= set(re.findall(r"`([a-z-]+)`", text[:600]))
