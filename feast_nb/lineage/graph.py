"""The graph of a project, or of what some objects come from and what comes of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..records.facts import RegisteredModel, RunFact, RunGroup
from ..records.lineage import Lineage, Node
from .impact import AffectedRefs, labels_touched
from .state import ProjectState
from .usage import iso


def build(past: ProjectState, focus: Sequence[tuple[str, str]] = (), title: str = "") -> Lineage:
    """The graph of a project, or what is up and downstream of some objects (kind, name).

    Nodes and edges only: `layout` says where they are drawn.
    """
    chosen = past if not focus else around(past, focus)
    drawing = _Drawing(chosen)
    drawing.draw(focus)
    ids = {f"view:{n.partition(':')[0]}" if k == "feature" else f"{k}:{n}" for k, n in focus}
    nodes = tuple(replace(n, focus=n.id in ids) for n in drawing.nodes.values())
    place = {n.id: i for i, n in enumerate(nodes)}
    edges = tuple(sorted((place[a], place[b]) for a, b in drawing.edges))
    return Lineage(past.catalog.project, title, nodes, edges)


def around(past: ProjectState, focus: Sequence[tuple[str, str]]) -> ProjectState:
    """Only the runs and models that touch one of the objects, by what they asked for."""
    groups: dict[tuple[object, ...], RunGroup] = {}
    models: dict[tuple[str, int], RegisteredModel] = {}
    for kind, name in focus:
        if kind == "model":
            wanted = [m for m in past.models if name in (m.name, m.shown)]
            numbers = {m.group for m in wanted}
        elif kind == "run":
            mine = [(n, r) for n, runs in past.runs.items() for r in runs if r.id == name]
            numbers = {n for n, _ in mine}
            used = {f"{r.model}/{r.version}" for _, r in mine}
            wanted = [m for m in past.models if m.run == name or m.shown in used]
        else:
            touch = AffectedRefs(past.catalog, kind, name)
            labels = labels_touched(past, touch)
            wanted = [
                m for m in past.models if touch.through(m.refs, m.service) or m.group in labels
            ]
            numbers = {g.number for g in past.groups if touch.through(g.refs, g.service)}
        models |= {(m.name, m.version): m for m in wanted}
        groups |= {(g.number, g.kind, g.refs): g for g in past.groups if g.number in numbers}
    return replace(past, groups=list(groups.values()), models=list(models.values()))


class _Drawing:
    """Nodes and edges as they are come upon, each once."""

    def __init__(self, past: ProjectState) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: set[tuple[str, str]] = set()
        self._past = past
        self._catalog = past.catalog
        self._alike: dict[int, list[RunGroup]] = {}
        for group in past.groups:
            if group.kind != "prediction":
                self._alike.setdefault(group.number, []).append(group)

    def draw(self, focus: Sequence[tuple[str, str]]) -> None:
        """What the registry has of it, then its runs and the models that came of them."""
        services = self._catalog.services.values()
        touches = [AffectedRefs(self._catalog, k, n) for k, n in focus if k not in ("model", "run")]
        for name, view in self._catalog.views.items():
            refs = tuple(f"{name}:{feature}" for feature in view.features)
            if not focus or any(t.through(refs) for t in touches):
                self._view(name)
        for service in services:
            if not focus or any(t.through(service.refs, service.name) for t in touches):
                self._service(service.name, service.refs)
        for group in self._past.groups:
            if group.kind != "prediction":
                self._group(group)
        for model in self._past.models:
            self._model(model)
        for run in (r for runs in self._past.runs.values() for r in runs):
            if run.kind == "prediction" and f"run:{run.id}" not in self.nodes:
                model_id = f"model:{run.model}/{run.version}"
                before = [model_id] if model_id in self.nodes else self._views(run.refs)
                self.add(replace(_run_node(run), layer=7), *before)

    def add(self, node: Node, *before: str) -> str:
        self.nodes.setdefault(node.id, node)
        self.edges |= {(b, node.id) for b in before}
        return node.id

    def _view(self, name: str) -> str:
        id, view = f"view:{name}", self._catalog.views.get(name)
        if id in self.nodes:
            return id
        if view is None:
            return self.add(Node(id, "view", name, "gone from the registry", gone=True, layer=2))
        details = {"features": ", ".join(view.features), "owner": view.owner,
                   "description": view.description}  # fmt: skip
        sub = {"batch": "", "on_demand": "on-demand"}.get(view.kind, view.kind)
        sub = ", ".join(part for part in (sub, view.unavailable) if part)
        self.add(Node(id, "view", name, sub, layer=2, details=_told(details)))
        for source in view.sources:
            self.edges.add((self._source(source), id))
        for entity in view.entities:
            key = self._catalog.entities.get(entity)
            node = Node(f"entity:{entity}", "entity", entity, f"key {key}" if key else "",
                        gone=key is None)  # fmt: skip
            self.edges.add((self.add(node), id))
        for read in dict.fromkeys(ref.partition(":")[0] for ref in view.reads):
            self.edges.add((self._view(read), id))
        return id

    def _source(self, name: str) -> str:
        """A data source, and what of MLflow's it is made of."""
        kind, origin = self._catalog.sources.get(name, ""), self._catalog.origins.get(name)
        node = Node(f"source:{name}", "source", name, kind)
        if origin is None:
            return self.add(node)
        if origin.kind == "dataset":
            before = Node(f"dataset:{origin.name}", "source", origin.name, "MLflow dataset")
        else:
            known = (r for runs in self._past.runs.values() for r in runs if r.id == origin.name)
            label = next((r.name for r in known if r.name), origin.name[:8])
            before = Node(f"origin:{origin.name}", "run", label, origin.artifact,
                          details={"run": origin.name})  # fmt: skip
        return self.add(replace(node, layer=1), self.add(before))

    def _views(self, refs: Iterable[str]) -> list[str]:
        names = self._catalog.names
        found = dict.fromkeys(ref.partition(":")[0] for ref in refs)
        return [self._view(v if v in self._catalog.views else names.get(v, v)) for v in found]

    def _service(self, name: str, refs: Iterable[str]) -> str:
        service = self._catalog.services.get(name)
        details = {"owner": service.owner, "description": service.description} if service else {}
        node = Node(f"service:{name}", "service", name, "" if service else "gone from the registry",
                    gone=service is None, layer=4, details=_told(details))  # fmt: skip
        return self.add(node, *self._views(refs))

    def _group(self, group: RunGroup) -> None:
        """Runs: one by one where they were asked for, else together."""
        before = (
            [self._service(group.service, group.refs)] if group.service else self._views(group.refs)
        )
        single = self._past.runs.get(group.number)
        for run in single or ():
            if run.kind != "prediction":
                self.add(_run_node(run), *before)
        if single is None:
            self.add(self._together(group), *before)

    def _together(self, group: RunGroup) -> Node:
        id = f"runs:{group.number}"
        alike = self._alike[group.number]
        # A child that inherits a retrieval is its parent's training, not another one.
        own = [g for g in alike if g.kind != "inherited"] or alike
        count = sum(g.runs for g in own)
        sub = "online" if all(g.kind == "lookup" for g in alike) else ""
        if not sub and not group.service:
            sub = f"{len(group.refs)} feature{'' if len(group.refs) == 1 else 's'}"
        newest = self._past.members.get(group.number, ())
        members = tuple(
            {
                "name": r.name,
                "id": r.id,
                "status": r.status,
                "started": iso(r.started) or "",
                "experiment": r.experiment,
            }
            for r in newest
        )
        label = f"{count:,} runs" if count != 1 else (newest[0].name if newest else "1 run")
        first, last = min(g.first for g in alike), max(g.last for g in alike)
        details = {"features": str(len(group.refs)), "first": iso(first) or "",
                   "last": iso(last) or "",
                   "by": ", ".join(sorted({user for g in alike for user in g.users}))}  # fmt: skip
        return Node(
            id, "run", label, sub, count=count, members=members, details=_told(details), layer=5
        )

    def _model(self, model: RegisteredModel) -> None:
        before = self._run_of(model)
        details = {"features": _some(model.refs), "service": model.service or "",
                   "stage": model.stage or "", "registered": iso(model.created) or "",
                   "contract": "kept" if model.own else "none"}  # fmt: skip
        node = Node(f"model:{model.shown}", "model", model.shown, model.stage or "",
                    aliases=model.aliases, details=_told(details), layer=6)  # fmt: skip
        self.add(node, *before)
        if model.predictions:
            label = (
                "1 prediction run"
                if model.predictions == 1
                else f"{model.predictions:,} prediction runs"
            )
            last = {"last": iso(model.last_prediction) or ""}
            self.add(Node(f"prediction:{model.shown}", "prediction", label, "",
                          count=model.predictions, details=last, layer=7), node.id)  # fmt: skip

    def _run_of(self, model: RegisteredModel) -> list[str]:
        if model.run is not None and f"run:{model.run}" in self.nodes:
            return [f"run:{model.run}"]
        if model.group is not None and f"runs:{model.group}" in self.nodes:
            return [f"runs:{model.group}"]
        # Its run is not among those drawn: it was deleted, or only the newest were asked for.
        if model.service:
            return [self._service(model.service, model.refs)]
        return self._views(model.refs)


def _run_node(run: RunFact) -> Node:
    numbers = [f"{k} {v:.4g}" for k, v in sorted(run.metrics.items()) if not k.startswith("feast")]
    details = {"started": iso(run.started) or "", "by": run.user or "", "rows": str(run.rows or ""),
               "notebook": run.notebook or "", "metrics": ", ".join(numbers), "id": run.id,
               "experiment": run.experiment}  # fmt: skip
    return Node(
        f"run:{run.id}", "run", run.name, run.status.lower(), details=_told(details), layer=5
    )


def _some(refs: Sequence[str]) -> str:
    more = f" and {len(refs) - 12} more" if len(refs) > 12 else ""
    return ", ".join(refs[:12]) + more


def _told(details: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in details.items() if v}
