"""Saved outputs in the lab a user has: no kernel behind them, a notebook that is not trusted."""

from __future__ import annotations

import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import Locator, Page

from feast_nb.display import MIME, bundle
from feast_nb.lineage import layout
from feast_nb.records.document import Document
from feast_nb.records.lineage import Lineage, Node

from .. import lineage_data as past
from .conftest import SLOW, Lab

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = Path(__file__).parents[2] / "labextension" / "test-results"


def saved(lab: Lab, name: str, *records: Document) -> str:
    """A notebook with outputs, as a colleague would send it."""
    cells = []
    for record in records:
        # As nbformat keeps it: JSON types as they are, text as text.
        output = new_output("execute_result", bundle(record), execution_count=1)
        cells.append(new_code_cell(f"%feast_{record.kind}", outputs=[output], execution_count=1))
    nbformat.write(new_notebook(cells=cells), lab.root / name)
    return name


def opened(page: Page, lab: Lab, name: str, theme: str = "JupyterLab Light") -> None:
    page.goto(lab.tree(name))
    # The notebook names no kernel: the lab asks, and is told that none is wanted.
    asked = page.locator(".jp-Dialog")
    asked.locator("select").select_option(label="No Kernel")
    asked.get_by_role("button", name="Select Kernel").click()
    asked.wait_for(state="detached")
    page.evaluate(
        "t => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})", theme
    )
    dark = "false" if "Dark" in theme else "true"
    page.wait_for_selector(f"body[data-jp-theme-light={dark}]", state="attached")
    page.wait_for_selector(".jp-Notebook .fnb-output")


@pytest.fixture(params=["JupyterLab Light", "JupyterLab Dark"])
def outputs(request: pytest.FixtureRequest, lab_server: Lab, page: Page) -> Page:
    name = saved(lab_server, "saved.ipynb", past.drawn(), past.used(), past.of_view(), past.RUNS)
    opened(page, lab_server, name, request.param)
    page.wait_for_selector(".fnb-lineage canvas[data-painted=yes]")
    return page


WHERE = """canvas => {
  const { left, top } = canvas.getBoundingClientRect();
  return [left, top, ...canvas.dataset.view.split(' ').map(Number)];
}"""


def click(page: Page, id: str) -> None:
    """Click on a node of the first graph, where it is drawn: a page that loads still moves."""
    canvas = page.locator(".fnb-lineage canvas").first
    place = next(n for n in past.drawn().nodes if n.id == id)
    host = page.locator(".fnb-lineage").first
    for _ in range(10):
        left, top, x, y, scale = canvas.evaluate(WHERE)
        page.mouse.click(left + x + (place.x + 20) * scale, top + y + (place.y + 15) * scale)
        page.wait_for_timeout(300)
        if host.get_attribute("data-selected") == id:
            return
    pytest.fail(f"{id} cannot be clicked; selected: {host.get_attribute('data-selected')}")


def test_a_graph_is_clicked_through_without_a_kernel(outputs: Page) -> None:
    page = outputs
    details = page.locator(".fnb-details")

    click(page, "runs:0")
    details.wait_for()
    assert "12 runs, the newest 2" in details.inner_text()
    page.locator(".fnb-lineage canvas").focus()
    page.keyboard.press("ArrowRight")
    assert "model eta" in page.locator(".fnb-said").inner_text()
    page.keyboard.press("Escape")
    assert not details.is_visible()

    search = page.get_by_label("Find an object")
    search.fill("champion")
    search.press("Enter")
    assert "@champion" in details.inner_text()
    assert page.locator(".fnb-details a").get_attribute("href") == (
        "http://mlflow:5000/#/models/eta/versions/2"
    )
    SHOTS.mkdir(exist_ok=True)
    dark = (
        "dark" if page.locator("body").get_attribute("data-jp-theme-light") == "false" else "light"
    )
    page.screenshot(path=SHOTS / f"outputs-{dark}.png")


def test_a_usage_is_sorted_without_a_kernel(outputs: Page) -> None:
    table = outputs.locator(".fnb-usage table").nth(1)
    table.get_by_role("button", name="training").click()
    first = table.locator("tbody tr").first

    assert "hourly:rating" in first.inner_text()
    table.get_by_role("button", name="training").click()
    assert "idle:clicks" in first.inner_text()


def test_what_is_not_drawn_is_shown_as_its_html(outputs: Page) -> None:
    outputs.get_by_text("Models that depend on it").scroll_into_view_if_needed()

    assert outputs.locator(".jp-RenderedHTMLCommon", has_text="eta/2").count() >= 1


def test_axe_finds_nothing_serious(outputs: Page) -> None:
    """Of what is ours: the lab's own findings are the lab's."""
    outputs.add_script_tag(path=AXE)
    click(outputs, "runs:0")
    outputs.locator(".fnb-details").wait_for()
    found = outputs.evaluate("async () => (await axe.run('.fnb-output')).violations")
    serious = [v for v in found if v["impact"] in ("serious", "critical")]

    said = [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in serious]
    assert not said


def test_an_svg_and_a_png_are_saved(outputs: Page, tmp_path: Path) -> None:
    for kind, begins in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with outputs.expect_download() as download:
            outputs.get_by_role("button", name=f"Save as {kind}").click()
        path = tmp_path / kind
        download.value.save_as(path)
        assert path.read_bytes().startswith(begins)


def wide(count: int) -> Lineage:
    """A graph of many nodes with one and a half edges each."""
    layers = [i % 7 for i in range(count)]
    nodes = tuple(
        Node(f"run:{i}", "run", f"node {i}", layer=layer) for i, layer in enumerate(layers)
    )
    by_layer = [[i for i in range(count) if layers[i] == layer] for layer in range(7)]
    edges = set()
    for n in range(count * 3 // 2):
        layer = n % 6
        one = by_layer[layer][n * 7919 % len(by_layer[layer])]
        other = by_layer[layer + 1][n * 104729 % len(by_layer[layer + 1])]
        edges.add((one, other))
    return layout.layout(Lineage("p", f"{count} objects", nodes, tuple(sorted(edges))))


FRAMES = """async seconds => {
  const canvas = document.querySelector('.fnb-lineage canvas');
  const { left, top } = canvas.getBoundingClientRect();
  const at = (kind, x) => (kind === 'pointerdown' ? canvas : window).dispatchEvent(
    new PointerEvent(kind, { clientX: left + x, clientY: top + 60, buttons: 1, bubbles: true }));
  at('pointerdown', 100);
  let frames = 0;
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    at('pointermove', 100 + 80 * Math.sin(frames / 10));
    await new Promise(requestAnimationFrame);
    frames += 1;
  }
  at('pointerup', 100);
  return frames / seconds;
}"""


@pytest.mark.parametrize("count", [1000, 5000])
def test_a_large_graph_is_drawn_and_panned(lab_server: Lab, page: Page, count: int) -> None:
    """That it works; how fast it is, `make bench` tells."""
    name = saved(lab_server, f"wide{count}.ipynb", wide(count))
    opened(page, lab_server, name)
    page.wait_for_selector(".fnb-lineage canvas[data-painted=yes]")
    frames = page.evaluate(FRAMES, 1)

    print(f"{count} nodes: {frames:.0f} frames/s")
    assert frames > 3


IDLE = """() =>
  window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'
"""
LIVE = """\
import json
from pathlib import Path
from feast_nb.records.lineage import Lineage
widget = Lineage.from_dict(json.loads(Path("graph.json").read_text())).widget()
widget
"""


def test_a_live_drawing_tells_python_what_is_clicked(lab_server: Lab, page: Page) -> None:
    import json

    (lab_server.root / "graph.json").write_text(json.dumps(past.drawn().to_dict()))
    kernel = {"name": "python3", "display_name": "Python 3"}
    cells = [new_code_cell(LIVE), new_code_cell("widget.selected")]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, lab_server.root / "live.ipynb")
    page.goto(lab_server.tree("live.ipynb"))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell .cm-content")
    page.wait_for_function(IDLE, timeout=SLOW)
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(".fnb-lineage canvas[data-painted=yes]", timeout=SLOW)
    click(page, "view:hourly")
    page.locator(".fnb-details").wait_for()
    deadline = time.monotonic() + 120
    last: Locator = page.locator(".jp-CodeCell").last
    while "view:hourly" not in last.inner_text() and time.monotonic() < deadline:
        last.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(500)

    assert "'view:hourly'" in last.inner_text()


def test_the_mime_type_is_the_one_that_python_writes() -> None:
    assert MIME in (Path(__file__).parents[2] / "labextension/src/renderer.ts").read_text()
