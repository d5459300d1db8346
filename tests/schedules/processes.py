"""Processes that do the steps of a schedule: forked from one that has all modules loaded.

`python -m tests.schedules.processes` reads one order a line, `{"do": "begin" | "wait", …}`, and
answers each with one line. A process writes a line to its log when a step is done: what is in it,
the user saw happen.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import pkgutil
import signal
import sys
import time
import traceback
import warnings
from typing import Any
from urllib.request import urlopen

import feast_nb

_MODULES = (
    "duckdb", "feast", "feast.infra.offline_stores.duckdb", "feast.infra.online_stores.sqlite",
    "feast.mlflow", "git", "IPython.core.interactiveshell", "mlflow.sklearn", "mlflow.tracing",
    "mlflow.store.artifact.mlflow_artifacts_repo", "opentelemetry.sdk.trace", "pandas",
    "pyarrow.dataset", "pyarrow.parquet", "sklearn.linear_model",
)  # fmt: skip
_REFUSES = False


class Process:
    """Does steps; what a step says is in the log when it is done."""

    def __init__(self, repo: str, line: str, log: str) -> None:
        from feast_nb import recorder

        self._line = line
        self._log = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        recorder.current(interactive=True)  # a kernel's: it ends what it leaves open
        self.session = feast_nb.open(repo)
        self.run: str | None = None
        self.disk = "ok"

    def do(self, step: dict[str, Any]) -> None:
        name, *_ = step
        try:
            said = getattr(self, f"do_{name}")(step[name], step)
        finally:
            for notice in self.session.recorder.notices.take():  # as after a cell
                print(f"feast_nb: {notice}", flush=True)
        self._note({**step, "run": self.run, "pid": os.getpid(), "disk": self.disk, **(said or {})})

    def _note(self, said: dict[str, Any]) -> None:
        os.write(self._log, (json.dumps({**said, "at": time.time()}) + "\n").encode())

    # ------------------------------------------------------------------ steps

    def do_line(self, mode: str, step: dict[str, Any]) -> None:
        urlopen(f"{self._line}/__line__/{mode}", timeout=30).close()

    def do_start(self, door: str, step: dict[str, Any]) -> None:
        """Begin a run, or continue one, by one of the doors."""
        import mlflow

        run_id = step.get("continues")
        mlflow.set_tracking_uri(self.session.runs.uri)
        if door == "ours":
            if run_id is None:
                self.run = self.session.runs.start("scheduled").ref.id
            else:
                self.run = self.session.runs.resume(run_id).ref.id
            return
        if door == "variable" and run_id is not None:
            os.environ["MLFLOW_RUN_ID"] = run_id
            run_id = None
        start = self.session.store.mlflow.start_run if door == "feast" else mlflow.start_run
        self.run = start(run_id=run_id).info.run_id

    def do_retrieve(self, rows: int, step: dict[str, Any]) -> None:
        import pandas as pd

        frame = pd.DataFrame(
            {
                "driver_id": [n % 10 for n in range(rows)],
                "event_timestamp": [pd.Timestamp("2024-01-05", tz="UTC")] * rows,
            }
        )
        self.frame = self.session.store.get_historical_features(frame, ["hourly:trips"]).to_df()

    def do_online(self, rows: int, step: dict[str, Any]) -> None:
        keys = [{"driver_id": n} for n in range(rows)]
        self.session.store.get_online_features(["hourly:trips"], keys)

    def do_log(self, name: str, step: dict[str, Any]) -> dict[str, Any]:
        """Train on the last frame, log the model, and register it where the step says so."""
        import mlflow
        from sklearn.linear_model import LinearRegression

        inputs = self.frame[["trips"]].fillna(0)
        model = LinearRegression().fit(inputs, range(len(inputs)))
        named = {"registered_model_name": name} if step.get("register") else {}
        info = mlflow.sklearn.log_model(
            model, name="m", pip_requirements=["scikit-learn"], serialization_format="cloudpickle",
            **named,
        )  # fmt: skip
        return {"model": info.model_id}

    def do_end(self, status: str, step: dict[str, Any]) -> None:
        import mlflow

        mlflow.end_run(status)

    def do_flush(self, seconds: float, step: dict[str, Any]) -> dict[str, Any]:
        return {"sent": self.session.recorder.flush(seconds=seconds)}

    def do_fork(self, rows: int, step: dict[str, Any]) -> None:
        """A child looks something up in the same run, says so itself, and ends."""
        child = os.fork()
        if child == 0:
            try:
                self.do({"online": rows})
                self.session.recorder.flush()
            finally:
                os._exit(0)
        os.waitpid(child, 0)

    def do_disk(self, how: str, step: dict[str, Any]) -> None:
        self.disk = how
        global _REFUSES
        _REFUSES = how == "full"

    def do_sleep(self, seconds: float, step: dict[str, Any]) -> None:
        time.sleep(seconds)


def _full_at_times() -> None:
    """What `os.write` says on a full disk, for the outbox alone."""
    from feast_nb.recorder.delivery import outbox_file

    class Disk:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, file: int, data: bytes) -> int:
            if _REFUSES:
                raise OSError(errno.ENOSPC, "No space left on device")
            return os.write(file, data)

    outbox_file.os = Disk()  # type: ignore[assignment]


def _live(order: dict[str, Any]) -> None:
    """The whole life of a process; a step that fails for the user is noted, as a user would."""
    said = os.open(order["said"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.environ.update(order["env"])
    os.chdir(order["folder"])
    from feast_nb.errors import Warned

    warnings.simplefilter("ignore")
    warnings.simplefilter("always", Warned)
    _full_at_times()
    process = Process(order["repo"], order["line"], order["log"])
    for step in order["steps"]:
        try:
            process.do(step)
        except Exception as problem:
            process._note({"failed": step, "why": f"{type(problem).__name__}: {problem}"[:300]})
            if "start" in step:
                break
    from feast_nb import recorder

    recorder.shut()


def main() -> None:
    """Load what the processes use, then fork one for each order."""
    for name in _MODULES:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(feast_nb.__path__, "feast_nb."):
        with contextlib.suppress(ImportError):  # a compiled extension's folder, say
            importlib.import_module(module.name)
    print("ready", flush=True)
    for text in sys.stdin:
        order = json.loads(text)
        if order["do"] == "begin":
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    _live(order)
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(status)
            print(pid, flush=True)
        else:
            print(_waited(order["pid"], order["seconds"]), flush=True)


def _waited(pid: int, seconds: float) -> int:
    """The exit status of a process, which is killed where it takes longer."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) - 1000  # it hung


if __name__ == "__main__":
    main()
