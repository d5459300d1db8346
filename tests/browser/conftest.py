"""A real JupyterLab and a real browser, for tests of what a user sees."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

TOKEN = "t"
START_SECONDS = 300
SLOW = 240_000  # a worker and a kernel import Feast and MLflow, on two cores that others use too

# News would open a pop-up over the page; the lab asks for it over the network.
NO_NEWS = '{"fetchNews": "false", "checkForUpdates": false}'


class Lab(NamedTuple):
    """A running JupyterLab: where it answers, and the folder it serves."""

    url: str
    root: Path

    def tree(self, path: str) -> str:
        """The address that opens `path` in a workspace of its own."""
        return f"{self.url}/lab/tree/{path}?token={TOKEN}&reset"


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab from the Python under test, apart from the user's own settings."""
    with served(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@contextmanager
def served(home: Path, app: str = "jupyterlab") -> Iterator[Lab]:
    """JupyterLab or Notebook (`notebook`) on the folder `root` of a home of its own."""
    root = home / "root"
    root.mkdir(exist_ok=True)
    news = home / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    news.parent.mkdir(parents=True, exist_ok=True)
    news.write_text(NO_NEWS)
    lab = Lab(f"http://127.0.0.1:{_free_port()}", root)
    log = home / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            _command(lab, app), cwd=root, env=_environment(home), stdout=output, stderr=output
        )
    try:
        _wait(lab, server, log)
        yield lab
    finally:
        server.terminate()
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's Chromium; playwright's own download is not needed."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "the browser tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page; the test fails if anything it opened complained."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(SLOW)
    complaints: list[str] = []
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type == "error" else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    # Read before closing: closing cancels requests, which the console reports.
    seen = list(complaints)
    page.close()
    assert not seen, f"the browser's console has errors: {seen}"


def _command(lab: Lab, app: str) -> list[str]:
    name = {"jupyterlab": "LabApp", "notebook": "JupyterNotebookApp"}[app]
    port = lab.url.rpartition(":")[2]
    return [
        *(sys.executable, "-m", app, "--no-browser", "--allow-root"),
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        # Another port than the one waited for would be a silent half minute.
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={lab.root}",
        f"--IdentityProvider.token={TOKEN}",
        # window.jupyterapp, through which tests execute commands
        f"--{name}.expose_app_in_browser=True",
    ]


def _environment(home: Path) -> dict[str, str]:
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "FEAST_NB_CACHE": "cache",
        "FEAST_NB_STATE": "state",
    }
    return {
        **os.environ,
        **{name: str(home / folder) for name, folder in folders.items()},
    }


def _wait(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(f"{lab.url}/api/status?token={TOKEN}", timeout=5):
                return
        except (URLError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-4000:]}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
