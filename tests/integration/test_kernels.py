"""Real kernels: nbclient, papermill, an interrupt, a notebook that says its name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from ..conftest import read_json

HEAD = [
    "%load_ext feast_nb",
    "store = %feast_store {repo}",
    "import pandas as pd\n"
    "drivers = pd.DataFrame({{'driver_id': [1, 2], 'event_timestamp': "
    "[pd.Timestamp('2024-01-05', tz='UTC')] * 2}})",
]


def write(path: Path, repo: Path, *cells: str) -> Path:
    sources = [text.format(repo=repo) for text in HEAD] + list(cells)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)
    return path


def run_all(path: Path):
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}
    )
    return client, notebook


TRAIN = "%%feast_train v1 --features hourly:trips --entity-df drivers\n"


FAILING = [
    (TRAIN + "1/0", "ZeroDivisionError"),
    (TRAIN + "x = (", "SyntaxError"),
    ("%%feast_run v1\n1/0", "ZeroDivisionError"),
    ("%%feast_train v1 --servce x\n1", "UsageError"),
    ("%%feast_train v1 --service nosuch --entity-df drivers\n1", "FeatureError"),
    ("%feast_log nothing", "ModelError"),
]


def test_run_all_stops_at_a_cell_that_fails_and_shows_one_error(repo, tmp_path) -> None:
    cell, name = FAILING[0]
    path = write(tmp_path / "a.ipynb", repo, cell, "after = 'went on'\nprint(after)")
    client, notebook = run_all(path)

    with pytest.raises(CellExecutionError):
        client.execute()
    failed, after = notebook.cells[3], notebook.cells[4]
    errors = [o for o in failed.outputs if o.output_type == "error"]
    assert [e.ename for e in errors] == [name]
    assert after.outputs == []


def test_every_cell_that_fails_is_an_error_to_its_kernel_and_shown_once(repo) -> None:
    """By the reply a front end stops; by the messages it shows the error. All in one kernel."""
    manager, kernel = start_new_kernel(kernel_name="python3")
    try:
        for text in HEAD:
            kernel.execute_interactive(text.format(repo=repo), timeout=600)
        for cell, name in FAILING:
            shown: list[str] = []

            def keep(message: dict[str, Any], shown: list[str] = shown) -> None:
                if message["msg_type"] == "error":
                    shown.append(message["content"]["ename"])

            reply = kernel.execute_interactive(cell, timeout=600, output_hook=keep)
            content = reply["content"]
            assert (content["status"], content["ename"], shown) == ("error", name, [name]), cell
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)


def test_papermill_stops_too_and_the_run_names_the_notebook(repo, tmp_path, client) -> None:
    path = write(tmp_path / "flights.ipynb", repo, "%%feast_run v1\n1/0", "print('went on')")
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", str(path), str(out), "-k", "python3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stderr
    assert nbformat.read(out, as_version=4).cells[-1].outputs == []
    (run,) = client.search_runs(["1"])
    assert run.info.status == "FAILED"
    assert run.data.tags["mlflow.source.name"] == str(path)
    assert run.data.tags["mlflow.source.type"] == "NOTEBOOK"


def test_headless_the_notebook_is_the_only_one_that_holds_the_cell(repo, tmp_path, client) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    path = write(folder / "mine.ipynb", repo, TRAIN + "mine = 1")
    write(folder / "other.ipynb", repo, "other = 1")
    runner, _ = run_all(path)
    runner.execute()

    (run,) = client.search_runs(["1"])
    assert run.data.tags["feast_nb.notebook"] == str(path)
    (kept,) = read_json(client, run.info.run_id, "feast/retrievals.json")["retrievals"]
    assert kept["cell"]["number"] == 4


def test_a_kernel_interrupt_kills_the_run_and_the_kernel_goes_on(repo, client) -> None:
    manager, kernel = start_new_kernel(kernel_name="python3")
    try:
        for text in HEAD:
            kernel.execute_interactive(text.format(repo=repo), timeout=600)
        sent = kernel.execute(TRAIN + "print('waiting')\nimport time\ntime.sleep(600)")
        errors = []
        while True:
            message = kernel.get_iopub_msg(timeout=600)
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream" and "waiting" in content["text"]:
                manager.interrupt_kernel()
            elif kind == "error":
                errors.append(content["ename"])
            elif kind == "status" and content["execution_state"] == "idle":
                break
        reply = kernel.execute_interactive(TRAIN + "again = 1", timeout=600)
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)

    assert errors == ["KeyboardInterrupt"]
    assert reply["content"]["status"] == "ok"
    assert {r.info.status for r in client.search_runs(["1"])} == {"KILLED", "FINISHED"}


def test_a_summary_lasts_as_html_text_and_our_own_mime_type(repo, tmp_path) -> None:
    runner, notebook = run_all(write(tmp_path / "a.ipynb", repo, TRAIN + "x = 1"))
    runner.execute()

    (output,) = [o for o in notebook.cells[3].outputs if o.output_type != "stream"]
    assert set(output.data) == {"application/vnd.feast-nb.v1+json", "text/html", "text/plain"}
    assert output.data["application/vnd.feast-nb.v1+json"]["kind"] == "training"
    assert "hourly:trips" in output.data["text/html"]
    assert "<script" not in output.data["text/html"]


def test_a_look_shows_its_lines_as_they_come_and_then_the_whole_once(repo) -> None:
    """The place in which they came is empty afterwards: a saved notebook has one table."""
    manager, kernel = start_new_kernel(kernel_name="python3")
    seen: list[tuple[str, dict[str, Any]]] = []

    def keep(message: dict[str, Any]) -> None:
        if message["msg_type"] in ("display_data", "update_display_data", "execute_result"):
            seen.append((message["msg_type"], message["content"]["data"]))

    try:
        for text in HEAD[:2]:
            kernel.execute_interactive(text.format(repo=repo), timeout=600)
        reply = kernel.execute_interactive(
            "%feast_health --seconds 60", timeout=600, output_hook=keep
        )
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok"
    first, *updates, result = seen
    assert first == ("display_data", {"text/plain": "looking …"})
    assert result[0] == "execute_result"
    lines = [data["text/plain"].count("\n  ") for _, data in updates]
    assert len(updates) >= 4
    assert lines[0] < lines[-2]
    assert updates[-1] == ("update_display_data", {"text/plain": ""})
