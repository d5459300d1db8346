"""Every kind of view that Feast has × every question: it works, or one line says why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from feast_nb.errors import Drift, FeatureError, Warned
from feast_nb.integrations.feast import registry
from feast_nb.integrations.feast.views import KINDS

from ..conftest import make_repository

pytestmark = pytest.mark.xdist_group("kinds")  # its models are trained once, not by each worker

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
DERIVED = ("in_pandas", "in_python", "singleton", "requested", "clashing")


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
            in_pandas, in_python, singleton, requested, written, clashing, both, off]  # fmt: skip


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


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a view of each kind, applied and materialized."""
    import feast
    import mlflow

    repo = tmp_path_factory.mktemp("kinds") / "repo"
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


@pytest.fixture
def session(kinds: Path) -> Any:
    import feast_nb

    return feast_nb.open(kinds)


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


@pytest.mark.parametrize("kind", ASKED)
def test_every_question_of_every_kind(session, kind: str, capsys) -> None:
    asked, name = ASKED[kind], named(kind)
    train(session, name, asked)
    assert session.recorder.flush()
    model = f"{name}/1"
    given = rows()[list(asked.given)]
    then = rows()[[*asked.given, "event_timestamp"]]
    refs = asked.features or session.resolve(model).refs
    view = refs[0].partition(":")[0].partition("@")[0]
    registered = "batch" if view in ("origin", "target") else view

    assert session.resolve(model).drift == ()
    found = {
        f.column.replace("@v0", "").replace("@v1", "") for f in session.features(model).features
    }
    assert found == set(asked.inputs)
    online = session.score(model, given)["prediction"]
    as_of = session.score(model, then, as_of="event_timestamp")["prediction"]
    assert list(online) == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=4)
    assert list(as_of) == pytest.approx(list(online))
    vector = session.vector(model, given.to_dict("records"))
    assert vector.shape == (4, len(asked.inputs))
    again = session.reproduce(model, verify=True)
    assert (again.verdict, again.because) == ("identical", ())
    assert session.diff(model, model).same
    assert any(u.ref == registered and not u.gone for u in session.usage().views)
    drawn = session.lineage(model)
    assert f"view:{registered}" in {n.id for n in drawn.nodes}
    assert not [n for n in drawn.nodes if n.gone]
    impact = session.impact(f"view={registered}")
    assert model in {m.name for m in impact.models}
    assert "fault of feast_nb" not in capsys.readouterr().err


# ---------------------------------------------------------------------- what cannot be served


def test_a_disabled_view_is_said_in_one_line_by_every_question(session) -> None:
    train(session, "switched", Kind(("rate",), ("off:rate",)))
    assert session.recorder.flush()
    session.store.disable_feature_view("off")
    try:
        for ask in (
            lambda: session.resolve("switched/1"),
            lambda: session.score("switched/1", rows()[["driver_id"]]),
            lambda: session.vector("switched/1", [{"driver_id": 1}]),
        ):
            with pytest.raises(Drift, match=r"off is disabled\. Enable") as raised:
                ask()
            assert "\n" not in str(raised.value)
        with pytest.raises(FeatureError, match="rebuilt now: view off is disabled; enable it with"):
            session.reproduce("switched/1")
        with pytest.raises(FeatureError, match="view off is disabled"):
            train(session, "again", Kind(("rate",), ("off:rate",)))
        assert "breaks serving: off is disabled" in session.features("switched/1").notes
    finally:
        session.store.enable_feature_view("off")
    assert session.resolve("switched/1").drift == ()


def test_a_view_that_only_an_on_demand_view_reads_may_be_disabled(session) -> None:
    """Feast serves it all the same."""
    train(session, "behind", Kind(("rate2",), ("in_pandas:rate2",)))
    assert session.recorder.flush()
    session.store.disable_feature_view("batch")
    try:
        assert session.resolve("behind/1").drift == ()
        assert session.vector("behind/1", [{"driver_id": 1}]).tolist() == [[0.2]]
    finally:
        session.store.enable_feature_view("batch")


def test_a_version_that_is_not_kept_is_said_with_those_that_are(session) -> None:
    with pytest.raises(FeatureError, match=r"view versioned has no version v7; it has v0, v1\."):
        train(session, "v7", Kind(("old",), ("versioned@v7:old",)))
    with pytest.raises(FeatureError, match="view versioned@v1 has no feature old; there is kept"):
        train(session, "v1", Kind(("old",), ("versioned@v1:old",)))


def test_a_join_key_that_is_request_data_too_is_said_at_training_and_at_resolving(session) -> None:
    said = "driver_id is a join key, and request data of clashing too: Feast cannot serve that"
    with pytest.warns(Warned, match=said):
        train(session, "clash", Kind(("rate7",), ("clashing:rate7",), given=("driver_id", "hour")))
    assert session.recorder.flush()
    given = rows()[["driver_id", "hour", "event_timestamp"]]

    assert said in session.resolve("clash/1").notes[0]
    assert session.reproduce("clash/1", verify=True).verdict == "identical"
    with pytest.warns(Warned, match=said):
        assert session.score("clash/1", given, as_of="event_timestamp")["prediction"].notna().all()
    for ask in (
        lambda: session.score("clash/1", given[["driver_id", "hour"]]),
        lambda: session.vector("clash/1", [{"driver_id": 1, "hour": 2}]),
    ):
        with pytest.raises(FeatureError, match=said):
            ask()


# ---------------------------------------------------------------------- labels


def test_a_changed_conflict_policy_wants_another_training(session, kinds) -> None:
    from feast.labeling.conflict_policy import ConflictPolicy

    train(session, "judged", Kind(("rate",), ("batch:rate", "labels:quality")))
    assert session.recorder.flush()
    was = next(o for o in define(kinds) if o.name == "labels")
    changed = next(o for o in define(kinds) if o.name == "labels")
    changed.conflict_policy, changed.labeler_field = ConflictPolicy.MAJORITY_VOTE, "labeler"
    session.store.apply([changed])
    try:
        (change,) = (c for c in session.resolve("judged/1", allow_drift=True).drift)
        assert (change.what, change.grade) == ("labels", "needs retraining")
        assert "label policy of labels was" in change.said
        with pytest.raises(Drift, match="was trained on other values"):
            session.resolve("judged/1")
    finally:
        session.store.apply([was])


def test_the_source_of_labels_has_an_impact(session) -> None:
    train(session, "sourced", Kind(("rate",), ("batch:rate", "labels:quality")))
    assert session.recorder.flush()

    assert [v.name for v in session.impact("source=of_labels").views] == ["labels"]
    assert session.impact("source=of_labels").runs


# ---------------------------------------------------------------------- what a newer Feast has


def test_every_kind_of_view_in_the_registrys_proto_is_known() -> None:
    """A list of what has features, and is no view, is named here."""
    from feast.protos.feast.core.Registry_pb2 import Registry

    lists = {
        field.name
        for field in Registry.DESCRIPTOR.fields
        if field.message_type
        and "spec" in field.message_type.fields_by_name
        and "features" in field.message_type.fields_by_name["spec"].message_type.fields_by_name
    }
    assert lists - {"feature_services", "feature_tables", "saved_datasets"} == set(KINDS)


def test_every_kind_is_in_the_catalogue(session) -> None:
    read = registry.read(session.store)

    assert {v.kind for v in read.views.values()} == set(KINDS.values())
    assert read.views["labels"].sources == ("of_labels",)
    assert read.views["pushed"].sources == ("of_pushed", "push")
    assert read.views["versioned"].earlier == ("old",)
    assert read.views["off"].unavailable is None


def test_a_change_that_nobody_made_is_called_a_fault_of_ours(session, monkeypatch) -> None:
    from feast_nb.contracts import drift
    from feast_nb.records.answers import Change

    invented = Change("removed", "batch", "breaks serving")
    monkeypatch.setattr(drift, "compare", lambda *_: (invented,))
    with pytest.warns(Warned, match="batch is removed. That is a fault of feast_nb's"):
        train(session, "invented", ASKED["batch"])
