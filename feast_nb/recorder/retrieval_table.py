"""Which retrievals, contracts and writes there are in this process, and which run uses which."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar, cast

from ..frames import matching
from ..records.contract import Contract
from ..records.retrieval import (
    EntityFrame,
    LinkedBy,
    Result,
    Retrieval,
    Source,
    ViewDefinition,
    Write,
)

_Part = TypeVar("_Part", ViewDefinition, Source)
_FRAMES = ("dataframe", "spark", "dataset")  # Feast writes no tags for a dataset


class RetrievalTable:
    """What is known, for all threads: whoever reads and then writes holds the `lock` meanwhile."""

    def __init__(self) -> None:
        self.retrievals: dict[str, Retrieval] = {}
        self.contracts: dict[str, Contract] = {}
        self.lock = threading.RLock()
        self._made: dict[str, dict[str, None]] = {}
        self._used: dict[str, dict[str, LinkedBy]] = {}
        self._users: dict[str, set[str]] = {}
        self._written: dict[str, list[Write]] = {}
        self._same: dict[bytes, str] = {}
        self._trainings: dict[str, set[str]] = {}
        self._moved: dict[tuple[str, str], tuple[EntityFrame | None, Result | None]] = {}
        self._parts: dict[tuple[str, ...], tuple[ViewDefinition | Source, ...]] = {}

    # ------------------------------------------------------------------ what is written down

    def keep(self, retrieval: Retrieval) -> None:
        """A retrieval as it is now, made in its run."""
        with self.lock:
            self.retrievals[retrieval.id] = retrieval = self._sharing(retrieval)
            if retrieval.run_id:
                self._made.setdefault(retrieval.run_id, {})[retrieval.id] = None

    def _sharing(self, retrieval: Retrieval) -> Retrieval:
        """The same with the very parts that earlier ones have: thousands differ in few of them."""
        refs = tuple(map(sys.intern, retrieval.refs))
        return replace(
            retrieval,
            refs=refs,
            views=self._same_part(retrieval.views),
            behind=self._same_part(retrieval.behind),
            sources=self._same_part(retrieval.sources),
        )

    def _same_part(self, part: tuple[_Part, ...]) -> tuple[_Part, ...]:
        key = tuple(one.name for one in part)
        if self._parts.get(key) != part:
            self._parts[key] = part
        return cast("tuple[_Part, ...]", self._parts[key])

    def made_in(self, training: str | None, id: str) -> None:
        """A retrieval was made while a training was under way in its run."""
        if training is not None:
            with self.lock:
                self._trainings.setdefault(training, set()).add(id)

    def wrote(self, run_id: str, write: Write) -> None:
        with self.lock:
            self._written.setdefault(run_id, []).append(write)

    def completed(self, run_id: str, before: Write, write: Write) -> None:
        """What a run wrote, with what took longer to find out."""
        with self.lock:
            mine = self._written[run_id]
            mine[mine.index(before)] = write

    def link(self, run_id: str, id: str, by: LinkedBy) -> tuple[bool, bool]:
        """That a run uses what a retrieval gave; the surest way to know it stays.

        Returns whether the run is a new user of what was made elsewhere, and whether there is
        anything to tell it.
        """
        with self.lock:
            known = self._used.setdefault(run_id, {})
            before = known.get(id)
            if matching.more_certain(by, before):
                known[id] = by
            if self.retrievals[id].run_id == run_id:
                return False, False
            users = self._users.setdefault(id, set())
            new = run_id not in users
            users.add(run_id)
            return new, new or known[id] != before

    def move(self, run_id: str, id: str, entity: EntityFrame | None, result: Result | None) -> None:
        """A run that did not make a retrieval keeps frames of it, too: these, where they are."""
        with self.lock:
            self._moved[run_id, id] = (entity, result)

    # ------------------------------------------------------------------ what is asked

    def of_run(self, run_id: str) -> list[Retrieval]:
        """The retrievals of a run: those linked to it, then those made in it, in order."""
        with self.lock:
            made = self._made.get(run_id, {})
            linked = [i for i in self.retrievals if i in self._used.get(run_id, {})]
            linked = [i for i in linked if i not in made]
            return [
                *(self.copy_for(run_id, i) for i in linked),
                *(self.retrievals[i] for i in made),
            ]

    def copy_for(self, run_id: str, id: str) -> Retrieval:
        """A retrieval as a run that did not make it has it; the `lock` is held."""
        original = self.retrievals[id]
        entity, result = original.entity, original.result
        moved_entity, moved_result = self._moved.get((run_id, id), (None, None))
        if moved_entity is not None:
            entity = moved_entity
        elif entity.artifact:  # the copy is another run's
            where = f"runs:/{original.run_id}/{entity.artifact}"
            entity = entity.kept_in(where)
        if moved_result is not None:
            result = moved_result
        elif result is not None and result.artifact:
            result = replace(result, artifact=f"runs:/{original.run_id}/{result.artifact}")
        return replace(original, run_id=run_id, linked_by=self._used[run_id][id], entity=entity,
                       result=result, origin=original.run_id)  # fmt: skip

    def runs_of(self, id: str) -> list[str]:
        """The runs that a retrieval belongs to: its own, then those that use it."""
        with self.lock:
            own = self.retrievals[id].run_id
            return [*([own] if own else []), *sorted(self._users.get(id, set()) - {own})]

    def same_call(self, new: Retrieval) -> Retrieval | None:
        """An online call of this run and cell that asked for the same features of as many keys."""
        with self.lock:
            old = self.retrievals.get(self._same.get(_call_key(new), ""))
            return old if old is not None and old.state == "ran" else None

    def remember_call(self, made: Retrieval) -> None:
        """An online call that others may be the same as."""
        with self.lock:
            self._same[_call_key(made)] = made.id

    def count(self, id: str, last: str) -> Retrieval:
        """A call was made again: its record, as it is now."""
        with self.lock:
            before = self.retrievals[id]
            self.retrievals[id] = replace(before, count=before.count + 1, last=last)
            return self.retrievals[id]

    def is_of_tags(self, run_id: str, id: str) -> bool:
        """Whether a frame is the one of the run's tags: none before it was a query or a range."""
        with self.lock:
            for other in self._made.get(run_id, {}):
                if other == id:
                    return True
                before = self.retrievals[other]
                if before.kind == "historical" and before.entity.kind not in _FRAMES:
                    return False
        return True

    def of_training(self, training: str) -> set[str]:
        """The ids of what a training retrieved."""
        with self.lock:
            return set(self._trainings.get(training, ()))

    def contracts_of(self, run_id: str) -> list[Contract]:
        """The contracts of the models that a run logged."""
        return [c for c in list(self.contracts.values()) if c.run_id == run_id]

    def written_in(self, run_id: str) -> list[Write]:
        """What a run wrote, in order."""
        return list(self._written.get(run_id, ()))

    def link_of(self, run_id: str, id: str) -> LinkedBy | None:
        """How it is known that a run uses a retrieval, if it is."""
        return self._used.get(run_id, {}).get(id)

    def sources_of(
        self,
        run_id: str,
        names: Sequence[str] | None,
        width: int | None,
        used: Mapping[str, object] | None = None,
    ) -> tuple[Retrieval, ...]:
        """The retrievals a model was trained on: of its run, or an older one that covers more.

        `used` are those whose frames the cell reads. Of equals the run's own are taken; where
        several are left, nothing tells which of them it was.
        """
        own = self.of_run(run_id)
        if not names:
            return matching.of_model(names, width, own, used)
        ids = {r.id for r in own}
        with self.lock:
            older = [r for r in self.retrievals.values() if r.id not in ids]
        mine = matching.of_model(names, width, own, used)
        historical = [r for r in (*older, *own) if r.kind == "historical"]
        best = matching.of_columns(names, historical, used)
        if not best or any(r.id in ids for r in best):
            return mine
        left = [n for n in names if n not in best[0].columns()]
        return (*best, *(matching.of_model(left, None, own, used) if left else ()))


def _call_key(new: Retrieval) -> bytes:
    """What two calls have in common that are told by one record and a count."""
    cell = new.cell.number if new.cell else None
    asked = json.dumps([new.call, new.arguments], sort_keys=True)
    whole = (new.run_id, new.project, new.refs, new.service, new.full_feature_names, cell,
             new.entity, asked)  # fmt: skip
    text = repr(whole).encode(errors="backslashreplace")
    return hashlib.blake2b(text, digest_size=16).digest()  # a loop makes thousands
