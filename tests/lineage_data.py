"""A small team's past as plain facts: what the tests of usage, lineage and their pictures share."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from feast_nb.lineage import graph, layout, overview, usage
from feast_nb.lineage.impact import impact
from feast_nb.lineage.state import ProjectState
from feast_nb.records.answers import Operation, Operations, RecentRun, RecentRuns
from feast_nb.records.facts import (
    RegisteredModel,
    Registry,
    RegistryService,
    RegistryView,
    RunFact,
    RunGroup,
)
from feast_nb.records.lineage import Impact, Lineage, Usage
from feast_nb.records.overview import ProjectOverview

DAY = 86_400_000


def at(day: int, hour: int = 0) -> int:
    """Milliseconds of a day of January 2026."""
    return int(datetime(2026, 1, day, hour, tzinfo=UTC).timestamp() * 1000)


NOW = at(20, 12)
CATALOG = Registry(
    project="rides",
    sources={"trips": "FileSource", "people": "FileSource", "bonus": "RequestSource"},
    entities={"driver": "driver_id"},
    views={
        "hourly": RegistryView("hourly", "batch", ("trips", "rating"), ("trips",), ("driver",), (),
                       "What a driver did", "rides@example.com", ("Int64", "Float32"), 86_400.0,
                       {"team": "rides"}, True, at(18)),
        "profile": RegistryView("profile", "batch", ("age",), ("people",), ("driver",)),
        "derived": RegistryView("derived", "on_demand", ("pay",), ("bonus",), (), ("hourly:trips",)),
        "idle": RegistryView("idle", "stream", ("clicks",), ("trips",), ("driver",)),
    },
    services={
        "activity": RegistryService("activity", ("hourly:trips", "hourly:rating")),
        "pay": RegistryService("pay", ("derived:pay", "profile:age"), {"person": "profile"}),
        "spare": RegistryService("spare", ("idle:clicks",)),
    },
)  # fmt: skip
ACTIVITY = ("hourly:trips", "hourly:rating")
GROUPS = (
    RunGroup(0, ACTIVITY, "activity", "training", 12, at(2), at(19, 9), 0, ("ann", "bob"),
          {at(2) // DAY: 5, at(10) // DAY: 4, at(19) // DAY: 3}),
    RunGroup(0, ACTIVITY, "activity", "inherited", 3, at(3), at(4), 0, ("ann",), {at(3) // DAY: 3}),
    # Feast's own run names the view as the service does.
    RunGroup(1, ("derived:pay", "person:age"), "pay", "training", 1, at(15), at(15), 0, ("cy",),
          {at(15) // DAY: 1}),
    RunGroup(2, ("lost:x", "hourly:rating"), None, "training", 2, at(5), at(6), 1, (),
          {at(5) // DAY: 2}),
    RunGroup(3, ("profile:age",), "old", "training", 1, at(1), at(1), 0, ("dee",), {at(1) // DAY: 1}),
    RunGroup(4, ("hourly:trips",), None, "prediction", 40, at(18), at(20), 0, ("svc",),
          {at(18) // DAY: 10, at(20) // DAY: 30}),
    RunGroup(5, ("hourly:trips",), None, "lookup", 2, at(19), at(19), 0, (), {at(19) // DAY: 2}),
)  # fmt: skip
MODELS = (
    RegisteredModel("eta", 1, "r1", "m-1", None, at(2), (), ACTIVITY, "activity", 0, False),
    RegisteredModel("eta", 2, "r2", "m-2", "Production", at(10), ("champion",), ("hourly:trips",),
          "activity", 0, True, None, 40, at(20)),
    RegisteredModel("pay", 1, "r3", "m-3", None, at(15), ("live",), ("derived:pay",), "pay", 1, True),
    RegisteredModel("old", 1, "r9", None, None, at(1), (), ("profile:age",), "old", 3, True),
)  # fmt: skip
PAST = ProjectState(CATALOG, GROUPS, MODELS)


def run(id: str, name: str, day: int, **more: object) -> RunFact:
    made = RunFact(id, "1", name, "FINISHED", at(day), "training", "rides", at(day, 1), user="ann",
               service="activity", refs=ACTIVITY, metrics={"rmse": 1.25}, rows=1200)  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def used() -> Usage:
    """The usage of everything."""
    found = usage.build(CATALOG, GROUPS, MODELS, now=NOW)
    return replace(found, as_of="2026-01-20T12:00:00+00:00")


def drawn(*focus: tuple[str, str]) -> Lineage:
    """The graph of the project, or of some objects, with the newest runs of the first group."""
    members = {0: (run("r2", "second", 19), run("r1", "first", 2)), 1: (run("r3", "paid", 15),)}
    found = layout.layout(graph.build(replace(PAST, members=members), focus, "the project"))
    url = "http://mlflow:5000/#/models/eta/versions/2"
    nodes = tuple(replace(n, url=url) if n.id == "model:eta/2" else n for n in found.nodes)
    return replace(found, nodes=nodes, as_of="2026-01-20T12:00:00+00:00")


def seen() -> ProjectOverview:
    """The project at one look, as the side panel is told it."""
    fit = {
        "eta/1": ("needs retraining", ("TTL of hourly changed from 2 d to 1 d.",)),
        "eta/2": ("same", ()),
        "old/1": ("unknown", ()),
    }
    found = overview.build(
        CATALOG,
        used(),
        MODELS,
        lambda m: fit.get(m.shown, ("breaks serving", ("derived:pay is gone.",))),
        lambda shown: f"https://mlflow.example.com/#/models/{shown}",
        NOW,
    )
    return replace(found, as_of="2026-01-20T12:00:00+00:00")


def of_view() -> Impact:
    """What depends on a view."""
    return impact(PAST, "view", "hourly", [("/home/me/rides.ipynb", 12, at(19))])


RUNS = RecentRuns(
    "rides",
    (
        RecentRun("0" * 32, "second", "FINISHED", "training", usage.iso(at(19)), 75.5, "ann",
                  "activity", 2, 1200, ("eta/2",), {"rmse": 1.25}, "rides.ipynb", "rides",
                  "http://mlflow:5000/#/experiments/1/runs/0"),
        RecentRun("1" * 32, "broken", "FAILED", "prediction", usage.iso(at(18))),
    ),
    usage.iso(NOW), usage.iso(NOW), ("as of yesterday: the server is away.",),
)  # fmt: skip
OPERATIONS = Operations(
    "rides",
    (
        Operation("apply", "FINISHED", usage.iso(at(2)), 0.25, (), ("hourly", "activity"),
                  ("driver",), ("older",), user="ann", grade="needs retraining"),
        Operation("materialize incremental", "FAILED", usage.iso(at(3)), 12.0, ("hourly",),
                  end="2026-01-03T00:00:00+00:00", trouble="hourly: Redis cannot be reached"),
    ),
    usage.iso(NOW), usage.iso(NOW),
)  # fmt: skip
