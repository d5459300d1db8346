"""Entries reach MLflow, in order, whatever happens to the server or to this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from feast_nb.recorder.delivery import outbox, outbox_file, sender
from feast_nb.recorder.delivery.outbox import Outbox
from feast_nb.recorder.delivery.run_queue import Batch, RunQueue
from feast_nb.records.outbox import (
    FileEntry,
    OutboxEntry,
    RepeatEntry,
    RetrievalEntry,
    RunEnd,
    RunStart,
    VersionEntry,
)
from feast_nb.records.retrieval import Retrieval

ROOT = Path(__file__).resolve().parents[2]
URI = "sqlite:///mlflow.db"


class Server:
    """What MLflow has: for each run, all its entries; it may be away, or hold its answer."""

    def __init__(self) -> None:
        self.runs: dict[str, list[Any]] = {}
        self.uris: dict[str, str] = {}
        self.finals: list[tuple[str, bool]] = []
        self.troubles: list[str] = []
        self.said: list[str] = []
        self.away = False
        self.whole = False  # whether it has all of a run for good with each delivery
        self.answers = threading.Event()
        self.asked = threading.Event()
        self.answers.set()

    def deliver(self, batch: Batch) -> bool:
        self.asked.set()
        assert self.answers.wait(5)
        if self.away:
            raise ConnectionError("the server is away")
        self.runs.setdefault(batch.run_id, []).extend(numbers(batch.new))
        self.uris[batch.run_id] = batch.tracking_uri
        self.finals.append((batch.run_id, batch.final))
        return self.whole

    def troubled(self, queue: RunQueue) -> None:
        self.troubles.append(f"{queue.run_id} {queue.failures}: {queue.trouble}")


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    monkeypatch.setattr(outbox, "_SETTLE", 0.01)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def make(folder: Path, server: Server) -> Iterator[Callable[..., Outbox]]:
    made: list[Outbox] = []

    def outbox_of(deliver: Any = server.deliver) -> Outbox:
        made.append(Outbox(folder, deliver, server.troubled, say=server.said.append))
        return made[-1]

    yield outbox_of
    server.answers.set()
    server.away = True
    for each in made:
        each.close(0.01)


def entry(n: Any) -> VersionEntry:
    """An entry of its own key, which holds `n`."""
    return VersionEntry("model", n if isinstance(n, str) else str(n))


def numbers(entries: Iterable[OutboxEntry]) -> list[Any]:
    texts = [e.version for e in entries if isinstance(e, VersionEntry)]
    return [int(t) if t.isdigit() else t for t in texts]


def line(run: str, n: Any) -> str:
    """As 0.1 wrote it."""
    return json.dumps({"run": run, "uri": URI, "entry": entry(n).to_dict()})


def of_now(box: Outbox, run: str, n: int) -> dict[str, Any]:
    writer = box.path.stem
    head = {"schema_version": "1.3", "run": run, "uri": URI, "writer": writer, "n": n}
    return {**head, "entry": entry(n).to_dict()}


def left_behind(folder: Path, name: str, *lines: str) -> Path:
    """The file of a process that died."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.jsonl"
    path.write_text("".join(f"{text}\n" for text in lines))
    return path


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("*.jsonl"))


def lines(path: Path) -> list[Any]:
    return [json.loads(text) for text in path.read_text().splitlines()]


# ---------------------------------------------------------------------- in and out


def test_an_entry_is_on_disk_before_put_returns(make, server) -> None:
    server.answers.clear()
    box = make()

    box.put("r", URI, entry(1))

    assert lines(box.path) == [of_now(box, "r", 1)]


def test_nothing_is_made_before_the_first_entry(make, folder) -> None:
    make()

    assert not folder.exists()


def test_the_file_is_for_the_user_alone(make, folder) -> None:
    box = make()
    box.put("r", URI, entry(1))

    assert box.path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_entries_arrive_in_order_without_being_asked_for(make, server) -> None:
    box = make()
    for n in range(20):
        box.put("r", URI, entry(n))

    deadline = time.monotonic() + 60
    while box.pending() and time.monotonic() < deadline:
        time.sleep(0.005)

    assert server.runs == {"r": list(range(20))}
    assert server.uris == {"r": URI}


def test_entries_that_come_together_go_in_one_request(make, server, monkeypatch) -> None:
    monkeypatch.setattr(outbox, "_SETTLE", 60)
    box = make()
    for n in range(20):
        box.put("r", URI, entry(n))
    box.flush()

    assert server.finals == [("r", False)]


def test_a_run_whose_sending_takes_the_processor_is_sent_more_rarely(make, server) -> None:
    """Of a loop's time at most a tenth goes to telling of it; who waits does not wait for that."""

    def deliver(batch: Batch) -> bool:
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            pass
        return server.deliver(batch)

    box = make(deliver)
    box.put("r", URI, entry(0))
    assert box.flush()
    rests = box._queues["r"].rests_until - time.monotonic()
    assert 0.5 < rests < 5.0

    began = time.monotonic()
    for n in range(1, 50):
        box.put("r", URI, entry(n))
    assert len(server.finals) == 1 or time.monotonic() - began > rests
    assert box.flush("r")
    assert server.runs["r"] == list(range(50))


def test_a_server_that_is_slow_is_sent_to_as_soon_as_ever(make, server) -> None:
    server.answers.clear()
    box = make()
    box.put("r", URI, entry(0))
    assert server.asked.wait(5)
    time.sleep(0.5)
    server.answers.set()
    assert box.flush()

    assert box._queues["r"].rests_until - time.monotonic() < 0.3


def test_each_run_has_a_parcel_of_its_own(make, server) -> None:
    box = make()
    box.put("a", URI, entry(1))
    box.put("b", "http://other", entry(2))
    box.put("a", URI, entry(3))

    assert box.flush()
    assert server.runs == {"a": [1, 3], "b": [2]}
    assert server.uris == {"a": URI, "b": "http://other"}


def test_a_final_flush_says_so_and_a_later_entry_is_not_final(make, server) -> None:
    box = make()
    box.put("r", URI, entry(1))
    box.flush("r", final=True)
    box.put("r", URI, entry(2))
    box.flush("r")

    # The first may have gone by itself before it was flushed.
    assert server.finals[-2:] == [("r", True), ("r", False)]


def test_what_is_under_way_is_not_sent_again_by_a_flush(make, server) -> None:
    server.answers.clear()
    box = make()
    box.put("r", URI, entry(1))
    assert server.asked.wait(5)
    flushed = threading.Thread(target=box.flush)
    flushed.start()
    time.sleep(0.05)
    server.answers.set()
    flushed.join(5)
    time.sleep(0.05)

    assert server.finals == [("r", False)]


def test_a_flush_waits_for_a_delivery_in_which_nothing_is_new(make, server, folder) -> None:
    """A dead process's run of which MLflow has all: what is under way removes its file."""
    server.answers.clear()
    left_behind(folder, "dead", line("r", 1), json.dumps({"run": "r", "uri": URI, "delivered": 1}))
    box = make()
    list(box.recover())
    assert server.asked.wait(5)
    threading.Timer(0.2, server.answers.set).start()

    assert box.flush()
    assert files(folder) == []


def test_an_entry_that_is_no_json_is_refused_and_leaves_no_trace(make, server) -> None:
    box = make()
    with pytest.raises(TypeError):
        box.put("r", URI, FileEntry(path=object(), artifact="a"))  # type: ignore[arg-type]
    box.put("r", URI, entry(2))

    assert box.flush()
    assert server.runs == {"r": [2]}


@pytest.mark.parametrize("text", ["\u2028", "\x85\x1c", "\ud800", "\n\r", "ä\0"])
def test_any_text_survives_the_disk(make, server, folder, text: str) -> None:
    left_behind(folder, "dead", line("r", text))
    box = make()
    list(box.recover())

    assert box.flush()
    assert server.runs == {"r": [text]}


def test_a_write_that_the_system_cuts_short_is_finished(make, monkeypatch) -> None:
    """`os.write` may write less than it was given: near a full disk, a quota, a signal."""
    write = os.write
    monkeypatch.setattr(outbox_file.os, "write", lambda file, data: write(file, data[:10]))
    box = make()
    box.put("r", URI, entry(1))
    monkeypatch.undo()

    assert lines(box.path)[0] == of_now(box, "r", 1)


# ---------------------------------------------------------------------- calls that repeat


def online_call(count: int = 1) -> RetrievalEntry:
    refs = tuple(f"view:feature_{n}" for n in range(500))
    return RetrievalEntry(Retrieval("r-1", "online", "p", refs, state="ran", count=count))


def counts(entries: Iterable[OutboxEntry]) -> list[int]:
    return [e.retrieval.count for e in entries if isinstance(e, RetrievalEntry)]


def test_a_call_that_repeats_is_a_small_entry_and_is_delivered_whole(make, folder) -> None:
    came: list[int] = []
    go = threading.Event()

    def deliver(batch: Batch) -> bool:
        assert go.wait(10)
        came.extend(counts(batch.new))
        return False

    box = make(deliver)
    box.put("r", URI, online_call(), soon=False)
    before = box.path.stat().st_size
    for count in range(2, 1002):
        box.put_again("r", URI, online_call(count))
    added = box.path.stat().st_size - before
    left = box.path.read_text()
    go.set()
    assert box.flush()
    assert came[-1] == 1001
    assert added < 1000 * 300  # bytes; the whole record has 10,000

    left_behind(folder, "1-dead", *left.splitlines())  # as a kill would have left it
    (dead,) = make(lambda _: False).recover()
    assert counts(dead.entries) == [1001]


def test_a_call_that_repeats_after_mlflow_has_it_for_good_is_written_whole(make) -> None:
    came: list[int] = []

    def deliver(batch: Batch) -> bool:
        came.extend(counts(batch.new))
        return True

    box = make(deliver)
    box.put("r", URI, online_call())
    assert box.flush()
    box.put_again("r", URI, online_call(2))
    box.put_again("r", URI, online_call(3))
    assert box.flush()

    assert came[-1] == 3


def test_a_count_of_nothing_is_set_aside(make, folder, server) -> None:
    head = {"schema_version": "1.3", "run": "r", "uri": URI, "writer": "w", "n": 1}
    counted = {**head, "entry": RepeatEntry("r-9", 2).to_dict()}
    path = left_behind(folder, "1-dead", json.dumps(counted), line("r", 5))
    list(make().recover())

    assert "it repeats r-9, which is not there" in server.said[0]
    assert (folder / "rejected" / path.name).read_text().count("\n") == 1


# ---------------------------------------------------------------------- flush


def test_a_disk_that_refuses_is_told_of_and_records_go_straight_to_mlflow(
    make, server, folder
) -> None:
    """A folder that cannot be made: what a full disk and a read-only one do, too."""
    folder.parent.joinpath(folder.name).write_text("a file stands where the folder was to be")
    box = make()
    box.put("r", URI, entry(1))
    box.put("r", URI, entry(2))

    assert box.flush()
    assert server.runs["r"] == [1, 2]
    assert all("cannot be kept on disk" in said for said in server.said)


def test_what_a_disk_refused_is_on_it_with_the_next_entry(make, server, folder) -> None:
    server.away = True
    folder.write_text("")
    box = make()
    box.put("r", URI, entry(1))
    folder.unlink()
    box.put("r", URI, entry(2))

    kept = box.path.read_text()
    assert '"version": "1"' in kept
    assert '"version": "2"' in kept


def test_flush_waits_for_what_is_under_way(make, server) -> None:
    server.answers.clear()
    box = make()
    box.put("r", URI, entry(1))
    assert server.asked.wait(5)
    threading.Timer(0.05, server.answers.set).start()

    assert box.flush()
    assert server.runs == {"r": [1]}


def test_flush_waits_for_entries_that_came_during_a_delivery(make, server) -> None:
    server.answers.clear()
    box = make()
    box.put("r", URI, entry(1))
    assert server.asked.wait(5)
    box.put("r", URI, entry(2))
    threading.Timer(0.02, server.answers.set).start()

    assert box.flush()
    assert server.runs == {"r": [1, 2]}


def test_flush_is_bounded(make, server) -> None:
    server.answers.clear()
    box = make()
    box.put("r", URI, entry(1))
    started = time.monotonic()

    assert not box.flush(seconds=0.05)
    assert time.monotonic() - started < 60
    assert box.pending() == 1


def test_flush_of_one_run_does_not_wait_for_another(make, server) -> None:
    box = make()
    box.put("a", URI, entry(1))
    assert box.flush("a")
    server.answers.clear()
    box.put("b", URI, entry(2))

    assert box.flush("a", seconds=0.5)
    assert box.pending("b") == 1


def test_flush_with_nothing_to_send_is_done(make) -> None:
    assert make().flush(seconds=0)


def test_flush_does_not_wait_for_a_server_that_is_away(make, server) -> None:
    server.away = True
    box = make()
    box.put("r", URI, entry(1))
    started = time.monotonic()

    assert not box.flush(seconds=600)
    assert time.monotonic() - started < 60


# ---------------------------------------------------------------------- trouble


def test_a_delivery_that_fails_says_so_and_is_tried_again(make, server, monkeypatch) -> None:
    monkeypatch.setattr(sender, "_RETRY", (0.01,))
    server.away = True
    box = make()
    box.put("r", URI, entry(1))
    deadline = time.monotonic() + 60
    while len(server.troubles) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    server.away = False

    assert box.flush() or box.flush()  # one attempt may have been under way
    assert server.troubles[:2] == [f"r {n}: the server is away" for n in (1, 2)]
    assert server.runs == {"r": [1]}
    assert box.pending() == 0


def test_attempts_grow_rarer(make, server, monkeypatch) -> None:
    monkeypatch.setattr(sender, "_RETRY", (0.0, 60.0))
    server.away = True
    box = make()
    box.put("r", URI, entry(1))
    deadline = time.monotonic() + 60
    while len(server.troubles) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)

    assert len(server.troubles) == 2


def test_one_run_in_trouble_does_not_hold_up_another(make, server, monkeypatch) -> None:
    def deliver(batch: Batch) -> bool:
        if batch.run_id == "bad":
            raise ConnectionError
        return server.deliver(batch)

    box = make(deliver)
    box.put("bad", URI, entry(1))
    box.flush("bad")
    box.put("good", URI, entry(2))

    assert box.flush("good")
    assert server.runs == {"good": [2]}


def test_a_listener_that_fails_does_not_stop_deliveries(folder, server) -> None:
    def troubled(queue: RunQueue) -> None:
        raise RuntimeError("ours")

    hook, threading.excepthook = threading.excepthook, lambda args: None
    try:
        server.away = True
        box = Outbox(folder, server.deliver, troubled)
        box.put("r", URI, entry(1))
        box.flush(seconds=2)
        server.away = False

        assert box.flush(seconds=2) or box.flush(seconds=2)
    finally:
        box.close(0.01)
        threading.excepthook = hook


def test_many_threads_may_put_at_once(make, server) -> None:
    box = make()

    def put(i: int) -> None:
        for n in range(50):
            box.put(f"run {i % 3}", URI, entry(50 * (i // 3) + n))

    threads = [threading.Thread(target=put, args=(i,)) for i in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert box.flush()
    assert {run: sorted(ns) for run, ns in server.runs.items()} == {
        f"run {i}": list(range(150)) for i in range(3)
    }
    assert sum("entry" in text for text in lines(box.path)) == 450


# ---------------------------------------------------------------------- the end


def test_close_takes_the_file_away_when_all_is_delivered(make, folder) -> None:
    box = make()
    box.put("r", URI, entry(1))

    assert box.close()
    assert files(folder) == []


def test_close_leaves_the_file_while_something_is_pending(make, folder, server) -> None:
    server.away = True
    box = make()
    box.put("r", URI, entry(1))

    name = box.path.name
    assert not box.close()
    assert files(folder) == [name]


def test_close_is_bounded(make, server) -> None:
    server.answers.clear()
    box = make()
    box.put("r", URI, entry(1))
    started = time.monotonic()

    box.close(0.05)

    assert time.monotonic() - started < 60


def test_close_ends_the_thread(make) -> None:
    box = make()
    box.put("r", URI, entry(1))
    box.close()

    assert "feast_nb outbox" not in [t.name for t in threading.enumerate()]


def test_close_asks_nothing_of_a_server_that_has_everything(make, server) -> None:
    """A server that stopped since is no reason to say that records could not be sent."""
    box = make()
    box.put("r", URI, entry(1))
    assert box.flush("r", final=True)
    server.away = True

    assert box.close()
    assert server.troubles == []


def test_an_entry_after_close_is_kept_too(make, server) -> None:
    box = make()
    box.put("r", URI, entry(1))
    box.close()
    box.put("r", URI, entry(2))

    assert box.flush()
    assert server.runs == {"r": [1, 2]}


# ---------------------------------------------------------------------- those who died


def test_what_the_dead_left_is_delivered_and_their_file_goes(make, server, folder) -> None:
    left_behind(folder, "dead", line("r", 1), line("s", 2), line("r", 3))
    box = make()

    told = list(box.recover())

    assert [(t.run_id, t.tracking_uri, numbers(t.entries)) for t in told] == [
        ("r", URI, [1, 3]), ("s", URI, [2]),
    ]  # fmt: skip
    assert box.flush()
    assert server.runs == {"r": [1, 3], "s": [2]}
    assert files(folder) == []


def test_what_was_delivered_before_death_is_not_new(make, server, folder) -> None:
    delivered = json.dumps({"run": "r", "uri": URI, "delivered": 1})
    left_behind(folder, "dead", line("r", 1), delivered, line("r", 2))
    seen: list[Any] = []
    box = make(lambda b: seen.append((numbers(b.known), numbers(b.new), b.adopted)))
    list(box.recover())

    assert box.flush()
    assert seen == [([1], [2], True)]


def test_a_file_of_which_all_is_delivered_goes(make, folder) -> None:
    delivered = json.dumps({"run": "r", "uri": URI, "delivered": 1})
    left_behind(folder, "dead", line("r", 1), delivered)
    box = make()
    list(box.recover())
    box.flush()

    assert files(folder) == []


@pytest.mark.parametrize("cut", [1, 20, -2])
def test_a_last_line_cut_short_is_passed_over(make, server, folder, cut: int) -> None:
    path = left_behind(folder, "dead", line("r", 1))
    path.write_text(path.read_text() + line("r", 2)[:cut])
    box = make()
    list(box.recover())

    assert box.flush()
    assert server.runs == {"r": [1]}


@pytest.mark.parametrize("text", ["3", "[]", "{}", '"x"', '{"run": "r"}', "null", "", "\0"])
def test_a_line_that_is_no_entry_is_passed_over(make, server, folder, text: str) -> None:
    """Adoption runs when the extension loads: one bad file must not keep it from loading."""
    left_behind(folder, "dead", text, line("r", 1))
    box = make()
    list(box.recover())

    assert box.flush()
    assert server.runs == {"r": [1]}


def test_the_file_of_a_living_process_is_left_alone(make, server, folder) -> None:
    server.away = True
    living = make()
    living.put("r", URI, entry(1))
    other = make()

    assert list(other.recover()) == []
    assert files(folder) == [living.path.name]


def test_two_outboxes_in_one_folder_keep_apart(make, server, folder) -> None:
    one, other = make(), make()
    one.put("a", URI, entry(1))
    other.put("b", URI, entry(2))

    assert one.close()
    assert files(folder) == [other.path.name]
    assert other.close()
    assert server.runs == {"a": [1], "b": [2]}


def test_two_dead_processes_of_one_run_are_both_delivered(make, server, folder) -> None:
    """Worker processes write to the run of their parent; a run may be resumed and die again."""
    left_behind(folder, "1", line("r", 1))
    left_behind(folder, "2", line("r", 2))
    delivered: set[Any] = set()
    box = make(lambda batch: delivered.update(numbers(batch.new)))
    list(box.recover())

    assert box.flush()
    assert delivered == {1, 2}
    assert files(folder) == []


def test_what_comes_of_the_dead_while_a_batch_is_under_way_is_not_taken_for_delivered(
    make, server, folder
) -> None:
    """Entries are numbered anew then: the batch's numbers are those of before."""
    left_behind(folder, "1", line("r", 1))
    left_behind(folder, "2", line("r", 2))
    delivered: list[Any] = []
    begun, go_on = threading.Event(), threading.Event()

    def deliver(batch: Batch) -> bool:
        delivered.extend(numbers(batch.new))
        begun.set()
        assert go_on.wait(10)
        return False

    box = make(deliver)
    dead = box.recover()
    next(dead)
    assert begun.wait(10)
    list(dead)
    go_on.set()

    assert box.flush()
    assert set(delivered) == {1, 2}


def test_the_dead_are_adopted_for_a_run_that_goes_on_here(make, server, folder) -> None:
    left_behind(folder, "dead", line("r", 1))
    delivered: set[Any] = set()
    box = make(lambda batch: delivered.update(numbers(batch.new)))
    box.put("r", URI, entry(2))
    box.flush()
    list(box.recover())

    assert box.flush()
    assert delivered == {1, 2}


def test_what_an_outbox_adopted_and_could_not_send_is_for_the_next_one(
    make, server, folder
) -> None:
    """`%unload_ext`, then `%load_ext`, in one kernel, with MLflow back in between."""
    left_behind(folder, "dead", line("r", 1))
    server.away = True
    first = make()
    list(first.recover())
    first.close(0.05)
    server.away = False

    second = make()
    list(second.recover())

    assert second.flush()
    assert server.runs == {"r": [1]}


def die(box: Outbox) -> None:
    """End an outbox as a kill would: nothing is delivered, nothing put away, no lock held."""
    with box._changed:
        box._sender.stop()
    box._sender.join(2)
    box._file.close()


def test_what_is_put_for_a_run_after_its_end_survives_a_kill_too(make, server, folder) -> None:
    """`%feast_log` to a run that has ended, and the kernel dies before MLflow has all of it."""
    box = make()
    for n in (1, 2):
        box.put("r", URI, entry(n))
    assert box.flush("r", final=True)
    box.put("r", URI, entry(3))
    assert box.flush("r")
    server.away = True
    box.put("r", URI, entry(4))
    die(box)

    new: list[Any] = []
    following = make(lambda batch: new.extend(numbers(batch.new)))
    list(following.recover())
    following.flush()

    assert 4 in new


def test_a_run_that_was_never_finished_is_finished_by_the_next(make, folder) -> None:
    """`retrievals.json` waits up to 30 s for its writing: a kill comes before it, not the tags."""
    delivered = json.dumps({"run": "r", "uri": URI, "delivered": 1})
    left_behind(folder, "dead", line("r", 1), delivered)
    seen: list[tuple[str, bool]] = []
    box = make(lambda batch: seen.append((batch.run_id, batch.final)))
    list(box.recover())
    box.flush()

    assert ("r", True) in seen


def test_two_kernels_that_start_at_once_adopt_between_them(
    make, server, folder, monkeypatch
) -> None:
    """One opens a file, the other adopts it and takes it away, then the first one has its lock."""
    left_behind(folder, "dead", line("r", 1))
    lock = outbox_file.locked

    def late(path: Path) -> int | None:
        handle = lock(path)
        path.unlink()
        return handle

    monkeypatch.setattr(outbox_file, "locked", late)

    assert list(make().recover()) == []


KILLED = """
import sys, signal, os
from pathlib import Path
from feast_nb.records.outbox import VersionEntry
from feast_nb.recorder.delivery.outbox import Outbox
def deliver(batch):
    raise ConnectionError
box = Outbox(Path(sys.argv[1]), deliver, lambda queue: None)
for n in range(20):
    box.put("r", "uri", VersionEntry("model", str(n)))
print(box.path.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_nothing(make, server, folder) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == -signal.SIGKILL
    assert files(folder) == [done.stdout.strip()]

    box = make()
    list(box.recover())

    assert box.flush()
    assert server.runs == {"r": list(range(20))}
    assert files(folder) == []


# ---------------------------------------------------------------------- how much is kept


def test_what_is_kept_follows_what_is_to_be_delivered(make, server) -> None:
    """10,000 times the same online call, and MLflow has each: nothing of it stays."""
    server.whole = True
    box = make()
    largest = 0
    for n in range(10_000):
        box.put("r", URI, VersionEntry("model", "1", model_id=f"{n} {'x' * 500}"), soon=False)
        largest = max(largest, box.path.stat().st_size)
        if n % 1000 == 999:
            assert box.flush("r")

    assert largest < 1_100_000
    assert box._queues["r"].entries == {}


def test_what_is_kept_while_the_server_is_away_is_the_latest_of_each(make, server) -> None:
    server.away = True
    box = make()
    for n in range(5000):
        box.put("r", URI, VersionEntry("model", str(n % 3), model_id=f"{n} {'x' * 500}"))

    assert box.pending() == 3
    assert box.path.stat().st_size < 1_100_000
    server.away = False
    assert box.flush() or box.flush()
    assert sorted(server.runs["r"][-3:]) == [0, 1, 2]


def test_a_file_that_was_written_anew_is_read_as_the_one_before(
    make, server, folder, monkeypatch
) -> None:
    monkeypatch.setattr(outbox_file, "_LARGE", 1)
    box = make()
    box.put("r", URI, RunStart("n.ipynb", "v1"))
    for n in range(4):
        box.put("r", URI, entry(n))
    assert box.flush("r")
    server.whole = True
    box.put("r", URI, entry(4))
    assert box.flush("r")
    server.away = True
    box.put("r", URI, entry(5))
    die(box)
    assert len(files(folder)) == 1
    server.away = False

    following = make()
    (left,) = following.recover()

    assert left.entries == (RunStart("n.ipynb", "v1"), entry(5))
    assert following.flush()
    assert server.runs["r"] == [0, 1, 2, 3, 4, 5]


def test_the_start_of_a_run_is_kept_until_its_end_is_delivered(make, server, folder) -> None:
    server.whole = True
    box = make()
    box.put("r", URI, RunStart("n.ipynb", "v1"))
    box.put("r", URI, entry(1))
    assert box.flush("r")

    assert list(box._queues["r"].kept()) == [RunStart("n.ipynb", "v1")]
    box.put("r", URI, RunEnd("FINISHED"))
    assert box.flush("r")
    assert list(box._queues["r"].kept()) == []


def test_a_disk_that_is_full_while_the_file_is_written_anew_loses_nothing(
    make, server, folder, monkeypatch
) -> None:
    monkeypatch.setattr(outbox_file, "_LARGE", 1)
    box = make()

    def full(path: Path, text: bytes) -> int:
        raise OSError(28, "No space left on device")

    box.put("r", URI, entry(1))
    monkeypatch.setattr(outbox_file, "open_locked", full)
    for n in range(2, 5):
        box.put("r", URI, entry(n))

    assert [each["n"] for each in lines(box.path) if "entry" in each] == [1, 2, 3, 4]


# ---------------------------------------------------------------------- what cannot be read

NEWER = {"schema_version": "2.0", "run": "r", "uri": URI, "n": 2, "entry": {"kind": "version"}}
BAD = [
    json.dumps({"run": "r", "uri": URI, "entry": {"kind": "of the future", "x": 1}}),
    json.dumps({"run": "r", "uri": URI, "entry": {"kind": "version", "named": "x"}}),
    json.dumps({"run": "r", "uri": URI, "entry": {"kind": "retrieval", "retrieval": {"id": "r"}}}),
    json.dumps({"run": "r", "uri": URI, "entry": {"kind": "retrieval", "retrieval": 7}}),
    json.dumps(NEWER),
]


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_read_is_set_aside_with_a_word_and_the_rest_goes(
    make, server, folder, bad: str
) -> None:
    left_behind(folder, "dead", line("r", 1), bad, line("r", 3))
    box = make()
    list(box.recover())

    assert box.flush()
    assert server.runs == {"r": [1, 3]}
    assert files(folder) == []
    assert (folder / "rejected" / "dead.jsonl").read_text() == f"{bad}\n"
    (said,) = server.said
    assert "1 records of an earlier session cannot be read" in said
    assert str(folder / "rejected") in said


@pytest.mark.parametrize(
    "bad",
    [
        {"run": "r", "uri": URI, "delivered": "many"},
        {"run": "r", "uri": URI, "delivered": 1, "last": None},
        {"run": ["r"], "uri": URI, "entry": 1},
        {"run": "r", "uri": URI, "n": "two", "entry": {"kind": "version"}},
        {"run": "r", "uri": URI, "entry": "text"},
    ],
)
def test_no_line_stops_what_follows_it(make, server, folder, bad: dict[str, Any]) -> None:
    """Recovery runs when the extension loads: one bad line must not keep it from loading."""
    left_behind(folder, "dead", json.dumps(bad), line("r", 1))
    box = make()
    list(box.recover())

    assert box.flush()
    assert server.runs == {"r": [1]}
    assert (folder / "rejected" / "dead.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_run_that_goes_on_was_begun_all_the_same(make, server, folder) -> None:
    """Continued by a kernel that died: it was left open as one that was begun there."""
    box = make()
    box.put("r", URI, RunStart("n.ipynb", "v1"))
    box.put("r", URI, RunStart(resumed=True))
    die(box)

    (left,) = make().recover()

    assert left.entries == (RunStart("n.ipynb", "v1"), RunStart(resumed=True))


def test_close_keeps_what_waits_for_the_next_document(make, server, folder) -> None:
    """The tags went; `retrievals.json` is written every 30 seconds, and the server went away."""
    box = make()
    box.put("r", URI, entry(1))
    assert box.flush("r")
    server.away = True
    assert box.pending() == 0

    box.close(0.05)

    assert len(files(folder)) == 1


def test_half_a_line_takes_no_other_with_it(make, server, folder, monkeypatch) -> None:
    box = make()
    box.put("r", URI, entry(1), soon=False)
    write = os.write
    calls: list[int] = []

    def full(file: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(file, data[:10])

    monkeypatch.setattr(outbox_file.os, "write", full)
    server.away = True  # it is sent at once, as no disk has it
    box.put("r", URI, entry(2), soon=False)
    monkeypatch.undo()
    box.put("r", URI, entry(3), soon=False)

    assert [each["entry"]["version"] for each in lines(box.path)] == ["1", "1", "2", "3"]
    assert "cannot be kept on disk (No space left on device)" in server.said[0]
    die(box)
    server.away = False
    again = make()
    (left,) = again.recover()
    assert numbers(left.entries) == [1, 2, 3]
    assert again.flush()
    assert server.runs["r"] == [1, 2, 3]


def test_what_was_delivered_is_counted_with_what_cannot_be_read(make, server, folder) -> None:
    delivered = json.dumps({"run": "r", "uri": URI, "delivered": 2})
    left_behind(folder, "dead", BAD[0], line("r", 1), delivered, line("r", 2))
    box = make()
    list(box.recover())

    assert box.flush()
    assert server.runs == {"r": [2]}


def test_an_entry_that_cannot_be_delivered_is_set_aside(make, server, folder) -> None:
    box = make()
    server.away = True
    one, other = entry(1), entry(2)
    box.put("r", URI, one)
    box.put("r", URI, other)
    box.set_aside("r", one, "no reason")
    server.away = False

    assert box.flush() or box.flush()
    assert server.runs == {"r": [2]}
    assert lines(folder / "rejected" / box.path.name)[0]["entry"] == one.to_dict()
    assert "no reason" in server.said[0]


# ---------------------------------------------------------------------- forks

FORKED = """
import os, signal, sys, time
from pathlib import Path
from feast_nb.records.outbox import VersionEntry
from feast_nb.recorder.delivery.outbox import Outbox
def deliver(batch):
    raise ConnectionError
box = Outbox(Path(sys.argv[1]), deliver, lambda queue: None)
box.put("r", "uri", VersionEntry("model", "1"))
ready = os.pipe()
child = os.fork()
if child == 0:
    {child}
print(child, flush=True)
{parent}
"""


def forked(folder: Path, child: str, parent: str) -> subprocess.Popen[str]:
    code = FORKED.format(child=child, parent=parent)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, str(folder)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def test_a_child_that_ends_leaves_its_parents_lock(make, folder) -> None:
    process = forked(
        folder, "os._exit(0)", "os.waitpid(child, 0); print('ended', flush=True); time.sleep(60)"
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert process.stdout.readline() == "ended\n"
    try:
        assert list(make().recover()) == []
    finally:
        process.kill()
        process.wait()


def test_an_owner_that_is_killed_while_a_child_lives_is_dead(make, server, folder) -> None:
    process = forked(
        folder,
        "os.write(ready[1], b'.'); time.sleep(60); os._exit(0)",
        "os.read(ready[0], 1); os.kill(os.getpid(), signal.SIGKILL)",
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        process.wait()
        box = make()
        assert len(list(box.recover())) == 1
        assert box.flush()
        assert server.runs == {"r": [1]}
    finally:
        os.kill(child, signal.SIGKILL)


# ---------------------------------------------------------------------- against a plain model

steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc")),
        st.tuples(st.just("flush"), st.sampled_from(["a", "b", "c", None])),
        st.tuples(st.just("end"), st.sampled_from("abc")),
        st.just(("away", None)),
        st.just(("back", None)),
        st.just(("closes", None)),
        st.just(("is killed", None)),
    ),
    max_size=12,
)

PUT, FLUSH, END = ("put", "a"), ("flush", "a"), ("end", "a")
AWAY, BACK = ("away", None), ("back", None)
CLOSES, KILLED_HERE = ("closes", None), ("is killed", None)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=steps, whole=st.booleans(), small=st.booleans())
@example(steps=[AWAY, PUT, CLOSES, PUT, CLOSES], whole=False, small=False)
@example(steps=[AWAY, PUT, KILLED_HERE, PUT, KILLED_HERE], whole=False, small=True)
@example(steps=[PUT, CLOSES, PUT], whole=True, small=True)
@example(steps=[PUT, PUT, END, PUT, FLUSH, AWAY, PUT, KILLED_HERE, BACK], whole=True, small=True)
def test_in_the_end_the_server_has_what_was_put(
    steps, whole, small, tmp_path_factory, monkeypatch
) -> None:
    """`small`: the file is written anew each time it grows at all."""
    monkeypatch.setattr(sender, "_RETRY", (30.0,))
    monkeypatch.setattr(outbox_file, "_LARGE", 1 if small else 1_000_000)
    folder = tmp_path_factory.mktemp("model") / "outbox"
    has: dict[str, set[Any]] = {}
    away = False

    def deliver(batch: Batch) -> bool:
        if away:
            raise ConnectionError
        has.setdefault(batch.run_id, set()).update(numbers(batch.new))
        return whole

    def fresh() -> Outbox:
        made = Outbox(folder, deliver, lambda queue: None)
        list(made.recover())
        return made

    box = fresh()
    expected: dict[str, set[int]] = {}
    for n, (what, run) in enumerate(steps):
        if what == "put":
            box.put(run, URI, entry(n))
            expected.setdefault(run, set()).add(n)
        elif what in ("flush", "end"):
            done = box.flush(run, 2, final=what == "end")
            assert not done or not box.pending(run)
            assert done or away
        elif what == "closes":
            box.close(0.2)
            box = fresh()
        elif what == "is killed":
            die(box)
            box = fresh()
        else:
            away = what == "away"
    away = False

    assert box.close(2)
    assert {run: got for run, got in has.items() if got} == expected
    assert files(folder) == []


def test_an_attempt_that_began_before_a_flush_does_not_tell_how_it_is_now(tmp_path) -> None:
    """The server came back while a request hung: that one fails, and the next goes through."""
    begun, fail, tries = threading.Event(), threading.Event(), []

    def deliver(batch: Batch) -> bool:
        tries.append(batch.run_id)
        if len(tries) == 1:
            begun.set()
            assert fail.wait(5)
            raise ConnectionError("closed without an answer")

    box = Outbox(tmp_path, deliver, lambda queue: None)
    box.put("a", URI, entry(1))
    assert begun.wait(5)
    threading.Timer(0.1, fail.set).start()

    assert box.flush(seconds=5)
    assert tries == ["a", "a"]
    box.close()


# ---------------------------------------------------------------------- who wrote it, and where


def test_a_batch_says_who_made_it_and_in_which_workspace(folder, server) -> None:
    """A dead process's goes as its own, wherever the next process works."""
    batches: list[Batch] = []
    server.away = True
    named = iter(["team-a", "team-b"])
    box = Outbox(folder, server.deliver, server.troubled, workspace=lambda: next(named))
    box.put("r", URI, entry(1))
    box.put("r", URI, entry(2))  # a run stays where it is
    writer = box.path.stem
    box._file.close()  # it died

    def deliver(batch: Batch) -> bool:
        batches.append(batch)
        return True

    other = Outbox(folder, deliver, server.troubled, workspace=lambda: "team-c")
    list(other.recover())
    assert other.flush()
    other.put("s", URI, entry(3))
    assert other.flush()

    # `flush` asks again where a delivery is under way: nothing new goes then.
    assert [(b.run_id, b.writer, b.workspace) for b in batches if b.new] == [
        ("r", writer, "team-a"),
        ("s", other._file.writer, "team-c"),
    ]
    other.close(0.01)


def test_a_forked_child_is_a_writer_of_its_own(make) -> None:
    box = make()
    mine = box._file.writer
    pid = os.fork()
    if pid == 0:
        os._exit(0 if box._file.writer != mine else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_run_that_was_opened_again_is_still_open_for_who_finds_it(make, server, folder) -> None:
    """Its late end of before was sent; what closes it where this process dies stays on disk."""
    server.whole = True
    box = make()
    box.put("r", URI, RunStart("a.ipynb", kernel=True))
    box.put("r", URI, RunEnd("KILLED", late=True))
    box.put("r", URI, RunStart("a.ipynb", resumed=True, kernel=True))
    assert box.flush()
    box._file.close()  # it died

    (left,) = make().recover()
    assert [type(e) for e in left.entries] == [RunStart, RunStart]


def test_what_comes_after_the_close_takes_nothing_with_it(make, server, folder) -> None:
    """A slow delivery ends after `close` let go of the file: its mark goes elsewhere."""
    server.away = True
    box = make()
    box.put("r", URI, entry(1))
    box.put("r", URI, entry(2))
    left = box.path
    box.close(0.01)
    box._file.write_mark(box._queues["r"])

    assert [line["n"] for line in lines(left)] == [1, 2]


def test_what_a_full_disk_will_not_take_over_stays_where_it_is(
    make, server, folder, monkeypatch
) -> None:
    dead = left_behind(folder, "dead", line("r", 1))
    server.away = True
    box = make()

    def full(*args: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(outbox_file.os, "write", full)
        list(box.recover())
    assert dead.exists()
    assert not box.keeps_all
    assert "No space left on device" in server.said[-1]

    server.away = False
    box.flush(final=True)
    assert server.runs == {"r": [1]}
    assert not dead.exists()


def hold_ended(box: Outbox) -> None:
    """All of a run is sent, its end too; MLflow has yet to end it."""
    box.put("r", URI, RunStart("a.ipynb", kernel=True))
    box.put("r", URI, RunEnd("FINISHED"))
    box.hold("r")
    assert box.flush(final=True)


def test_a_run_that_mlflow_has_yet_to_end_is_found_by_the_next(make, server, folder) -> None:
    """All of it was sent, its end too, and the process dies before MLflow itself ends it."""
    server.whole = True
    box = make()
    hold_ended(box)
    die(box)

    (left,) = make().recover()
    assert RunEnd("FINISHED") in left.entries


def test_a_run_that_mlflow_has_ended_leaves_nothing(make, server, folder) -> None:
    server.whole = True
    box = make()
    hold_ended(box)
    box.release("r")

    assert files(folder) == []


def test_a_run_that_is_released_before_it_could_be_sent_waits(make, server, folder) -> None:
    server.away = True
    box = make()
    box.put("r", URI, RunEnd("FINISHED"))
    box.hold("r")
    assert not box.flush(final=True)
    box.release("r")
    assert files(folder) != []

    server.away, server.whole = False, True
    assert box.flush(final=True)
    assert files(folder) == []
