"""What all records are: frozen dataclasses that turn into dictionaries of plain values and back."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from functools import cache
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails


class Record:
    """A frozen dataclass of plain values that turns into a dictionary and back."""

    __slots__ = ()  # of some there are ten thousands in a kernel

    def to_dict(self) -> dict[str, Any]:
        return {name: _plain(getattr(self, name)) for name in kept_fields(type(self))}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The record that `data` describes; fields of a newer minor version are passed over."""
        hints = _hints(cls)  # type: ignore[arg-type]
        return cls(**{k: _shaped(v, hints[k]) for k, v in data.items() if k in hints})


def check_fields(cls: type[Record], data: object, newer: bool = False) -> None:
    """Raise `ValueError` that names the first field which is not of the type it should have.

    A word that is not known is kept where a newer version wrote it.
    """
    from pydantic import ValidationError

    try:
        _adapter(cls).validate_python(data)  # type: ignore[arg-type]
    except ValidationError as problem:
        for found in problem.errors(include_url=False, include_context=False):
            a_word = found["type"] == "literal_error" and isinstance(found["input"], str)
            if not (newer and a_word):
                raise ValueError(_said(found)) from None


_EXPECTED = {
    "string": "text", "int": "a whole number", "float": "a number", "bool": "true or false",
    "tuple": "a list", "list": "a list", "dict": "an object", "mapping": "an object",
    "dataclass": "an object", "literal": "a known word",
}  # fmt: skip


def _said(found: ErrorDetails) -> str:
    """`inputs[3].dtype: text expected, found 7`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"]]
    field = "".join(parts).lstrip(".")
    if found["type"] == "missing":
        return f"{field} is missing"
    expected = _EXPECTED.get(found["type"].partition("_")[0])
    value = json.dumps(found["input"], default=repr)
    shown = value if len(value) <= 40 else f"{value[:39]}…"
    if expected is None:
        return f"{field}: {found['msg'].lower()}, found {shown}"
    return f"{field}: {expected} expected, found {shown}"


@cache
def _adapter(cls: type) -> TypeAdapter[object]:
    """What checks the fields of a record, made once."""
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


@cache
def kept_fields(cls: type) -> tuple[str, ...]:
    """The fields of a record that are written."""
    return tuple(f.name for f in dataclasses.fields(cls) if f.metadata.get("kept", True))


@cache
def _hints(cls: type) -> dict[str, object]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


_PLAIN = frozenset({str, int, float, bool, type(None)})


def _plain(value: object) -> object:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Record):
        return Record.to_dict(value)  # only the outermost record carries its head
    if isinstance(value, (tuple, list)):
        if _PLAIN.issuperset(map(type, value)):  # thousands of lists are of names and numbers
            return list(value)
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def _shaped(value: Any, hint: object) -> Any:
    if value is None:
        return None
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _shaped(value, next(a for a in args if a is not type(None)))
    if origin is tuple:
        return tuple(_shaped(v, args[0]) for v in value)
    if origin is dict:
        return {k: _shaped(v, args[1]) for k, v in value.items()}
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.from_dict(value)
    return value
