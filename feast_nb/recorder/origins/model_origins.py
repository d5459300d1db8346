"""Which cell made a model, in which run and from which retrievals: kept by the object itself."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...notebook.fit_calls import FitCalls, FitInput
from ...records.retrieval import LinkedBy
from ...records.run import RunRef

if TYPE_CHECKING:
    from ...integrations.model_libraries.fitted_state import FittedState
    from ...integrations.model_libraries.variables import ModelVariables
    from ...notebook.cells import Cells
    from ..open_runs import OpenRuns
    from .frame_links import FrameLinks


@dataclass(frozen=True)
class ModelOrigin:
    """Where a trained model is from.

    `runs` are those it may have been made in: several where a cell had several and nothing tells.
    `links` says of each retrieval how it is known that the model was fitted on it, and `fit` which
    columns its `fit` was given; both only as far as they are known of this very model.
    """

    runs: tuple[RunRef, ...] = ()
    links: Mapping[str, LinkedBy] | None = None
    fit: FitInput | None = None


class ModelOrigins:
    """The models of this process by identity; a model that is trained again is another one."""

    def __init__(self, cells: Cells, links: FrameLinks, runs: OpenRuns) -> None:
        self._cells = cells
        self._links = links
        self._runs = runs
        self._of: dict[int, tuple[weakref.ref[object], FittedState, ModelOrigin]] = {}
        self._before: ModelVariables | None = None
        self._begun: dict[str, RunRef] = {}

    def begin(self) -> None:
        """A cell starts: what there is now was not made by it."""
        from ...integrations.model_libraries.variables import ModelVariables

        self._begun = {}
        self._before = ModelVariables(self._cells.namespace)

    def run_begun(self, run: RunRef) -> None:
        self._begun[run.id] = run

    def leave_out(self, run: RunRef) -> None:
        """A run that only predicts made no model, though a cell that did began it."""
        self._begun.pop(run.id, None)

    def learn(self) -> None:
        """After a cell: the models it made belong to its runs."""
        if self._before is None:
            return
        made = self._before.made_in(self._cells.namespace)
        if not made:
            return
        runs = tuple(self._begun.values()) or tuple(filter(None, [self._runs.of_call()]))
        for model in made.values():
            known = self.of(model)
            if known is None or not known.runs:
                self.note(model, replace(self.at_hand(model), runs=runs))

    def note(self, model: object, origin: ModelOrigin) -> None:
        """Keep where a model is from, and the parts that were fitted inside it with it."""
        from ...integrations.model_libraries.fitted_state import FittedState

        if origin.fit is not None:  # its columns matter; the frames are the user's to drop
            origin = replace(origin, fit=replace(origin.fit, frames=()))
        for part in _fitted_inside(model):
            try:
                kept = weakref.ref(part, self._forget(id(part)))
            except TypeError:
                continue
            self._of[id(part)] = (kept, FittedState(part), origin)

    def _forget(self, key: int) -> Callable[[weakref.ref[object]], None]:
        def gone(reference: weakref.ref[object]) -> None:
            known = self._of.get(key)
            if known is not None and known[0] is reference:
                del self._of[key]

        return gone

    def of(self, model: object) -> ModelOrigin | None:
        """Where a model is from, if a cell that ended made it as it is now."""
        known = self._of.get(id(model))
        if known is None or known[0]() is not model or not known[1].is_of(model):
            return None
        return known[2]

    def at_hand(self, model: object) -> ModelOrigin:
        """What the running cell tells of a model that it has: what its `fit` was given."""
        space = self._cells.namespace
        names = [name for name, value in list(space.items()) if value is model]
        from ...integrations.model_libraries.categories import categories_in
        from ...integrations.model_libraries.model_inputs import takes_rows

        fit = FitCalls(self._cells.code).input_of(names, space) if names else None
        if fit is not None:
            fit = replace(fit, categories=categories_in(fit.frames))
        links: dict[str, LinkedBy] = {}
        for frame in fit.frames if fit else ():
            links |= self._links.of(frame)
        return ModelOrigin(links=links or None, fit=fit if takes_rows(model) else None)

    def find(self, model: object) -> ModelOrigin:
        """What is known of a model: from the cell that made it, else from the one that runs."""
        return self.of(model) or self.at_hand(model)


def _fitted_inside(model: object) -> Iterator[object]:
    """A model, and what a search or a pipeline fitted within it."""
    yield model
    for name in ("best_estimator_", "estimator_", "regressor_"):
        if (inner := vars(model).get(name) if hasattr(model, "__dict__") else None) is not None:
            yield from _fitted_inside(inner)
    for step in getattr(model, "steps", None) or ():
        if type(step) is tuple and len(step) == 2 and hasattr(step[1], "__dict__"):
            yield step[1]
