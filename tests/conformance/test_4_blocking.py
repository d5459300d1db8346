"""Feast alone and with feast_nb, group 4: a tracking server that is away must not stop the work, nor halve a record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest
from mlflow import MlflowClient

from feast_nb import recorder

from ..conftest import answers, free_port, make_repository, read_json, unheard_of, wait_for
from .conftest import retrievals_of, tags_of

pytestmark = pytest.mark.slow

RETRIEVE = "frame = store.get_historical_features(drivers, {!r}).to_df()"
ONLINE = "answer = store.get_online_features({!r}, [{{'driver_id': 1}}]).to_dict()"
TRIPS, RATES = ["hourly:trips"], ["hourly:conv_rate", "hourly:acc_rate"]


LONG = 100  # seconds: MLflow itself tries for minutes, and no machine is that busy


def seconds(call: Callable[..., Any], *args: Any) -> float:
    started = time.monotonic()
    call(*args)
    return time.monotonic() - started


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that the cell's own thread makes and so waits for: no clock tells them."""
    mine, made = threading.get_ident(), []
    original = HTTPConnection.putrequest

    def noticed(self: HTTPConnection, method: str, url: str, *args: Any, **options: Any) -> None:
        if threading.get_ident() == mine:
            made.append(f"{method} {url}")
        original(self, method, url, *args, **options)

    monkeypatch.setattr(HTTPConnection, "putrequest", noticed)
    return made


@pytest.fixture
def away(line) -> Callable[[str, bool], AbstractContextManager[None]]:
    """`with away(how, known):` the server is refused or silent; it is back afterwards.

    `known`: the word of it is still fresh, or has not been heard of for five seconds.
    """

    @contextmanager
    def gone(how: str, known: bool) -> Iterator[None]:
        line.cut() if how == "refused" else line.silence()
        if not known:
            unheard_of()
        try:
            yield
        finally:
            line.mend()

    return gone


@pytest.fixture
def book(served, load, drivers):
    """A notebook on a repository whose server can go away, with an entity frame in `drivers`."""
    load(served)
    load.book.space["drivers"] = drivers
    return load.book


def told(book: Any, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that the user is told after the next cell."""
    book.run("1")
    return [x for x in capsys.readouterr().err.splitlines() if x.startswith("feast_nb:")]


HOW = pytest.mark.parametrize("how", ["refused", "silent"])
KNOWN = pytest.mark.parametrize("known", [True, False], ids=["just heard of", "not for 5 s"])


@pytest.mark.conformance("4")
@KNOWN
@HOW
def test_4_a_retrieval_in_an_open_run_does_not_wait(
    book, load, line, away, waits, mlflow_server, how, known
) -> None:
    """The server goes away in an open run: Feast's next retrieval blocks for 4 to 40 minutes.

    Right is a retrieval as fast as ever, and the record in MLflow once the server is back.
    """
    run = book.run("%feast_run v1")
    book.run(RETRIEVE.format(TRIPS))
    book.run(ONLINE.format(TRIPS))
    load.sent()
    assert waits, "the start of a run is asked for by the cell"
    waits.clear()

    # when the server goes away, then the cells go on
    with away(how, known):
        took = seconds(book.run, RETRIEVE.format(RATES)) + seconds(book.run, ONLINE.format(RATES))
        time.sleep(1)  # the sending is under way, in vain
        took += seconds(book.run, RETRIEVE.format(RATES))
        assert waits == []
        assert line.asked > 0 or how == "refused"
    assert took < LONG

    # and everything is there when it is back
    load.sent()
    book.run("%feast_run --end")
    arrived = MlflowClient(mlflow_server)
    assert arrived.get_run(run.id).info.status == "FINISHED"
    kept = read_json(arrived, run.id, "feast/retrievals.json")["retrievals"]
    made = [("historical", TRIPS), ("online", TRIPS), ("historical", RATES), ("online", RATES)]
    assert [(r["kind"], r["refs"]) for r in kept] == [*made, ("historical", RATES)]


@pytest.mark.conformance("4")
@KNOWN
@HOW
def test_4_the_user_is_told_within_seconds_and_once(
    book, load, away, mlflow_server, capsys, how, known
) -> None:
    """Feast says a word when it has blocked for minutes. Right is a line within seconds, once.

    And what waited goes within seconds of the server's return.
    """
    run = book.run("%feast_run v1")
    book.run(RETRIEVE.format(TRIPS))
    load.sent()

    said: list[str] = []
    with away(how, known):
        book.run(RETRIEVE.format(RATES))

        def came() -> list[str]:
            said.extend(told(book, capsys))
            return said

        wait_for(came, 20, "a line about it")
        time.sleep(0.5)
        assert len(came()) == 1
        assert said[0].startswith("feast_nb: records wait on disk: the MLflow server at 127.0.0.1:")

    load.sent()
    assert told(book, capsys) == []
    tags = MlflowClient(mlflow_server).get_run(run.id).data.tags
    assert tags["feast.feature_refs"] == ",".join([*TRIPS, *RATES])


@pytest.mark.conformance("4")
@HOW
def test_4_ending_a_run_is_bounded(book, away, mlflow_server, how) -> None:
    """The end of a run on a server that is away: within seconds, and made up for later."""
    run = book.run("%feast_run v1")
    with away(how, True):
        book.run(RETRIEVE.format(TRIPS))
        started = time.monotonic()
        ended = book.run("%feast_run --end")
        took = time.monotonic() - started

    assert took < LONG
    assert ended.pending > 0
    assert len(ended.warnings) == 1
    assert "cannot be reached" in ended.warnings[0]
    assert recorder.current().flush()
    arrived = MlflowClient(mlflow_server)
    assert arrived.get_run(run.id).info.status == "FINISHED"
    (kept,) = read_json(arrived, run.id, "feast/retrievals.json")["retrievals"]
    assert kept["refs"] == TRIPS


@pytest.mark.conformance("4")
@HOW
def test_4_a_run_on_a_server_that_is_away_is_refused(book, away, how) -> None:
    """`store.mlflow.start_run()` blocks for minutes. Right is one line, within seconds."""
    with away(how, False):
        started = time.monotonic()
        said = book.fails("%feast_run v1")
        took = time.monotonic() - started
        assert book.run("store.get_online_features(['hourly:trips'], [{'driver_id': 1}]).to_dict()")

    assert took < LONG
    assert said.startswith("TrackingError: the MLflow server at 127.0.0.1:")
    assert said.count("\n") == 0
    assert "mlflow.tracking_uri" in said


@pytest.mark.conformance("4")
def test_4_a_server_that_is_stopped_and_goes_on_loses_nothing(
    tmp_path, load, drivers, waits
) -> None:
    """A real server's process is stopped (SIGSTOP), as one that hangs, and goes on later."""
    (folder := tmp_path / "server").mkdir()
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
               "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1",
               "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    try:
        repo = make_repository(tmp_path / "r", tracking_uri=url)
        wait_for(lambda: answers(f"{url}/health"), 90, "MLflow")
        load(repo)
        book = load.book
        book.space["drivers"] = drivers
        run = book.run("%feast_run v1")
        book.run(RETRIEVE.format(TRIPS))
        load.sent()
        waits.clear()

        os.killpg(server.pid, signal.SIGSTOP)
        try:
            took = [seconds(book.run, RETRIEVE.format(RATES)) for _ in range(3)]
            time.sleep(1)  # the sending is under way, and hangs
            took.append(seconds(book.run, RETRIEVE.format(RATES)))
            assert waits == []
        finally:
            os.killpg(server.pid, signal.SIGCONT)

        assert max(took) < LONG
        load.sent()
        book.run("%feast_run --end")
        kept = read_json(MlflowClient(url), run.id, "feast/retrievals.json")["retrievals"]
        assert [r["refs"] for r in kept] == [TRIPS, *[RATES] * 4]
        assert MlflowClient(url).get_run(run.id).info.status == "FINISHED"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


# ---------------------------------------------------------------------------------- Ctrl-C

STEPS = "\nimport time\nfor step in range(12000):\n    time.sleep(0.01)\nlate = True"
PAUSE = "\nimport time\ntime.sleep(120)\nlate = True"
CALLS = {
    "historical": "job = store.get_historical_features(drivers, ['hourly:trips'])",
    "to_df": "frame = job.to_df()",
    "online": "answer = store.get_online_features(['hourly:trips'], [{'driver_id': 1}])",
}


class Interrupt:
    """Ctrl-C as soon as a method of the recorder's is at work, which goes on until it has come."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        self.entered, self.pressed = threading.Event(), threading.Event()
        self.recorded_at: float | None = None
        listener = recorder.current().retrieval_listener
        original = getattr(listener, method)

        def slow(*args: Any) -> Any:
            self.entered.set()
            while not self.pressed.is_set():  # bytecode of the main thread, where a signal strikes
                time.sleep(0.01)
            given = original(*args)
            self.recorded_at = time.monotonic()
            return given

        monkeypatch.setattr(listener, method, slow)
        threading.Thread(target=self._press, daemon=True).start()

    def _press(self) -> None:
        if self.entered.wait(120):
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            self.pressed.set()


@pytest.fixture
def here(load, drivers):
    """A notebook with an open run on SQLite."""
    load()
    load.book.space["drivers"] = drivers
    load.book.run("%feast_run v1")
    return load.book


def interrupted(book: Any, source: str) -> str:
    """Run a cell that Ctrl-C stops; what the user is shown. A late one must not end the tests."""
    before = len(book.tracebacks)
    try:
        result = book.shell.run_cell(source, store_history=True)
        for _ in range(30):
            time.sleep(0.01)
    except KeyboardInterrupt:
        pytest.fail("the interrupt came when the cell was over")
    assert not result.success, "the cell went on, and nothing came of the interrupt"
    (said,) = book.tracebacks[before:]
    return str(said)


@pytest.mark.conformance("4.1")
def test_4_1_alone_leaves_half_a_record(alone, drivers, monkeypatch) -> None:
    """Ctrl-C while Feast logs: no result, and some of the tags. What is put right below."""
    client = alone.mlflow.client
    original, written = type(client).set_tag, []

    def slow(self, run_id, key, value, *args, **kwargs):
        written.append(key)
        if len(written) == 4:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
        return original(self, run_id, key, value, *args, **kwargs)

    monkeypatch.setattr(type(client), "set_tag", slow)
    job = None
    with alone.mlflow.start_run() as run, pytest.raises(KeyboardInterrupt):
        job = alone.get_historical_features(drivers, TRIPS)

    assert job is None, "Feast alone: the result is lost"
    tags = [t for t in tags_of(alone, run.info.run_id) if t.startswith("feast.")]
    assert 0 < len(set(tags) - {"feast.project"}) <= 4, "Feast alone: half a record"


@pytest.mark.conformance("4.1")
@pytest.mark.parametrize("then", [STEPS, PAUSE], ids=["steps", "a long call"])
@pytest.mark.parametrize("what", list(CALLS))
def test_4_1_an_interrupt_while_it_is_recorded_keeps_the_result(
    here, load, monkeypatch, what, then
) -> None:
    """Ctrl-C during the bookkeeping: Feast's call gives no result and writes some of its tags.

    Right is the result in its variable, the cell stopped just after it, and a whole record.
    """
    if what == "to_df":
        here.run(CALLS["historical"])
    method = {"historical": "historical", "to_df": "ran", "online": "online"}[what]
    press = Interrupt(monkeypatch, method)

    said = interrupted(here, CALLS[what] + then)
    stopped = time.monotonic()

    assert press.recorded_at is not None, "the bookkeeping was done to its end"
    assert stopped - press.recorded_at < 60, "right after, though the next call is a long one"
    assert "KeyboardInterrupt" in said.splitlines()[-1]
    variable = CALLS[what].partition(" =")[0]
    assert here.space.get(variable) is not None
    assert "late" not in here.space
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    # and the result is used, and the record is whole
    monkeypatch.undo()
    if what == "historical":
        assert len(here.run("job.to_df()")) == 6
    load.sent()
    run = here.run("%feast_run --end")
    store = here.space["store"]
    (kept,) = retrievals_of(store, run.id)
    assert (kept["refs"], kept["state"]) == (TRIPS, "ran")
    assert kept["result"]["rows"] == (1 if what == "online" else 6)
    tags = tags_of(store, run.id)
    assert tags["feast.feature_refs"] == "hourly:trips"
    assert "feast_nb.incomplete" not in tags


@pytest.mark.conformance("4.1")
@pytest.mark.parametrize("what", list(CALLS))
def test_4_1_an_interrupt_stops_a_cell_that_does_nothing_else(here, monkeypatch, what) -> None:
    """The retrieval is the cell's last statement: the interrupt is that cell's all the same.

    A kernel that is idle ignores an interrupt: Run All would go on with the next cell.
    """
    if what == "to_df":
        here.run(CALLS["historical"])
    method = {"historical": "historical", "to_df": "ran", "online": "online"}[what]
    Interrupt(monkeypatch, method)

    said = interrupted(here, CALLS[what])

    assert "KeyboardInterrupt" in said
    assert here.space.get(CALLS[what].partition(" =")[0]) is not None


@pytest.mark.conformance("4.1")
def test_4_1_a_cell_of_a_run_is_killed_with_its_record_whole(here, load, monkeypatch) -> None:
    """The same in `%%feast_run`: the run is KILLED, and has what was retrieved."""
    here.run("%feast_run --end")
    here.run("import mlflow")
    Interrupt(monkeypatch, "ran")

    said = interrupted(
        here, "%%feast_run stopped\n" + CALLS["historical"] + "\n" + CALLS["to_df"] + STEPS
    )

    assert "KeyboardInterrupt" in said.splitlines()[-1]
    assert len(here.space["frame"]) == 6
    load.sent()
    store = here.space["store"]
    (run,) = [
        r
        for r in store.mlflow.client.search_runs(
            [store.mlflow.client.get_experiment_by_name("drivers").experiment_id]
        )
        if r.info.run_name == "stopped"
    ]
    assert run.info.status == "KILLED"
    (kept,) = retrievals_of(store, run.info.run_id)
    assert (kept["refs"], kept["state"], kept["result"]["rows"]) == (TRIPS, "ran", 6)


@pytest.mark.conformance("4.1")
def test_4_1_an_interrupt_that_the_user_handles_is_put_back(here, monkeypatch) -> None:
    """A handler of the user's own for Ctrl-C is there again afterwards, and is what is called."""
    called: list[int] = []

    def mine(number: int, frame: Any) -> None:
        called.append(number)

    before = signal.signal(signal.SIGINT, mine)
    try:
        Interrupt(monkeypatch, "historical")
        here.run(CALLS["historical"] + "\nimport time\ntime.sleep(0.3)\nlate = True")
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)
    assert called == [signal.SIGINT]
    assert here.space["late"] is True
