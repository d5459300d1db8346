"""Definitions as hashes of their parts, and what the registry says of a retrieval."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from feast_nb.errors import FeatureError
from feast_nb.integrations.feast import (
    definition_hashes,
    definitions,
    registry,
    repository,
    sources,
)
from feast_nb.integrations.feast.views import View

from ..conftest import define, make_repository

PARTS = {"schema", "entities", "ttl", "code", "query", "location"}


def view(**changes: Any) -> Any:
    """A feature view with some of its definition changed."""
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32, Int64

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source: dict[str, Any] = {"name": "stats", "path": "stats.parquet", "timestamp_field": "at"}
    source |= changes.pop("source", {})
    start: dict[str, Any] = {
        "name": "hourly",
        "entities": [driver],
        "ttl": timedelta(days=3),
        "schema": [Field(name="rate", dtype=Float32), Field(name="trips", dtype=Int64)],
        "source": FileSource(**source),
    }
    return FeatureView(**(start | changes))


def on_demand(
    text: str = "return frame * 2",
    sources: tuple[Any, ...] = (),
    mode: str = "pandas",
    request: Any = None,
) -> Any:
    """An on-demand view whose function has this text."""
    from feast import Field, OnDemandFeatureView, RequestSource
    from feast.transformation.pandas_transformation import PandasTransformation
    from feast.types import Float64

    asked = RequestSource(name="asked", schema=[Field(name="amount", dtype=request or Float64)])

    def double(frame):  # type: ignore[no-untyped-def]  # Feast checks the annotations
        return frame[["amount"]].rename(columns={"amount": "twice"})

    return OnDemandFeatureView(
        name="doubled",
        sources=[*(sources or (view(),)), asked],
        schema=[Field(name="twice", dtype=Float64)],
        feature_transformation=PandasTransformation(double, f"def double(frame):\n    {text}"),
        mode=mode,
    )


def changed(one: Any, other: Any) -> set[str]:
    """The parts in which two definitions differ."""
    mine, theirs = (definition_hashes.hash_view(v.to_proto().spec) for v in (one, other))
    assert set(mine) == set(theirs) == PARTS
    return {part for part in PARTS if mine[part] != theirs[part]}


def field(name: str, kind: Any, **more: Any) -> Any:
    from feast import Field

    return Field(name=name, dtype=kind, **more)


def test_a_definition_is_equal_to_itself() -> None:
    assert changed(view(), view()) == set()
    assert changed(on_demand(), on_demand()) == set()


def test_another_ttl_changes_only_the_ttl() -> None:
    assert changed(view(), view(ttl=timedelta(days=4))) == {"ttl"}


def test_another_path_changes_only_the_location() -> None:
    assert changed(view(), view(source={"path": "s3://bucket/stats.parquet"})) == {"location"}


@pytest.mark.parametrize(
    "source",
    [{"timestamp_field": "other"}, {"created_timestamp_column": "made"},
     {"field_mapping": {"r": "rate"}}],
    ids=str,
)  # fmt: skip
def test_what_is_selected_from_a_source_changes_only_the_query(source: dict[str, Any]) -> None:
    assert changed(view(), view(source=source)) == {"query"}


def test_another_type_or_name_changes_only_the_schema() -> None:
    from feast.types import Float64, Int64

    retyped = [field("rate", Float64), field("trips", Int64)]
    renamed = [field("share", Float64), field("trips", Int64)]

    assert changed(view(), view(schema=retyped)) == {"schema"}
    assert changed(view(schema=retyped), view(schema=renamed)) == {"schema"}


def test_a_feature_less_changes_only_the_schema() -> None:
    from feast.types import Float32

    assert changed(view(), view(schema=[field("rate", Float32)])) == {"schema"}


def test_the_fields_of_a_struct_are_schema() -> None:
    from feast.types import Int64, String, Struct

    one, other = (view(schema=[field("s", Struct({"x": kind}))]) for kind in (Int64, String))

    assert changed(one, other) == {"schema"}


def test_another_join_key_changes_only_the_entities() -> None:
    from feast import Entity, ValueType

    other = Entity(name="driver2", join_keys=["driver_no"], value_type=ValueType.INT64)

    assert changed(view(), view(entities=[other])) == {"entities"}


@pytest.mark.parametrize(
    "change",
    [{"description": "new"}, {"tags": {"a": "b"}}, {"owner": "me"}, {"online": False}],
    ids=str,
)
def test_what_changes_no_value_changes_no_hash(change: dict[str, Any]) -> None:
    assert changed(view(), view(**change)) == set()


def test_the_order_of_the_schema_changes_no_hash() -> None:
    from feast.types import Float32, Int64

    turned = [field("trips", Int64), field("rate", Float32)]

    assert changed(view(), view(schema=turned)) == set()


def test_another_name_of_the_source_changes_no_hash() -> None:
    assert changed(view(), view(source={"name": "statistics"})) == set()


def test_another_text_changes_only_the_code() -> None:
    assert changed(on_demand(), on_demand("return frame * 3")) == {"code"}


def test_another_input_view_of_a_transformation_changes_only_the_code() -> None:
    other = view(name="daily")

    assert changed(on_demand(), on_demand(sources=(other,))) == {"code"}


def test_another_input_column_of_a_transformation_changes_only_the_code() -> None:
    hourly = view()

    assert changed(
        on_demand(sources=(hourly,)), on_demand(sources=(hourly[["rate"]],))
    ) == {"code"}  # fmt: skip


def test_another_type_of_a_request_field_changes_the_code() -> None:
    """A caller that sends what it sent before gets another value, or an error."""
    from feast.types import Int64

    assert changed(on_demand(), on_demand(request=Int64)) == {"code"}


def test_a_query_is_no_location() -> None:
    from feast import BigQuerySource

    def of(**source: Any) -> Any:
        return view_of(BigQuerySource(name="b", timestamp_field="at", **source))

    assert changed(of(query="SELECT 1"), of(query="SELECT 2")) == {"query"}
    assert changed(of(table="a.b"), of(table="c.d")) == {"location"}


def view_of(source: Any) -> Any:
    from feast import FeatureView
    from feast.types import Float32

    return FeatureView(name="v", schema=[field("rate", Float32)], source=source)


def test_hashes_are_those_ever_stored() -> None:
    """A change of these numbers makes every stored contract look redefined."""
    assert definition_hashes.hash_view(view().to_proto().spec) == GOLDEN


GOLDEN = {
    "code": "64238254d6f0ccc7",
    "entities": "52cd172c4e101665",
    "location": "d1427454e7c0eb6f",
    "query": "98a76e023d74efb4",
    "schema": "65a440d69176e074",
    "ttl": "9a9944b19de4aba7",
}


# ---------------------------------------------------------------------- of a registry


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The small repository of all tests, with a renamed projection and an on-demand view."""
    from feast import FeatureService, FeatureStore

    folder = make_repository(tmp_path_factory.mktemp("catalog") / "repo")
    objects = define(folder)
    hourly = objects[1]
    renamed = hourly.with_name("recent").with_join_key_map({"driver_id": "best_driver"})
    doubled = on_demand(sources=(hourly,))
    objects += [doubled, FeatureService(name="renamed", features=[renamed[["trips"]]]),
                FeatureService(name="doubles", features=[doubled]),
                FeatureService(name="ages", features=[objects[2]]),
                FeatureService(name="years", features=[objects[2]])]  # fmt: skip
    opened = FeatureStore(repo_path=str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened.apply(objects)
    return opened


def test_a_list_of_references_is_kept_in_its_order(store) -> None:
    asked = ["profile:age", "hourly:trips", "hourly:conv_rate"]

    assert definitions.refs_of(store, asked, registry.definitions_of(store)) == tuple(asked)


def test_a_services_references_are_in_its_order(store) -> None:
    service = store.get_feature_service("everything")

    assert definitions.refs_of(
        store, service, registry.definitions_of(store)
    ) == definitions.service_refs(service)


def service_of(store: Any, features: Any) -> Any:
    return definitions.service_of(
        registry.definitions_of(store),
        features,
        definitions.refs_of(store, features, registry.definitions_of(store)),
    )


def test_a_service_that_was_given_is_the_one(store) -> None:
    found = service_of(store, store.get_feature_service("ages"))

    assert found == ("ages", "given", ("ages",))


@pytest.mark.parametrize("turn", [1, -1])
def test_a_list_that_is_exactly_one_services_is_that_services(store, turn: int) -> None:
    asked = ["hourly:conv_rate", "hourly:acc_rate"][::turn]

    assert service_of(store, asked) == ("rates", "exact", ("rates",))


@pytest.mark.parametrize(
    "asked",
    [["hourly:conv_rate"], ["hourly:conv_rate", "hourly:acc_rate", "profile:age"]],
    ids=["part of one", "more than one"],
)
def test_a_list_that_is_no_services_is_none(store, asked: list[str]) -> None:
    assert service_of(store, asked) == (None, "none", ())


def test_a_list_that_two_services_hold_is_neithers_and_names_both(store) -> None:
    assert service_of(store, ["profile:age"]) == (None, "none", ("ages", "years"))


def test_a_renamed_view_is_recorded_under_both_names(store) -> None:
    service = store.get_feature_service("renamed")
    refs = definitions.refs_of(store, service, registry.definitions_of(store))
    views = definitions.views_of(registry.definitions_of(store), service, refs)
    (record,) = definition_hashes.view_records(views)

    assert refs == ("recent:trips",)
    assert (record.name, record.view, record.kind) == ("recent", "hourly", "batch")
    assert set(record.hashes) == PARTS


def test_views_are_in_first_seen_order_and_each_once(store) -> None:
    refs = ("profile:age", "hourly:trips", "profile:age")

    assert list(definitions.views_of(registry.definitions_of(store), list(refs), refs)) == [
        "profile",
        "hourly",
    ]


def test_an_on_demand_view_says_so(store) -> None:
    refs = ("doubled:twice",)
    (record,) = definition_hashes.view_records(
        definitions.views_of(registry.definitions_of(store), list(refs), refs)
    )

    assert record.kind == "on_demand"


def keys(store: Any, *refs: str) -> tuple[str, ...]:
    return definitions.join_keys_of(
        registry.definitions_of(store),
        definitions.views_of(registry.definitions_of(store), list(refs), refs).values(),
    )


def test_join_keys_are_those_of_the_views(store) -> None:
    assert keys(store, "hourly:trips", "profile:age") == ("driver_id",)


def test_an_on_demand_view_needs_the_keys_of_what_it_reads(store) -> None:
    assert keys(store, "doubled:twice") == ("driver_id",)


def test_a_projection_with_another_key_needs_that_key(store) -> None:
    service = store.get_feature_service("renamed")
    views = definitions.views_of(
        registry.definitions_of(store),
        service,
        definitions.refs_of(store, service, registry.definitions_of(store)),
    )

    assert definitions.join_keys_of(registry.definitions_of(store), views.values()) == (
        "best_driver",
    )


def test_request_fields_are_what_the_caller_gives(store) -> None:
    views = definitions.views_of(
        registry.definitions_of(store), ["doubled:twice"], ["doubled:twice", "hourly:trips"]
    )

    assert definitions.request_fields_of(views.values()) == ("amount",)


@pytest.mark.parametrize("full", [False, True])
def test_types_are_those_that_feast_declares(store, full: bool) -> None:
    refs = ("hourly:trips", "hourly:conv_rate", "doubled:twice")
    found = definitions.types_of(
        definitions.views_of(registry.definitions_of(store), list(refs), refs), refs, full
    )
    start = "hourly__" if full else ""

    assert found[f"{start}trips"] == pa.int64()
    assert found[f"{start}conv_rate"] == pa.float32()
    assert list(found)[-1] == ("doubled__twice" if full else "twice")


def test_a_file_source_is_identified_by_size_and_time(store) -> None:
    views = definitions.views_of(registry.definitions_of(store), ["hourly:trips"], ["hourly:trips"])
    (source,) = sources.identify(views.values(), Path(store.repo_path))
    file = Path(store.repo_path) / "stats.parquet"

    assert (source.name, source.kind, source.size) == ("stats", "FileSource", file.stat().st_size)
    assert source.modified
    assert source.modified.endswith("+00:00")


def read_back(view: Any) -> View:
    """A view as it is read from its proto."""
    kind = "on_demand" if type(view).__name__ == "OnDemandFeatureView" else "batch"
    return View(view.name, kind, view.to_proto())


def test_a_source_that_is_gone_has_a_path_and_no_size() -> None:
    (source,) = sources.identify([read_back(view(source={"path": "/gone.parquet"}))], None)

    assert (source.path, source.size, source.modified) == ("/gone.parquet", None, None)


def test_a_relative_source_lies_beside_the_repository(tmp_path: Path) -> None:
    (tmp_path / "stats.parquet").write_bytes(b"1234")

    assert sources.identify([read_back(view())], tmp_path)[0].size == 4


def test_a_view_without_a_source_has_none() -> None:
    assert sources.identify([read_back(on_demand())], None) == ()


def test_what_a_repository_holds(store) -> None:
    found = repository.describe(store, Path(store.repo_path) / "feature_store.yaml")

    assert found.project == "drivers"
    assert found.entities == ("driver",)
    assert found.views["hourly"] == ("conv_rate", "acc_rate", "trips")
    assert list(found.views) == ["doubled", "hourly", "profile"]
    assert list(found.services) == sorted(found.services)
    assert found.services["renamed"] == ("recent:trips",)
    assert found.offline_store
    assert found.mlflow["enabled"] is True
    assert found.warnings == ()


def test_a_service_that_is_not_there_is_told_with_the_nearest(store) -> None:
    with pytest.raises(FeatureError, match="no feature service rate; did you mean rates"):
        repository.service_named(store, "rate")


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("hourly:trps", "view hourly has no feature trps; did you mean trips?"),
        ("hurly:trips", "no feature view hurly for hurly:trips; did you mean hourly?"),
        ("trips", "trips needs its view: write view:feature."),
        ("", "needs its view"),
    ],
)
def test_a_reference_that_names_nothing_is_told_with_the_nearest(store, ref, said) -> None:
    with pytest.raises(FeatureError) as raised:
        repository.check_refs(store, ["hourly:trips", ref])

    assert said in str(raised.value)


def test_references_that_name_something_pass(store) -> None:
    repository.check_refs(store, ["hourly:trips", "doubled:twice", "profile@latest:age"])


@pytest.mark.parametrize("make", [view, on_demand], ids=["batch", "on demand"])
def test_reading_a_definition_runs_none_of_its_code(make: Callable[[], Any], monkeypatch) -> None:
    import dill

    spec = make().to_proto().spec
    monkeypatch.setattr(dill, "loads", lambda *_: pytest.fail("stored code was loaded"))

    assert definition_hashes.hash_view(spec)


def test_what_a_hash_stands_for_can_be_shown_without_secrets(store) -> None:
    records = definition_hashes.view_records(
        definitions.views_of(registry.definitions_of(store), ["hourly:trips"], ["hourly:trips"])
    )
    parts = definition_hashes.parts_of(records)
    (hourly,) = records

    assert parts[hourly.hashes["ttl"]] == 3 * 86400
    assert ["trips", 4, 0, ""] in parts[hourly.hashes["schema"]]
    assert definition_hashes._public({"uri": ["postgresql://me:hunter2@host/db"]}) == {
        "uri": ["postgresql://host/db"]
    }
