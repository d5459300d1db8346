"""The README's pictures, from the product as it is: JupyterLab on the tutorials, in Chromium.

python notebooks/pictures.py           writes notebooks/images/*.png; needs Chromium and Playwright
python notebooks/pictures.py FOLDER    the same; what the tutorials made is kept there for next time
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tests.browser.conftest import Lab, served  # noqa: E402

IMAGES = HERE / "images"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
WIDTH, HEIGHT = 1280, 900
SLOW = 60_000


def main() -> None:
    """Run the tutorials in a lab's folder, and take the pictures in it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory(prefix="feast_nb_pictures") as place, sync_playwright() as web:
        home = Path(sys.argv[1] if len(sys.argv) > 1 else place)
        home.mkdir(parents=True, exist_ok=True)
        settings = home / "settings/feast-nb/panel.jupyterlab-settings"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text('{"repository": "01_flight_delays/flights"}')  # each copy has its own
        with served(home) as lab:
            for name in ("03_who_uses_what", "01_flight_delays"):
                if not (lab.root / name).exists():
                    run(name, lab.root)
            browser = web.chromium.launch(executable_path=chromium)
            for theme, called in THEMES.items():
                take(browser, lab, theme, called)
            browser.close()


def run(name: str, root: Path) -> None:
    """A tutorial executed in the folder that the lab serves, with a repository of its own."""
    folder = root / name
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("out", "data", "images", "*.db*"))
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    nbformat.write(notebook, folder / f"{name}.ipynb")


def take(browser: Browser, lab: Lab, theme: str, called: str) -> None:
    """Training, panel and lineage in one theme; of the light one also the short animation."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=2)
    page.set_default_timeout(SLOW)
    opened(page, lab, "01_flight_delays/01_flight_delays.ipynb", called)
    training = output_of(page, "%%feast_train v2", "against arrival_delay/1")
    shown(page, training)
    training.screenshot(path=IMAGES / f"training-{theme}.png")
    page.screenshot(path=IMAGES / "frame-1.png")
    page.evaluate("window.jupyterapp.commands.execute('feast-nb:open-panel')")
    panel = page.locator(".fnb-panel")
    panel.locator("[data-tab=models]").click()
    panel.locator(".fnb-row-model", has_text="arrival_delay").first.click()
    panel.get_by_role("button", name="Show lineage").first.wait_for()
    page.screenshot(path=IMAGES / "frame-2.png")
    panel.get_by_role("button", name="Show lineage").first.click()
    page.locator(".fnb-main-area canvas[data-painted=yes]").wait_for()
    page.wait_for_timeout(1000)
    page.screenshot(path=IMAGES / f"panel-{theme}.png")
    page.screenshot(path=IMAGES / "frame-3.png")
    if theme == "light":
        animate([IMAGES / f"frame-{n}.png" for n in (1, 2, 3)])
    for n in (1, 2, 3):
        (IMAGES / f"frame-{n}.png").unlink()
    page.close()
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=2)
    page.set_default_timeout(SLOW)
    opened(page, lab, "03_who_uses_what/03_who_uses_what.ipynb", called)
    lineage = page.locator(".jp-Cell:has(.fnb-lineage)").first
    shown(page, lineage)
    page.locator(".fnb-lineage canvas[data-painted=yes]").first.wait_for()
    page.wait_for_timeout(1000)
    lineage.screenshot(path=IMAGES / f"lineage-{theme}.png")
    page.close()


def opened(page: Page, lab: Lab, path: str, theme: str) -> None:
    page.goto(lab.tree(path))
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.evaluate(
        "t => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})", theme
    )
    light = "false" if "Dark" in theme else "true"
    page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")


def output_of(page: Page, code: str, said: str) -> Locator:
    """The cell of some code whose output says something."""
    cell = page.locator(".jp-CodeCell", has_text=code).filter(has_text=said).first
    return cell


def shown(page: Page, cell: Locator) -> None:
    """Scroll a cell to the top, whose part of the notebook may not be drawn yet."""
    page.wait_for_timeout(3000)  # it is being drawn
    for _ in range(200):
        if cell.count():
            break
        page.locator(".jp-WindowedPanel-outer").first.evaluate(
            "e => e.scrollTo(0, e.scrollTop + 400 < e.scrollHeight - e.clientHeight"
            " ? e.scrollTop + 400 : 0)"
        )
        page.wait_for_timeout(200)
    cell.evaluate("e => e.scrollIntoView({block: 'start'})")
    page.wait_for_timeout(500)


def animate(frames: list[Path]) -> None:
    """Train → panel → lineage, as a picture that moves."""
    drawn = [Image.open(frame).convert("RGB").resize((WIDTH, HEIGHT)) for frame in frames]
    drawn[0].save(
        IMAGES / "train-panel-lineage.png", save_all=True, append_images=drawn[1:],
        duration=2500, loop=0, optimize=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
