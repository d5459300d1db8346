"""The registry's objects and what each is made of, from its protos: stored code is never run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

from ...records.facts import Registry, RegistryService, RegistryView
from ...records.retrieval import NO_ENTITY, ViewDefinition
from . import definition_hashes


def read(store: Any) -> Registry:
    """What the registry of a store holds of its project today."""
    proto = store.registry.proto()
    project = store.project
    entities = {
        e.spec.name: e.spec.join_key
        for e in proto.entities
        if e.spec.project in ("", project) and e.spec.name != NO_ENTITY
    }
    views = {v.spec.name: _view(v) for v in _views(proto, project)}
    services = {
        s.spec.name: _service(s.spec)
        for s in proto.feature_services
        if s.spec.project in ("", project)
    }
    sources = {_name(s): _kind(s) for s in proto.data_sources if s.project in ("", project)}
    for view in _views(proto, project):
        sources |= {_name(s): _kind(s) for s in _sources(view.spec) if _name(s) not in sources}
    return Registry(project, sources, entities, views, services)


def defined(store: Any) -> dict[str, ViewDefinition]:
    """Each view as it is defined today, to be compared with what a model was trained on."""
    proto = store.registry.proto()
    keys = {e.spec.name: e.spec.join_key for e in proto.entities}
    return {
        view.spec.name: ViewDefinition(
            name=view.spec.name,
            view=view.spec.name,
            kind=_kind_of(view.spec),
            hashes=definition_hashes.hash_view(view.spec, keys),
            reads=tuple(_reads(view.spec)),
        )
        for view in _views(proto, store.project)
    }


def _views(proto: Any, project: str) -> Iterator[Any]:
    for kind in ("feature_views", "stream_feature_views", "on_demand_feature_views"):
        for view in getattr(proto, kind):
            if view.spec.project in ("", project):
                yield view


def _kind_of(spec: Any) -> Literal["batch", "stream", "on_demand"]:
    if spec.DESCRIPTOR.name.startswith("OnDemand"):
        return "on_demand"
    return "stream" if spec.DESCRIPTOR.name.startswith("Stream") else "batch"


def _view(view: Any) -> RegistryView:
    spec, meta = view.spec, view.meta
    filled = [i.end_time.ToMilliseconds() for i in getattr(meta, "materialization_intervals", ())]
    timed = "ttl" in spec.DESCRIPTOR.fields_by_name
    return RegistryView(
        name=spec.name,
        kind=_kind_of(spec),
        features=tuple(f.name for f in spec.features),
        sources=tuple(dict.fromkeys(_name(s) for s in _sources(spec))),
        entities=tuple(e for e in spec.entities if e != NO_ENTITY),
        reads=tuple(_reads(spec)),
        description=spec.description,
        owner=spec.owner,
        dtypes=tuple(_dtype(f.value_type) for f in spec.features),
        ttl=(spec.ttl.ToMilliseconds() / 1000 or None) if timed else None,
        tags=dict(spec.tags),
        online=bool(getattr(spec, "online", False)),
        materialized=max(filled, default=None),
    )


@cache
def _dtype(number: int) -> str:
    """Feast's name of a type: `Float64`."""
    from feast.types import from_value_type
    from feast.value_type import ValueType

    try:
        return str(from_value_type(ValueType(number)))
    except (ValueError, KeyError):
        return "unknown"


def _sources(spec: Any) -> Iterator[Any]:
    """The data sources of a view; of an on-demand view those of requests."""
    if spec.DESCRIPTOR.name.startswith("OnDemand"):
        for name in sorted(spec.sources):
            if spec.sources[name].HasField("request_data_source"):
                yield spec.sources[name].request_data_source
        return
    for field in ("batch_source", "stream_source"):
        if spec.HasField(field):
            source = getattr(spec, field)
            yield source
            # A stream or push source is fed from a batch source of its own.
            if source.HasField("batch_source"):
                yield source.batch_source


def _reads(spec: Any) -> Iterator[str]:
    """The references that a view computes from."""
    if not spec.DESCRIPTOR.name.startswith("OnDemand"):
        for other in getattr(spec, "source_views", ()):
            yield from (f"{other.name}:{f.name}" for f in other.features)
        return
    for name in sorted(spec.sources):
        source = spec.sources[name]
        whole = source.feature_view.spec if source.HasField("feature_view") else None
        if whole is not None:
            yield from (f"{whole.name}:{f.name}" for f in whole.features)
        projection = source.feature_view_projection
        for column in projection.feature_columns:
            yield f"{projection.feature_view_name}:{column.name}"


def _service(spec: Any) -> RegistryService:
    refs = [f"{p.feature_view_name}:{c.name}" for p in spec.features for c in p.feature_columns]
    renamed = {
        p.feature_view_name_alias: p.feature_view_name
        for p in spec.features
        if p.feature_view_name_alias and p.feature_view_name_alias != p.feature_view_name
    }
    return RegistryService(
        spec.name, tuple(dict.fromkeys(refs)), renamed, spec.description, spec.owner
    )


def _name(source: Any) -> str:
    """A source's name; of one without, where it lies."""
    return source.name or source.file_options.uri or "unnamed source"


def _kind(source: Any) -> str:
    """`FileSource`, say."""
    return str(source.data_source_class_type).rpartition(".")[2] or "DataSource"
