"""The benchmarks: ratios against the alternative in the same run, medians of several.

`make bench`. A line says what was measured, beside what, and what it must be.
"""

from __future__ import annotations

import functools
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .bench_history import drawing, painting, past, past_100k
from .bench_operations import operations
from .bench_panel import panel
from .bench_remote import remote
from .conftest import STARTUP, answers, free_port, mlflow_in, wait_for

ROUNDS = 9
Line = tuple[str, float, float]  # what, its value, what it must not be above

SHELL = "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()"


def main() -> int:
    """Run every benchmark and print the table; non-zero where one is not what it must be."""
    given = os.environ["PYTHONPATH"].split(os.pathsep)  # processes import Feast as a user's do
    os.environ["PYTHONPATH"] = os.pathsep.join(place for place in given if place != STARTUP)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    failures = 0
    benches = (loading, fingerprinting, retrieving, first_retrieval, a_million_rows, a_thousand,
               serving, remote, operations, past, drawing, painting, panel, past_100k)  # fmt: skip
    wanted = sys.argv[1:]
    for bench in benches:
        if bench.__name__ not in wanted and (wanted or bench is past_100k):
            continue
        for what, value, limit in bench():
            good = value <= limit
            failures += not good
            print(f"{'ok ' if good else 'BAD'} {what:76} {value:8.3f}  must be ≤ {limit:g}")
    return failures


def loading() -> list[Line]:
    """`%load_ext feast_nb` over a bare shell, and beside `import feast`."""
    inside = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
    load = process(f"{SHELL}; " + inside.format("s.run_line_magic('load_ext', 'feast_nb')"))
    feast = process(inside.format("import feast"), rounds=3)
    return [
        ("%load_ext feast_nb, seconds over a bare IPython", load, 0.080),
        ("%load_ext feast_nb beside import feast", load / feast, 1 / 20),
    ]


def fingerprinting() -> list[Line]:
    """The fingerprint of a million rows of numbers: its speed, and beside writing them."""
    import numpy as np
    import pandas as pd

    from feast_nb.frames import fingerprint

    draw = np.random.default_rng(0)
    columns = {f"x{i}": draw.random(1_000_000) for i in range(8)}
    frame = pd.DataFrame(columns | {"id": draw.integers(0, 10**6, 1_000_000)})
    with tempfile.TemporaryDirectory() as folder:
        parquet = median(lambda: frame.to_parquet(Path(folder) / "x.parquet"), rounds=3)
    ours = median(lambda: fingerprint.of(frame), rounds=5)
    size = frame.memory_usage(index=False).sum() / 1e6
    return [
        ("fingerprint of 1,000,000 × 9 beside to_parquet", ours / parquet, 1.0),
        ("500 MB/s beside the fingerprint's speed, one thread", 500 / (size / ours), 1.0),
    ]


def retrieving() -> list[Line]:
    """What recording costs a retrieval in a run, beside what Feast's own costs, over HTTP."""
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder, mlflow_in(Path(folder)) as url:
        port = int(str(urlsplit(url).port))
        slow = free_port()
        proxy = subprocess.Popen(
            [sys.executable, "-m", "tests.slow_proxy", str(slow), str(port), "0.02"]
        )
        try:
            repo = materialized(Path(folder) / "repo", f"http://127.0.0.1:{port}")
            lines += beside_feasts(repo, "loopback", 1 / 20, rounds=15)
            change(repo, str(port), str(slow))
            wait_for(lambda: answers(f"http://127.0.0.1:{slow}/health"), 30, "the slow proxy")
            lines += beside_feasts(repo, "20 ms a request", 1 / 40, rounds=9)
        finally:
            proxy.terminate()
            proxy.wait()
    return lines


def beside_feasts(repo: Path, where: str, limit: float, rounds: int) -> list[Line]:
    """Historical and online: requests on the cell's time, time added by Feast's own and by ours."""
    from feast import FeatureStore

    from feast_nb import recorder

    calls = retrievals(FeatureStore(repo_path=str(repo)))
    # Few milliseconds, of which one counts: more rounds than Feast's own need.
    bare = {kind: median(call, 4 * rounds) for kind, call in calls.items()}
    store = FeatureStore(repo_path=str(repo))
    calls = retrievals(store)
    with store.mlflow.start_run():
        feasts = {kind: median(call, rounds) for kind, call in calls.items()}
        theirs = {kind: requests_of(call) for kind, call in calls.items()}
    recorder.current()
    store = FeatureStore(repo_path=str(repo))
    calls = retrievals(store)
    with store.mlflow.start_run():
        ours = {kind: median(call, 4 * rounds) for kind, call in calls.items()}
        mine = {kind: requests_of(call) for kind, call in calls.items()}
    recorder.shut()
    lines: list[Line] = []
    for kind in calls:
        added = (ours[kind] - bare[kind]) / (feasts[kind] - bare[kind])
        said = f"{kind}, {where}: Feast +{1000 * (feasts[kind] - bare[kind]):.0f} ms"
        lines.append((f"{said}, ours +{1000 * (ours[kind] - bare[kind]):.1f} ms", added, limit))
        lines.append((f"{kind}: requests on the cell's time (Feast {theirs[kind]})", mine[kind], 0))
    return lines


def first_retrieval() -> list[Line]:
    """The first retrieval of a process that has no run: ours must not import mlflow for it."""
    code = """
import os, sys, time, warnings
import pandas as pd
{load}
from feast import FeatureStore
store = FeatureStore(repo_path={repo!r})
asked = pd.DataFrame({{"driver_id": [1], "event_timestamp": [pd.Timestamp("2024-01-10", tz="UTC")]}})
start = time.perf_counter()
store.get_historical_features(asked, ["hourly:trips"])
print(time.perf_counter() - start)
sys.stdout.flush(); os._exit(0)
"""
    from .conftest import make_repository

    with tempfile.TemporaryDirectory() as folder:
        off = make_repository(Path(folder) / "off", mlflow="mlflow: {enabled: false}")
        on = make_repository(Path(folder) / "on", tracking_uri=f"sqlite:///{folder}/m.db")
        load = f"os.environ['FEAST_NB_STATE'] = {folder + '/state'!r}\n"
        load += "from feast_nb import recorder; recorder.current()"
        bare = process(code.format(load="", repo=str(off)), rounds=5)
        ours = process(code.format(load=load, repo=str(on)), rounds=5)
    return [("first retrieval, no run: seconds over one without MLflow", ours - bare, 0.05)]


def a_million_rows() -> list[Line]:
    """What the cell waits for an entity frame of a million rows, beside writing it as Parquet.

    The wait is a whole call less what Feast's own methods took inside it: two calls of a second
    each differ by more than what is looked for.
    """
    import numpy as np
    import pandas as pd
    from feast import FeatureStore
    from feast.infra.offline_stores.offline_store import RetrievalJob

    from feast_nb import recorder

    from .conftest import NOW, make_repository

    draw = np.random.default_rng(0)
    asked = pd.DataFrame(
        {
            "driver_id": draw.integers(0, 10, 1_000_000),
            "event_timestamp": NOW - pd.to_timedelta(draw.integers(0, 10**6, 1_000_000), "s"),
            "y": draw.random(1_000_000),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FEAST_NB_STATE"] = f"{folder}/state"
        uri = f"sqlite:///{folder}/m.db"
        repo = make_repository(Path(folder) / "repo", tracking_uri=uri)
        change(
            repo,
            "auto_log_entity_df: true",
            "auto_log_entity_df: true, entity_df_max_rows: 2000000",
        )
        parquet = median(lambda: asked.to_parquet(Path(folder) / "x.parquet"), rounds=3)
        waited = []
        with (
            timed_inside(FeatureStore, "get_historical_features") as first,
            timed_inside(RetrievalJob, "to_df") as second,
        ):
            recorder.current()
            store = FeatureStore(repo_path=str(repo))
            for frame in (asked[:10], *[asked] * 7):
                with store.mlflow.start_run():
                    first.clear()
                    second.clear()
                    start = time.perf_counter()
                    store.get_historical_features(
                        frame, ["hourly:trips", "hourly:conv_rate"]
                    ).to_df()
                    waited.append(time.perf_counter() - start - sum(first) - sum(second))
            recorder.shut()
    waits = statistics.median(waited[1:])
    said = f"1,000,000 entity rows, kept: the cell waits {waits:.2f} s, beside to_parquet"
    return [(said, waits / parquet, 0.3)]


def a_thousand() -> list[Line]:
    """A thousand retrievals in one run: the last ones beside the first ones."""
    from feast import FeatureStore

    from feast_nb import recorder

    with tempfile.TemporaryDirectory() as folder:
        os.environ["FEAST_NB_STATE"] = f"{folder}/state"
        repo = materialized(Path(folder) / "repo", f"sqlite:///{folder}/m.db")
        recorder.current()
        store = FeatureStore(repo_path=str(repo))
        calls = retrievals(store)
        times: dict[str, list[float]] = {kind: [] for kind in calls}
        with store.mlflow.start_run():
            for _ in range(520):
                for kind, call in calls.items():
                    times[kind].append(median(call, rounds=1))
        recorder.shut()
    return [
        (f"1,000 retrievals in one run: last {kind} beside first",
         statistics.median(took[-60:]) / statistics.median(took[20:80]), 1.2)
        for kind, took in times.items()
    ]  # fmt: skip


def serving() -> list[Line]:
    """`session.vector` beside the bare online call that it contains, at 100 rows and at one."""
    import feast_nb
    from feast_nb import recorder

    with tempfile.TemporaryDirectory() as folder:
        os.environ["FEAST_NB_STATE"] = f"{folder}/state"
        repo = materialized(Path(folder) / "repo", f"sqlite:///{folder}/m.db")
        session = feast_nb.open(repo)
        promote(session)
        store, refs = session.store, ["hourly:trips", "hourly:conv_rate", "hourly:acc_rate"]
        took = {}
        for rows in (100, 1):
            asked = [{"driver_id": i % 10} for i in range(rows)]
            bare: list[float] = []
            ours: list[float] = []
            fetch = functools.partial(store.get_online_features, refs, asked)
            vector = functools.partial(session.vector, "m/1", asked)
            for _ in range(300):  # one after the other: the machine's mood is both's
                bare.append(median(lambda fetch=fetch: fetch().to_dict(), 1))
                ours.append(median(vector, 1))
            took[rows] = statistics.median(bare), statistics.median(ours)
        recorder.shut()
    many, one = took[100], took[1]
    return [
        ("vector of 100 rows beside get_online_features().to_dict()", many[1] / many[0], 1.15),
        (f"vector of one row ({1000 * one[1]:.2f} ms): ms more than that call",
         1000 * (one[1] - one[0]), 0.2),
    ]  # fmt: skip


def promote(session: Any) -> None:
    """Train and register a small model."""
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    from .conftest import NOW

    asked = pd.DataFrame({"driver_id": range(10), "event_timestamp": [NOW] * 10, "y": [0, 1] * 5})
    with session.train("v1", service="activity", entity_df=asked, register="m") as training:
        inputs = training.frame[["trips", "conv_rate", "acc_rate"]]
        training.model = LogisticRegression().fit(inputs, training.frame["y"])


# ---------------------------------------------------------------------- how it is measured


def materialized(repo: Path, tracking_uri: str) -> Path:
    """A repository whose online store has values."""
    from datetime import UTC, datetime

    from feast import FeatureStore

    from .conftest import make_repository

    make_repository(repo, tracking_uri=tracking_uri)
    store = FeatureStore(repo_path=str(repo))
    store.materialize(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC))
    return repo


def change(repo: Path, old: str, new: str) -> None:
    """Replace a piece of a repository's settings."""
    yaml = repo / "feature_store.yaml"
    text = yaml.read_text()
    assert old in text
    yaml.write_text(text.replace(old, new))


def retrievals(store: Any) -> dict[str, Callable[[], object]]:
    """A small historical and a small online retrieval."""
    import pandas as pd

    from .conftest import NOW

    asked = pd.DataFrame({"driver_id": range(10), "event_timestamp": [NOW] * 10})
    refs = ["hourly:trips", "hourly:conv_rate"]
    return {
        "historical": lambda: store.get_historical_features(asked, refs).to_df(),
        "online": lambda: store.get_online_features(refs, [{"driver_id": 1}]).to_df(),
    }


@contextmanager
def timed_inside(owner: type, name: str) -> Iterator[list[float]]:
    """The seconds that each call of a method takes, without what is put around it later."""
    original = getattr(owner, name)
    seconds: list[float] = []

    @functools.wraps(original)
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            seconds.append(time.perf_counter() - start)

    setattr(owner, name, timed)
    try:
        yield seconds
    finally:
        setattr(owner, name, original)


def requests_of(call: Callable[[], object]) -> int:
    """How many HTTP requests the calling thread makes during a call."""
    import threading

    import requests

    made: list[str] = []
    original = requests.Session.send

    def send(self: Any, request: Any, **kwargs: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            made.append(request.url)
        return original(self, request, **kwargs)

    requests.Session.send = send  # type: ignore[method-assign]
    try:
        call()
    finally:
        requests.Session.send = original  # type: ignore[method-assign]
    return len(made)


def median(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Seconds of a call, the median of several."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def process(code: str, rounds: int = ROUNDS) -> float:
    """What `code` prints last in a fresh process, the median of several."""

    def once() -> float:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            capture_output=True,
            text=True,
            check=True,
        )
        return float(done.stdout.strip().splitlines()[-1])

    once()
    return statistics.median(once() for _ in range(rounds))


if __name__ == "__main__":
    sys.exit(main())
