"""Feast's three servers in front of a repository, in the clear or with a certificate."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from .servers import Server


@dataclass(frozen=True)
class Certificate:
    """A server's certificate for the loopback with its key, and whose word a client takes for it."""

    chain: Path
    key: Path
    authority: Path

    @classmethod
    def made(cls, folder: Path) -> Certificate:
        """One of an authority of its own."""
        import trustme

        folder.mkdir()
        authority = trustme.CA()
        own = authority.issue_cert("127.0.0.1")
        made = cls(folder / "server.pem", folder / "server.key", folder / "authority.pem")
        own.private_key_pem.write_to_path(made.key)
        made.chain.write_bytes(b"".join(part.bytes() for part in own.cert_chain_pems))
        authority.cert_pem.write_to_path(made.authority)
        return made


class FeastServer(Server):
    """One of Feast's servers in front of a repository."""

    SERVE: tuple[str, ...] = ()

    def __init__(
        self,
        folder: Path,
        repo: Path,
        environment: Mapping[str, str],
        certificate: Certificate | None = None,
    ) -> None:
        super().__init__(folder, environment)
        self._repo = repo
        self.certificate = certificate

    def command(self) -> list[str]:
        return [sys.executable, *self.program(), "-c", str(self._repo), *self.SERVE,
                str(self.port), *self.secured()]  # fmt: skip

    def program(self) -> tuple[str, ...]:
        return ("-m", "feast.cli.cli")

    def secured(self) -> tuple[str, ...]:
        own = self.certificate
        return ("--key", str(own.key), "--cert", str(own.chain)) if own else ()


class FeatureServer(FeastServer):
    # Without --max-requests 0 its worker is made anew every thousand requests.
    SERVE = ("serve", "--host", "127.0.0.1", "--no-access-log", "--max-requests", "0", "--port")

    @property
    def url(self) -> str:
        return f"http{'s' if self.certificate else ''}://{self.address}"

    def is_up(self) -> bool:
        own = self.certificate
        trusted = ssl.create_default_context(cafile=own.authority) if own else None
        try:
            with urlopen(f"{self.url}/health", timeout=10, context=trusted) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


# Feast's registry server listens on every interface, and has no option for it.
_ON_THE_LOOPBACK = """
import grpc, sys
made = grpc.server
def server(*args, **kwargs):
    one = made(*args, **kwargs)
    add, secured = one.add_insecure_port, one.add_secure_port
    one.add_insecure_port = lambda address: add(address.replace("[::]", "127.0.0.1"))
    one.add_secure_port = lambda address, *own: secured(address.replace("[::]", "127.0.0.1"), *own)
    return one
grpc.server = server
from feast.cli.cli import cli
cli()
"""


class RegistryServer(FeastServer):
    SERVE = ("serve_registry", "--port")

    def program(self) -> tuple[str, ...]:
        return ("-c", _ON_THE_LOOPBACK)

    def is_up(self) -> bool:
        import grpc

        channel = grpc.insecure_channel(self.address)
        if self.certificate:
            trusted = grpc.ssl_channel_credentials(self.certificate.authority.read_bytes())
            channel = grpc.secure_channel(self.address, trusted)
        with channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=1)
            except grpc.FutureTimeoutError:
                return False
        return True


class OfflineServer(FeastServer):
    SERVE = ("serve_offline", "--host", "127.0.0.1", "--port")

    def is_up(self) -> bool:
        import pyarrow.flight as flight

        address, own = f"grpc://{self.address}", {}
        if self.certificate:
            address = f"grpc+tls://{self.address}"
            own = {"tls_root_certs": self.certificate.authority.read_bytes()}
        with flight.connect(address, **own) as client:
            try:
                client.wait_for_available(timeout=1)
            except flight.FlightServerError:
                return True  # it asks who we are
            except (flight.FlightError, OSError):
                return False
        return True
