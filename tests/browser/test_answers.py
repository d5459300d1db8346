"""What answers say first, as a colleague sees them: saved, no kernel, not trusted, light and dark."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from ..unit.test_display import DOCUMENTS
from .conftest import Lab
from .test_outputs import AXE, SHOTS, opened, saved

SHOWN = ("training_against", "training", "training_failed", "score", "resolution", "reproduction",
         "model_diff", "runs", "operations", "features", "run", "repository")  # fmt: skip


@pytest.fixture(params=["JupyterLab Light", "JupyterLab Dark"])
def answers(request: pytest.FixtureRequest, lab_server: Lab, page: Page) -> Page:
    page.set_viewport_size({"width": 1280, "height": 4200})
    name = saved(lab_server, "answers.ipynb", *(DOCUMENTS[name] for name in SHOWN))
    opened(page, lab_server, name, request.param)
    page.locator(".fnb-output").nth(len(SHOWN) - 1).wait_for(timeout=20000)
    SHOTS.mkdir(parents=True, exist_ok=True)
    theme = request.param.rpartition(" ")[2].lower()
    page.locator(".jp-Notebook").screenshot(path=SHOTS / f"answers-{theme}.png")
    return page


def test_the_answer_comes_first_and_the_rest_is_folded(answers: Page) -> None:
    output = answers.locator(".fnb-output").first
    first = output.locator(".jp-RenderedHTML > div > div").first.inner_text()

    assert first.split() == ["✓", "arrival_delay/2", "@challenger", "against", "arrival_delay/1",
                             "(@champion)"]  # fmt: skip
    assert not output.locator("table").first.is_visible()
    output.locator("summary").click()
    assert output.locator("table").first.is_visible()


def test_a_next_step_is_a_new_cell_and_an_id_is_copied(answers: Page) -> None:
    cells = answers.locator(".jp-Notebook .jp-Cell")
    before = cells.count()
    answers.locator(".fnb-output").first.get_by_role("button", name="Diff").click()

    assert cells.count() == before + 1
    written = cells.nth(1).locator(".cm-content").inner_text()
    assert written == "%feast_diff arrival_delay/1 arrival_delay/2"
    answers.locator(".fnb-output").first.locator("summary").click()
    copy = answers.locator(".fnb-output").first.get_by_role("button", name="Copy " + "0" * 32)
    copy.click()
    assert copy.inner_text() == "✓"


def test_axe_finds_nothing_serious_in_answers(answers: Page) -> None:
    answers.add_script_tag(path=AXE)
    found = answers.evaluate("async () => (await axe.run('.fnb-output')).violations")

    assert not [
        (v["id"], [(n["html"][:200], n["failureSummary"]) for n in v["nodes"]])
        for v in found
        if v["impact"] in ("serious", "critical")
    ]
