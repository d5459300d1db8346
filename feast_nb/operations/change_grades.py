"""How grave a change of the registry is: by the contracts of the models that it touches.

A service that loses a feature breaks who asks for it by its name; a model itself is served by its
own references (`contracts.drift`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..contracts import drift
from ..lineage.usage import iso
from ..records.answers import Change, Grade
from ..records.lineage import Dependent
from ..records.operation import PlannedChange
from ..records.references import split_version
from .affected_models import MODELS, AffectedModels
from .differences import ObjectDifference, Sides

if TYPE_CHECKING:
    from ..records.facts import RegisteredModel

ORDER: tuple[Grade, ...] = ("breaks serving", "needs retraining", "safe")


class ChangeGrades:
    """How grave each difference is, by what the models that it touches were trained on."""

    def __init__(
        self, sides: Sides, models: AffectedModels, places: Mapping[str, tuple[str, int]]
    ) -> None:
        self._sides = sides
        self._places = places
        self.models = models

    def of(self, one: ObjectDifference) -> PlannedChange:
        name = f"{one.kind}={one.name}"
        file, line = self._place(one)
        change = PlannedChange(
            name, one.action, lines=tuple(one.lines), aside=tuple(one.aside), file=file, line=line
        )
        if not one.lines:
            return replace(change, reason="it says nothing of the data")
        if one.action == "create":
            return replace(change, reason="nothing depends on it yet")
        grade = {"view": self._view, "entity": self._entity, "service": self._service,
                 "source": self._source}[one.kind]  # fmt: skip
        return grade(one, change)

    def _place(self, one: ObjectDifference) -> tuple[str | None, int | None]:
        """The line of the first field that changed, else of the definition."""
        places = self._places
        names = [f"{one.name}:{feature}" for feature in one.fields]
        names.append(one.name if one.kind == "view" else f"{one.kind}={one.name}")
        return next((places[name] for name in names if name in places), (None, None))

    def _view(self, one: ObjectDifference, change: PlannedChange) -> PlannedChange:
        touched = self.models.touched_by("view", one.name)
        said: dict[str, tuple[Grade, str]] = {}
        for model in touched:
            changes = [c for c in self._changes(model.contract) if _view_of(c) in (one.name, None)]
            if changes:
                worst = drift.worst(changes)
                first = next(c for c in changes if c.grade == worst)
                said[model.shown] = worst, first.said
            elif self.models.contract(model.contract) is None:
                self._without_contract(one, model, said)
        return self._graded(change, touched, said)

    def _without_contract(
        self, one: ObjectDifference, model: RegisteredModel, said: dict[str, tuple[Grade, str]]
    ) -> None:
        """Of a model whose contract nobody has, its references tell what it would miss."""
        gone = [f"{one.name}:{f}" for f in one.fields if f"{one.name}:{f}" in model.refs]
        if one.action == "delete":
            said[model.shown] = "breaks serving", f"{one.name} is gone"
        elif gone:
            said[model.shown] = "breaks serving", f"{gone[0]} is removed or of another type"
        elif one.lines:
            self.models.unchecked.append(
                f"{MODELS}{model.shown} uses {one.name} and has no contract that could be read."
            )

    def _changes(self, address: str | None) -> tuple[Change, ...]:
        """What a model would be told after applying that it is not told now."""
        contract = self.models.contract(address)
        if contract is None:
            return ()
        sides = self._sides
        pinned = drift.versions_named(contract)
        had = {**sides.records_had, **sides.have.records(pinned)}
        wanted = {
            **{n: r for n, r in had.items()
               if n in pinned and split_version(n)[0] in sides.records_wanted},
            **sides.records_wanted,
        }  # fmt: skip
        service = contract.service or ""
        before = drift.compare(contract, had, sides.parts, sides.services_had.get(service))
        after = drift.compare(contract, wanted, sides.parts, sides.services_wanted.get(service))
        return tuple(c for c in after if c not in before and "service " not in c.what)

    def _graded(
        self,
        change: PlannedChange,
        touched: Sequence[RegisteredModel],
        said: dict[str, tuple[Grade, str]],
    ) -> PlannedChange:
        grades = {grade for grade, _ in said.values()}
        grade: Grade = next((g for g in ORDER if g in grades), "safe")
        if grade == "safe":
            reason = (
                "no registered model uses it" if not touched
                else "the models that use it are served as before"
            )  # fmt: skip
            return replace(change, reason=reason)
        broken = [m for m in touched if said.get(m.shown, ("safe", ""))[0] == grade]
        return replace(
            change,
            grade=grade,
            reason=said[broken[0].shown][1],
            models=tuple(_dependent(m, said[m.shown][1]) for m in broken),
            notebooks=self.models.notebooks_of(broken),
            predictions=self.models.predictions_of(broken),
        )

    def with_fault(self, change: PlannedChange, fault: tuple[Grade, str] | None) -> PlannedChange:
        """As the source itself has it: a view that cannot be read any more fails all who use it."""
        if fault is None or ORDER.index(fault[0]) >= ORDER.index(change.grade):
            return change
        touched = self.models.touched_by("view", change.object.partition("=")[2])
        said = {model.shown: fault for model in touched} if change.action != "create" else {}
        graded = self._graded(change, touched, said)
        return replace(graded, grade=fault[0], reason=fault[1])

    def _entity(self, one: ObjectDifference, change: PlannedChange) -> PlannedChange:
        touched = self.models.touched_by("entity", one.name)
        typed = [line for line in one.lines if "value type" in line]
        gone = one.action == "delete"
        said: dict[str, tuple[Grade, str]] = {}
        if typed or gone:
            why = (
                f"entity {one.name} is gone" if gone
                else f"keys of another type are other keys in the online store ({one.name})"
            )  # fmt: skip
            said = {model.shown: ("breaks serving", why) for model in touched}
        return self._graded(change, touched, said)

    def _source(self, one: ObjectDifference, change: PlannedChange) -> PlannedChange:
        """What it means for data is told by the views that read it."""
        return replace(change, reason="graded by the views that read it")

    def _service(self, one: ObjectDifference, change: PlannedChange) -> PlannedChange:
        had = self._sides.services_had.get(one.name, ())
        wanted = self._sides.services_wanted.get(one.name, ()) if one.action == "update" else ()
        lost = [ref for ref in had if ref not in wanted]
        lost += [line[2:] for line in one.lines if line[2:].startswith("join keys of ")]
        clash = _clash(wanted) if not _clash(had) else ""
        if not lost and not clash:
            reordered = any(line.startswith("+ order") for line in one.lines)
            return replace(
                change,
                reason="online order never followed the service" if reordered
                else "nothing that was asked for by its name is gone",
            )  # fmt: skip
        models, predictions = self.models.by_name(one.name)
        why = clash or (
            f"service {one.name} is gone" if one.action == "delete"
            else f"service {one.name} asks by other keys ({lost[0]})"
            if lost[0].startswith("join keys of ")
            else f"{lost[0]} is gone from service {one.name}"
        )  # fmt: skip
        if not models and not predictions:
            return replace(change, reason=f"{why}; nobody recorded asks for it by name")
        runs = f"{predictions} prediction run{'s' if predictions != 1 else ''}"
        by = [*([runs] if predictions else ()), *(m.shown for m in models[:3])]
        return replace(
            change,
            grade="breaks serving",
            reason=f"{why}: {', '.join(by)} asked for it by name (a model itself is served by its "
            "own references)",
            models=tuple(_dependent(m, one.name) for m in models),
            notebooks=self.models.notebooks_of(models),
            predictions=predictions,
        )


def _view_of(change: Change) -> str | None:
    return split_version(change.what.partition(":")[0])[0]


def _dependent(model: RegisteredModel, through: str) -> Dependent:
    return Dependent(
        model.shown, "model", model.aliases, since=iso(model.created),
        last=iso(model.last_prediction), through=through, predictions=model.predictions,
    )  # fmt: skip


def _clash(refs: Iterable[str]) -> str:
    """Two features of one name, which Feast refuses without full feature names."""
    seen: dict[str, str] = {}
    for ref in refs:
        feature = ref.partition(":")[2]
        if feature in seen:
            return f"{seen[feature]} and {ref} are both called {feature}"
        seen[feature] = ref
    return ""
