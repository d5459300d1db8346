"""The same notebook in JupyterLab's server, under nbclient, papermill and nbmake, and as a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import nbformat
import pytest

from feast_nb.notebook.cells import text_digest

from ..conftest import answers, free_port, read_json, wait_for

pytestmark = pytest.mark.slow

CELLS = [
    "%load_ext feast_nb",
    "store = %feast_store {repo}",
    "import pandas as pd\n"
    "at = pd.Timestamp('2024-01-05', tz='UTC')\n"
    "drivers = pd.DataFrame({{'driver_id': [1, 2], 'event_timestamp': [at] * 2, 'y': [0, 1]}})",
    "df = store.get_historical_features(drivers, store.get_feature_service('rates')).to_df()",
    "train = df.merge(pd.DataFrame({{'driver_id': [1, 2], 'extra': [5, 6]}}))",
    "import mlflow\nmlflow.set_tracking_uri(store.config.mlflow.get_tracking_uri())\n"
    "run = mlflow.start_run()",
    "password = 'hunter2'\nmlflow.log_metric('mean', train['conv_rate'].mean())",
    "mlflow.end_run()",
]


def notebook(path: Path, repo: Path) -> list[str]:
    sources = [text.format(repo=repo) for text in CELLS]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, path)
    return sources


def in_nbclient(path: Path) -> None:
    code = (
        "import sys, nbformat, nbclient\n"
        "book = nbformat.read(sys.argv[1], as_version=4)\n"
        "nbclient.NotebookClient(book, timeout=600).execute()"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=path.parent)


def in_papermill(path: Path) -> None:
    command = [sys.executable, "-m", "papermill", str(path), str(path.parent / "out.ipynb")]
    subprocess.run([*command, "-k", "python3"], check=True, capture_output=True, cwd=path.parent)


def in_nbmake(path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbmake", path.name]
    subprocess.run(command, check=True, capture_output=True, cwd=path.parent)


def in_jupyter(path: Path) -> None:
    """A session of a real Jupyter server; cells are sent with their ids, as JupyterLab does."""
    port = free_port()
    command = [sys.executable, "-m", "jupyter_server", f"--port={port}", "--ip=127.0.0.1",
               "--ServerApp.token=t", "--no-browser", "--allow-root",
               f"--ServerApp.root_dir={path.parent}"]  # fmt: skip
    log = path.parent / "server.log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, cwd=path.parent)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{url}/api?token=t"), 60, f"Jupyter: {log}")
        body = {"path": path.name, "name": path.name, "type": "notebook",
                "kernel": {"name": "python3"}}  # fmt: skip
        request = Request(f"{url}/api/sessions?token=t", json.dumps(body).encode())
        kernel = json.load(urlopen(request))["kernel"]["id"]
        execute(f"ws://127.0.0.1:{port}/api/kernels/{kernel}/channels?token=t", path)
    finally:
        server.terminate()
        server.wait(timeout=60)


SENDS = "from feast_nb import recorder; assert recorder.current().flush(seconds=60)"


def execute(address: str, path: Path) -> None:
    import websocket

    channel = websocket.create_connection(address, timeout=600)
    cells = nbformat.read(path, as_version=4).cells
    # A kernel that is ended before all is sent keeps the rest for the next one.
    for cell in [*cells, nbformat.v4.new_code_cell(SENDS)]:
        sent = uuid.uuid4().hex
        header = {"msg_id": sent, "msg_type": "execute_request", "username": "", "session": "s",
                  "date": "", "version": "5.3"}  # fmt: skip
        content = {"code": cell.source, "silent": False, "store_history": True,
                   "user_expressions": {}, "allow_stdin": False, "stop_on_error": True}  # fmt: skip
        message = {"header": header, "parent_header": {}, "metadata": {"cellId": cell.id},
                   "content": content, "channel": "shell"}  # fmt: skip
        channel.send(json.dumps(message))
        while True:
            answer = json.loads(channel.recv())
            if answer["parent_header"].get("msg_id") != sent:
                continue
            assert answer["msg_type"] != "error", answer["content"]
            idle = answer["content"].get("execution_state") == "idle"
            if answer["msg_type"] == "status" and idle:
                break
    channel.close()


@pytest.mark.parametrize("launch", [in_jupyter, in_nbclient, in_papermill, in_nbmake])
def test_a_notebook_is_recorded_the_same_in_every_launcher(
    repo, tmp_path, client, launch: Callable[[Path], None], monkeypatch
) -> None:
    """Retrieved in one cell, joined in the next, trained in a plain MLflow run in a third."""
    folder = tmp_path / "book"
    folder.mkdir()
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    path = folder / "rates.ipynb"
    sources = notebook(path, repo)
    launch(path)

    (run,) = (r for e in client.search_experiments() for r in client.search_runs([e.experiment_id]))
    assert run.info.status == "FINISHED"
    tags = run.data.tags
    assert Path(tags["mlflow.source.name"]).name == "rates.ipynb"
    assert tags["mlflow.source.type"] == "NOTEBOOK"
    assert Path(tags["feast_nb.notebook"]).name == "rates.ipynb"
    assert tags["feast.feature_service"] == "rates"
    (kept,) = read_json(client, run.info.run_id, "feast/retrievals.json")["retrievals"]
    assert (kept["linked_by"], kept["cell"]["number"], kept["state"]) == ("name", 4, "ran")
    assert kept["entity"]["artifact"] == "entity_df.parquet"
    assert kept["origin"] is None
    cells = read_json(client, run.info.run_id, "feast/cells.ipynb")["cells"]
    texts = [c["source"] for c in cells]
    assert texts == [*sources[:6], sources[6].replace("hunter2", "…"), sources[7]]
    origin = read_json(client, run.info.run_id, "feast/notebook.json")
    assert "feast" in origin["packages"]
    assert origin["cautions"] == []
    assert not list(Path(os.environ["FEAST_NB_STATE"]).glob("outbox/*.jsonl"))
    assert not list(Path(os.environ["FEAST_NB_STATE"]).glob("spool/*.ipynb"))


SCRIPT = """
import sys, warnings
import pandas as pd
import mlflow
import feast_nb

session = feast_nb.open(sys.argv[1])
store = session.store
mlflow.set_tracking_uri(session.runs.uri)
drivers = pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [pd.Timestamp("2024-01-05", tz="UTC")] * 2,
                        "y": [0, 1]})
with mlflow.start_run():
    df = store.get_historical_features(drivers, store.get_feature_service("rates")).to_df()
    mlflow.log_metric("mean", df["conv_rate"].mean())
"""


def test_a_script_is_recorded_too(repo, tmp_path, client) -> None:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    subprocess.run([sys.executable, str(path), str(repo)], check=True, cwd=tmp_path)

    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.source.name"] == str(path)
    assert run.data.tags["feast.feature_service"] == "rates"
    (kept,) = read_json(client, run.info.run_id, "feast/retrievals.json")["retrievals"]
    assert (kept["linked_by"], kept["state"], kept["result"]["rows"]) == (None, "ran", 2)


PROCESSES = """
import sys
from joblib import Parallel, delayed
import mlflow
import feast_nb

def look_up(repo, uri, run_id, driver):
    store = feast_nb.open(repo).store  # a process of its own records for itself
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_id=run_id):
        return store.get_online_features(["hourly:trips"], [{"driver_id": driver}]).to_dict()

if __name__ == "__main__":
    session = feast_nb.open(sys.argv[1])
    with session.run("parent"):
        with mlflow.start_run(nested=True) as child:
            pass
        Parallel(n_jobs=2)(
            delayed(look_up)(sys.argv[1], session.runs.uri, child.info.run_id, n) for n in (1, 1)
        )
"""


def test_worker_processes_open_the_repository_themselves(repo, tmp_path, client) -> None:
    path = tmp_path / "work.py"
    path.write_text(PROCESSES)
    subprocess.run([sys.executable, str(path), str(repo)], check=True, cwd=tmp_path)

    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    (child,) = (r for r in runs if "mlflow.parentRunId" in r.data.tags)
    found: dict[str, Any] = read_json(client, child.info.run_id, "feast/retrievals.json")
    assert {tuple(r["refs"]) for r in found["retrievals"]} == {("hourly:trips",)}


RETRIEVES = (
    "df = store.get_historical_features(drivers, store.get_feature_service('{service}')).to_df()"
)


def test_a_subshells_cell_is_its_own_and_no_part_of_the_main_shells_run(
    repo, tmp_path, client
) -> None:
    """JupyterLab 4.4: a cell can run beside a training that is under way."""
    from jupyter_client.manager import start_new_kernel

    manager, kernel = start_new_kernel(kernel_name="python3", cwd=str(tmp_path))
    try:
        for text in CELLS[:3]:
            run_in(kernel, text.format(repo=repo))
        run_in(kernel, "import mlflow, threading, time\nfrom pathlib import Path")
        kernel.control_channel.send(kernel.session.msg("create_subshell_request", {}))
        reply = kernel.get_control_msg(timeout=60)
        subshell = reply["content"]["subshell_id"]
        begun, done = tmp_path / "begun", tmp_path / "done"
        training = (
            "%%feast_train main --service rates --entity-df drivers\n"
            f"Path({str(begun)!r}).write_text('')\n"
            f"while not Path({str(done)!r}).exists(): time.sleep(0.05)\n"
            + RETRIEVES.format(service="activity")
        )
        main = send(kernel, training)
        beside = send(
            kernel,
            f"while not Path({str(begun)!r}).exists(): time.sleep(0.05)\n"
            "store.get_online_features(['hourly:trips'], [{'driver_id': 1}]).to_df()"
            + f"\nPath({str(done)!r}).write_text('')",
            subshell,
        )
        for sent in (beside, main):
            answered(kernel, sent)
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel()

    (run,) = (r for e in client.search_experiments() for r in client.search_runs([e.experiment_id]))
    kept = read_json(client, run.info.run_id, "feast/retrievals.json")["retrievals"]
    assert {r["service"] for r in kept} == {"rates", "activity"}
    assert {r["cell"]["digest"] for r in kept} == {text_digest(training)}


def run_in(kernel: Any, text: str) -> None:
    reply = kernel.execute_interactive(text, timeout=120, output_hook=lambda _: None)
    assert reply["content"]["status"] == "ok", reply["content"]


def send(kernel: Any, text: str, subshell: str | None = None) -> str:
    content = {"code": text, "silent": False, "store_history": True, "user_expressions": {},
               "allow_stdin": False, "stop_on_error": True}  # fmt: skip
    message = kernel.session.msg("execute_request", content)
    message["header"]["subshell_id"] = subshell
    kernel.shell_channel.send(message)
    return str(message["header"]["msg_id"])


_answers: dict[str, Any] = {}


def answered(kernel: Any, sent: str) -> None:
    """Wait for a cell's reply; those of another that came before are kept."""
    while sent not in _answers:
        reply = kernel.get_shell_msg(timeout=120)
        _answers[reply["parent_header"]["msg_id"]] = reply["content"]
    assert _answers[sent]["status"] == "ok", _answers[sent]


def test_several_notebooks_on_a_command_line_have_each_its_own_runs(repo, tmp_path, client) -> None:
    """`nbconvert --execute a.ipynb b.ipynb`: the cell says which one it is."""
    for name in ("a", "b"):
        cells = [CELLS[0], *(t.format(repo=repo) for t in CELLS[1:3]), f"name = {name!r}",
                 "with store.mlflow.start_run(run_name=name):\n    "
                 + RETRIEVES.format(service="rates")]  # fmt: skip
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(book, tmp_path / f"{name}.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "notebook",
               "--output-dir=out", "a.ipynb", "b.ipynb"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)

    runs = [r for e in client.search_experiments() for r in client.search_runs([e.experiment_id])]
    assert {r.info.run_name: Path(r.data.tags["feast_nb.notebook"]).name for r in runs} == {
        "a": "a.ipynb", "b": "b.ipynb",
    }  # fmt: skip
    assert {r.data.tags["mlflow.source.name"] for r in runs} == {
        str((tmp_path / n).resolve()) for n in ("a.ipynb", "b.ipynb")
    }


def test_the_cell_that_loads_the_extension_is_the_first(repo, tmp_path, client) -> None:
    text = "\n".join([*CELLS[:3], "with store.mlflow.start_run():",
                      "    " + RETRIEVES.format(service="rates")]).format(repo=repo)  # fmt: skip
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, tmp_path / "whole.ipynb")
    in_nbclient(tmp_path / "whole.ipynb")

    (run,) = (r for e in client.search_experiments() for r in client.search_runs([e.experiment_id]))
    assert Path(run.data.tags["feast_nb.notebook"]).name == "whole.ipynb"
    assert run.data.tags["feast_nb.cell"] == "1"


def test_a_home_that_cannot_be_written_is_told_in_a_line_and_recording_goes_on(
    repo, tmp_path, client
) -> None:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    env = {**os.environ, "FEAST_NB_STATE": f"{nowhere}/s", "FEAST_NB_CACHE": f"{nowhere}/c"}
    done = subprocess.run([sys.executable, str(path), str(repo)], check=True, cwd=tmp_path,
                          env=env, capture_output=True, text=True)  # fmt: skip

    said = [line for line in done.stderr.splitlines() if "cannot be written" in line]
    assert len(said) == 1
    assert "Set FEAST_NB_STATE and FEAST_NB_CACHE to a folder that can." in said[0]
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.data.tags["feast.feature_service"] == "rates"
    origin = read_json(client, run.info.run_id, "feast/notebook.json")
    assert origin["notebook"] is None
    assert "feast" in origin["packages"]


def test_a_consoles_runs_are_of_no_notebook(repo, tmp_path, client, monkeypatch) -> None:
    """Though a notebook in its folder holds the very cells that were typed."""
    folder = tmp_path / "book"
    folder.mkdir()
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    typed = [*(text.format(repo=repo) for text in (CELLS[0], CELLS[1])),
             "import pandas as pd", "at = [pd.Timestamp('2024-01-05', tz='UTC')] * 2",
             "drivers = pd.DataFrame({'driver_id': [1, 2], 'event_timestamp': at, 'y': [0, 1]})",
             f"with store.mlflow.start_run(): {RETRIEVES.format(service='rates')}"]  # fmt: skip
    cells = [nbformat.v4.new_code_cell(text) for text in typed]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "alike.ipynb")
    command = [sys.executable, "-m", "jupyter_console", "--simple-prompt"]
    subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder,
                   input="\n".join([*typed, "", "exit", ""]))  # fmt: skip

    (run,) = (r for e in client.search_experiments() for r in client.search_runs([e.experiment_id]))
    assert run.data.tags["mlflow.source.name"] == "Jupyter console"
    assert run.data.tags["mlflow.source.type"] == "LOCAL"
    assert "feast_nb.notebook" not in run.data.tags
    assert run.data.tags["feast_nb.cell"] == str(len(typed))
    assert read_json(client, run.info.run_id, "feast/notebook.json")["notebook"] is None
