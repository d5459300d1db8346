"""How records look: one bundle for the notebook, the saved page, the terminal and the lab."""

from __future__ import annotations

from typing import Any

from ..records import Document

MIME = "application/vnd.feast-nb.v1+json"


def bundle(record: Document) -> dict[str, Any]:
    """A record as MIME output: our own JSON, HTML that needs no kernel, and plain text."""
    from . import html, text

    return {
        MIME: record.to_dict(),
        "text/html": html.render(record),
        "text/plain": text.render(record),
    }
