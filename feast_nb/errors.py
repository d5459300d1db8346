"""What the reader of a notebook can put right: what is wrong, then what to do, in one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

# Control characters, what turns the direction of a line round, and what else begins a new one.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str, lines: bool = False) -> str:
    """Text whose control characters are shown as escapes; `lines`: line ends are what they are.

    A name from a server may hold what moves a terminal's cursor, or hides what follows it.
    """

    def shown(found: re.Match[str]) -> str:
        return "\n" if lines and found[0] == "\n" else repr(found[0])[1:-1]

    return _UNSEEN.sub(shown, text)


def brief(problem: object, most: int) -> str:
    """What a library says, in one line of at most so many characters, cut at a word."""
    text = " ".join(str(problem).split())
    if len(text) <= most:
        return text
    whole = text[: most - 1].rpartition(" ")[0]
    return f"{whole or text[: most - 2]} …"


class FeastNbError(Exception):
    """An error with a remedy. In a notebook it is one line; in a script an ordinary traceback.

    Its text holds no secret of an address or a command that it quotes.
    """

    def __init__(self, message: str = "") -> None:
        from .masking import masked_text

        super().__init__(visible(masked_text(message)))

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class UsageError(FeastNbError):
    """The line of a magic, or the arguments of a call, cannot be what was meant."""


class RepositoryError(FeastNbError):
    """There is no feature repository, or Feast cannot read it."""


class FeatureError(FeastNbError):
    """Something asked of Feast does not exist, or the entity frame cannot be used."""


class StoreError(FeastNbError):
    """A store or a server behind Feast cannot be reached, or refuses."""


class TrackingError(FeastNbError):
    """MLflow is off, out of reach, or refuses."""


class GoneError(TrackingError):
    """The run that something was meant for is not on its server any more."""


class ArtifactError(TrackingError):
    """An artifact of ours holds something else than it should: it is damaged, or not ours."""


class ModelError(FeastNbError):
    """Which model is meant is not clear, or it cannot be logged."""


class Drift(FeastNbError):
    """A model's features are not what it was trained on; `changes` says what differs."""

    def __init__(self, message: str, changes: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.changes = tuple(changes)


class Told(UserWarning):
    """Something of ours to know of an answer; what others warn of is another thing."""


class Warned(Told):
    """Bookkeeping that could not be done; the work itself is not touched."""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """A hint that names the closest of `known`, or lists a few of them; empty if there is none."""
    names = sorted(set(known))
    if not names:
        return ""
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]}?"
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return f"there is {shown}."
