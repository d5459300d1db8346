"""A retrieval's record asks no registry on the cell's time, and is there where none answers."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feast_nb.integrations.feast.servers import registry_copy, store_door
from feast_nb.recorder import retrieval_details

from ..conftest import define, free_port, records_of, wait_for

KINDS = ("file", "sql", "remote")


class RegistryServer:
    """Feast's own registry server in front of a repository's registry."""

    def __init__(self, repo: Path) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "feast.cli.cli", "-c", str(repo), "serve_registry",
                   "--port", str(self.port)]  # fmt: skip
        with (repo / "registry.log").open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        address = f"127.0.0.1:{self.port}"
        wait_for(lambda: store_door.listens(address), 90, str(repo / "registry.log"))

    def hang(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.go_on()
        self.process.terminate()
        self.process.wait(timeout=60)


@pytest.fixture
def server(repo: Path) -> Iterator[RegistryServer]:
    started = RegistryServer(repo)
    yield started
    started.end()


def client_of(repo: Path, server: RegistryServer) -> Path:
    """The repository as a notebook has it that is given the registry server's address only."""
    there = repo.parent / "client"
    there.mkdir()
    text = (repo / "feature_store.yaml").read_text()
    text = text.replace("registry: registry.db", f"registry: {{registry_type: remote, path: "
                        f"'127.0.0.1:{server.port}'}}")  # fmt: skip
    assert "remote" in text
    for name in ("mlflow.db", "online.db"):
        text = text.replace(f"path: {name}", f"path: {repo / name}")
        text = text.replace(f"sqlite:///{name}", f"sqlite:///{repo / name}")
    (there / "feature_store.yaml").write_text(text)
    return there


@pytest.fixture
def made(request: pytest.FixtureRequest, repo: Path) -> Path:
    """The repository with its registry in a file, in SQL, or behind a server."""
    if request.param == "remote":
        return client_of(repo, request.getfixturevalue("server"))
    if request.param == "sql":
        from feast import FeatureStore

        yaml = repo / "feature_store.yaml"
        sql = f"registry: {{registry_type: sql, path: 'sqlite:///{repo}/sql.db'}}"
        yaml.write_text(yaml.read_text().replace("registry: registry.db", sql))
        FeatureStore(str(repo)).apply(define(repo))
    return repo


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of any registry in the thread that runs cells."""
    from feast.infra.registry.file import FileRegistryStore
    from grpc import _channel
    from sqlalchemy import Engine, event

    found: list[str] = []

    def note(what: str) -> None:
        if threading.current_thread() is threading.main_thread():
            found.append(what)

    def counted(original: Callable[..., Any], what: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            note(what)
            return original(*args, **kwargs)

        return call

    for room, name in ((_channel._UnaryUnaryMultiCallable, "__call__"),
                       (_channel._UnaryUnaryMultiCallable, "with_call"),
                       (FileRegistryStore, "get_registry_proto")):  # fmt: skip
        monkeypatch.setattr(room, name, counted(getattr(room, name), name))

    def executed(connection: Any, *_: Any) -> None:
        if "sql.db" in str(connection.engine.url):
            note("SQL")

    event.listen(Engine, "before_cursor_execute", executed)
    yield found
    event.remove(Engine, "before_cursor_execute", executed)


def entities() -> pd.DataFrame:
    return pd.DataFrame(
        {"driver_id": [1, 2], "event_timestamp": [datetime(2024, 1, 5, tzinfo=UTC)] * 2}
    )


def retrievals(store: Any) -> None:
    """Each way of asking: by references and by a service, historical and online."""
    refs = ["hourly:trips", "profile:age"]
    service = store.get_feature_service("activity")
    store.get_historical_features(entities(), refs).to_df()
    store.get_historical_features(entities(), service).to_df()
    store.get_online_features(refs, [{"driver_id": 1}]).to_dict()
    store.get_online_features(service, [{"driver_id": 1}]).to_dict()


def counted(made: Path, asked: list[str]) -> list[int]:
    """How much was asked by a first round in a new store, and by a second one."""
    from feast import FeatureStore

    store = FeatureStore(str(made))
    found = []
    for _ in range(2):
        asked.clear()
        retrievals(store)
        found.append(len(asked))
    return found


@pytest.mark.parametrize("made", KINDS, indirect=True)
def test_no_retrieval_asks_a_registry_on_the_cells_time(made: Path, asked, client) -> None:
    import feast_nb
    from feast_nb import recorder

    bare = counted(made, asked)
    assert bare[0]  # what is counted, is asked
    session = feast_nb.open(made)
    apart = counted(made, asked)  # with no run open
    with session.run("one") as run:
        inside = counted(made, asked)
        assert recorder.current().recording.settle()
    recorded = records_of(client, run.ref.id)

    for ours in (apart, inside):
        assert ours[0] <= bare[0]  # the first of a process may ask once more
        assert ours[1] == bare[1]
    assert sum(one["count"] for one in recorded) == 8
    for one in recorded:
        assert one["unseen"] is None
        assert [v["name"] for v in one["views"]]
        assert one["entity"]["join_keys"] == ["driver_id"]
        assert one["sources"]
        assert one["registry"]


@pytest.mark.parametrize("made", ["sql"], indirect=True)
def test_a_sql_registrys_record_is_of_what_feast_read_there_and_not_of_its_older_copy(
    made: Path, client
) -> None:
    """Feast takes views from the database, and references of a service from its copy."""
    from feast import FeatureStore

    import feast_nb
    from feast_nb import recorder

    session = feast_nb.open(made)
    service = session.store.get_feature_service("activity")
    session.store.get_online_features(service, [{"driver_id": 1}]).to_dict()
    other = FeatureStore(str(made))
    view, smaller = other.get_feature_view("hourly"), other.get_feature_service("activity")
    view.ttl = timedelta(hours=7)
    del smaller.feature_view_projections[1:]
    before = ttl_of(other)
    other.apply([view, smaller])
    now = ttl_of(other)
    assert before != now
    with session.run("one") as run:
        frames = [
            session.store.get_historical_features(entities(), asked).to_df()
            for asked in (["hourly:trips"], service, ["hourly:trips"])
        ]
        session.store.get_online_features(["hourly:trips"], [{"driver_id": 1}]).to_dict()
        assert recorder.current().recording.settle()
    records = records_of(client, run.ref.id)

    assert len(records) == 4
    for record, frame in zip(records, frames, strict=False):
        hourly = next(v for v in record["views"] if v["name"] == "hourly")
        assert (record["unseen"], hourly["hashes"]["ttl"]) == (None, now)
        assert set(record["refs"]) == {
            r for r in record["refs"] if r.partition(":")[2] in frame.columns
        }
        assert len(record["refs"]) == len(frame.columns) - 2
    # An online call has the copy, for the view too.
    assert [v["hashes"]["ttl"] for v in records[3]["views"]] == [before]


def ttl_of(store: Any) -> str:
    """The hash of the TTL of `hourly` as the registry has it now."""
    from feast_nb.integrations.feast import registry

    (record,) = (
        r for r in registry.definitions_now(store).records().values() if r.name == "hourly"
    )
    return record.hashes["ttl"]


def hanging_after(store: Any, server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry server hangs as soon as Feast has what it asks for in its next retrieval."""
    provider = store._get_provider()
    original = provider.get_historical_features

    def retrieved(*args: Any, **kwargs: Any) -> Any:
        job = original(*args, **kwargs)
        server.hang()
        return job

    monkeypatch.setattr(provider, "get_historical_features", retrieved)


def test_where_the_registry_does_not_answer_the_record_says_so_and_is_filled_in_later(
    repo: Path, server: RegistryServer, monkeypatch, client, capsys
) -> None:
    import feast_nb

    monkeypatch.setattr(store_door, "SECONDS", 2.0)
    monkeypatch.setattr(retrieval_details, "_REST", 0.0)
    session = feast_nb.open(client_of(repo, server))
    store = session.store
    recording = session.recorder.recording
    with session.run("away") as run, monkeypatch.context() as patch:
        registry_copy._copies.clear()
        hanging_after(store, server, patch)
        began = time.monotonic()
        job = store.get_historical_features(entities(), ["hourly:trips"])
        assert time.monotonic() - began < 2.0
        patch.undo()
        frame = job.to_df()
        assert recording.settle()
        (before,) = recording.table.of_run(run.ref.id)
        assert before.refs == ("hourly:trips",)
        assert before.views == ()
        assert "did not answer within 2 s" in str(before.unseen)
        assert before.result is not None
        assert before.result.rows == len(frame)
        server.go_on()
    (after,) = records_of(client, run.ref.id)

    assert after["unseen"] is None
    assert [v["name"] for v in after["views"]] == ["hourly"]
    assert after["entity"]["join_keys"] == ["driver_id"]
    assert "the definitions behind a retrieval are not known yet" in capsys.readouterr().err
    again = session.reproduce(run.ref.id, verify=True)
    assert (again.verdict, again.because) == ("identical", ())


def test_definitions_that_were_changed_meanwhile_are_not_taken_for_those_of_then(
    repo: Path, server: RegistryServer, monkeypatch, client
) -> None:
    from feast import FeatureStore

    import feast_nb

    monkeypatch.setattr(store_door, "SECONDS", 2.0)
    monkeypatch.setattr(retrieval_details, "_REST", 0.0)
    session = feast_nb.open(client_of(repo, server))
    with session.run("changed") as run, monkeypatch.context() as patch:
        registry_copy._copies.clear()
        hanging_after(session.store, server, patch)
        session.store.get_historical_features(entities(), ["hourly:trips"])
        patch.undo()
        assert session.recorder.recording.settle()
        other = FeatureStore(str(repo))
        view = other.get_feature_view("hourly")
        view.ttl = timedelta(hours=7)
        other.apply([view])
        server.go_on()
        wait_for(lambda: ttl(session.store) == view.ttl, 60, "the server to have it")
    (after,) = records_of(client, run.ref.id)

    assert after["views"] == []
    assert after["unseen"] == "hourly was applied again, or loaded, before it was read"


def ttl(store: Any) -> timedelta:
    store.refresh_registry()
    found: timedelta = store.get_feature_view("hourly").ttl
    return found
