"""Models as they were logged: the object behind each, and what is known before its contract."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...integrations.model_libraries.fitted_state import FittedState
from ...integrations.model_libraries.variables import predicts

if TYPE_CHECKING:
    from ...notebook.fit_calls import FitInput
    from ...records.run import RunRef


@dataclass(frozen=True)
class ModelBeforeContract:
    """A model as it was logged, before it is known what it was trained on."""

    run: RunRef
    name: str
    flavor: str | None
    input_names: tuple[str, ...] | None
    signature: dict[str, str] | None
    width: int | None = None
    fit: FitInput | None = None
    categories: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    types: dict[str, str] | None = None


class LoggedModel:
    """A model that was logged: which object it was, and what that was trained to then."""

    def __init__(self, model_id: str, run: RunRef, name: str, flavor: str, model: object) -> None:
        self.model_id = model_id
        self.run = run
        self.name = name
        self.flavor = flavor
        self.predicts = predicts(model)
        self._model: weakref.ref[object] | None = None
        with contextlib.suppress(TypeError):  # of a kind that takes no weak reference
            self._model = weakref.ref(model)
            self._state = FittedState(model)

    def is_of(self, model: object) -> bool:
        """Whether it is this object, and the object was not trained again since."""
        same = self._model is not None and self._model() is model and model is not None
        return same and self._state.is_of(model)

    @property
    def model(self) -> object:
        """The object as it was logged; None where it is gone, or was trained again."""
        model = self._model() if self._model is not None else None
        return model if self.is_of(model) else None
