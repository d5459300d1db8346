"""Which variables a cell's code uses between the line that opens a run and the one that ends it."""

from __future__ import annotations

import textwrap

import pytest

from feast_nb.notebook.run_region import RunRegion

LOOP = """
trips = entities()
for refs in sets:
    cols = names(refs)
    with start_run():
        df = retrieve(trips, refs)
        model = fit(df[cols])
        log(model)
"""
TWO = """
one = retrieve(a)
start_run()
first = fit(one)
end_run()
two = retrieve(b)
start_run()
second = fit(two)
end_run()
print(late)
"""
BEFORE = """
df = retrieve(a)
train = df.dropna()
model = fit(train)
with start_run():
    log(model)
"""
OPENED_IN_A_LOOP = """
for refs in sets:
    end_run()
    start_run()
    df = retrieve(refs)
    fit(df)
"""
CALLED = """
def train(frame):
    with start_run():
        log(fit(frame, extra))
other = retrieve(b)
train(df)
"""


def region(source: str, start: int | None, end: int | None) -> RunRegion:
    return RunRegion(textwrap.dedent(source).strip(), start, end)


def test_the_frame_of_an_earlier_turn_is_not_what_the_next_run_reads() -> None:
    begins, ends = region(LOOP, 4, None), region(LOOP, 4, 4)

    assert "df" not in begins.names_read
    assert {"trips", "refs", "cols"} <= begins.names_read
    assert "df" in ends.names_loaded


def test_of_two_runs_in_a_cell_each_has_its_own_lines() -> None:
    assert region(TWO, 2, 4).names_loaded >= {"one", "a"}
    assert not region(TWO, 2, 4).names_loaded & {"two", "late"}
    assert not region(TWO, 6, 8).names_loaded & {"one", "late"}
    assert "late" in region(TWO, 6, None).names_loaded


def test_what_a_variable_was_made_of_before_the_run_counts() -> None:
    assert region(BEFORE, 4, 4).names_loaded >= {"model", "train", "df"}


def test_a_run_that_spans_two_turns_of_a_loop_has_its_body() -> None:
    assert region(OPENED_IN_A_LOOP, 3, 2).names_loaded >= {"df", "refs"}


def test_a_call_that_opens_and_ends_a_run_is_its_line_and_its_functions() -> None:
    loaded = region(CALLED, 5, 5).names_loaded

    assert {"df", "extra"} <= loaded
    assert "other" not in loaded


def test_a_run_that_was_open_before_the_cell_has_all_of_it() -> None:
    assert region(TWO, None, None).names_loaded >= {"one", "two", "late"}


@pytest.mark.parametrize("start", [0, 1, 99, None])
def test_text_that_is_no_python_uses_nothing(start: int | None) -> None:
    assert RunRegion("not python (", start).names_loaded == set()
