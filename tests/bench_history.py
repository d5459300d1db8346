"""The benchmarks of histories, usage and lineage: on large stores behind a real MLflow server.

Part of `make bench` (`python -m tests.bench past`); a hundred thousand runs take minutes, and are
asked for: `python -m tests.bench past_100k`.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import mlflow_store as stores
from .conftest import answers, free_port, wait_for

Line = tuple[str, float, float]


def past() -> list[Line]:
    """Ten thousand runs."""
    return _lines(10_000, 0.2, 2.0)


def past_100k() -> list[Line]:
    """A hundred thousand runs."""
    return _lines(100_000, 1.0, 2.0)


def drawing() -> list[Line]:
    """The layout of a large graph, and what a saved output weighs."""
    import json

    from feast_nb.display import bundle
    from feast_nb.lineage import layout

    _large(100)
    large, middling = _large(5000, 7500), _large(300, 450)
    layout.layout(_large(10))
    seconds = _seconds(lambda: layout.layout(large))
    size = len(json.dumps(bundle(layout.layout(middling)), ensure_ascii=False).encode()) / 1000
    return [
        ("layout of 5,000 nodes and 7,500 edges, seconds", seconds, 1.0),
        ("saved output of a 300-node lineage, kB", size, 400),
    ]


PAINT = """async ([source, graph]) => {
  const address = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const { default: widget } = await import(address);
  const el = document.createElement('div');
  document.body.append(el);
  const model = { get: name => (name === 'graph' ? graph : ''), on() {}, off() {} };
  const begin = performance.now();
  widget.render({ model, el });
  const canvas = el.querySelector('canvas');
  while (!canvas.dataset.painted) {
    await new Promise(requestAnimationFrame);
  }
  const painted = (performance.now() - begin) / 1000;
  const at = (kind, x) => (kind === 'pointerdown' ? canvas : window).dispatchEvent(
    new PointerEvent(kind, { clientX: x, clientY: 60, buttons: 1, bubbles: true }));
  at('pointerdown', 100);
  let frames = 0;
  const end = performance.now() + 2000;
  while (performance.now() < end) {
    at('pointermove', 100 + 80 * Math.sin(frames / 10));
    await new Promise(requestAnimationFrame);
    frames += 1;
  }
  return [painted, frames / 2];
}"""


def painting() -> list[Line]:
    """The drawing that moves, in Chromium: its first picture, and frames a second while panned."""
    import shutil

    from playwright.sync_api import sync_playwright

    from feast_nb.lineage import layout

    root = Path(__file__).parents[1]
    source = (root / "feast_nb" / "static" / "lineage.js").read_text()
    lines: list[Line] = []
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path)
        for count, slowest in ((1000, 30.0), (5000, 10.0)):
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            graph = layout.layout(_large(count, count * 3 // 2)).to_dict()
            painted, frames = page.evaluate(PAINT, [source, graph])
            lines.append((f"first picture of {count:,} nodes, seconds", painted, 1.0))
            what = f"{slowest:g} frames/s beside panning {count:,} nodes ({frames:.0f})"
            lines.append((what, slowest / frames, 1.0))
            page.close()
        browser.close()
    return lines


def _large(count: int, edges: int = 0) -> Any:
    import random

    from feast_nb.records.lineage import Lineage, Node

    draw = random.Random(1)
    layers = [draw.randrange(8) for _ in range(count)]
    kinds = ("source", "entity", "view", "view", "service", "run", "model", "prediction")
    nodes = tuple(
        Node(f"{kinds[layer]}:{i}", kinds[layer], f"driver_hourly_stats_{i}", "on-demand",
             details={"features": "conv_rate, acc_rate", "owner": "rides@example.com"}, layer=layer)
        for i, layer in enumerate(layers)
    )  # fmt: skip
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < edges:
        a, b = draw.randrange(count), draw.randrange(count)
        if layers[a] < layers[b]:
            pairs.add((a, b))
    return Lineage("p", "large", nodes, tuple(sorted(pairs)))


@contextmanager
def _server(runs: int) -> Iterator[tuple[str, Path]]:
    """A store of that many runs behind `mlflow server`: its address, and a folder."""
    with tempfile.TemporaryDirectory() as folder:
        uri = stores.make(Path(folder) / "mlflow.db", runs)
        port = free_port()
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
                   "--port", str(port), "--backend-store-uri", uri]  # fmt: skip
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen(command, cwd=folder, start_new_session=True, **quiet)
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"), 90, "the server")
            yield f"http://127.0.0.1:{port}", Path(folder)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def _lines(runs: int, warm: float, refresh: float) -> list[Line]:
    from feast_nb.history import History
    from feast_nb.integrations.mlflow.pages import Pages

    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    with _server(runs) as (url, folder):
        _read_bare(url, 1)  # the first requests to a fresh server take seconds
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        history = History(folder / "history.sqlite")
        first = _seconds(lambda: history.refresh(Pages(url, None, stores.PROJECT)))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
        bare = _seconds(lambda: _read_bare(url))
        idle = Pages(url, None, stores.PROJECT)
        nothing = _seconds(lambda: history.refresh(idle))
        stores.more(url, 10)
        ten = _seconds(lambda: history.refresh(Pages(url, None, stores.PROJECT)))
        asked = _questions(history)
        history.close()
    which = f"at {runs:,} runs"
    lines: list[Line] = [
        (f"first copy beside bare paged reading, {which} ({first:.0f} s)", first / bare, 1.0),
        (f"memory that a first copy takes, MB, {which}", grown, 400),
        (f"requests of a refresh with nothing new ({nothing:.1f} s)", idle.requests, 8),
        (f"refresh after 10 new runs, seconds, {which}", ten, refresh),
    ]
    for what, seconds in asked.items():
        lines.append((f"{what}, warm, seconds, {which}", seconds, warm))
        lines.append((f"100 times {what} beside bare reading, {which}", 100 * seconds / bare, 1.0))
    return lines


def _questions(history: Any) -> dict[str, float]:
    """How long the answers take from the copy, the registry's part included."""
    from feast_nb.history import queries
    from feast_nb.lineage import graph, layout, usage
    from feast_nb.lineage.impact import impact
    from feast_nb.lineage.state import ProjectState, trimmed

    def known() -> ProjectState:
        groups = queries.groups(history, stretch=7 * queries.DAY)
        return ProjectState(stores.catalog(), groups, queries.models(history, groups))

    def use() -> None:
        past = known()
        usage.build(past.catalog, past.groups, past.models, days=7, now=stores.NOW)

    def lineage() -> None:
        layout.layout(trimmed(graph.build(known(), [("model", "model_7/3")]), None, None))

    ways: dict[str, Callable[[], object]] = {
        "usage of everything": use,
        "lineage of one model": lineage,
        "impact of one view": lambda: impact(known(), "view", "view_14"),
    }
    for ask in ways.values():
        ask()  # libraries are imported once
    return {what: min(_seconds(ask) for _ in range(3)) for what, ask in ways.items()}


def _read_bare(url: str, pages: int | None = None) -> int:
    """What anyone would write: every run, page by page, through the client."""
    from mlflow import MlflowClient

    api = MlflowClient(url)
    experiments = [e.experiment_id for e in api.search_experiments()]
    count, token = 0, None
    while True:
        page = api.search_runs(experiments, max_results=1000, page_token=token)
        count += len(page)
        token = page.token
        if not token or count // 1000 == pages:
            return count


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
