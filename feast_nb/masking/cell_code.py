"""Secrets in a cell: found by its syntax tree where it is Python, by their look where it is not."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Collection, Iterator
from functools import lru_cache

from .texts import GONE, masked_text, names_secret

Span = tuple[int, int]
# Calls whose texts are secrets, whatever their arguments are called.
_TAKES_SECRETS = re.compile(
    r"(?i)(?:secret(?:str|bytes)?|login|authenticate|basic_?auth|set_?password)$"
)
# Calls that look a secret up: their first text is its name.
_LOOKS_UP = ("getenv", "get", "getpass", "get_password", "get_secret", "environ", "pop", "fetch")
_CELL_MAGIC = re.compile(r"\s*%%(\w+)")
# Cell magics whose body is Python; of all others it is a text of no known language.
_PYTHON = ("time", "timeit", "capture", "prun", "memit", "feast_run", "feast_train", "px", "debug",
           "python", "python3", "code_wrap", "snakeviz", "pyinstrument")  # fmt: skip


@lru_cache(maxsize=2048)
def masked(source: str) -> str:
    """A cell's text with passwords, tokens and keys that are written in it taken out."""
    magic = _CELL_MAGIC.match(source)
    if magic is not None and magic[1] not in _PYTHON:
        return masked_text(source)
    code = _without_lines_of_ipython(source)
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return masked_text(source)
    offsets = _Offsets(code)
    whole = set(_secrets(tree, offsets))
    try:
        parts = _texts(code, offsets, whole)
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return masked_text(source)
    return _replaced(source, code, whole, parts)


def _without_lines_of_ipython(source: str) -> str:
    """The same text, of the same length, with lines of magics and of the shell made blank.

    `x = %magic …` and `x = !command` keep their target.
    """
    lines = []
    for line in source.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        end = line[len(body) :]
        words = body.lstrip()
        assigned = re.match(r"[\w.,\s\[\]'\"]+=\s*[%!]", body)
        if words.startswith(("%", "!", "?")) or words.endswith("?"):
            body = " " * len(body) if words.startswith("%%") else _blank(body)
        elif assigned is not None:
            place = assigned.end() - 1
            body = body[:place] + "0" + " " * (len(body) - place - 1)
        lines.append(body + end)
    return "".join(lines)


def _blank(line: str) -> str:
    """A statement that does nothing, where the line stood: it may be all of a block."""
    indent = len(line) - len(line.lstrip())
    return " " * indent + "0" + " " * (len(line) - indent - 1)


class _Offsets:
    """Places in a text, from the lines and UTF-8 columns of a syntax tree."""

    def __init__(self, code: str) -> None:
        self.lines = code.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def of(self, line: int, column: int) -> int:
        text = self.lines[line - 1].encode("utf-8", "surrogatepass")[:column]
        return self.starts[line - 1] + len(text.decode("utf-8", "surrogatepass"))

    def span(self, node: ast.expr) -> Span:
        return (
            self.of(node.lineno, node.col_offset),
            self.of(node.end_lineno or node.lineno, node.end_col_offset or 0),
        )


def _secrets(tree: ast.AST, offsets: _Offsets) -> Iterator[Span]:
    """The texts that are given to something named as a secret."""
    for node in ast.walk(tree):
        for value in _given_to_secrets(node):
            for text in _texts_in(value):
                yield offsets.span(text)


def _given_to_secrets(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _assigned(target, node.value)
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr, ast.AugAssign)):
        if node.value is not None:
            yield from _assigned(node.target, node.value)
    elif isinstance(node, ast.keyword):
        if node.arg is not None and names_secret(node.arg):
            yield node.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None and _named(key):
                yield value
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        yield from _defaults(node.args)
    elif isinstance(node, ast.Compare):
        if any(_named(part) for part in (node.left, *node.comparators)):
            yield from (node.left, *node.comparators)
    elif isinstance(node, ast.Call):
        yield from _arguments(node)
    elif isinstance(node, (ast.Tuple, ast.List)) and len(node.elts) == 2:
        yield from _second_of_pair(*node.elts)


def _second_of_pair(first: ast.expr, second: ast.expr) -> Iterator[ast.expr]:
    """`("token", "…")`, as headers and fields are written."""
    if isinstance(first, ast.Constant) and _named(first):
        yield second


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, (ast.Tuple, ast.List)):
        same = isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts)
        for place, part in enumerate(target.elts):
            yield from _assigned(part, value.elts[place] if same else value)  # type: ignore[attr-defined]
    elif _named(target):
        yield value


def _defaults(arguments: ast.arguments) -> Iterator[ast.expr]:
    plain = [*arguments.posonlyargs, *arguments.args]
    pairs = list(zip(reversed(plain), reversed(arguments.defaults), strict=False))
    pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
              if d is not None]  # fmt: skip
    yield from (default for argument, default in pairs if names_secret(argument.arg))


def _arguments(call: ast.Call) -> Iterator[ast.expr]:
    """`SecretStr("…")`, `setdefault("MY_TOKEN", "…")`."""
    if _TAKES_SECRETS.search(_name_of(call.func)):
        yield from call.args
    for place, argument in enumerate(call.args[:-1]):
        if isinstance(argument, ast.Constant) and _named(argument):
            yield call.args[place + 1]


def _named(node: ast.expr) -> bool:
    """Whether a target, a key or a text names a secret."""
    if isinstance(node, ast.Subscript):
        return _named(node.slice) or _named(node.value)
    if isinstance(node, ast.Constant):
        text = node.value
        return isinstance(text, str) and len(text) < 60 and " " not in text and names_secret(text)
    return names_secret(_name_of(node))


def _name_of(node: ast.expr) -> str:
    return (
        node.id
        if isinstance(node, ast.Name)
        else node.attr
        if isinstance(node, ast.Attribute)
        else ""
    )


def _texts_in(value: ast.expr) -> Iterator[ast.expr]:
    """The texts of an expression: not those that only say under which name a secret is kept."""
    if isinstance(value, ast.JoinedStr):
        yield value
    elif isinstance(value, ast.Constant):
        if isinstance(value.value, (str, bytes)) and value.value:
            yield value
    elif isinstance(value, ast.Subscript):
        yield from _texts_in(value.value)
    else:
        skipped = None
        if isinstance(value, ast.Call) and _name_of(value.func) in _LOOKS_UP and value.args:
            skipped = value.args[0]
        for part in ast.iter_child_nodes(value):
            if isinstance(part, ast.keyword):
                part = part.value
            if isinstance(part, ast.expr) and part is not skipped:
                yield from _texts_in(part)


def _texts(code: str, offsets: _Offsets, known: Collection[Span]) -> set[Span]:
    """The texts and comments that hold a secret by its look."""
    found = set()
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        kind, text = tokenize.tok_name[token.type], token.string
        if kind in ("STRING", "COMMENT", "FSTRING_MIDDLE") and masked_text(text) != text:
            start = offsets.starts[token.start[0] - 1] + token.start[1]
            end = offsets.starts[token.end[0] - 1] + token.end[1]
            if not any(a <= start and end <= b for a, b in known):
                found.add((start, end))
    return found


def _replaced(source: str, code: str, whole: Collection[Span], parts: Collection[Span]) -> str:
    """The text with secrets masked: some spans `whole`, of others what is in them, and all lines
    that are none of Python's."""
    pieces, at = [], 0
    for start, end in sorted({*whole, *parts}, key=lambda span: (span[0], -span[1])):
        if start < at:
            continue
        pieces.append(_plain(source[at:start], code[at:start]))
        pieces.append(f"'{GONE}'" if (start, end) in whole else masked_text(source[start:end]))
        at = end
    return "".join([*pieces, _plain(source[at:], code[at:])])


def _plain(source: str, code: str) -> str:
    """What is no text of Python: lines of magics and of the shell are masked as texts."""
    if source == code:
        return source
    ours, theirs = source.splitlines(keepends=True), code.splitlines(keepends=True)
    return "".join(
        one if one == other else masked_text(one) for one, other in zip(ours, theirs, strict=True)
    )
