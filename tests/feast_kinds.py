"""A repository with a view of every kind that Feast has, and how each is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from .conftest import make_repository

DAY, MOMENT = "2024-05-01", pd.Timestamp("2024-05-04", tz="UTC")
FROM, TO = datetime(2024, 4, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
YAML = "registry:\n  path: registry.db\n  enable_online_feature_view_versioning: true"


class Kind(NamedTuple):
    """How a view of a kind is asked for; `inputs` are the columns that its model takes."""

    inputs: tuple[str, ...]
    features: tuple[str, ...] = ()
    service: str | None = None
    given: tuple[str, ...] = ("driver_id",)
    full: bool = False


ASKED = {
    "batch": Kind(("rate",), ("batch:rate",)),
    "field-mapped": Kind(("score",), ("mapped:score",)),
    "pushed": Kind(("pushes",), ("pushed:pushes",)),
    "streamed": Kind(("clicks",), ("streamed:clicks",)),
    "aggregated": Kind(("sum_total_1h",), ("aggregated:sum_total_1h",)),
    "on demand, pandas": Kind(("rate2",), ("in_pandas:rate2",)),
    "on demand, python": Kind(("rate3",), ("in_python:rate3",)),
    "on demand, singleton": Kind(("rate4",), ("singleton:rate4",)),
    "on demand, request data": Kind(("rate5",), ("requested:rate5",), given=("driver_id", "bonus")),
    "on demand, written": Kind(("rate6",), ("written:rate6",)),
    "label": Kind(("rate",), ("batch:rate", "labels:quality")),
    "entity-less": Kind(("fx", "rate"), ("batch:rate", "fx:fx")),
    "pinned": Kind(("old",), ("versioned@v0:old",)),
    "pinned, full names": Kind(("versioned__old",), ("versioned@v0:old",), full=True),
    "pinned by a service": Kind(("old",), service="pinned"),
    "two versions": Kind(
        ("versioned__old", "versioned__kept"), ("versioned@v0:old", "versioned@v1:kept"), full=True
    ),
    "renamed keys": Kind(
        ("origin__rate", "target__rate"), service="both", given=("o_id", "t_id"), full=True
    ),
}
DERIVED = ("in_pandas", "in_python", "singleton", "requested", "clashing", "one_row")


def define(repo: Path) -> list[Any]:
    """One repository with a view of each kind."""
    from feast import (
        Entity,
        FeatureService,
        FeatureView,
        Field,
        FileSource,
        KafkaSource,
        PushSource,
        RequestSource,
        StreamFeatureView,
        ValueType,
    )
    from feast.aggregation import Aggregation
    from feast.data_format import JsonFormat
    from feast.labeling.label_view import LabelView
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import Float64, Int64, String

    def source(name: str, **more: Any) -> FileSource:
        path = str(repo / "kinds" / f"{name}.parquet")
        return FileSource(name=f"of_{name}", path=path, **{"timestamp_field": "at", **more})

    def fields(**types: Any) -> list[Field]:
        return [Field(name=name, dtype=dtype) for name, dtype in types.items()]

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    more = {"entities": [driver], "ttl": timedelta(days=9000)}
    batch = FeatureView(name="batch", schema=fields(rate=Float64), source=source("batch"), **more)
    mapping = {"no": "driver_id", "s": "score"}
    mapped = FeatureView(name="mapped", schema=fields(score=Float64),
                         source=source("mapped", field_mapping=mapping), **more)  # fmt: skip
    push = PushSource(name="push", batch_source=source("pushed"))
    pushed = FeatureView(name="pushed", schema=fields(pushes=Int64), source=push, **more)
    kafka = KafkaSource(name="kafka", kafka_bootstrap_servers="localhost:1", topic="t",
                        timestamp_field="at", message_format=JsonFormat("a int"),
                        batch_source=source("streamed"))  # fmt: skip
    streamed = StreamFeatureView(name="streamed", schema=fields(clicks=Int64), source=kafka,
                                 mode="spark", timestamp_field="at", **more)  # fmt: skip
    totals = KafkaSource(name="totals", kafka_bootstrap_servers="localhost:1", topic="u",
                         timestamp_field="at", message_format=JsonFormat("a int"),
                         batch_source=source("aggregated"))  # fmt: skip
    window = Aggregation(column="total", function="sum", time_window=timedelta(hours=1))
    aggregated = StreamFeatureView(name="aggregated", schema=fields(sum_total_1h=Int64),
                                   source=totals, mode="spark", timestamp_field="at",
                                   aggregations=[window], **more)  # fmt: skip
    labels = LabelView(name="labels", entities=[driver], source=source("labels"),
                       schema=fields(driver_id=Int64, quality=Float64, labeler=String))  # fmt: skip
    fx = FeatureView(name="fx", entities=[], ttl=timedelta(days=9000), schema=fields(fx=Float64),
                     source=source("fx"))  # fmt: skip
    request = RequestSource(name="bonus", schema=fields(bonus=Int64))

    @on_demand_feature_view(sources=[batch], schema=fields(rate2=Float64), mode="pandas")
    def in_pandas(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"rate2": inputs["rate"] * 2})

    @on_demand_feature_view(sources=[batch], schema=fields(rate3=Float64), mode="python")
    def in_python(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"rate3": [None if v is None else v * 3 for v in inputs["rate"]]}

    @on_demand_feature_view(
        sources=[batch], schema=fields(rate4=Float64), mode="python", singleton=True
    )
    def singleton(inputs: dict[str, Any]) -> dict[str, Any]:
        given = inputs["rate"]  # a list in Feast's offline stores, in singleton mode too
        return {"rate4": [v * 4 for v in given] if isinstance(given, list) else given * 4}

    @on_demand_feature_view(
        sources=[batch], schema=fields(rate8=Float64), mode="python", singleton=True
    )
    def one_row(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"rate8": (inputs["rate"] or 0) * 8}

    @on_demand_feature_view(sources=[batch, request], schema=fields(rate5=Float64), mode="pandas")
    def requested(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"rate5": inputs["rate"] + inputs["bonus"]})

    @on_demand_feature_view(
        sources=[batch], schema=fields(rate6=Float64), mode="pandas", write_to_online_store=True,
        entities=[driver],
    )  # fmt: skip
    def written(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"rate6": inputs["rate"] * 6})

    same = RequestSource(name="same", schema=fields(driver_id=Int64, hour=Int64))

    @on_demand_feature_view(sources=[batch, same], schema=fields(rate7=Float64), mode="pandas")
    def clashing(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"rate7": inputs["rate"] + inputs["hour"]})

    both = FeatureService(name="both", features=[
        batch.with_name("origin").with_join_key_map({"driver_id": "o_id"}),
        batch.with_name("target").with_join_key_map({"driver_id": "t_id"}),
    ])  # fmt: skip
    off = FeatureView(name="off", schema=fields(rate=Float64), source=source("batch"), **more)
    return [driver, batch, mapped, push, pushed, kafka, streamed, totals, aggregated, labels, fx,
            in_pandas, in_python, singleton, requested, written, clashing, one_row,
            both, off]  # fmt: skip


def versioned(repo: Path, *columns: str) -> Any:
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(
        name="of_versioned", path=str(repo / "kinds" / "versioned.parquet"), timestamp_field="at"
    )
    return FeatureView(
        name="versioned", entities=[driver], ttl=timedelta(days=9000), source=source,
        schema=[Field(name=c, dtype=Float64) for c in columns],
    )  # fmt: skip


def write_sources(repo: Path) -> None:
    ids = [1, 2, 3, 4]
    at = pd.Series([pd.Timestamp(DAY, tz="UTC")] * 4).astype(
        "datetime64[us, UTC]"
    )  # DuckDB takes no ns
    columns: dict[str, dict[str, Any]] = {
        "batch": {"rate": [0.1, 0.2, 0.3, 0.4]},
        "pushed": {"pushes": [1, 2, 3, 4]},
        "streamed": {"clicks": [5, 6, 7, 8]},
        "aggregated": {"total": [1, 2, 3, 4], "sum_total_1h": [1, 2, 3, 4]},
        "labels": {"quality": [1.0, 0.0, 1.0, 0.0], "labeler": ["a", "b", "a", "b"]},
        "versioned": {"old": [1.0, 2.0, 3.0, 4.0], "kept": [4.0, 3.0, 2.0, 1.0]},
    }
    (repo / "kinds").mkdir(parents=True, exist_ok=True)
    for name, own in columns.items():
        frame = pd.DataFrame({"driver_id": ids, "at": at, **own})
        frame.to_parquet(repo / "kinds" / f"{name}.parquet")
    mapped = pd.DataFrame({"no": ids, "at": at, "s": [9.0, 8.0, 7.0, 6.0]})
    mapped.to_parquet(repo / "kinds" / "mapped.parquet")
    pd.DataFrame({"at": at[:1], "fx": [1.1]}).to_parquet(repo / "kinds" / "fx.parquet")


def rows() -> pd.DataFrame:
    return pd.DataFrame({"driver_id": [1, 2, 3, 4], "o_id": [1, 2, 3, 4], "t_id": [4, 3, 2, 1],
                         "bonus": [1, 1, 2, 2], "hour": [1, 1, 2, 2], "event_timestamp": [MOMENT] * 4,
                         "y": [0.0, 1.0, 2.0, 3.0]})  # fmt: skip


def build(repo: Path) -> Path:
    """Make the repository, apply it and fill its online store."""
    import feast
    import mlflow

    write_sources(repo)
    # DuckDB materializes no entity-less view (Feast 0.67).
    make_repository(repo, project="kinds", offline="file", define=lambda _: [])
    text = (repo / "feature_store.yaml").read_text().replace("registry: registry.db", YAML)
    (repo / "feature_store.yaml").write_text(text)
    store = feast.FeatureStore(str(repo))
    store.apply([*define(repo), versioned(repo, "old", "kept")])
    store.apply([versioned(repo, "kept")])
    store.apply([feast.FeatureService(name="pinned", features=["versioned@v0"])])
    # Feast's local engine fills no windows: a stream job writes them.
    views = {v.name for v in store.list_all_feature_views()} - {"aggregated", "labels", *DERIVED}
    store.materialize(FROM, TO, feature_views=sorted(views))
    sums = pd.read_parquet(repo / "kinds" / "aggregated.parquet").drop(columns="total")
    store.write_to_online_store("aggregated", sums)
    for version in ("v0", "v1"):
        store.materialize(FROM, TO, feature_views=["versioned"], version=version)
    mlflow.MlflowClient(f"sqlite:///{repo}/mlflow.db").search_experiments()
    return repo


def train(session: Any, name: str, kind: Kind) -> None:
    from sklearn.linear_model import LinearRegression

    entity_df = rows()[[*kind.given, "event_timestamp", "y"]]
    more = {"service": kind.service} if kind.service else {"features": kind.features}
    with session.train(
        name, entity_df=entity_df, full_feature_names=kind.full, register=name, **more
    ) as training:
        frame = training.frame
        # Stores differ in what they call a pinned version's column.
        columns = [c for c in kind.inputs if c in frame] or list(
            frame.columns[3 : 3 + len(kind.inputs)]
        )
        training.model = LinearRegression().fit(frame[columns], frame["y"])


def named(kind: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in kind)
