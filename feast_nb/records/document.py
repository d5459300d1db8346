"""What leaves a process (an artifact, an output, an answer of a route) is a `Document`.

It says its kind and the version of its shape. A newer minor version may add fields, which are
passed over, and words, which are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from ..errors import ArtifactError
from .record import Record, check_fields, kept_fields

SCHEMA_VERSION = "1.1"


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

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, object]:
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
        damaged = f"{where} is damaged, or none of feast_nb's"
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise ArtifactError(f"{damaged}: it is no JSON object.")
            try:
                _check_version(cls, data)
            except ValueError as problem:
                raise ArtifactError(f"{where} cannot be read: {problem}") from None
            check_fields(cls, data, newer=_newer(data))
            return cls.from_dict(data)
        except (ValueError, RecursionError) as problem:
            raise ArtifactError(f"{damaged}: {str(problem).rstrip('.')}.") from problem


def _newer(data: Mapping[str, object]) -> bool:
    """Whether a newer minor version wrote it."""
    minor = str(data.get("schema_version", SCHEMA_VERSION)).partition(".")[2]
    return minor.isdecimal() and int(minor) > int(SCHEMA_VERSION.partition(".")[2])


def _check_version(cls: type[Document], data: Mapping[str, object]) -> None:
    version = str(data.get("schema_version", SCHEMA_VERSION))
    major = version.partition(".")[0]
    if not major.isdecimal():
        raise ValueError(f"it names no version of a shape: {version[:40]!r}.")
    if int(major) > int(SCHEMA_VERSION.partition(".")[0]):
        raise ValueError(
            f"this {cls.kind} was written in shape {version}, newer than "
            f"{SCHEMA_VERSION}; upgrade feast-nb to read it."
        )
