"""Sources in an object store: what identifies an object is kept with each retrieval."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from feast_nb.integrations.feast import sources
from feast_nb.records.retrieval import Source

from ..conftest import answers, free_port, stats, wait_for


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that speaks S3, with a bucket; its address."""
    port = free_port()
    log = tmp_path_factory.mktemp("s3") / "log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{url}/moto-api/"), 60, f"moto: {log}")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.fixture
def fs(bucket: str, monkeypatch: pytest.MonkeyPatch):
    import s3fs

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem(client_kwargs={"endpoint_url": bucket})
    system.mkdir("bucket")
    yield system
    system.rm("bucket", recursive=True)


def view_of(path: str, endpoint: str | None) -> SimpleNamespace:
    from feast import FileSource

    source = FileSource(
        name="stats", path=path, timestamp_field="event_timestamp", s3_endpoint_override=endpoint
    )
    return SimpleNamespace(batch_source=source)


def seen(view: SimpleNamespace, repo: Path) -> Source:
    (record,) = sources.identify([view], repo)
    return sources.looked_into(record, view, repo)


def test_an_object_is_known_by_its_etag_size_and_time(bucket, fs, tmp_path) -> None:
    """Overwritten with as many bytes, it is another object."""
    stats().to_parquet(tmp_path / "x.parquet")
    data = (tmp_path / "x.parquet").read_bytes()
    fs.pipe("bucket/stats.parquet", data)
    view = view_of("s3://bucket/stats.parquet", bucket)

    first = seen(view, tmp_path)
    assert (first.path, first.size) == ("s3://bucket/stats.parquet", len(data))
    assert first.etag
    assert first.modified
    assert seen(view, tmp_path).etag == first.etag

    fs.pipe("bucket/stats.parquet", data[:-1] + bytes([data[-1] ^ 1]))
    fs.invalidate_cache()
    type(fs).clear_instance_cache()
    second = seen(view, tmp_path)
    assert second.size == first.size
    assert second.etag != first.etag


def test_an_object_out_of_reach_is_known_by_its_address(bucket, fs, tmp_path) -> None:
    found = seen(view_of("s3://bucket/nothing.parquet", bucket), tmp_path)

    assert (found.path, found.etag, found.size) == ("s3://bucket/nothing.parquet", None, None)
