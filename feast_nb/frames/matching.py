"""Which frame came from which retrieval, and how sure that is.

A frame carries the id of its retrieval in `df.attrs` (pandas hands it on through selections,
filters and scikit-learn's `train_test_split`, not through joins). Where that is lost, the variables
tell that a cell made it from; then the columns: the retrieval whose result has those that a model
was fitted on.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..records.retrieval import LinkedBy, Retrieval
from . import is_of_pandas, is_pandas

ATTR = "feast_nb"  # one short string: anything else makes pandas copy or Parquet refuse

# From the surest to a mere match: of two ways to know the same link the surer one is recorded.
LINK_CONFIDENCE: tuple[LinkedBy, ...] = ("declared", "attrs", "name", "parent", "columns")

_FEW = 50  # items of a list or tuple that are looked at


def mark(frame: object, retrieval_id: str) -> None:
    """Write the retrieval's id on a pandas frame; other kinds of frame are left alone."""
    if is_pandas(frame):
        frame.attrs[ATTR] = retrieval_id


def mark_of(frame: Any) -> str | None:
    """The id of the retrieval that a frame, or a column of one, says it came from."""
    value = frame.attrs.get(ATTR) if is_pandas(frame) or is_of_pandas(frame, "Series") else None
    return value if isinstance(value, str) else None


def more_certain(one: LinkedBy, other: LinkedBy | None) -> bool:
    """Whether one way to know a link says more than another."""
    return other is None or LINK_CONFIDENCE.index(one) < LINK_CONFIDENCE.index(other)


def least_certain(ways: Iterable[LinkedBy]) -> LinkedBy:
    """How it is known that several links hold: no surer than the weakest of them."""
    return max(ways, key=LINK_CONFIDENCE.index, default="columns")


class FrameLineage:
    """Frames and arrays that have lost their mark, and the retrievals they were made from."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[weakref.ref[object], frozenset[str]]] = {}

    def _forget(self, key: int, gone: weakref.ref[object]) -> None:
        """A value is gone: its number may be another's from now on."""
        if (known := self._of.get(key)) is not None and known[0] is gone:
            del self._of[key]

    def of(self, value: object) -> dict[str, LinkedBy]:
        """Retrieval → how it is known that a value came from it; empty for no such value."""
        found: dict[str, LinkedBy] = {}
        for part in _parts(value):
            if own := mark_of(part):
                found[own] = "attrs"
            known = self._of.get(id(part))
            if known is not None and known[0]() is part:
                for other in known[1]:
                    found.setdefault(other, "name")
        return found

    def learn(self, value: object, ids: Iterable[str]) -> None:
        """Remember that a cell made a value from what these retrievals gave."""
        for part in _parts(value):
            new = frozenset(ids) - {mark_of(part)}
            if not new or not hasattr(part, "shape"):
                continue
            key = id(part)
            try:
                gone = weakref.ref(part, functools.partial(self._forget, key))
            except TypeError:
                continue  # a single number
            known = self._of.get(key)
            if known is not None and known[0]() is part:
                new |= known[1]
            self._of[key] = (gone, new)


def _parts(value: Any) -> Iterator[object]:
    """A value itself, or the frames in a list or dictionary of them."""
    if type(value) in (list, tuple) and len(value) <= _FEW:
        yield from value
    elif type(value) is dict and len(value) <= _FEW:
        yield from value.values()
    else:
        yield value


def of_shape(frame: object, retrievals: Iterable[Retrieval]) -> Retrieval | None:
    """The only retrieval that gave as many rows as a frame has, and all features among them."""
    if not is_pandas(frame):
        return None
    names, rows = {str(c) for c in frame.columns}, len(frame)
    fitting = [
        r
        for r in retrievals
        if r.kind == "historical" and r.result and r.result.rows == rows
        if set(r.columns()) <= names
    ]
    return fitting[0] if len(fitting) == 1 and rows else None


def of_columns(
    names: Sequence[str], retrievals: Iterable[Retrieval], used: Mapping[str, object] | None = None
) -> tuple[Retrieval, ...]:
    """The retrievals whose features cover `names` best: several where they do equally.

    A model may use fewer features than were retrieved, and columns of its own beside them, so
    most names covered wins, then one whose frame the cell reads (`used`), then the fewest
    features left over.
    """
    wanted = set(names)
    best: tuple[int, bool, int] | None = None
    found: list[Retrieval] = []
    for retrieval in retrievals:
        have = set(retrieval.columns())
        covered = len(wanted & have)
        rank = (covered, retrieval.id in (used or {}), -len(have - wanted))
        if covered and (best is None or rank >= best):
            found = [*(found if rank == best else []), retrieval]
            best = rank
    return tuple(found)


def of_model(
    names: Sequence[str] | None,
    width: int | None,
    retrievals: Sequence[Retrieval],
    used: Mapping[str, object] | None = None,
) -> tuple[Retrieval, ...]:
    """The historical retrievals that a model may have been fitted on: by its inputs, or how many.

    Names that the best one does not cover are looked for in the others: a frame may be joined
    from several. Without names or number, it is what the cell reads, else all there are. Equals
    are all given: nothing tells which of them it was.
    """
    historical = [r for r in retrievals if r.kind == "historical"]
    if names:
        return _covering(names, historical, used)
    read = [r for r in historical if r.id in (used or {})]
    if width is not None:
        fitting = [r for r in read or historical if len(r.refs) == width]
        if fitting:
            return tuple(fitting)
    if read:
        return tuple(read)
    return tuple([r for r in historical if r.linked_by is None] or historical)


def _covering(
    names: Sequence[str], retrievals: Sequence[Retrieval], used: Mapping[str, object] | None
) -> tuple[Retrieval, ...]:
    left, rest = list(names), list(retrievals)
    found: list[Retrieval] = []
    while left and (best := of_columns(left, rest, used)):
        found += best
        rest = [r for r in rest if r not in best]
        left = [n for n in left if n not in best[0].columns()]
    return tuple(found)
