"""Definitions from registries of every sort: a file, SQL, a registry server, one of two projects."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from feast_nb.errors import FeatureError, StoreError
from feast_nb.integrations.feast import registry, repository, resolved_request
from feast_nb.integrations.feast.repository_files import registry_file
from feast_nb.integrations.feast.servers import registry_listing, store_door
from feast_nb.integrations.feast.views import dtype_named

from ..conftest import free_port, wait_for

YAML = """\
project: {project}
registry: {registry}
provider: local
offline_store: {{type: duckdb}}
online_store: {{type: sqlite, path: {project}.db}}
entity_key_serialization_version: 3
"""


def view(key: str, dtype: Any, *columns: str, name: str = "stats") -> list[Any]:
    from feast import Entity, FeatureView, Field, FileSource, ValueType

    entity = Entity(name="e", join_keys=[key], value_type=ValueType.INT64)
    source = FileSource(name="s", path="/nowhere/s.parquet", timestamp_field="at")
    fields = [Field(name=c, dtype=dtype) for c in columns]
    return [entity, FeatureView(name=name, entities=[entity], ttl=timedelta(days=1),
                                schema=[Field(name=key, dtype=_int()), *fields],
                                source=source)]  # fmt: skip


def labels(key: str) -> Any:
    from feast import Entity, Field, FileSource, ValueType
    from feast.labeling.label_view import LabelView
    from feast.types import Float64

    entity = Entity(name="e", join_keys=[key], value_type=ValueType.INT64)
    source = FileSource(name="l", path="/nowhere/l.parquet", timestamp_field="at")
    fields = [Field(name=key, dtype=_int()), Field(name="quality", dtype=Float64)]
    return LabelView(name="labels", entities=[entity], source=source, schema=fields)


def _int() -> Any:
    from feast.types import Int64

    return Int64


def opened(folder: Path, project: str, of: str) -> Any:
    from feast import FeatureStore

    folder.mkdir(exist_ok=True)
    (folder / "feature_store.yaml").write_text(YAML.format(project=project, registry=of))
    return FeatureStore(str(folder))


def sql(tmp_path: Path) -> str:
    return (
        f"{{registry_type: sql, path: 'sqlite:///{tmp_path}/r.db', "
        "enable_online_feature_view_versioning: true}"
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A registry server in front of a SQL registry that holds two projects."""
    from feast.types import Float64, Int64

    opened(tmp_path / "a", "pa", sql(tmp_path)).apply([*view("ka", Float64, "x"), labels("ka")])
    opened(tmp_path / "b", "pb", sql(tmp_path)).apply([*view("kb", Int64, "x"), labels("kb")])
    port = free_port()
    command = [sys.executable, "-m", "feast.cli.cli", "-c", str(tmp_path / "a"), "serve_registry",
               "--port", str(port)]  # fmt: skip
    with (tmp_path / "log").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        (tmp_path / "pid").write_text(str(process.pid))
        wait_for(lambda: _listens(port), 90, f"the registry server: {tmp_path / 'log'}")
        yield f"{{registry_type: remote, path: 'localhost:{port}'}}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def test_a_registry_server_of_two_projects_is_asked_for_ones_own(server: str, tmp_path) -> None:
    """Feast's `Proto` call mixes all projects, and says of none whose it is."""
    for project, key, dtype in (("pa", "ka", "Float64"), ("pb", "kb", "Int64")):
        store = opened(tmp_path / f"client_{project}", project, server)
        for known in (registry.definitions_of(store), registry.definitions_now(store)):
            assert known.join_keys["e"] == key
            assert known.views["labels"].kind == "label"
            (feature,) = known.views["stats"].features
            assert dtype_named(feature.value_type) == dtype
        assert repository.catalog(store).views["stats"].dtypes == (dtype,)
        assert set(repository.catalog(store).sources) >= {"s", "l"}


def test_a_registry_server_is_asked_four_times_and_not_for_ever(
    server: str, tmp_path, monkeypatch
) -> None:
    store = opened(tmp_path / "client", "pa", server)
    asked: list[str] = []
    listed = registry_listing._listed
    monkeypatch.setattr(
        registry_listing, "_listed", lambda s, what: asked.append(what) or listed(s, what)
    )
    registry.definitions_of(store)
    for _ in range(3):
        resolved_request.look_up(store, ["stats:x"], {})
    assert sorted(asked) == ["AllFeatureViews", "Entities", "FeatureServices", "LabelViews"]

    monkeypatch.setattr(store_door, "SECONDS", 1.0)
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"at localhost:\d+ did not answer within 1 s"):
            registry.definitions_now(store)
        assert time.monotonic() - began < 5
        registry.definitions_of(store)  # from the copy
    finally:
        os.kill(pid, signal.SIGCONT)


def test_no_record_is_of_definitions_that_are_long_gone(server: str, tmp_path, monkeypatch) -> None:
    """A kernel that rested: what a server's copy was then is not what is asked for now."""
    from feast_nb.integrations.feast.servers import registry_copy

    store = opened(tmp_path / "client", "pa", server)
    before = resolved_request.look_up(store, ["stats:x"], {}).records[0]
    other = opened(tmp_path / "other", "pa", server)
    changed = other.get_feature_view("stats")
    changed.ttl = timedelta(hours=7)
    other.apply([changed])
    same = resolved_request.look_up(store, ["stats:x"], {}).records[0]
    assert same.hashes == before.hashes  # of a moment ago
    monkeypatch.setattr(registry_copy, "FRESH", 0.0)

    now = resolved_request.look_up(store, ["stats:x"], {}).records[0]
    assert now.hashes["ttl"] != before.hashes["ttl"]


def test_what_another_process_applies_is_seen(tmp_path) -> None:
    """A file registry: Feast looks when it is asked, and so must we."""
    from feast.types import Float64

    mine = opened(tmp_path / "r", "p", "r.db")
    mine.apply(view("k", Float64, "x"))
    with pytest.raises(FeatureError, match="no feature view other"):
        repository.check_refs(mine, ["other:y"])
    opened(tmp_path / "r", "p", "r.db").apply(view("k", Float64, "y", name="other"))

    repository.check_refs(mine, ["other:y"])


def test_a_version_that_sql_keeps_is_read_without_running_its_code(tmp_path, monkeypatch) -> None:
    from feast.types import Float64

    store = opened(tmp_path / "r", "p", sql(tmp_path))
    store.apply(view("k", Float64, "old", "kept"))
    store.apply(view("k", Float64, "kept"))
    store.refresh_registry()
    made = "get_feature_view_by_version"
    monkeypatch.setattr(type(store.registry), made, lambda *_: pytest.fail("an object was made"))
    known = registry.definitions_of(store)

    assert [f.name for f in known.view("stats@v0").features] == ["old", "kept"]
    assert [f.name for f in known.view("stats@v1").features] == ["kept"]
    kept = registry_file.read_written(registry_file.written(store), store.project)
    assert kept.versions_of("stats") == (0, 1)
    assert kept.view("stats@v0").message == known.view("stats@v0").message
    with pytest.raises(FeatureError, match=r"no version v7; it has v0, v1\."):
        known.view("stats@v7")


def test_a_store_that_nobody_holds_any_more_is_let_go(tmp_path) -> None:
    from feast.types import Float64

    store = opened(tmp_path / "r", "p", "r.db")
    store.apply(view("k", Float64, "x"))
    registry.definitions_of(store)
    gone = weakref.ref(store)
    del store
    gc.collect()

    assert gone() is None


@pytest.mark.parametrize("told", [False, True])
def test_a_view_that_is_being_filled_is_served_where_the_registry_is_told_so(repo, told) -> None:
    from feast import FeatureStore
    from feast.protos.feast.core.FeatureView_pb2 import FeatureViewState

    store = FeatureStore(str(repo))
    proto = store.registry.cached_registry_proto
    hourly = next(v for v in proto.feature_views if v.spec.name == "hourly")
    hourly.meta.state = FeatureViewState.Value("MATERIALIZING")
    store.registry.serve_features_while_materializing = told
    known = registry.Definitions(proto, store.project, store.registry)

    assert known.views["hourly"].unavailable == (None if told else "in state MATERIALIZING")
    assert known.views["profile"].unavailable is None
