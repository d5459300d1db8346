"""Every sentence that a user can meet stands in one list, so that a new one is seen in review.

`python -m tests.unit.test_sentences` writes the list anew. It is sorted and says nothing of files:
code that moves changes nothing in it.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "sentences.txt"
REWRITE = "python -m tests.unit.test_sentences"

Found = Iterator[tuple[str, str]]  # a room, and a text of it

ERRORS, NOTICES, HELP, TEXTS = "errors", "notices", "help", "answers and outputs"
TEMPLATES, PANEL, SETTINGS = "templates", "panel and live drawings", "settings of the panel"
ROOMS = (ERRORS, NOTICES, HELP, TEXTS, TEMPLATES, PANEL, SETTINGS)

GAP = "{…}"  # what is filled in
_SAYING = {"say", "tell", "warn", "print"}
_OPTIONS = {"argument", "add_argument"}
_MAGICS = {"line_magic", "cell_magic", "line_cell_magic", "magic"}
_WORDY = re.compile(r"[^\W\d_]{2,}[,;:.)’']* +[\w(`'{–]")  # a word, and something after it
_CODE = re.compile(  # SQL, MLflow's filters, HTML, SVG, CSS, patterns, types, headers
    r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA|BEGIN|DROP|JOIN|LEFT|FROM|WHERE|AND|ORDER|"
    r"GROUP|ON) |\s*<|[{;]\s*[\w-]+: |\(\?|\battributes?\.|\btags?\.|^M\{…\} |\\[dwsSb]|"
    r"^\w\.\w|^\(?'|\[us, |^\.\*|charset=|^no-cache|font-family|text-align"
)


# ------------------------------------------------------------------ Python


class Reader:
    """The texts of one module."""

    def __init__(self, tree: ast.Module, errors: set[str]) -> None:
        self._errors = errors
        self._tree = tree
        self._constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def texts(self) -> Found:
        return self._in(self._tree, TEXTS)

    def _in(self, node: ast.AST, room: str) -> Found:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring: what a magic's says is taken with its function
        if (text := text_of(node)) is not None:
            yield room, text
            yield from self._filled_in(node)
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_magic(node):
            yield HELP, _manual(ast.get_docstring(node) or "")
        if isinstance(node, ast.Call):
            yield from self._of_call(node, room)
            return
        for child in ast.iter_child_nodes(node):
            yield from self._in(child, room)

    def _filled_in(self, node: ast.AST) -> Found:
        """What is chosen inside of the braces of a text."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Constant) or (text_of(child) and isinstance(node, ast.BinOp)):
                continue
            yield from self._in(child, TEXTS)

    def _of_call(self, node: ast.Call, room: str) -> Found:
        name = called(node)
        if name in _OPTIONS:
            yield from self._help(node)
            return
        if name == "Thread":  # its name is for a debugger
            return
        if name in self._errors:
            room = ERRORS
        elif name.lstrip("_") in _SAYING:
            room = NOTICES
        yield from self._help(node)
        for child in ast.iter_child_nodes(node):
            if not (isinstance(child, ast.keyword) and child.arg == "help"):
                yield from self._in(child, room)

    def _help(self, node: ast.Call) -> Found:
        for keyword in node.keywords:
            if keyword.arg == "help":
                yield from self._in(self._meant(keyword.value), HELP)

    def _meant(self, node: ast.expr) -> ast.expr:
        """A module's constant for its name."""
        return self._constants.get(node.id, node) if isinstance(node, ast.Name) else node


def text_of(node: ast.AST) -> str | None:
    """A literal text with a gap for each thing that is filled in; None for what is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = text_of(node.left), text_of(node.right)
        if parts != (None, None):
            return "".join(GAP if part is None else part for part in parts)
    return None


def called(node: ast.expr) -> str:
    """The last name of what is called, or of a decorator."""
    if isinstance(node, ast.Call):
        return called(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_magic(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(called(each) in _MAGICS for each in node.decorator_list)


def _manual(docstring: str) -> str:
    """What a magic's manual says before its examples."""
    return docstring.partition("Examples\n")[0]


def error_names(trees: Iterable[ast.Module]) -> set[str]:
    """Our errors: `FeastNbError` and what is made of it, wherever it stands."""
    bases = {
        node.name: {called(base) for base in node.bases}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"FeastNbError"}
    while more := {name for name, of in bases.items() if of & found} - found:
        found |= more
    return found


def python_texts() -> Found:
    trees = [ast.parse(p.read_text("utf-8")) for p in sorted((ROOT / "feast_nb").rglob("*.py"))]
    errors = error_names(trees)
    for tree in trees:
        for room, text in Reader(tree, errors).texts():
            if room != TEXTS or (_WORDY.search(text) and not _CODE.search(text)):
                yield room, text


# ------------------------------------------------------------------ templates and TypeScript


def template_texts() -> Found:
    """What stands between the tags of a template, and the longer literals inside of them."""
    for path in (ROOT / "feast_nb").rglob("*.j2"):
        source = re.sub(r"\{#.*?#\}|<style.*?</style>", "", path.read_text("utf-8"), flags=re.S)
        inside = "".join(re.findall(r"\{[{%].*?[%}]\}", source, flags=re.S))
        for literal in re.findall(r"""["']([^"'\n<>]*)["']""", inside):
            if _WORDY.search(literal) and not _CODE.search(literal):
                yield TEMPLATES, literal
        bare = re.sub(r"\{\{.*?\}\}", GAP, source, flags=re.S)
        bare = re.sub(r"\{%.*?%\}", "\0", bare, flags=re.S)
        for text in re.split(r"<[^>]*>|&\w+;|\0", bare):
            yield TEMPLATES, text


_QUOTED = r"""(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`)"""
_JOINED = rf"{_QUOTED}(?:\s*\+\s*{_QUOTED})*"
_TRANSLATED = re.compile(rf"\.(?:__|_n|_p|_np|gettext|ngettext)\(\s*((?:{_JOINED}\s*,?\s*)+)")
_TOKENS = re.compile(rf"//[^\n]*|/\*.*?\*/|({_JOINED})", re.S)
_CLASSES = re.compile(r"\bfnb-|\bjp-|\bM[$]|^[\d.]+ [\d.]+|^\s*<|^\d+px |^th ")


def panel_texts() -> Found:
    """In TypeScript: what goes through JupyterLab's translator, and other literals of words."""
    for path in (ROOT / "labextension" / "src").rglob("*.ts*"):
        source = path.read_text("utf-8")
        for given in _TRANSLATED.findall(source):
            for text in re.findall(_JOINED, given):
                yield PANEL, _unquoted(text)
        for literal in filter(None, _TOKENS.findall(source)):
            text = _unquoted(literal)
            if _WORDY.search(text) and not _CODE.search(text) and not _CLASSES.search(text):
                yield PANEL, text


def _unquoted(literal: str) -> str:
    whole = "".join(part[1:-1] for part in re.findall(_QUOTED, literal))
    whole = re.sub(r"\\(.)", r"\1", whole.replace(r"\n", " "))
    return re.sub(r"\$\{[^}]*\}", GAP, whole)


def setting_texts() -> Found:
    for path in (ROOT / "labextension" / "schema").glob("*.json"):
        yield from ((SETTINGS, text) for text in _described(json.loads(path.read_text("utf-8"))))


def _described(schema: object) -> Iterator[str]:
    for key, value in schema.items() if isinstance(schema, dict) else ():
        if key in ("title", "description", "label", "caption") and isinstance(value, str):
            yield value
        for each in value if isinstance(value, list) else [value]:
            yield from _described(each)


# ------------------------------------------------------------------ the list


def listed() -> str:
    """All texts by room, each once."""
    found: dict[str, set[str]] = {room: set() for room in ROOMS}
    for source in (python_texts, template_texts, panel_texts, setting_texts):
        for room, text in source():
            if re.search(r"[^\W\d_]{2}", text.replace(GAP, "")):
                found[room].add(" ".join(text.split()))
    parts = [
        f"== {room}\n" + "".join(f"{text}\n" for text in sorted(found[room])) for room in ROOMS
    ]
    return "\n".join(parts)


def test_every_sentence_is_in_the_list() -> None:
    """A text that is new or gone is seen in the list's own difference, by whoever reviews it."""
    known, now = GOLDEN.read_text(encoding="utf-8"), listed()

    difference = difflib.unified_diff(
        known.splitlines(), now.splitlines(), "tests/data/sentences.txt", "the code", "", "", 0, ""
    )
    said = "\n".join(difference)
    assert not said, f"`{REWRITE}` writes the list anew:\n{said}"


def test_each_room_has_its_texts() -> None:
    """The reading itself goes on finding what it is for: not one room falls silent unseen."""
    counts = {
        part.partition("\n")[0]: part.count("\n") - 1 for part in f"\n{listed()}".split("\n== ")[1:]
    }

    assert set(counts) == set(ROOMS)
    assert min(counts.values()) > 0
    assert sum(counts.values()) > 500


if __name__ == "__main__":
    GOLDEN.write_text(listed(), encoding="utf-8")
    sys.stdout.write(f"{GOLDEN.relative_to(ROOT)} is written; look at its difference\n")
