"""What the registry says, as records: references, services, views and hashes of their definitions.

Definitions are compared by hashes of their parts, so that a moved file is no changed feature:
`schema`, `entities`, `ttl`, `code`, `query` (what the source selects) and `location` (where the
source lies). They are read from Feast's protos, whose on-demand code is never run here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ..errors import FeatureError, nearest
from ..records import Repository, Source, View, public_uri
from .store import settings_of


def refs_of(store: Any, features: Any) -> tuple[str, ...]:
    """The references that `features` (a list, or a feature service) stands for, in its order."""
    from feast import utils

    return tuple(utils._get_features(store.registry, store.project, features, allow_cache=True))


def service_of(
    store: Any, features: Any, refs: Sequence[str]
) -> tuple[str | None, Literal["given", "exact", "none"], tuple[str, ...]]:
    """The service that a retrieval truly used, how that is known, and all that would fit.

    A list of references is a service's only where it is exactly one service's; where two services
    hold the same features it is neither's, and both are named.
    """
    from feast import FeatureService

    if isinstance(features, FeatureService):
        return features.name, "given", (features.name,)
    services = store.registry.list_feature_services(store.project, allow_cache=True)
    fitting = tuple(sorted(s.name for s in services if set(service_refs(s)) == set(refs)))
    if len(fitting) == 1:
        return fitting[0], "exact", fitting
    return None, "none", fitting


def service_refs(service: Any) -> tuple[str, ...]:
    """A service's references, in its order."""
    return tuple(
        f"{p.name_to_use()}:{f.name}" for p in service.feature_view_projections for f in p.features
    )


def views_of(store: Any, features: Any, refs: Sequence[str]) -> dict[str, Any]:
    """Feast's own view for each view name in `refs`, in first-seen order.

    A service may rename a view (`with_name`) and its join keys; the name is the one in the
    references.
    """
    projections = {
        p.name_to_use(): p for p in getattr(features, "feature_view_projections", None) or ()
    }
    found: dict[str, Any] = {}
    for ref in refs:
        name = ref.partition(":")[0]
        if name not in found:
            projection = projections.get(name)
            plain = projection.name if projection else name.partition("@")[0]
            view = store.registry.get_any_feature_view(plain, store.project, allow_cache=True)
            if projection is not None and projection.join_key_map:
                view = view.with_join_key_map(projection.join_key_map)
            found[name] = view
    return found


def view_records(views: Mapping[str, Any]) -> tuple[View, ...]:
    """Feast's views as records, each under the name that the references use."""
    return tuple(_view_record(name, view) for name, view in views.items())


def _view_record(name: str, view: Any) -> View:
    proto = view.to_proto()
    kind: Literal["batch", "stream", "on_demand"] = "batch"
    if type(view).__name__ == "OnDemandFeatureView":
        kind = "on_demand"
    elif type(view).__name__ == "StreamFeatureView":
        kind = "stream"
    number = getattr(proto.meta, "current_version_number", 0)
    return View(name, view.name, kind, str(number) if number else None, hashes_of(proto.spec))


def hashes_of(spec: Any) -> dict[str, str]:
    """One hash for each part of a view's definition, from its proto's `spec`."""
    present = {f.name for f in spec.DESCRIPTOR.fields}
    where, query = [], []
    for field in ("batch_source", "stream_source"):
        if field in present and spec.HasField(field):
            location, selection = _source_parts(getattr(spec, field))
            where.append(location)
            query.append(selection)
    parts: dict[str, Any] = {
        "schema": sorted(
            # Feast keeps the fields of a struct in a tag
            (f.name, f.value_type, f.vector_length, f.tags.get("feast:struct_schema", ""))
            for f in spec.features
        ),
        "entities": [
            sorted(spec.entities),
            sorted((c.name, c.value_type) for c in spec.entity_columns),
        ],
        "ttl": spec.ttl.ToSeconds() if "ttl" in present else None,
        "code": _code(spec, present),
        "query": query,
        "location": where,
    }
    return {name: _hash(value) for name, value in parts.items()}


def _code(spec: Any, present: set[str]) -> list[str]:
    """The text of a transformation and what it reads; compiled bodies differ between Pythons."""
    code = []
    if "feature_transformation" in present:
        code.append(spec.feature_transformation.user_defined_function.body_text)
        plan = spec.feature_transformation.substrait_transformation.substrait_plan
        code.append(base64.b64encode(plan).decode())
    if "user_defined_function" in present:
        code.append(spec.user_defined_function.body_text)
    if "mode" in present:
        code.append(str(spec.mode))
    if "aggregations" in present:
        code += [str(a) for a in spec.aggregations]
    if "sources" in present and spec.DESCRIPTOR.name == "OnDemandFeatureViewSpec":
        for name in sorted(spec.sources):
            projection = spec.sources[name].feature_view_projection
            asked = spec.sources[name].request_data_source.request_data_options.schema
            code.append(f"{name}:{sorted(f.name for f in projection.feature_columns)}")
            code.append(f"{name}:{sorted((f.name, f.value_type) for f in asked)}")
    return code


def _source_parts(source: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A data source as (where it lies, what it selects)."""
    from google.protobuf.json_format import MessageToDict

    fields = MessageToDict(source, preserving_proto_field_name=True)
    selection = {
        key: fields.get(key)
        for key in ("timestamp_field", "created_timestamp_column", "field_mapping")
    }
    options = fields.get(source.WhichOneof("options") or "", {})
    if "configuration" in options:  # a custom source keeps its settings as JSON in bytes
        try:
            options = json.loads(base64.b64decode(options["configuration"]))
        except ValueError:
            pass
    location = dict(options) if isinstance(options, dict) else {"options": options}
    selection["query"] = location.pop("query", None)
    return {"type": fields.get("type"), **location}, selection


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def join_keys_of(store: Any, views: Iterable[Any]) -> tuple[str, ...]:
    """The entity keys that a retrieval needs, on-demand views' inputs included."""
    keys: dict[str, None] = {}
    for view in views:
        for projection in getattr(view, "source_feature_view_projections", {}).values():
            source = store.registry.get_any_feature_view(
                projection.name, store.project, allow_cache=True
            )
            keys.update(dict.fromkeys(join_keys_of(store, [source])))
        mapping = getattr(view.projection, "join_key_map", {})
        for column in getattr(view, "entity_columns", ()):
            if not column.name.startswith("__dummy"):
                keys[mapping.get(column.name, column.name)] = None
    return tuple(keys)


def request_fields_of(views: Iterable[Any]) -> tuple[str, ...]:
    """The columns that on-demand views take from the caller."""
    fields: dict[str, None] = {}
    for view in views:
        if hasattr(view, "get_request_data_schema"):
            fields.update(dict.fromkeys(view.get_request_data_schema()))
    return tuple(fields)


def types_of(
    views: Mapping[str, Any], refs: Sequence[str], full_feature_names: bool
) -> dict[str, Any]:
    """Result column → the Arrow type that Feast declares for it, lists left as they come."""
    from feast.type_map import feast_value_type_to_pa

    types = {}
    for ref in refs:
        name, _, feature = ref.partition(":")
        for declared in views[name].features:
            if declared.name == feature:
                column = f"{name.partition('@')[0]}__{feature}" if full_feature_names else feature
                try:
                    types[column] = feast_value_type_to_pa(declared.dtype.to_value_type())
                except (KeyError, TypeError, AttributeError):
                    continue  # a type without one Arrow twin (a struct, an image): as it comes
    return types


def sources_of(views: Iterable[Any], repo: Path | None) -> tuple[Source, ...]:
    """What identifies each view's batch source now: for files their size and time of change."""
    found = {}
    for view in views:
        source = getattr(view, "batch_source", None)
        if source is None:
            continue
        path = getattr(source, "path", None) or None
        size = modified = None
        if path and "://" not in path:
            local = Path(path) if Path(path).is_absolute() or repo is None else repo / path
            if local.is_file():
                stat = local.stat()
                size = stat.st_size
                modified = datetime.fromtimestamp(stat.st_mtime, UTC).isoformat()
        kind = type(source).__name__
        found[source.name] = Source(source.name, kind, public_uri(path), size, modified)
    return tuple(found.values())


def repository(store: Any, yaml: Path) -> Repository:
    """What a feature repository holds."""
    config = store.config
    settings = getattr(config, "mlflow", None)
    tracking = settings.get_tracking_uri() if settings else None
    block = {k: getattr(settings, k) for k in _SHOWN} if settings else {"enabled": False}
    return Repository(
        project=store.project,
        path=str(yaml.parent),
        registry=public_uri(str(getattr(config.registry, "path", config.registry))) or "",
        offline_store=str(getattr(config.offline_store, "type", "")).rpartition(".")[2],
        online_store=str(getattr(config.online_store, "type", "none")).rpartition(".")[2],
        tracking_uri=public_uri(tracking),
        ui_url=public_uri(settings.get_ui_url()) if settings else None,
        mlflow=block,
        entities=tuple(sorted(e.name for e in store.list_entities() if e.name != "__dummy")),
        views={v.name: tuple(f.name for f in v.features) for v in all_views(store)},
        services={s.name: service_refs(s) for s in sorted(_services(store), key=lambda s: s.name)},
        warnings=_repository_warnings(store),
    )


_SHOWN = (
    "enabled",
    "auto_log",
    "auto_log_entity_df",
    "entity_df_max_rows",
    "log_operations",
    "ops_experiment_suffix",
)


def all_views(store: Any) -> list[Any]:
    """Batch, stream and on-demand views of the project, by name."""
    registry = store.registry
    return sorted(
        registry.list_all_feature_views(store.project, allow_cache=True), key=lambda v: v.name
    )


def _services(store: Any) -> list[Any]:
    found: list[Any] = store.registry.list_feature_services(store.project, allow_cache=True)
    return found


def _repository_warnings(store: Any) -> tuple[str, ...]:
    said = []
    if settings_of(store) is None:
        said.append(
            "MLflow is off here: runs and recording need `mlflow: {enabled: true}` in "
            "feature_store.yaml."
        )
    if str(getattr(store.config.offline_store, "type", "")).endswith(("file", "dask")):
        said.append(
            "the offline store `file` (dask) drops training rows that have no value within the "
            "TTL; `offline_store: {type: duckdb}` keeps them as nulls and is several times faster."
        )
    return tuple(said)


def service_named(store: Any, name: str) -> Any:
    """The feature service of that name; raises `FeatureError` that names the nearest."""
    from feast.errors import FeatureServiceNotFoundException

    try:
        return store.get_feature_service(name)
    except FeatureServiceNotFoundException:
        known = [s.name for s in _services(store)]
        hint = nearest(name, known) or "this repository has none."
        raise FeatureError(f"no feature service {name}; {hint}") from None


def check_collisions(refs: Sequence[str]) -> None:
    """Raise `FeatureError` where two views give a column of the same name."""
    seen: dict[str, str] = {}
    for ref in refs:
        view, _, feature = ref.partition(":")
        if seen.setdefault(feature, view) != view:
            raise FeatureError(
                f"{feature} is in both {seen[feature]} and {view}; add --full-feature-names to "
                "tell them apart."
            )


def check_refs(store: Any, refs: Sequence[str]) -> None:
    """Raise `FeatureError` for the first reference that names nothing, with the nearest one."""
    known = {v.name: [f.name for f in v.features] for v in all_views(store)}
    for ref in refs:
        view, colon, feature = ref.partition(":")
        view = view.partition("@")[0]
        if not colon:
            raise FeatureError(f"{ref} is no reference; write view:feature.")
        if view not in known:
            raise FeatureError(f"no feature view {view} for {ref}; {nearest(view, known)}")
        if feature not in known[view]:
            hint = nearest(feature, known[view])
            raise FeatureError(f"view {view} has no feature {feature}; {hint}")
