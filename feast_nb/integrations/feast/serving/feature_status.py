"""Whether each value of an online answer is there: present, null, expired or missing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse

    Codes = npt.NDArray[np.int8]

# From good to bad: an on-demand feature is as good as the worst of what it is computed from.
NAMES = ("present", "null", "expired", "missing")
PRESENT, NULL, EXPIRED, MISSING = range(4)

# Feast's `FieldStatus`. A store that says PRESENT for an entity it does not know (Redis) gives it
# a null of 1970.
_NOT_FOUND, _OUTSIDE_MAX_AGE = 3, 4


def of_answer(
    inputs: Mapping[str, Sequence[str]],
    views: Mapping[str, tuple[str, float]],
    came: Mapping[str, Sequence[object]],
    results: Mapping[str, GetOnlineFeaturesResponse.FeatureVector],
) -> Codes:
    """Rows × inputs of a model: the code of each value.

    `inputs` names the columns that tell of each input, its own and, of an on-demand feature, those
    that it is computed from; `views` holds the view of a column, and the seconds after which its
    values expire. `came` are the values of each column, `results` the protos that they came in.
    """
    import numpy as np

    now = time.time()
    moments: dict[str, list[int]] = {}  # of a view's rows: each of its features has the same
    known: dict[str, list[int]] = {}

    def codes(name: str) -> list[int]:
        if name in known:
            return known[name]
        if name in views and name in results:
            (view, ttl), result = views[name], results[name]
            if view not in moments:
                moments[view] = [at.seconds for at in result.event_timestamps]
            known[name] = _column(came[name], result.statuses, moments[view], ttl and now - ttl)
        else:
            known[name] = _gaps(came[name])
        return known[name]

    columns = []
    for names in inputs.values():
        told = [codes(name) for name in names if name in came]
        columns.append(told[0] if len(told) == 1 else list(map(max, zip(*told, strict=True))))
    return np.array(columns, dtype=np.int8).T


def _column(
    values: Sequence[object], statuses: Sequence[int], moments: Sequence[int], oldest: float
) -> list[int]:
    """Of a view's feature; what is from before `oldest` is expired (0: nothing is)."""
    if moments:
        found = [EXPIRED if 0 < at < oldest else PRESENT for at in moments]
    else:  # nobody says how old they are
        found = [PRESENT] * len(values)
    if _OUTSIDE_MAX_AGE in statuses:
        found = [
            EXPIRED if sent == _OUTSIDE_MAX_AGE else code
            for sent, code in zip(statuses, found, strict=True)
        ]
    if None in values:
        for i, value in enumerate(values):
            if value is None:
                unknown = statuses[i] == _NOT_FOUND or (bool(moments) and moments[i] == 0)
                found[i] = MISSING if unknown else NULL
    return found


def _gaps(values: Sequence[object]) -> list[int]:
    """Of what has no moment of its own (computed, or given by the caller)."""
    return [NULL if _is_gap(value) else PRESENT for value in values]


def _is_gap(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def none(inputs: int) -> Codes:
    """Of no rows."""
    import numpy as np

    return np.empty((0, inputs), dtype=np.int8)


def names(codes: Codes) -> npt.NDArray[np.object_]:
    """The codes as words, in an array of the same shape."""
    import numpy as np

    return np.array(NAMES, dtype=object)[codes]


def counts(codes: Codes) -> list[int]:
    """How many values have each code."""
    import numpy as np

    return [int(count) for count in np.bincount(codes.ravel(), minlength=len(NAMES))]
