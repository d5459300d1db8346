"""How records look: one bundle for the notebook, the saved page, the terminal and the lab."""

from __future__ import annotations

import math

from ..records.document import Document

MIME = "application/vnd.feast-nb.v1+json"


def _json(value: object) -> object:
    """The same with None for what is no number: JSON, and so every browser, has no NaN."""
    if isinstance(value, dict):
        return {k: _json(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_json(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def bundle(record: Document) -> dict[str, object]:
    """A record as MIME output: our own JSON, HTML that needs no kernel, and plain text."""
    from . import html
    from .text import records

    return {
        MIME: _json(record.to_dict()),
        "text/html": html.render(record),
        "text/plain": records.render(record),
    }
