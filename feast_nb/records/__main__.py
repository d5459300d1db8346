"""The JSON Schema of every document: `python -m feast_nb.records` prints it; `… routes` of routes.

For tools that read artifacts, outputs and routes: one schema for each `kind`, in `$defs`.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Mapping
from typing import Any

from . import __path__ as rooms
from .answers import OperationsAnswer
from .document import SCHEMA_VERSION, Document
from .messages import FeatureModelsPage, FeatureUsagePage, RepositoriesAnswer, RunsPage
from .operation import HealthAnswer
from .record import Record, kept_fields

# Route → what it answers, where that is no document.
ANSWERS: dict[str, type] = {
    "mlflow-runs": RunsPage,
    "mlflow-feature-usage": FeatureUsagePage,
    "mlflow-feature-models": FeatureModelsPage,
    "operations": OperationsAnswer,
    "health": HealthAnswer,
    "repositories": RepositoriesAnswer,
}


def documents() -> dict[str, type[Document]]:
    """Kind → document, of every room of records."""
    for room in pkgutil.iter_modules(rooms, f"{__package__}."):
        if not room.name.endswith("__main__"):
            importlib.import_module(room.name)
    found = sorted(Document.__subclasses__(), key=lambda kind: kind.kind)
    return {kind.kind: kind for kind in found}


def schema() -> dict[str, Any]:
    """JSON Schema (2019-09) of all documents, told apart by `kind`."""
    known = documents()
    parts = _parts({kind.__name__: kind for kind in known.values()})
    return {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "title": "feast_nb",
        "description": f"Documents of shape {SCHEMA_VERSION}. A newer minor version adds fields.",
        "oneOf": [{"$ref": f"#/$defs/{kind.__name__}Document"} for kind in known.values()],
        "$defs": {**{f"{k.__name__}Document": _outermost(k) for k in known.values()}, **parts},
    }


def routes() -> dict[str, Any]:
    """JSON Schema of what the panel's routes answer, each by its route, where it is no document."""
    parts = _parts({kind.__name__: kind for kind in ANSWERS.values()})
    answers = {route: {"$ref": f"#/$defs/{kind.__name__}"} for route, kind in ANSWERS.items()}
    return {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "title": "Routes",
        "type": "object",
        "properties": answers,
        "required": list(answers),
        "$defs": parts,
    }


def _parts(kinds: Mapping[str, type]) -> dict[str, dict[str, Any]]:
    """The schema of each kind, and of all that they hold, by name."""
    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema

    inputs = [(name, "validation", TypeAdapter(kind).core_schema) for name, kind in kinds.items()]
    made = GenerateJsonSchema(ref_template="#/$defs/{model}")
    _, parts = made.generate_definitions(inputs)  # type: ignore[arg-type]
    records = _records(Record)
    for name, part in parts.items():
        if name in records:
            _complete(part, records[name])
        else:  # a dictionary, which has its keys and no others
            _untitled(part)
    return {str(name): part for name, part in parts.items()}


def _records(kind: type[Record]) -> dict[str, type[Record]]:
    """Every record by its class's name."""
    found = {kind.__name__: kind}
    child: type[Record]
    for child in kind.__subclasses__():
        found |= _records(child)
    return found


def _outermost(document: type[Document]) -> dict[str, object]:
    """A document by itself says its kind and its shape's version; within another it does not."""
    head = {"schema_version": {"type": "string"}, "kind": {"const": document.kind}}
    return {
        "allOf": [
            {"$ref": f"#/$defs/{document.__name__}"},
            {"type": "object", "properties": head, "required": list(head)},
        ]
    }


def _untitled(part: dict[str, Any]) -> None:
    for field in part["properties"].values():
        field.pop("title", None)  # pydantic's: the name again


def _complete(part: dict[str, Any], record: type) -> None:
    """Without fields that are not kept: every other one is written, and so required."""
    part["properties"] = {name: part["properties"][name] for name in kept_fields(record)}
    part["required"] = list(part["properties"])
    _untitled(part)
    for field in part["properties"].values():
        pairs = field.get("items", {})
        if "prefixItems" in pairs:  # what generators of types know is the older word
            pairs["items"] = pairs.pop("prefixItems")


if __name__ == "__main__":
    found = routes() if sys.argv[1:] == ["routes"] else schema()
    print(json.dumps(found, indent=1, ensure_ascii=False))
