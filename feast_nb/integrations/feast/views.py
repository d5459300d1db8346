"""A feature view as its registry defines it, of whichever kind: read from its proto, never run.

Feast's own objects are shared within a process, and Feast changes them in place (it empties the
entities of a view that has none); their protos stay what was applied.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from ...records.facts import SourceOrigin
from ...records.references import split_version
from ...records.retrieval import NO_ENTITY, ViewKind

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.protos.feast.core import FeatureView_pb2 as batch
    from feast.protos.feast.core import LabelView_pb2 as label
    from feast.protos.feast.core import OnDemandFeatureView_pb2 as on_demand
    from feast.protos.feast.core import StreamFeatureView_pb2 as stream
    from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
    from feast.protos.feast.core.Feature_pb2 import FeatureSpecV2
    from feast.protos.feast.core.FeatureService_pb2 import FeatureServiceSpec
    from feast.protos.feast.core.FeatureViewProjection_pb2 import (
        FeatureViewProjection as FeatureViewProjectionProto,
    )
    from google.protobuf.message import Message

    ViewProto: TypeAlias = (
        batch.FeatureView
        | stream.StreamFeatureView
        | on_demand.OnDemandFeatureView
        | label.LabelView
    )
    ViewSpec: TypeAlias = (
        batch.FeatureViewSpec
        | stream.StreamFeatureViewSpec
        | on_demand.OnDemandFeatureViewSpec
        | label.LabelViewSpec
    )

# The registry's lists of views, each with what its views are called here. A test compares them
# with Feast's own proto, so that a kind which a newer Feast has is not passed over.
KINDS: Mapping[str, ViewKind] = {
    "feature_views": "batch",
    "stream_feature_views": "stream",
    "on_demand_feature_views": "on_demand",
    "label_views": "label",
}
_STREAMS = ("PUSH_SOURCE", "STREAM_KAFKA", "STREAM_KINESIS")


@dataclass(frozen=True)
class ReadView:
    """What an on-demand view takes from another: `name` is the one that it reads it by."""

    name: str
    view: str
    features: tuple[str, ...]

    @property
    def refs(self) -> tuple[str, ...]:
        return tuple(f"{self.name}:{feature}" for feature in self.features)

    @property
    def address(self) -> str:
        """Its registered name, with the version where one is pinned."""
        version = split_version(self.name)[1]
        return self.view if version is None else f"{self.view}@v{version}"


@dataclass(frozen=True)
class View:
    """A view under the `name` by which references call it, at a `version` where one is pinned.

    `message` is its proto (`spec` and `meta`); `join_key_map` is what a service makes of its join
    keys (registered → asked for). `serves_while_filled`: Feast serves it while it is materialized.
    """

    name: str
    kind: ViewKind
    message: ViewProto
    version: int | None = None
    join_key_map: Mapping[str, str] = field(default_factory=dict)
    serves_while_filled: bool = False

    @property
    def spec(self) -> ViewSpec:
        return self.message.spec

    @property
    def view(self) -> str:
        """Its name in the registry."""
        return str(self.spec.name)

    @property
    def features(self) -> Sequence[FeatureSpecV2]:
        """The protos of its features, in order: `name`, `value_type`, `description`."""
        found: Sequence[FeatureSpecV2] = self.spec.features
        return found

    @property
    def current_version(self) -> int:
        """The number of the version that it is; 0 for the first, and where none are counted."""
        if self.version is not None:
            return self.version
        return int(getattr(self.message.meta, "current_version_number", 0))

    @property
    def applied_at(self) -> datetime | None:
        """When it was applied, or loaded, last, by the registry's clock; None where it says not."""
        return moment_of(self.message)

    @property
    def is_timed(self) -> bool:
        """Whether its values have moments of their own: an on-demand view's have none."""
        return "ttl" in self.spec.DESCRIPTOR.fields_by_name

    @property
    def ttl(self) -> float:
        """Seconds; 0 where its values never expire."""
        return float(self.spec.ttl.ToMilliseconds() / 1000) if self.is_timed else 0.0

    @property
    def loaded_to(self) -> datetime | None:
        """Up to which event time it was materialized; None where it never was."""
        return max((end for _, end in self.loads), default=None)

    @property
    def loads(self) -> tuple[tuple[datetime, datetime], ...]:
        """The ranges of event times that were materialized, by their ends."""
        spans = getattr(self.message.meta, "materialization_intervals", ())
        found = ((s.start_time.ToDatetime(UTC), s.end_time.ToDatetime(UTC)) for s in spans)
        return tuple(sorted(found, key=lambda span: span[1]))

    @property
    def is_streamed(self) -> bool:
        """Whether values are pushed or streamed to it: the registry does not tell of those."""
        kinds = {source.SourceType.Name(source.type) for source in sources_of(self.spec)}
        return bool(kinds & set(_STREAMS))

    @property
    def is_loaded(self) -> bool:
        """Whether Feast's materialization loads it: those online, but for label views."""
        if not self.is_timed:
            return bool(getattr(self.spec, "write_to_online_store", False))
        return self.kind != "label" and bool(getattr(self.spec, "online", False))

    @cached_property
    def batch_source(self) -> DataSource | None:
        """Where its history lies, as Feast's `DataSource`; None for an on-demand view."""
        from feast.data_source import DataSource

        proto = self.batch_proto
        return DataSource.from_proto(proto) if proto is not None else None

    @property
    def batch_proto(self) -> DataSourceProto | None:
        """The proto of its batch source; of one that is pushed or streamed to, that behind it."""
        for source in sources_of(self.spec):
            streamed = source.SourceType.Name(source.type) in _STREAMS
            if streamed and source.HasField("batch_source"):
                return source.batch_source
            return source if self.is_timed else None
        return None

    @property
    def reads(self) -> tuple[ReadView, ...]:
        """The views that it computes from."""
        return tuple(_reads(self.spec))

    @property
    def inputs(self) -> tuple[ReadView, ...]:
        """The views that an on-demand view is computed from at every retrieval."""
        return () if self.is_timed else self.reads

    @property
    def request_fields(self) -> tuple[str, ...]:
        """The columns that it takes from the caller."""
        if self.is_timed:
            return ()
        asked = (s.request_data_options.schema for s in sources_of(self.spec))
        return tuple(dict.fromkeys(f.name for schema in asked for f in schema))

    @property
    def is_singleton(self) -> bool:
        """Whether its code takes one row at a time."""
        return bool(getattr(self.spec, "singleton", False))

    @property
    def unavailable(self) -> str | None:
        """Why Feast does not serve it now: it is disabled, or in a state before it can."""
        if getattr(self.spec, "disabled", False):
            return "disabled"
        states = self.message.meta.DESCRIPTOR.fields_by_name.get("state")
        if states is None:
            return None
        name = str(states.enum_type.values_by_number[self.message.meta.state].name)
        served = name.endswith(("UNSPECIFIED", "AVAILABLE_ONLINE"))
        served = served or (self.serves_while_filled and name.endswith("MATERIALIZING"))
        return None if served else f"in state {name}"

    def join_keys(self, registered: Mapping[str, str]) -> tuple[str, ...]:
        """Its own join keys as a caller gives them; `registered` maps entities to join keys."""
        columns = keyed(self.spec.entities, self.spec.entity_columns, registered)
        own = [name for name, column in columns if not column.name.startswith(NO_ENTITY)]
        return tuple(self.join_key_map.get(name, name) for name in own)


def moment_of(message: Any) -> datetime | None:
    """When an object of the registry was applied last; None where it says not."""
    if not message.meta.HasField("last_updated_timestamp"):
        return None
    at: datetime = message.meta.last_updated_timestamp.ToDatetime(UTC)
    return at


def keyed(
    entities: Sequence[str], columns: Sequence[FeatureSpecV2], keys: Mapping[str, str]
) -> list[tuple[str, FeatureSpecV2]]:
    """A view's entity columns with the join keys that its entities have now."""
    if len(entities) != len(columns):
        return [(c.name, c) for c in columns]
    return [(keys.get(e, c.name), c) for e, c in zip(entities, columns, strict=True)]


def sources_of(spec: Message) -> Iterator[DataSourceProto]:
    """The data sources of a view, the batch source first; of an on-demand view its requests'."""
    fields = spec.DESCRIPTOR.fields_by_name
    if "sources" in fields:
        for name in sorted(spec.sources):
            if spec.sources[name].HasField("request_data_source"):
                yield spec.sources[name].request_data_source
        return
    for name in ("batch_source", "source", "stream_source"):
        if name in fields and spec.HasField(name):
            yield getattr(spec, name)


def _reads(spec: Message) -> Iterator[ReadView]:
    fields = spec.DESCRIPTOR.fields_by_name
    if "sources" not in fields:
        for other in getattr(spec, "source_views", ()):
            yield ReadView(other.name, other.name, tuple(f.name for f in other.features))
        return
    for name in sorted(spec.sources):
        source = spec.sources[name]
        if source.HasField("feature_view"):
            whole = source.feature_view.spec
            yield ReadView(whole.name, whole.name, tuple(f.name for f in whole.features))
        if source.HasField("feature_view_projection"):
            read = source.feature_view_projection
            columns = tuple(f.name for f in read.feature_columns)
            yield ReadView(name_in_refs(read), read.feature_view_name, columns)


def mlflow_origin(source: DataSourceProto) -> SourceOrigin | None:
    """What of MLflow's a source is made of (Feast's `MlflowDatasetSource`): a dataset, or a file
    of a run.
    """
    if not str(source.data_source_class_type).endswith(".MlflowDatasetSource"):
        return None
    try:
        kept = json.loads(source.custom_options.configuration)
    except ValueError:
        return None
    if kept.get("run_id"):
        return SourceOrigin("run", str(kept["run_id"]), str(kept.get("artifact_path") or ""))
    named = kept.get("dataset_name") or kept.get("dataset_id")
    return SourceOrigin("dataset", str(named)) if named else None


def name_in_refs(projection: FeatureViewProjectionProto) -> str:
    """The name that references use for a view in a service, or in an on-demand view's sources."""
    base = projection.feature_view_name_alias or projection.feature_view_name
    pinned = projection.HasField("version_tag")
    return f"{base}@v{projection.version_tag}" if pinned else str(base)


@cache
def dtype_named(number: int) -> str:
    """Feast's name of a type: `Float64`."""
    from feast.types import from_value_type
    from feast.value_type import ValueType

    try:
        return str(from_value_type(ValueType(number)))
    except (ValueError, KeyError):
        return "unknown"


def refs_of_service(spec: FeatureServiceSpec) -> tuple[str, ...]:
    """A service's references, in its order, from its proto's `spec`."""
    return tuple(f"{name_in_refs(p)}:{c.name}" for p in spec.features for c in p.feature_columns)
