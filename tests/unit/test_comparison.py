"""Two frames held against each other: rows by their keys, values one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feast_nb.frames.comparison import FrameComparison, compare
from feast_nb.records.answers import ColumnDifference

SAME = FrameComparison(0, 0, ())
KEYS = ("id", "at")


def frame(**changes: object) -> pd.DataFrame:
    """Four rows of two keys and three values."""
    columns: dict[str, object] = {
        "id": [1, 1, 2, 3],
        "at": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-01", "2024-01-01"], utc=True),
        "rate": [0.5, 0.25, None, 1.0],
        "trips": [1, 2, 3, 4],
        "town": ["a", None, "c", "d"],
    }
    return pd.DataFrame(columns | changes)


def test_a_frame_is_as_it_is_itself() -> None:
    """Gaps are equal to gaps."""
    assert compare(frame(), frame(), KEYS) == SAME


def test_the_order_of_rows_and_columns_tells_nothing() -> None:
    other = frame().iloc[[2, 0, 3, 1]][["town", "at", "trips", "id", "rate"]]

    assert compare(frame(), other, KEYS) == SAME


def test_the_index_tells_nothing() -> None:
    assert compare(frame(), frame().set_axis(["a", "a", "b", "c"]), KEYS) == SAME


def test_neither_frame_is_changed() -> None:
    """The user has both: they stay as they are, marks included."""
    old, new = frame(), frame().iloc[::-1]
    old.attrs["mark"] = "r-1"
    before = old.copy(), new.copy()

    compare(old, new, KEYS)

    pd.testing.assert_frame_equal(old, before[0])
    pd.testing.assert_frame_equal(new, before[1])
    assert old.attrs == {"mark": "r-1"}


def test_a_changed_value_is_named_by_its_row() -> None:
    """The column, how many, and where: what was and what is."""
    found = compare(frame(), frame(trips=[1, 2, 30, 4]), KEYS)

    assert found == FrameComparison(
        0,
        0,
        (ColumnDifference("trips", 1, ("id=2, at=2024-01-01 00:00:00+00:00: 3 → 30",)),),
    )


def test_many_changes_are_counted_and_three_are_shown() -> None:
    old = pd.DataFrame({"id": range(10), "x": [1.0] * 10})
    new = old.assign(x=[1.0, 2.0] * 5)

    (column,) = compare(old, new, ["id"]).columns

    assert (column.name, column.differ) == ("x", 5)
    assert column.examples == tuple(f"id={i}: 1.0 → 2.0" for i in (1, 3, 5))


@pytest.mark.parametrize(
    ("column", "values", "example"),
    [
        ("rate", [0.5, 0.25, 0.0, 1.0], "null → 0.0"),
        ("rate", [0.5, None, None, 1.0], "0.25 → null"),
        ("town", ["a", "b", "c", "d"], "null → b"),
        ("town", ["a", None, None, "d"], "c → null"),
    ],
)
def test_a_gap_that_came_or_went_is_a_change(column: str, values: list, example: str) -> None:
    (found,) = compare(frame(), frame(**{column: values}), KEYS).columns

    assert (found.name, found.differ) == (column, 1)
    assert found.examples[0].endswith(f": {example}")


@pytest.mark.parametrize("word", ["nan", "None", "NaN", "<NA>", "NaT"])
def test_a_gap_is_not_the_word_for_one(word: str) -> None:
    """A text column that holds the word `nan` where nothing was."""
    old = pd.DataFrame({"id": [1, 2], "town": ["a", None]})
    new = pd.DataFrame({"id": [1, 2], "town": ["a", word]})

    assert [c.differ for c in compare(old, new, ["id"]).columns] == [1]
    assert [c.differ for c in compare(new, old, ["id"]).columns] == [1]


def test_rows_that_are_gone_or_new_are_counted() -> None:
    old, new = frame().iloc[:3], frame().iloc[1:]

    assert compare(old, new, KEYS) == FrameComparison(1, 1, ())
    assert compare(old, old.iloc[:0], KEYS) == FrameComparison(3, 0, ())
    assert compare(old.iloc[:0], old, KEYS) == FrameComparison(0, 3, ())
    assert compare(old.iloc[:0], old.iloc[:0], KEYS) == SAME


def test_a_moved_timestamp_is_a_row_gone_and_a_row_come() -> None:
    """The moment is a key: another one is another row."""
    later = frame()
    later.loc[3, "at"] += pd.Timedelta(seconds=1)

    assert compare(frame(), later, KEYS) == FrameComparison(1, 1, ())


def test_doubled_keys_are_paired_by_their_values() -> None:
    """Twice the same key with different values, in another order: nothing has changed."""
    old = pd.DataFrame({"id": [1, 1, 1, 2], "x": [3.0, 1.0, 2.0, 9.0], "y": ["c", "a", "b", "z"]})

    assert compare(old, old.iloc[[3, 1, 2, 0]], ["id"]) == SAME


def test_of_doubled_keys_one_more_is_a_new_row() -> None:
    old = pd.DataFrame({"id": [1, 1, 2], "x": [1.0, 1.0, 9.0]})
    new = pd.concat([old, old.iloc[:1]])

    assert compare(old, new, ["id"]) == FrameComparison(0, 1, ())
    assert compare(new, old, ["id"]) == FrameComparison(1, 0, ())


def test_a_change_under_a_doubled_key_is_one_change() -> None:
    old = pd.DataFrame({"id": [1, 1, 1], "x": [10, 2, 3]})
    new = pd.DataFrame({"id": [1, 1, 1], "x": [3, 10, 99999]})

    assert compare(old, new, ["id"]) == FrameComparison(
        0, 0, (ColumnDifference("x", 1, ("id=1: 2 → 99999",)),)
    )


def test_of_doubled_keys_the_one_that_is_gone_is_no_change_of_the_others() -> None:
    """Equal rows are paired first: what is left over is missing, and nothing else differs."""
    old = pd.DataFrame({"id": [1, 1, 1, 2], "x": [1.0, 2.0, 3.0, 9.0], "y": [1, 2, 3, 9]})

    for gone in range(3):
        assert compare(old, old.drop(index=gone), ["id"]) == FrameComparison(1, 0, ())
        assert compare(old.drop(index=gone), old, ["id"]) == FrameComparison(0, 1, ())


def test_doubled_keys_pair_whatever_the_order_of_columns() -> None:
    """The new frame has its columns in another order, as a service does that was reordered."""
    old = pd.DataFrame({"id": [1, 1], "x": [1, 2], "y": [2, 1]})
    new = pd.DataFrame({"id": [1, 1], "y": [2, 1], "x": [1, 2]})

    assert compare(old, new, ["id"]) == SAME


def test_doubled_keys_pair_whatever_the_width_of_numbers() -> None:
    """Integers that came back as floats, under a key that is there twice."""
    old = pd.DataFrame({"id": [1, 1, 1], "x": [9, 10, 100]})
    new = old.astype({"x": "float64"}).iloc[::-1]

    assert compare(old, new, ["id"]) == SAME


def test_a_missing_key_is_a_key() -> None:
    old = pd.DataFrame({"id": ["a", None, "b"], "x": [1, 2, 3]})

    assert compare(old, old.iloc[::-1], ["id"]) == SAME
    assert [c.differ for c in compare(old, old.assign(x=[1, 5, 3]), ["id"]).columns] == [1]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_a_moment_is_the_same_in_every_zone_and_unit(unit: str, zone: str) -> None:
    """As a key and as a value: only the instant counts."""
    old = frame(when=pd.to_datetime(["2024-03-01", None, "2024-03-02", "2024-03-03"], utc=True))
    new = old.assign(
        at=old["at"].dt.tz_convert(zone).dt.as_unit(unit),
        when=old["when"].dt.tz_convert(zone).dt.as_unit(unit),
    )

    assert compare(old, new, KEYS) == SAME
    assert compare(new, old, KEYS) == SAME


def test_a_naive_moment_is_taken_as_utc() -> None:
    new = frame()
    new["at"] = new["at"].dt.tz_localize(None)

    assert compare(frame(), new, KEYS) == SAME


def test_another_moment_in_another_zone_is_a_change() -> None:
    """The same reading of the clock in another zone is another instant."""
    old = pd.DataFrame({"id": [1], "when": pd.to_datetime(["2024-03-01"], utc=True)})
    new = old.assign(when=old["when"].dt.tz_localize(None).dt.tz_localize("America/New_York"))

    assert [(c.name, c.differ) for c in compare(old, new, ["id"]).columns] == [("when", 1)]


@pytest.mark.parametrize("kind", ["int32", "float32", "float64", "Int64", "Float64"])
def test_the_width_of_a_number_is_no_difference(kind: str) -> None:
    """An integer column that came back as floats holds the same numbers."""
    new = frame().astype({"trips": kind})

    assert compare(frame(), new, KEYS) == SAME
    assert compare(new, frame(), KEYS) == SAME


def test_an_integer_with_a_gap_is_the_integer_as_float_with_a_gap() -> None:
    old = pd.DataFrame({"id": [1, 2], "x": pd.array([1, None], dtype="Int64")})
    new = pd.DataFrame({"id": [1, 2], "x": [1.0, np.nan]})

    assert compare(old, new, ["id"]) == SAME
    assert compare(new, old, ["id"]) == SAME


@pytest.mark.parametrize("kind", ["int64", "uint64", "Int64"])
def test_integers_that_doubles_cannot_tell_apart_are_told_apart(kind: str) -> None:
    """Ids beyond 2**53."""
    old = pd.DataFrame({"id": [1, 2], "x": np.array([2**53, 5])}).astype({"x": kind})
    new = pd.DataFrame({"id": [1, 2], "x": np.array([2**53 + 1, 5])}).astype({"x": kind})

    assert [(c.name, c.differ) for c in compare(old, new, ["id"]).columns] == [("x", 1)]


def test_numbers_that_became_text_are_a_change_of_type() -> None:
    """The text reads the same, and no model takes it: what is said tells the two apart."""
    (found,) = compare(frame(), frame(trips=["1", "2", "3", "4"]), KEYS).columns

    assert found == ColumnDifference("trips", 0, ("int64 is object",))


def test_a_single_precision_value_is_what_it_is() -> None:
    """0.1 in single precision is not 0.1 in double: the values differ."""
    old = pd.DataFrame({"id": [1, 2], "x": np.array([0.1, 0.5], dtype="float32")})
    new = pd.DataFrame({"id": [1, 2], "x": np.array([0.1, 0.5])})

    assert [(c.name, c.differ) for c in compare(old, new, ["id"]).columns] == [("x", 1)]


@pytest.mark.parametrize("column", ["rate", "trips", "town"])
def test_a_column_that_is_gone_or_new_is_named(column: str) -> None:
    without = frame().drop(columns=column)

    assert compare(frame(), without, KEYS).columns == (
        ColumnDifference(column, 4, ("the column is gone",)),
    )
    assert compare(without, frame(), KEYS).columns == (
        ColumnDifference(column, 4, ("the column is new",)),
    )


def test_without_keys_rows_are_told_apart_by_their_place() -> None:
    found = compare(frame(), frame(trips=[1, 2, 3, 40]), [])

    assert [(c.name, c.differ, c.examples) for c in found.columns] == [
        ("trips", 1, ("row 3: 4 → 40",))
    ]


def test_a_key_that_one_frame_has_not_tells_nothing_apart() -> None:
    """It is no key then; the other ones are."""
    found = compare(frame(), frame().drop(columns="at").drop(index=3), KEYS)

    assert (found.missing, found.new) == (1, 0)
    assert [c.name for c in found.columns] == ["at"]


def test_examples_name_a_row_by_the_keys_that_are_shown() -> None:
    """Rows are told apart by all keys; people know them by some."""
    (found,) = compare(frame(), frame(trips=[1, 2, 30, 4]), KEYS, ["id"]).columns
    assert found.examples == ("id=2: 3 → 30",)
    (found,) = compare(frame(), frame(trips=[1, 2, 30, 4]), KEYS, ["other"]).columns
    assert found.examples == ("id=2, at=2024-01-01 00:00:00+00:00: 3 → 30",)


def test_lists_and_booleans_are_compared_whole() -> None:
    old = pd.DataFrame({"id": [1, 2], "v": [[1, 2], [3]], "yes": [True, False]})
    new = pd.DataFrame({"id": [2, 1], "v": [[3], [1, 2]], "yes": [False, True]})

    assert compare(old, new, ["id"]) == SAME
    changed = new.assign(v=[[3], [1, 20]], yes=[True, True])
    assert [(c.name, c.differ) for c in compare(old, changed, ["id"]).columns] == [
        ("v", 1),
        ("yes", 1),
    ]


def test_long_lists_are_compared_to_their_end() -> None:
    """An array of a thousand numbers: NumPy's text of it leaves the middle out."""
    long = np.arange(2000.0)
    other = long.copy()
    other[1000] = -1.0
    old = pd.DataFrame({"id": [1, 2], "v": [long, long]})
    new = pd.DataFrame({"id": [1, 2], "v": [long, other]})

    assert compare(old, old.copy(), ["id"]) == SAME
    assert [(c.name, c.differ) for c in compare(old, new, ["id"]).columns] == [("v", 1)]


def test_arrays_and_lists_of_the_same_numbers_are_the_same() -> None:
    """Parquet gives lists back as arrays; the store gives lists."""
    old = pd.DataFrame({"id": [1], "v": [np.array([1.5, 2.5])]})
    new = pd.DataFrame({"id": [1], "v": [[1.5, 2.5]]})

    assert compare(old, new, ["id"]) == SAME


# ------------------------------------------------------------------ any frame at all

numbers = st.one_of(st.none(), st.floats(allow_nan=False, width=32), st.integers(-5, 5))
frames = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["x", "y"]), numbers,
              st.sampled_from(["a", "b", None]), st.integers()),
    max_size=12,
)  # fmt: skip


def table(rows: list) -> pd.DataFrame:
    made = pd.DataFrame(rows, columns=["id", "kind", "number", "word", "whole"])
    return made.astype({"number": "float64", "id": "int64", "kind": "object", "word": "object"})


@settings(max_examples=100, deadline=None)
@given(rows=frames, chance=st.randoms(use_true_random=False))
def test_no_order_of_rows_makes_a_difference(rows: list, chance) -> None:
    """Doubled keys and gaps included."""
    mixed = list(range(len(rows)))
    chance.shuffle(mixed)
    old = table(rows)

    assert compare(old, old.iloc[mixed], ["id", "kind"]) == SAME


@settings(max_examples=100, deadline=None)
@given(rows=frames.filter(len), chance=st.randoms(use_true_random=False))
def test_one_changed_value_is_found_exactly(rows: list, chance) -> None:
    """Among rows with keys of their own, in any order: that column, that row, that value."""
    old = table(list({row[:2]: row for row in rows}.values()))
    place, column = chance.randrange(len(old)), chance.choice(["number", "word"])
    new = old.copy()
    new.loc[place, column] = 12345.678 if column == "number" else "changed"  # none of 32 bits
    mixed = list(range(len(old)))
    chance.shuffle(mixed)

    found = compare(old, new.iloc[mixed], ["id", "kind"])

    assert (found.missing, found.new) == (0, 0)
    (only,) = found.columns
    assert (only.name, only.differ) == (column, 1)
    was, now = old.loc[place, column], new.loc[place, column]
    was = "null" if pd.isna(was) else was
    where = f"id={old.loc[place, 'id']}, kind={old.loc[place, 'kind']}"
    assert only.examples == (f"{where}: {was} → {now}",)


@settings(max_examples=100, deadline=None)
@given(rows=frames.filter(len), chance=st.randoms(use_true_random=False))
def test_rows_taken_away_are_counted_exactly(rows: list, chance) -> None:
    old = table(rows)
    kept = chance.sample(range(len(old)), chance.randrange(len(old)))

    assert compare(old, old.iloc[kept], ["id"]) == FrameComparison(len(old) - len(kept), 0, ())


def test_keys_that_are_lists_are_compared_too() -> None:
    old = pd.DataFrame({"tags": [[1, 2], [3]], "x": [1, 2]})

    assert compare(old, old[::-1], ["tags"]) == SAME
