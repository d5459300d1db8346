"""The benchmarks: ratios against the alternative in the same run, medians of several.

`make bench`. A line says what was measured, beside what, and what it must be.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

ROUNDS = 9

SHELL = "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()"


def main() -> int:
    """Run every benchmark and print the table; non-zero where one is not what it must be."""
    warnings.simplefilter("ignore")
    failures = 0
    for bench in (loading, fingerprinting, retrieving):
        for what, value, limit in bench():
            good = value <= limit
            failures += not good
            print(f"{'ok ' if good else 'BAD'} {what:66} {value:8.3f}  must be ≤ {limit:g}")
    return failures


def loading() -> list[tuple[str, float, float]]:
    """`%load_ext feast_nb` over a bare shell, and beside `import feast`."""
    inside = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
    load = process(f"{SHELL}; " + inside.format("s.run_line_magic('load_ext', 'feast_nb')"))
    feast = process(inside.format("import feast"), rounds=3)
    return [
        ("%load_ext feast_nb, seconds over a bare IPython", load, 0.080),
        ("%load_ext feast_nb beside import feast", load / feast, 1 / 20),
    ]


def fingerprinting() -> list[tuple[str, float, float]]:
    """The fingerprint of a million rows beside writing them as Parquet."""
    import numpy as np
    import pandas as pd

    from feast_nb import fingerprint

    draw = np.random.default_rng(0)
    columns = {f"x{i}": draw.random(1_000_000) for i in range(8)}
    frame = pd.DataFrame(columns | {"id": draw.integers(0, 10**6, 1_000_000)})
    with tempfile.TemporaryDirectory() as folder:
        parquet = median(lambda: frame.to_parquet(Path(folder) / "x.parquet"), rounds=3)
    ours = median(lambda: fingerprint.of(frame), rounds=3)
    return [("fingerprint of 1,000,000 × 9 beside to_parquet", ours / parquet, 1.0)]


def retrieving() -> list[tuple[str, float, float]]:
    """What recording adds to a historical retrieval in a run, beside what Feast's own adds.

    MLflow on SQLite, no server: the case that is kindest to Feast's own.
    """
    import os

    import mlflow
    import pandas as pd

    from .conftest import NOW, make_repository

    with tempfile.TemporaryDirectory() as folder:
        os.environ["FEAST_NB_STATE"] = f"{folder}/state"
        repo = make_repository(Path(folder) / "repo", tracking_uri=f"sqlite:///{folder}/m.db")
        asked = pd.DataFrame({"driver_id": range(10), "event_timestamp": [NOW] * 10})
        from feast import FeatureStore

        store = FeatureStore(repo_path=str(repo))

        def retrieve() -> None:
            store.get_historical_features(asked, ["hourly:trips", "hourly:conv_rate"]).to_df()

        retrieve()
        bare = median(retrieve)
        with store.mlflow.start_run():
            feasts = median(retrieve) - bare
        from feast_nb.session import recorder

        recorder.current()
        with store.mlflow.start_run():
            retrieve()
            ours = median(retrieve) - bare
        recorder.shut()
        mlflow.end_run()
    return [("time added to a retrieval in a run, beside Feast's own", ours / feasts, 1.0)]


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
