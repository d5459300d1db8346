"""What a model is served now beside what it was trained on, as distributions.

The population stability index over the training's own deciles, with the limits that credit
scoring uses (Siddiqi 2006: from 0.1 it has moved a little, from 0.25 much). The p of a two-sample
Kolmogorov-Smirnov test is shown and decides nothing: of many values every difference is
significant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MOVED, MOVED_MUCH = 0.1, 0.25
FEWEST = 100  # served values: of fewer, chance alone gives a tenth
_BINS = 10
_MOST_WORDS = 20  # categories that are told apart; the others are one
_EMPTY = 1e-4  # the share that an empty bin counts as, so that its logarithm is finite
_TEST = 10_000  # rows of the training that the test takes


@dataclass(frozen=True)
class Shift:
    """How far served values lie from the training's: `shares` of each bin, then and now."""

    psi: float
    p: float | None
    training: tuple[float, ...]
    served: tuple[float, ...]


def shift(training: pd.Series, served: pd.Series) -> Shift | None:
    """Compare two columns, gaps left out; None where there are too few values to say.

    Numbers are binned by the training's deciles, words by the training's most frequent ones.
    """
    import pandas as pd

    then, now = training.dropna(), served.dropna()
    if len(now) < FEWEST or len(then) < FEWEST:
        return None
    if pd.api.types.is_bool_dtype(then) or not pd.api.types.is_numeric_dtype(then):
        return _of_words(then.map(str), now.map(str))
    return _of_numbers(then, pd.to_numeric(now, errors="coerce").dropna())


def _of_numbers(then: pd.Series, now: pd.Series) -> Shift | None:
    import numpy as np

    if len(now) < FEWEST:
        return None
    first, other = then.to_numpy(dtype="float64"), now.to_numpy(dtype="float64")
    inner = np.unique(np.quantile(first, np.linspace(0, 1, _BINS + 1)[1:-1]))

    def shares(values: Any) -> list[float]:
        bins = np.searchsorted(inner, values, side="left")
        return [float(n) / len(values) for n in np.bincount(bins, minlength=len(inner) + 1)]

    return _shift(shares(first), shares(other), p=_p_of(first, other))


def _p_of(first: Any, other: Any) -> float | None:
    try:
        from scipy.stats import ks_2samp
    except ImportError:  # MLflow brings it, its small edition does not
        return None
    step = max(1, len(first) // _TEST)
    return float(ks_2samp(first[::step], other, method="asymp").pvalue)


def _of_words(then: pd.Series, now: pd.Series) -> Shift:
    words = list(then.value_counts().index[:_MOST_WORDS])

    def shares(values: pd.Series) -> list[float]:
        found = values.value_counts(normalize=True)
        known = [float(found.get(word, 0.0)) for word in words]
        return [*known, max(0.0, 1.0 - sum(known))]

    return _shift(shares(then), shares(now), p=None)


def _shift(training: Sequence[float], served: Sequence[float], p: float | None) -> Shift:
    from math import log

    pairs = [(max(t, _EMPTY), max(s, _EMPTY)) for t, s in zip(training, served, strict=True)
             if t > 0 or s > 0]  # fmt: skip
    psi = sum((s - t) * log(s / t) for t, s in pairs)
    return Shift(psi, p, tuple(training), tuple(served))


def read_training(path: str, column: str) -> Any:
    """A column of a training set's kept copy; None where the copy does not have it."""
    import pyarrow.parquet as pq

    if column not in pq.read_schema(path).names:
        return None
    return pq.read_table(path, columns=[column]).column(column).to_pandas()
