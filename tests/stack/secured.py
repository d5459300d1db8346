"""Feast's servers as they stand in a team: with certificates of their own, and asking who one is.

Behind them lie files and SQLite: it is the way to them that is tried.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..conftest import SERVERS, STARTUP, answers, stats
from .feast_servers import Certificate, FeastServer, FeatureServer, OfflineServer, RegistryServer
from .identity_provider import CLIENT, SECRET, USERS
from .servers import Server
from .stacks import FEATURES

PERMISSIONS = """
from feast import Project
from feast.feast_object import ALL_RESOURCE_TYPES
from feast.permissions.action import ALL_ACTIONS, AuthzedAction
from feast.permissions.permission import Permission
from feast.permissions.policy import RoleBasedPolicy

engineers = Permission(
    name="engineers", types=ALL_RESOURCE_TYPES, policy=RoleBasedPolicy(roles=["engineer"]),
    actions=ALL_ACTIONS,
)
readers = Permission(
    name="readers", types=ALL_RESOURCE_TYPES, policy=RoleBasedPolicy(roles=["reader", "engineer"]),
    actions=[AuthzedAction.DESCRIBE],
)
"""
YAML = """\
project: secured
provider: local
registry: {registry}
online_store: {online}
offline_store: {offline}
entity_key_serialization_version: 3
auth: {auth}
mlflow: {{enabled: true, auto_log_entity_df: true, tracking_uri: "sqlite:///mlflow.db"}}
"""


PROJECT = Path(__file__).resolve().parents[2]


class IdentityProvider(Server):
    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.stack.identity_provider", str(self.port)]

    @property
    def discovery(self) -> str:
        return f"http://{self.address}/.well-known/openid-configuration"

    def is_up(self) -> bool:
        return answers(self.discovery)


@dataclass
class Secured:
    """The servers, and how a notebook of a user's is set up before them."""

    folder: Path
    identity: IdentityProvider
    registry: FeastServer
    online: FeastServer
    offline: FeastServer

    def notebook(
        self, name: str, auth: str = "", cert: Path | None = None, scheme: str = "https"
    ) -> Path:
        """A repository of `name`'s, who is ana, ben or eve unless `auth` says another."""
        assert self.registry.certificate
        trusted = cert or self.registry.certificate.authority
        repo = self.folder / "notebooks" / name
        repo.mkdir(parents=True)
        tls = f', cert: "{trusted}"' if scheme == "https" else ""
        settings = YAML.format(
            registry=f'{{registry_type: remote, path: "{self.registry.address}"{tls}}}',
            online=f'{{type: remote, path: "{scheme}://{self.online.address}"{tls}}}',
            offline=f"{{type: remote, host: 127.0.0.1, port: {self.offline.port}, "
            f"scheme: {scheme}{tls}}}",
            auth=auth or self.by_password(name),
        )
        (repo / "feature_store.yaml").write_text(settings)
        (repo / "features.py").write_text((self.folder / "served" / "features.py").read_text())
        return repo

    def by_password(self, name: str, password: str = "") -> str:
        return (
            f"{{type: oidc, client_id: {CLIENT}, client_secret: {SECRET}, auth_discovery_url: "
            f'"{self.identity.discovery}", username: {name}, '
            f"password: {password or USERS[name][0]}}}"
        )


@contextmanager
def started(folder: Path) -> Iterator[Secured]:
    """All of them; ended afterwards."""
    outside = ("AWS_", "MLFLOW_", "FEAST_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(outside)}
    environment |= SERVERS | {"PYTHONPATH": os.pathsep.join([STARTUP, str(PROJECT)])}
    (place := folder / "servers").mkdir()
    servers: list[Server] = []

    def start(server: Server) -> Server:
        servers.append(server)
        server.start()
        return server

    try:
        identity = IdentityProvider(place, environment)
        start(identity)
        served = _repository(folder, identity)
        own = Certificate.made(folder / "certificate")
        kinds = (RegistryServer, FeatureServer, OfflineServer)
        made = [kind(place, served, environment, own) for kind in kinds]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(start, made))
        yield Secured(folder, identity, *made)
    finally:
        for server in reversed(servers):
            server.end()


def _repository(folder: Path, identity: IdentityProvider) -> Path:
    """What is served, applied by who runs the servers: permissions stand in its registry."""
    repo = folder / "served"
    repo.mkdir()
    stats().to_parquet(repo / "stats.parquet")
    auth = f'{{type: oidc, client_id: {CLIENT}, auth_discovery_url: "{identity.discovery}"}}'
    settings = YAML.format(
        registry=f'"{repo / "registry.db"}"', online=f'{{type: sqlite, path: "{repo}/online.db"}}',
        offline="{type: duckdb}", auth=auth,
    )  # fmt: skip
    (repo / "feature_store.yaml").write_text(settings)
    (repo / "features.py").write_text(
        FEATURES.format(path=repo / "stats.parquet", endpoint=None) + PERMISSIONS
    )
    command = [sys.executable, "-m", "feast.cli.cli", "-c", str(repo), "apply"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repo)
    assert done.returncode == 0, done.stdout + done.stderr
    return repo
