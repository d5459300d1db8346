"""Run a user's cell inside a magic as if the magic were not there, and stop where it stops."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import FeastNbError, UsageError
from .library_warnings import of_the_users_cell

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def run(shell: InteractiveShell, source: str) -> None:
    """Run a cell; its own exception leaves here, with the traceback the shell would have shown.

    `run_cell` shows an error and returns, so that most cell magics let Run All go on. Here the
    traceback is kept instead of shown, and goes out with the user's exception: one output, its
    true name, and nbclient and papermill stop.
    """
    kept: list[list[str]] = []
    outer = shell.displayhook.exec_result  # the inner cell takes its place and leaves nothing
    with _keeping_tracebacks(shell, kept), of_the_users_cell():
        result = shell.run_cell(source, store_history=False)
    shell.displayhook.exec_result = outer
    problem = result.error_before_exec or result.error_in_exec
    if problem is None:
        return
    if kept and isinstance(problem, SyntaxError):
        raise _Shown(kept[-1]) from None
    if kept and not hasattr(type(problem), "_render_traceback_"):
        lines = kept[-1]
        problem._render_traceback_ = lambda: lines
    raise problem


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True


class _Shown(FeastNbError):
    """A syntax error as the shell would show it: for a real one IPython adds our own frames."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("".join(lines[-1:]))
        self._lines = lines

    def _render_traceback_(self) -> list[str]:
        return self._lines


_Shown.__name__ = "SyntaxError"  # what nbclient, papermill and the reader are told


@contextmanager
def _keeping_tracebacks(shell: InteractiveShell, kept: list[list[str]]) -> Iterator[None]:
    mine = "_showtraceback" in vars(shell)
    before = shell._showtraceback
    shell._showtraceback = lambda etype, evalue, stb: kept.append(stb)  # type: ignore[method-assign]
    try:
        yield
    finally:
        if mine:
            shell._showtraceback = before  # type: ignore[method-assign]
        else:
            del shell._showtraceback


def check(shell: InteractiveShell, source: str, magic: str) -> None:
    """Stop at a cell that cannot run, before anything is retrieved for it.

    A syntax error is shown as the shell would show it. A top-level `await` cannot be run by a
    magic: raises `UsageError` with the way to do it.
    """
    code = shell.transform_cell(source)
    if not _parses(code):
        run(shell, source)
    if shell.should_run_async(source, transformed_cell=code):
        raise UsageError(
            f"%%{magic} cannot run a cell with top-level await; open the run with %feast_run "
            "NAME, await in plain cells, and end it with %feast_run --end."
        )
