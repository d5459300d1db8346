"""Read the line of a magic: its options, its help, and one line for what cannot be meant."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import shlex
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from IPython.core.error import UsageError as IPythonUsageError
from IPython.core.magic_arguments import argument

from ..errors import UsageError
from ..integrations.model_libraries.flavors import FLAVORS
from ..notebook import dataflow
from . import library_warnings

if TYPE_CHECKING:
    from IPython.core.magic import Magics
    from IPython.core.magic_arguments import MagicArgumentParser

    from ..operations.options import Option

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")
R = TypeVar("R")


class Help:
    """A magic's manual, shown as text; asking for it runs nothing."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def read(magic: Callable[..., object], line: str) -> Namespace | Help:
    """The options of a line, or the manual where it says `--help`.

    Quotes group words as in a shell; a comment, and a semicolon that ends the line, are none of
    its words. Raises our `UsageError`, which a notebook shows as one line
    and which stops Run All.
    """
    name = magic.__name__
    parser: MagicArgumentParser = magic.parser  # type: ignore[attr-defined]
    try:
        words = shlex.split(_without_comment(line))
    except ValueError as problem:
        raise UsageError(f"%{name}: {str(problem).lower()} in: {line}") from None
    if "--help" in words or "-h" in words:
        return Help(_manual(magic))
    known = [*options_of(magic), "--help"]
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("--") and option not in known:
            # Without the dashes, which are all that --metric and --service share.
            named = [other.removeprefix("--") for other in known]
            close = difflib.get_close_matches(option.removeprefix("--"), named, n=1, cutoff=0.7)
            hint = f"did you mean --{close[0]}?" if close else f"%{name} --help lists them."
            raise UsageError(f"%{name} has no option {option}; {hint}")
    try:
        found: Namespace = parser.parse_args(words)
    except IPythonUsageError as problem:
        text = " ".join(str(problem).split())
        raise UsageError(f"%{name}: {text}; %{name} --help shows how.") from None
    return found


def takes(*options: Option) -> Callable[[F], F]:
    """A magic takes options that a command takes, too."""

    def decorated(method: F) -> F:
        for option in reversed(options):
            method = argument(option.name, **option.keywords)(method)
        return method

    return decorated


def reads_options(method: Callable[..., R]) -> Callable[..., R | Help]:
    """A magic's method is given the options of its line; `--help` is answered without it."""

    @functools.wraps(method)
    def magic(magics: Magics, line: str, *cell: str | None, **scope: object) -> R | Help:
        if cell and cell[0] is not None:
            line, text = dataflow.continued(line or " ", cell[0])
            cell = (text, *cell[1:])
        options = read(getattr(magics, method.__name__), line)
        if isinstance(options, Help):
            return options
        with library_warnings.folded():
            return in_full(method(magics, options, *cell, **scope), options)

    return magic


def run_options(magic: T) -> T:
    """Where a run goes and what is written on it: shared by every magic that starts one."""
    for add in (
        argument("--experiment", metavar="E", help="the experiment (created if missing)"),
        argument("--tag", action="append", metavar="K=V", help="a tag of the run; may be repeated"),
        argument("--description", metavar="TEXT", help="the run's description in MLflow"),
        argument("--no-archive", action="store_true", help="keep no copy of entity frames"),
        argument(
            "--archive-rows",
            action="store_true",
            help="also keep the rows returned by a SQL query or date range",
        ),
    ):
        magic = add(magic)
    return magic


def register_options(magic: T) -> T:
    """How a model is logged and registered."""
    for add in (
        argument("--flavor", metavar="F", help=f"MLflow's flavour: {', '.join(FLAVORS)}"),
        argument("--register", metavar="NAME", help="register the model under this name"),
        argument("--alias", action="append", metavar="A", help="point an alias at the new version"),
    ):
        magic = add(magic)
    return magic


def verbose_option(magic: T) -> T:
    """`-v`: what is folded away is shown."""
    add = argument("-v", "--verbose", action="store_true", help="show details")
    added: T = add(magic)
    return added


def in_full(answer: R, options: Namespace) -> R:
    """A record that shows its details, where the line says `-v`."""
    if not getattr(options, "verbose", False):
        return answer
    from ..records.answers import Score
    from ..records.run import TrainingSummary

    if isinstance(answer, (TrainingSummary, Score)):
        return dataclasses.replace(answer, verbose=True)
    return answer


def _without_comment(line: str) -> str:
    """A line up to a `#` that begins a word outside of quotes, without a `;` at its end."""
    quote, before = "", " "
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote and before != "\\" else quote
        elif letter in "'\"" and before != "\\":
            quote = letter
        elif letter == "#" and before.isspace():
            line = line[:place]
            break
        before = letter
    return line.rstrip().removesuffix(";")


def options_of(magic: Callable[..., object]) -> list[str]:
    """The long options of a magic."""
    parser: MagicArgumentParser = magic.parser  # type: ignore[attr-defined]
    return [o for a in parser._actions for o in a.option_strings if o.startswith("--")]


def _manual(magic: Callable[..., object]) -> str:
    return (magic.__doc__ or "").strip().replace("::\n\n", "", 1)


def pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """`K=V` options as a dictionary; raises `UsageError` for one without `=`."""
    found = {}
    for item in given or []:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} {item} has no value; write {option} {key or 'KEY'}=VALUE.")
        found[key] = value
    return found
