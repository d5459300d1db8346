"""What `session.materialize` costs beside Feast's own call, and how long a look at health takes."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from .conftest import make_repository

ROWS, ENTITIES, ROUNDS = 1_000_000, 100_000, 7
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC)


def operations() -> list[tuple[str, float, float]]:
    """A source of a million rows, loaded by both in turns; then the same project looked at."""
    import feast_nb

    with tempfile.TemporaryDirectory() as folder:
        repo = make_repository(Path(folder) / "repo")
        _rows().to_parquet(repo / "stats.parquet")
        session = feast_nb.open(repo)
        feasts: list[float] = []
        ours: list[float] = []
        for _ in range(ROUNDS):
            feasts.append(_timed(lambda: session.store.materialize(START, END, ["hourly"])))
            ours.append(_timed(lambda: session.materialize("hourly", start=START, end=END)))
        ratio = statistics.median(o / f for o, f in zip(ours, feasts, strict=True))
        looks = [_timed(lambda: session.health("hourly", seconds=60)) for _ in range(3)]
    return [
        ("session.materialize, 1,000,000 rows, beside Feast's own", ratio, 1.10),
        ("health of that view, seconds with the start of its process", looks[0], 30.0),
        ("health of that view, seconds of each later look", statistics.median(looks[1:]), 5.0),
    ]


def _rows() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    moments = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(
        draw.integers(0, 10 * 86_400, ROWS), unit="s"
    )
    return pd.DataFrame(
        {
            "driver_id": draw.integers(0, ENTITIES, ROWS),
            "event_timestamp": moments.astype("datetime64[us, UTC]"),
            "conv_rate": draw.random(ROWS).astype("float32"),
            "acc_rate": draw.random(ROWS).astype("float32"),
            "trips": draw.integers(0, 50, ROWS),
        }
    )


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
