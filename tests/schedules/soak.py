"""A thousand schedules, and what came of them: `python -m tests.schedules.soak [--seed N] [COUNT]`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from ..conftest import mlflow_in
from .schedule import Laboratory, Schedule


def main() -> int:
    """Live through schedules one after the other; print each fault, and the sum: of Ctrl-C, too."""
    asked = argparse.ArgumentParser()
    asked.add_argument("count", type=int, nargs="?", default=1000)
    asked.add_argument("--first", type=int, default=1000)
    asked.add_argument("--seed", type=int, help="one schedule alone")
    options = asked.parse_args()
    seeds = [options.seed] if options.seed is not None else range(
        options.first, options.first + options.count
    )  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="feast_nb_soak"))
    os.environ.update(
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
        FEAST_NB_STATE=str(folder / "mine"),
        FEAST_NB_CACHE=str(folder / "cache"),
    )
    with mlflow_in(folder) as server:
        return _live_through(server, folder, list(seeds))


def _live_through(server: str, folder: Path, seeds: list[int]) -> int:
    laboratory = Laboratory(server, folder, seed=seeds[0])
    bad, lived, retrievals, kills, began = 0, 0, 0, 0, time.monotonic()
    with suppress(KeyboardInterrupt):  # the sum of what was lived through is known all the same
        for seed in seeds:
            outcome = laboratory.run(Schedule.drawn(seed))
            faults = outcome.faults()
            lived += 1
            kills += len(outcome.killed)
            log = (outcome.place / "log").read_text()
            retrievals += log.count('"online"') + log.count('"retrieve"')
            bad += bool(faults)
            for fault in faults:
                print(f"seed {seed}: {fault}", flush=True)
    laboratory.close()
    print(
        f"{lived} schedules, {retrievals} retrievals, {kills} kills, "
        f"{sum(laboratory.line.counts.values()) - laboratory.line.counts['ok']} requests failed "
        f"({laboratory.line.counts}); {bad} schedules with a fault; "
        f"{time.monotonic() - began:.0f} s",
        flush=True,
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
