"""Where each object of a graph is drawn, and which way its edges go."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..records.lineage import BOX, Lineage

COLUMN, ROW = 230.0, 46.0  # pixels between two layers, and between two nodes of one
_FEW = 300  # edges up to which each has a wide lane where it passes a layer
_LANE, _NARROW = 12.0, 1.5


def layout(graph: Lineage) -> Lineage:
    """Layers from left to right with few crossings (igraph's Sugiyama), and the edges' bends.

    An edge that passes a layer takes up room there, a lane, so that it is not drawn over a node.
    """
    if not graph.nodes:
        return graph
    import igraph

    count = len(graph.nodes)
    layers, ways, lanes = _with_lanes(_layers(graph), graph.edges)
    drawn = igraph.Graph(n=len(layers), edges=ways, directed=True)
    # More passes over the layers hardly change the picture of a wide graph.
    placed = drawn.layout_sugiyama(layers=layers, hgap=1, vgap=1, maxiter=20)
    columns: list[list[int]] = [[] for _ in range(max(layers) + 1)]
    for i in sorted(range(len(layers)), key=lambda i: placed[i][0]):
        columns[layers[i]].append(i)
    lane = _LANE if len(graph.edges) <= _FEW else _NARROW
    heights = [sum(ROW if i < count else lane for i in column) for column in columns]
    tops = [0.0] * len(layers)
    for column, height in zip(columns, heights, strict=True):
        y = (max(heights) - height) / 2
        for i in column:
            tops[i] = y
            y += ROW if i < count else lane
    nodes = (
        replace(node, layer=layers[i], x=layers[i] * COLUMN, y=tops[i])
        for i, node in enumerate(graph.nodes)
    )
    bends = ([(layers[i] * COLUMN, tops[i] + lane / 2) for i in passed] for passed in lanes)
    return replace(
        graph,
        nodes=tuple(nodes),
        bends=tuple(tuple(itertools.chain.from_iterable(points)) for points in bends),
        width=(len(columns) - 1) * COLUMN + BOX[0],
        height=max(heights),
    )


def _with_lanes(
    layers: Sequence[int], edges: Sequence[tuple[int, int]]
) -> tuple[list[int], list[tuple[int, int]], list[list[int]]]:
    """A lane for each layer that an edge passes: the layers with them, steps, lanes of each edge.

    igraph would add them itself, but tells their places wrong, and crashes now and then (1.0.0).
    """
    all_layers = list(layers)
    steps: list[tuple[int, int]] = []
    lanes: list[list[int]] = []
    for a, b in edges:
        passed = list(range(len(all_layers), len(all_layers) + layers[b] - layers[a] - 1))
        all_layers += range(layers[a] + 1, layers[b])
        steps += itertools.pairwise([a, *passed, b])
        lanes.append(passed)
    return all_layers, steps, lanes


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
    wide = dict.fromkeys(sorted(set(kinds)), 0)
    for kind, depth in zip(kinds, depths, strict=True):
        wide[kind] = max(wide[kind], depth + 1)
    begin = dict(zip(wide, itertools.accumulate([0, *wide.values()]), strict=False))
    return [begin[kind] + depth for kind, depth in zip(kinds, depths, strict=True)]


def _depth(i: int, before: Mapping[int, Sequence[int]]) -> int:
    return max((_depth(b, before) + 1 for b in before.get(i, ())), default=0)
