"""Bring a history up to date: everything once, later what is new or changed.

A refresh reads what started or ended since, what runs or was written late, what was deleted or
restored, and every model version and alias. MLflow gives no way to notice a tag or name edited on
an old run, times that were set back, or `mlflow gc`: for these, read anew.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any

from ..patching import threads
from ..records.facts import Reader, RunFact, VersionFact
from .time_ranges import TimeRange, read_ranges

if TYPE_CHECKING:
    from . import History

OVERLAP = 120_000  # milliseconds: clocks differ, and a page may miss what is being written
RANGES = 16  # parts by start time that a first copy is read in, where several are read at once

Progress = Callable[[int, float], None]


class Refresh:
    """One bringing up to date of a copy, by a reader; how far it came is noted in the copy.

    Noted are `whole` (the first copy is complete), `parts`, `places` and `began` of one that is
    not, `anew` while everything is read again, and `marks`, up to which changes were seen.
    """

    def __init__(self, history: History, reader: Reader) -> None:
        self._history = history
        self._reader = reader
        self._began = time.time()

    def run(self, anew: bool, progress: Progress | None) -> int:
        """How many runs were read."""
        history = self._history
        before = dict(history.rows("SELECT id, made FROM experiments"))
        now = self._reader.experiments()
        # An experiment made at another time than the one of its number is of another store: of a
        # database made anew at the same address, say.
        another = any(now[id][2] != made for id, made in before.items() if id in now)
        # One that is read again, and was interrupted, begins again: what it had seen is not known.
        if anew or another or history.meta("anew"):
            self._begin_anew()
        versions, aliases = self._beside(self._reader.versions, self._reader.aliases)
        if history.meta("whole") is None:
            count = self._first(sorted(now), progress)
        else:
            count = self._since(set(now) - set(before))
        self._models(versions(), aliases())
        for id in set(before) - set(now):  # it may not be seen any more
            history.remove(
                r for (r,) in history.rows("SELECT id FROM runs WHERE experiment = ?", id)
            )
        history.replace(
            "experiments",
            [
                {"id": id, "name": name, "deleted": deleted, "made": made}
                for id, (name, deleted, made) in now.items()
            ],
        )
        history.note(as_of=self._began)
        return count

    def _beside(self, *work: Callable[[], Any]) -> list[Callable[[], Any]]:
        """Begin other things that are read beside what follows, where the reader can do so."""
        return list(work) if self._reader.at_once == 1 else [threads.begin(each) for each in work]

    def _begin_anew(self) -> None:
        """Everything is read again; until that is done, what is there answers."""
        self._history.replace("contracts", [])
        self._history.note(anew="yes", whole=None, parts=None, places=None, began=None, marks=None)

    # ------------------------------------------------------------------ the first copy

    def _first(self, places: Sequence[str], progress: Progress | None) -> int:
        """Every run of the project, several ranges of start time at once.

        Where it is read anew, what was there before and is not found any more goes at the end.
        """
        history = self._history
        earlier = history.meta("places")
        if earlier is None:
            history.note(began=self._began, places=json.dumps(places))
        before = (
            {i for (i,) in history.rows("SELECT id FROM runs")} if history.meta("anew") else set()
        )
        parts = self._parts()
        count = 0
        # First and last: what is restored while it is read was in the one and not in the other.
        before -= self._deleted()
        for number, page, upto in read_ranges(self._reader, parts):
            parts[number] = parts[number].read_to(upto)
            self._keep(page, parts=json.dumps([astuple(p) for p in parts]))
            before -= {run.id for run in page}
            count += len(page)
            if progress is not None:
                progress(count, sum(p.share for p in parts) / len(parts))
        before -= self._deleted()
        history.remove(before)
        reached = history.rows("SELECT max(started), max(ended), max(written) FROM runs")[0]
        self._mark(_Marks(*(v or 0 for v in reached)), float(history.meta("began") or self._began))
        history.note(whole="yes", anew=None, parts=None, places=None, began=None)
        if earlier is not None:  # and what happened since it was interrupted
            count += self._since(set(places) - set(json.loads(earlier)))
        return count

    def _parts(self) -> list[TimeRange]:
        """Where an interrupted copy stopped; else the time from the first run to the last."""
        if kept := self._history.meta("parts"):
            return [TimeRange(*part) for part in json.loads(kept)]
        ends = [
            run
            for newest in (False, True)
            for page in self._reader.runs(most=1, newest=newest)
            for run in page
        ]
        if not ends:
            return []
        first, last = ends[0].started, ends[-1].started + 1
        parts = RANGES if self._reader.at_once > 1 else 1
        step = max((last - first) // parts + 1, 60_000)
        edges = [*range(first, last, step), last]
        return [TimeRange(a, b, a) for a, b in itertools.pairwise(edges)]

    # ------------------------------------------------------------------ later

    def _since(self, added: Collection[str]) -> int:
        """What began, ended, runs, or was written to late since; what was deleted or restored.

        `added` are experiments that were imported, or that only now may be seen.
        """
        marks = _Marks(*json.loads(self._history.meta("marks") or "[0, 0, 0]"))
        running = {
            id for (id,) in self._history.rows("SELECT id FROM runs WHERE status = 'RUNNING'")
        }
        count = 0
        for page in self._reader.runs(experiments=added) if added else ():
            count += len(page)
            self._keep(page)
        for where in (
            f"attributes.start_time >= {marks.started - OVERLAP}",
            f"attributes.end_time >= {marks.ended - OVERLAP}",
            "attributes.status = 'RUNNING'",
            f"metrics.`feast_nb.written_at` >= {marks.written - OVERLAP / 1000}",
        ):
            for page in self._reader.runs(where):
                count += len(page)
                running -= {run.id for run in page}
                self._keep(page)
                marks.add(page)
        running -= self._deleted()
        self._again(running)
        self._mark(marks, self._began)
        return count

    def _deleted(self) -> set[str]:
        """Deletion and restoration change no time: the deleted ones are listed each time."""
        now: set[str] = set()
        for page in self._reader.runs(deleted=True):
            now |= {run.id for run in page}
            self._keep(page)
        before = {id for (id,) in self._history.rows("SELECT id FROM runs WHERE deleted = 1")}
        self._again(before - now)
        return now

    def _again(self, ids: set[str]) -> None:
        """Runs that left a list: restored, gone for good, or ended by another clock."""
        for id in sorted(ids):
            found = self._reader.run(id)
            if found is None:
                self._history.remove([id])
            else:
                self._keep([found])

    def _keep(self, page: Iterable[RunFact], **noted: str) -> None:
        self._history.keep([self._completed(run) for run in page], **noted)

    def _completed(self, run: RunFact) -> RunFact:
        """A run with all its references, read from its files only where that is not done yet."""
        if not run.cut or "feast_nb.refs_missing" not in run.tags:
            return run
        known = self._history.rows(
            "SELECT a.refs FROM runs r JOIN asked a ON a.id = r.asked WHERE r.id = ? AND r.cut = 0 "
            "AND r.ended IS ? AND r.written = ?",
            run.id, run.ended, run.written,
        )  # fmt: skip
        if known and run.ended:
            return replace(run, refs=tuple(json.loads(known[0][0])), cut=False)
        return self._reader.whole(run)

    def _mark(self, marks: _Marks, began: float) -> None:
        """How far this refresh has come; what changed while it read is read next time."""
        now = int(began * 1000)
        upto = [min(marks.started, now), min(marks.ended, now), min(marks.written, began)]
        self._history.note(marks=json.dumps(upto))

    # ------------------------------------------------------------------ models

    def _models(
        self, versions: Sequence[VersionFact], aliases: Mapping[str, Mapping[str, int]]
    ) -> None:
        """Versions and aliases whole: a tag or an alias that is set changes no time of theirs."""
        history = self._history
        self._contracts(versions)
        kept = ("name", "version", "run", "model_id", "stage", "created", "updated", "service",
                "contract")  # fmt: skip
        rows = [
            {
                **{name: getattr(version, name) for name in kept},
                "asked": history.number(version.refs) if version.refs is not None else None,
                "tags": json.dumps(dict(version.tags), sort_keys=True),
            }
            for version in versions
        ]
        history.replace("versions", rows)
        named = [
            {"name": name, "alias": alias, "version": version}
            for name, of in aliases.items()
            for alias, version in of.items()
        ]
        history.replace("aliases", named)

    def _contracts(self, versions: Sequence[VersionFact]) -> None:
        """Contracts that no tag tells whole, each read once: they never change."""
        history = self._history
        known = list(history.named_rows("SELECT address, asked, service FROM contracts"))
        there = {row["address"] for row in known}
        wanted = [v for v in versions if v.refs is None and v.contract and v.contract not in there]
        if wanted:
            read = [
                {
                    "address": address,
                    "asked": history.number(refs) if refs is not None else None,
                    "service": service,
                }
                for address, (refs, service) in self._reader.contracts(wanted).items()
            ]
            history.replace("contracts", [*known, *read])


@dataclass
class _Marks:
    """The latest start, end (milliseconds) and late writing (seconds) that were seen."""

    started: int = 0
    ended: int = 0
    written: float = 0.0

    def add(self, page: Iterable[RunFact]) -> None:
        for run in page:
            self.started = max(self.started, run.started)
            self.ended = max(self.ended, run.ended or 0)
            self.written = max(self.written, run.written)
