"""Whether a source has what a view declares of it: its columns, and the kinds of their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....records.answers import Grade
from ..views import View, dtype_named

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.data_source import DataSource
    from google.protobuf.message import Message

_KINDS = {"Int32": "number", "Int64": "number", "Float32": "number", "Float64": "number",
          "String": "text", "Bool": "bool", "UnixTimestamp": "moment"}  # fmt: skip


def fault_of(store: FeatureStore, view: View) -> tuple[Grade, str] | None:
    """What a view declares that its source has not; raises what the source's driver raises."""
    source = view.batch_source
    assert source is not None
    return _fault(view, source, dict(source.get_table_column_names_and_types(store.config)))


def _fault(view: View, source: DataSource, columns: dict[str, str]) -> tuple[Grade, str] | None:
    own = {new: old for old, new in (source.field_mapping or {}).items()}
    moment = source.timestamp_field
    if moment and own.get(moment, moment) not in columns and moment not in columns:
        return "breaks serving", f"its source has no column {moment}, the timestamp field"
    if is_computed(view):  # its features are made of other columns
        return None
    for feature in view.features:
        column = own.get(feature.name, feature.name)
        if column not in columns:
            return (
                "breaks serving",
                f"its source has no column {column} ({view.name}:{feature.name})",
            )
    kinds = source.source_datatype_to_feast_value_type()
    for feature in view.features:
        declared = dtype_named(feature.value_type)
        column = own.get(feature.name, feature.name)
        try:
            held = dtype_named(kinds(columns[column]).value)
        except (ValueError, KeyError, TypeError, AttributeError):  # of a type that Feast's own
            # table does not know nothing is claimed
            continue
        one, other = _KINDS.get(declared), _KINDS.get(held)
        if one and other and one != other:
            why = f"{view.name}:{feature.name} is declared {declared}, its source has {held}"
            return "needs retraining", why
    return None


def is_computed(view: View) -> bool:
    """Whether a transformation, an aggregation or other views give its features."""
    spec: Message = view.spec
    fields = spec.DESCRIPTOR.fields_by_name
    single = ("feature_transformation", "user_defined_function")
    return any(name in fields and spec.HasField(name) for name in single) or any(
        name in fields and len(getattr(spec, name)) > 0 for name in ("aggregations", "source_views")
    )
