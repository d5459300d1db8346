"""What is known of a project when a graph is drawn of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..records.facts import RegisteredModel, Registry, RunFact, RunGroup
from ..records.lineage import Lineage, reach


@dataclass(frozen=True)
class ProjectState:
    """What is known: the registry as of now, and the runs and models of the history.

    `runs` are runs to be drawn one by one, by the number of their group; others stay together.
    """

    catalog: Registry
    groups: Sequence[RunGroup] = ()
    models: Sequence[RegisteredModel] = ()
    runs: Mapping[int, Sequence[RunFact]] = field(default_factory=dict)
    members: Mapping[int, Sequence[RunFact]] = field(default_factory=dict)


def trimmed(graph: Lineage, up: int | None, down: int | None) -> Lineage:
    """What is at most so many edges up and down from the graph's focus."""
    begin = {i: 0 for i, n in enumerate(graph.nodes) if n.focus}
    if not begin:
        return graph
    kept = {**reach(graph.edges, begin, True, up), **reach(graph.edges, begin, False, down)}
    return _only(graph, kept)


def _only(graph: Lineage, kept: Collection[int]) -> Lineage:
    places = sorted(kept)
    new = {old: n for n, old in enumerate(places)}
    edges = tuple((new[a], new[b]) for a, b in graph.edges if a in new and b in new)
    return replace(graph, nodes=tuple(graph.nodes[i] for i in places), edges=edges, bends=())
