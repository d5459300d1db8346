"""The models that a notebook's variables hold, and which of them a cell made."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from .fitted_state import FittedState, is_fitted
from .flavors import flavor_of

_MANY = 1000  # items of a list, a dictionary or an object; larger ones hold no models
_DEPTH = 2  # how deep in lists, dictionaries and objects of the user's own
_INSIDE = 3  # how deep a pipeline or search may hold another model


def models_in(space: Mapping[str, object]) -> dict[str, object]:
    """Expression → trained model, for variables and what they hold: `model`, `models['a']`.

    Plain variables come before others.
    """
    plain = [(k, v) for k, v in list(space.items()) if k[:1] != "_" and k not in ("In", "Out")]
    found = {name: value for name, value in plain if flavor_of(value) is not None}
    for name, value in plain:
        if name not in found:
            found.update(_held(name, value, _DEPTH))
    return {name: model for name, model in found.items() if _is_trained(model)}


def _is_trained(model: object) -> bool:
    """As `is_fitted`; a user's object that cannot be looked at is no model."""
    with contextlib.suppress(Exception):
        return is_fitted(model)
    return False


def _held(text: str, value: object, depth: int) -> Iterator[tuple[str, object]]:
    for part_text, part in _parts(text, value):
        if flavor_of(part) is not None:
            yield part_text, part
        elif depth > 1:
            yield from _held(part_text, part, depth - 1)


def _parts(text: str, value: Any) -> Iterator[tuple[str, object]]:
    kind = type(value)
    if kind in (list, tuple) and len(value) <= _MANY:
        yield from ((f"{text}[{n}]", part) for n, part in enumerate(value))
    elif kind is dict and len(value) <= _MANY:
        named = list(value.items())
        yield from ((f"{text}[{k!r}]", v) for k, v in named if isinstance(k, (str, int, float)))
    elif kind.__module__ in ("__main__", "types") and hasattr(value, "__dict__"):
        own = list(vars(value).items()) if len(vars(value)) <= _MANY else []
        yield from ((f"{text}.{k}", v) for k, v in own if k.isidentifier())


class ModelVariables:
    """The models of a namespace as they are now, to see later what a cell made.

    Nothing is kept alive by it.
    """

    def __init__(self, space: Mapping[str, object]) -> None:
        self._held = {
            name: (weakref.ref(model), FittedState(model))
            for name, model in models_in(space).items()
            if _may_be_held_weakly(model)
        }

    def made_in(self, space: Mapping[str, object]) -> dict[str, object]:
        """Expression → model that was bound, or trained again, since; each object once."""
        made: dict[int, tuple[str, object]] = {}
        for name, model in models_in(space).items():
            before = self._held.get(name)
            if before is None or before[0]() is not model or not before[1].is_of(model):
                made.setdefault(id(model), (name, model))
        return dict(made.values())


def _may_be_held_weakly(model: object) -> bool:
    return type(model).__weakrefoffset__ != 0


def predicts(model: object) -> bool:
    """Whether it is a predictor: a transformer that stands beside one is no candidate."""
    return flavor_of(model) not in ("sklearn", None) or callable(getattr(model, "predict", None))


def holds(outer: object, inner: object, depth: int = _INSIDE) -> bool:
    """Whether a model has another one as a part: a pipeline its steps, a search its best."""
    if depth == 0 or outer is inner:
        return False
    parts: list[object] = list(vars(outer).values()) if hasattr(outer, "__dict__") else []
    while parts:
        part = parts.pop()
        if part is inner:
            return True
        if isinstance(part, (list, tuple)) and len(part) < _MANY:
            parts.extend(part)
        elif isinstance(part, dict) and len(part) < _MANY:
            parts.extend(part.values())
        elif flavor_of(part) is not None and holds(part, inner, depth - 1):
            return True
    return False
