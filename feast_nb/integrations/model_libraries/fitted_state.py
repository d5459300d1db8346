"""What a model was trained to: whether it is trained, and whether it was trained again since."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .flavors import flavor_of

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

_PARTS = 20  # items of a list or dictionary that are looked at
_BYTES = 1 << 16  # of an array; one that is trained further in place changes from its first values
_VALUES = 1000  # of a weight


def is_fitted(model: Any) -> bool:
    """Whether a model has been trained, as far as it can tell.

    scikit-learn's own rule, and for estimators that do not follow it: that they hold something
    which is none of their parameters. A PyTorch module without weights is none to train.
    """
    flavor = flavor_of(model)
    if flavor == "pytorch":
        return next(iter(model.parameters()), None) is not None
    if flavor == "catboost":
        return bool(model.is_fitted())
    if flavor == "prophet":
        return getattr(model, "history", None) is not None
    estimators = ("sklearn", "xgboost", "lightgbm", "pmdarima")
    if flavor not in estimators or not hasattr(model, "get_params"):
        return True  # a booster, a graph, a result: the product of training
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(model)
    except (NotFittedError, TypeError):
        return flavor == "sklearn" and _holds_more(model)
    return True


def _holds_more(model: BaseEstimator) -> bool:
    """Whether an estimator of the user's own keeps what it learned under names of its own."""
    if type(model).__module__.partition(".")[0] == "sklearn":
        return False
    with contextlib.suppress(Exception):  # the user's own `get_params`
        given = set(model.get_params(deep=False))
        return any(name not in given and name[:1] != "_" for name in vars(model))
    return False


class FittedState:
    """What a model held when it was looked at, told by identity: nothing is kept alive by it.

    A second `fit` of the same object binds new arrays, trees and boosters, or counts on.
    """

    def __init__(self, model: object) -> None:
        self._held = _tokens(model)

    def is_of(self, model: object) -> bool:
        """Whether the model still is what it was then."""
        now = _tokens(model)
        return now.keys() == self._held.keys() and all(
            _same(self._held[name], value) for name, value in now.items()
        )


def _tokens(model: object) -> dict[str, object]:
    """What `_held` finds; a user's object that cannot be looked at costs nobody a training."""
    found: dict[str, object] = {}
    with contextlib.suppress(Exception):
        found.update(_held(model))
    return found


def _held(model: Any) -> Iterator[tuple[str, object]]:
    """Name → a token for each thing that training changes."""
    flavor = flavor_of(model)
    if flavor == "transformers":  # a pipeline; its model is trained in place
        yield from _held(model.model)
        return
    if flavor in ("pytorch", "sentence_transformers"):
        for name, tensor in model.state_dict(keep_vars=True).items():
            yield name, (id(tensor), getattr(tensor, "_version", 0))  # PyTorch counts writes
        return
    if flavor == "spacy":
        yield from _spacy_weights(model)
    if flavor in ("keras", "tensorflow"):
        for n, weight in enumerate(getattr(model, "weights", ())[:_PARTS]):
            yield f"weight {n}", _token(weight.numpy())
        return
    if flavor == "catboost":
        with contextlib.suppress(Exception):  # one that is not trained has none
            yield "guid", model.get_metadata()["model_guid"]
    if flavor in ("xgboost", "lightgbm"):
        for count in ("num_boosted_rounds", "current_iteration", "num_trees"):
            if callable(getattr(type(model), count, None)) and not hasattr(model, "get_params"):
                yield count, getattr(model, count)()
    for name, value in list(getattr(model, "__dict__", {}).items()):
        if not name.startswith("_mlflow"):  # what autolog writes on it has nothing to do with it
            yield name, _token(value)


def _spacy_weights(model: Any) -> Iterator[tuple[str, object]]:
    """The first values of each weight of a spaCy pipeline, which is trained in place."""
    for name, part in model.components:
        nodes = part.model.walk() if hasattr(part, "model") else ()
        for place, node in enumerate(nodes):
            for weight in node.param_names:
                if node.has_param(weight):
                    first = node.get_param(weight).ravel()[:_VALUES]
                    yield f"{name} {place} {weight}", hash(first.tobytes())


def _token(value: Any, depth: int = 2) -> object:
    """Something to know a value by, without keeping it."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return value if not isinstance(value, (str, bytes)) else hash(value)
    if type(value) in (list, tuple) and depth:
        return (len(value), [_token(v, depth - 1) for v in value[-_PARTS:]])
    if type(value) is dict and depth:
        some = list(value.items())[-_PARTS:]
        return (len(value), [(str(k), _token(v, depth - 1)) for k, v in some])
    data = hash(value[:].tobytes()) if _is_small_array(value) else None
    try:
        return (weakref.ref(value), id(value), data)
    except TypeError:
        return (None, id(value), data)


def _is_small_array(value: Any) -> bool:
    kind = getattr(getattr(value, "dtype", None), "kind", "O")
    return type(value).__name__ == "ndarray" and kind in "biuf" and value.nbytes <= _BYTES


def _same(before: object, now: object) -> bool:
    if isinstance(before, tuple) and isinstance(now, tuple) and len(before) == len(now) == 3:
        if before[0] is not None and before[0]() is None:
            return False  # it is gone, and its number is another's by now
        return before[1:] == now[1:]
    if isinstance(before, (tuple, list)) and isinstance(now, (tuple, list)):
        return len(before) == len(now) and all(map(_same, before, now))
    return bool(before == now) or (before != before and now != now)
