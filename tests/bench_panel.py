"""The benchmarks of the side panel: a real JupyterLab on a large project, and what it costs.

Part of `make bench` (`python -m tests.bench panel`): 500 views of ten features, 10,000 runs, 2,000
models of three versions.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from . import mlflow_store as stores
from .browser.conftest import TOKEN, Lab, served
from .conftest import make_repository

Line = tuple[str, float, float]

SCROLL = """async seconds => {
  const list = document.querySelector('.fnb-list');
  let frames = 0;
  const begin = performance.now();
  while (performance.now() - begin < seconds * 1000) {
    list.scrollTop = (list.scrollTop + 400) % (list.scrollHeight - list.clientHeight);
    await new Promise(requestAnimationFrame);
    frames += 1;
  }
  return frames / seconds;
}"""


def panel() -> list[Line]:
    """What the panel costs the lab, and how long one waits for it."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        _project(home / "root")
        with served(home) as lab:
            _seconds(lab)  # reads MLflow for the first time
            while _ask(lab)[1]["tracking"]["state"] != "ready":
                time.sleep(1)
        with served(home) as lab:
            snapshot = _seconds(lab, {"Prefer": "wait=0"})
            cold = snapshot + _seconds(lab)
            time.sleep(2.5)
            warm = _seconds(lab)
            blocked = _blocked(lab)
            with sync_playwright() as playwright:
                path = shutil.which("chromium") or shutil.which("chromium-browser")
                browser = playwright.chromium.launch(executable_path=path)
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.goto(f"{lab.url}/lab?token={TOKEN}&reset")
                page.wait_for_function("() => window.jupyterapp?.started")
                page.wait_for_timeout(3000)
                measure = (
                    "() => performance.getEntriesByName('feast-nb:panel', 'measure')[0].duration"
                )
                activate = page.evaluate(measure) / 1000
                page.evaluate(
                    "() => void window.jupyterapp.commands.execute('feast-nb:open-panel')"
                )
                page.wait_for_selector(".fnb-panel .fnb-row", timeout=60_000)
                page.locator(".fnb-search input").fill("f")
                page.wait_for_timeout(500)
                features = page.evaluate(SCROLL, 2)
                page.locator(".fnb-search input").fill("")
                page.locator("[data-tab=models]").click()
                page.locator(".fnb-row-model").first.wait_for(timeout=60_000)
                page.wait_for_timeout(500)
                models = page.evaluate(SCROLL, 2)
                browser.close()
    return [
        ("activation of the panel in the lab, seconds", activate, 0.03),
        ("the panel's first content, from the disk, seconds", snapshot, 1.0),
        ("fresh content, the worker started for it, seconds", cold, 10.0),
        ("fresh content, warm, seconds", warm, 2.0),
        ("longest wait for another route of the server meanwhile, seconds", blocked, 0.05),
        (f"30 frames/s beside scrolling 5,000 features ({features:.0f})", 30 / features, 1.0),
        (f"30 frames/s beside scrolling 2,000 models ({models:.0f})", 30 / models, 1.0),
    ]


def _project(root: Path) -> None:
    from datetime import timedelta

    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64

    def define(repo: Path) -> list[Any]:
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        source = FileSource(name="stats", path=str(repo / "stats.parquet"),
                            timestamp_field="event_timestamp")  # fmt: skip
        views = [
            FeatureView(name=view.name, entities=[driver], ttl=timedelta(days=1), source=source,
                        schema=[Field(name=f, dtype=Float64) for f in view.features], online=False)
            for view in stores.catalog().views.values()
        ]  # fmt: skip
        services = [
            FeatureService(name=f"service_{n}", features=views[2 * n : 2 * n + 2])
            for n in range(250)
        ]
        return [driver, *views, *services]

    folder = root / "repo"
    uri = stores.make(root.parent / "mlflow.db", 10_000, models=2000, versions=3)
    make_repository(folder, project=stores.PROJECT, define=define, tracking_uri=uri)


def _ask(lab: Lab, headers: dict[str, str] | None = None, route: str = "catalog") -> Any:
    url = f"{lab.url}/feast-nb/api/{route}?token={TOKEN}"
    while True:
        with urlopen(Request(url, headers=headers or {}), timeout=120) as answer:
            if answer.status != 202:
                return answer.headers, json.loads(answer.read())
        time.sleep(0.05)  # the worker is starting


def _seconds(lab: Lab, headers: dict[str, str] | None = None) -> float:
    begin = time.perf_counter()
    _ask(lab, headers)
    return time.perf_counter() - begin


def _blocked(lab: Lab) -> float:
    """The longest answer of a route that has nothing to do, while all of ours are asked."""
    routes = ("catalog", "lineage", "operations", "mlflow-runs", "mlflow-feature-usage",
              "mlflow-feature-models")  # fmt: skip
    asking = [threading.Thread(target=_ask, args=(lab, None, route)) for route in routes]
    url, longest = f"{lab.url}/api?token={TOKEN}", 0.0
    for _ in range(5):
        urlopen(url).read()
    for thread in asking:
        thread.start()
    while any(thread.is_alive() for thread in asking):
        begin = time.perf_counter()
        urlopen(url).read()
        longest = max(longest, time.perf_counter() - begin)
        time.sleep(0.01)
    return longest
