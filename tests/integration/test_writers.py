"""Several processes write to one run, one after the other or at once: nothing of any is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from feast_nb import recorder
from feast_nb.integrations.mlflow import clients, retrieval_files, writer
from feast_nb.records.retrieval import Retrieval, Retrievals

from ..conftest import read_json, records_of

RETRIEVES = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
import pandas as pd
import mlflow
import feast_nb
import feast_nb.recorder

def look_up(session, rows):
    # DuckDB does not outlive a fork, whoever asks it.
    session.store.get_online_features(["hourly:trips"], [{"driver_id": n} for n in range(rows)])

def retrieve(session, rows):
    frame = pd.DataFrame({"driver_id": [n % 10 for n in range(rows)],
                          "event_timestamp": [pd.Timestamp("2024-01-05", tz="UTC")] * rows})
    session.store.get_historical_features(frame, ["hourly:trips"]).to_df()

def work(repo, run_id, rows, how=retrieve):
    session = feast_nb.open(repo)
    mlflow.set_tracking_uri(session.runs.uri)
    with mlflow.start_run(run_id=run_id):
        how(session, rows)
"""
WORKER = f"{RETRIEVES}\nwork(sys.argv[1], sys.argv[2], int(sys.argv[3]))"
SHAPES = {
    "fork": """
pid = os.fork()
if pid == 0:
    work(REPO, RUN, 2, look_up)
    feast_nb.recorder.shut()
    os._exit(0)
os.waitpid(pid, 0)
""",
    "fork in the open run": """
with mlflow.start_run(run_id=RUN):
    pid = os.fork()
    if pid == 0:
        look_up(session, 2)
        feast_nb.recorder.shut()
        os._exit(0)
    os.waitpid(pid, 0)
""",
    "spawned pool": """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
    pool.submit(work, REPO, RUN, 2, look_up).result()
""",
    "loky": """
from joblib import Parallel, delayed
Parallel(2, backend="loky")(delayed(work)(REPO, RUN, n, look_up) for n in (2,))
""",
    "joblib multiprocessing": """
from joblib import Parallel, delayed
Parallel(2, backend="multiprocessing")(delayed(work)(REPO, RUN, n, look_up) for n in (2,))
""",
}


@pytest.fixture
def run_id(client: Any) -> str:
    return str(client.create_run(client.create_experiment("shared")).info.run_id)


def rows_of(client: Any, run_id: str) -> list[int]:
    """The rows of the entity frames in all files, each as often as it is there."""
    return sorted(r["entity"]["rows"] for r in records_of(client, run_id))


def run(code: str, *args: str, cwd: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "records" not in done.stderr  # that wait, or cannot be kept


def test_three_workers_at_once_lose_nothing(repo, client, run_id, tmp_path) -> None:
    command = [sys.executable, "-c", WORKER, str(repo), run_id]
    workers = [subprocess.Popen([*command, str(rows)], cwd=tmp_path) for rows in (1, 2, 3)]
    assert [worker.wait(300) for worker in workers] == [0, 0, 0]

    assert rows_of(client, run_id) == [1, 2, 3]
    whole = retrieval_files.retrievals_of(client.tracking_uri, run_id)
    assert [r.at for r in whole.retrievals] == sorted(str(r.at) for r in whole.retrievals)
    tags = client.get_run(run_id).data.tags  # those of all three, whoever wrote them last
    assert tags["feast.entity_count"] == "6"
    assert "feast_nb.incomplete" not in tags


def test_who_began_a_run_and_writes_after_a_worker_takes_nothing_away(
    repo, client, tmp_path
) -> None:
    """The run's tags are those of both, and the first file is of who wrote first."""
    import pandas as pd

    import feast_nb

    session = feast_nb.open(repo)
    opened = session.runs.start("shared")
    run(WORKER, str(repo), opened.ref.id, "2", cwd=tmp_path)
    drivers = pd.DataFrame(
        {"driver_id": [1], "event_timestamp": [pd.Timestamp("2024-01-05", tz="UTC")]}
    )
    session.store.get_historical_features(drivers, ["profile:age"]).to_df()
    session.runs.end(opened)

    assert rows_of(client, opened.ref.id) == [1, 2]
    (first,) = read_json(client, opened.ref.id, retrieval_files.FIRST)["retrievals"]
    assert first["entity"]["rows"] == 2
    tags = client.get_run(opened.ref.id).data.tags
    assert tags["feast.feature_refs"] == "hourly:trips,profile:age"
    assert "feast_nb.incomplete" not in tags
    shown = session.runs.newest("drivers", 1)[0]
    assert [r.entity.rows for r in shown.retrievals] == [2, 1]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_process_writes_beside_the_others(
    shape: str, repo, client, run_id, tmp_path
) -> None:
    """A module, as what is pickled must be found by its name in the other process."""
    (tmp_path / "shapes.py").write_text(RETRIEVES)
    main = (
        "from shapes import *\nfrom shapes import look_up, work\n"
        "import feast_nb.recorder\n"
        "if __name__ == '__main__':\n"
        "    REPO, RUN = sys.argv[1:3]\n"
        "    session = feast_nb.open(REPO)\n"
        "    mlflow.set_tracking_uri(session.runs.uri)\n"
        "    with mlflow.start_run(run_id=RUN):\n"
        "        look_up(session, 1)\n"
    )
    inner = "".join(f"    {line}\n" for line in SHAPES[shape].strip().splitlines())
    after = "    with mlflow.start_run(run_id=RUN):\n        look_up(session, 3)\n"
    (tmp_path / "main.py").write_text(main + inner + after)
    done = subprocess.run(
        [sys.executable, "main.py", str(repo), run_id],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr

    assert rows_of(client, run_id) == [1, 2, 3]
    state = Path(os.environ["FEAST_NB_STATE"])
    assert [p for p in state.rglob("*") if p.is_file()] == []


def test_only_one_of_many_that_begin_at_once_takes_the_first_file(client, run_id) -> None:
    """Of eight threads, each a writer of its own; an artifact store cannot compare and swap."""
    uri = client.tracking_uri
    clients.connect(uri)
    ready = threading.Barrier(8)

    def claim(name: str) -> str:
        ready.wait(30)
        return retrieval_files.claimed(uri, run_id, name)[0]

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(claim, [f"w{n}" for n in range(8)]))

    assert len(set(taken)) == 8  # two of the same name would be two that write one file
    assert sum(place == retrieval_files.FIRST for place in taken) <= 1


def test_a_first_file_of_an_earlier_version_is_left_as_it_is(client, run_id) -> None:
    uri = client.tracking_uri
    old = json.dumps(Retrievals(run_id, (Retrieval("r-1", "historical", "p", ("v:a",)),)).to_dict())
    writer.write(uri, run_id, {}, {}, [(old, retrieval_files.FIRST)])

    assert retrieval_files.claimed(uri, run_id, "me") == ("feast/retrievals/me.json", True)
    (kept,) = retrieval_files.retrievals_of(uri, run_id).retrievals
    assert kept.id == "r-1"


def test_of_a_retrieval_in_two_files_what_is_known_last_is_read() -> None:
    run_id = "r"
    early = Retrieval("r-1", "historical", "p", ("v:a",))
    late = Retrieval("r-1", "historical", "p", ("v:a",), state="ran")
    for parts in ((early, late), (late, early)):
        files = [Retrievals(run_id, (one,)) for one in parts]
        assert retrieval_files.joined(run_id, files).retrievals == (late,)


def test_a_file_that_cannot_be_read_holds_up_nothing(
    repo, client, run_id, tmp_path, monkeypatch
) -> None:
    """What a writer has goes to its own file; the run stays marked as incomplete."""
    uri = client.tracking_uri
    writer.write(uri, run_id, {}, {}, [("{", retrieval_files.FIRST)])
    run(WORKER, str(repo), run_id, "2", cwd=tmp_path)

    (own,) = [p for p in retrieval_files.places(uri, run_id) if p != retrieval_files.FIRST]
    assert [r["entity"]["rows"] for r in read_json(client, run_id, own)["retrievals"]] == [2]
    assert client.get_run(run_id).data.tags["feast_nb.incomplete"] == "true"


def test_what_a_forked_child_left_goes_on_in_the_file_that_it_had(
    repo, client, run_id, tmp_path
) -> None:
    """A child that sent all and died; who takes its empty outbox over writes in its name."""
    (tmp_path / "first.py").write_text(
        f"{RETRIEVES}\n"
        "feast_nb.recorder.current(interactive=True)\n"
        "session = feast_nb.open(sys.argv[1])\n"
        "mlflow.set_tracking_uri(session.runs.uri)\n"
        "mlflow.start_run(run_id=sys.argv[2])\n"
        "look_up(session, 1)\n"
        "assert session.recorder.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "first.py", str(repo), run_id], cwd=tmp_path, timeout=120)
    run(WORKER, str(repo), run_id, "2", cwd=tmp_path)

    assert rows_of(client, run_id) == [1, 2]


def test_two_hundred_threads_lose_nothing(repo, client) -> None:
    """Those of twenty with a run of their own are in it, those of the others in the open one."""
    import mlflow

    import feast_nb

    session = feast_nb.open(repo)
    mlflow.set_tracking_uri(session.runs.uri)
    door = threading.Semaphore(5)  # MLflow has fifteen connections to a database
    made: dict[int, str] = {}

    def look_up(number: int) -> None:
        for rows in (number + 1, number + 201):
            session.store.get_online_features(["hourly:trips"], [{"driver_id": 1}] * rows)

    def work(number: int) -> None:
        with door:
            made[number] = mlflow.start_run().info.run_id
        look_up(number)
        with door:
            mlflow.end_run()

    at_once(work, range(20))
    with mlflow.start_run() as opened:
        at_once(look_up, range(200))
    assert recorder.current().flush(seconds=120)

    for number, of_run in made.items():
        assert rows_of(client, of_run) == [number + 1, number + 201]
    assert rows_of(client, opened.info.run_id) == list(range(1, 401))


def at_once(work: Callable[[int], None], numbers: Sequence[int]) -> None:
    """Each number in a thread of its own, all begun together."""
    gate = threading.Barrier(len(numbers))

    def begin(number: int) -> None:
        gate.wait(60)
        work(number)

    threads = [threading.Thread(target=begin, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
