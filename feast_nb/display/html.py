"""Records as HTML that lasts: no script, no style sheet, readable on light and dark.

Colours are the page's own with some opacity, since a saved output does not know its theme, and
pictures are `<img>`, since JupyterLab drops `<svg>` in untrusted notebooks.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..errors import visible
from ..records.document import Document
from ..records.lineage import Lineage, Node
from . import next_steps, operation_words, pictures, timeline, verdicts, words

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

_BAR = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="9" viewBox="0 0 60 9">'
    '<rect width="60" height="9" rx="2" fill="#888" fill-opacity=".25"/>'
    '<rect width="{width:.1f}" height="9" rx="2" fill="{colour}"/></svg>'
)


def render(record: Document) -> str:
    """The HTML of a record; everything that came from Feast, MLflow or a user is escaped."""
    template = _environment().get_template(f"{record.kind}.html.j2")
    return str(template.render(it=record, pictures=pictures)).strip()


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("feast_nb.display"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_seen,
    )
    environment.globals |= {
        "bar": bar,
        "image": pictures.image,
        "timeline": timeline.timeline,
        "pairs": pictures.pairs,
        "operation_words": operation_words,
        "sources": sources,
        "steps": next_steps.of,
        "verdicts": verdicts,
        "words": words,
    }
    return environment


def _seen(value: object) -> object:
    """A text with its control characters and direction marks shown; markup of ours as it is."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return visible(value, lines=True)
    return value


def bar(share: float | None) -> Markup | str:
    """A small bar for a share of missing values, amber above a tenth and red above a half."""
    import markupsafe

    if not share:
        return ""
    colour = "#c0392b" if share > 0.5 else "#d68910" if share > 0.1 else "#5d8aa8"
    picture = _BAR.format(width=max(60 * share, 1.5), colour=colour)
    address = "data:image/svg+xml," + quote(picture)
    alt = f"{share:.1%} missing"
    return markupsafe.Markup('<img src="{}" width="60" height="9" alt="{}">').format(address, alt)


def sources(it: Lineage, most: int) -> list[tuple[Node, list[str]]]:
    """The first nodes of a graph, each with what it comes from directly."""
    before: dict[int, list[str]] = {}
    for a, b in it.edges:
        before.setdefault(b, []).append(it.nodes[a].label)
    return [(node, before.get(i, [])) for i, node in enumerate(it.nodes[:most])]
