"""Who uses what, where it comes from, what depends on it: asked of the history and the registry."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ..errors import TrackingError, UsageError, nearest
from ..history import queries
from ..lineage import graph, layout, state
from ..lineage import impact as impacts
from ..lineage import usage as usages
from ..lineage.state import ProjectState
from ..records.answers import Operation, Operations, RecentRun, RecentRuns
from ..records.facts import RunFact
from ..records.lineage import Impact, Lineage, Node, Usage
from .source import find, refs_of, since_of, stretch_of

if TYPE_CHECKING:
    from .source import HistorySource

RunsDrawn = Literal["all", "latest", "collapsed"]
_MOST = 2000  # runs that are drawn one by one
_SINGLE = 20  # model versions whose own runs are drawn
_MEMBERS = 300  # runs that all nodes of a graph list together


def usage(
    past: HistorySource,
    named: str | None = None,
    *,
    since: str | None = None,
    experiment: str | None = None,
    unused: bool = False,
    refresh: bool = False,
) -> Usage:
    """Who uses each view and feature, or those of one view, service or feature.

    Raises `UsageError` for a name or a time that means nothing, `TrackingError` where MLflow has
    never answered.
    """
    past.refresh(refresh)
    now = time.time()
    begin = since_of(since, now)
    _check_experiment(past, experiment)
    first = queries.began(past.history, experiment) if begin is None else begin
    days = stretch_of(first, now)
    known = past.known(begin, experiment, days)
    groups, models = known.groups, known.models
    refs: list[str] = []
    if named:
        whole = past.known() if begin is not None or experiment else known
        ((kind, name), *_) = find(named, whole, past.history)
        if kind in ("model", "run"):
            raise UsageError(f"{named} is a {kind}; %feast_lineage {named} shows what it uses.")
        refs = refs_of(kind, name, whole)
        touch = impacts.AffectedRefs(known.catalog, kind, name)
        groups = [g for g in groups if touch.through(g.refs, g.service)]
        if kind == "service":
            models = [m for m in models if m.service == name]
    if experiment:  # models are those of its runs
        numbers = {g.number for g in groups}
        models = [m for m in models if m.group in numbers]
    answer = usages.build(
        known.catalog, groups, models, days=days, since=begin, now=int(now * 1000)
    )
    answer = usages.part(answer, named, refs) if named else answer
    answer = usages.unused(answer) if unused else answer
    return replace(answer, as_of=past.as_of, notes=(*past.notes, *answer.notes))


def lineage(
    past: HistorySource,
    names: Sequence[str] = (),
    *,
    up: int | None = None,
    down: int | None = None,
    runs: RunsDrawn = "collapsed",
    refresh: bool = False,
) -> Lineage:
    """The graph of the project, or what some objects come from and what comes of them."""
    past.refresh(refresh)
    known = past.known()
    focus = [found for name in names for found in find(name, known, past.history)]
    title = ", ".join(names) or f"project {past.project}"
    singles = {name for kind, name in focus if kind == "run"}
    models = {name for kind, name in focus if kind == "model"}
    if len(models) <= _SINGLE and all(kind in ("model", "run") for kind, _ in focus):
        singles |= {m.run for m in known.models if m.shown in models and m.run}
    known = _with_runs(past, known, focus, runs, singles)
    found = state.trimmed(graph.build(known, focus, title), up, down)
    found = layout.layout(found)
    nodes = tuple(_linked(past, n) for n in found.nodes)
    notes = list(past.notes)
    if runs == "all" and len([n for n in nodes if n.kind == "run"]) >= _MOST:
        notes.append(f"only the newest {_MOST:,} runs are drawn.")
    return replace(found, nodes=nodes, as_of=past.as_of, notes=tuple(notes))


def impact(past: HistorySource, named: str, refresh: bool = False) -> Impact:
    """Everything that depends on a source, entity, view, feature or service."""
    past.refresh(refresh)
    known = past.known()
    ((kind, name), *_) = find(named, known, past.history)
    if kind in ("model", "run"):
        raise UsageError(f"{named} is a {kind}; give a source, entity, view, service or feature.")
    touch = impacts.AffectedRefs(known.catalog, kind, name)
    asked = {g.refs for g in known.groups if touch.through(g.refs, g.service)}
    where = queries.notebooks(past.history, asked, name if kind == "service" else None)
    answer = impacts.impact(known, kind, name, where)
    silent = queries.without_refs(past.history)
    notes = [*past.notes, *answer.notes]
    if silent:
        notes.append(f"{silent:,} runs of the project use no features.")
    models = tuple(replace(m, url=past.version_url(m.name)) for m in answer.models)
    return replace(answer, models=models, as_of=past.as_of, notes=tuple(notes))


def recent_runs(
    past: HistorySource,
    *,
    service: str | None = None,
    model: str | None = None,
    since: str | None = None,
    mine: bool = False,
    most: int = 20,
    refresh: bool = False,
) -> RecentRuns:
    """The newest runs: of a service, of a model (trained or predicted with), or one's own."""
    past.refresh(refresh)
    known = past.known()
    name, version = None, None
    if service is not None:
        ((_, service), *_) = find(f"service={service}", known, past.history)
    if model is not None:
        found = find(f"model={model}", known, past.history)
        name, _, number = found[0][1].rpartition("/")
        version = number if "/" in model or "@" in model else None
    found_runs = queries.runs(
        past.history, service=service, model=name, version=version,
        user=_myself() if mine else None, since=since_of(since, time.time()), most=most,
    )  # fmt: skip
    names = queries.experiments(past.history)
    made: dict[str, list[str]] = {}
    for m in known.models:
        if m.run:
            made.setdefault(m.run, []).append(m.shown)
    listed = [
        _recent(past, run, names.get(run.experiment), made.get(run.id, ())) for run in found_runs
    ]
    return RecentRuns(
        past.project,
        tuple(listed),
        past.as_of,
        usages.iso(int(time.time() * 1000)),
        past.notes,
    )


def operations(past: HistorySource, most: int = 50, refresh: bool = False) -> Operations:
    """What was applied and materialized, newest first."""
    past.refresh(refresh)
    found = queries.runs(past.history, kinds=("operation",), most=most)
    notes = past.notes
    if not found:
        notes += (
            "no operation was logged; Feast logs them with `log_operations: true` in the mlflow "
            "block of feature_store.yaml.",
        )
    done = tuple(_operation(past, run) for run in found)
    return Operations(past.project, done, past.as_of, usages.iso(int(time.time() * 1000)), notes)


def _with_runs(
    past: HistorySource,
    known: ProjectState,
    focus: Sequence[tuple[str, str]],
    runs: RunsDrawn,
    singles: Collection[str],
) -> ProjectState:
    """The same with the runs that are drawn one by one, and the newest of those drawn together."""
    if singles:
        alone: dict[int, list[RunFact]] = {}
        for run in queries.runs(past.history, ids=singles):
            for group in known.groups:
                if (group.refs, group.service, group.kind) == (run.refs, run.service, run.kind):
                    alone.setdefault(group.number, []).append(run)
        known = replace(known, runs=alone)
    shown = graph.around(known, focus).groups if focus else known.groups
    drawn = [g for g in shown if g.kind != "prediction" and g.number not in known.runs]
    together = max(len({g.number for g in drawn}), 1)
    each = {"all": _MOST, "latest": 1, "collapsed": max(1, min(20, _MEMBERS // together))}
    newest = queries.newest(past.history, drawn, each[runs])
    if runs == "all":
        every = sorted((r for of in newest.values() for r in of), key=lambda r: -r.started)[:_MOST]
        kept = {r.id for r in every}
        newest = {n: [r for r in of if r.id in kept] for n, of in newest.items()}
    if runs == "collapsed":
        return replace(known, members=newest)
    return replace(known, runs={**newest, **known.runs})


def _linked(past: HistorySource, node: Node) -> Node:
    """A node with its address in MLflow's UI, and those of the runs that it stands for."""
    members = tuple(
        {**{k: v for k, v in m.items() if k != "experiment"}, "url": url}
        if (url := past.url(m["id"], m.get("experiment", "0")))
        else m
        for m in node.members
    )
    return replace(node, url=_url_of(past, node), members=members)


def _url_of(past: HistorySource, node: Node) -> str | None:
    kind, _, name = node.id.partition(":")
    if kind in ("model", "prediction"):
        return past.version_url(name)
    if kind == "run":
        return past.url(name, node.details.get("experiment", "0"))
    return None


def _check_experiment(past: HistorySource, experiment: str | None) -> None:
    known = queries.experiments(past.history).values()
    if experiment is not None and experiment not in known:
        raise TrackingError(f"no experiment {experiment}; {nearest(experiment, known)}")


def _myself() -> str:
    import getpass

    return getpass.getuser()


def _recent(
    past: HistorySource, run: RunFact, experiment: str | None, models: Sequence[str]
) -> RecentRun:
    predicted = [f"{run.model}/{run.version}"] if run.model else []
    return RecentRun(
        id=run.id,
        name=run.name,
        status=run.status,
        counts_as=run.kind,
        started=usages.iso(run.started),
        seconds=(run.ended - run.started) / 1000 if run.ended else None,
        user=run.user,
        service=run.service,
        features=len(run.refs),
        rows=run.rows,
        models=tuple(models) or tuple(predicted),
        metrics={k: v for k, v in run.metrics.items() if not k.startswith(("feast.", "feast_nb."))},
        notebook=run.notebook,
        experiment=experiment,
        url=past.url(run.id, run.experiment),
    )


def _operation(past: HistorySource, run: RunFact) -> Operation:
    def named(which: str) -> tuple[str, ...]:
        kinds = ("feature_views", "feature_services", "entities")
        texts = [run.tags.get(f"feast.{kind}_{which}", "") for kind in kinds]
        return tuple(name for text in texts for name in text.split(",") if name)

    what = run.tags.get("feast.operation", "")
    told = {*named("created"), *named("updated"), *named("deleted")}
    seconds = run.metrics.get("feast.materialize.duration_sec")
    if seconds is None and run.ended:
        seconds = (run.ended - run.started) / 1000
    views = run.tags.get("feast.materialize.feature_views", "")
    return Operation(
        what=what.replace("_", " "),
        status=run.status,
        grade=run.tags.get("feast_nb.grade"),
        reason=run.tags.get("feast_nb.reason"),
        trouble=run.tags.get("feast_nb.trouble"),
        at=usages.iso(run.started),
        seconds=seconds,
        views=tuple(v for v in views.split(",") if v),
        created=named("created"),
        updated=named("updated"),
        deleted=named("deleted"),
        changed=tuple(n for n in named("changed") if n not in told),
        start=run.params.get("feast.materialize.start_date"),
        end=run.params.get("feast.materialize.end_date"),
        user=run.user,
        url=past.url(run.id, run.experiment),
    )
