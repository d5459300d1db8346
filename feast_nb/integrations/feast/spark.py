"""Spark frames: their rows stay with the engine, which hashes them and writes the copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame as SparkDataFrame

_SUMS = "first string, second string, length long"


def is_frame(value: object) -> bool:
    """Whether a value is a Spark frame, classic or of Spark Connect."""
    return type(value).__module__.startswith("pyspark.sql") and hasattr(value, "mapInArrow")


class SparkEntities:
    """A Spark frame as the recording needs it; the driver collects sums, never rows."""

    def __init__(self, frame: SparkDataFrame) -> None:
        self._frame = frame

    def sums(self) -> list[tuple[int, int, int]]:
        """What each part of the frame adds up to (see `fingerprint.Sums`)."""
        found = self._frame.mapInArrow(_sums_of, _SUMS).collect()
        return [(int(row["first"]), int(row["second"]), int(row["length"])) for row in found]

    def schema(self) -> pa.Table:
        """An empty Arrow table with the frame's columns."""
        return self._frame.limit(0).toArrow()

    def span(self, column: str) -> tuple[str | None, str | None]:
        """The first and last moment in a column, in UTC."""
        from pyspark.sql import functions as spark

        moments = spark.unix_micros(spark.col(column).cast("timestamp"))
        row = self._frame.select(spark.min(moments), spark.max(moments)).collect()[0]
        return _moment(row[0]), _moment(row[1])

    def why_not(self) -> str | None:
        """Why the engine cannot write a copy that this process can send; None where it can."""
        if type(self._frame).__module__.startswith("pyspark.sql.connect"):
            return "Spark Connect's executors cannot reach this machine's files"
        master = self._frame.sparkSession.sparkContext.master
        if master.startswith("local"):
            return None
        return f"the executors of {master} cannot reach this machine's files"

    def write(self, path: Path) -> None:
        """Write the frame as a folder of Parquet files."""
        self._frame.write.mode("overwrite").parquet(path.absolute().as_uri())


def _moment(micros: int | None) -> str | None:
    from datetime import UTC, datetime, timedelta

    if micros is None:
        return None
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()


def _sums_of(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Runs in Spark's workers, which need feast_nb installed as they need Feast."""
    import pyarrow as pa

    from feast_nb.frames import fingerprint

    sums = fingerprint.Sums()
    for batch in batches:
        sums.add(fingerprint.columns_of(batch, {}), batch.num_rows)
    first, second = str(sums.first % 2**64), str(sums.second % 2**64)
    yield pa.RecordBatch.from_pydict(
        {"first": [first], "second": [second], "length": [sums.length]}
    )
