"""Half an hour of one kernel: does anything grow? `python -m tests.schedules.steady [MINUTES]`.

A kernel begins runs, retrieves, asks online and trains, against an MLflow server, while a Jupyter
server's panel is asked all the time. Memory, threads, handles and what waits on disk are measured
every half minute, of both; the last two thirds must not grow.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pandas as pd

from feast_nb.server import route_names

from ..conftest import NOW, answers, free_port, make_repository, mlflow_in, wait_for

EVERY = 30.0  # seconds between two measures
MAY_GROW = {"kernel MB": 1.05, "server MB": 1.05, "threads": 1.0, "handles": 1.1, "waiting MB": 1.0}
OF_A_RUN = (
    0.06  # MB that a kernel keeps of a run with eleven retrievals; docs/reliability.md says so
)
TOKEN = "steady"
PAUSE = 1.0  # seconds between two runs, and two looks at the panel


def main() -> int:
    """Work for some minutes and print what was measured; non-zero where something grew."""
    asked = argparse.ArgumentParser()
    asked.add_argument("minutes", type=float, nargs="?", default=30)
    minutes = asked.parse_args().minutes
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    folder = Path(tempfile.mkdtemp(prefix="feast_nb_steady"))
    os.environ.update(
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
        MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
        PYTHONWARNINGS="ignore",
        FEAST_NB_STATE=str(folder / "state"),
        FEAST_NB_CACHE=str(folder / "cache"),
    )
    with mlflow_in(folder) as uri:
        repo = make_repository(folder / "repo", tracking_uri=uri)
        with panel(repo) as (address, server):
            return judged(list(lived(repo, address, server, folder, minutes * 60)))


@contextmanager
def panel(repo: Path) -> Iterator[tuple[str, int]]:
    """A Jupyter server on a repository: the address of its routes, and its process."""
    port = free_port()
    log = (repo.parent / "jupyter.log").open("wb")
    command = [sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser",
               f"--port={port}", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={repo}",
               "--ServerApp.jpserver_extensions={'feast_nb': True}"]  # fmt: skip
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{base}/api/status?token={TOKEN}"), 120, log.name)
        yield f"{base}/feast-nb/api", server.pid
    finally:
        server.terminate()
        server.wait(timeout=60)


def lived(
    repo: Path, address: str, server: int, folder: Path, seconds: float
) -> Iterator[dict[str, float]]:
    """What was measured, every half minute, while a kernel works and the panel is asked."""
    import feast_nb

    session = feast_nb.open(repo)
    past = pd.Timestamp("2024-01-01", tz="UTC")
    session.store.materialize(past.to_pydatetime(), NOW.to_pydatetime())
    done, polled = threading.Event(), [0]
    poller = threading.Thread(target=poll, args=(address, done, polled), daemon=True)
    poller.start()
    began, due, rounds = time.monotonic(), EVERY, 0
    while (passed := time.monotonic() - began) < seconds:
        work(session, rounds)
        time.sleep(PAUSE)
        rounds += 1
        if passed >= due:
            due += EVERY
            yield {"minute": passed / 60, "runs": rounds, "panel asked": polled[0],
                   **measured(server, folder)}  # fmt: skip
    done.set()
    poller.join(60)


def work(session: Any, number: int) -> None:
    """A run, as a person's cell makes it: a retrieval, ten online calls; every tenth a model."""
    from sklearn.linear_model import LogisticRegression

    drivers = pd.DataFrame({"driver_id": range(1, 11), "event_timestamp": [NOW] * 10})
    with session.run(f"round-{number}"):
        store = session.store
        frame = store.get_historical_features(drivers, ["hourly:trips", "hourly:conv_rate"]).to_df()
        for many in range(1, 11):
            rows = [{"driver_id": i} for i in range(1, many + 1)]
            store.get_online_features(["hourly:trips"], rows).to_dict()
        if number % 10 == 0:
            inputs = frame[["trips", "conv_rate"]].fillna(0)
            session.log_model(LogisticRegression().fit(inputs, [0, 1] * 5))


def poll(address: str, done: threading.Event, polled: list[int]) -> None:
    """Ask for the panel's lists, far more often than an open panel does."""
    while not done.wait(PAUSE):
        for route in (r for r in route_names.OF_A_REPOSITORY if r != route_names.IMPACT):
            try:
                with urlopen(f"{address}/{route}?token={TOKEN}", timeout=60) as answer:
                    polled[0] += answer.status == 200 and bool(json.loads(answer.read()))
            except (OSError, ValueError):
                continue


def measured(server: int, folder: Path) -> dict[str, float]:
    import gc

    import psutil

    gc.collect()
    me, its = psutil.Process(), psutil.Process(server)
    tree = [its, *its.children(recursive=True)]
    state = [p for p in (folder / "state").rglob("*") if p.is_file()]
    return {
        "kernel MB": me.memory_info().rss / 1e6,
        "server MB": sum(p.memory_info().rss for p in tree) / 1e6,
        "threads": me.num_threads() + sum(p.num_threads() for p in tree),
        "handles": me.num_fds() + sum(p.num_fds() for p in tree),
        "waiting MB": sum(p.stat().st_size for p in state) / 1e6,
    }


def judged(measures: list[dict[str, float]]) -> int:
    """Print the table, and what is more in its last quarter than it was after its first third."""
    print("  ".join(f"{name:>11}" for name in measures[0]))
    for measure in measures:
        print("  ".join(f"{value:11.1f}" for value in measure.values()))
    third, quarter = max(len(measures) // 3, 1), max(len(measures) // 4, 1)
    grew = 0
    for name, allowed in MAY_GROW.items():
        values = [m[name] for m in measures]
        before, after = max(values[:third]), sum(values[-quarter:]) / quarter
        kept = OF_A_RUN * measures[-1]["runs"] if name == "kernel MB" else 0.1
        bad = after > before * allowed + kept
        grew += bad
        print(f"{'BAD' if bad else 'ok '} {name}: {before:.1f} at most in the first third, "
              f"{after:.1f} in the last quarter")  # fmt: skip
    return grew


if __name__ == "__main__":
    sys.exit(main())
