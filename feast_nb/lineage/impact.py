"""What depends on an object: every model, service, run and notebook downstream of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..records.facts import RegisteredModel, Registry, RegistryView, RunGroup
from ..records.lineage import Dependent, Impact
from .state import ProjectState
from .usage import iso


def touched(catalog: Registry, kind: str, name: str) -> set[str]:
    """Every reference that changes with an object, on-demand views that compute from it too."""
    if kind == "service":
        service = catalog.services.get(name)
        return set(service.refs) if service else set()
    if kind == "feature":
        found = {name}
    else:
        mine = [v for v in catalog.views.values() if _is_of(v, kind, name)]
        found = {ref for view in mine for ref in _whole(view)}
        if kind == "view":  # one that is gone is read by its name still
            reads = {ref for view in catalog.views.values() for ref in view.reads}
            found |= {ref for ref in reads if ref.partition(":")[0] == name}
    waiting = [v for v in catalog.views.values() if v.reads]
    while grown := [v for v in waiting if found & set(v.reads)]:
        found |= {ref for view in grown for ref in _whole(view)}
        waiting = [v for v in waiting if v not in grown]
    return found


def _is_of(view: RegistryView, kind: str, name: str) -> bool:
    of = {"source": view.sources, "entity": view.entities, "view": (view.name,)}
    return name in of[kind]


def _whole(view: RegistryView) -> set[str]:
    """All of a view's references, and one without a feature that stands for what it once had."""
    return {f"{view.name}:{feature}" for feature in ("", *view.features)}


class AffectedRefs:
    """Whether references touch an object; a feature gone from a view's registry entry, too."""

    def __init__(self, catalog: Registry, kind: str, name: str) -> None:
        self._service = name if kind == "service" else None
        self._refs = touched(catalog, kind, name)
        whole = {ref.partition(":")[0] for ref in self._refs if ref.endswith(":")}
        self._views = whole | ({name} if kind == "view" else set())
        self._names = {a: v for a, v in catalog.names.items() if a not in catalog.views}
        self._known: dict[tuple[str, ...], str | None] = {}

    def through(self, refs: tuple[str, ...], service: str | None = None) -> str | None:
        """The first reference that touches it; the service's name where that is the object."""
        if self._service is not None:
            return self._service if service == self._service else None
        if refs not in self._known:
            self._known[refs] = next((ref for ref in refs if self._touches(ref)), None)
        return self._known[refs]

    def all(self, refs: tuple[str, ...], service: str | None = None) -> str | None:
        """As `through`, and how many more references touch it."""
        first = self.through(refs, service)
        more = sum(self._touches(ref) for ref in refs) - 1
        return first if self._service is not None or more < 1 else f"{first} and {more} more"

    def _touches(self, ref: str) -> bool:
        view, colon, feature = ref.partition(":")
        plain = self._names.get(view, view)
        return (
            f"{plain}{colon}{feature}" in self._refs or view in self._views or plain in self._views
        )


def labels_touched(past: ProjectState, touch: AffectedRefs) -> dict[int, str]:
    """Group → the label that its runs retrieved and that is touched: what their models learnt.

    A model takes no label as an input, and other labels would have made another model.
    """
    views = past.catalog.views
    of_labels = {name for name, view in views.items() if view.kind == "label"}
    found: dict[int, str] = {}
    for group in past.groups if of_labels else ():
        labels = tuple(ref for ref in group.refs if ref.partition(":")[0] in of_labels)
        if group.kind == "training" and labels and (ref := touch.through(labels)):
            found[group.number] = ref
    return found


def impact(
    past: ProjectState, kind: str, name: str, notebooks: Iterable[tuple[str, int, int]] = ()
) -> Impact:
    """What depends on a source, entity, view, service, or feature (`view:feature`)."""
    touch = AffectedRefs(past.catalog, kind, name)
    groups = [g for g in past.groups if touch.through(g.refs, g.service)]
    labels = labels_touched(past, touch)
    models = [m for m in past.models if touch.through(m.refs, m.service) or m.group in labels]
    counted = [g for g in groups if g.kind == "training"]
    itself = name.partition(":")[0] if kind in ("view", "feature") else None
    views = sorted(
        v.name
        for v in past.catalog.views.values()
        if kind != "service"
        and v.name != itself
        and touch.through(tuple(f"{v.name}:{f}" for f in v.features))
    )
    services = [] if kind == "service" else _services(past, touch, groups)
    return Impact(
        project=past.catalog.project,
        object=name,
        models=tuple(_dependent(m, touch, labels) for m in sorted(models, key=alias_first)),
        views=tuple(Dependent(v, past.catalog.views[v].kind) for v in views),
        services=tuple(services),
        runs=sum(g.runs for g in counted),
        predictions=sum(g.runs for g in groups if g.kind in ("prediction", "lookup")),
        since=iso(min((g.first for g in groups), default=None)),
        last=iso(max((g.last for g in groups), default=None)),
        notebooks=tuple(
            Dependent(
                n.replace("\\", "/").rpartition("/")[2], "notebook", count=count, last=iso(last)
            )
            for n, count, last in notebooks
        ),
        notes=_unknown(past, models),
    )


def _services(
    past: ProjectState, touch: AffectedRefs, groups: Sequence[RunGroup]
) -> Iterator[Dependent]:
    used: dict[str, list[RunGroup]] = {}
    for group in groups:
        if group.service:
            used.setdefault(group.service, []).append(group)
    today = {s.name for s in past.catalog.services.values() if touch.through(s.refs)}
    for name in sorted({*today, *used}):
        mine = used.get(name, [])
        yield Dependent(
            name,
            "service" if name in past.catalog.services else "service, gone",
            count=sum(g.runs for g in mine),
            last=iso(max((g.last for g in mine), default=None)),
            through=None if name in today else "earlier",
        )


def alias_first(model: RegisteredModel) -> tuple[bool, int, str, int]:
    """The order of models: those with an alias first, then those that predict."""
    return (not model.aliases, -model.predictions, model.name, -model.version)


def _dependent(model: RegisteredModel, touch: AffectedRefs, labels: Mapping[int, str]) -> Dependent:
    label = labels.get(model.group) if model.group is not None else None
    return Dependent(
        model.shown,
        "model",
        model.aliases,
        since=iso(model.created),
        last=iso(model.last_prediction),
        through=touch.all(model.refs, model.service) or (f"{label} (label)" if label else None),
        predictions=model.predictions,
    )


def _unknown(past: ProjectState, models: Sequence[RegisteredModel]) -> tuple[str, ...]:
    said = []
    if cut := sum(g.cut for g in past.groups):
        runs = "1 run" if cut == 1 else f"{cut:,} runs"
        said.append(
            f"{runs} recorded by Feast alone kept only a part of the references; whether it was "
            "among the rest is not known."
        )
    guessed = [m for m in models if not m.own]
    if guessed:
        said.append(
            f"{len(guessed):,} of these model versions without a contract: taken to use everything "
            "that the run retrieved."
        )
    return tuple(said)
