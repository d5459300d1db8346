"""The published JSON Schema: true of every document that is written.

`make test-code` holds the published file against it, with the locked pydantic.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from feast_nb.records.__main__ import documents, schema

from .test_display import DOCUMENTS, MINIMAL


@pytest.fixture(scope="module")
def validator() -> Any:
    return jsonschema.Draft201909Validator(schema())


def test_every_kind_is_told_apart_by_its_name() -> None:
    parts = schema()["$defs"]

    for kind, made in documents().items():
        assert parts[f"{made.__name__}Document"]["allOf"][1]["properties"]["kind"] == {
            "const": kind
        }
    assert {"training", "contract", "retrievals", "lineage", "usage"} <= set(documents())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_written_is_as_the_schema_says(validator: Any, name: str) -> None:
    written = json.loads(json.dumps(DOCUMENTS[name].to_dict()))

    assert validator.is_valid(written), next(validator.iter_errors(written)).message


@pytest.mark.parametrize("name", list(MINIMAL), ids=lambda kind: kind.__name__)
def test_a_field_of_another_type_is_found(validator: Any, name: Any) -> None:
    written = json.loads(json.dumps(MINIMAL[name].to_dict()))
    assert validator.is_valid(written)

    texts = [k for k, v in written.items() if isinstance(v, str) and k not in ("kind",)]
    lists = [k for k, v in written.items() if isinstance(v, list)]
    for field in [*texts, *lists]:
        assert not validator.is_valid({**written, field: 7}), field
