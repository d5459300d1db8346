"""What a cell's calls of `fit` were given: read from the cell's text and its variables.

Many estimators keep no names of what they were fitted on (one's own, a search over one, all that
are given an array); the cell says it: `model = Ratio().fit(df[COLUMNS].fillna(0), y)`. Nothing of
the user's is run for it: what the text does not tell stays unknown.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass

_FITS = ("fit", "fit_transform", "fit_predict", "partial_fit")
_FIRST = ("X", "x", "data", "df", "inputs")  # names that the first argument goes by
# Methods of a frame that leave its columns as they are.
_SAME = ("fillna", "dropna", "ffill", "bfill", "astype", "copy", "sample", "head", "tail", "query",
         "sort_values", "sort_index", "reset_index", "round", "clip", "drop_duplicates",
         "infer_objects", "convert_dtypes", "interpolate", "replace")  # fmt: skip
_ARRAYS = ("asarray", "array", "ascontiguousarray", "float32", "float64")
_SPLITS = ("train_test_split",)


@dataclass(frozen=True)
class FitInput:
    """What one `fit` was given: its columns in order, as a frame or as a bare array.

    `frames` are the frames at hand that it was taken from. Not `sure`: the cell gave one of them
    other columns, and the text does not tell whether before; a selection by name is sure again.
    `categories` are those of its columns that have some.
    """

    columns: tuple[str, ...]
    named: bool
    frames: tuple[object, ...]
    sure: bool = True
    categories: Mapping[str, tuple[object, ...]] = field(default_factory=dict)


class FitCalls:
    """The calls of `fit` in a cell's code, each with the expressions that hold its model."""

    def __init__(self, code: str) -> None:
        self._calls: list[tuple[frozenset[str], ast.expr]] = []
        self._bound: dict[str, list[ast.expr]] = {}
        self._changed: set[str] = set()
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError):
            return
        for target, value in _bindings(tree.body):
            self._bind(target, value)
        for node in _scope(tree.body):
            if isinstance(node, ast.Expr) and (call := _fit_of(node.value)):
                self._found(None, call)
            self._changed |= set(_other_columns(node))

    def input_of(self, names: Sequence[str], space: Mapping[str, object]) -> FitInput | None:
        """What the model that the variables `names` hold was fitted on; None where nothing says it.

        Several calls that were given different columns tell nothing.
        """
        mine = set(names)
        told = [argument for targets, argument in self._calls if targets & mine]
        tables = [self._table(argument, space) for argument in told]
        if not tables or any(table is None or not table.sure for table in tables):
            return None
        found = {(t.columns, t.named): t for t in tables if t is not None}
        return next(iter(found.values())) if len(found) == 1 else None

    # ------------------------------------------------------------------ reading the text

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            pairs = isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts)
            for n, part in enumerate(target.elts):
                if pairs:
                    self._bind(part, value.elts[n])  # type: ignore[attr-defined]
                elif (split := _split_argument(value, n)) is not None:
                    self._bind(part, split)
                else:
                    self._unclear(part)
            return
        text = ast.unparse(target)
        self._bound.setdefault(text, []).append(value)
        if call := _fit_of(value):
            self._found(text, call)
        elif isinstance(value, (ast.Tuple, ast.List)):
            for n, part in enumerate(value.elts):
                if call := _fit_of(part):
                    self._found(f"{text}[{n}]", call)

    def _unclear(self, target: ast.expr) -> None:
        self._bound.setdefault(ast.unparse(target), []).extend([target, target])

    def _found(self, target: str | None, call: ast.Call) -> None:
        given = _first_argument(call)
        assert isinstance(call.func, ast.Attribute)
        owner = ast.unparse(call.func.value)
        if given is not None:
            self._calls.append((frozenset(filter(None, (target, owner))), given))

    # ------------------------------------------------------------------ what it stands for

    def _table(
        self, node: ast.expr, space: Mapping[str, object], depth: int = 8
    ) -> FitInput | None:
        if depth == 0:
            return None
        for read in (self._of_name, self._of_selection, self._of_method):
            found = read(node, space, depth - 1)
            if found is not None:
                return found
        return None

    def _of_name(self, node: ast.expr, space: Mapping[str, object], depth: int) -> FitInput | None:
        if not isinstance(node, ast.Name):
            return None
        made = self._bound.get(node.id, [])
        value: Any = space.get(node.id)
        if value is not None and type(value).__name__ == "DataFrame":
            # A frame that the cell bound more than once may not be the one that `fit` had, unless
            # it is a loop's: the text is the same each time.
            columns, sure = tuple(map(str, value.columns)), node.id not in self._changed
            return FitInput(columns, True, (value,), sure) if len(made) < 2 else None
        if len(made) == 1:
            table = self._table(made[0], space, depth)
            return table if table is not None and _fits(table, value) else None
        return None

    def _of_selection(
        self, node: ast.expr, space: Mapping[str, object], depth: int
    ) -> FitInput | None:
        if isinstance(node, ast.Attribute) and node.attr == "values":
            return _as_array(self._table(node.value, space, depth))
        if not isinstance(node, ast.Subscript):
            return None
        place, value = node.slice, node.value
        if isinstance(value, ast.Attribute) and value.attr in ("loc", "iloc"):
            if not isinstance(place, ast.Tuple):
                return self._table(value.value, space, depth)
            part = place.elts[1] if len(place.elts) == 2 and value.attr == "loc" else None
            if part is None or (isinstance(part, ast.Slice) and (part.lower or part.upper)):
                return None
            return self._chosen(value.value, part, space, depth)
        return self._chosen(value, place, space, depth)

    def _chosen(
        self, node: ast.expr, place: ast.expr, space: Mapping[str, object], depth: int
    ) -> FitInput | None:
        table = self._table(node, space, depth)
        if table is None:
            return None
        if isinstance(place, ast.Slice):
            return table if place.lower is place.upper is None or table.named else None
        columns = self._columns(place, space)
        if columns is None:
            return table if _is_mask(place) else None
        if not set(columns) <= set(table.columns) or not table.named:
            return None
        return FitInput(columns, True, table.frames)

    def _columns(self, place: ast.expr, space: Mapping[str, object]) -> tuple[str, ...] | None:
        """A list of names as the text writes it, or as a variable of now holds it."""
        if isinstance(place, ast.BinOp) and isinstance(place.op, ast.Add):
            sides = self._columns(place.left, space), self._columns(place.right, space)
            return None if sides[0] is None or sides[1] is None else sides[0] + sides[1]
        if isinstance(place, ast.Call):
            name = ast.unparse(place.func)
            if name not in ("list", "sorted") or len(place.args) != 1 or place.keywords:
                return None
            found = self._columns(place.args[0], space)
            return tuple(sorted(found)) if found is not None and name == "sorted" else found
        value: Any = None
        if isinstance(place, ast.List):
            value = [self._item(part, space) for part in place.elts]
        elif isinstance(place, ast.Name) and len(self._bound.get(place.id, [])) < 2:
            value = space.get(place.id)
        if type(value) is list and value and all(isinstance(v, str) for v in value):
            return tuple(value)
        return tuple(map(str, value)) if type(value).__name__ == "Index" else None

    def _item(self, part: ast.expr, space: Mapping[str, object]) -> object:
        if isinstance(part, ast.Constant):
            return part.value
        return space.get(part.id) if isinstance(part, ast.Name) else None

    def _of_method(
        self, node: ast.expr, space: Mapping[str, object], depth: int
    ) -> FitInput | None:
        if not isinstance(node, ast.Call):
            return None
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        if name in (*_ARRAYS, *_SPLITS) and node.args:
            table = self._table(node.args[0], space, depth)
            return table if name in _SPLITS else _as_array(table)
        if not isinstance(node.func, ast.Attribute):
            return None
        table = self._table(node.func.value, space, depth)
        if table is None:
            return None
        if name == "to_numpy":
            return _as_array(table)
        if name in _SAME:
            given = {k.arg: k.value for k in node.keywords}
            dropped = isinstance(drop := given.get("drop"), ast.Constant) and drop.value is True
            kept = "axis" not in given and (dropped or name != "reset_index")
            return table if kept else None
        if name == "drop" and table.named:
            return self._without(table, node, space)
        return None

    def _without(
        self, table: FitInput, node: ast.Call, space: Mapping[str, object]
    ) -> FitInput | None:
        given = {k.arg: k.value for k in node.keywords}
        place = given.get("columns") or (node.args[0] if "axis" in given and node.args else None)
        if place is None:
            return None
        dropped = self._columns(place, space)
        if dropped is None and isinstance(place, ast.Constant) and isinstance(place.value, str):
            dropped = (place.value,)
        if dropped is None:
            return None
        columns = tuple(c for c in table.columns if c not in dropped)
        return FitInput(columns, True, table.frames, table.sure)


_MASKS = ("notna", "notnull", "isna", "isnull", "isin", "between", "duplicated")


def _is_mask(place: ast.expr) -> bool:
    """Whether what stands in a frame's brackets chooses rows, and not columns."""
    if isinstance(place, ast.UnaryOp):
        return isinstance(place.op, ast.Invert) and _is_mask(place.operand)
    if isinstance(place, ast.BinOp):
        both = isinstance(place.op, (ast.BitAnd, ast.BitOr, ast.BitXor))
        return both and _is_mask(place.left) and _is_mask(place.right)
    if isinstance(place, ast.Call):
        return isinstance(place.func, ast.Attribute) and place.func.attr in _MASKS
    return isinstance(place, ast.Compare)


def _other_columns(node: ast.AST) -> Iterator[str]:
    """The frames to which a statement gives other columns in place."""
    if isinstance(node, (ast.Assign, ast.Delete)):
        for target in node.targets:
            parts = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
            yield from (ast.unparse(p.value) for p in parts
                        if isinstance(p, (ast.Subscript, ast.Attribute)))  # fmt: skip
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        in_place = any(k.arg == "inplace" for k in node.keywords)
        if in_place or node.func.attr in ("insert", "pop", "update"):
            yield ast.unparse(node.func.value)


def _fits(table: FitInput, value: object) -> bool:
    """Whether a value can be what the text says of it: an array is as wide, a frame was dropped."""
    shape = getattr(value, "shape", None)
    return shape is None or (len(shape) == 2 and shape[1] == len(table.columns))


def _as_array(table: FitInput | None) -> FitInput | None:
    return None if table is None else replace(table, named=False)


def _fit_of(value: ast.expr) -> ast.Call | None:
    """The call of `fit` that an expression's value comes from."""
    if isinstance(value, ast.NamedExpr):
        return _fit_of(value.value)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        return value if value.func.attr in _FITS else None
    return None


def _first_argument(call: ast.Call) -> ast.expr | None:
    if call.args:
        return None if isinstance(call.args[0], ast.Starred) else call.args[0]
    named = {k.arg: k.value for k in call.keywords}
    return next((named[n] for n in _FIRST if n in named), None)


def _split_argument(value: ast.expr, place: int) -> ast.expr | None:
    """`a, b, c, d = train_test_split(X, y)`: which argument each part is of."""
    if not isinstance(value, ast.Call):
        return None
    name = value.func.attr if isinstance(value.func, ast.Attribute) else ast.unparse(value.func)
    if name in _SPLITS and place // 2 < len(value.args):
        return value.args[place // 2]
    return None


def _bindings(body: list[ast.stmt]) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Target and value of each assignment in a cell's own scope, blocks and `:=` included."""
    for node in _scope(body):
        if isinstance(node, ast.Assign):
            yield from ((target, node.value) for target in node.targets)
        elif isinstance(node, ast.NamedExpr):
            yield node.target, node.value
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            if node.value is not None:
                yield node.target, node.value
        elif isinstance(node, ast.For):
            yield node.target, node.iter


_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.ListComp,
           ast.SetComp, ast.DictComp, ast.GeneratorExp)  # fmt: skip


def _scope(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Every node of a cell's own scope, in order; what a function does has other variables."""
    for node in body:
        if isinstance(node, _SCOPES):
            continue
        yield node
        yield from _scope(list(ast.iter_child_nodes(node)))
