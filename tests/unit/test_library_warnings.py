"""What libraries warn of during a magic: one output, and the user's own warnings as ever."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from feast_nb.errors import Told
from feast_nb.magics import library_warnings
from feast_nb.magics.library_warnings import folded, of_the_users_cell


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is displayed as one line."""
    lines: list[Any] = []
    monkeypatch.setattr(library_warnings, "_show", lines.append)
    return lines


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes to the red box."""
    texts: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: texts.append(str(message)))
    warnings.simplefilter("always")
    return texts


def test_libraries_warnings_are_one_output_and_each_is_named_once(
    shown: list[Any], printed: list[str]
) -> None:
    with folded():
        for text in ("old", "old", "slow"):
            warnings.warn(text, FutureWarning, stacklevel=1)

    assert shown == [("FutureWarning: old", "FutureWarning: slow")]
    assert printed == []


def test_what_speaks_to_a_librarys_authors_is_left_out(
    shown: list[Any], printed: list[str]
) -> None:
    with folded():
        warnings.warn("moves", DeprecationWarning, stacklevel=1)
        warnings.warn("will move", PendingDeprecationWarning, stacklevel=1)

    assert (shown, printed) == ([], [])


def test_the_users_cell_and_our_own_word_are_shown_as_ever(
    shown: list[Any], printed: list[str]
) -> None:
    with folded():
        with of_the_users_cell():
            warnings.warn("mine", UserWarning, stacklevel=1)
            with folded():  # a magic in that cell
                warnings.warn("theirs", UserWarning, stacklevel=1)
            warnings.warn("mine too", DeprecationWarning, stacklevel=1)
        warnings.warn("ours", Told, stacklevel=1)

    assert printed == ["mine", "mine too", "ours"]
    assert shown == [("UserWarning: theirs",)]


def test_what_was_there_before_is_back_and_the_users_own_choice_stays(
    shown: list[Any], printed: list[str]
) -> None:
    before = warnings.showwarning
    with pytest.raises(ZeroDivisionError), folded():
        1 / 0  # noqa: B018
    assert warnings.showwarning is before

    def own(*_: Any) -> None: ...

    with folded():
        warnings.showwarning = own  # type: ignore[assignment]
    assert warnings.showwarning is own
