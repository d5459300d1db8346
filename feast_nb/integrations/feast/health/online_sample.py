"""Some entities of a view, online beside offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ....errors import FeatureError
from ....records.retrieval import NO_ENTITY
from ..servers import remote_answers
from ..views import View

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from feast import FeatureStore
    from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse

_SEED = 20_240_101  # the same entities at each look
_CLOSE = 1e-6  # Float32 online, Float64 in a file


@dataclass
class OnlineSample:
    """What was read of some entities, and how it stands to the source.

    `expected` are those whose newest row lies in what was loaded and has not expired, `found` those
    of them that are there (`there` counts all that are); `late` have a row that should have been
    loaded and is not, `since` is the oldest of those that are missing or late. `behind` counts
    entities of the source with a row that is newer than what was loaded, `different` values by
    feature.
    """

    asked: int = 0
    expected: int = 0
    found: int = 0
    there: int = 0
    expired: int = 0
    late: int = 0
    behind: int = 0
    compared: int = 0
    newest: datetime | None = None
    since: datetime | None = None
    different: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()
    values: dict[str, pd.Series] = field(default_factory=dict)


def fetched(
    store: FeatureStore,
    view: View,
    keys: Sequence[str],
    latest: pd.DataFrame,
    most: int,
) -> OnlineSample:
    """Read up to `most` entities of the source online, and hold them against it."""
    import pandas as pd

    rows = latest
    if len(latest) > most:  # the newest are among them: how old the newest is decides
        newest = latest.nlargest(max(most // 20, 1), "event_timestamp")
        others = latest.drop(newest.index).sample(most - len(newest), random_state=_SEED)
        rows = pd.concat([newest, others])
    rows = rows.reset_index(drop=True)
    seen = OnlineSample(asked=len(rows))
    if not len(rows):
        return seen
    features = [f.name for f in view.features]
    with remote_answers.with_timestamps():
        answer = store.get_online_features(
            features=[f"{view.view}:{name}" for name in features],
            entity_rows=_entity_rows(rows, keys),
        )
    names = list(answer.proto.metadata.feature_names.val)
    results = dict(zip(names, answer.proto.results, strict=True))
    came = answer.to_dict()
    moments = _moments(results[features[0]], len(rows))
    _count(seen, view, rows["event_timestamp"], moments)
    _compare(seen, rows, features, came, moments)
    there = moments > 0
    seen.values = {name: pd.Series(came[name])[there] for name in features}
    return seen


def _entity_rows(rows: pd.DataFrame, keys: Sequence[str]) -> list[dict[str, object]]:
    if not keys:  # as Feast asks for the one row of a view without entities
        return [{f"{NO_ENTITY}_id": ""} for _ in range(len(rows))]
    plain = {key: rows[key].tolist() for key in keys}
    return [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)]


def _moments(result: GetOnlineFeaturesResponse.FeatureVector, rows: int) -> npt.NDArray[np.float64]:
    """Seconds since 1970 of each row's event; 0 where the store has none.

    Raises `FeatureError` for a store that keeps no events: what is missing is not known of it.
    """
    import numpy as np

    found = np.array([at.seconds + at.nanos / 1e9 for at in result.event_timestamps])
    if len(found) != rows:
        raise FeatureError("the online store says of no value when its event was.")
    return found


def _count(
    seen: OnlineSample,
    view: View,
    offline: pd.Series,
    online: npt.NDArray[np.float64],
) -> None:
    import numpy as np

    now = datetime.now(UTC).timestamp()
    at = offline.astype("int64").to_numpy() / _unit(offline)
    loaded = np.zeros(len(at), dtype=bool)
    for start, end in view.loads:
        loaded |= (at >= start.timestamp()) & (at <= end.timestamp())
    alive = at >= now - view.ttl if view.ttl else np.ones(len(at), dtype=bool)
    there = online > 0
    # An older row of an entity whose newest is not loaded yet may be there, or may not.
    expected = loaded & alive
    seen.expected = int(expected.sum())
    seen.found = int((expected & there).sum())
    late = there & loaded & (at > online + 1e-3)
    seen.late = int(late.sum())
    if (wrong := late | (expected & ~there)).any():
        seen.since = datetime.fromtimestamp(float(at[wrong].min()), UTC)
    seen.there = int(there.sum())
    seen.expired = int((there & (online < now - view.ttl)).sum()) if view.ttl else 0
    if there.any():
        seen.newest = datetime.fromtimestamp(float(online[there].max()), UTC)


def _unit(moments: pd.Series) -> float:
    """How many of a column's units make a second."""
    return {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[str(moments.dt.unit)]


def _compare(
    seen: OnlineSample,
    rows: pd.DataFrame,
    features: Sequence[str],
    came: dict[str, list[object]],
    moments: npt.NDArray[np.float64],
) -> None:
    """Value by value, where both have the same event."""
    import numpy as np

    at = rows["event_timestamp"].astype("int64").to_numpy() / _unit(rows["event_timestamp"])
    same = (moments > 0) & (np.abs(at - moments) < 1e-3)
    seen.compared = int(same.sum())
    passed = []
    for name in features:
        if name not in rows.columns:
            passed.append(name)
            continue
        pairs = [(rows[name].iloc[i], came[name][i]) for i in np.flatnonzero(same)]
        told = [(o, n) for o, n in pairs if not (_is_gap(o) and _is_gap(n))]
        if any(not _is_plain(v) for pair in told for v in pair):
            passed.append(name)
            continue
        wrong = [(o, n) for o, n in told if not _equal(o, n)]
        if wrong:
            seen.different[name] = len(wrong)
            seen.examples[name] = f"offline {_shown(wrong[0][0])}, online {_shown(wrong[0][1])}"
    seen.passed_over = tuple(passed)


def _is_gap(value: object) -> bool:
    import numpy as np
    import pandas as pd

    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    return value is None or value is pd.NA or value is pd.NaT


def _is_plain(value: object) -> bool:
    import numpy as np

    return _is_gap(value) or isinstance(value, str | bool | int | float | np.number | np.bool_)


def _equal(offline: Any, online: Any) -> bool:
    import numpy as np

    if _is_gap(offline) or _is_gap(online):
        return False
    if isinstance(offline, str) or isinstance(online, str):
        return str(offline) == str(online)
    return bool(np.isclose(float(offline), float(online), rtol=_CLOSE, atol=1e-9))


def _shown(value: object) -> str:
    return "null" if _is_gap(value) else f"{value:g}" if isinstance(value, float) else str(value)
