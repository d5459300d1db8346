"""What a registry server lists of one project: its own proto mixes all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import client_limits

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
    from google.protobuf.message import Message


def everything(store: FeatureStore, now: bool) -> RegistryProto:
    """The store's project, object by object; `now`: its data sources, too."""
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

    found = RegistryProto()
    found.entities.extend(_listed(store, "Entities").entities)
    found.feature_services.extend(_listed(store, "FeatureServices").feature_services)
    if now:
        found.data_sources.extend(_listed(store, "DataSources").data_sources)
    # "All" of a caching registry lacks its label views (Feast 0.67).
    found.label_views.extend(_listed(store, "LabelViews").label_views)
    for one in _listed(store, "AllFeatureViews").feature_views:
        kind = one.WhichOneof("any_feature_view")
        if kind != "label_view":
            getattr(found, f"{kind}s").append(getattr(one, kind))
    return found


def _listed(store: FeatureStore, what: str) -> Message:
    """What a registry server lists of the store's project: protos, no objects made of them."""
    from feast.protos.feast.registry import RegistryServer_pb2

    request = getattr(RegistryServer_pb2, f"List{what}Request")
    registry: Any = store.registry
    ask = getattr(registry.stub, f"List{what}")
    # A server that was started again is waited for: gRPC pauses between its tries.
    # Past its own copy, which may miss what was just applied, for as long as that is kept.
    asked = request(project=store.project, allow_cache=False)
    return ask(asked, timeout=client_limits.SECONDS.get(), wait_for_ready=True)
