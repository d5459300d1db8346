"""What the user is told of the recording: each thing once, in one line."""

from __future__ import annotations

import os
import sys
import threading
import warnings

from ..errors import Warned, visible
from ..masking import masked_text


class Notices:
    """Said after the cell in a notebook, at once in a script; `interactive` says which it is.

    A kernel's forked child has no cell after which it could be said.
    """

    def __init__(self) -> None:
        self.interactive = False
        self._process = os.getpid()
        self._waiting: list[str] = []
        self._said: set[str] = set()

    def say(self, message: str) -> None:
        """Tell the user, where this was not said before."""
        message = visible(masked_text(message))
        if message in self._said:
            return
        self._said.add(message)
        if self.interactive and os.getpid() == self._process:
            self._waiting.append(message)
        elif threading.current_thread() is threading.main_thread():
            warnings.warn(message, Warned, stacklevel=2)
        else:  # where warnings are errors, one would end the thread that sends the records
            print(f"feast_nb: {message}", file=sys.stderr)

    def tell(self, message: str) -> None:
        """As `say`, each time: it is about this one answer."""
        self._said.discard(visible(masked_text(message)))
        self.say(message)

    def take(self) -> list[str]:
        """What is to be shown now."""
        waiting, self._waiting = self._waiting, []
        return waiting
