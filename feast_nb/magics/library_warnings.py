"""What other libraries warn of while a magic works: one line that can be opened, no red box."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TextIO

from ..errors import Told
from ..masking import masked_text


class _Folder:
    """Takes the place of `warnings.showwarning`, which Python offers for it."""

    def __init__(self) -> None:
        self.before: Callable[..., None] = warnings.showwarning
        self.taken: dict[str, None] = {}
        self.paused = False
        self._thread = threading.get_ident()

    @contextmanager
    def set_paused(self, paused: bool) -> Iterator[None]:
        """Show what is warned of as ever (the user's cell), or fold it again (a magic in it)."""
        before, self.paused = self.paused, paused
        try:
            yield
        finally:
            self.paused = before

    def __call__(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        theirs = self.paused or threading.get_ident() != self._thread
        if theirs or file is not None or issubclass(category, Told):
            self.before(message, category, filename, lineno, file, line)
        elif not issubclass(category, DeprecationWarning | PendingDeprecationWarning):
            # Those speak to the authors of the library that called, as Python's own filters say.
            self.taken[masked_text(f"{category.__name__}: {message}")] = None


_current: _Folder | None = None  # that of the outermost magic


@contextmanager
def folded() -> Iterator[None]:
    """Collect what libraries warn of, and show it as one output at the end.

    A magic inside another one adds to the outer one's.
    """
    global _current
    if _current is not None:
        with _current.set_paused(False):
            yield
        return
    folder = _current = _Folder()
    warnings.showwarning = folder
    try:
        yield
    finally:
        _current = None
        folder.paused = True  # whoever kept it and puts it back has what was there before
        if warnings.showwarning is folder:  # else the user's cell chose another
            warnings.showwarning = folder.before
        if folder.taken:
            _show(tuple(folder.taken))


@contextmanager
def of_the_users_cell() -> Iterator[None]:
    """What the user's own code warns of is shown as ever."""
    with nullcontext() if _current is None else _current.set_paused(True):
        yield


def _show(texts: tuple[str, ...]) -> None:
    from IPython.display import display

    from ..records.run import LibraryWarnings

    display(LibraryWarnings(texts))
