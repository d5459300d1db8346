"""The entries of one run that MLflow does not have for good, the latest of each key."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ...records.outbox import OutboxEntry


@dataclass(frozen=True)
class Batch:
    """What is to be delivered of a run now: entries that MLflow does not have, in order.

    `known` are those that it has, and that are kept until it has the run as a whole. `adopted`:
    they were left by a process that died. `final`: nothing is expected to follow.
    `writer` is the process that made the entries, `workspace` where on the server the run is.
    `upto` is the number of the newest entry; `count` says how often the queue was numbered anew.
    `failures`: how often it was tried before.
    """

    run_id: str
    tracking_uri: str
    new: tuple[OutboxEntry, ...]
    writer: str = "w"
    workspace: str | None = None
    known: tuple[OutboxEntry, ...] = ()
    upto: int = 0
    count: int = 0
    final: bool = False
    adopted: bool = False
    failures: int = 0


@dataclass
class RunQueue:
    """One run's entries by key, each with its number; those up to `delivered` are in MLflow.

    They are kept all the same until MLflow has the run as a `whole`: what a kill takes from a
    delivery that waits for more (`retrievals.json` is written every 30 seconds) the next process
    sends.
    """

    run_id: str
    tracking_uri: str
    writer: str
    workspace: str | None = None
    entries: dict[str, tuple[int, OutboxEntry]] = field(default_factory=dict)
    last: int = 0
    count: int = 0
    delivered: int = 0
    whole: bool = False
    final: bool = False
    adopted: bool = False
    finished: bool = False
    held: bool = False  # its end was sent, and MLflow has yet to end it
    sent: bool = False  # MLflow has all of it
    on_disk: bool = False
    busy: bool = False  # being sent
    sending: tuple[int, bool] = (0, False)  # up to which number, and whether as the last
    due: float = 0.0
    rests_until: float = 0.0  # nothing of it is sent before, unless somebody waits for it
    failures: int = 0
    trouble: BaseException | None = None

    @property
    def is_operation(self) -> bool:
        """Whether it is of no run, but of what was done once: nothing follows."""
        from ...records.outbox import OPERATION

        return self.run_id.startswith(OPERATION)

    @property
    def pending(self) -> int:
        return sum(number > self.delivered for number, _ in self.entries.values())

    @property
    def is_behind(self) -> bool:
        """Whether anything is to be sent: the newest are asked first."""
        return any(number > self.delivered for number, _ in reversed(self.entries.values()))

    def add(self, entry: OutboxEntry, number: int | None = None) -> None:
        """Keep an entry in the place of the one before it, where MLflow lacks that, too.

        Raises `ValueError` for one that counts what is not there.
        """
        from ...records.outbox import RepeatEntry

        before, earlier = self.entries.get(entry.key, (0, entry))
        if isinstance(entry, RepeatEntry):
            entry = entry.counted(earlier)
        self.last = max(self.last + 1, number or 0)
        if before > self.delivered:
            entry = entry.after(earlier)
        self.entries[entry.key] = (self.last, entry)
        self.final = self.finished = self.whole = self.sent = False

    def holds(self, key: str) -> bool:
        """Whether there is an entry of a key, for a smaller one to change."""
        return key in self.entries

    def numbered(self) -> list[tuple[int, OutboxEntry]]:
        return sorted(self.entries.values(), key=lambda pair: pair[0])

    def kept(self) -> Iterable[OutboxEntry]:
        """Every entry, in order."""
        return [entry for _, entry in self.numbered()]

    def batch(self) -> Batch:
        """What is to be delivered now."""
        entries = self.numbered()
        return Batch(
            self.run_id,
            self.tracking_uri,
            new=tuple(entry for number, entry in entries if number > self.delivered),
            writer=self.writer,
            workspace=self.workspace,
            known=tuple(entry for number, entry in entries if number <= self.delivered),
            upto=self.last,
            count=self.count,
            final=self.final,
            adopted=self.adopted,
            failures=self.failures,
        )

    def send_now(self, final: bool) -> None:
        self.final = self.final or final
        self.failures = 0
        self.trouble = None
        if not (self.busy and self.sending == (self.last, self.final)):
            self.due = time.monotonic()  # else all of it is under way

    def deliver(self, batch: Batch, whole: bool) -> None:
        """MLflow has a batch; what it has for good is forgotten.

        Where a dead process's entries came meanwhile, its numbers say nothing: all goes again.
        """
        if batch.count != self.count:
            self.failures, self.trouble = 0, None
            return
        self.delivered, self.failures, self.trouble = batch.upto, 0, None
        self.sent = batch.final and self.last == batch.upto
        if self.held:
            return
        self.finished = self.sent or (self.is_operation and self.last == batch.upto)
        self.whole = whole and self.last == batch.upto
        if whole:
            self.forget(batch.upto)

    def release(self) -> None:
        """MLflow has ended the run: what was kept for who finds it open goes."""
        self.held = False
        if self.sent:
            self.finished = self.whole = True
            self.forget(self.last)

    @property
    def settled(self) -> bool:
        """Whether nothing of it is to be sent."""
        return not (self.is_behind or self.due or self.busy)

    def forget(self, upto: int) -> None:
        """Let go of what MLflow has for good, but for what tells that the run is still open."""
        from ...records.outbox import CellsEntry, ContractEntry, OriginEntry, RunEnd, RunStart

        # What whoever finds the run left open needs: one of each, or one for each model.
        until_the_end = (RunStart, CellsEntry, OriginEntry, ContractEntry)
        gone = [(n, e) for n, e in self.entries.values() if n <= upto]
        ends = max((n for n, e in gone if isinstance(e, RunEnd)), default=0)
        ended = ends > max((n for n, e in gone if isinstance(e, RunStart)), default=0)
        keep = () if ended else until_the_end
        self.entries = {
            key: (number, entry)
            for key, (number, entry) in self.entries.items()
            if number > upto or isinstance(entry, keep)
        }

    def drop(self, entry: OutboxEntry) -> bool:
        """Let go of an entry that cannot be delivered; whether it was still there."""
        if self.entries.get(entry.key, (0, None))[1] is not entry:
            return False
        del self.entries[entry.key]
        return True

    def take_over(self, dead: RunQueue) -> None:
        """What is older comes first; what MLflow has already it takes again."""
        mine, final = self.kept(), self.final
        self.entries, self.last, self.delivered = {}, 0, 0
        self.count += 1  # they are numbered anew
        for entry in (*dead.kept(), *mine):
            self.add(entry)
        self.final, self.on_disk, self.adopted = final, False, True


class LeftBehind(NamedTuple):
    """A run in the file of a dead process, and the entries that MLflow may not have."""

    run_id: str
    tracking_uri: str
    entries: tuple[OutboxEntry, ...]
