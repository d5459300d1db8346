"""What all records are: frozen dataclasses that turn into dictionaries of plain values and back.

What leaves a process (an artifact, an output, an answer of a route) is a `Document`: it says its
kind and the version of its shape. A newer minor version may add fields, which are passed over.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from functools import cache
from typing import Any, ClassVar, Self

from ..errors import ArtifactError

SCHEMA_VERSION = "1.1"


class Record:
    """A frozen dataclass of plain values that turns into a dictionary and back."""

    def to_dict(self) -> dict[str, Any]:
        return {name: _plain(getattr(self, name)) for name in kept_fields(type(self))}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The record that `data` describes; fields of a newer minor version are passed over."""
        hints = _hints(cls)  # type: ignore[arg-type]
        return cls(**{k: _shaped(v, hints[k]) for k, v in data.items() if k in hints})


class Document(Record):
    """An outermost record: it says its kind and the version of its shape."""

    kind: ClassVar[str]

    def __init_subclass__(cls) -> None:
        """A dataclass would write out every field: a summary's repr would be a page."""
        super().__init_subclass__()
        cls.__repr__ = Document.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        """One short line; `print` shows the text form, and `to_dict()` every field."""
        texts = ((name, getattr(self, name)) for name in kept_fields(type(self)))  # type: ignore[arg-type]
        named = [f"{k}={v[:40]!r}" for k, v in texts if isinstance(v, str) and v][:2]
        return f"{type(self).__name__}({', '.join([*named, '…'])})"

    def to_dict(self) -> dict[str, Any]:
        head = {"schema_version": SCHEMA_VERSION, "kind": self.kind}
        return {**head, **super().to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """As for a record; raises `ValueError` for a shape of a newer major version."""
        _check_version(cls, data)
        return super().from_dict(data)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """How it shows itself, wherever something asks: IPython, Jupyter, marimo."""
        from .. import display

        return display.bundle(self)

    def __str__(self) -> str:
        from ..display.text import records

        return records.render(self)

    @classmethod
    def read(cls, text: str, where: str) -> Self:
        """The document in the text of an artifact, each field of the type that it should have.

        Raises `ArtifactError`, which names `where` and the field, for anything else.
        """
        from pydantic import ValidationError

        damaged = f"{where} is damaged, or none of feast_nb's"
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise ArtifactError(f"{damaged}: it is no JSON object.")
            try:
                _check_version(cls, data)
            except ValueError as problem:
                raise ArtifactError(f"{where} cannot be read: {problem}") from None
            _adapter(cls).validate_python(data)  # type: ignore[arg-type]
            return cls.from_dict(data)
        except ValidationError as problem:
            first = problem.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ArtifactError(f"{damaged}: {field}: {first['msg'].lower()}.") from problem
        except (ValueError, RecursionError) as problem:
            raise ArtifactError(f"{damaged}: {str(problem).rstrip('.')}.") from problem


def _check_version(cls: type[Document], data: dict[str, Any]) -> None:
    version = str(data.get("schema_version", SCHEMA_VERSION))
    major = version.partition(".")[0]
    if not major.isdecimal():
        raise ValueError(f"it names no version of a shape: {version[:40]!r}.")
    if int(major) > int(SCHEMA_VERSION.partition(".")[0]):
        raise ValueError(
            f"this {cls.kind} was written in shape {version}, newer than "
            f"{SCHEMA_VERSION}; upgrade feast-nb to read it."
        )


@cache
def _adapter(cls: type) -> Any:
    """What checks the fields of a record, made once."""
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


@cache
def kept_fields(cls: type) -> tuple[str, ...]:
    """The fields of a record that are written."""
    return tuple(f.name for f in dataclasses.fields(cls) if f.metadata.get("kept", True))


@cache
def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


_PLAIN = frozenset({str, int, float, bool, type(None)})


def _plain(value: Any) -> Any:
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


def _shaped(value: Any, hint: Any) -> Any:
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
