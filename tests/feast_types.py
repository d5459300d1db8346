"""Every type of Feast's with values of it, a view of each, and the round trip that each goes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.base import BaseEstimator, RegressorMixin

MOMENTS = [datetime(2024, 1, n, 3, tzinfo=UTC) for n in (1, 2, 3)]
IDS = ["00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"]
ZONED, NEW_YORK = pa.timestamp("us", "UTC"), "America/New_York"
TIMES = [str(uuid.UUID(int=(1 << 124) + n)) for n in (1, 2)]

# Feast's type, as its own `str` has it → what a source holds of it, the third value missing.
VALUES: dict[str, pa.Array] = {
    "Int32": pa.array([1, 2, None], pa.int32()),
    "Int64": pa.array([2**40 + 1, 2, None], pa.int64()),
    "Float32": pa.array([0.1, 0.2, None], pa.float32()),
    "Float64": pa.array([0.1, 0.2, None], pa.float64()),
    "Bool": pa.array([True, False, None]),
    "String": pa.array(["a", "", None]),
    "Bytes": pa.array([b"\0\1", b"x", None]),
    "PdfBytes": pa.array([b"%PDF", b"x", None]),
    "ImageBytes": pa.array([b"\x89PNG", b"x", None]),
    "UnixTimestamp": pa.array([*MOMENTS[:2], None], ZONED),
    "Json": pa.array(['{"a": 1}', "[1,2]", None]),
    "Uuid": pa.array([*IDS, None]),
    "TimeUuid": pa.array([*TIMES, None]),
    "Decimal": pa.array(["1.10", "2.20", None]),
    "Map": pa.array([{"a": "x"}, {"a": "y"}, None]),
    "Struct": pa.array([{"x": 1.0, "y": "a"}, {"x": 2.0, "y": "b"}, None]),
    "Array(Int32)": pa.array([[1], [2, 3], None], pa.list_(pa.int32())),
    "Array(Int64)": pa.array([[1], [2, 3], None], pa.list_(pa.int64())),
    "Array(Float32)": pa.array([[0.1, 0.4], [0.2, 0.3], None], pa.list_(pa.float32())),
    "Array(Float64)": pa.array([[0.1], [0.2, 0.3], None], pa.list_(pa.float64())),
    "Array(Bool)": pa.array([[True], [False, True], None]),
    "Array(String)": pa.array([["a"], ["b", ""], None]),
    "Array(Bytes)": pa.array([[b"a"], [b"b", b""], None]),
    "Array(UnixTimestamp)": pa.array([MOMENTS[:1], MOMENTS[1:], None], pa.list_(ZONED)),
    "Array(Json)": pa.array([['{"a": 1}'], ["[1,2]"], None]),
    "Array(Uuid)": pa.array([IDS[:1], IDS[1:], None]),
    "Array(TimeUuid)": pa.array([TIMES[:1], TIMES[1:], None]),
    "Array(Decimal)": pa.array([["1.10"], ["2"], None]),
    "Array(Array(Float32))": pa.array(
        [[[0.1]], [[0.2], [0.3]], None], pa.list_(pa.list_(pa.float32()))
    ),
    "Array(Struct)": pa.array([[{"x": 1}], [{"x": 2}], None]),
    "Set(Int32)": pa.array([[1], [2, 3], None], pa.list_(pa.int32())),
    "Set(Int64)": pa.array([[1], [2, 3], None], pa.list_(pa.int64())),
    "Set(Float32)": pa.array([[0.1], [0.2, 0.3], None], pa.list_(pa.float32())),
    "Set(Float64)": pa.array([[0.1], [0.2, 0.3], None], pa.list_(pa.float64())),
    "Set(Bool)": pa.array([[True], [False, True], None]),
    "Set(String)": pa.array([["a"], ["b", "c"], None]),
    "Set(Bytes)": pa.array([[b"a"], [b"b", b"c"], None]),
    "Set(UnixTimestamp)": pa.array([MOMENTS[:1], MOMENTS[1:], None], pa.list_(ZONED)),
    "Set(Uuid)": pa.array([IDS[:1], IDS[1:], None]),
    "Set(TimeUuid)": pa.array([TIMES[:1], TIMES[1:], None]),
    "Set(Decimal)": pa.array([["1.10"], ["2"], None]),
}
# The same types from a source that holds them in another way.
VARIANTS: dict[str, pa.Array] = {
    "Float32 of halves": pa.array([0.5, 1.5, None], pa.float32()).cast(pa.float16()),
    "Int64 of small ones": pa.array([1, 2, None], pa.int16()),
    "UnixTimestamp of New York": pa.array([*MOMENTS[:2], None], pa.timestamp("us", NEW_YORK)),
    "UnixTimestamp without a zone": pa.array(
        [m.replace(tzinfo=None) for m in MOMENTS[:2]] + [None], pa.timestamp("us")
    ),
    "String of categories": pa.array(["a", "b", None]).dictionary_encode(),
    "Uuid in capitals": pa.array([*(i.upper() for i in IDS), None]),
}
EVERY = {**VALUES, **VARIANTS}
# What Feast 0.67 itself cannot do with a type, whatever its source holds.
NOT_ONLINE = {
    "ScalarMap": "Arrow refuses the keys that its local stores hand it",
    "ZonedTimestamp": "materializing one from a file raises `ZONED_TIMESTAMP expects datetime values`",
}


def feast_type(name: str) -> Any:
    from feast import types

    name = name.partition(" ")[0]
    if name.startswith("Struct"):
        return types.Struct({"x": types.Float64, "y": types.String})
    if name == "Array(Struct)":
        return types.Array(types.Struct({"x": types.Int64}))
    outer, paren, inner = name.partition("(")
    found = getattr(types, outer)
    return found(feast_type(inner[:-1])) if paren else found


def column(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name).strip("_").lower()


def define(folder: Path) -> list[Any]:
    """One view with a feature of each type."""
    from feast import Entity, FeatureView, Field, FileSource, ValueType

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    at = pa.array([datetime(2024, 5, 1, tzinfo=UTC)] * 3, ZONED)
    found: list[Any] = [driver]
    for name, values in EVERY.items():
        path = folder / f"{column(name)}.parquet"
        pq.write_table(pa.table({"driver_id": [1, 2, 3], "at": at, column(name): values}), path)
        source = FileSource(name=f"of_{column(name)}", path=str(path), timestamp_field="at")
        found.append(FeatureView(
            name=f"v_{column(name)}", entities=[driver], ttl=timedelta(days=9000), source=source,
            schema=[Field(name=column(name), dtype=feast_type(name))],
        ))  # fmt: skip
    return found


class Mean(RegressorMixin, BaseEstimator):
    """Takes a frame of anything, and keeps its names."""

    def fit(self, X: Any, y: Any) -> Mean:
        self.feature_names_in_ = np.array(X.columns, dtype=object)
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.mean_)


def rows() -> pd.DataFrame:
    moment = pd.Timestamp("2024-05-04", tz="UTC")
    return pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [moment] * 2, "y": [0.0, 1.0]})


def plain(value: Any, ordered: bool = True) -> Any:
    """A value as Python compares it: arrays as lists, sets in order, the fields of a struct too."""
    if isinstance(value, np.ndarray):
        inner = [plain(v) for v in value]
        return inner if ordered else sorted(inner)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def check_round_trip(session: Any, name: str) -> None:
    """Train on a feature of a type, register, serve it by all three doors: each time the same."""
    feature, ordered = column(name), not name.startswith("Set")
    with session.train(f"t_{feature}", features=(f"v_{feature}:{feature}",), entity_df=rows(),
                       register=feature) as training:  # fmt: skip
        frame = training.frame.sort_values("driver_id").reset_index(drop=True)
        training.model = Mean().fit(frame[[feature]], frame["y"])
    assert session.recorder.flush()
    trained = [plain(v, ordered) for v in frame[feature]]
    keys = rows()[["driver_id"]]

    online = session.score(f"{feature}/1", keys, with_features=True)
    as_of = session.score(
        f"{feature}/1", rows().drop(columns="y"), as_of="event_timestamp", with_features=True
    )
    vector = session.vector(f"{feature}/1", keys.to_dict("records"))
    assert [plain(v, ordered) for v in online[feature]] == trained
    assert [plain(v, ordered) for v in as_of[feature]] == trained
    assert [type(v) for v in online[feature]] == [type(v) for v in frame[feature]]
    assert [plain(v, ordered) for v in vector[:, 0]] == trained
    assert online["prediction"].tolist() == [0.5, 0.5]
    assert session.reproduce(f"{feature}/1", verify=True).verdict == "identical"


def round_trip(session: Any, model: str, names: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """As `check_round_trip`, of many types at once: name → trained, online, as of, vector."""
    features = [column(name) for name in names]
    refs = tuple(f"v_{feature}:{feature}" for feature in features)
    with session.train(f"t_{model}", features=refs, entity_df=rows(), register=model) as training:
        frame = training.frame.sort_values("driver_id").reset_index(drop=True)
        training.model = Mean().fit(frame[features], frame["y"])
    assert session.recorder.flush()
    keys = rows()[["driver_id"]]
    online = session.score(f"{model}/1", keys, with_features=True)
    then = rows().drop(columns="y")
    as_of = session.score(f"{model}/1", then, as_of="event_timestamp", with_features=True)
    vector = session.vector(f"{model}/1", keys.to_dict("records"))
    assert online["prediction"].tolist() == as_of["prediction"].tolist() == [0.5, 0.5]
    assert session.reproduce(f"{model}/1", verify=True).verdict == "identical"
    return {
        name: (list(frame[f]), list(online[f]), list(as_of[f]), list(vector[:, i]))
        for i, (name, f) in enumerate(zip(names, features, strict=True))
    }


def check_gaps(session: Any, name: str) -> None:
    """The same with a row of which nothing is known: it comes as training had it."""
    feature = column(name)
    asked = pd.concat([rows(), rows()[:1].assign(driver_id=3)], ignore_index=True)
    with session.train(f"g_{feature}", features=(f"v_{feature}:{feature}",), entity_df=asked,
                       register=f"g_{feature}") as training:  # fmt: skip
        frame = training.frame.sort_values("driver_id").reset_index(drop=True)
        training.model = Mean().fit(frame[[feature]], frame["y"])
    assert session.recorder.flush()
    fed = session.score(f"g_{feature}/1", asked[["driver_id"]], with_features=True)

    assert fed[feature].isna().tolist() == frame[feature].isna().tolist() == [False, False, True]
    ordered = not name.startswith("Set")
    served = [plain(v, ordered) for v in fed[feature][:2]]
    assert served == [plain(v, ordered) for v in frame[feature][:2]]
    assert fed["prediction"].notna().all()


# ---------------------------------------------------------------------- the table in the docs

HEAD = """\
# Types

What a feature of each of Feast's types is in training, in a model's contract, online and in MLflow.
Written by `python -m tests.feast_types`; each row is a test (`tests/integration/test_types.py` with
the `file` and `duckdb` offline stores and SQLite online, `tests/stack/test_redis.py` with Redis): what
`%feast_score` (online and `--as-of`) and `session.vector` feed a model equals what it was trained on.

- Json, Uuid, TimeUuid and Decimal are texts in training. Feast parses them online; the model is fed
  the text as it is stored.
- A Map is a struct in its source: Feast materializes none from a Parquet `map` column.
- Sources may hold halves, smaller integers, categories, moments of another zone or of none (they are
  UTC to Feast): served as they were trained on, too.
- A set has no order: online it comes sorted. Training has it in the source's order.
- Where MLflow's signature would refuse the very values that the model was trained on, the model is
  logged without one, and that is said when it is logged.

| Feast type | training frame | contract | Feast online | fed to the model | MLflow's signature |
| --- | --- | --- | --- | --- | --- |
"""


def shown(value: Any) -> str:
    """The type of a value, with that of an array's elements."""
    if isinstance(value, np.ndarray):
        return f"array of {value.dtype}"
    return type(value).__name__


def row(session: Any, name: str) -> str:
    """What one type is at each station, from a training and a look-up that were made for it."""
    from mlflow.models import get_model_info

    feature = column(name)
    ref = f"v_{feature}:{feature}"
    with session.train(feature, features=(ref,), entity_df=rows(), register=feature) as training:
        frame = training.frame
        training.model = Mean().fit(frame[[feature]], frame["y"])
    session.recorder.flush()
    online = session.store.get_online_features([ref], [{"driver_id": 1}]).to_dict()[feature][0]
    fed = session.score(f"{feature}/1", rows()[["driver_id"]], with_features=True)[feature]
    inputs = session.resolve(f"{feature}/1").contract.inputs
    signature = get_model_info(training.summary.models[0].uri).signature
    kept = signature.inputs.inputs[0].type if signature else None
    return (
        f"| {name} | {shown(frame[feature].iloc[0])} | {inputs[0].dtype} | {shown(online)} | "
        f"{shown(fed.iloc[0])} | {getattr(kept, 'name', kept) if signature else 'none'} |"
    )


def main() -> None:
    """Write `docs/types.md`."""
    import tempfile
    import warnings

    import feast_nb

    from .conftest import make_repository

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        repo = make_repository(Path(place) / "repo", define=define)
        session = feast_nb.open(repo)
        session.store.materialize(
            datetime(2024, 4, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
        )
        lines = [row(session, name) for name in VALUES]
        feast_nb.recorder.shut()
    tail = "\n".join(f"- {name}: {why}." for name, why in NOT_ONLINE.items())
    text = f"{HEAD}{chr(10).join(lines)}\n\nNot served by Feast 0.67 itself:\n\n{tail}\n"
    (Path(__file__).parents[1] / "docs" / "types.md").write_text(text)


if __name__ == "__main__":
    main()
