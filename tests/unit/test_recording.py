"""From calls noticed to retrievals recorded, without Feast and without MLflow."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from feast_nb.errors import StoreError
from feast_nb.frames import fingerprint
from feast_nb.frames.parquet import columns_of, copied
from feast_nb.patching.threads import NotLoaded
from feast_nb.recorder import background
from feast_nb.recorder.frame_tasks import PendingRetrieval
from feast_nb.recorder.open_runs import OpenRuns
from feast_nb.recorder.recording import Recording
from feast_nb.recorder.retrieval_table import RetrievalTable
from feast_nb.records.contract import Contract
from feast_nb.records.record import Record
from feast_nb.records.retrieval import (
    Cell,
    DroppedRows,
    EntityFrame,
    Retrieval,
    Seconds,
    ViewDefinition,
)
from feast_nb.records.run import RunRef

RUN, OTHER = RunRef("run", "sqlite:///a.db"), RunRef("other", "http://b")


@dataclass
class Scene:
    """A recording, the run that is active, and what it sent."""

    recording: Recording
    world: SimpleNamespace
    sent: list[tuple[str, str, dict[str, Any]]]
    warned: list[str]
    spool: Path
    gate: threading.Event = field(default_factory=threading.Event)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [e for _, _, e in self.sent if e["kind"] == kind]

    def files(self) -> list[tuple[str, int]]:
        """Each archived frame: its name in the run, and its rows."""
        return [(e["artifact"], len(pd.read_parquet(e["path"]))) for e in self.of_kind("file")]

    def hold_the_background(self) -> None:
        """Nothing is hashed before the gate opens."""
        self.recording._later(lambda: self.gate.wait(5))

    def settled(self, id: str) -> Retrieval:
        self.gate.set()
        assert self.recording.settle(5)
        return self.recording.table.retrievals[id]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    sent: list[tuple[str, str, dict[str, Any]]] = []
    warned: list[str] = []
    world = SimpleNamespace(run=RUN, cell=Cell(3))
    outbox = SimpleNamespace(
        put=lambda run, uri, entry, soon: sent.append((run, uri, entry.to_dict())),
        hurry=lambda run: None,
        put_again=lambda run, uri, entry: sent.append((run, uri, entry.to_dict())),
    )

    class Runs(OpenRuns):
        def made_here(self, run_id: str) -> bool:
            return True

        def of_call(self) -> RunRef | None:
            return world.run

    recording = Recording(
        outbox,  # type: ignore[arg-type]
        RetrievalTable(),
        runs=Runs(warned.append, lambda: True),
        cell=lambda: world.cell,
        spool=tmp_path / "spool",
        warn=warned.append,
    )
    made = Scene(recording, world, sent, warned, tmp_path / "spool")
    yield made
    made.gate.set()
    recording.close()


def entities(rows: int = 3) -> pd.DataFrame:
    at = pd.Timestamp("2024-01-10", tz="UTC")
    return pd.DataFrame({"driver_id": range(rows), "event_timestamp": [at] * rows})


def draft(kind: Any = "historical", *, rows: int | None = 3, **fields: Any) -> Retrieval:
    entity = EntityFrame("dataframe" if kind == "historical" else "rows", rows=rows)
    start: dict[str, Any] = {
        "id": "", "kind": kind, "project": "p", "refs": ("v:a",), "entity": entity,
        "seconds": Seconds(0.1),
    }  # fmt: skip
    return Retrieval(**(start | fields))


def online(scene: Scene, rows: int = 1, **fields: Any) -> str:
    asked = draft("online", rows=rows, **fields)
    return scene.recording.answered(asked, 0.01, lambda: pd.DataFrame({"a": range(rows)}))


# ---------------------------------------------------------------------- states


def test_a_job_that_was_made_is_submitted(scene) -> None:
    id = scene.recording.submitted(draft(), entities())
    kept = scene.recording.table.retrievals[id]

    assert (kept.state, kept.run_id, kept.cell) == ("submitted", "run", Cell(3))
    assert kept.at
    assert kept.result is None
    assert scene.sent[0][:2] == RUN


def test_a_job_that_ran_has_its_result(scene) -> None:
    id = scene.recording.submitted(draft(), entities())
    table = pa.table({"driver_id": [0, 1, 2], "a": [1.5, None, float("nan")]})
    scene.recording.ran(PendingRetrieval(id), 2.0, table)
    kept = scene.settled(id)

    assert (kept.state, kept.seconds) == ("ran", Seconds(0.1, 2.0))
    assert kept.result is not None
    assert (kept.result.rows, kept.result.dropped) == (3, 0)
    assert kept.result.fingerprint == fingerprint.of(table).digest
    assert [(c.name, c.dtype, c.nulls) for c in kept.result.columns] == [
        ("driver_id", "int64", 0), ("a", "double", 2),
    ]  # fmt: skip


def test_a_job_that_raised_has_its_error_and_no_result(scene) -> None:
    id = scene.recording.submitted(draft(), entities())
    scene.recording.failed(PendingRetrieval(id), 1.0, ValueError("x" * 900))
    kept = scene.settled(id)

    assert (kept.state, kept.result, kept.seconds.run) == ("failed", None, 1.0)
    assert kept.error is not None
    assert kept.error.startswith("ValueError: xxx")
    assert len(kept.error) == 500


def test_a_job_that_runs_after_it_failed_has_no_error_left(scene) -> None:
    id = scene.recording.submitted(draft(), entities())
    scene.recording.failed(PendingRetrieval(id), 1.0, ValueError("away"))
    scene.recording.ran(PendingRetrieval(id), 1.0, pa.table({"a": [1, 2, 3]}))

    assert (scene.settled(id).state, scene.settled(id).error) == ("ran", None)


def test_a_job_that_wrote_elsewhere_is_counted(scene) -> None:
    id = scene.recording.submitted(draft(), entities())
    scene.recording.counted(PendingRetrieval(id), 1.0, None)

    assert (scene.settled(id).state, scene.settled(id).result) == ("ran", None)


def test_every_change_is_sent_whole_and_the_last_is_the_truth(scene) -> None:
    id = scene.recording.submitted(draft(), entities(), archive=True)
    scene.recording.ran(PendingRetrieval(id), 1.0, pa.table({"a": [1, 2, 3]}))
    kept = scene.settled(id)

    assert Retrieval.from_dict(scene.of_kind("retrieval")[-1]["retrieval"]) == kept


def test_each_retrieval_has_an_id_of_its_own(scene) -> None:
    ids = {scene.recording.submitted(draft(), entities()) for _ in range(20)}

    assert len(ids) == 20


# ---------------------------------------------------------------------- frames that change


def test_what_the_user_does_to_the_entity_frame_later_does_not_matter(scene) -> None:
    frame = entities()
    asked = fingerprint.of(frame).digest
    scene.hold_the_background()
    id = scene.recording.submitted(draft(), copied(frame), archive=True)

    frame.loc[0, "driver_id"] = 99
    frame["y"] = 1

    assert scene.settled(id).entity.fingerprint == asked
    assert pd.read_parquet(scene.of_kind("file")[0]["path"]).equals(entities())


def test_what_the_user_does_to_the_result_later_does_not_matter(scene) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    given = fingerprint.of(frame).digest
    scene.hold_the_background()
    id = scene.recording.submitted(draft(), entities())
    scene.recording.ran(PendingRetrieval(id), 1.0, frame)

    frame.iloc[:] = 0
    result = scene.settled(id).result

    assert result is not None
    assert result.fingerprint == given


def test_the_users_frame_keeps_its_own_attributes(scene) -> None:
    frame = entities()
    frame.attrs["theirs"] = object()  # Parquet could not hold it
    id = scene.recording.submitted(draft(), copied(frame), archive=True)

    assert scene.settled(id).entity.artifact == "entity_df.parquet"
    assert list(frame.attrs) == ["theirs"]


# ---------------------------------------------------------------------- archives


def test_the_first_frame_has_feasts_name_and_the_others_have_ids(scene) -> None:
    first = scene.recording.submitted(draft(), entities(3), archive=True)
    second = scene.recording.submitted(draft(), entities(4), archive=True)
    scene.settled(second)

    assert scene.files() == [("entity_df.parquet", 3), (f"feast/entities/{second}.parquet", 4)]
    assert scene.settled(first).entity.artifact == "entity_df.parquet"


def test_the_same_frame_goes_once_to_a_run(scene) -> None:
    ids = [scene.recording.submitted(draft(), entities(), archive=True) for _ in range(3)]
    shuffled = scene.recording.submitted(draft(), entities().iloc[::-1], archive=True)
    scene.settled(shuffled)

    assert len(scene.files()) == 1
    assert {scene.settled(i).entity.artifact for i in [*ids, shuffled]} == {"entity_df.parquet"}


def test_each_run_has_a_copy_of_its_own(scene) -> None:
    scene.recording.submitted(draft(), entities(), archive=True)
    scene.world.run = OTHER
    scene.settled(scene.recording.submitted(draft(), entities(), archive=True))

    assert scene.files() == [("entity_df.parquet", 3)] * 2
    assert [run for run, _, e in scene.sent if e["kind"] == "file"] == ["run", "other"]


def test_the_frame_is_sent_after_it_is_written_and_before_it_is_told(scene) -> None:
    id = scene.recording.submitted(draft(), entities(), archive=True)
    scene.settled(id)
    kinds = [
        "file" if e["kind"] == "file" else e["retrieval"]["entity"]["artifact"]
        for _, _, e in scene.sent
    ]

    assert kinds == [None, "file", "entity_df.parquet"]


def test_no_archive_says_why(scene) -> None:
    kept = scene.settled(scene.recording.submitted(draft(), entities()))

    assert (kept.entity.artifact, kept.entity.reason) == (None, "archiving is off")
    assert kept.entity.fingerprint
    assert scene.files() == []


@pytest.mark.parametrize(("most", "kept"), [(3, True), (2, False), (0, True)])
def test_a_frame_above_the_limit_is_hashed_and_says_why_it_is_not_kept(scene, most, kept) -> None:
    id = scene.recording.submitted(draft(), entities(3), archive=True, max_rows=most)
    entity = scene.settled(id).entity

    assert bool(entity.artifact) is kept
    assert entity.fingerprint
    assert entity.reason == (None if kept else f"3 rows above entity_df_max_rows ({most})")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([1j, 2j, 3j], id="complex"),
        pytest.param([1, "x", None], id="mixed"),
        pytest.param([object(), 1, 2], id="objects"),
        pytest.param([2**70, 1, 2], id="beyond 64 bits"),
        pytest.param(["\ud800", "a", "b"], id="no unicode"),
    ],
)
def test_a_frame_that_parquet_cannot_hold_is_hashed_and_says_why(scene, values) -> None:
    id = scene.recording.submitted(draft(), entities().assign(x=values), archive=True)
    entity = scene.settled(id).entity

    assert entity.fingerprint
    assert entity.artifact is None
    assert "Parquet cannot hold it" in (entity.reason or "")
    assert "\n" not in (entity.reason or "")
    assert scene.warned == []


def test_doubled_column_names_are_no_trouble(scene) -> None:
    frame = pd.DataFrame(
        [[1, 2, pd.Timestamp("2024-01-01")]], columns=["a", "a", "event_timestamp"]
    )
    entity = scene.settled(scene.recording.submitted(draft(), frame, archive=True)).entity

    assert entity.fingerprint
    assert entity.artifact or entity.reason


def test_a_full_disk_costs_the_copy_and_not_the_fingerprint(scene) -> None:
    scene.spool.write_text("a file where the folder should be")
    entity = scene.settled(scene.recording.submitted(draft(), entities(), archive=True)).entity

    assert entity.fingerprint == fingerprint.of(entities()).digest
    assert entity.artifact is None


def test_a_frame_that_failed_to_archive_is_not_taken_for_the_first(scene) -> None:
    scene.settled(
        scene.recording.submitted(draft(), entities().assign(x=[1, "x", None]), archive=True)
    )
    id = scene.recording.submitted(draft(), entities(), archive=True)

    assert scene.settled(id).entity.artifact == "entity_df.parquet"


@pytest.mark.parametrize("entity", ["SELECT 1", None, [{"driver_id": 1}]])
def test_what_is_no_frame_is_not_hashed(scene, entity) -> None:
    kept = scene.settled(scene.recording.submitted(draft(), entity, archive=True))

    assert kept.entity.fingerprint is None
    assert scene.files() == []


# ---------------------------------------------------------------------- results


def test_rows_that_did_not_come_back_are_explained(scene) -> None:
    asked: list[int] = []

    def explain(entity: Any, result: Any) -> tuple[DroppedRows, ...]:
        asked.append(len(entity))
        return (DroppedRows(1, "older than the TTL"),)

    id = scene.recording.submitted(draft(), entities())
    scene.recording.ran(
        PendingRetrieval(id, entities(), explain=explain), 1.0, pa.table({"a": [1, 2]})
    )
    result = scene.settled(id).result

    assert result is not None
    assert (result.dropped, result.losses, asked) == (
        1,
        (DroppedRows(1, "older than the TTL"),),
        [3],
    )


def test_where_all_rows_came_nothing_is_looked_up(scene) -> None:
    id = scene.recording.submitted(draft(), entities())
    scene.recording.ran(PendingRetrieval(id, entities(), explain=lambda *_: 1 / 0), 1.0, entities())  # type: ignore[arg-type,return-value]

    assert scene.settled(id).result is not None
    assert scene.warned == []


def test_an_explanation_that_fails_does_not_cost_the_result(scene) -> None:
    def explain(entity: Any, result: Any) -> tuple[DroppedRows, ...]:
        raise OSError("the source is out of reach")

    id = scene.recording.submitted(draft(), entities())
    scene.recording.ran(
        PendingRetrieval(id, entities(), explain=explain), 1.0, pa.table({"a": [1, 2]})
    )
    result = scene.settled(id).result

    assert result is not None
    assert (result.rows, result.dropped) == (2, 1)
    assert result.fingerprint


def test_more_rows_than_asked_are_a_negative_number_dropped(scene) -> None:
    id = scene.recording.submitted(draft(), entities())
    scene.recording.ran(PendingRetrieval(id), 1.0, pa.table({"a": [1, 2, 3, 4]}))
    result = scene.settled(id).result

    assert result is not None
    assert result.dropped == -1


def test_where_rows_asked_are_unknown_none_are_dropped(scene) -> None:
    id = scene.recording.submitted(draft(rows=None), "SELECT 1")
    scene.recording.ran(PendingRetrieval(id), 1.0, pa.table({"a": [1, 2]}))
    result = scene.settled(id).result

    assert result is not None
    assert result.dropped == 0


def test_integers_with_missing_values_have_the_fingerprint_of_integers(scene) -> None:
    types = {"a": pa.int64()}
    ids = [scene.recording.submitted(draft(), entities()) for _ in range(2)]
    scene.recording.ran(
        PendingRetrieval(ids[0], types=lambda: types), 1.0, pd.DataFrame({"a": [1, None, 3]})
    )
    scene.recording.ran(
        PendingRetrieval(ids[1], types=lambda: types), 1.0, pa.table({"a": [1, None, 3]})
    )
    one, other = (scene.settled(i).result for i in ids)

    assert one is not None
    assert other is not None
    assert one.fingerprint == other.fingerprint


def test_a_result_that_cannot_be_hashed_warns_and_nothing_else(scene, monkeypatch) -> None:
    id = scene.recording.submitted(draft(), entities())
    scene.settled(id)
    monkeypatch.setattr(fingerprint, "of", lambda *_: 1 / 0)
    scene.recording.ran(PendingRetrieval(id), 1.0, pa.table({"a": [1]}))

    assert scene.settled(id).state == "ran"
    assert len(scene.warned) == 1
    assert "ZeroDivisionError" in scene.warned[0]


def test_columns_of_a_pandas_frame_have_the_types_declared() -> None:
    frame = pd.DataFrame({"a": [1, None], 7: ["x", None]})

    assert [(c.name, c.dtype, c.nulls) for c in columns_of(frame, {"a": pa.int64()})] == [
        ("a", "int64", 1), ("7", "string", 1),
    ]  # fmt: skip


def test_columns_of_one_name_are_told_apart() -> None:
    frame = pd.DataFrame([[1, None]], columns=["a", "a"])

    assert [c.nulls for c in columns_of(frame, {})] == [0, 1]


# ---------------------------------------------------------------------- online


def test_identical_online_calls_are_one_record_with_a_count(scene) -> None:
    ids = {online(scene) for _ in range(5)}
    (id,) = ids
    kept = scene.settled(id)

    assert kept.count == 5
    assert kept.at is not None
    assert kept.last is not None
    assert kept.last >= kept.at
    assert len(scene.recording.table.retrievals) == 1


@pytest.mark.parametrize(
    "change",
    [{"refs": ("v:b",)}, {"refs": ("v:a", "v:b")}, {"service": "s"}, {"project": "q"},
     {"full_feature_names": True}, {"rows": 2}],
    ids=str,
)  # fmt: skip
def test_another_online_call_is_another_record(scene, change: dict[str, Any]) -> None:
    first, second = online(scene), online(scene, **change)

    assert first != second
    assert {r.count for r in scene.recording.table.retrievals.values()} == {1}


def test_the_same_online_call_in_another_cell_or_run_is_another_record(scene) -> None:
    first = online(scene)
    scene.world.cell = Cell(4)
    second = online(scene)
    scene.world.run = OTHER
    third = online(scene)

    assert len({first, second, third}) == 3


def test_historical_retrievals_never_roll_up(scene) -> None:
    ids = set()
    for _ in range(2):
        id = scene.recording.submitted(draft(), entities())
        scene.recording.ran(PendingRetrieval(id), 1.0, pa.table({"a": [1, 2, 3]}))
        ids.add(id)

    assert len(ids) == 2


# ---------------------------------------------------------------------- runs


def test_outside_any_run_nothing_is_sent_and_all_is_known(scene) -> None:
    scene.world.run = None
    id = scene.recording.submitted(draft(), entities(), archive=True)
    scene.recording.ran(PendingRetrieval(id), 1.0, pa.table({"a": [1, 2, 3]}))

    assert scene.settled(id).result is not None
    assert scene.settled(id).run_id is None
    assert scene.sent == []


def test_a_job_made_outside_any_run_is_of_the_run_it_runs_in(scene) -> None:
    scene.world.run = None
    id = scene.recording.submitted(draft(), entities())
    scene.world.run = RUN
    scene.recording.ran(PendingRetrieval(id), 1.0, pa.table({"a": [1, 2, 3]}))

    assert scene.settled(id).run_id == "run"
    assert scene.recording.table.of_run("run") == [scene.settled(id)]


def test_a_job_made_outside_any_run_that_fails_in_one_is_of_that_run(scene) -> None:
    scene.world.run = None
    id = scene.recording.submitted(draft(), entities())
    scene.world.run = RUN
    scene.recording.failed(PendingRetrieval(id), 1.0, ValueError("no"))

    assert scene.settled(id).run_id == "run"


def test_a_frame_of_a_job_made_outside_any_run_is_kept_or_says_why_not(scene) -> None:
    scene.world.run = None
    id = scene.recording.submitted(draft(), entities(), archive=True)
    scene.settled(id)
    scene.world.run = RUN
    scene.recording.ran(PendingRetrieval(id), 1.0, pa.table({"a": [1, 2, 3]}))
    entity = scene.settled(id).entity

    assert entity.artifact or entity.reason


def test_a_job_keeps_the_run_it_was_made_in(scene) -> None:
    id = scene.recording.submitted(draft(), entities())
    scene.world.run = OTHER
    scene.recording.ran(PendingRetrieval(id), 1.0, pa.table({"a": [1, 2, 3]}))

    assert scene.settled(id).run_id == "run"


def test_retrievals_of_a_run_are_in_order_with_linked_ones_first(scene) -> None:
    scene.world.run = OTHER
    elsewhere = scene.recording.submitted(draft(), entities())
    scene.world.run = RUN
    first, second = (scene.recording.submitted(draft(), entities()) for _ in range(2))
    scene.recording.link(RUN, elsewhere, "attrs")

    assert [r.id for r in scene.recording.table.of_run("run")] == [elsewhere, first, second]


def test_a_link_leaves_the_original_untouched(scene) -> None:
    id = scene.recording.submitted(draft(), entities())
    original = scene.settled(id)

    linked = scene.recording.link(OTHER, id, "name")

    assert (linked.run_id, linked.linked_by) == ("other", "name")
    assert scene.recording.table.retrievals[id] == original
    assert scene.recording.table.of_run("run") == [original]
    assert scene.recording.table.of_run("other") == [linked]
    assert scene.sent[-1] == (
        *OTHER,
        {"kind": "retrieval", "retrieval": linked.to_dict(), "inherited_from": None},
    )


def test_a_linked_retrieval_claims_no_copy_that_its_run_does_not_have(scene) -> None:
    id = scene.recording.submitted(draft(), entities(), archive=True)
    assert scene.settled(id).entity.artifact == "entity_df.parquet"

    linked = scene.recording.link(OTHER, id, "attrs")
    scene.settled(id)
    copied = [e["artifact"] for run, _, e in scene.sent if run == "other" and e["kind"] == "file"]

    assert linked.entity.artifact in (None, *copied)


def test_a_contract_is_kept_and_sent(scene) -> None:
    contract = Contract("m-1", "run", "p")

    scene.recording.modelled(RUN, contract)

    assert scene.recording.table.contracts == {"m-1": contract}
    assert scene.sent == [(*RUN, {"kind": "contract", "contract": Record.to_dict(contract)})]


# ---------------------------------------------------------------------- threads


def test_settle_is_bounded(scene) -> None:
    scene.hold_the_background()

    assert not scene.recording.settle(0.01)


def test_many_threads_may_retrieve_at_once(scene) -> None:
    def retrieve() -> None:
        for _ in range(10):
            id = scene.recording.submitted(draft(), entities(), archive=True)
            scene.recording.ran(PendingRetrieval(id), 1.0, pa.table({"a": np.arange(3)}))

    threads = [threading.Thread(target=retrieve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scene.recording.settle(10)
    kept = list(scene.recording.table.retrievals.values())

    assert len(kept) == 40
    assert all(r.result and r.entity.fingerprint and r.entity.artifact for r in kept)
    assert len(scene.files()) == 1
    assert scene.warned == []


def test_a_loop_of_calls_gets_no_further_ahead_than_a_few_hundred_frames(
    scene, monkeypatch
) -> None:
    """Each frame is held until it is hashed: what a loop leaves behind does not grow with it."""
    monkeypatch.setattr(background, "_MANY", 20)
    waiting = 0
    for n in range(300):
        id = scene.recording.submitted(draft("online", refs=(f"v:{n}",)))
        scene.recording.ran(PendingRetrieval(id), 0.0, pa.table({"a": np.arange(3)}))
        waiting = max(waiting, len(scene.recording._background._queue))

    assert waiting < 150
    assert scene.recording.settle(10)
    assert all(r.result for r in scene.recording.table.retrievals.values())


def test_what_thousands_of_calls_have_in_common_is_kept_once(scene) -> None:
    view = ViewDefinition("v", "v", hashes={"ttl": "0" * 8})
    ids = [
        scene.recording.submitted(replace(draft(), views=(replace(view),), refs=(f"v:{'a' * 3}",)))
        for _ in range(2)
    ]
    one, other = (scene.recording.table.retrievals[id] for id in ids)

    assert one.views[0] is other.views[0]
    assert one.refs[0] is other.refs[0]
    changed = replace(view, hashes={"ttl": "1" * 8})
    third = scene.recording.submitted(replace(draft(), views=(changed,)))
    assert scene.recording.table.retrievals[third].views == (changed,)


def test_a_link_that_is_known_is_not_sent_again_and_a_surer_one_is(scene) -> None:
    """Every cell of a run that reads the frame says it again."""
    scene.world.run = None
    id = scene.recording.submitted(draft(), entities())
    scene.settled(id)

    for by in ("columns", "columns", "name", "columns", "name"):
        scene.recording.link(RUN, id, by)

    sent = [e["retrieval"]["linked_by"] for e in scene.of_kind("retrieval")]
    assert sent == ["columns", "name"]


def test_rolled_up_calls_of_many_threads_are_all_counted(scene) -> None:
    online(scene)
    threads = [
        threading.Thread(target=lambda: [online(scene) for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (kept,) = scene.recording.table.of_run("run")
    assert kept.count == 201
    assert scene.settled(kept.id).result is not None


# ---------------------------------------------------------------------- what is looked up later


class Registry:
    """Answers or does not, for each retrieval's look in turn; how often it was asked."""

    def __init__(self) -> None:
        self.away, self.asked = True, 0

    def look(self, retrieval: Retrieval) -> Retrieval:
        self.asked += 1
        if self.away:
            raise StoreError("the registry server did not answer within 4.5 s.")
        return replace(retrieval, registry="known", unseen=None)


def unseen_of(scene: Scene) -> list[str | None]:
    return [r.unseen for r in scene.recording.table.retrievals.values()]


def test_what_a_registry_was_away_for_is_looked_up_with_the_next_and_at_the_end(scene) -> None:
    registry = Registry()
    for _ in range(2):
        scene.recording.submitted(draft(), look=registry.look)
    assert scene.recording.settle(5)
    assert unseen_of(scene) == ["the registry server did not answer within 4.5 s"] * 2
    assert len(scene.warned) == 1

    scene.recording.look_again()
    assert scene.recording.settle(5)
    assert unseen_of(scene).count(None) == 0
    registry.away = False
    scene.recording.submitted(draft(), look=registry.look)
    assert scene.recording.settle(5)

    assert unseen_of(scene) == [None] * 3
    before = registry.asked
    scene.recording.look_again()
    assert scene.recording.settle(5)
    assert registry.asked == before  # nothing is left to be looked up


def test_a_look_that_fails_otherwise_takes_no_other_with_it(scene) -> None:
    """A driver's own error, or a module that is not loaded yet: the work may be begun anew."""
    registry, broken = Registry(), Registry()
    scene.recording.submitted(draft(), look=broken.look)
    scene.recording.submitted(draft(), look=registry.look)
    assert scene.recording.settle(5)
    broken.look = lambda _: 1 / 0  # type: ignore[assignment]
    tasks = scene.recording._hashes
    tasks._unseen = dict.fromkeys(tasks._unseen, broken.look) | {
        next(reversed(tasks._unseen)): registry.look
    }
    registry.away = False
    scene.recording.look_again()
    assert scene.recording.settle(5)

    assert registry.look in tasks._unseen.values()  # it is still to be looked up


def test_a_forked_child_looks_up_nothing_of_its_parents(scene) -> None:
    scene.recording.submitted(draft(), look=Registry().look)
    assert scene.recording.settle(5)
    tasks = scene.recording._hashes
    assert len(tasks._unseen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        os._exit(len(tasks._unseen))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(tasks._unseen) == 1


def test_a_look_that_is_begun_anew_goes_on_with_what_it_found(repo: Path, monkeypatch) -> None:
    """What it found was kept, and the record was not written yet."""
    from feast import FeatureStore

    from feast_nb.integrations.feast.calls import Call
    from feast_nb.integrations.feast.sources import looked_into
    from feast_nb.recorder import retrieval_details

    call = Call(FeatureStore(str(repo)), ["hourly:trips"])
    asked = retrieval_details.RequestedDefinitions(call)
    found, asked._found = asked._found, None
    made = replace(
        asked.whole(asked.draft("historical", EntityFrame("dataframe"))),
        at="2030-01-01T00:00:00+00:00",
    )
    monkeypatch.setattr(asked, "_asked", lambda: found)
    tries = iter([NotLoaded("s3fs")])

    def once(*args: Any, **kwargs: Any) -> Any:
        for missing in tries:
            raise missing
        return looked_into(*args, **kwargs)

    monkeypatch.setattr(retrieval_details.sources, "looked_into", once)
    with pytest.raises(NotLoaded):
        asked.look(made)
    again = asked.look(made)

    assert again.unseen is None
    assert [v.name for v in again.views] == ["hourly"]
