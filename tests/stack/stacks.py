"""Three stacks of one team: embedded, direct to its servers, and through an operator's remote ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..conftest import SERVERS, stats
from .feast_servers import FeatureServer, OfflineServer, RegistryServer
from .servers import Mlflow, ObjectStore, Postgres, Redis, Server

NAMES = ("embedded", "direct", "remote")

YAML = """\
project: {project}
provider: local
registry: {registry}
online_store: {online}
offline_store: {offline}
entity_key_serialization_version: 3
mlflow: {{enabled: true, auto_log_entity_df: true, tracking_uri: "{tracking}"}}
"""

FEATURES = """\
from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
source = FileSource(
    name="stats", path="{path}", timestamp_field="event_timestamp", s3_endpoint_override={endpoint}
)
hourly = FeatureView(
    name="hourly",
    entities=[driver],
    ttl=timedelta(days=3650),
    schema=[
        Field(name="driver_id", dtype=Int64),
        Field(name="conv_rate", dtype=Float32),
        Field(name="acc_rate", dtype=Float32),
        Field(name="trips", dtype=Int64),
    ],
    source=source,
)
bonus = RequestSource(name="bonus", schema=[Field(name="bonus", dtype=Int64)])


@on_demand_feature_view(sources=[hourly, bonus], schema=[Field(name="doubled", dtype=Float64)])
def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({{"doubled": inputs["trips"] * 2.0 + inputs["bonus"]}})


activity = FeatureService(name="activity", features=[hourly[["conv_rate", "trips"]], doubled])
"""


@dataclass
class Stack:
    """What a notebook of it has: a repository, the environment's variables, and no more.

    `servers` are by the name of their class; those of `direct` lie behind those of `remote`, too.
    """

    name: str
    repo: Path
    environment: dict[str, str] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)

    def server(self, name: str) -> Server:
        return self.servers[name]


@contextmanager
def started(folder: Path) -> Iterator[dict[str, Stack]]:
    """All three, and their servers, which are ended afterwards in the opposite order."""
    folder.chmod(0o711)
    servers: list[Server] = []

    def start(server: Server) -> Server:
        servers.append(server)
        server.start()
        return server

    try:
        yield _made(folder, start)
    finally:
        for server in reversed(servers):
            server.end()


def _made(folder: Path, start) -> dict[str, Stack]:
    data = folder / "stats.parquet"
    stats().to_parquet(data)
    (folder / "servers").mkdir(mode=0o711)
    place = folder / "servers"
    database = start(Postgres(place, ("direct", "remote", "mlflow")))
    redis, objects = start(Redis(place)), start(ObjectStore(place))
    mlflow = start(Mlflow(place, database.url("mlflow"), objects))
    path = objects.put("stats.parquet", data)
    behind = {type(s).__name__: s for s in (database, redis, objects, mlflow)}

    def on_servers(name: str) -> str:
        return YAML.format(
            project=name, tracking=mlflow.url, offline="{type: file}",
            registry=f'{{registry_type: sql, path: "{database.url(name)}", cache_ttl_seconds: 60}}',
            online=f'{{type: redis, connection_string: "{redis.address}"}}',
        )  # fmt: skip

    on_s3 = FEATURES.format(path=path, endpoint=repr(objects.url))
    embedded = YAML.format(
        project="embedded", registry="registry.db", offline="{type: duckdb}",
        online="{type: sqlite, path: online.db}", tracking="sqlite:///mlflow.db",
    )  # fmt: skip
    credentials = {k: v for k, v in objects.credentials().items() if not k.startswith("MLFLOW")}
    (served := place / "repository").mkdir()
    (served / "feature_store.yaml").write_text(on_servers("remote"))
    environment = {**os.environ, **SERVERS, **credentials}
    registry = start(RegistryServer(place, served, environment))
    online = start(FeatureServer(place, served, environment))
    offline = start(OfflineServer(place, served, environment))
    remote = YAML.format(
        project="remote", tracking=mlflow.url,
        registry=f'{{registry_type: remote, path: "{registry.address}"}}',
        online=f'{{type: remote, path: "{online.url}"}}',
        offline=f"{{type: remote, host: 127.0.0.1, port: {offline.port}}}",
    )  # fmt: skip
    front = {type(s).__name__: s for s in (registry, online, offline)}
    return {
        "embedded": _notebook(
            folder, "embedded", embedded, FEATURES.format(path=data, endpoint=None)
        ),
        "direct": _notebook(folder, "direct", on_servers("direct"), on_s3, credentials, behind),
        "remote": _notebook(folder, "remote", remote, on_s3, {}, {**behind, **front}),
    }


def _notebook(folder: Path, name: str, yaml: str, features: str,
              environment: dict[str, str] | None = None,
              servers: dict[str, Server] | None = None) -> Stack:  # fmt: skip
    repo = folder / name
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(yaml)
    (repo / "features.py").write_text(features)
    return Stack(name, repo, environment or {}, servers or {})
