"""A view's definition as a record: a hash for each of its parts, and what the hashes stand for.

Definitions are compared by these, so that a moved file is no changed feature: `schema`,
`entities`, `ttl`, `code`, `query` (what the source selects) and `location` (where the source
lies), and of a label view its `policy`. They are read from Feast's protos, whose on-demand code
is never run here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...masking import masked, masked_text, public_uri
from ...records.retrieval import NO_ENTITY, ViewDefinition
from .views import View, keyed, mlflow_origin, sources_of

if TYPE_CHECKING:
    from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
    from feast.protos.feast.core.LabelView_pb2 import LabelViewSpec

    from .views import ViewSpec


def view_records(
    views: Mapping[str, View], keys: Mapping[str, str] | None = None
) -> tuple[ViewDefinition, ...]:
    """Views as records, each under the name that the references use.

    `keys` are the entities' join keys, by which Feast asks the online store.
    """
    return tuple(_view_record(name, view, keys or {}) for name, view in views.items())


def _view_record(name: str, view: View, keys: Mapping[str, str]) -> ViewDefinition:
    number = view.current_version
    return ViewDefinition(
        name=name,
        view=view.view,
        kind=view.kind,
        version=str(number) if number or view.version is not None else None,
        hashes=hash_view(view.spec, keys),
        reads=tuple(ref for read in view.reads for ref in read.refs),
        unavailable=view.unavailable,
    )


def hash_view(spec: ViewSpec, keys: Mapping[str, str] | None = None) -> dict[str, str]:
    """One hash for each part of a view's definition, from its proto's `spec`."""
    present = {f.name for f in spec.DESCRIPTOR.fields}
    where, query = [], []
    for source in sources_of(spec) if "ttl" in present else ():
        location, selection = _source_parts(source)
        where.append(location)
        query.append(selection)
    parts: dict[str, object] = {
        "schema": sorted(
            # Feast keeps the fields of a struct in a tag
            (f.name, f.value_type, f.vector_length, f.tags.get("feast:struct_schema", ""))
            for f in spec.features
        ),
        "entities": [
            sorted(e for e in spec.entities if e != NO_ENTITY),
            sorted(
                (name, c.value_type)
                for name, c in keyed(spec.entities, spec.entity_columns, keys or {})
                if not c.name.startswith(NO_ENTITY)
            ),
        ],
        "ttl": spec.ttl.ToSeconds() if "ttl" in present else None,
        "code": _code(spec, present),
        "query": query,
        "location": where,
    }
    if "conflict_policy" in present:
        parts["policy"] = _label_policy(spec)
    return {name: _hash(value) for name, value in parts.items()}


def _label_policy(spec: LabelViewSpec) -> dict[str, object]:
    """Which of several labels of one row is the one."""
    names = spec.DESCRIPTOR.fields_by_name["conflict_policy"].enum_type.values_by_number
    return {
        "conflict": names[spec.conflict_policy].name,
        "labeler": spec.labeler_field,
        "history": bool(spec.retain_history),
    }


def _code(spec: ViewSpec, present: set[str]) -> list[str]:
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


def _source_parts(source: DataSourceProto) -> tuple[dict[str, object], dict[str, object]]:
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
    if (origin := mlflow_origin(source)) is not None:  # another run's file is other data
        selection["mlflow"] = [origin.kind, origin.name, origin.artifact]
    return {"type": fields.get("type"), **location}, selection


def source_lines(source: DataSourceProto) -> list[str]:
    """Where a source lies and what it selects, a line for each setting that it has."""
    location, selection = _source_parts(source)
    settings = _public({**location, **selection})
    return [f"{name}: {value}" for name, value in settings.items() if value]


_parts: dict[str, object] = {}  # hash → the part of a definition that it stands for, as JSON has it


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    found = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    if found not in _parts:
        _parts[found] = _public(json.loads(text))
    return found


def _public(value: Any) -> Any:
    """A part of a definition without the passwords that addresses may hold."""
    if isinstance(value, dict):
        return {k: _public(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_public(v) for v in value]
    if not isinstance(value, str):
        return value
    return masked(value) if "\n" in value else masked_text(public_uri(value) or "")


def parts_of(views: Iterable[ViewDefinition]) -> dict[str, object]:
    """What the hashes of views stand for, as far as this process has seen it."""
    hashes = (h for view in views for h in view.hashes.values())
    return {h: _parts[h] for h in hashes if h in _parts}
