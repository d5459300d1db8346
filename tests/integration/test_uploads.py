"""What is written to MLflow of records that another process left, and what is not there any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from feast_nb.errors import GoneError, TrackingError
from feast_nb.integrations.mlflow import clients, writer
from feast_nb.recorder.delivery.run_queue import Batch
from feast_nb.recorder.delivery.uploader import Uploader
from feast_nb.records.contract import Contract
from feast_nb.records.outbox import (
    ContractEntry,
    OutboxEntry,
    RetrievalEntry,
    RunEnd,
    RunStart,
    VersionEntry,
    WriteEntry,
)
from feast_nb.records.retrieval import Retrieval, Write


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/m.db"


@pytest.fixture
def api(uri: str) -> Any:
    return clients.client(uri)


@pytest.fixture
def run(api: Any, tmp_path: Path) -> str:
    place = api.create_experiment("p", artifact_location=(tmp_path / "art").as_uri())
    return str(api.create_run(place).info.run_id)


def deliver(uri: str, run: str, *new: OutboxEntry) -> list[str]:
    """Deliver what a dead process left; why entries were set aside."""
    aside: list[str] = []
    uploader = Uploader(lambda run_id, entry, reason: aside.append(reason))
    uploader.deliver(Batch(run, uri, new, upto=len(new), final=True, adopted=True))
    return aside


def retrieved() -> RetrievalEntry:
    return RetrievalEntry(Retrieval("r-1", "historical", "p", ("v:a",), state="ran"))


def test_to_connect_opens_no_database(uri: str, tmp_path: Path) -> None:
    """That of a dead kernel's records may be away: MLflow asks for it ten times."""
    clients.connect(uri)
    clients.connect(f"sqlite:///{tmp_path}")  # a folder: MLflow would ask for two minutes

    assert not (tmp_path / "m.db").exists()


def test_a_database_that_is_away_is_waited_for_and_not_made_anew(uri: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="not there now"):
        deliver(uri, "run", retrieved())
    with pytest.raises(TrackingError):
        writer.read_text(uri, "run", "feast/retrievals.json")

    assert not (tmp_path / "m.db").exists()


def test_a_run_that_is_gone_is_said_to_be(uri: str, run: str) -> None:
    with pytest.raises(GoneError, match="not there any more"):
        deliver(uri, "0" * 32, retrieved())


def test_a_version_that_is_gone_does_not_hold_its_run(uri: str, run: str, api: Any) -> None:
    version = VersionEntry("never_registered", "1", "m-1")

    contract = ContractEntry(Contract("m-1", run, "p"))
    aside = deliver(uri, run, retrieved(), contract, version, RunEnd("KILLED", late=True))

    assert aside == [
        "logged model m-1 is not there any more",
        "version 1 of never_registered is not there any more",
    ]
    found = api.get_run(run)
    assert found.data.tags["feast.feature_refs"] == "v:a"
    assert found.info.status == "KILLED"


def test_a_run_that_was_opened_again_is_not_ended(uri: str, run: str, api: Any) -> None:
    """`%feast_run --resume` of one that a dead kernel left, before its late end was sent."""
    deliver(uri, run, retrieved(), RunEnd("KILLED", late=True), RunStart(resumed=True))

    assert api.get_run(run).info.status == "RUNNING"


def test_what_a_dead_process_wrote_has_its_tags(uri: str, run: str, api: Any) -> None:
    """It pushed features, and died before anything of it was sent."""
    write = Write(id="w-1", call="push", to="online", project="p", name="s", views=("v",))

    deliver(uri, run, WriteEntry(write))

    tags = api.get_run(run).data.tags
    assert (tags["feast.project"], tags["feast_nb.views_written"]) == ("p", "v")

    deliver(uri, run, retrieved())  # by a process that did not see what was written

    tags = api.get_run(run).data.tags
    assert (tags["feast_nb.views_written"], tags["feast.feature_refs"]) == ("v", "v:a")
