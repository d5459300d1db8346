"""Records reach MLflow, late where it must be: killed kernels, servers that are away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from feast_nb.errors import Warned

from ..conftest import artifacts, free_port, make_repository, read_json, records_of, wait_for

SCRIPT = """
import os, signal, sys
import pandas as pd
import feast_nb

session = feast_nb.open({repo!r})
drivers = pd.DataFrame({{"driver_id": [1, 2], "event_timestamp": [pd.Timestamp("2024-01-05", tz="UTC")] * 2}})
run = session.runs.start("doomed")
{body}
print(run.ref.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(repo: Path, body: str) -> str:
    """Run a process that is killed right after `body`; the id of its run."""
    code = SCRIPT.format(repo=str(repo), body=body)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_what_a_killed_process_recorded_is_delivered_by_the_next(repo, client) -> None:
    run_id = killed(
        repo, "session.store.get_historical_features(drivers, ['hourly:trips']).to_df()"
    )
    import feast_nb

    session = feast_nb.open(repo)
    assert session.recorder.flush()

    (kept,) = read_json(client, run_id, "feast/retrievals.json")["retrievals"]
    assert (kept["refs"], kept["state"]) == (["hourly:trips"], "ran")
    assert client.get_run(run_id).data.tags["feast.feature_refs"] == "hourly:trips"
    session.recorder.outbox.close()
    assert not list(session.recorder.outbox.folder.glob("*.jsonl"))


def test_a_job_that_never_ran_is_recorded_as_just_that(repo, client) -> None:
    run_id = killed(repo, "session.store.get_historical_features(drivers, ['hourly:trips'])")
    import feast_nb

    assert feast_nb.open(repo).recorder.flush()
    (kept,) = read_json(client, run_id, "feast/retrievals.json")["retrievals"]
    assert (kept["state"], kept["result"]) == ("submitted", None)
    assert "feast.feature_refs" not in client.get_run(run_id).data.tags


IN_START = """
import os, signal, sys
import feast_nb
from mlflow import MlflowClient

session = feast_nb.open(sys.argv[1])
create = MlflowClient.create_run

def dies(*args, **kwargs):
    run = create(*args, **kwargs)
    print(run.info.run_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

MlflowClient.create_run = dies
session.runs.start("unknown")
"""


def test_a_run_whose_process_died_before_it_knew_of_it_is_ended(repo, client) -> None:
    """MLflow says RUNNING before its answer is here: a slow server, a kernel that is restarted."""
    code = [sys.executable, "-W", "ignore", "-c", IN_START, str(repo)]
    done = subprocess.run(code, capture_output=True, text=True)
    run_id = done.stdout.split()[-1]
    assert client.get_run(run_id).info.status == "RUNNING"
    import feast_nb
    from feast_nb.paths import state_folder

    session = feast_nb.open(repo)
    with pytest.warns(Warned, match="run unknown was left open by a kernel that died as it began"):
        session.recorder.flush()  # as after the next cell: loading asks no server

    assert client.get_run(run_id).info.status == "KILLED"
    with session.run("known") as run:
        assert list((state_folder() / "requests").iterdir()) == []
    assert client.get_run(run.ref.id).info.status == "FINISHED"


def test_a_run_that_another_process_is_starting_is_left_alone(repo, client) -> None:
    import feast_nb
    from feast_nb.recorder.delivery.run_requests import RunRequest, RunRequests

    session = feast_nb.open(repo)
    mine = session.recorder.requests
    ended: list[RunRequest] = []
    other = RunRequests(mine.folder)
    with mine.noted(RunRequest("uri", "1", "a")):
        other.look_after(ended.append)
    assert ended == []
    with pytest.raises(KeyboardInterrupt), mine.noted(RunRequest("uri", "1", "b")):
        raise KeyboardInterrupt
    (mine.folder / "cut.json").write_text('{"mark": "')
    other.look_after(ended.append)

    assert [r.name for r in ended] == ["b"]
    assert list(mine.folder.iterdir()) == []


def test_the_file_of_a_living_process_is_left_alone(repo, drivers) -> None:
    import feast_nb
    from feast_nb.paths import state_folder
    from feast_nb.recorder.delivery.outbox import Outbox

    session = feast_nb.open(repo)
    session.runs.start("v1")
    session.store.get_historical_features(drivers, ["hourly:trips"]).to_df()
    code = (
        "from feast_nb.recorder.delivery.outbox import Outbox; from pathlib import Path; import sys\n"
        "print(len(list(Outbox(Path(sys.argv[1]), None, None).recover())))"
    )
    folder = str(state_folder() / "outbox")
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "0"
    assert Outbox is not None


def test_a_retrieval_costs_the_cell_no_request(
    mlflow_server, tmp_path, drivers, monkeypatch
) -> None:
    """Requests are counted by the thread that makes them: none on the cell's own."""
    import requests

    import feast_nb

    session = feast_nb.open(make_repository(tmp_path / "r", tracking_uri=mlflow_server))
    mine = threading.get_ident()
    asked: list[tuple[bool, str]] = []
    original = requests.Session.request

    def counted(self, method, url, *args, **kwargs):
        asked.append((threading.get_ident() == mine, f"{method} {url.split('/api/')[-1]}"))
        return original(self, method, url, *args, **kwargs)

    with session.run("v1"):
        session.store.get_historical_features(drivers, ["hourly:trips"]).to_df()
        session.recorder.flush()
        monkeypatch.setattr(requests.Session, "request", counted)
        for _ in range(3):
            session.store.get_historical_features(drivers, ["hourly:conv_rate"]).to_df()
            session.store.get_online_features(["hourly:trips"], [{"driver_id": 1}])
        on_the_cells_time = [what for own, what in asked if own]
        session.recorder.recording.settle()
        session.recorder.flush()

    assert on_the_cells_time == []
    batches = [what for _, what in asked if "log-batch" in what]
    assert 1 <= len(batches) <= 3, asked


def test_on_a_real_server_everything_arrives(mlflow_server, tmp_path, drivers) -> None:
    from mlflow import MlflowClient
    from sklearn.linear_model import LogisticRegression

    import feast_nb

    session = feast_nb.open(
        make_repository(tmp_path / "r", tracking_uri=mlflow_server, project="served")
    )
    with session.train(
        "v1", service="activity", entity_df=drivers, register="served_m", aliases=["a"]
    ) as training:
        frame = training.frame
        training.model = LogisticRegression().fit(frame[["trips"]], frame["y"])

    client = MlflowClient(mlflow_server)
    run_id = training.summary.run.id
    assert {"entity_df.parquet", "feast/retrievals.json", "feast_features.json"} <= set(
        artifacts(client, run_id)
    )
    assert session.store.mlflow.resolve_features("models:/served_m/1") == "activity"
    assert session.store.mlflow.get_training_entity_df(run_id).equals(drivers)
    assert training.summary.run.url.startswith(f"{mlflow_server}/#/experiments/")


class Server:
    """A tracking server that can go away and come back with what it had."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        from ..conftest import answers

        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
                   "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--workers", "1",
                   "--artifacts-destination", str(self.folder / "artifacts")]  # fmt: skip
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
        )
        wait_for(lambda: answers(f"{self.url}/health"), 90, "MLflow")

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    server.stop()


def test_a_server_that_dies_in_a_run_loses_nothing_and_costs_seconds(
    server, tmp_path, notebook, drivers
) -> None:
    from mlflow import MlflowClient

    repo = make_repository(tmp_path / "r", tracking_uri=server.url)
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    run = notebook.run("%feast_run v1")
    server.stop()
    time.sleep(5.5)  # past the time for which an answer counts as a sign of life
    started = time.monotonic()
    frame = notebook.run("store.get_historical_features(drivers, ['hourly:trips']).to_df()")
    retrieved = time.monotonic() - started
    started = time.monotonic()
    ended = notebook.run("%feast_run --end")
    took = time.monotonic() - started

    assert len(frame) == 6
    assert max(retrieved, took) < 100, "MLflow itself tries for minutes"
    assert ended.pending > 0
    assert "cannot be reached" in ended.warnings[0]
    server.start()
    recorder = notebook.run("from feast_nb import recorder\nrecorder.current()")
    assert recorder.flush()
    client = MlflowClient(server.url)
    (kept,) = read_json(client, run.id, "feast/retrievals.json")["retrievals"]
    assert kept["state"] == "ran"
    assert client.get_run(run.id).info.status == "FINISHED"


def test_records_of_a_run_that_is_gone_are_given_up_with_a_word(repo, client, capsys) -> None:
    run_id = killed(
        repo, "session.store.get_historical_features(drivers, ['hourly:trips']).to_df()"
    )
    client.delete_run(run_id)
    from feast_nb import recorder

    found = recorder.current()
    assert found.flush()

    assert capsys.readouterr().err.count("records have nowhere to go") == 1
    assert found.outbox.pending() == 0


def test_records_of_a_database_that_is_away_wait_for_it(repo, client, capsys) -> None:
    """A drive that is not mounted, a folder with another name: nothing is gone."""
    run_id = killed(
        repo, "session.store.get_historical_features(drivers, ['hourly:trips']).to_df()"
    )
    (repo / "mlflow.db").rename(repo / "away.db")
    from feast_nb import recorder

    found = recorder.current()
    with pytest.warns(Warned, match="kept on disk"):
        assert not found.flush(seconds=3)
    assert found.outbox.pending() > 0
    assert not (repo / "mlflow.db").exists()
    assert "nowhere to go" not in capsys.readouterr().err
    (repo / "away.db").rename(repo / "mlflow.db")

    assert found.flush()
    (kept,) = read_json(client, run_id, "feast/retrievals.json")["retrievals"]
    assert kept["state"] == "ran"


DIES_ENDING = """
import os, sys, warnings
warnings.simplefilter("ignore")
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell(f"%load_ext feast_nb\\nstore = %feast_store {sys.argv[1]}")
shell.run_cell("import pandas as pd\\n%feast_run dies")
shell.run_cell("frame = pd.DataFrame({'driver_id': [1], 'event_timestamp': "
               "[pd.Timestamp('2024-01-05', tz='UTC')]})\\n"
               "df = store.get_historical_features(frame, ['hourly:trips']).to_df()")
from feast_nb.recorder.delivery.uploader import Uploader
send = Uploader.deliver
def deliver(self, batch):  # killed when its last records go out: MLflow was not told of the end
    if any(entry.kind == "ended" for entry in batch.new):
        os._exit(9)
    return send(self, batch)
Uploader.deliver = deliver
shell.run_cell(sys.argv[2])
"""


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ("%feast_run --end --status FAILED", "FAILED"),
        ("import mlflow; mlflow.end_run()", "FINISHED"),
    ],
)
def test_a_run_whose_process_died_while_it_ended_has_the_status_it_was_to_have(
    repo, client, ends: str, status: str
) -> None:
    done = subprocess.run([sys.executable, "-c", DIES_ENDING, str(repo), ends], timeout=300)
    assert done.returncode == 9
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.info.status == "RUNNING"
    from feast_nb import recorder

    assert recorder.current().flush()

    assert client.get_run(run.info.run_id).info.status == status
    assert recorder.current().outbox.pending() == 0


RESUMES = """
import sys, warnings
warnings.simplefilter("ignore")
import pandas as pd
import mlflow
import feast_nb

session = feast_nb.open(sys.argv[1])
mlflow.set_tracking_uri(session.runs.uri)
rows = int(sys.argv[3])
frame = pd.DataFrame({"driver_id": range(rows),
                      "event_timestamp": [pd.Timestamp("2024-01-05", tz="UTC")] * rows})
doors = {"argument": lambda: mlflow.start_run(run_id=sys.argv[2]),
         "variable": lambda: mlflow.start_run(),
         "feast": lambda: session.store.mlflow.start_run(run_id=sys.argv[2])}
with doors[sys.argv[4]]():
    session.store.get_historical_features(frame, ["hourly:trips"]).to_df()
"""


def test_a_run_that_goes_on_in_another_process_keeps_what_it_had(repo, client, tmp_path) -> None:
    """By whichever door: an argument, MLflow's variable, Feast's own client."""
    experiment = client.create_experiment("drivers")
    run_id = client.create_run(experiment).info.run_id
    for rows, door in enumerate(("argument", "variable", "feast", "argument"), 1):
        env = {**os.environ, "MLFLOW_RUN_ID": run_id} if door == "variable" else os.environ
        command = [sys.executable, "-c", RESUMES, str(repo), run_id, str(rows), door]
        subprocess.run(command, check=True, env=env, cwd=tmp_path)

    kept = records_of(client, run_id)
    assert [r["entity"]["rows"] for r in kept] == [1, 2, 3, 4]
    assert {a.path.count("/") for a in client.list_artifacts(run_id, "feast/results")} == {2}
