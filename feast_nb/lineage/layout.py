"""Where each object of a graph is drawn, and which way its edges go."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from . import Lineage

COLUMN, ROW = 230.0, 46.0  # pixels between two layers, and between two nodes of one
BOX = (190.0, 34.0)  # width and height of a node
_FEW = 300  # edges up to which each gets a lane of its own where it passes a layer
_LANE, _NARROW = 12.0, 1.5


class _Slot(NamedTuple):
    """A place in a layer: of a node, or of an edge on its way through (its number and bend)."""

    across: float
    size: float
    node: int | None
    edge: int = 0
    bend: int = 0


def layout(graph: Lineage) -> Lineage:
    """Layers from left to right with few crossings (igraph's Sugiyama), and the edges' bends."""
    if not graph.nodes:
        return graph
    import igraph

    layers = _layers(graph)
    drawn = igraph.Graph(n=len(graph.nodes), edges=list(graph.edges), directed=True)
    # More passes over the layers hardly change the picture of a wide graph.
    placed = drawn.layout_sugiyama(layers=layers, hgap=1, vgap=1, maxiter=20)
    columns = _columns(layers, placed, graph.edges)
    tallest = max(sum(slot.size for slot in column) for column in columns)
    nodes = list(graph.nodes)
    bends = [[0.0] * (2 * max(layers[b] - layers[a] - 1, 0)) for a, b in graph.edges]
    for layer, column in enumerate(columns):
        y = (tallest - sum(slot.size for slot in column)) / 2
        for slot in column:
            if slot.node is not None:
                nodes[slot.node] = replace(nodes[slot.node], layer=layer, x=layer * COLUMN, y=y)
            else:
                at = layer * COLUMN, y + slot.size / 2
                bends[slot.edge][2 * slot.bend : 2 * slot.bend + 2] = at
            y += slot.size
    return replace(
        graph,
        nodes=tuple(nodes),
        bends=tuple(tuple(b) for b in bends),
        width=(len(columns) - 1) * COLUMN + BOX[0],
        height=tallest,
    )


def _columns(
    layers: Sequence[int], placed: Any, edges: Sequence[tuple[int, int]]
) -> list[list[_Slot]]:
    """The slots of each layer, from top to bottom."""
    columns: list[list[_Slot]] = [[] for _ in range(max(layers) + 1)]
    for i, layer in enumerate(layers):
        columns[layer].append(_Slot(placed[i][0], ROW, i))
    lane = _LANE if len(edges) <= _FEW else _NARROW
    for edge, ((a, b), points) in enumerate(zip(edges, placed.edge_routing, strict=True)):
        # igraph gives the points in no order, and now and then one twice in place of another.
        across = {round(layer): x for x, layer in points}
        x = placed[a][0]
        for bend, layer in enumerate(range(layers[a] + 1, layers[b])):
            x = across.get(layer, x)
            columns[layer].append(_Slot(x, lane, None, edge, bend))
    for column in columns:
        column.sort(key=lambda slot: slot.across)
    return columns


def _layers(graph: Lineage) -> list[int]:
    """A layer for each node: by its kind, after all that it comes from, and none left empty."""
    kinds = [n.layer for n in graph.nodes]
    before: dict[int, list[int]] = {}
    for a, b in graph.edges:
        if kinds[a] == kinds[b]:  # an on-demand view and the views that it reads
            before.setdefault(b, []).append(a)
    depths = [0] * len(kinds)
    for i in before:
        depths[i] = _depth(i, before)
    wide = {kind: 0 for kind in sorted(set(kinds))}
    for kind, depth in zip(kinds, depths, strict=True):
        wide[kind] = max(wide[kind], depth + 1)
    begin = dict(zip(wide, itertools.accumulate([0, *wide.values()]), strict=False))
    return [begin[kind] + depth for kind, depth in zip(kinds, depths, strict=True)]


def _depth(i: int, before: Mapping[int, Sequence[int]]) -> int:
    return max((_depth(b, before) + 1 for b in before.get(i, ())), default=0)
