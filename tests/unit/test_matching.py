"""Which frame came from which retrieval."""

from __future__ import annotations

import sys
from types import ModuleType

import pandas as pd
import pytest

from feast_nb import frames
from feast_nb.frames import matching
from feast_nb.records.retrieval import Retrieval


def retrieval(id: str, *features: str, kind: str = "historical", full: bool = False) -> Retrieval:
    refs = tuple(f"v:{f}" for f in features)
    return Retrieval(id, kind, "p", refs, full_feature_names=full)  # type: ignore[arg-type]


def test_a_mark_survives_what_people_do_before_fitting() -> None:
    frame = pd.DataFrame({"a": [1, None, 3], "y": [0, 1, 0]})
    matching.mark(frame, "r-1")

    features = frame.dropna()[["a"]].astype(float).sort_values("a").reset_index(drop=True)

    assert matching.mark_of(features) == "r-1"


def test_a_join_with_another_frame_loses_the_mark() -> None:
    frame = pd.DataFrame({"a": [1]})
    matching.mark(frame, "r-1")

    assert matching.mark_of(frame.merge(pd.DataFrame({"a": [1], "b": [2]}))) is None


@pytest.mark.parametrize("attr", [1, None, ["r-1"], {"id": "r-1"}])
def test_an_attribute_of_somebody_else_is_no_mark(attr: object) -> None:
    frame = pd.DataFrame()
    frame.attrs[matching.ATTR] = attr

    assert matching.mark_of(frame) is None


@pytest.mark.parametrize("value", [None, 3, "frame", [1], {"a": 1}, pd.Series([1])])
def test_only_pandas_frames_are_marked(value: object) -> None:
    matching.mark(value, "r-1")

    assert matching.mark_of(value) is None
    assert not frames.is_pandas(value)


def test_a_subclass_of_a_frame_is_a_frame() -> None:
    class Mine(pd.DataFrame):
        pass

    assert frames.is_pandas(Mine())


@pytest.mark.parametrize("there", [None, ModuleType("pandas")], ids=["absent", "half imported"])
def test_nothing_is_a_frame_where_pandas_is_not_imported(monkeypatch, there) -> None:
    """A Tab may come while another thread imports pandas."""
    monkeypatch.setitem(sys.modules, "pandas", there)

    assert not frames.is_pandas(3)


def test_most_covered_names_win() -> None:
    narrow, wide = retrieval("narrow", "a"), retrieval("wide", "a", "b")

    assert matching.of_columns(["a", "b", "mine"], [wide, narrow]) == (wide,)


def test_of_those_that_cover_as_much_the_one_with_the_fewest_left_over_wins() -> None:
    exact, wide = retrieval("exact", "a"), retrieval("wide", "a", "b")

    assert matching.of_columns(["a"], [exact, wide]) == (exact,)


def test_equals_are_all_given_and_none_is_taken_for_being_the_latest() -> None:
    first, last = retrieval("first", "a"), retrieval("last", "a")

    assert matching.of_columns(["a"], [first, last]) == (first, last)


@pytest.mark.parametrize("names", [[], ["x"]])
def test_no_overlap_is_no_retrieval(names: list[str]) -> None:
    assert matching.of_columns(names, [retrieval("r", "a")]) == ()


def test_full_names_are_the_columns_where_so_asked() -> None:
    full, short = retrieval("full", "a", full=True), retrieval("short", "a")

    assert matching.of_columns(["v__a"], [full, short]) == (full,)


def test_a_model_is_of_a_historical_retrieval_only() -> None:
    historical, online = retrieval("h", "a"), retrieval("o", "a", kind="online")

    assert matching.of_model(["a"], 1, [historical, online]) == (historical,)
    assert matching.of_model(None, None, [online]) == ()


def test_a_model_without_names_is_told_by_its_width() -> None:
    one, two, last = retrieval("1", "a"), retrieval("2", "a", "b"), retrieval("3", "c")

    assert matching.of_model(None, 2, [one, two, last]) == (two,)


@pytest.mark.parametrize("width", [None, 7])
def test_a_model_that_tells_nothing_may_be_of_any(width: int | None) -> None:
    first, last = retrieval("1", "a"), retrieval("2", "b")

    assert matching.of_model(None, width, [first, last]) == (first, last)


def test_a_model_whose_names_no_retrieval_has_is_of_none() -> None:
    assert matching.of_model(["x"], 1, [retrieval("r", "a")]) == ()


def test_a_model_of_a_frame_joined_from_several_is_of_them_all() -> None:
    one, two, other = retrieval("1", "a", "b"), retrieval("2", "c"), retrieval("3", "d")

    assert matching.of_model(["a", "b", "c", "y"], 4, [one, two, other]) == (one, two)


def test_what_the_cell_reads_is_before_what_came_later() -> None:
    read, later = retrieval("read", "a", "b"), retrieval("later", "a")

    assert matching.of_model(["a"], 1, [read, later], {"read": "attrs"}) == (read,)
    assert matching.of_model(None, None, [read, later], {"read": "attrs"}) == (read,)


# ---------------------------------------------------------------------- kin


def test_what_a_cell_makes_of_a_marked_frame_is_its_kin() -> None:
    frame, kin = pd.DataFrame({"a": [1]}), matching.FrameLineage()
    matching.mark(frame, "r-1")
    joined = frame.merge(pd.DataFrame({"a": [1], "b": [2]}))

    assert kin.of(joined) == {}
    kin.learn(joined, ["r-1"])

    assert kin.of(frame) == kin.of(frame["a"]) == {"r-1": "attrs"}
    assert kin.of(joined) == {"r-1": "name"}
    kin.learn(joined, ["r-2"])
    assert kin.of(joined) == {"r-1": "name", "r-2": "name"}


def test_a_frame_that_is_gone_leaves_no_kin_behind() -> None:
    """Python gives the number of a dead object to the next one."""
    kin = matching.FrameLineage()
    for _ in range(100):
        frame = pd.DataFrame({"a": [1]})
        assert kin.of(frame) == {}
        kin.learn(frame, ["r-1"])
    del frame

    assert kin._of == {}


def test_arrays_and_lists_of_frames_are_looked_into() -> None:
    frame, kin = pd.DataFrame({"a": [1, 2]}), matching.FrameLineage()
    array = frame.to_numpy().copy()
    matching.mark(frame, "r-1")
    kin.learn([array, 3, "x"], ["r-2"])

    assert kin.of((frame, array)) == {"r-1": "attrs", "r-2": "name"}
    assert kin.of({"train": array}) == {"r-2": "name"}
    assert kin.of([1, "x", None]) == {}
