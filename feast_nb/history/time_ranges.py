"""The parts that a first copy is read in, by start time: several at once, each resumable."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..patching import threads
from ..records.facts import Reader, RunFact

_POLL = 0.5  # seconds between two looks whether a thread lacks a module


@dataclass(frozen=True)
class TimeRange:
    """Start times from `first` to before `end`; those before `low` have been read."""

    first: int
    end: int
    low: int

    @property
    def share(self) -> float:
        return (self.low - self.first) / max(self.end - self.first, 1)

    def read_to(self, low: int) -> TimeRange:
        return replace(self, low=max(low, self.low))


def read_ranges(
    reader: Reader, parts: Sequence[TimeRange]
) -> Iterator[tuple[int, list[RunFact], int]]:
    """Part number, page and the start time up to which the part is read now, as they come."""
    at = list(parts)
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number, part in enumerate(parts):
        if part.low < part.end:
            waiting.put(number)
    came: queue.Queue[tuple[int, list[RunFact], int] | BaseException | None] = queue.Queue(
        maxsize=2 * reader.at_once
    )
    stopped = threading.Event()

    def give(thing: tuple[int, list[RunFact], int] | BaseException | None) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                came.put(thing, timeout=0.2)
                return

    def read_part(number: int) -> None:
        """Read a part from where it has come to; it may be begun anew."""
        for page in reader.runs(_between(at[number])):
            low = page[-1].started if page else at[number].low
            give((number, page, low))
            at[number] = at[number].read_to(low)
        give((number, [], at[number].end))

    def read() -> None:
        try:
            while not stopped.is_set():
                number = waiting.get_nowait()
                threads.do(partial(read_part, number), lambda: None, stopped.is_set)
        except queue.Empty:
            give(None)
        except BaseException as problem:  # handed on to the thread that asked
            give(problem)

    for _ in range(reader.at_once):
        threads.start(read, "history")
    try:
        ended = 0
        while ended < reader.at_once:
            threads.load_wanted()
            try:
                thing = came.get(timeout=_POLL)
            except queue.Empty:
                continue
            if isinstance(thing, BaseException):
                raise thing
            if thing is None:
                ended += 1
            else:
                yield thing
    finally:
        stopped.set()


def _between(part: TimeRange) -> str:
    return f"attributes.start_time >= {part.low} AND attributes.start_time < {part.end}"
