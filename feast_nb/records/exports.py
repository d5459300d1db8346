"""Answers as what other tools take: pandas frames, networkx graphs, OpenLineage events."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

    from .answers import Operations, RecentRuns
    from .lineage import Impact, Lineage, Usage
    from .operation import Health


def usage_frame(it: Usage) -> pd.DataFrame:
    """One row for each feature: counts, times, who, through what."""
    import pandas as pd

    rows = [
        {
            "view": f.ref.partition(":")[0],
            "feature": f.ref.partition(":")[2],
            "training_runs": f.training,
            "prediction_runs": f.prediction,
            "first_used": f.first,
            "last_used": f.last,
            "users": list(f.users),
            "services": list(f.services),
            "models": [m.said for m in f.models],
            "gone": f.gone,
            "unused": f.unused,
        }
        for f in it.features
    ]
    columns = ["view", "feature", "training_runs", "prediction_runs", "first_used", "last_used",
               "users", "services", "models", "gone", "unused"]  # fmt: skip
    return _times(pd.DataFrame(rows, columns=columns), "first_used", "last_used")


def impact_frame(it: Impact) -> pd.DataFrame:
    """One row for each dependent."""
    import pandas as pd

    rows = [
        {"name": d.name, "kind": d.kind, "aliases": list(d.aliases), "uses": d.through,
         "runs": d.count, "predictions": d.predictions, "since": d.since, "last": d.last}
        for d in (*it.models, *it.views, *it.services, *it.notebooks)
    ]  # fmt: skip
    columns = ["name", "kind", "aliases", "uses", "runs", "predictions", "since", "last"]
    return _times(pd.DataFrame(rows, columns=columns), "since", "last")


def runs_frame(it: RecentRuns) -> pd.DataFrame:
    """One row for each run; a column for each metric."""
    import pandas as pd

    rows = []
    for run in it.runs:
        plain = {k: v for k, v in run.to_dict().items() if k != "metrics"}
        rows.append({**plain, **{f"metrics.{k}": v for k, v in run.metrics.items()}})
    return _times(pd.DataFrame(rows), "started")


def operations_frame(it: Operations) -> pd.DataFrame:
    """One row for each operation."""
    import pandas as pd

    return _times(pd.DataFrame([o.to_dict() for o in it.operations]), "at", "start", "end")


def _times(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The same with ISO texts as timestamps in UTC."""
    import pandas as pd

    for column in columns:
        if column in frame:
            frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601")
    return frame


def lineage_graph(it: Lineage) -> nx.DiGraph:
    """The graph as a `networkx.DiGraph` over the nodes' ids."""
    import networkx

    graph = networkx.DiGraph(project=it.project)
    for node in it.nodes:
        graph.add_node(node.id, **{k: v for k, v in node.to_dict().items() if k != "id"})
    graph.add_edges_from((it.nodes[a].id, it.nodes[b].id) for a, b in it.edges)
    return graph


_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_PRODUCER = "https://github.com/feast-nb/feast-nb"


def openlineage(it: Lineage, namespace: str | None = None) -> list[dict[str, object]]:
    """A run event for each run: what it read and what was made of it.

    Datasets are named by our ids (`view:driver_hourly_stats`); models are datasets too, as in
    OpenLineage's own integrations. Of runs that are drawn together, those that the node lists:
    what they made is known of all together only, and so is left out.
    """
    where = namespace or f"feast://{it.project}"
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for a, b in it.edges:
        before.setdefault(b, []).append(a)
        after.setdefault(a, []).append(b)

    def datasets(places: list[int]) -> list[dict[str, object]]:
        return [{"namespace": where, "name": it.nodes[i].id} for i in places]

    events: list[dict[str, object]] = []
    for i, node in enumerate(it.nodes):
        if node.kind != "run":
            continue
        single = {"id": node.id.partition(":")[2], "name": node.label, "status": node.sub,
                  "started": node.details.get("started", "")}  # fmt: skip
        together = node.id.startswith("runs:")
        for run in node.members if together else (single,):
            events.append({
                "eventType": _EVENTS.get(run["status"].upper(), "OTHER"),
                "eventTime": run["started"] or it.as_of or "1970-01-01T00:00:00+00:00",
                "producer": _PRODUCER,
                "schemaURL": _SCHEMA,
                "run": {"runId": str(uuid.UUID(hex=run["id"]))},
                "job": {"namespace": where, "name": run["name"]},
                "inputs": datasets(before.get(i, [])),
                "outputs": [] if together else datasets(after.get(i, [])),
            })  # fmt: skip
    return events


_EVENTS = {"FINISHED": "COMPLETE", "FAILED": "FAIL", "KILLED": "ABORT", "RUNNING": "RUNNING"}


_LIGHTS = {"green": 0, "amber": 1, "red": 2, "unknown": -1}


def health_metrics(it: Health) -> str:
    """Prometheus's text format, by its own client library."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    known = CollectorRegistry()
    labels = ("project", "part", "name")
    lights = Gauge("feast_nb_health", "0 green, 1 amber, 2 red, -1 unknown", labels, registry=known)
    facts = Gauge("feast_nb_health_fact", "What was measured", (*labels, "fact"), registry=known)
    for line in it.lines:
        lights.labels(it.project, line.part, line.name).set(_LIGHTS[line.light])
        for name, value in line.facts.items():
            if isinstance(value, int | float):
                facts.labels(it.project, line.part, line.name, name).set(value)
    text: str = generate_latest(known).decode()
    return text
