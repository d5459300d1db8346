"""Which frame came from which retrieval.

A frame carries the id of its retrieval in `df.attrs` (pandas hands it on through selections,
filters and scikit-learn's `train_test_split`, not through joins). Where that is lost, the columns
tell: the retrieval whose result has the columns that a model was fitted on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from .records import Retrieval

ATTR = "feast_nb"  # one short string: anything else makes pandas copy or Parquet refuse

LinkedBy = Literal["attrs", "name", "columns", "declared"]


def mark(frame: Any, retrieval_id: str) -> None:
    """Write the retrieval's id on a pandas frame; other kinds of frame are left alone."""
    if is_pandas(frame):
        frame.attrs[ATTR] = retrieval_id


def mark_of(frame: Any) -> str | None:
    """The id of the retrieval that a frame says it came from."""
    value = frame.attrs.get(ATTR) if is_pandas(frame) else None
    return value if isinstance(value, str) else None


def is_pandas(value: Any) -> bool:
    """Whether a value is a pandas frame, asked without importing pandas."""
    kind = getattr(sys.modules.get("pandas"), "DataFrame", None)
    # The class itself is asked: some objects raise when asked what they say they are.
    return kind is not None and issubclass(type(value), kind)


def of_columns(names: Sequence[str], retrievals: Iterable[Retrieval]) -> Retrieval | None:
    """The retrieval whose features cover `names` best, the latest of equals; None for no overlap.

    A model may use fewer features than were retrieved, and columns of its own beside them, so
    most names covered wins, then the fewest features left over.
    """
    wanted = set(names)
    best: tuple[int, int, Retrieval] | None = None
    for retrieval in retrievals:
        have = set(retrieval.columns())
        covered = len(wanted & have)
        rank = (covered, -len(have - wanted))
        if covered and (best is None or rank >= best[:2]):
            best = (*rank, retrieval)
    return best[2] if best else None


def of_model(
    names: Sequence[str] | None, width: int | None, retrievals: Sequence[Retrieval]
) -> Retrieval | None:
    """The historical retrieval that a model was fitted on, by its input names, else their number.

    Without either, it is the latest one before the model was logged.
    """
    historical = [r for r in retrievals if r.kind == "historical"]
    if names:
        return of_columns(names, historical)
    if width is not None:
        fitting = [r for r in historical if len(r.refs) == width]
        if fitting:
            return fitting[-1]
        historical = [r for r in historical if r.linked_by is None] or historical
    return historical[-1] if historical else None
