"""Charts and graphs as SVG, in colours that are legible on light and on dark."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..records.lineage import BOX, FeatureUsage, Lineage, Node, Usage

if TYPE_CHECKING:
    from markupsafe import Markup

# Mid tones under white text: a saved picture does not know the theme of its page.
COLOURS = {
    "source": "#5f6b7a",
    "entity": "#7a6a4f",
    "view": "#2f6f9f",
    "service": "#2e7d5b",
    "run": "#6b5b95",
    "model": "#a4503c",
    "prediction": "#8a6d1f",
}
_INK = "#7b7b7b"
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_FONT = 'font-family="system-ui,-apple-system,Segoe UI,sans-serif"'
DRAWN = 600  # nodes of a picture in a page; more are drawn by the lab extension


def image(svg: str, alt: str, width: float | None = None) -> Markup:
    """An SVG as an `<img>`, which JupyterLab keeps in untrusted notebooks too."""
    import markupsafe

    address = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    style = "max-width:100%;height:auto"
    wide = "" if width is None else f' width="{width:.0f}"'
    template = markupsafe.Markup('<img src="{}" alt="{}" style="{}"{}>')
    return template.format(address, alt, style, markupsafe.Markup(wide))


def trend(counts: Sequence[int], width: float = 90, height: float = 18) -> str:
    """A chart of counts over time, oldest first; small enough for a table."""
    most = max(counts, default=0) or 1
    step = width / max(len(counts), 1)
    bars = "".join(
        f'<rect x="{n * step:.1f}" y="{height - max(1.5, height * c / most):.1f}" '
        f'width="{max(step - 1, 0.8):.1f}" height="{max(1.5, height * c / most):.1f}"/>'
        for n, c in enumerate(counts)
        if c
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}"><path d="M0 {height:g}H{width:g}" stroke="{_INK}" '
        f'stroke-opacity=".5"/><g fill="{COLOURS["view"]}">{bars}</g></svg>'
    )


SERVED = "#3a7ebf"


def pairs(heights: Sequence[tuple[float, float]], height: float = 20) -> str:
    """Bars two by two, then and now, each between 0 and 1; small enough for a table."""
    bars = "".join(
        f'<rect x="{9 * n + 4 * which}" y="{height * (1 - share):.1f}" width="4" '
        f'height="{height * share:.1f}" fill="{colour}"/>'
        for n, both in enumerate(heights)
        for which, (share, colour) in enumerate(zip(both, (_INK, SERVED), strict=True))
    )
    width = 9 * len(heights)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" '
        f'width="{width}" height="{height:g}">{bars}</svg>'
    )


def use_over_time(usage: Usage) -> str:
    """All runs over time, with the most and the ends of the axis written at it."""
    width, height, left = 640.0, 90.0, 34.0
    counts = usage.trend
    most = max(counts, default=0) or 1
    step = (width - left) / max(len(counts), 1)
    bars = "".join(
        f'<rect x="{left + n * step:.1f}" y="{10 + (height - 10) * (1 - c / most):.1f}" '
        f'width="{max(step - 1.5, 1):.1f}" height="{(height - 10) * c / most:.1f}" rx="1"/>'
        for n, c in enumerate(counts)
        if c
    )
    text = f'fill="{_INK}" font-size="11" {_FONT}'
    first, last = _text((usage.since or "")[:10], 10), _text((usage.now or "")[:10], 10)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height + 18:g}" '
        f'width="{width:g}" height="{height + 18:g}">'
        f'<path d="M{left} {height}H{width}" stroke="{_INK}" stroke-opacity=".6"/>'
        f'<g fill="{COLOURS["view"]}">{bars}</g>'
        f'<text x="{left - 4}" y="18" text-anchor="end" {text}>{most:,}</text>'
        f'<text x="{left - 4}" y="{height}" text-anchor="end" {text}>0</text>'
        f'<text x="{left}" y="{height + 14}" {text}>{first}</text>'
        f'<text x="{width}" y="{height + 14}" text-anchor="end" {text}>{last}</text></svg>'
    )


def heat(features: Sequence[FeatureUsage], models: Sequence[str]) -> str:
    """Features × models: a full cell where an alias points at a version that uses the feature."""
    longest = max((len(f.ref) for f in features), default=0)
    cell, left = 16.0, 20 + 6.4 * min(longest, 42)
    top = 14 + 5.6 * min(max((len(m) for m in models), default=0), 22)
    width, height = left + cell * len(models) + 0.6 * top, top + cell * len(features) + 4
    text = f'fill="{_INK}" font-size="11" {_FONT}'
    parts = []
    for n, name in enumerate(models):
        x = left + cell * n + 11
        parts.append(
            f'<text transform="translate({x:.0f} {top - 6:.0f}) rotate(-60)" {text}>'
            f"{_text(name, 22)}</text>"
        )
    for row, feature in enumerate(features):
        y = top + cell * row
        parts.append(
            f'<text x="{left - 8:.0f}" y="{y + 12:.0f}" text-anchor="end" {text}>'
            f"{_text(feature.ref, 42)}</text>"
        )
        using = {m.name: m for m in feature.models}
        for n, name in enumerate(models):
            found = using.get(name)
            fill = f'fill="{_INK}" fill-opacity=".12"'
            if found is not None:
                strength = 1 if found.aliases else 0.45
                fill = f'fill="{COLOURS["model"]}" fill-opacity="{strength}"'
            said = _text(f"{found.said if found else name} · {feature.ref}", 200)
            parts.append(
                f'<rect x="{left + cell * n:.0f}" y="{y:.0f}" width="14" height="14" rx="2" {fill}>'
                f"<title>{said}</title></rect>"
            )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">{"".join(parts)}</svg>'
    )


def graph(it: Lineage) -> str:
    """A laid out graph, from left to right."""
    box, half = BOX[0], BOX[1] / 2
    edges = []
    straight: tuple[float, ...] = ()
    for (a, b), bends in zip(it.edges, it.bends or [straight] * len(it.edges), strict=True):
        one, other = it.nodes[a], it.nodes[b]
        x, y = one.x + box, one.y + half
        edges.append(f"M{x:.0f} {y:.0f}")
        for x2, y2 in (*zip(bends[::2], bends[1::2], strict=True), (other.x, other.y + half)):
            middle = (x + x2) / 2
            edges.append(f"C{middle:.0f} {y:.0f} {middle:.0f} {y2:.0f} {x2:.0f} {y2:.0f}")
            x, y = x2, y2
            if (x, y) != (other.x, other.y + half):  # straight on, where it passes a layer
                x += box
                edges.append(f"H{x:.0f}")
    nodes = "".join(_node(node) for node in it.nodes)
    wide, high = it.width + 8, it.height + 4
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-4 -4 {wide:.0f} {high:.0f}" '
        f'width="{wide:.0f}" height="{high:.0f}" {_FONT} font-size="12">'
        f'<path d="{"".join(edges)}" fill="none" stroke="{_INK}" stroke-opacity=".7"/>{nodes}</svg>'
    )


def _node(node: Node) -> str:
    wide, high = BOX
    colour = COLOURS.get(node.kind, _INK)
    box = f'fill="{colour}"'
    if node.gone:  # an outline only: what is not there any more
        box = f'fill="{_INK}" fill-opacity=".08" stroke="{_INK}" stroke-dasharray="4 3"'
    ink = _INK if node.gone else "#fff"
    edge = f' stroke="{_INK}" stroke-width="3"' if node.focus and not node.gone else ""
    stacked = (
        f'<rect x="4" y="4" width="{wide:g}" height="{high:g}" rx="5" {box} fill-opacity=".45"/>'
        if node.count > 1
        else ""
    )
    badges = " ".join(f"@{a}" for a in node.aliases)
    sub = " · ".join(part for part in (badges, node.sub) if part)
    y = 15 if sub else 21
    lines = f'<text x="9" y="{y}" fill="{ink}">{_text(node.label, 27)}</text>'
    if sub:
        lines += f'<text x="9" y="28" fill="{ink}" font-size="10">{_text(sub, 34)}</text>'
    return (
        f'<g transform="translate({node.x:.0f} {node.y:.0f})">{stacked}'
        f'<rect width="{wide:g}" height="{high:g}" rx="5" {box}{edge}/>{lines}</g>'
    )


def heads(
    usage: Usage, most_features: int = 40, most_models: int = 30
) -> tuple[list[FeatureUsage], list[str]]:
    """The features and models of a heat map: those used most, as many as can be read."""
    used = [f for f in usage.features if f.models][:most_features]
    counts: dict[str, int] = {}
    for feature in used:
        for model in feature.models:
            counts[model.name] = counts.get(model.name, 0) + 1
    names = sorted(sorted(counts, key=lambda m: (-counts[m], m))[:most_models])
    return used, names


def _text(value: str, most: int) -> str:
    from html import escape

    plain = _CONTROL.sub("\ufffd", value)  # XML takes none of them
    return escape(plain if len(plain) <= most else plain[: most - 1] + "…")
