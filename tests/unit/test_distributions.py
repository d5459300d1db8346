"""How far served values lie from a training's: the index against its definition, and its limits."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feast_nb.integrations.feast.health.distributions import FEWEST, MOVED, MOVED_MUCH, shift

DRAW = np.random.default_rng(1)


def test_the_index_is_that_of_its_definition() -> None:
    """Two words, half and half in training, three quarters to one served."""
    then = pd.Series(["a", "b"] * 100)
    now = pd.Series(["a", "a", "a", "b"] * 50)
    found = shift(then, now)

    assert found is not None
    assert found.psi == pytest.approx(0.25 * math.log(0.75 / 0.5) - 0.25 * math.log(0.25 / 0.5))
    assert (found.training, found.served) == ((0.5, 0.5, 0.0), (0.75, 0.25, 0.0))
    assert found.p is None


def test_a_standard_deviation_is_far_and_chance_is_not() -> None:
    then = pd.Series(DRAW.normal(0, 1, 5000))
    moved = shift(then, pd.Series(DRAW.normal(1, 1, 200)))
    assert moved is not None
    assert moved.psi > MOVED_MUCH
    assert moved.p is not None
    assert moved.p < 1e-6
    by_chance = [shift(then, pd.Series(DRAW.normal(0, 1, 200))) for _ in range(50)]
    assert sum(s is not None and s.psi >= MOVED_MUCH for s in by_chance) == 0
    assert sum(s is not None and s.psi >= MOVED for s in by_chance) <= 5


def test_a_word_that_training_never_saw_is_of_the_others() -> None:
    found = shift(pd.Series(["a"] * 200), pd.Series(["a"] * 100 + ["z"] * 100))

    assert found is not None
    assert found.served == (0.5, 0.5)
    assert found.psi > MOVED_MUCH


def test_a_constant_that_stays_has_not_moved_and_one_that_changes_has() -> None:
    same = shift(pd.Series([7] * 200), pd.Series([7] * 200))
    other = shift(pd.Series([7] * 200), pd.Series([9] * 200))

    assert same is not None
    assert same.psi == 0.0
    assert other is not None
    assert other.psi > MOVED_MUCH


def test_of_too_few_nothing_is_said() -> None:
    many = pd.Series(range(1000))

    assert shift(many, pd.Series(range(FEWEST - 1))) is None
    assert shift(pd.Series(range(FEWEST - 1)), many) is None
    assert shift(many, pd.Series([np.nan] * 1000)) is None
    assert shift(many, pd.Series(["no number"] * 1000)) is None


@given(
    st.lists(st.floats(-1e300, 1e300) | st.just(math.nan), min_size=150, max_size=200),
    st.lists(st.floats(allow_infinity=True), min_size=150, max_size=200),
)
def test_any_numbers_have_a_finite_index_and_shares_that_add_up(then, now) -> None:
    found = shift(pd.Series(then, dtype="float64"), pd.Series(now, dtype="float64"))

    if found is not None:
        assert 0.0 <= found.psi < 100
        assert sum(found.training) == pytest.approx(1.0)
        assert sum(found.served) == pytest.approx(1.0)
