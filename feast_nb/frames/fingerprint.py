"""The content hash of a frame: every row, every column, whatever the order of the rows.

Why not MLflow's digest: `mlflow.data.from_pandas` looks at the first 10,000 rows and at neither
timestamps nor booleans (mlflow/mlflow#11560), so two different training sets can share one.

How: each value becomes 64 bits (`hashing.py`), each row the sum of its values' bits mixed with
their column's name, and the frame two sums over its rows, which no order of rows can change and
which the parts of a frame can be added up from. The schema is hashed apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from . import hashing
from .arrow_values import MISSING
from .columns import HashedColumn, of_arrow, of_series

if TYPE_CHECKING:
    import pyarrow as pa

    from . import Tabular

_ROWS_AT_ONCE = 1 << 14  # a chunk's bits stay in the processor's cache: 2–3 times faster


@dataclass(frozen=True)
class Fingerprint:
    """Who a frame is. `rows` and `schema` tell where two fingerprints differ.

    `digest` is 35 characters (MLflow takes at most 36 for a dataset's digest); `row_order` hashes
    the order in which the rows stand, which is no part of the digest.
    """

    rows: str
    schema: str
    row_order: str

    @property
    def digest(self) -> str:
        return f"{self.rows}-{self.schema}"


class ColumnDigest(NamedTuple):
    """A column's name, the kind of its type, and a hash of its values."""

    name: str
    kind: str
    values: str


class Sums:
    """What the rows of a frame add up to, part by part; parts may come from other machines."""

    def __init__(self) -> None:
        self.first = self.second = self.length = 0
        self._order = hashlib.blake2b(digest_size=4)

    def add(self, columns: Sequence[HashedColumn], length: int) -> None:
        """Add some rows, given as columns."""
        import numpy as np

        seeds = [np.uint64(_seed(c.name, i, columns)) for i, c in enumerate(columns)]
        with np.errstate(over="ignore"):
            gone = [hashing.mixed([hashing.mixed([s])[0] + np.uint64(MISSING)])[0] for s in seeds]
            scratch = np.empty(_ROWS_AT_ONCE, np.uint64)
            for start in range(0, length, _ROWS_AT_ONCE):
                row = np.zeros(min(_ROWS_AT_ONCE, length - start), np.uint64)
                for seed, none, column in zip(seeds, gone, columns, strict=True):
                    bits, gaps = column.at(start, start + len(row))
                    bits += seed
                    hashing.mix(bits, scratch)
                    if gaps is not None:
                        bits[gaps] = none
                    row += bits
                hashing.mix(row, scratch)
                self._order.update(row.data)
                self.first += int(row.sum(dtype=np.uint64))
                row += np.uint64(MISSING)
                hashing.mix(row, scratch)
                self.second += int(row.sum(dtype=np.uint64))
        self.length += length

    def add_sums(self, first: int, second: int, length: int) -> None:
        """Add what other rows add up to; the order of the rows is not known then."""
        self.first, self.second = self.first + first, self.second + second
        self.length += length

    def fingerprint(self, schema: Iterable[tuple[str, str]]) -> Fingerprint:
        """The fingerprint of all rows, in columns of these names and kinds."""
        content = hashlib.blake2b(digest_size=13)
        for number in (self.first % 2**64, self.second % 2**64, self.length):
            content.update(number.to_bytes(8, "little"))
        form = hashlib.blake2b(digest_size=4)
        for name, kind in schema:
            form.update(f"{name}\0{kind}\0".encode("utf-8", "surrogatepass"))
        return Fingerprint(content.hexdigest(), form.hexdigest(), self._order.hexdigest())


def of(frame: Tabular, types: Mapping[str, pa.DataType] | None = None) -> Fingerprint:
    """The fingerprint of a pandas frame (its index left out) or an Arrow table.

    `types` gives columns the Arrow type they are declared to have: an integer column with
    missing values comes as floats from pandas, and as integers from Arrow, and is the same.
    """
    columns = columns_of(frame, types or {})
    sums = Sums()
    sums.add(columns, len(frame))
    return sums.fingerprint((c.name, c.kind) for c in columns)


def of_columns(frame: Tabular, types: Mapping[str, pa.DataType]) -> list[ColumnDigest]:
    """Each column by itself: its kind, and a hash of its values whatever their order."""
    found = []
    for column in columns_of(frame, types):
        sums = Sums()
        sums.add([column], len(frame))
        found.append(ColumnDigest(column.name, column.kind, sums.fingerprint(()).rows))
    return found


def columns_of(
    frame: Tabular | pa.RecordBatch, types: Mapping[str, pa.DataType]
) -> list[HashedColumn]:
    """The columns of a frame or table, by position: names may be doubled or no strings."""
    import pyarrow as pa

    if isinstance(frame, (pa.Table, pa.RecordBatch)):
        found = zip(frame.schema.names, frame.columns, strict=True)
        return [of_arrow(name, array, types.get(name)) for name, array in found]
    names = [str(c) for c in frame.columns]
    return [of_series(n, frame.iloc[:, i], types.get(n)) for i, n in enumerate(names)]


def _seed(name: str, place: int, columns: Sequence[HashedColumn]) -> int:
    """A column's share of the row hash: by name, and by place only where the name is doubled."""
    doubled = sum(other.name == name for other in columns) > 1
    return hashing.digest_of(f"{name}\0{place}" if doubled else name)
