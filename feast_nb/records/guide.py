"""Where somebody is in their work, and which magic answers what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .document import Document, Record


@dataclass(frozen=True)
class MagicEntry(Record):
    """A magic, the task that it is for, what it does, and how it is written: `%%` heads a cell."""

    name: str
    task: str
    does: str
    sign: str = "%"


@dataclass(frozen=True)
class Guide(Document):
    """What `%feast` shows: `next` is the line to write now, `asked` the words that were looked for.

    `project`, `path` and `tracking_uri` are the repository's, as far as one is open or found; `run`
    says what is open, or what was recorded last.
    """

    kind: ClassVar[str] = "guide"
    magics: tuple[MagicEntry, ...]
    project: str | None = None
    path: str | None = None
    tracking_uri: str | None = None
    run: str | None = None
    next: str | None = None
    why: str | None = None
    asked: str | None = None
