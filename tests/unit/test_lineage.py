"""What comes from what, what depends on an object, and where it is drawn."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feast_nb.lineage import graph, layout
from feast_nb.lineage.impact import impact, touched
from feast_nb.lineage.state import ProjectState, trimmed
from feast_nb.records.facts import (
    RegisteredModel,
    Registry,
    RegistryService,
    RegistryView,
    RunGroup,
)
from feast_nb.records.lineage import BOX, Lineage, Node

from .. import lineage_data as past


def edges(found: Lineage) -> set[tuple[str, str]]:
    return {(found.nodes[a].id, found.nodes[b].id) for a, b in found.edges}


def ids(found: Lineage) -> set[str]:
    return {n.id for n in found.nodes}


def test_the_whole_project() -> None:
    found = past.drawn()

    assert {
        ("source:trips", "view:hourly"), ("entity:driver", "view:hourly"),
        ("view:hourly", "view:derived"), ("view:derived", "service:pay"),
        ("view:hourly", "service:activity"), ("service:activity", "runs:0"),
        ("runs:0", "model:eta/2"), ("model:eta/2", "prediction:eta/2"),
    } <= edges(found)  # fmt: skip


def test_runs_without_a_service_hang_on_their_views() -> None:
    found = edges(past.drawn())

    assert ("view:lost", "runs:2") in found
    assert ("view:hourly", "runs:2") in found


def test_what_is_gone_is_drawn_as_gone() -> None:
    gone = {n.id for n in past.drawn().nodes if n.gone}

    assert gone == {"view:lost", "service:old"}
    assert ("view:profile", "service:old") in edges(past.drawn())


def test_many_runs_are_one_node_that_lists_the_newest() -> None:
    node = next(n for n in past.drawn().nodes if n.id == "runs:0")

    assert (node.label, node.count) == ("12 runs", 12)  # not those that inherited
    assert [m["name"] for m in node.members] == ["second", "first"]


def test_runs_one_by_one() -> None:
    runs = {0: [past.run("r1", "first", 2), past.run("r2", "second", 19)]}
    found = graph.build(replace(past.PAST, runs=runs))

    assert {("service:activity", "run:r1"), ("run:r2", "model:eta/2")} <= edges(found)
    assert "runs:0" not in ids(found)


def test_a_model_and_what_it_comes_from() -> None:
    found = past.drawn(("model", "eta/2"))

    assert ids(found) == {
        "model:eta/2", "runs:0", "service:activity", "view:hourly", "source:trips",
        "entity:driver", "prediction:eta/2",
    }  # fmt: skip
    assert [n.id for n in found.nodes if n.focus] == ["model:eta/2"]


def test_a_model_whose_run_is_not_drawn_hangs_on_its_service() -> None:
    alone = replace(past.PAST, groups=())

    assert ("service:activity", "model:eta/2") in edges(graph.build(alone))


def test_a_view_and_what_comes_of_it() -> None:
    found = ids(past.drawn(("view", "profile")))

    assert {"service:pay", "service:old", "model:old/1"} <= found
    assert not {"service:activity", "model:eta/1"} & found


def test_upstream_and_downstream() -> None:
    found = past.drawn()

    assert found.upstream("model:pay/1") == {
        "runs:1", "service:pay", "view:derived", "view:profile", "view:hourly", "source:trips",
        "source:people", "source:bonus", "entity:driver",
    }  # fmt: skip
    assert found.downstream("service:old") == {"runs:3", "model:old/1"}


@pytest.mark.parametrize(
    ("up", "down", "left"),
    [
        (0, 0, {"model:eta/2"}),
        (1, 0, {"model:eta/2", "runs:0"}),
        (0, 1, {"model:eta/2", "prediction:eta/2"}),
        (2, 0, {"model:eta/2", "runs:0", "service:activity"}),
    ],
)
def test_steps_up_and_down(up: int, down: int, left: set[str]) -> None:
    assert ids(trimmed(past.drawn(("model", "eta/2")), up, down)) == left


# ---------------------------------------------------------------------- impact


def names(found: Any) -> list[str]:
    return [m.name for m in found.models]


def test_models_with_an_alias_come_first() -> None:
    assert names(past.of_view()) == ["eta/2", "pay/1", "eta/1"]
    assert [m.name for m in past.of_view().live] == ["eta/2", "pay/1"]


def test_a_model_that_never_used_a_view_does_not_depend_on_it() -> None:
    """Though both hang on one service: the contract tells which features it has."""
    assert "eta/2" not in names(impact(past.PAST, "feature", "hourly:rating"))
    assert names(impact(past.PAST, "feature", "hourly:rating")) == ["eta/1"]
    assert names(impact(past.PAST, "view", "profile")) == ["old/1"]


def test_an_on_demand_view_depends_on_what_it_computes_from() -> None:
    found = impact(past.PAST, "feature", "hourly:trips")

    assert [m.through for m in found.models if m.name == "pay/1"] == ["derived:pay"]
    assert [v.name for v in found.views] == ["derived"]
    assert touched(past.CATALOG, "feature", "hourly:rating") == {"hourly:rating"}


@pytest.mark.parametrize(
    ("kind", "name", "models"),
    [
        ("source", "trips", ["eta/2", "pay/1", "eta/1"]),
        ("source", "people", ["old/1"]),
        ("entity", "driver", ["eta/2", "pay/1", "eta/1", "old/1"]),
        ("service", "activity", ["eta/2", "eta/1"]),
        ("service", "old", ["old/1"]),
        ("view", "idle", []),
        ("view", "lost", []),
    ],
)
def test_impact_of_each_kind(kind: str, name: str, models: list[str]) -> None:
    assert names(impact(past.PAST, kind, name)) == models


def test_a_view_that_is_gone_has_runs_still() -> None:
    found = impact(past.PAST, "view", "lost")

    assert (found.runs, found.since) == (2, "2026-01-05T00:00:00+00:00")


def test_what_cannot_be_known_is_told() -> None:
    notes = " ".join(past.of_view().notes)

    assert "kept only a part" in notes
    assert "without a contract" in notes


def test_a_service_that_used_a_view_earlier_is_told_apart() -> None:
    groups = (*past.GROUPS, RunGroup(9, ("hourly:trips",), "spare", "training", 1, 0, 0))
    found = impact(replace(past.PAST, groups=groups), "view", "hourly")

    assert {s.name: s.through for s in found.services}["spare"] == "earlier"


def test_renamed_views_are_found_by_their_registered_name() -> None:
    """Feast's own run of the service `pay` says `person:age`."""
    assert impact(past.PAST, "view", "profile").runs == 1 + 1


# ---------------------------------------------------------------------- layout


@st.composite
def graphs(draw: Any) -> Lineage:
    layers = draw(st.lists(st.integers(0, 7), min_size=1, max_size=30))
    nodes = tuple(Node(f"n{i}", "view", str(i), layer=layer) for i, layer in enumerate(layers))
    pairs = [
        (a, b) for a, b in itertools.permutations(range(len(nodes)), 2) if layers[a] < layers[b]
    ]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=40)) if pairs else []
    return Lineage("p", nodes=nodes, edges=tuple(sorted(chosen)))


@given(graphs())
def test_no_two_boxes_overlap_and_edges_go_to_the_right(found: Lineage) -> None:
    drawn = layout.layout(found)

    for one, other in itertools.combinations(drawn.nodes, 2):
        assert abs(one.x - other.x) >= BOX[0] or abs(one.y - other.y) >= BOX[1]
    for (a, b), bends in zip(drawn.edges, drawn.bends, strict=True):
        along = [drawn.nodes[a].x, *bends[::2], drawn.nodes[b].x]
        assert along == sorted(along)
        assert len(set(along)) == len(along)
    assert all(0 <= n.x <= drawn.width and 0 <= n.y <= drawn.height for n in drawn.nodes)


def test_an_on_demand_view_stands_after_what_it_reads() -> None:
    at = {n.id: n.x for n in past.drawn().nodes}

    assert at["view:hourly"] < at["view:derived"] < at["service:pay"]


def test_a_chain_of_on_demand_views_is_laid_out() -> None:
    chain = [Node(f"view:{i}", "view", str(i), layer=2) for i in range(4)]
    found = layout.layout(Lineage("p", nodes=tuple(chain), edges=((0, 1), (1, 2), (2, 3))))

    assert [n.layer for n in found.nodes] == [0, 1, 2, 3]


# ---------------------------------------------------------------------- exports


def test_a_networkx_graph() -> None:
    import networkx

    found = past.drawn().to_networkx()

    assert networkx.is_directed_acyclic_graph(found)
    assert networkx.ancestors(found, "model:eta/2") == past.drawn().upstream("model:eta/2")
    assert found.nodes["model:eta/2"]["aliases"] == ["champion"]


def test_models_of_a_group_that_is_not_there() -> None:
    lone = RegisteredModel("m", 1, None, None, None, 0, (), ("gone:x",), None)

    assert edges(
        graph.build(replace(past.PAST, groups=(), models=(lone,)), [("model", "m/1")])
    ) == {("view:gone", "model:m/1")}


def test_a_name_that_is_a_view_of_its_own_is_never_taken_for_another_view() -> None:
    """A service calls `hourly` by the name of the view `stats`."""
    services = {"s": RegistryService("s", ("hourly:x",), {"stats": "hourly"})}
    views = {n: RegistryView(n, "batch", ("x",)) for n in ("hourly", "stats")}
    known = ProjectState(Registry("p", views=views, services=services),
                 (RunGroup(0, ("stats:x",), None, "training", 7, 0, 0),))  # fmt: skip

    assert impact(known, "feature", "stats:x").runs == 7
    assert impact(known, "feature", "hourly:x").runs == 0


def test_a_view_of_its_sources_name_depends_on_it() -> None:
    views = {"same": RegistryView("same", "batch", ("x",), ("same",))}

    assert [
        v.name for v in impact(ProjectState(Registry("p", views=views)), "source", "same").views
    ] == ["same"]


def test_a_prediction_run_hangs_on_its_model() -> None:
    one = past.run("r8", "scored", 20, kind="prediction", model="eta", version="2", service=None,
                   refs=("hourly:trips",))  # fmt: skip
    found = graph.build(replace(past.PAST, runs={4: [one]}), [("run", "r8")])

    assert ("model:eta/2", "run:r8") in edges(found)
    assert [n.id for n in found.nodes if n.focus] == ["run:r8"]


def test_trainings_among_lookups_are_not_called_online() -> None:
    mixed = (RunGroup(0, past.ACTIVITY, None, "lookup", 1, 0, 0),
             RunGroup(0, past.ACTIVITY, None, "training", 40, 0, 0))  # fmt: skip
    (node,) = [
        n for n in graph.build(replace(past.PAST, groups=mixed, models=())).nodes if n.kind == "run"
    ]

    assert (node.label, node.sub) == ("41 runs", "2 features")


def test_events_are_valid_by_openlineages_own_classes() -> None:
    from openlineage.client.event_v2 import (
        InputDataset,
        Job,
        OutputDataset,
        Run,
        RunEvent,
        RunState,
    )

    one = past.run("a" * 32, "first", 2, status="FAILED")
    two = past.run("b" * 32, "second", 19)
    single = layout.layout(
        graph.build(replace(past.PAST, runs={0: [one, two]}, members={1: [two]}))
    )
    events = single.to_openlineage()

    for event in events:
        made = RunEvent(
            eventTime=event["eventTime"],
            producer=event["producer"],
            run=Run(**event["run"]),
            job=Job(**event["job"]),
            eventType=RunState(event["eventType"]),
            inputs=[InputDataset(**d) for d in event["inputs"]],
            outputs=[OutputDataset(**d) for d in event["outputs"]],
        )
        assert made.run.runId == event["run"]["runId"]
    assert [e["eventType"] for e in events] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert [e["job"]["name"] for e in events] == ["first", "second", "second"]
    assert events[0]["inputs"] == [{"namespace": "feast://rides", "name": "service:activity"}]
