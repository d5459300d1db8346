"""What a model expects, from its retrievals, its own names and its signature."""

from __future__ import annotations

from typing import Any

import pytest

from feast_nb.contracts import contract
from feast_nb.contracts.contract import in_order
from feast_nb.errors import UsageError
from feast_nb.records.contract import Input
from feast_nb.records.retrieval import Cell, Column, EntityFrame, Result, Retrieval, ViewDefinition


def retrieval(id: str = "r-1", *refs: str, **fields: Any) -> Retrieval:
    names = [ref.partition(":")[2] for ref in refs]
    columns = tuple(Column(n, "float", 0) for n in names)
    start: dict[str, Any] = {
        "entity": EntityFrame("dataframe", join_keys=("driver_id",)),
        "result": Result(3, columns=columns),
        "views": tuple(
            ViewDefinition(v, v) for v in dict.fromkeys(r.partition(":")[0] for r in refs)
        ),
    }
    return Retrieval(id, "historical", "p", refs, **(start | fields))


def build(**given: Any) -> Any:
    start = {"model_id": "m-1", "run_id": "r", "name": "model", "flavor": "sklearn",
             "input_names": None, "signature": None, "retrievals": [], "linked_by": None}  # fmt: skip
    return contract.build(**(start | given))


def test_the_models_own_names_and_order_go_first() -> None:
    found = build(
        input_names=["b", "a"],
        signature={"a": "double", "b": "double"},
        retrievals=[retrieval("r-1", "v:a", "v:b", "v:c")],
    )

    assert found.order == "named"
    assert [(i.name, i.ref, i.dtype, i.basis) for i in found.inputs] == [
        ("b", "v:b", "float", "feature"),
        ("a", "v:a", "float", "feature"),
    ]


def test_a_signature_goes_before_the_order_asked() -> None:
    found = build(
        signature={"b": "double", "a": "double"}, retrievals=[retrieval("r", "v:a", "v:b")]
    )

    assert found.order == "signature"
    assert found.features == ("v:b", "v:a")


def test_of_as_many_columns_as_a_model_takes_the_order_is_assumed() -> None:
    found = build(retrievals=[retrieval("r", "v:b", "v:a")], width=2)

    assert found.order == "assumed"
    assert found.features == ("v:b", "v:a")


@pytest.mark.parametrize(("named", "order"), [(True, "frame"), (False, "array")])
def test_what_its_fit_was_given_is_the_order(named: bool, order: str) -> None:
    found = build(retrievals=[retrieval("r", "v:b", "v:a")], fit=(("a", "b"), named), width=2)

    assert (found.order, found.features) == (order, ("v:a", "v:b"))
    assert build(retrievals=[], fit=(("a", "b"), named), width=3).order == "unknown"


def test_somebody_may_know_the_order() -> None:
    unknown = build(retrievals=[retrieval("r", "v:b", "v:a")], width=3)
    found = in_order(unknown, ["a", "x", "b"])

    assert found.order == "given"
    assert [(i.name, i.ref) for i in found.inputs] == [("a", "v:a"), ("x", None), ("b", "v:b")]
    taken = build(retrievals=[retrieval("r", "v:b", "v:a")], width=2)
    with pytest.raises(UsageError, match="--columns names 3, and the model takes 2"):
        in_order(taken, ["a", "x", "b"])


def test_a_model_of_no_retrieval_expects_what_its_signature_says() -> None:
    found = build(signature={"x": "double", "y": "long"})

    assert found.order == "signature"
    assert found.inputs == (
        Input("x", None, "double", "made"),
        Input("y", None, "long", "made"),
    )


def test_a_signature_of_other_names_is_never_replaced_by_a_guess() -> None:
    """The frame's columns were renamed before fitting: the model takes `x`, not `a`."""
    found = build(signature={"x": "double"}, retrievals=[retrieval("r", "v:a")])

    assert [i.name for i in found.inputs] == ["x"]


def test_a_model_of_which_nothing_is_known_has_an_unknown_order() -> None:
    found = build()

    assert (found.order, found.inputs, found.project) == ("unknown", (), "")


def test_an_input_that_is_no_feature_says_so() -> None:
    found = build(
        input_names=["a", "mine"], signature={"mine": "long"}, retrievals=[retrieval("r", "v:a")]
    )

    assert found.inputs[1] == Input("mine", None, "long", "made")


def test_what_arrow_saw_goes_before_what_the_signature_says() -> None:
    found = build(signature={"a": "double"}, retrievals=[retrieval("r", "v:a")])

    assert found.inputs == (Input("a", "v:a", "float", "feature", nulls=0.0),)


def test_full_names_are_the_inputs_where_so_asked() -> None:
    found = build(
        input_names=["v__a"], retrievals=[retrieval("r", "v:a", full_feature_names=True)]
    )  # fmt: skip

    assert found.features == ("v:a",)
    assert found.full_feature_names


def test_several_retrievals_are_put_together() -> None:
    one = retrieval("r-1", "v:a", "v:b", entity=EntityFrame("dataframe", join_keys=("x",)))
    two = retrieval("r-2", "w:c", "v:a", entity=EntityFrame("dataframe", join_keys=("y", "x")))
    found = build(retrievals=[one, two], linked_by="attrs")

    assert found.refs == ("v:a", "v:b", "w:c")
    assert found.join_keys == ("x", "y")
    assert found.retrievals == ("r-1", "r-2")
    assert [v.name for v in found.views] == ["v", "w"]


def test_the_first_of_two_features_of_one_name_is_the_input() -> None:
    found = build(retrievals=[retrieval("r-1", "v:a"), retrieval("r-2", "w:a")], width=1)

    assert found.inputs == (Input("a", "v:a", "float", "feature", nulls=0.0),)


def test_a_service_is_named_where_it_is_every_retrievals() -> None:
    def service(*names: str | None) -> str | None:
        return build(retrievals=[retrieval("r", "v:a", service=n) for n in names]).service

    assert service("s", "s") == "s"
    assert service("s", "t") is None
    assert service("s", None) is None
    assert service() is None


def test_a_retrieval_that_never_ran_has_no_types() -> None:
    found = build(retrievals=[retrieval("r", "v:a", result=None)], width=1)

    assert found.inputs == (Input("a", "v:a", None, "feature"),)


def test_the_cell_is_kept() -> None:
    assert build(cell=Cell(7)).cell == Cell(7)


def test_an_assumed_order_is_that_of_the_frame() -> None:
    """Feast groups the columns of a frame by view, whatever order was asked for."""
    columns = tuple(Column(n, "float", 0) for n in ("driver_id", "a", "c", "b"))
    asked = retrieval("r-1", "v:a", "w:b", "v:c", result=Result(3, columns=columns))
    found = build(retrievals=[asked], width=3)

    assert (found.order, found.features) == ("assumed", ("v:a", "v:c", "w:b"))


@pytest.mark.parametrize(
    ("came", "signed", "expected"),
    [("timestamp[us, tz=UTC]", "datetime", "timestamp[us]"),
     ("timestamp[us, tz=UTC]", None, "timestamp[us, tz=UTC]"),
     ("int64", "double", "double"), ("int64", "integer", "int32"), ("bool", "double", "double"),
     ("double", "float", "float"), ("float", "double", "float"), ("int32", "long", "int32"),
     ("int64", "string", "int64"), ("string", "string", "string")],
)  # fmt: skip
def test_a_type_is_that_of_training_where_the_signature_tells(came, signed, expected) -> None:
    """Feast gives each moment a zone, and a cell may have made floats of whole numbers."""
    columns = (Column("x", came, 0), Column("a", "float", 0))
    found = build(
        input_names=["x", "a"],
        types={"x": signed, "a": "float"} if signed else None,
        retrievals=[retrieval("r", "v:a", result=Result(3, columns=columns))],
    )

    assert [i.dtype for i in found.inputs] == [expected, "float"]


def test_where_the_definitions_of_a_part_are_not_known_none_are_said() -> None:
    """A model of two retrievals would read as unchanged whatever becomes of the other view."""
    known = retrieval("r-1", "v:a", views=(ViewDefinition("v", "v"),))
    unseen = retrieval("r-2", "w:b", unseen="the registry server did not answer")

    assert [v.name for v in build(retrievals=[known]).views] == ["v"]
    assert build(retrievals=[known, unseen]).views == ()
