"""The servers of a real stack, on free ports of the loopback: started, stopped, hung and restarted.

Each has a folder and a session of its own, and is ended by its process id and no other way.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from ..conftest import SERVERS, answers, free_port, wait_for

KEY, SECRET, BUCKETS = "the-key", "the-secret", ("features", "mlflow")


def installed(program: str, package: str) -> str:
    """A program's path; fails with the system's package that has it."""
    places = [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which(program) or shutil.which(program, path=os.pathsep.join(places))
    assert found, f"install the system's package {package}"
    return found


class Server:
    """One server; `address` is what its clients are given."""

    START = 90  # seconds

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder / type(self).__name__.lower()
        self.folder.mkdir()
        self.port = free_port()
        self.environment = {**os.environ, **(environment or {})}
        self.owner: dict[str, Any] = {}  # of the process, where it is not whoever runs the tests

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_up(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        self._begin()

    def _begin(self) -> None:
        with (self.folder / "log").open("ab") as out:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder,
                env=self.environment, start_new_session=True, **self.owner,
            )  # fmt: skip
        wait_for(self._is_up_or_ended, self.START, f"{type(self).__name__}: {self.folder / 'log'}")

    def _is_up_or_ended(self) -> bool:
        code = self.process.poll()
        assert code is None, f"ended with {code}: {self.folder / 'log'}"
        return self.is_up()

    def signal(self, number: int) -> None:
        """To it and all that came of it: PostgreSQL's are in sessions of their own."""
        try:
            first = psutil.Process(self.process.pid)
            family = [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    def end(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait(timeout=60)


class Postgres(Server):
    """With a database for each name; refuses to run as root, so that a root starts it as postgres.

    `password`: what it asks of its clients; without one it lets everybody in.
    """

    def __init__(self, folder: Path, databases: tuple[str, ...], password: str = "") -> None:
        super().__init__(folder)
        self._databases, self.password = databases, password
        self.data = self.folder / "data"
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self.owner = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        (asks := self.folder / "password").write_text(password or "-")
        how = "scram-sha-256" if password else "trust"
        self._run("initdb", "-D", str(self.data), "-U", "feast", f"--auth={how}", "--no-sync",
                  "-E", "UTF8", f"--pwfile={asks}")  # fmt: skip

    def _run(self, program: str, *rest: str) -> None:
        command = [installed(program, "postgresql"), *rest]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, **self.owner)
        assert done.returncode == 0, done.stderr.decode()

    def command(self) -> list[str]:
        return [
            installed("postgres", "postgresql"), "-D", str(self.data), "-p", str(self.port),
            "-h", "127.0.0.1", "-k", str(self.folder), "-c", "fsync=off",
            "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
        ]  # fmt: skip

    def url(self, database: str) -> str:
        secret = f":{self.password}" if self.password else ""
        return f"postgresql+psycopg://feast{secret}@{self.address}/{database}"

    def connect(self, database: str = "postgres") -> Any:
        import psycopg

        return psycopg.connect(self.url(database).replace("+psycopg", ""), autocommit=True)

    def is_up(self) -> bool:
        import psycopg

        try:
            with self.connect() as c:
                there = {name for (name,) in c.execute("select datname from pg_database")}
                for name in set(self._databases) - there:
                    c.execute(f'create database "{name}"')
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """As an administrator stops it: connections are ended, the data are kept."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "stop")
        self.process.wait(timeout=60)


class Redis(Server):
    def command(self) -> list[str]:
        return [installed("redis-server", "redis-server"), "--port", str(self.port),
                "--bind", "127.0.0.1", "--save", ""]  # fmt: skip

    def is_up(self) -> bool:
        import redis

        try:
            return bool(redis.Redis(port=self.port).ping())
        except redis.ConnectionError:
            return False


class ObjectStore(Server):
    """SeaweedFS: it speaks S3 and checks signatures, which moto does not."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        owner = {"name": "team", "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
                 "actions": ["Admin", "Read", "Write", "List", "Tagging"]}  # fmt: skip
        (self.folder / "s3.json").write_text(json.dumps({"identities": [owner]}))
        self._ports = [free_port() for _ in range(7)]

    def start(self) -> None:
        """Eight ports that were free a moment ago: somebody else may have one by now."""
        for _ in range(4):
            try:
                return self._begin()
            except AssertionError:
                if self.process.poll() is None:
                    raise
                self.port, *self._ports = (free_port() for _ in range(8))
        self._begin()

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def credentials(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": self.url,
                "MLFLOW_S3_ENDPOINT_URL": self.url}  # fmt: skip

    def command(self) -> list[str]:
        (data := self.folder / "data").mkdir(exist_ok=True)
        names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
                 "filer.port", "filer.port.grpc", "s3.port.grpc")  # fmt: skip
        ports = [f"-{name}={port}" for name, port in zip(names, self._ports, strict=True)]
        weed = Path(sys.executable).with_name("weed")
        return [str(weed), "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                "-filer", "-s3", f"-s3.port={self.port}", f"-s3.config={self.folder / 's3.json'}",
                "-volume.max=20", "-master.telemetry=false", "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-master.volumeSizeLimitMB=64", *ports]  # fmt: skip

    def is_up(self) -> bool:
        if not answers(f"{self.url}/healthz"):
            return False
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            there = {each["Name"] for each in self.client().list_buckets()["Buckets"]}
            for name in set(BUCKETS) - there:
                self.client().create_bucket(Bucket=name)
        except (BotoCoreError, ClientError):
            return False
        return True

    def client(self) -> Any:
        import boto3

        return boto3.client("s3", endpoint_url=self.url, aws_access_key_id=KEY,
                            aws_secret_access_key=SECRET, region_name="us-east-1")  # fmt: skip

    def put(self, key: str, path: Path) -> str:
        self.client().upload_file(str(path), "features", key)
        return f"s3://features/{key}"


class Mlflow(Server):
    """Runs in PostgreSQL, artifacts in the object store through the server itself."""

    def __init__(self, folder: Path, database: str, objects: ObjectStore) -> None:
        super().__init__(folder, {**SERVERS, **objects.credentials()})
        self._database = database

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
                "--port", str(self.port), "--backend-store-uri", self._database,
                "--artifacts-destination", "s3://mlflow/artifacts", "--workers", "1"]  # fmt: skip

    def is_up(self) -> bool:
        return answers(f"{self.url}/health")
