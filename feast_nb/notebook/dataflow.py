"""What a cell's text says: the variables it reads and binds."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Container, Iterable, Iterator, Sequence


def without_magic(source: str) -> str:
    """A cell's code without the cell magics (`%%time`, `%%feast_train`) above it."""
    lines = source.lstrip().splitlines(keepends=True)
    while lines and (lines[0].startswith("%%") or not lines[0].strip()):
        while lines[0].rstrip().endswith("\\") and len(lines) > 1:
            lines.pop(0)
        lines.pop(0)
    return "".join(lines)


def without_time(source: str) -> str:
    """A cell's code with the statements that `%time` and `%prun` run as statements of its own."""
    return re.sub(r"(?m)^([ \t]*)%(?:time|prun)[ \t]+(?!-)(?=\S)", r"\1", source)


def magic_line(source: str) -> str:
    """The first line of a cell, with those that a backslash continues it by."""
    first, _ = continued("", source.lstrip())
    return first


def continued(line: str, rest: str) -> tuple[str, str]:
    """A line that ends in a backslash with the lines that continue it, and what is left of them."""
    if not line:
        line, _, rest = rest.partition("\n")
    while line.rstrip().endswith("\\"):
        more, _, rest = rest.partition("\n")
        line = f"{line.rstrip()[:-1]} {more.strip()}"
    return line, rest


def names_stored(source: str) -> set[str]:
    """The variables that a cell's code binds in the notebook, however deep in its blocks."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    found = _Bound()
    found.visit(tree)
    return found.names


class _Bound(ast.NodeVisitor):
    """The names bound in the scope of a cell. (`symtable` differs: Python 3.12 inlines some.)"""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.names.add(node.id)

    def visit_alias(self, node: ast.alias) -> None:
        self.names.add(node.asname or node.name.partition(".")[0])

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.names.add(node.name)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _definition

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Its own scope."""

    def _comprehension(self, node: ast.AST) -> None:
        """A scope of its own, but for `:=`, which binds outside."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.NamedExpr):
                self.visit(inner.target)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


def names_loaded(source: str) -> set[str]:
    """The variables that a cell's code reads."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    return set(_read(tree))


def names_read(source: str) -> set[str]:
    """The variables whose values from before a cell it reads: not those that it binds first.

    What an `if` binds may not be bound; other blocks are taken to run.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    return reads_of(tree.body)


def reads_of(body: Sequence[ast.stmt]) -> set[str]:
    """As `names_read`, of statements."""
    read: set[str] = set()
    _reads(body, set(), read)
    return read


def loads_of(body: Iterable[ast.stmt]) -> set[str]:
    """As `names_loaded`, of statements."""
    return {name for node in body for name in _read(node)}


def _reads(body: Sequence[ast.stmt], bound: set[str], read: set[str]) -> None:
    for node in body:
        inner = [getattr(node, n, []) for n in ("body", "orelse", "finalbody")]
        inner += [h.body for h in getattr(node, "handlers", [])]
        compound = any(inner) and not isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        )
        if not compound:
            read |= set(_read(node)) - bound
            bound |= _bound_by(node)
            continue
        for target, value in _assigned(node):
            read |= set(_read(value)) - bound
            bound |= set(_changed(target))
        for part in (getattr(node, "test", None), *getattr(node, "items", ())):
            if part is not None:
                read |= set(_read(part)) - bound
        for block in inner:
            _reads(block, set(bound) if isinstance(node, ast.If) else bound, read)


def _bound_by(node: ast.stmt) -> set[str]:
    found = _Bound()
    found.visit(node)
    return found.names


def flows(source: str) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Each assignment of a cell, in order: the variables it changes, and those it reads for it.

    `train["rate"] = df["rate"]` changes `train`; what a function does inside is not seen.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    return list(flows_of(tree.body))


def flows_of(
    body: Iterable[ast.stmt],
    without: Collection[ast.stmt] = (),
    changeable: Container[str] | None = None,
) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """As `flows`, of statements; some of them may be left out.

    A method changes what it is called on where that is `changeable`; without, wherever.
    """
    for node in body:
        definition = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if definition or any(node is one for one in without):
            continue
        for target, value in _assigned(node):
            names = frozenset(_changed(target))
            if isinstance(node, ast.Expr) and changeable is not None:
                names = frozenset(n for n in names if n in changeable)
            yield names, frozenset(_read(value))
        for name in ("body", "orelse", "finalbody"):
            yield from flows_of(getattr(node, name, []), without, changeable)
        for handler in getattr(node, "handlers", []):
            yield from flows_of(handler.body, without, changeable)


def _assigned(node: ast.stmt) -> Iterator[tuple[ast.AST, ast.AST]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield target, node.value
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign)) and node.value is not None:
        yield node.target, node.value
    elif isinstance(node, (ast.For, ast.AsyncFor)):
        yield node.target, node.iter
    elif isinstance(node, (ast.With, ast.AsyncWith)):
        for item in node.items:
            if item.optional_vars is not None:
                yield item.optional_vars, item.context_expr
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        # `frame.insert(…)`, `frame.update(other)`: a method may change what it is called on.
        called = node.value.func
        if isinstance(called, ast.Attribute):
            yield called.value, node.value


def _changed(target: ast.AST) -> Iterator[str]:
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, (ast.Tuple, ast.List)):
        for part in target.elts:
            yield from _changed(part)
    elif isinstance(target, (ast.Subscript, ast.Attribute, ast.Starred)):
        yield from _changed(target.value)


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def _read(value: ast.AST) -> Iterator[str]:
    """The notebook's variables that some code reads; a function's own are others, named alike."""
    if isinstance(value, ast.Name):
        if isinstance(value.ctx, ast.Load):
            yield value.id
        return
    inner = [name for part in ast.iter_child_nodes(value) for name in _read(part)]
    yield from (name for name in inner if name not in _own(value))


def _own(scope: ast.AST) -> set[str]:
    """The names that are a function's or a comprehension's own."""
    if isinstance(scope, _COMPREHENSIONS):
        targets = [name for g in scope.generators for name in _changed(g.target)]
        return set(targets)
    if not isinstance(scope, _FUNCTIONS):
        return set()
    arguments = scope.args
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    given += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    body = scope.body if isinstance(scope.body, list) else []
    bound, outer = _Bound(), set()
    for node in body:
        bound.visit(node)
        outer |= {n for g in ast.walk(node) if isinstance(g, (ast.Global, ast.Nonlocal))
                  for n in g.names}  # fmt: skip
    return ({a.arg for a in given} | bound.names) - outer
