"""What two answers say of models: the features of one, and two side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ..contracts import drift
from ..errors import FeatureError
from ..integrations.feast import registry
from ..integrations.feast.views import dtype_named
from ..integrations.mlflow import model_lookup, retrieval_files
from ..integrations.mlflow import runs as mlflow_runs
from ..records.answers import Difference, Feature, ModelDiff, ModelFeatures
from ..records.contract import Contract, Input
from ..records.retrieval import Retrieval
from . import resolution

if TYPE_CHECKING:
    from .session import Session


def features(session: Session, model: str) -> ModelFeatures:
    """A model's features in its own order, with what the registry says of each today.

    Drift is told, and refused nowhere: this only shows. Raises `ModelError` as `resolve` does.
    """
    found = model_lookup.find(session.runs.uri, model)
    contract, _, notes = resolution.contract_of(session, found)
    resolution.check_project(session, found.shown, contract.project)
    registry.refresh(session.store)
    service = resolution.service_of(session, contract.service)
    changes = resolution.changes(session, contract, service)
    known = registry.definitions_of(session.store)
    inputs = contract.inputs or tuple(
        Input(ref.partition(":")[2], ref, basis="feature") for ref in contract.refs
    )
    return ModelFeatures(
        model=found.shown,
        features=tuple(_feature(n, i, known) for n, i in enumerate(inputs, 1) if i.ref),
        others=tuple(f"{i.name} ({_basis(i)})" for i in inputs if not i.ref),
        order=contract.order,
        service=contract.service,
        notes=(*notes, *(f"{c.grade}: {c.said}" for c in changes if c.grade != "safe")),
    )


def _basis(one: Input) -> str:
    return {"given": "given with the entities", "made": "made by the cell"}.get(
        one.basis, "no feature"
    )


def _feature(number: int, one: Input, known: registry.Definitions) -> Feature:
    name, _, feature = str(one.ref).partition(":")
    try:
        view = known.view(name)
    except FeatureError:
        view = None
    declared = [f for f in view.features if f.name == feature] if view is not None else []
    source = view.batch_proto if view is not None else None
    return Feature(
        input=number,
        ref=str(one.ref),
        column=one.name,
        dtype=one.dtype,
        declared=one.declared or (dtype_named(declared[0].value_type) if declared else None),
        source=source.name if source is not None else None,
        owner=(view.spec.owner if view is not None else None) or None,
        description=(declared[0].description if declared else "")
        or (view.spec.description if view is not None else None)
        or None,
        ttl=drift.seconds(view.ttl) if view is not None and view.is_timed else None,
        nulls=one.nulls,
        min=one.min,
        max=one.max,
    )


def diff(session: Session, one: str, other: str) -> ModelDiff:
    """Two models side by side: features and their order, definitions, data, metrics."""
    uri = session.runs.uri
    found = [model_lookup.find(uri, name) for name in (one, other)]
    contracts = [resolution.contract_of(session, f)[0] for f in found]
    first, second = contracts
    theirs = {v.view: v for v in second.views}
    theirs |= {v.address: v for v in second.views}
    # Where the other model took another version of a view, that is what is to be compared.
    views = theirs | {
        was.address: theirs.get(was.address, theirs[was.view])
        for was in first.views
        if was.view in theirs
    }
    changes = drift.compare(first, views, second.definitions) if first.views and views else ()
    runs = [mlflow_runs.read(uri, f.run_id) if f.run_id else None for f in found]
    notes = [f"{f.shown}: {u}" for f, c in zip(found, contracts, strict=True) for u in c.unknown]
    return ModelDiff(
        one=found[0].shown,
        other=found[1].shown,
        features=tuple(_inputs(first, second)),
        definitions=tuple(c for c in changes if c.what.partition(":")[0] in views),
        data=tuple(_data(*(_trained_on(uri, c) for c in contracts))),
        metrics=tuple(_metrics(*(r.metrics if r else {} for r in runs))),
        notes=tuple(notes),
    )


def _inputs(first: Contract, second: Contract) -> Iterator[Difference]:
    one, other = _places(first), _places(second)
    types = {i.ref or i.name: i.dtype for i in second.inputs}
    for name in dict.fromkeys((*one, *other)):
        places = [str(where[name]) if name in where else None for where in (one, other)]
        if places[0] != places[1]:
            yield Difference(f"{name}, place", *places)
    for i in first.inputs:
        name = i.ref or i.name
        if types.get(name) and i.dtype and types[name] != i.dtype:
            yield Difference(f"{name}, dtype", i.dtype, types[name])
    if first.service != second.service:
        yield Difference("feature service", first.service, second.service)
    if first.order != second.order:
        yield Difference("order of inputs", first.order, second.order)


def _places(contract: Contract) -> dict[str, int]:
    """Input → place; of a model whose inputs nobody knows, the references it was trained on."""
    named = [i.ref or i.name for i in contract.inputs] or list(contract.refs)
    return {name: n for n, name in enumerate(named, 1)}


def _trained_on(uri: str, contract: Contract) -> list[Retrieval]:
    if contract.run_id is None:
        return []
    kept = retrieval_files.retrievals_of(uri, contract.run_id).retrievals
    return [r for r in kept if r.id in contract.retrievals]


def _data(one: list[Retrieval], other: list[Retrieval]) -> Iterator[Difference]:
    """What the training frames and their entity frames have each in their own way."""
    told: list[tuple[str, Callable[[Retrieval], object]]] = [
        ("arguments", lambda r: _arguments(r)),
        ("entity rows", lambda r: r.entity.rows),
        ("entity frame", lambda r: (r.entity.fingerprint or "")[:12] or r.entity.query),
        (
            "first moment",
            lambda r: r.entity.timestamp.min if r.entity.timestamp else r.entity.start,
        ),
        ("last moment", lambda r: r.entity.timestamp.max if r.entity.timestamp else r.entity.end),
        ("training rows", lambda r: r.result.rows if r.result else None),
        ("training frame", lambda r: (r.result.fingerprint or "")[:12] if r.result else None),
        ("sources", lambda r: json.dumps([(s.name, s.modified or s.etag) for s in r.sources])),
    ]
    for what, of in told:
        values = [_joined(of(r) for r in side) for side in (one, other)]
        if values[0] != values[1]:
            yield Difference(what, *values)


def _arguments(retrieval: Retrieval) -> str | None:
    """What a call was given beyond features, entities and dates: `name=value, …`."""
    said = [f"{name}={value}" for name, value in sorted(retrieval.arguments.items())]
    return ", ".join([*([retrieval.call] if retrieval.call else []), *said]) or None


def _joined(values: Iterable[object]) -> str | None:
    said = [str(v) for v in values if v is not None]
    return ", ".join(said) or None


def _metrics(one: dict[str, float], other: dict[str, float]) -> Iterator[Difference]:
    for name in sorted({*one, *other}):
        if name.startswith(("feast.", "feast_nb.")):
            continue
        yield Difference(name, *(f"{m[name]:g}" if name in m else None for m in (one, other)))
