"""Which part of a cell's text ran while a run was open, and which variables that part used."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator, Sequence

from . import dataflow

_WITH = (ast.With, ast.AsyncWith)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class RunRegion:
    """The statements of a cell between the line that opens a run and the one that ends it.

    A `with` statement's body is its region. `start` is None for a run that was open before the
    cell, `end` for one that is open still; `changeable` are the variables whose methods may change
    them (of a module none does).
    """

    def __init__(
        self,
        source: str,
        start: int | None,
        end: int | None = None,
        changeable: Container[str] = frozenset(),
    ) -> None:
        self._changeable = changeable
        try:
            self._tree = ast.parse(source)
        except (SyntaxError, ValueError):
            self._tree = ast.parse("")
        self._body = list(_between(self._tree.body, start, end))

    @property
    def names_read(self) -> set[str]:
        """The variables whose values from before the region it uses, and what these came from."""
        read = dataflow.reads_of(self._body) | self._of_functions
        return read | self._behind(read)

    @property
    def names_loaded(self) -> set[str]:
        """Every variable that it uses, and what those from before the region came from."""
        loaded = dataflow.loads_of(self._body) | self._of_functions
        return loaded | self.names_read

    @property
    def _of_functions(self) -> set[str]:
        """What the cell's own functions use: they may be called from within."""
        inside = [n for n in ast.walk(self._tree) if isinstance(n, _FUNCTIONS)]
        return dataflow.loads_of(inside)

    def _behind(self, names: set[str]) -> set[str]:
        """What variables were computed from, by the cell's assignments outside of the region."""
        flows = list(dataflow.flows_of(self._tree.body, self._body, self._changeable))
        found, more = set(names), True
        while more:
            new = {n for changed, read in flows if changed & found for n in read} - found
            more = bool(new)
            found |= new
        return found - names


def _between(body: Sequence[ast.stmt], start: int | None, end: int | None) -> Iterator[ast.stmt]:
    """The statements after the line `start`, up to `end`, from the innermost block outward."""
    if start is None:
        yield from (n for n in body if end is None or n.lineno <= end)
        return
    place = next((i for i, n in enumerate(body) if _holds(n, start)), None)
    if place is None:
        return
    node = body[place]
    if isinstance(node, _WITH) and start < node.body[0].lineno:
        yield from node.body
        return
    if isinstance(node, _LOOPS) and end is not None and end < start and _holds(node, end):
        yield from node.body  # opened in one turn of the loop, ended in the next
        return
    block = next((b for b in _blocks(node) if any(_holds(n, start) for n in b)), None)
    if block is not None:
        inside = list(_between(block, start, end))
        yield from inside
        if isinstance(block[0], ast.stmt) and (end is None or end > (node.end_lineno or 0)):
            yield from _until(body[place + 1 :], end)
    elif end == start:  # a call that opened it and ended it
        yield node
    else:
        yield from _until(body[place + 1 :], end)


def _until(body: Sequence[ast.stmt], end: int | None) -> Iterator[ast.stmt]:
    yield from (n for n in body if end is None or n.lineno <= end)


def _holds(node: ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        if isinstance(block := getattr(node, name, None), list) and block:
            yield block
    for handler in getattr(node, "handlers", ()):
        yield handler.body
    for case in getattr(node, "cases", ()):
        yield case.body
