"""The side panel in the lab a user has: on the tutorial's repository, beside a notebook."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser, Locator, Page

from ..conftest import answers, free_port, make_repository, wait_for
from ..feast_kinds import ASKED, build, named, train
from .conftest import SLOW, TOKEN, Lab, served
from .test_outputs import AXE, IDLE, SHOTS

TUTORIAL = Path(__file__).parents[2] / "notebooks" / "drivers"

PREPARE = """\
import warnings
warnings.filterwarnings("ignore")
from drivers import features
store = %feast_store drivers
store.apply(features.DEFINITIONS)
entity_df = features.rated_trips()
"""
TRAIN = """\
%%feast_train first --service driver_activity --entity-df entity_df --register driver_rating --alias champion
from sklearn.linear_model import LinearRegression
inputs = ["conv_rate", "acc_rate", "avg_daily_trips"]
model = LinearRegression().fit(training_df[inputs], training_df["rating"])
"""


def notebook(lab: Lab, path: str, *sources: str) -> str:
    kernel = {"name": "python3", "display_name": "Python 3"}
    made = new_notebook(cells=[new_code_cell(s) for s in sources], metadata={"kernelspec": kernel})
    nbformat.write(made, lab.root / path)
    return path


def opened(page: Page, lab: Lab, path: str) -> Locator:
    """The lab on a notebook, with the panel open."""
    page.goto(lab.tree(path))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell .cm-content")
    command(page, "feast-nb:open-panel")
    page.wait_for_selector(".fnb-panel")
    return page.locator(".fnb-panel")


def command(page: Page, id: str) -> None:
    page.wait_for_function("id => window.jupyterapp?.commands.hasCommand(id)", arg=id, timeout=SLOW)
    page.evaluate("id => void window.jupyterapp.commands.execute(id)", id)


def tab(panel: Locator, name: str) -> None:
    panel.locator(f"[data-tab={name}]").click()


def row(panel: Locator, kind: str, name: str) -> Locator:
    return panel.locator(f".fnb-row-{kind}", has_text=name).first


def theme(page: Page, name: str) -> None:
    page.evaluate(
        "t => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})", name
    )
    light = "false" if "Dark" in name or name.endswith("High Contrast") else "true"
    page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")


@pytest.fixture
def tutorial(lab_server: Lab) -> Path:
    """The tutorial's repository, not yet applied, in a folder of its own."""
    folder = lab_server.root / "tutorial"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(TUTORIAL, folder / "drivers", ignore=shutil.ignore_patterns("data", "__py*"))
    return folder


def test_a_training_is_followed_from_the_notebook_to_its_lineage(
    lab_server: Lab, page: Page, tutorial: Path
) -> None:
    """Train in a notebook, see the run appear, click through to the lineage, insert a cell, run it;
    then the page is loaded again, and the panel is as it was."""
    path = notebook(lab_server, "tutorial/a.ipynb", "%load_ext feast_nb", PREPARE, TRAIN)
    (lab_server.root / "tutorial/drivers/data").mkdir(exist_ok=True)
    panel = opened(page, lab_server, path)
    page.wait_for_function(IDLE, timeout=SLOW)
    command(page, "notebook:run-all-cells")
    panel.locator(".fnb-row").first.wait_for(timeout=SLOW)
    tab(panel, "runs")
    # Nothing is clicked and nothing reloaded: the panel looks again by itself.
    row(panel, "run", "first").wait_for(timeout=SLOW)
    assert "THIS NOTEBOOK" in panel.inner_text()
    tab(panel, "models")
    row(panel, "model", "driver_rating").wait_for(timeout=SLOW)
    row(panel, "model", "driver_rating").click()
    panel.get_by_text("unchanged since training").wait_for(timeout=SLOW)

    tab(panel, "features")
    row(panel, "view", "driver_hourly_stats").click()
    panel.get_by_text("champion → 1").wait_for(timeout=SLOW)
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / "panel-light.png")
    panel.get_by_role("button", name="Show lineage").click()
    page.wait_for_selector(".fnb-main-area canvas[data-painted=yes]", timeout=SLOW)
    page.screenshot(path=SHOTS / "panel.png")
    theme(page, "JupyterLab Dark")
    page.wait_for_timeout(500)
    page.screenshot(path=SHOTS / "panel-dark.png")
    panel.get_by_role("button", name="Impact").click()
    page.get_by_text("Models (with an alias first)").wait_for(timeout=SLOW)

    tab(panel, "services")
    row(panel, "service", "driver_activity").click()
    panel.get_by_role("button", name="Insert retrieval").click()
    cell = page.locator(".jp-Cell.jp-mod-active")
    cell.get_by_text("get_historical_features").wait_for()
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        "() => /\\d/.test(document.querySelector('.jp-Cell.jp-mod-active .jp-InputPrompt')"
        ".textContent)",
        timeout=SLOW,
    )
    assert cell.locator(".jp-OutputArea-output[data-mime-type*=error]").count() == 0

    page.wait_for_timeout(1500)  # the lab saves its layout a moment after it changed
    page.goto(page.url.replace("&reset", "").replace("?reset", ""))
    page.wait_for_selector(".fnb-panel:not(.lm-mod-hidden) .fnb-row", timeout=SLOW)
    assert page.locator(".fnb-tabs [aria-selected=true]").inner_text() == "Services"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A tracking server of one's own, to be killed."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
               "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--workers", "1"]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **quiet)
    wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"), 90, "MLflow")
    yield f"http://127.0.0.1:{port}", process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def test_mlflow_goes_away_and_is_switched_off(
    lab_server: Lab, page: Page, server: tuple[str, subprocess.Popen[bytes]]
) -> None:
    """What is known stays, with its age; without MLflow the features stay. All of it themed."""
    from mlflow import MlflowClient

    url, process = server
    folder = make_repository(lab_server.root / "away" / "repo", tracking_uri=url)
    api = MlflowClient(url)
    tags = {"feast.project": "drivers", "feast.retrieval_type": "historical",
            "feast.feature_refs": "hourly:trips", "feast.feature_count": "1"}  # fmt: skip
    run = api.create_run("0", tags=tags, run_name="<b>bold</b>")
    api.set_terminated(run.info.run_id)
    panel = opened(page, lab_server, notebook(lab_server, "away/repo/b.ipynb", "1"))
    tab_of = panel.locator("[data-tab=runs]")
    tab_of.wait_for(timeout=SLOW)
    tab_of.click()
    row(panel, "run", "<b>bold</b>").wait_for(timeout=SLOW)

    os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    panel.get_by_text("The tracking server does not answer").wait_for(timeout=SLOW)
    assert row(panel, "run", "<b>bold</b>").is_visible()
    theme(page, "JupyterLab Dark High Contrast")
    page.add_script_tag(path=AXE)
    for name in ("runs", "features", "services"):
        tab(panel, name)
        serious(page)
    page.screenshot(path=SHOTS / "panel-away.png")

    yaml = folder / "feature_store.yaml"
    lines = yaml.read_text().splitlines()
    yaml.write_text("\n".join(line for line in lines if "mlflow" not in line))
    panel.get_by_text("MLflow is off for this repository").wait_for(timeout=SLOW)
    tab(panel, "features")
    assert row(panel, "view", "hourly").is_visible()
    assert panel.locator("[role=tab]").all_inner_texts() == ["Features", "Services", "Health"]
    tab(panel, "health")
    panel.get_by_role("button", name="Look now").wait_for()
    serious(page)
    tab(panel, "features")
    theme(page, "JupyterLab Light")
    serious(page)
    page.screenshot(path=SHOTS / "panel-off.png")


def test_a_worker_that_is_starting_is_said_and_waited_for(
    browser: Browser, tmp_path: Path, gate: Path
) -> None:
    """However long it imports Feast: a sentence, at once, and then the list by itself."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    SHOTS.mkdir(exist_ok=True)
    with served(tmp_path) as lab:
        make_repository(lab.root / "repo")
        (lab.root / "repo" / "a.txt").touch()
        page.goto(lab.tree("repo/a.txt"))
        page.wait_for_selector(".jp-FileEditor")
        command(page, "feast-nb:open-panel")
        panel = page.locator(".fnb-panel")
        panel.get_by_text("Starting…").wait_for(timeout=SLOW)
        page.add_script_tag(path=AXE)
        for name in ("Light", "Dark"):
            theme(page, f"JupyterLab {name}")
            serious(page)
            page.screenshot(path=SHOTS / f"panel-starting-{name.lower()}.png")
        (gate / "open").touch()
        row(panel, "view", "hourly").wait_for(timeout=SLOW)
        row(panel, "view", "hourly").locator(".fnb-caret").click()
        row(panel, "feature", "conv_rate").wait_for()
        for name in ("Dark", "Light"):
            theme(page, f"JupyterLab {name}")
            serious(page)
            page.screenshot(path=SHOTS / f"panel-list-{name.lower()}.png")
        page.close()


def serious(page: Page) -> None:
    """axe-core finds nothing serious in the panel."""
    found = page.evaluate("async () => (await axe.run('.fnb-panel')).violations")
    said = [
        (v["id"], [n["html"][:200] for n in v["nodes"]])
        for v in found
        if v["impact"] in ("serious", "critical")
    ]
    assert not said


BUSY = "while True:\n    pass"


def test_a_busy_kernel_changes_nothing(lab_server: Lab, page: Page) -> None:
    """While a cell computes, the panel is opened, searched and clicked through."""
    make_repository(lab_server.root / "busy" / "repo")
    path = notebook(lab_server, "busy/repo/c.ipynb", BUSY)
    page.goto(lab_server.tree(path))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell .cm-content")
    page.wait_for_function(IDLE, timeout=SLOW)
    command(page, "notebook:run-all-cells")
    prompt = page.locator(".jp-CodeCell .jp-InputPrompt").first
    page.wait_for_function(
        "() => document.querySelector('.jp-CodeCell .jp-InputPrompt').textContent.includes('*')"
    )
    command(page, "feast-nb:open-panel")
    panel = page.locator(".fnb-panel")
    row(panel, "view", "hourly").wait_for(timeout=SLOW)
    panel.get_by_label("Search").fill("conv_rate")
    row(panel, "feature", "conv_rate").click()
    panel.get_by_text("hourly:conv_rate").first.wait_for()

    assert "*" in prompt.inner_text()
    command(page, "notebook:interrupt-kernel")


def test_settings_are_followed(lab_server: Lab, page: Page) -> None:
    """Another repository, another interval, the address that links open: without a reload."""
    from mlflow import MlflowClient

    for name in ("one", "two"):
        folder = lab_server.root / "settings" / name
        make_repository(folder, project=name)
        api = MlflowClient(f"sqlite:///{folder}/mlflow.db")
        tags = {"feast.project": name, "feast.feature_refs": "hourly:trips"}
        api.set_terminated(api.create_run("0", tags=tags, run_name=f"run of {name}").info.run_id)
    panel = opened(page, lab_server, notebook(lab_server, "settings/one/e.ipynb", "1"))
    panel.locator("[data-tab=runs]").click(timeout=SLOW)
    row(panel, "run", "run of one").wait_for(timeout=SLOW)

    setting(page, "repository", "settings/two")
    row(panel, "run", "run of two").wait_for(timeout=SLOW)
    setting(page, "mlflowUrl", "https://mlflow.example.com/here/")
    row(panel, "run", "run of two").click()
    page.evaluate("() => { window.open = url => { window.asked_for = url; } }")
    panel.get_by_role("button", name="Open in MLflow").click()
    assert "https://mlflow.example.com/here/#/experiments/0/runs/" in page.evaluate(
        "() => window.asked_for"
    )

    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "api/catalog" in r.url else None)
    setting(page, "refreshInterval", "3600")
    page.wait_for_timeout(3_000)
    asked.clear()
    page.wait_for_timeout(11_000)
    assert not asked
    setting(page, "refreshInterval", "2")
    for _ in range(3):
        page.wait_for_event("request", lambda r: "api/catalog" in r.url, timeout=SLOW)
    for name, value in (("repository", ""), ("mlflowUrl", ""), ("refreshInterval", "10")):
        setting(page, name, value)


def setting(page: Page, name: str, value: str) -> None:
    """Set one of the panel's settings in the settings editor, which saves what is typed."""
    page.evaluate(
        "() => void window.jupyterapp.commands.execute('settingeditor:open', {query: 'Feast'})"
    )
    field = page.locator(f"[id='jp-SettingsEditor-feast-nb:panel_{name}']")
    with page.expect_response(lambda r: "api/settings/feast-nb" in r.url):
        field.fill(value)


def test_notebook_7_has_the_panel_too(browser: Browser, tmp_path: Path) -> None:
    """In its side bar; what a click draws opens below the notebook, with room to be looked at."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    with served(tmp_path, "notebook") as lab:
        make_repository(lab.root / "repo")
        path = notebook(lab, "repo/f.ipynb", "1")
        page.goto(f"{lab.url}/notebooks/{path}?token={TOKEN}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell .cm-content", timeout=SLOW)
        command(page, "feast-nb:open-panel")
        panel = page.locator(".fnb-panel")
        row(panel, "view", "hourly").click(timeout=SLOW)
        panel.get_by_role("button", name="Show lineage").click()
        drawing = page.locator(".fnb-main-area")
        drawing.locator("canvas[data-painted=yes]").wait_for(timeout=SLOW)
        page.wait_for_timeout(300)
        page.screenshot(path=SHOTS / "panel-notebook.png")
        box = drawing.bounding_box()
        page.close()

    assert box is not None
    assert box["height"] > 300
    # Notebook 7.6 itself: its shortcuts read a setting before it is loaded (without us, too).
    assert [e for e in errors if "reading 'schema'" not in e] == []


def test_thousands_of_features_scroll(lab_server: Lab, page: Page) -> None:
    """Of five thousand features a screenful is drawn; the last one is reached by a key."""
    from datetime import timedelta

    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Int64

    def define(repo: Path) -> list[object]:
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        source = FileSource(name="s", path=str(repo / "stats.parquet"),
                            timestamp_field="event_timestamp")  # fmt: skip
        views = [
            FeatureView(name=f"view_{n:03d}", entities=[driver], ttl=timedelta(days=1),
                        schema=[Field(name=f"x_{i}", dtype=Int64) for i in range(10)],
                        source=source, online=False)
            for n in range(500)
        ]  # fmt: skip
        return [driver, *views]

    make_repository(lab_server.root / "large" / "repo", define=define)
    page.set_viewport_size({"width": 900, "height": 700})
    panel = opened(page, lab_server, notebook(lab_server, "large/repo/d.ipynb", "1"))
    row(panel, "view", "view_000").wait_for(timeout=SLOW)
    panel.get_by_label("Search").fill("x_")
    row(panel, "feature", "x_0").wait_for()
    assert panel.locator(".fnb-row").count() < 100
    row(panel, "feature", "x_0").drag_to(page.locator(".jp-CodeCell .cm-content"))
    page.locator(".jp-CodeCell .cm-content", has_text='"view_000:x_0"').wait_for()
    panel.locator("[role=listbox]").focus()
    page.keyboard.press("End")
    row(panel, "feature", "x_9").wait_for()

    assert row(panel, "view", "view_499").is_visible()
    assert panel.locator(".fnb-row").count() < 100


def test_views_of_every_kind_are_in_the_panel_and_in_the_lineage(
    lab_server: Lab, page: Page
) -> None:
    """Label views, pinned versions and entity-less views are drawn as what they are."""
    import feast_nb

    repo = build(lab_server.root / "kinds" / "repo")
    session = feast_nb.open(repo)
    for kind in ("label", "pinned by a service", "on demand, pandas"):
        train(session, named(kind), ASKED[kind])
    assert session.recorder.flush()
    session.store.disable_feature_view("off")

    panel = opened(page, lab_server, notebook(lab_server, "kinds/repo/k.ipynb", "1"))
    for name in ("labels", "fx", "versioned", "streamed", "in_pandas", "off"):
        panel.get_by_label("Search").fill(name)
        row(panel, "view", name).wait_for(timeout=SLOW)
    panel.get_by_label("Search").fill("labels")
    row(panel, "view", "labels").click()
    panel.get_by_text("of_labels").first.wait_for(timeout=SLOW)
    page.screenshot(path=SHOTS / "panel-label.png")
    panel.get_by_role("button", name="Show lineage").click()
    page.wait_for_selector(".fnb-main-area canvas[data-painted=yes]", timeout=SLOW)
    page.screenshot(path=SHOTS / "lineage-label.png")
    tab(panel, "models")
    panel.get_by_label("Search").fill("pinned")
    row(panel, "model", "pinned").click()
    panel.get_by_text("unchanged since training").wait_for(timeout=SLOW)
    page.screenshot(path=SHOTS / "panel-pinned.png")
