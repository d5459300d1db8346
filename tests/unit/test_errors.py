"""What is said of errors: one line, cut where a word ends."""

from __future__ import annotations

import pytest

from feast_nb.errors import brief


@pytest.mark.parametrize(
    ("said", "most", "shown"),
    [
        ("no such\n  table", 20, "no such table"),
        ("the column conv_rate is not there", 20, "the column …"),
        ("the column conv_rate is not there", 22, "the column conv_rate …"),
        ("exactly as long as it may be", 28, "exactly as long as it may be"),
        ("x" * 50, 10, "xxxxxxxx …"),
        ("", 10, ""),
    ],
)
def test_a_long_message_is_cut_at_a_word(said: str, most: int, shown: str) -> None:
    assert brief(ValueError(said), most) == shown
    assert len(shown) <= most
