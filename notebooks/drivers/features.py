"""Feast's driver example: hourly statistics of five drivers, and a service made of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.driver_test_data import create_driver_hourly_stats_df
from feast.types import Float32, Int64

DATA = Path(__file__).resolve().parent / "data"
DRIVERS = [1001, 1002, 1003, 1004, 1005]
END = datetime(2024, 5, 15, tzinfo=UTC)
START = END - timedelta(days=15)


def build() -> Path:
    """Write the hourly statistics, the same on every machine, and return their file."""
    DATA.mkdir(exist_ok=True)
    path = DATA / "driver_stats.parquet"
    np.random.seed(7)  # Feast's generator draws from numpy's global state
    stats = create_driver_hourly_stats_df(DRIVERS, START, END)
    stats = stats.drop_duplicates(["driver_id", "event_timestamp"])
    stats.to_parquet(path, index=False, coerce_timestamps="us", allow_truncated_timestamps=True)
    return path


def rated_trips(rows: int = 400, seed: int = 1) -> pd.DataFrame:
    """Trips with the rating that the passenger gave: the entity frame and its label."""
    draw = np.random.default_rng(seed)
    seconds = draw.integers(86_400, int((END - START).total_seconds()), rows)
    driver = draw.choice(DRIVERS, rows)
    return pd.DataFrame(
        {
            "driver_id": driver,
            "event_timestamp": pd.Timestamp(START) + pd.to_timedelta(np.sort(seconds), unit="s"),
            "rating": (3 + (driver - 1003) * 0.3 + draw.normal(0, 0.5, rows)).clip(1, 5).round(1),
        }
    )


driver = Entity(
    name="driver",
    join_keys=["driver_id"],
    value_type=ValueType.INT64,
    description="A driver, by number.",
)
driver_hourly_stats = FeatureView(
    name="driver_hourly_stats",
    entities=[driver],
    ttl=timedelta(days=2),
    schema=[
        Field(name="conv_rate", dtype=Float32),
        Field(name="acc_rate", dtype=Float32),
        Field(name="avg_daily_trips", dtype=Int64),
    ],
    source=FileSource(name="driver_stats", path=str(build()), timestamp_field="event_timestamp"),
)
driver_activity = FeatureService(name="driver_activity", features=[driver_hourly_stats])
DEFINITIONS = [driver, driver_hourly_stats, driver_activity]
