"""A record turns into a dictionary and back, and holds no credentials."""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feast_nb.errors import ArtifactError
from feast_nb.masking import public_uri
from feast_nb.records import contract, document, retrieval, run
from feast_nb.records.contract import Contract, Input, ModelVersion
from feast_nb.records.document import Document
from feast_nb.records.record import Record
from feast_nb.records.retrieval import (
    Cell,
    Column,
    EntityFrame,
    Result,
    Retrieval,
    Retrievals,
)
from feast_nb.records.run import FeatureUse, Repository, TrackedRun, TrainingSummary

ALL = [
    kind
    for room in (retrieval, contract, run)
    for _, kind in inspect.getmembers(room, inspect.isclass)
    if kind.__module__ == room.__name__
    and issubclass(kind, Record)
    and kind not in (Record, Document)
]
DOCUMENTS = [kind for kind in ALL if issubclass(kind, Document)]

texts = st.text(st.characters(codec="utf-8"), max_size=8)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
}
anything = st.recursive(
    st.none() | st.booleans() | texts | st.integers(0, 9), lambda inner: st.lists(inner, max_size=2)
)


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field, by its annotation."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if hint is Any:
        return anything
    if origin is typing.Literal:
        return st.sampled_from(args)
    if origin is tuple:
        return st.lists(of_type(args[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(of_type(args[0]), of_type(args[1]), max_size=2)
    if isinstance(hint, type) and issubclass(hint, Record):
        return st.deferred(lambda: made(hint))
    return st.one_of([st.none() if a is type(None) else of_type(a) for a in args])


def made(kind: type[Record]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind)
    fields = {f.name: of_type(hints[f.name]) for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return st.builds(kind, **fields)


def through_json(data: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(data))


@pytest.mark.parametrize("kind", ALL, ids=lambda k: k.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_record_comes_back_as_it_was(kind: type[Record], data) -> None:
    record = data.draw(made(kind))

    assert kind.from_dict(through_json(record.to_dict())) == record


def test_the_names_of_views_and_services_come_back_as_they_were() -> None:
    repository = Repository("p", "/repo", views={"v": ("a", "b")}, services={"s": ("v:a",)})

    assert Repository.from_dict(through_json(repository.to_dict())) == repository


@pytest.mark.parametrize("kind", ALL, ids=lambda k: k.__name__)
def test_records_are_frozen(kind: type[Record]) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_documents_have_kinds_of_their_own() -> None:
    kinds = [kind.kind for kind in DOCUMENTS]

    assert len(kinds) == len(set(kinds))


def nested() -> TrainingSummary:
    contract = Contract("m-1", "r1", "p", inputs=(Input("x", "v:x"),), cell=Cell(1))
    retrieval = Retrieval("r-1", "historical", "p", ("v:x",))
    run = TrackedRun("r1", "v1", "e", retrievals=(retrieval,))
    model = ModelVersion("m-1", contract=contract)
    return TrainingSummary(run, retrievals=(retrieval,), models=(model,))


def dictionaries(value: Any) -> list[dict[str, Any]]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    mine = [value] if isinstance(value, dict) else []
    return mine + [found for part in inner for found in dictionaries(part)]


def test_only_the_outermost_record_carries_its_kind_and_version() -> None:
    outer, *inner = dictionaries(nested().to_dict())

    assert outer["schema_version"] == document.SCHEMA_VERSION
    assert outer["kind"] == "training"
    assert not any("schema_version" in part for part in inner)
    assert {part["kind"] for part in inner if "kind" in part} == {"historical", "dataframe"}


def test_a_nested_record_carries_its_kind_when_it_is_the_outermost() -> None:
    contract = nested().models[0].contract

    assert contract is not None
    assert contract.to_dict()["kind"] == "contract"


def test_fields_of_a_newer_minor_version_are_passed_over() -> None:
    written = {**nested().to_dict(), "schema_version": "1.7", "mood": "good"}
    written["run"]["weather"] = "fine"
    written["retrievals"][0]["entity"]["colour"] = "red"

    assert TrainingSummary.from_dict(written) == nested()


def test_fields_that_an_older_version_did_not_write_have_their_defaults() -> None:
    written = {"id": "r-1", "kind": "historical", "project": "p", "refs": ["v:x"]}

    assert Retrieval.from_dict(written) == Retrieval("r-1", "historical", "p", ("v:x",))


@pytest.mark.parametrize("kind", DOCUMENTS, ids=lambda k: k.__name__)
def test_a_newer_major_version_is_refused_with_what_to_do(kind: type[Document]) -> None:
    with pytest.raises(ValueError, match=rf"{kind.kind} was written in shape 2\.0.*upgrade"):
        kind.from_dict({"schema_version": "2.0"})


def test_a_version_of_two_digits_is_a_number() -> None:
    with pytest.raises(ValueError, match="upgrade"):
        Retrievals.from_dict({"schema_version": "10.0", "run_id": "r"})


# ---------------------------------------------------------------------- URIs


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        ("http://user:secret@host:5000/p?x=1#f", "http://host:5000/p?x=1#f"),
        ("https://token@host", "https://host"),
        ("postgresql+psycopg://u:secret@h:5432/db", "postgresql+psycopg://h:5432/db"),
        ("http://u:secret@[::1]:5000/x", "http://[::1]:5000/x"),
        ("postgresql://u:p@secret@h/db", "postgresql://h/db"),
        ("http://host/path@1", "http://host/path@1"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("mlflow.db", "mlflow.db"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("", ""),
        (None, None),
    ],
)
def test_a_public_uri_is_the_uri_without_its_user(uri: str | None, public: str | None) -> None:
    assert public_uri(uri) == public


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("mysql://u:sec/ret@h/db", id="a slash, which SQLAlchemy takes"),
        pytest.param("http://u:sec[ret@h/x", id="a bracket"),
        pytest.param("http://u:sec#ret@h/x", id="a hash"),
        pytest.param("postgresql://h/db?user=u&password=secret-ret", id="in the query"),
    ],
)
def test_no_password_is_in_a_public_uri(uri: str) -> None:
    shown = public_uri(uri) or ""

    assert "sec" not in shown
    assert "ret" not in shown


# ---------------------------------------------------------------------- what records answer


def test_columns_of_a_retrieval_are_in_the_order_asked() -> None:
    retrieval = Retrieval("r", "historical", "p", ("w:b", "v:a"))

    assert list(retrieval.columns().items()) == [("b", "w:b"), ("a", "v:a")]


def test_full_names_leave_out_the_version_of_a_view() -> None:
    retrieval = Retrieval("r", "historical", "p", ("v@v2:a",), full_feature_names=True)

    assert retrieval.columns() == {"v__a": "v@v2:a"}


@pytest.mark.parametrize(
    ("nulls", "rows", "share"), [(0, 4, 0.0), (1, 4, 0.25), (None, 4, None), (0, 0, None)]
)
def test_the_share_of_missing_values(nulls: int | None, rows: int, share: float | None) -> None:
    assert FeatureUse("v:a", "a", nulls=nulls, rows=rows).null_share == share


def test_the_features_of_a_contract_leave_out_what_is_no_feature() -> None:
    inputs = (Input("b", "v:b"), Input("mine"), Input("a", "v:a"))

    assert Contract("m", None, "p", inputs=inputs).features == ("v:b", "v:a")


def test_two_records_share_no_entity_frame_by_accident() -> None:
    one, other = (Retrieval(i, "online", "p", ()) for i in "ab")

    assert one.entity == other.entity == EntityFrame("dataframe")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting property name"),
        ("[]", "it is no JSON object"),
        ("[" * 100_000, "maximum recursion depth"),
        ("{}", "run_id is missing"),
        ('{"run_id": 3}', "run_id: text expected, found 3"),
        ('{"run_id": "r", "retrievals": "abc"}', 'retrievals: a list expected, found "abc"'),
        ('{"run_id": "r", "retrievals": [{"id": 1}]}', "retrievals[0].id: text expected, found 1"),
        (
            '{"run_id": "r", "retrievals": [{"id": "i", "kind": "new", "project": "p", "refs": []}]}',
            'retrievals[0].kind: a known word expected, found "new"',
        ),
        ('{"run_id": "r", "schema_version": "9.0"}', "newer than"),
        ('{"run_id": "r", "schema_version": "x.0"}', "no version of a shape: 'x.0'"),
    ],
)
def test_an_artifact_of_another_shape_is_refused_in_one_line(text: str, why: str) -> None:
    with pytest.raises(ArtifactError) as refused:
        Retrievals.read(text, "feast/retrievals.json of run 1")

    said = str(refused.value)
    assert said.startswith("feast/retrievals.json of run 1 ")
    assert why in said
    assert "\n" not in said


def test_a_documents_repr_is_one_short_line() -> None:
    """In a list, a log, a traceback: not every feature of every retrieval."""
    features = tuple(FeatureUse(f"view:f{n}", f"f{n}") for n in range(500))
    summary = TrainingSummary(TrackedRun("0" * 32, "v1", "flights"), features=features)

    assert repr(summary.run) == f"TrackedRun(id='{'0' * 32}', name='v1', …)"
    assert len(repr(summary)) < 120
    assert "\n" not in repr(summary)


def test_a_file_of_retrievals_is_read_as_it_was() -> None:
    """Each is written by itself; half a surrogate pair, as a file's name may hold one, too."""
    from feast_nb.recorder.delivery.run_document import retrievals_text

    one = Retrieval("r-1", "online", "p", ("v:a",), error='odd \udc80 ", "retrievals": [] é')
    two = Retrieval("r-2", "historical", "p", ("v:b",), result=Result(3, columns=(
        Column("a", "double", 0, float("-inf"), 1e22),)))  # fmt: skip
    for kept in ((), (one,), (one, two)):
        whole = Retrievals("run", kept, definitions={"x": {"retrievals": []}}, writer="w")

        assert Retrievals.read(retrievals_text(whole), "it") == whole
