"""Which frame came from which retrieval."""

from __future__ import annotations

import sys
from types import ModuleType

import pandas as pd
import pytest

from feast_nb import frames
from feast_nb.records import Retrieval


def retrieval(id: str, *features: str, kind: str = "historical", full: bool = False) -> Retrieval:
    refs = tuple(f"v:{f}" for f in features)
    return Retrieval(id, kind, "p", refs, full_feature_names=full)  # type: ignore[arg-type]


def test_a_mark_survives_what_people_do_before_fitting() -> None:
    frame = pd.DataFrame({"a": [1, None, 3], "y": [0, 1, 0]})
    frames.mark(frame, "r-1")

    features = frame.dropna()[["a"]].astype(float).sort_values("a").reset_index(drop=True)

    assert frames.mark_of(features) == "r-1"


def test_a_join_with_another_frame_loses_the_mark() -> None:
    frame = pd.DataFrame({"a": [1]})
    frames.mark(frame, "r-1")

    assert frames.mark_of(frame.merge(pd.DataFrame({"a": [1], "b": [2]}))) is None


@pytest.mark.parametrize("attr", [1, None, ["r-1"], {"id": "r-1"}])
def test_an_attribute_of_somebody_else_is_no_mark(attr: object) -> None:
    frame = pd.DataFrame()
    frame.attrs[frames.ATTR] = attr

    assert frames.mark_of(frame) is None


@pytest.mark.parametrize("value", [None, 3, "frame", [1], {"a": 1}, pd.Series([1])])
def test_only_pandas_frames_are_marked(value: object) -> None:
    frames.mark(value, "r-1")

    assert frames.mark_of(value) is None
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

    assert frames.of_columns(["a", "b", "mine"], [wide, narrow]) is wide


def test_of_those_that_cover_as_much_the_one_with_the_fewest_left_over_wins() -> None:
    exact, wide = retrieval("exact", "a"), retrieval("wide", "a", "b")

    assert frames.of_columns(["a"], [exact, wide]) is exact


def test_of_equals_the_latest_wins() -> None:
    first, last = retrieval("first", "a"), retrieval("last", "a")

    assert frames.of_columns(["a"], [first, last]) is last


@pytest.mark.parametrize("names", [[], ["x"]])
def test_no_overlap_is_no_retrieval(names: list[str]) -> None:
    assert frames.of_columns(names, [retrieval("r", "a")]) is None


def test_full_names_are_the_columns_where_so_asked() -> None:
    full, short = retrieval("full", "a", full=True), retrieval("short", "a")

    assert frames.of_columns(["v__a"], [full, short]) is full


def test_a_model_is_of_a_historical_retrieval_only() -> None:
    historical, online = retrieval("h", "a"), retrieval("o", "a", kind="online")

    assert frames.of_model(["a"], 1, [historical, online]) is historical
    assert frames.of_model(None, None, [online]) is None


def test_a_model_without_names_is_told_by_its_width() -> None:
    one, two, last = retrieval("1", "a"), retrieval("2", "a", "b"), retrieval("3", "c")

    assert frames.of_model(None, 2, [one, two, last]) is two


@pytest.mark.parametrize("width", [None, 7])
def test_a_model_that_tells_nothing_is_of_the_latest_retrieval(width: int | None) -> None:
    first, last = retrieval("1", "a"), retrieval("2", "b")

    assert frames.of_model(None, width, [first, last]) is last


def test_a_model_whose_names_no_retrieval_has_is_of_none() -> None:
    assert frames.of_model(["x"], 1, [retrieval("r", "a")]) is None
