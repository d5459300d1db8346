"""Entries reach MLflow, in order, whatever happens to the server or to this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from feast_nb import outbox
from feast_nb.outbox import Outbox, Parcel

ROOT = Path(__file__).resolve().parents[2]
URI = "sqlite:///mlflow.db"


class Server:
    """What MLflow has: for each run, all its entries; it may be away, or hold its answer."""

    def __init__(self) -> None:
        self.runs: dict[str, list[Any]] = {}
        self.uris: dict[str, str] = {}
        self.finals: list[tuple[str, bool]] = []
        self.troubles: list[str] = []
        self.away = False
        self.answers = threading.Event()
        self.asked = threading.Event()
        self.answers.set()

    def deliver(self, parcel: Parcel) -> None:
        entries = [e["n"] for e in parcel.entries]
        self.asked.set()
        assert self.answers.wait(5)
        if self.away:
            raise ConnectionError("the server is away")
        self.runs[parcel.run_id] = entries
        self.uris[parcel.run_id] = parcel.tracking_uri
        self.finals.append((parcel.run_id, parcel.final))

    def troubled(self, parcel: Parcel) -> None:
        self.troubles.append(f"{parcel.run_id} {parcel.failures}: {parcel.trouble}")


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
        made.append(Outbox(folder, deliver, server.troubled))
        return made[-1]

    yield outbox_of
    server.answers.set()
    server.away = True
    for each in made:
        each.close(0.01)


def entry(n: Any) -> dict[str, Any]:
    return {"kind": "retrieval", "n": n}


def line(run: str, n: Any) -> str:
    return json.dumps({"run": run, "uri": URI, "entry": entry(n)})


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

    assert lines(box.path) == [{"run": "r", "uri": URI, "entry": entry(1)}]


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

    assert server.finals == [("r", True), ("r", False)]


def test_an_entry_that_is_no_json_is_refused_and_leaves_no_trace(make, server) -> None:
    box = make()
    with pytest.raises(TypeError):
        box.put("r", URI, {"n": object()})
    box.put("r", URI, entry(2))

    assert box.flush()
    assert server.runs == {"r": [2]}


@pytest.mark.parametrize("text", ["\u2028", "\x85\x1c", "\ud800", "\n\r", "ä\0"])
def test_any_text_survives_the_disk(make, server, folder, text: str) -> None:
    left_behind(folder, "dead", line("r", text))
    box = make()
    list(box.adopt())

    assert box.flush()
    assert server.runs == {"r": [text]}


def test_a_write_that_the_system_cuts_short_is_finished(make, monkeypatch) -> None:
    """`os.write` may write less than it was given: near a full disk, a quota, a signal."""
    write = os.write
    monkeypatch.setattr(outbox.os, "write", lambda file, data: write(file, data[:10]))
    box = make()
    box.put("r", URI, entry(1))
    monkeypatch.undo()

    assert lines(box.path)[0] == {"run": "r", "uri": URI, "entry": entry(1)}


# ---------------------------------------------------------------------- flush


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
    monkeypatch.setattr(outbox, "_RETRY", (0.01,))
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
    monkeypatch.setattr(outbox, "_RETRY", (0.0, 60.0))
    server.away = True
    box = make()
    box.put("r", URI, entry(1))
    deadline = time.monotonic() + 60
    while len(server.troubles) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)

    assert len(server.troubles) == 2


def test_one_run_in_trouble_does_not_hold_up_another(make, server, monkeypatch) -> None:
    def deliver(parcel: Parcel) -> None:
        if parcel.run_id == "bad":
            raise ConnectionError
        server.deliver(parcel)

    box = make(deliver)
    box.put("bad", URI, entry(1))
    box.flush("bad")
    box.put("good", URI, entry(2))

    assert box.flush("good")
    assert server.runs == {"good": [2]}


def test_a_listener_that_fails_does_not_stop_deliveries(folder, server) -> None:
    def troubled(parcel: Parcel) -> None:
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

    def put(run: str) -> None:
        for n in range(50):
            box.put(run, URI, entry(n))

    threads = [threading.Thread(target=put, args=(f"run {i % 3}",)) for i in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert box.flush()
    assert {run: sorted(ns) for run, ns in server.runs.items()} == {
        f"run {i}": sorted(list(range(50)) * 3) for i in range(3)
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

    assert not box.close()
    assert files(folder) == [box.path.name]


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

    told = list(box.adopt())

    assert sorted((e["run"], e["uri"], e["n"]) for e in told) == [
        ("r", URI, 1), ("r", URI, 3), ("s", URI, 2),
    ]  # fmt: skip
    assert box.flush()
    assert server.runs == {"r": [1, 3], "s": [2]}
    assert files(folder) == []


def test_what_was_delivered_before_death_is_not_new(make, server, folder) -> None:
    delivered = json.dumps({"run": "r", "uri": URI, "delivered": 1})
    left_behind(folder, "dead", line("r", 1), delivered, line("r", 2))
    seen: list[tuple[int, bool]] = []
    box = make(lambda parcel: seen.append((parcel.delivered, parcel.adopted)))
    list(box.adopt())

    assert box.flush()
    assert seen == [(1, True)]


def test_a_file_of_which_all_is_delivered_goes(make, folder) -> None:
    delivered = json.dumps({"run": "r", "uri": URI, "delivered": 1})
    left_behind(folder, "dead", line("r", 1), delivered)
    box = make()
    list(box.adopt())
    box.flush()

    assert files(folder) == []


@pytest.mark.parametrize("cut", [1, 20, -2])
def test_a_last_line_cut_short_is_passed_over(make, server, folder, cut: int) -> None:
    path = left_behind(folder, "dead", line("r", 1))
    path.write_text(path.read_text() + line("r", 2)[:cut])
    box = make()
    list(box.adopt())

    assert box.flush()
    assert server.runs == {"r": [1]}


@pytest.mark.parametrize("text", ["3", "[]", "{}", '"x"', '{"run": "r"}', "null", "", "\0"])
def test_a_line_that_is_no_entry_is_passed_over(make, server, folder, text: str) -> None:
    """Adoption runs when the extension loads: one bad file must not keep it from loading."""
    left_behind(folder, "dead", text, line("r", 1))
    box = make()
    list(box.adopt())

    assert box.flush()
    assert server.runs == {"r": [1]}


def test_the_file_of_a_living_process_is_left_alone(make, server, folder) -> None:
    server.away = True
    living = make()
    living.put("r", URI, entry(1))
    other = make()

    assert list(other.adopt()) == []
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
    box = make(lambda parcel: delivered.update(e["n"] for e in parcel.entries))
    list(box.adopt())

    assert box.flush()
    assert delivered == {1, 2}
    assert files(folder) == []


def test_the_dead_are_adopted_for_a_run_that_goes_on_here(make, server, folder) -> None:
    left_behind(folder, "dead", line("r", 1))
    delivered: set[Any] = set()
    box = make(lambda parcel: delivered.update(e["n"] for e in parcel.entries))
    box.put("r", URI, entry(2))
    box.flush()
    list(box.adopt())

    assert box.flush()
    assert delivered == {1, 2}


def test_what_an_outbox_adopted_and_could_not_send_is_for_the_next_one(
    make, server, folder
) -> None:
    """`%unload_ext`, then `%load_ext`, in one kernel, with MLflow back in between."""
    left_behind(folder, "dead", line("r", 1))
    server.away = True
    first = make()
    list(first.adopt())
    first.close(0.05)
    server.away = False

    second = make()
    list(second.adopt())

    assert second.flush()
    assert server.runs == {"r": [1]}


def die(box: Outbox) -> None:
    """End an outbox as a kill would: nothing is delivered, nothing put away, no lock held."""
    with box._changed:
        box._closing = True
        box._changed.notify_all()
    for thread in box._threads.values():
        thread.join(2)
    if box._file is not None:
        os.close(box._file)
        box._file = None


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
    following = make(lambda p: new.extend(e["n"] for e in p.entries[p.delivered :]))
    list(following.adopt())
    following.flush()

    assert 4 in new


def test_a_run_that_was_never_finished_is_finished_by_the_next(make, folder) -> None:
    """`retrievals.json` waits up to 30 s for its writing: a kill comes before it, not the tags."""
    delivered = json.dumps({"run": "r", "uri": URI, "delivered": 1})
    left_behind(folder, "dead", line("r", 1), delivered)
    seen: list[tuple[str, bool]] = []
    box = make(lambda parcel: seen.append((parcel.run_id, parcel.final)))
    list(box.adopt())
    box.flush()

    assert ("r", True) in seen


def test_two_kernels_that_start_at_once_adopt_between_them(
    make, server, folder, monkeypatch
) -> None:
    """One opens a file, the other adopts it and takes it away, then the first one has its lock."""
    left_behind(folder, "dead", line("r", 1))
    lock = outbox._lock

    def late(path: Path) -> int | None:
        handle = lock(path)
        path.unlink()
        return handle

    monkeypatch.setattr(outbox, "_lock", late)

    assert list(make().adopt()) == []


KILLED = """
import sys, signal, os
from pathlib import Path
from feast_nb.outbox import Outbox
def deliver(parcel):
    raise ConnectionError
box = Outbox(Path(sys.argv[1]), deliver, lambda parcel: None)
for n in range(20):
    box.put("r", "uri", {"kind": "x", "n": n})
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
    list(box.adopt())

    assert box.flush()
    assert server.runs == {"r": list(range(20))}
    assert files(folder) == []


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
@given(steps=steps)
@example(steps=[AWAY, PUT, CLOSES, PUT, CLOSES])
@example(steps=[AWAY, PUT, KILLED_HERE, PUT, KILLED_HERE])
@example(steps=[PUT, CLOSES, PUT])
@example(steps=[PUT, PUT, END, PUT, FLUSH, AWAY, PUT, KILLED_HERE, BACK])
def test_in_the_end_the_server_has_what_was_put(steps, tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setattr(outbox, "_RETRY", (30.0,))
    folder = tmp_path_factory.mktemp("model") / "outbox"
    has: dict[str, set[Any]] = {}
    away = False

    def deliver(parcel: Parcel) -> None:
        if away:
            raise ConnectionError
        new = parcel.entries[parcel.delivered :]  # files, contracts and endings go once
        has.setdefault(parcel.run_id, set()).update(e["n"] for e in new)

    def fresh() -> Outbox:
        made = Outbox(folder, deliver, lambda parcel: None)
        list(made.adopt())
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

    def deliver(parcel: Parcel) -> None:
        tries.append(parcel.run_id)
        if len(tries) == 1:
            begun.set()
            assert fail.wait(5)
            raise ConnectionError("closed without an answer")

    box = Outbox(tmp_path, deliver, lambda parcel: None)
    box.put("a", URI, {"kind": "x", "n": 1})
    assert begun.wait(5)
    threading.Timer(0.1, fail.set).start()

    assert box.flush(seconds=5)
    assert tries == ["a", "a"]
    box.close()
