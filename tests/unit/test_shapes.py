"""The JSON that the front end draws: one file, asserted from here and drawn by its tests."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from feast_nb.records.document import Document

from .. import lineage_data as past

DATA = Path(__file__).parents[1] / "data"
SHAPES: dict[str, Document] = {
    "lineage": past.drawn(),
    "lineage_model": past.drawn(("model", "eta/2")),
    "usage": past.used(),
    "catalog": past.seen(),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_the_front_end_draws_is_what_python_writes(name: str) -> None:
    """After a change that is meant: FEAST_NB_GOLDEN=write, and look at labextension/test too."""
    path = DATA / f"{name}.json"
    shape = json.loads(json.dumps(SHAPES[name].to_dict()))
    if os.environ.get("FEAST_NB_GOLDEN") == "write":
        path.write_text(json.dumps(shape, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    assert json.loads(path.read_text(encoding="utf-8")) == shape
