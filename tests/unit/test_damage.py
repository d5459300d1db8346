"""Documents that were damaged, or written by a newer version: read, or refused in one line."""

from __future__ import annotations

import json
import typing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feast_nb.display import bundle
from feast_nb.errors import ArtifactError
from feast_nb.records.document import SCHEMA_VERSION, Document
from feast_nb.records.record import Record, kept_fields

from .test_display import DOCUMENTS, MINIMAL

WHOLE = {**DOCUMENTS, **{kind.__name__: made for kind, made in MINIMAL.items()}}
each = pytest.mark.parametrize("record", WHOLE.values(), ids=WHOLE)
often = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | texts | st.integers(-9, 2**60) | st.floats(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every object and list of a document with a key that is in it."""
    pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    inner = [p for _, part in pairs if isinstance(part, dict | list) for p in places(part)]
    return [(value, key) for key, _ in pairs] + inner


@each
@often
@given(data=st.data())
def test_whatever_is_in_it_it_is_read_or_refused_in_one_line(record: Document, data: Any) -> None:
    written = json.loads(json.dumps(record.to_dict()))
    written["schema_version"] = data.draw(st.sampled_from([SCHEMA_VERSION, "1.9"]))
    for _ in range(data.draw(st.integers(1, 2))):
        of, key = data.draw(st.sampled_from(places(written)))
        if data.draw(st.booleans()):
            of[key] = data.draw(values)
        else:
            of.pop(key)

    try:
        found = type(record).read(json.dumps(written), "here.json")
    except ArtifactError as problem:
        refused = str(problem)
    else:
        assert isinstance(str(found), str)
        assert bundle(found)["text/html"]
        return
    assert refused.startswith("here.json ")
    assert "\n" not in refused


@each
def test_a_word_of_a_newer_version_is_kept_and_shown(record: Document) -> None:
    """Every word of a `Literal`, taken for one that this version does not know."""
    written = {"schema_version": "1.9", **json.loads(json.dumps(new_words(record)))}

    found = type(record).read(json.dumps(written), "here.json")

    kept = found.to_dict()
    assert {name: kept[name] for name in written if name != "schema_version"} == {
        name: value for name, value in written.items() if name != "schema_version"
    }
    assert str(found)
    assert bundle(found)["text/html"]


def new_words(record: Record) -> dict[str, Any]:
    hints = typing.get_type_hints(type(record))
    names = kept_fields(type(record))  # type: ignore[arg-type]
    return {name: new_word(getattr(record, name), hints[name]) for name in names}


def new_word(value: Any, hint: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, Record):
        return new_words(value)
    if value is None:
        return None
    if origin is typing.Literal:
        return "unheard_of"
    if origin is tuple:
        return [new_word(v, args[0]) for v in value]
    if origin is dict:
        return {k: new_word(v, args[1]) for k, v in value.items()}
    if args:
        return new_word(value, next(a for a in args if a is not type(None)))
    return value
