"""Two frames have one fingerprint exactly when they hold the same rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from feast_nb.frames import fingerprint

ROOT = Path(__file__).resolve().parents[2]

# Committed, so that every Python, pandas and process must agree with it: a change of these
# numbers makes every fingerprint that users have stored differ from what they would get today.
GOLDEN = "c4b7e09f133c11a57cddd1761e-1e95f9d7"


def digest(frame: pd.DataFrame | pa.Table, **types: pa.DataType) -> str:
    return fingerprint.of(frame, types or None).digest


def column(values: object, dtype: object = None) -> pd.DataFrame:
    return pd.DataFrame({"a": pd.Series(values, dtype=dtype)})


def arrow(values: object, kind: pa.DataType | None = None) -> pa.Table:
    return pa.table({"a": pa.array(values, kind)})


def sample() -> pd.DataFrame:
    """A bit of everything that a training frame holds."""
    return pd.DataFrame(
        {
            "driver_id": [1, 2, 3, 4],
            "event_timestamp": pd.to_datetime(
                ["2024-01-01T00:00", "2024-01-02T03:04:05.000006", None, "1969-12-31T00:00"],
                utc=True,
                format="ISO8601",
            ),
            "rate": np.array([0.1, np.nan, -0.0, np.inf], "float32"),
            "late": [True, False, True, True],
            "name": ["ä", "", None, "x" * 100],
            "tags": [[1, 2], [], None, [3]],
            "kind": pd.Categorical(["b", "a", None, "b"]),
            "amount": [Decimal("1.10"), None, Decimal("-3.00"), Decimal("0.01")],
            "day": [date(2024, 1, 1), date(1960, 2, 29), None, date(2024, 1, 1)],
            "place": [{"x": 1, "y": "n"}, {"x": None, "y": "s"}, None, {"x": 2, "y": ""}],
            "count": pd.array([1, None, 2**62 + 1, -5], dtype="Int64"),
        }
    )


def big(rows: int = 70_000) -> pd.DataFrame:
    """More rows than two chunks hold."""
    draw = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "x": draw.random(rows),
            "s": draw.integers(0, 50, rows).astype(str),
            "at": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows), unit="s"),
        }
    )


cells = st.fixed_dictionaries(
    {
        "i": st.integers(-(2**63), 2**63 - 1),
        "f": st.one_of(st.none(), st.floats(allow_nan=False)),
        "s": st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=6)),
        "b": st.one_of(st.none(), st.booleans()),
        "t": st.one_of(st.none(), st.datetimes(datetime(1678, 1, 1), datetime(2262, 1, 1))),
        "l": st.one_of(
            st.none(), st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=3)
        ),
    }
)  # fmt: skip
SCHEMA = pa.schema(
    [("i", pa.int64()), ("f", pa.float64()), ("s", pa.string()), ("b", pa.bool_()),
     ("t", pa.timestamp("us", "UTC")), ("l", pa.list_(pa.int64()))]
)  # fmt: skip
tables = st.lists(cells, min_size=1, max_size=8)


def table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


# ---------------------------------------------------------------------- what never matters


@settings(max_examples=60, deadline=None)
@given(rows=tables, shuffle=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_never_matters(rows: list[dict], shuffle) -> None:
    other = list(rows)
    shuffle.shuffle(other)

    assert digest(table(other)) == digest(table(rows))


@settings(max_examples=60, deadline=None)
@given(rows=tables, at=st.integers(0, 8))
def test_how_arrow_cuts_a_table_into_chunks_never_matters(rows: list[dict], at: int) -> None:
    whole = table(rows)
    cut = pa.concat_tables([whole.slice(0, at), whole.slice(at)])

    assert fingerprint.of(cut) == fingerprint.of(whole)


@settings(max_examples=60, deadline=None)
@given(rows=tables, start=st.integers(0, 7))
def test_a_slice_is_what_it_shows(rows: list[dict], start: int) -> None:
    assert digest(table(rows).slice(start)) == digest(table(rows[start:]))


@settings(max_examples=40, deadline=None)
@given(rows=tables)
def test_pandas_and_arrow_agree_on_declared_types(rows: list[dict]) -> None:
    as_arrow = table(rows)
    types = {name: SCHEMA.field(name).type for name in ("i", "f")}
    as_pandas = as_arrow.select(["i", "f", "s", "b", "t"]).to_pandas()

    assume(any(r["s"] is not None for r in rows) and any(r["b"] is not None for r in rows))
    assert digest(as_pandas, **types) == digest(as_arrow.select(["i", "f", "s", "b", "t"]), **types)


def test_more_rows_than_a_chunk_holds_may_be_shuffled() -> None:
    frame = big()

    assert digest(frame.sample(frac=1, random_state=1)) == digest(frame)


def test_the_index_never_matters() -> None:
    frame = sample()

    assert digest(frame.set_axis(list("wxyz"))) == digest(frame)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(column(["a", None, "b"], "category"), column(["a", None, "b"]), id="category"),
        pytest.param(column(["a", None], "string"), column(["a", None]), id="string dtype"),
        pytest.param(arrow(["a"], pa.large_string()), arrow(["a"]), id="large string"),
        pytest.param(arrow(["a"], pa.string_view()), arrow(["a"]), id="string view"),
        pytest.param(column([1, None], "Int64"), arrow([1, None]), id="nullable integers"),
        pytest.param(column([1.5, np.nan]), arrow([1.5, None]), id="NaN is null"),
        pytest.param(arrow([1.5, float("nan")]), arrow([1.5, None]), id="NaN is null in Arrow"),
        pytest.param(arrow([[1.5, float("nan")]]), arrow([[1.5, None]]), id="NaN in a list"),
        pytest.param(column([-0.0]), column([0.0]), id="minus zero"),
        pytest.param(column([True, None]), arrow([True, None]), id="booleans with nulls"),
        pytest.param(column(["a", np.nan]), column(["a", None]), id="NaN among strings"),
        pytest.param(column(["a", pd.NA]), column(["a", None]), id="NA among strings"),
        pytest.param(
            column(pd.Categorical(["b", "a"], ["b", "a"])),
            column(pd.Categorical(["b", "a"], ["a", "b", "c"])),
            id="categories that no row has",
        ),
        pytest.param(
            pd.DataFrame([[1, 2]]), pd.DataFrame([[1, 2]], columns=["0", "1"]), id="names as numbers"
        ),
    ],
)  # fmt: skip
def test_the_same_values_in_another_container(one, other) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York", "Asia/Kolkata", None])
def test_an_instant_is_the_same_in_every_time_zone(zone: str | None) -> None:
    moments = pd.date_range("2024-03-31", periods=5, freq="h", tz="UTC")

    assert digest(column(moments.tz_convert(zone))) == digest(column(moments))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_an_instant_is_the_same_in_every_unit(unit: str) -> None:
    moments = pd.Series(pd.to_datetime(["2024-01-01T10:00:01", "1950-01-01T00:00:00"], utc=True))
    in_unit = moments.astype(f"datetime64[{unit}, UTC]")

    assert digest(column(in_unit)) == digest(column(moments))


def test_integers_with_missing_values_are_integers_where_so_declared() -> None:
    from_pandas = column([1.0, np.nan, 3.0])
    from_arrow = arrow([1, None, 3])

    assert digest(from_pandas, a=pa.int64()) == digest(from_arrow, a=pa.int64())


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.int32(), pa.float32(), pa.float64(), pa.string(), pa.bool_()], ids=str
)
def test_a_feature_that_is_missing_everywhere_has_its_declared_type(kind: pa.DataType) -> None:
    from_pandas = column([None, None], object)
    from_arrow = arrow([None, None], kind)

    assert digest(from_pandas, a=kind) == digest(from_arrow, a=kind)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(pa.list_(pa.field("element", pa.int64())), id="as Parquet names it"),
        pytest.param(pa.list_(pa.field("l", pa.int64(), nullable=False)), id="not nullable"),
        pytest.param(pa.large_list(pa.int64()), id="large list"),
        pytest.param(pa.list_(pa.int64(), 2), id="fixed size"),
    ],
)
def test_a_list_is_the_same_in_every_kind_of_list(kind: pa.DataType) -> None:
    values = [[1, 2], [3, 4], None]

    assert digest(arrow(values, kind)) == digest(arrow(values, pa.list_(pa.int64())))


def test_a_list_of_moments_is_the_same_in_every_unit() -> None:
    values = [[datetime(2024, 1, 1)], []]

    assert digest(arrow(values, pa.list_(pa.timestamp("ns")))) == digest(
        arrow(values, pa.list_(pa.timestamp("us", "UTC")))
    )


def test_a_duration_is_the_same_in_every_unit() -> None:
    """pandas 2 makes nanoseconds of a timedelta, pandas 3 microseconds."""
    values = [timedelta(seconds=1), None]

    assert digest(arrow(values, pa.duration("ns"))) == digest(arrow(values, pa.duration("us")))


def test_a_declared_type_that_the_values_do_not_fit_is_passed_over() -> None:
    frame = column([1.5, 2.0])

    assert digest(frame, a=pa.int64()) == digest(frame)


# ---------------------------------------------------------------------- what always matters


@settings(max_examples=150, deadline=None)
@given(rows=tables, data=st.data())
def test_any_change_of_one_value_matters(rows: list[dict], data) -> None:
    row = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(sorted(rows[0])))
    value = data.draw(cells)[name]
    assume(value != rows[row][name])
    changed = [*rows[:row], {**rows[row], name: value}, *rows[row + 1 :]]

    assert digest(table(changed)) != digest(table(rows))


@settings(max_examples=40, deadline=None)
@given(rows=tables, data=st.data())
def test_one_row_more_or_doubled_matters(rows: list[dict], data) -> None:
    doubled = [*rows, data.draw(st.sampled_from(rows))]
    null = [*rows, dict.fromkeys(rows[0])]

    assert len({digest(table(rows)), digest(table(doubled)), digest(table(null))}) == 3


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(cells, min_size=2, max_size=8), name=st.sampled_from("ifsbtl"))
def test_values_that_change_rows_within_a_column_matter(rows: list[dict], name: str) -> None:
    assume(rows[0][name] != rows[1][name])
    assume({k: v for k, v in rows[0].items() if k != name} !=
           {k: v for k, v in rows[1].items() if k != name})  # fmt: skip
    first = {**rows[0], name: rows[1][name]}
    second = {**rows[1], name: rows[0][name]}

    assert digest(table([first, second, *rows[2:]])) != digest(table(rows))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(column([1, 2]), column([1, 3]), id="value"),
        pytest.param(column([True, False]), column([True, True]), id="boolean"),
        pytest.param(column([1.0]), column([np.nextafter(1.0, 2)]), id="last bit of a double"),
        pytest.param(column([1.0, np.nan]), column([1.0, 0.0]), id="missing and zero"),
        pytest.param(column(["a", ""]), column(["a", None]), id="empty text and missing"),
        pytest.param(column(["a", "None"]), column(["a", None]), id="the word None"),
        pytest.param(column([1]), column([1], "int32"), id="narrower integers"),
        pytest.param(column([1.0]), column([1]), id="integers for floats"),
        pytest.param(column(["1"]), column([1]), id="text for numbers"),
        pytest.param(column([b"a"]), column(["a"]), id="bytes for text"),
        pytest.param(column([0, 1]), column([False, True]), id="numbers for booleans"),
        pytest.param(column([1]), column([1]).rename(columns={"a": "A"}), id="name"),
        pytest.param(arrow([[]]), arrow([None], pa.list_(pa.null())), id="empty list, missing"),
        pytest.param(arrow([[]], pa.list_(pa.int64())), arrow([[None]], pa.list_(pa.int64())),
                     id="empty list, list of a missing value"),
        pytest.param(arrow([[0]]), arrow([[None]], pa.list_(pa.int64())), id="zero in a list"),
        pytest.param(arrow([[0]]), arrow([[0, 0]]), id="length of a list"),
        pytest.param(arrow([[1, 2]]), arrow([[2, 1]]), id="order in a list"),
        pytest.param(arrow([[1], [2, 3]]), arrow([[1, 2], [3]]), id="where a list ends"),
        pytest.param(arrow([[[1], [2]]]), arrow([[[1, 2]]]), id="where an inner list ends"),
        pytest.param(arrow([[[1], []]]), arrow([[[], [1]]]), id="place in an outer list"),
        pytest.param(arrow([["ab", "c"]]), arrow([["a", "bc"]]), id="where a text ends"),
        pytest.param(arrow([{"x": 1, "y": 2}]), arrow([{"x": 2, "y": 1}]), id="struct fields"),
        pytest.param(
            arrow([{"x": None}], pa.struct([("x", pa.int64())])),
            arrow([None], pa.struct([("x", pa.int64())])),
            id="struct of nothing, missing struct",
        ),
        pytest.param(column([Decimal("1.10")]), column([Decimal("1.11")]), id="decimal"),
        pytest.param(column([date(2024, 1, 1)]), column([date(2024, 1, 2)]), id="date"),
        pytest.param(column([2**62]), column([2**62 + 1]), id="large integers"),
        pytest.param(column([2**63], "uint64"), column([2**63 + 1], "uint64"), id="unsigned"),
        pytest.param(column([1, "x"]), column(["1", "x"], object), id="mixed objects"),
        pytest.param(column([np.inf]), column([-np.inf]), id="infinities"),
        pytest.param(
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            pd.DataFrame([[2, 1]], columns=["a", "a"]),
            id="doubled names",
        ),
        pytest.param(pd.DataFrame(index=range(2)), pd.DataFrame(index=range(3)), id="only rows"),
        pytest.param(column([], "int64"), column([], "float64"), id="types of no rows"),
    ],
)  # fmt: skip
def test_what_differs_has_another_fingerprint(one, other) -> None:
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(0.5, 4602678819172646912.0, id="a large number with the bits of 0.5"),
        pytest.param(5e-324, 1.0, id="the smallest number and one"),
    ],
)
def test_floats_are_told_apart_whatever_their_bits(one: float, other: float) -> None:
    """Whole floats are hashed as integers, others by their bits: the two must not meet."""
    assert digest(column([one])) != digest(column([other]))


@pytest.mark.parametrize("step", [timedelta(microseconds=1), timedelta(days=30)])
def test_a_timestamp_that_moves_matters(step: timedelta) -> None:
    moments = pd.Series(pd.date_range("2024-01-01", periods=4, tz="UTC"))
    moved = moments.copy()
    moved.iloc[2] += step

    assert digest(column(moved)) != digest(column(moments))


def test_nanoseconds_matter_where_there_are_some() -> None:
    whole = pd.Series(pd.to_datetime(["2024-01-01 00:00:00.000001"], utc=True))
    fine = whole + pd.Timedelta(1, "ns")
    finer = whole + pd.Timedelta(2, "ns")

    assert len({digest(column(m)) for m in (whole, fine, finer)}) == 3


@pytest.mark.parametrize("row", [0, 10_001, 32_767, 32_768, 69_999])
def test_a_change_matters_in_every_row_of_a_long_frame(row: int) -> None:
    frame = big()
    changed = frame.copy()
    changed.loc[row, "x"] += 1e-9

    assert digest(changed) != digest(frame)


def test_periods_of_another_frequency_are_other_values() -> None:
    years = column(pd.PeriodIndex(["2024"], freq="Y"))
    months = column(pd.PeriodIndex.from_ordinals([2024 - 1970], freq="M"))

    assert digest(years) != digest(months)


def test_swapped_columns_have_the_same_rows_and_another_schema() -> None:
    frame = sample()

    swapped = fingerprint.of(frame[frame.columns[::-1]])

    assert swapped.rows == fingerprint.of(frame).rows
    assert swapped.schema != fingerprint.of(frame).schema


def test_renamed_columns_have_other_rows() -> None:
    """Were names not in the rows, two columns that change names would be a change of order."""
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    renamed = frame.rename(columns={"a": "b", "b": "a"})

    assert fingerprint.of(renamed).rows != fingerprint.of(frame).rows


def test_the_order_of_rows_is_told_apart_from_the_rows() -> None:
    frame = sample()

    turned = fingerprint.of(frame.iloc[::-1])

    assert turned.row_order != fingerprint.of(frame).row_order
    assert turned.digest == fingerprint.of(frame).digest


# ---------------------------------------------------------------------- what can be hashed


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["\ud800", "a"], id="surrogates"),
        pytest.param([2**70, 1], id="integers beyond 64 bits"),
        pytest.param([1j, 2], id="complex numbers"),
        pytest.param([object, 1, "x", None, 2.5], id="objects"),
        pytest.param([{1, 2}, {3}], id="sets"),
        pytest.param([np.zeros((2, 2)), np.ones((2, 2))], id="matrices"),
        pytest.param([{"b": [{"c": 1}]}, {"b": []}], id="nested"),
        pytest.param(pd.interval_range(0, 2), id="intervals"),
        pytest.param(pd.arrays.SparseArray([1, 0]), id="sparse"),
        pytest.param(np.array([1, np.nan], "float16"), id="halves"),
        pytest.param([pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-01", tz="UTC")], id="mixed"),
    ],
)  # fmt: skip
def test_whatever_pandas_holds_can_be_hashed(values) -> None:
    frame = column(values)

    assert digest(frame) == digest(frame.copy()) == digest(frame.iloc[::-1])


def test_texts_that_are_no_unicode_are_told_apart() -> None:
    assert digest(column(["\ud800"])) != digest(column(["\ud801"]))


def test_a_column_name_that_is_no_unicode() -> None:
    assert digest(pd.DataFrame({"\ud800": [1]})) != digest(pd.DataFrame({"\ud801": [1]}))


@pytest.mark.parametrize(
    "make", [sample, big, lambda: sample().iloc[:0], pd.DataFrame], ids=["some", "many", "0", "-"]
)
def test_a_digest_fits_mlflow(make: Callable[[], pd.DataFrame]) -> None:
    found = fingerprint.of(make()).digest

    assert 30 <= len(found) <= 36
    assert found == fingerprint.of(make()).digest


def test_the_frame_stays_as_it_is() -> None:
    frame = sample()
    before = frame.copy()

    digest(frame)

    pd.testing.assert_frame_equal(frame, before)


# ---------------------------------------------------------------------- everywhere the same


def test_today_agrees_with_all_fingerprints_ever_stored() -> None:
    assert digest(sample()) == GOLDEN


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_every_process_agrees(seed: str) -> None:
    code = (
        "import json, sys; sys.path.insert(0, '.')\n"
        "from tests.unit.test_fingerprint import big, sample, digest\n"
        "print(json.dumps([digest(sample()), digest(big())]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True,
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
    )  # fmt: skip

    assert json.loads(done.stdout) == [digest(sample()), digest(big())]
