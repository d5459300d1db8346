"""Which model a cell made: what it logged, bound or trained again, and the question of several."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, nearest
from ..integrations.model_libraries import variables
from ..integrations.model_libraries.flavors import flavor_of

if TYPE_CHECKING:
    from ..recorder.origins.logged_models import LoggedModel


@dataclass(frozen=True)
class MadeModel:
    """A model that a cell made: the expression that holds it, the object, and what logged it.

    One that the cell logged and then let go of has neither expression nor object.
    """

    variable: str | None
    model: object
    logged: LoggedModel | None = None

    @property
    def shown(self) -> str:
        """How a question names it."""
        if self.variable is not None:
            return self.variable
        return f"one logged as {self.logged.name}" if self.logged else "one"


def found(
    space: Mapping[str, object],
    before: variables.ModelVariables,
    logged: Sequence[LoggedModel],
) -> list[MadeModel]:
    """The models that a cell made, none a part of another, predictors before transformers."""
    bound = before.made_in(space)
    made = [MadeModel(name, model, log_of(model, logged)) for name, model in bound.items()]
    names = variables.models_in(space)
    for one in logged:
        model = one.model
        if model is None or not any(m.model is model for m in made):
            holders = [name for name, value in names.items() if value is model is not None]
            made.append(MadeModel(holders[0] if holders else None, model, one))
    able = [m for m in made if _predicts(m)]
    kept = able or [m for m in made if m.logged]
    return [
        m for m in kept
        if not any(o is not m and m.model is not None and variables.holds(o.model, m.model)
                   for o in kept)
    ]  # fmt: skip


def _predicts(made: MadeModel) -> bool:
    return made.logged.predicts if made.logged else variables.predicts(made.model)


def log_of(model: object, logged: Iterable[LoggedModel]) -> LoggedModel | None:
    """What was logged of a model as it is now; of several, which are the same, the last call's."""
    return next((one for one in reversed(list(logged)) if one.is_of(model)), None)


def question(made: Sequence[MadeModel], register: str | None, aliases: Sequence[str]) -> ModelError:
    """The question which of several models is meant, with the line that answers it."""
    at_hand = [m.variable for m in made if m.variable]
    options = "".join(
        (f" --register {register}" if register else "", *(f" --alias {a}" for a in aliases))
    )
    answer = f"%feast_log {at_hand[-1] if at_hand else 'VAR'}{options}"
    shown = [m.shown for m in made]
    names = ", ".join(_counted(shown))
    return ModelError(
        f"this cell made {len(made)} models ({names}); say which with --model, or log one now "
        f"without training again: {answer}"
    )


def _counted(names: Sequence[str]) -> list[str]:
    """`one logged as trial` thrice is `3 logged as trial`."""
    counts = {name: names.count(name) for name in names}
    return [n if c == 1 else n.replace("one ", f"{c} ", 1) for n, c in counts.items()]


def named(space: Mapping[str, object], name: str) -> Any:
    """The model in a variable, or in what one holds: `models['a']`, `search.best`.

    Nothing is called for it. Raises `ModelError` where there is none.
    """
    try:
        return _read(ast.parse(name, mode="eval").body, space)
    except (SyntaxError, ValueError, LookupError, AttributeError, TypeError):
        known = [k for k, v in space.items() if k[:1] != "_" and flavor_of(v) is not None]
        hint = nearest(name, known) or "no model is here."
        raise ModelError(f"no variable {name}; {hint}") from None


def _read(node: ast.expr, space: Mapping[str, object]) -> Any:
    if isinstance(node, ast.Name):
        return space[node.id]
    if isinstance(node, ast.Attribute):
        return getattr(_read(node.value, space), node.attr)
    if isinstance(node, ast.Subscript):
        return _read(node.value, space)[ast.literal_eval(node.slice)]
    raise ValueError(f"{ast.unparse(node)} is no variable")
