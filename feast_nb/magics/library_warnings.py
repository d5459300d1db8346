"""What other libraries warn of while a magic works: one line that can be opened, no red box."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import Told
from ..masking import masked_text

_folders: list[_Folder] = []


class _Folder:
    """Takes the place of `warnings.showwarning`, which Python offers for it."""

    def __init__(self) -> None:
        self.before: Any = warnings.showwarning
        self.taken: dict[str, None] = {}
        self.paused = False
        self._thread = threading.get_ident()

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """A magic within the user's cell: what libraries warn of then is folded again."""
        before, self.paused = self.paused, False
        try:
            yield
        finally:
            self.paused = before

    def __call__(
        self, message: Any, category: Any, filename: str, lineno: int,
        file: Any = None, line: str | None = None,
    ) -> None:  # fmt: skip
        theirs = self.paused or threading.get_ident() != self._thread
        if theirs or file is not None or issubclass(category, Told):
            self.before(message, category, filename, lineno, file, line)
        else:
            self.taken[masked_text(f"{category.__name__}: {message}")] = None


@contextmanager
def folded() -> Iterator[None]:
    """Collect what libraries warn of, and show it as one output at the end.

    A magic inside another one adds to the outer one's.
    """
    if _folders:
        with _folders[-1].resumed():
            yield
        return
    folder = _Folder()
    _folders.append(folder)
    warnings.showwarning = folder
    try:
        yield
    finally:
        _folders.remove(folder)
        folder.paused = True  # whoever kept it and puts it back has what was there before
        if warnings.showwarning is folder:  # else the user's cell chose another
            warnings.showwarning = folder.before
        if folder.taken:
            _show(tuple(folder.taken))


@contextmanager
def of_the_users_cell() -> Iterator[None]:
    """What the user's own code warns of is shown as ever."""
    before = [(folder, folder.paused) for folder in _folders]
    for folder in _folders:
        folder.paused = True
    try:
        yield
    finally:
        for folder, paused in before:
            folder.paused = paused


def _show(texts: tuple[str, ...]) -> None:
    from IPython.display import display

    from ..records.run import LibraryWarnings

    display(LibraryWarnings(texts))
