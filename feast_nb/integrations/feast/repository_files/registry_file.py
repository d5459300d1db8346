"""A registry kept in a file of ours, for who cannot reach it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ....errors import RepositoryError
from ..registry import Definitions, proto_of
from ..servers import store_door

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto


def written(store: FeatureStore) -> bytes:
    """The registry as it is now, to be kept in a file: `read_written` reads it.

    With the versions of views that a SQL registry keeps apart from its proto.
    """
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

    kept = RegistryProto()
    kept.CopyFrom(proto_of(store, now=True))
    apart = getattr(store.registry, "_get_version_snapshot", None)
    if apart is not None:
        store_door.answered(store, "registry", lambda: _add_versions(store, kept, apart))
    data: bytes = kept.SerializeToString(deterministic=True)
    return data


def _add_versions(store: FeatureStore, kept: RegistryProto, apart: Callable[..., Any]) -> None:
    project = store.project
    del kept.feature_view_version_history.records[:]
    for name in Definitions(kept, project, None).views:
        for told in store.registry.list_feature_view_versions(name, project):
            number = told["version_number"]
            kind, text = apart(name, project, number)
            kept.feature_view_version_history.records.add(
                feature_view_name=name, project_id=project, version_number=number,
                feature_view_type=kind, feature_view_proto=text,
            )  # fmt: skip


def read_written(data: bytes, project: str) -> Definitions:
    """What `written` kept; raises `RepositoryError` for anything else."""
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
    from google.protobuf.message import DecodeError

    found = RegistryProto()
    try:
        found.ParseFromString(data)
    except DecodeError:
        raise RepositoryError("it holds no registry of Feast's.") from None
    return Definitions(found, project, None)
