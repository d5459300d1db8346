"""The panel's Health tab: looked at when it is asked for, kept with its age, a dot on each view."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

from playwright.sync_api import Locator, Page

from ..conftest import make_repository
from .conftest import SLOW, Lab
from .test_outputs import AXE, SHOTS
from .test_panel import notebook, opened, row, serious, tab, theme


def test_a_look_from_the_panel(lab_server: Lab, page: Page) -> None:
    from feast import FeatureStore

    repo = make_repository(lab_server.root / "health" / "repo")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = FeatureStore(str(repo))
        store.materialize(
            datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC), ["hourly"]
        )
    panel = opened(page, lab_server, notebook(lab_server, "health/repo/h.ipynb", "1"))
    row(panel, "view", "hourly").wait_for(timeout=SLOW)
    assert panel.locator(".fnb-dot").count() == 0
    tab(panel, "health")
    panel.get_by_text("Nobody has looked").wait_for(timeout=SLOW)
    panel.get_by_role("button", name="Look now").click()
    panel.get_by_text("Looking…").first.wait_for(timeout=SLOW)
    panel.get_by_text(" red").first.wait_for(timeout=SLOW)
    panel.get_by_role("button", name="Look now").wait_for(timeout=SLOW)
    SHOTS.mkdir(exist_ok=True)
    page.add_script_tag(path=AXE)
    for name in ("JupyterLab Light", "JupyterLab Dark"):
        theme(page, name)
        page.screenshot(path=SHOTS / f"panel-health-{name.split()[1].lower()}.png")
        serious(page)
    narrow(page, 250)
    page.screenshot(path=SHOTS / "panel-health-250.png")
    narrow(page, 320)
    health_row(panel, "profile").click()
    panel.get_by_text("%feast_materialize profile").wait_for()
    page.screenshot(path=SHOTS / "panel-health-line.png")
    tab(panel, "features")
    dot = row(panel, "view", "profile").locator(".fnb-dot")
    dot.wait_for()
    assert "never materialized" in str(dot.get_attribute("aria-label"))
    page.screenshot(path=SHOTS / "panel-health-dots.png")


def health_row(panel: Locator, name: str) -> Locator:
    return row(panel, "health", name)


def narrow(page: Page, pixels: int) -> None:
    """Make the side area as wide as that."""
    page.evaluate(
        """pixels => {
            const area = document.querySelector('#jp-left-stack');
            const split = document.querySelector('#jp-main-split-panel');
            area.style.minWidth = '0';
            const shell = window.jupyterapp.shell;
            const layout = shell.saveLayout();
            const whole = split.getBoundingClientRect().width;
            layout.relativeSizes = [pixels / whole, 1 - pixels / whole, 0];
            shell.restoreLayout && shell._hsplitPanel.setRelativeSizes(layout.relativeSizes);
        }""",
        pixels,
    )
    page.wait_for_timeout(300)
