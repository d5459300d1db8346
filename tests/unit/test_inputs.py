"""What a model is fed: its own order, its own types, and what is unlike training."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest

from feast_nb.contracts import inputs as feeding
from feast_nb.errors import FeatureError
from feast_nb.records.contract import Contract, Input

BIG = 2**53 + 1  # the first integer that a double does not hold
THIRD = float(np.float32(1 / 3))


def contract(*inputs: Input) -> Contract:
    return Contract("m-1", "r-1", "drivers", inputs=inputs)


def fed(dtype: str | None, values: list[Any], **more: Any) -> pd.Series:
    """One column as a model gets it that was trained on `dtype`."""
    return feeding.frame(contract(Input("a", "v:a", dtype, **more)), {"a": values})["a"]


# ---------------------------------------------------------------------- frame: order and names


def test_columns_come_in_the_models_order_whatever_order_they_were_served_in() -> None:
    inputs = [Input(n, f"v:{n}", "double") for n in ("c", "a", "b")]
    found = feeding.frame(contract(*inputs), {"a": [1.0], "b": [2.0], "c": [3.0]})

    assert list(found.columns) == ["c", "a", "b"]
    assert found.to_numpy().tolist() == [[3.0, 1.0, 2.0]]


def test_what_is_no_input_is_left_out() -> None:
    found = feeding.frame(
        contract(Input("a", "v:a", "int64")), {"driver_id": [7], "a": [1], "y": [0]}
    )

    assert list(found.columns) == ["a"]


def test_an_input_that_did_not_come_is_named() -> None:
    inputs = contract(Input("a", "v:a", "int64"), Input("trips", "v:trips", "int64"))

    with pytest.raises(FeatureError, match=r"^trips, an input of the model, did not come\.$"):
        feeding.frame(inputs, {"a": [1]})


def test_no_rows_are_a_frame_of_no_rows_with_the_models_columns() -> None:
    kinds = ["int64", "float", "bool", "string", "timestamp[us, tz=UTC]"]
    inputs = contract(*(Input(k, None, k) for k in kinds))
    found = feeding.frame(inputs, {k: [] for k in kinds})

    assert list(found.columns) == kinds
    assert len(found) == 0
    assert [found[k].dtype.kind for k in kinds] == ["i", "f", "b", "O", "M"]


# ---------------------------------------------------------------------- frame: types


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("float", [THIRD, 2.0], "float32"),
        ("double", [1 / 3, 2.0], "float64"),
        ("halffloat", [0.5, 2.0], "float16"),
        ("double", [1, 2], "float64"),
        ("int64", [1, 2], "int64"),
        ("int32", [1, 2], "int32"),
        ("uint8", [1, 255], "uint8"),
        ("int64", [1.0, 2.0], "int64"),
        ("bool", [True, False], "bool"),
        ("string", ["a", "b"], "object"),
        ("large_string", ["a", "b"], "object"),
    ],
)
def test_a_column_has_the_type_it_had_in_training(dtype, values, expected) -> None:
    found = fed(dtype, values)

    assert str(found.dtype) == expected
    assert found.tolist() == values


@pytest.mark.parametrize(
    ("dtype", "value", "inner"),
    [
        ("list<item: float>", [1.0, 2.0], "float32"),
        ("list<item: int64 not null>", [1, 2], "int64"),
        ("large_list<element: bool>", [True, False], "bool"),
        ("fixed_size_list<item: float>[2]", [1.0, 2.0], "float32"),
        ("list<item: string>", ["a", "b"], "object"),
        ("list<item: double>", [1.0, None], "object"),
        ("list<item: list<item: float>>", [[1.0, 2.0], [3.0, 4.0]], "object"),
        ("list<item: struct<x: int64>>", [{"x": 1}], "object"),
        ("list<l: timestamp[us, tz=UTC]>", [datetime(2024, 1, 1, tzinfo=UTC)], "datetime64[us]"),
    ],
)
def test_a_list_is_an_array_of_what_training_had(dtype: str, value: Any, inner: str) -> None:
    found = fed(dtype, [value, None, value]).tolist()

    assert found[1] is None
    assert str(found[0].dtype) == inner
    assert len(found[0]) == len(found[2]) == len(value)


def test_moments_in_a_list_are_utc_whatever_zone_they_are_given_in() -> None:
    """Someone's own values (--prefer-given): one moment, not one reading of a clock."""
    there = datetime(2024, 1, 1, 5, tzinfo=timezone(timedelta(hours=2)))

    (found,) = fed("list<l: timestamp[us, tz=UTC]>", [[there]])
    assert found.tolist() == [datetime(2024, 1, 1, 3)]


def test_a_set_comes_in_order() -> None:
    assert fed("list<item: int64>", [{3, 1, 2}])[0].tolist() == [1, 2, 3]


def test_a_text_is_no_list() -> None:
    with pytest.raises(FeatureError, match=r"was list<item: string> in training, and 'ab' \(str\)"):
        fed("list<item: string>", ["ab"])


def test_lists_of_one_length_are_a_column_of_the_matrix() -> None:
    """numpy would spread them over columns."""
    of_lists = contract(Input("x", "v:x", "list<item: float>"))
    found = feeding.matrix(of_lists, {"x": [[1.0, 2.0], [3.0, 4.0]]})

    assert found.shape == (2, 1)
    assert found[1, 0].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("integer", [1, 2], "int32"),
        ("long", [1, 2], "int64"),
        ("float", [0.5, 1.0], "float32"),
        ("double", [0.5, 1.0], "float64"),
        ("boolean", [True, False], "bool"),
        ("string", ["a", "b"], "object"),
    ],
)
def test_types_that_only_mlflows_signature_names_are_understood(dtype, values, expected) -> None:
    """A model that was logged without us has the types of its signature, as MLflow calls them."""
    assert str(fed(dtype, values).dtype) == expected


def test_a_float32_column_is_the_same_numbers_again() -> None:
    values = np.random.default_rng(0).random(50).astype("float32")

    assert (fed("float", [float(v) for v in values]).to_numpy() == values).all()


def test_integers_beyond_a_double_stay_what_they_are() -> None:
    assert fed("int64", [BIG, -BIG]).tolist() == [BIG, -BIG]


@pytest.mark.parametrize("gap", [None, float("nan"), pd.NA], ids=["None", "nan", "NA"])
@pytest.mark.parametrize(
    ("dtype", "value"),
    [("float", 0.5), ("double", 0.5), ("int64", 3), ("bool", True), ("string", "a")],
)
def test_a_gap_is_a_gap_in_every_type_however_it_is_written(dtype, value, gap) -> None:
    found = fed(dtype, [value, gap])

    assert found.isna().tolist() == [False, True]
    assert found[0] == value


def test_integers_with_gaps_are_doubles_as_pandas_has_them() -> None:
    assert fed("int64", [1, None]).dtype == "float64"


def test_integers_that_had_gaps_in_training_are_doubles_without_any_too() -> None:
    assert fed("int64", [1, 2], nulls=0.2).dtype == "float64"


@pytest.mark.parametrize(
    ("dtype", "zone"), [("timestamp[us, tz=UTC]", "UTC"), ("timestamp[ns]", None)]
)
def test_moments_have_a_zone_where_training_had_one(dtype, zone) -> None:
    moment = pd.Timestamp("2024-01-10 12:00", tz=zone)
    found = fed(dtype, [moment.to_pydatetime(), None])

    assert found[0] == moment
    assert pd.isna(found[1])


def test_a_type_that_nobody_knows_comes_as_it_is() -> None:
    assert fed(None, [{"a": 1}, None]).tolist() == [{"a": 1}, None]


# ---------------------------------------------------------------------- frame: another type


@pytest.mark.parametrize(
    ("dtype", "values", "shown"),
    [
        ("int64", [1, "7"], "'7' (str)"),
        ("double", [1.0, "0.5"], "'0.5' (str)"),
        ("float", [1.0, b"x"], "b'x' (bytes)"),
        ("float", [1.0, [2.0]], "[2.0] (list)"),
        ("double", [1.0, {"a": 1}], "{'a': 1} (dict)"),
        ("int64", [1, 0.5], "0.5 (float)"),
        ("int64", [None, 0.5], "0.5 (float)"),
        ("bool", [True, 1], "1 (int)"),
        ("bool", [True, "yes"], "'yes' (str)"),
        ("string", ["a", 1], "1 (int)"),
    ],
)
def test_another_type_than_in_training_is_an_error_that_shows_the_value(
    dtype, values, shown
) -> None:
    with pytest.raises(FeatureError) as refused:
        fed(dtype, values)

    assert str(refused.value) == (
        f"a was {dtype} in training, and {shown} came; the model would take it for something else."
    )


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int64", [1, float("inf")]),
        ("int32", [1, 2**40]),
        ("uint8", [1, -1]),
        ("int64", [1, datetime(2024, 1, 1)]),
        ("double", [1.0, datetime(2024, 1, 1)]),
        ("timestamp[us, tz=UTC]", ["soon"]),
        ("timestamp[us, tz=UTC]", [17]),
    ],
    ids=["infinite", "too wide", "negative", "moment in integers", "moment in doubles",
         "text in moments", "number in moments"],
)  # fmt: skip
def test_what_the_type_of_training_cannot_hold_is_a_feature_error_too(dtype, values) -> None:
    """One line that names the input, not pandas' own trouble."""
    with pytest.raises(FeatureError, match=r"^a was .* in training"):
        fed(dtype, values)


# ---------------------------------------------------------------------- odd


def oddities(values: list[Any], dtype: str = "double", **training: Any) -> list[str]:
    inputs = contract(Input("a", "v:a", dtype, **training))
    return feeding.training_skew(inputs, feeding.frame(inputs, {"a": values}), {"a": values})


def test_many_more_nulls_than_in_training_are_told_in_shares() -> None:
    assert oddities([1.0, None, None, None], nulls=0.05) == [
        "a: 75% are null, in training 5%.",
    ]


@pytest.mark.parametrize(
    ("gaps", "nulls"), [(0, 0.0), (1, 0.0), (1, None), (10, None), (5, 0.45), (8, 0.4), (0, 0.9)]
)
def test_about_as_many_nulls_as_in_training_are_not_told(gaps: int, nulls: float | None) -> None:
    """A tenth more, or less than twice as many, is chance; what training had is unknown at times."""
    assert oddities([None] * gaps + [1.0] * (10 - gaps), nulls=nulls) == []


def test_nulls_are_told_from_just_above_a_tenth_more() -> None:
    assert oddities([None, None] + [1.0] * 8, nulls=0.0) == ["a: 20% are null, in training 0%."]


def test_values_outside_of_trainings_range_are_counted() -> None:
    assert oddities([-1.0, 0.0, 5.0, 9.5, 10.0], min=0.0, max=9.0) == [
        "a: 3 of 5 values lie outside training's 0 to 9."
    ]


@pytest.mark.parametrize("dtype", ["double", "float", "int64"])
def test_the_ends_of_the_range_and_gaps_lie_within(dtype: str) -> None:
    assert oddities([0, 9, None], dtype, min=0.0, max=9.0) == []


def test_integers_outside_are_counted_too() -> None:
    assert oddities([1, 10_000], "int64", min=1.0, max=48.0) == [
        "a: 1 of 2 values lie outside training's 1 to 48."
    ]


def test_the_ends_of_a_float32_range_lie_within() -> None:
    values = np.random.default_rng(1).random(40).astype("float32")
    low, high = float(values.min()), float(values.max())

    assert oddities([float(v) for v in values], "float", min=low, max=high) == []


def test_a_double_that_the_online_store_rounded_lies_within() -> None:
    """Declared Float32, trained on doubles: 0.3 comes back as 0.30000001192, which is no outlier."""
    rounded = [float(np.float32(v)) for v in (0.1, 0.3)]

    assert rounded[1] > 0.3
    assert oddities(rounded, declared="float", min=0.1, max=0.3) == []


def test_what_has_no_range_and_what_has_no_rows_is_never_odd() -> None:
    assert oddities(["a", "b"], "string") == []
    assert oddities([True], "bool", min=0.0, max=0.0) == []
    assert oddities([], nulls=0.0, min=0.0, max=1.0) == []


def test_each_input_is_looked_at_in_the_models_order() -> None:
    inputs = contract(
        Input("b", "v:b", "double", nulls=0.0, min=0.0, max=1.0),
        Input("a", "v:a", "double", nulls=0.0),
    )
    came = {"b": [2.0, None], "a": [None, None]}
    found = feeding.training_skew(inputs, pd.DataFrame(came, dtype=float), came)

    assert found == [
        "b: 50% are null, in training 0%.",
        "b: 1 of 2 values lie outside training's 0 to 1.",
        "a: 100% are null, in training 0%.",
    ]


# ---------------------------------------------------------------------- matrix


def test_a_matrix_is_rows_by_inputs_in_the_models_order_with_gaps_as_nan() -> None:
    inputs = contract(Input("b", "v:b", "int64"), Input("a", "v:a", "float"))
    found = feeding.matrix(inputs, {"a": [0.5, None], "b": [1, 2], "driver_id": [7, 8]})

    assert found.dtype == "float64"
    assert np.array_equal(found, [[1.0, 0.5], [2.0, np.nan]], equal_nan=True)


@pytest.mark.parametrize(
    ("kinds", "dtype"),
    [
        (("float", "float"), "float32"),
        (("float", "double"), "float64"),
        (("float", "int64"), "float64"),
        (("bool", "int32"), "float64"),
        (("double", "string"), "object"),
        (("double", "timestamp[us, tz=UTC]"), "object"),
    ],
)
def test_a_matrix_is_float32_only_where_every_input_was(kinds, dtype) -> None:
    values: dict[str, Any] = {"string": "x", "bool": True, "int32": 3, "int64": 3,
                              "timestamp[us, tz=UTC]": datetime(2024, 1, 1)}  # fmt: skip
    inputs = contract(*(Input(str(i), None, kind) for i, kind in enumerate(kinds)))
    columns = {str(i): [values.get(kind, 0.5)] for i, kind in enumerate(kinds)}
    found = feeding.matrix(inputs, columns)

    assert (found.dtype, found.shape) == (dtype, (1, 2))
    assert found[0].tolist() == [columns["0"][0], columns["1"][0]]


def test_a_matrix_of_numbers_that_mlflow_named_is_one_of_numbers() -> None:
    inputs = contract(Input("a", None, "long"), Input("b", None, "integer"))

    assert feeding.matrix(inputs, {"a": [1], "b": [2]}).dtype == "float64"


def test_a_matrix_of_no_rows_is_as_wide_as_the_model() -> None:
    inputs = contract(Input("a", None, "float"), Input("b", None, "float"))

    assert feeding.matrix(inputs, {"a": [], "b": []}).shape == (0, 2)


def test_an_input_that_did_not_come_is_named_for_a_matrix_too() -> None:
    with pytest.raises(FeatureError, match=r"^trips, an input of the model, did not come\.$"):
        feeding.matrix(contract(Input("trips", None, "int64")), {"a": [1]})


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("double", "much"), ("double", "0.5"), ("int64", "7"), ("int64", 0.5), ("bool", "yes")],
)
def test_another_type_is_an_error_for_a_matrix_as_for_a_frame(dtype: str, value: Any) -> None:
    """Text that looks like a number is text: NumPy would parse it without a word."""
    with pytest.raises(FeatureError, match=r"was .* in training, and .* came"):
        feeding.matrix(contract(Input("a", "v:a", dtype)), {"a": [value]})


def test_a_column_that_is_all_null_now_is_told_whatever_training_had() -> None:
    assert oddities([None] * 4, nulls=0.6) == ["a: 100% are null, in training 60%."]


@pytest.mark.parametrize(
    ("dtype", "value"), [("datetime64[ns, UTC]", "soon"), ("Int64", "7"), ("boolean", "yes")]
)
def test_types_that_pandas_named_are_held_to_as_well(dtype: str, value: Any) -> None:
    """Columns that came with the entity frame are named as pandas names them."""
    with pytest.raises(FeatureError, match=r"was .* in training, and .* came"):
        fed(dtype, [value])
