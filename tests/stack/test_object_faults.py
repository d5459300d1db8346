"""An object store that refuses, hangs, is down or has nothing: one line that names it, and soon."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from ..conftest import Notebook, stats
from .servers import ObjectStore
from .stacks import FEATURES
from .story import entities

YAML = """\
project: objects
provider: local
registry: registry.db
online_store: {type: sqlite, path: online.db}
offline_store: {type: dask}
entity_key_serialization_version: 3
mlflow: {enabled: true, auto_log_entity_df: true, tracking_uri: "sqlite:///mlflow.db"}
"""
KEY = "of-this-test/stats.parquet"


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    server = ObjectStore(tmp_path_factory.mktemp("objects"))
    server.start()
    yield server
    server.end()


@pytest.fixture(scope="module")
def repo(objects: ObjectStore, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose features lie in the object store."""
    folder = tmp_path_factory.mktemp("of-objects")
    stats().to_parquet(folder / "stats.parquet")
    path = objects.put(KEY, folder / "stats.parquet")
    shutil.copy(template / "mlflow.db", folder)
    (folder / "feature_store.yaml").write_text(YAML)
    (folder / "features.py").write_text(FEATURES.format(path=path, endpoint=repr(objects.url)))
    return folder


@pytest.fixture
def book(
    repo: Path, objects: ObjectStore, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> Notebook:
    """A notebook with a model of that repository."""
    for name, value in objects.credentials().items():
        monkeypatch.setenv(name, value)
    forget()
    is_new = not (repo / "registry.db").exists()
    notebook.run(f"store = %feast_store {repo}")
    notebook.space["drivers"] = entities()
    notebook.space["then"] = entities().drop(columns="y")
    if is_new:
        notebook.run("%feast_apply --yes")
        notebook.run(
            "%%feast_train v1 --service activity --entity-df drivers --register m\n"
            "from sklearn.linear_model import LogisticRegression\n"
            "inputs = training_df[['trips', 'conv_rate']]\n"
            "model = LogisticRegression().fit(inputs, training_df['y'])"
        )
    return notebook


def forget() -> None:
    """As a kernel that was started with these credentials: s3fs keeps its clients."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def hanging(objects: ObjectStore, _: pytest.MonkeyPatch) -> Iterator[None]:
    objects.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        objects.signal(signal.SIGCONT)


@contextmanager
def down(objects: ObjectStore, _: pytest.MonkeyPatch) -> Iterator[None]:
    objects.end()
    yield  # and stays so: it is the last one


@contextmanager
def with_another_secret(_: ObjectStore, patch: pytest.MonkeyPatch) -> Iterator[None]:
    with patch.context() as other:
        other.setenv("AWS_SECRET_ACCESS_KEY", "another")
        forget()
        yield
    forget()


@contextmanager
def with_another_key(_: ObjectStore, patch: pytest.MonkeyPatch) -> Iterator[None]:
    with patch.context() as other:
        other.setenv("AWS_ACCESS_KEY_ID", "another")
        forget()
        yield
    forget()


@contextmanager
def without_its_object(objects: ObjectStore, _: pytest.MonkeyPatch) -> Iterator[None]:
    client = objects.client()
    held = client.get_object(Bucket="features", Key=KEY)["Body"].read()
    client.delete_object(Bucket="features", Key=KEY)
    try:
        yield
    finally:
        client.put_object(Bucket="features", Key=KEY, Body=held)


@contextmanager
def without_its_bucket(objects: ObjectStore, _: pytest.MonkeyPatch) -> Iterator[None]:
    client = objects.client()
    held = client.get_object(Bucket="features", Key=KEY)["Body"].read()
    for one in client.list_objects_v2(Bucket="features").get("Contents", ()):
        client.delete_object(Bucket="features", Key=one["Key"])
    client.delete_bucket(Bucket="features")
    try:
        yield
    finally:
        client.create_bucket(Bucket="features")
        client.put_object(Bucket="features", Key=KEY, Body=held)


Fault = Callable[[ObjectStore, pytest.MonkeyPatch], AbstractContextManager[None]]
FAULTS: dict[Fault, str] = {
    hanging: "did not answer within 4.5 s; see whether it hangs.",
    with_another_secret: f"refuses s3://features/{KEY} (SignatureDoesNotMatch: ",
    with_another_key: f"refuses s3://features/{KEY} (InvalidAccessKeyId: ",
    without_its_object: f"has no s3://features/{KEY}, from which stats is read; see its path",
    without_its_bucket: f"has no s3://features/{KEY}, from which stats is read; see its path",
    down: "cannot be reached; start it, or see s3_endpoint_override of stats.",
}
DOORS = (
    "%feast_reproduce m/1 --verify",
    "%feast_score m/1 --entities then --as-of event_timestamp",
    "%%feast_train v2 --service activity --entity-df drivers\npass",
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_is_one_line_at_each_door(
    objects: ObjectStore, book: Notebook, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    began = time.monotonic()
    with fault(objects, monkeypatch):
        told = [book.fails(door).strip() for door in DOORS]
    assert time.monotonic() - began < 60
    for line in told:
        assert "\n" not in line
        assert line.startswith(f"StoreError: the object store at {objects.url} {FAULTS[fault]}")
    if fault is down:
        return
    assert book.run(DOORS[0]).verdict == "identical"
    assert len(book.run(DOORS[1])) == len(entities())
