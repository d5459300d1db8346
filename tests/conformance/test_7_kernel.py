"""Feast alone and with feast_nb, group 7: a kernel's life, and what is seen of a run in it."""

from __future__ import annotations

import ast
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from jupyter_client.manager import start_new_kernel

from ..conftest import wait_for
from .conftest import change_yaml, retrievals_of, tags_of

RETRIEVE = "_ = store.get_historical_features(drivers, store.get_feature_service('{}')).to_df()"


@pytest.fixture
def book(load, drivers):
    """A notebook with the extension loaded, a store, and an entity frame in `drivers`."""
    load()
    load.book.space["drivers"] = drivers
    return load.book


@pytest.mark.conformance("7.1")
def test_7_1_a_run_left_open_is_an_answer_and_is_ended(alone, request) -> None:
    """A run in its own cell, then a cell that raises: Feast's next run is "already active".

    Right is one line that names the open run and the way to end it, as failed where it failed.
    """
    # given what Feast alone does
    left = alone.mlflow.start_run(run_name="v1")
    with pytest.raises(Exception, match=r"Run with UUID .* is already active"):
        alone.mlflow.start_run(run_name="v2")
    assert alone.mlflow.client.get_run(left.info.run_id).info.status == "RUNNING"

    # when the run is one of ours, and a later cell raises
    book = request.getfixturevalue("book")
    client = book.space["store"].mlflow.client
    run = book.run("%feast_run v1")
    book.fails("1/0")

    # then starting another is a one-line answer
    assert book.fails("%feast_run v2") == (
        "UsageError: run v1 is open since cell 3; end it with %feast_run --end, or add --nested."
    )
    assert [r.name for r in book.run("%feast_run").open] == ["v1"]
    assert book.run("%feast_run --end --status FAILED").status == "FAILED"
    assert client.get_run(run.id).info.status == "FAILED"
    assert book.run("%feast_run v2").name == "v2"


@pytest.mark.conformance("7.1")
def test_7_1_a_run_that_feast_left_open_is_named_and_loses_nothing(alone, request, drivers) -> None:
    """`store.mlflow.start_run()` in a cell of its own, then an error: the next retrieval joins.

    Feast then overwrites what the run had. Right is that it keeps both, and is named by
    `%feast_run` with the way to end it.
    """
    left = alone.mlflow.start_run()
    for service in ("rates", "activity"):
        alone.get_historical_features(drivers, alone.get_feature_service(service)).to_df()
    tags = tags_of(alone, left.info.run_id)
    assert tags["feast.feature_service"] == "activity", "Feast alone: nothing is left of rates"
    mlflow.end_run()

    book = request.getfixturevalue("book")
    store = book.space["store"]
    book.run("import mlflow\nrun = store.mlflow.start_run()\n" + RETRIEVE.format("rates"))
    book.fails("1/0")
    book.run(RETRIEVE.format("activity"))

    run_id = book.space["run"].info.run_id
    assert book.fails("%feast_run v2") == (
        f"UsageError: run {run_id[:8]} was started by mlflow.start_run and is open; end it with "
        "mlflow.end_run(), or add --nested."
    )
    book.run("mlflow.end_run('FAILED')")
    assert store.mlflow.client.get_run(run_id).info.status == "FAILED"
    assert [r["service"] for r in retrievals_of(store, run_id)] == ["rates", "activity"]
    assert book.run("%feast_run v2").status == "RUNNING"


@pytest.mark.conformance("7.1")
@pytest.mark.parametrize(
    ("raised", "status"), [("1/0", "FAILED"), ("raise KeyboardInterrupt", "FAILED")]
)
def test_7_1_a_with_block_that_fails_closes_its_run(book, raised, status) -> None:
    """`with store.mlflow.start_run():` that raises ends its run, as MLflow does; so it stays."""
    store = book.space["store"]
    cell = f"with store.mlflow.start_run() as run:\n    {RETRIEVE.format('rates')}\n    {raised}"
    book.fails(cell)

    run_id = book.space["run"].info.run_id
    assert store.mlflow.client.get_run(run_id).info.status == status
    assert [r["service"] for r in retrievals_of(store, run_id)] == ["rates"]
    assert book.run("%feast_run").open == ()
    assert book.run("%%feast_run again\n1").status == "FINISHED"


@pytest.mark.conformance("7.1")
@pytest.mark.parametrize(
    ("raised", "status"), [("1/0", "FAILED"), ("raise KeyboardInterrupt", "KILLED")]
)
def test_7_1_a_cell_of_its_own_closes_its_run(book, raised, status) -> None:
    """A run in a cell, then an exception or an interrupt: Feast's stays RUNNING. Ours is closed."""
    book.fails(f"%%feast_run v1\n{RETRIEVE.format('rates')}\n{raised}")

    store = book.space["store"]
    experiment = store.mlflow.client.get_experiment_by_name("drivers")
    (run,) = store.mlflow.client.search_runs([experiment.experiment_id])
    assert run.info.status == status
    assert book.run("%%feast_run v1\n1").status == "FINISHED"


class Kernel:
    """A real kernel: cells go in, what a reader would see comes out."""

    def __init__(self, folder: Path) -> None:
        self.manager, self._client = start_new_kernel(kernel_name="python3", cwd=str(folder))
        self.manager.shutdown_wait_time = 60

    def run(self, source: str) -> str:
        """Run a cell that must succeed; all its outputs as text."""
        seen: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            content = message["content"]
            seen.append(content.get("text") or content.get("data", {}).get("text/plain") or "")

        reply = self._client.execute_interactive(
            source, timeout=600, output_hook=keep, store_history=True, allow_stdin=False
        )["content"]
        assert reply["status"] == "ok", reply.get("traceback")
        return "".join(seen)

    def value(self, expression: str) -> Any:
        """The value of an expression, which must be a literal."""
        reply = self._client.execute_interactive(
            "", timeout=600, user_expressions={"value": expression}, allow_stdin=False
        )["content"]["user_expressions"]["value"]
        assert reply["status"] == "ok", reply
        return ast.literal_eval(reply["data"]["text/plain"])

    def shut_down(self) -> None:
        """As Jupyter's “Restart kernel” and “Shut down” do."""
        self.manager.shutdown_kernel()

    def die(self) -> None:
        """As a kernel that the system kills."""
        os.kill(self.manager.provisioner.pid, signal.SIGKILL)
        wait_for(lambda: not self.manager.is_alive(), 20, "the kernel's death")

    def close(self) -> None:
        self._client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Any]:
    """Makes kernels, and ends those that still live."""
    made: list[Kernel] = []

    def make() -> Kernel:
        made.append(Kernel(tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.conformance("7.2")
def test_7_2_a_kernel_that_is_shut_down_did_not_finish_its_run(kernel, repo, client) -> None:
    """A graceful restart with a run open: alone, MLflow calls the run FINISHED. Right is KILLED."""
    change_yaml(repo, "sqlite:///mlflow.db", f"sqlite:///{repo}/mlflow.db")
    opened = f"import feast\nstore = feast.FeatureStore({str(repo)!r})\n"
    native, ours = kernel(), kernel()
    native.run(opened + "run = store.mlflow.start_run()")
    by_feast = native.value("run.info.run_id")
    ours.run(f"%load_ext feast_nb\n{opened}run = %feast_run v1")
    by_us = ours.value("run.id")

    native.shut_down()
    ours.shut_down()

    assert client.get_run(by_feast).info.status == "FINISHED", "Feast alone"
    assert client.get_run(by_us).info.status == "KILLED"


@pytest.mark.conformance("7.2")
def test_7_2_a_run_of_a_dead_kernel_is_closed_by_the_next(kernel, repo, client) -> None:
    """A SIGKILL with a run open leaves it RUNNING for ever. Right is KILLED, and a word about it."""
    first = kernel()
    first.run(f"%load_ext feast_nb\nstore = %feast_store {repo}\nrun = %feast_run v1")
    run_id = first.value("run.id")
    first.die()
    assert client.get_run(run_id).info.status == "RUNNING"

    said = kernel().run("%load_ext feast_nb")

    assert "run v1 was left open" in said
    assert "KILLED" in said
    wait_for(lambda: client.get_run(run_id).info.status == "KILLED", 60, "the run's end")


@pytest.mark.conformance("7.3")
@pytest.mark.parametrize(
    ("shown", "native", "expected"),
    [
        ("store", "provider=", "FeatureStore(drivers, {repo})"),
        ("store.mlflow", " at 0x", "MLflow for Feast project drivers: sqlite:///{repo}/mlflow.db"),
        ("store.get_online_features(['hourly:trips'], [{'driver_id': 1}, {'driver_id': 2}])",
         " at 0x", "OnlineResponse: 2 rows of driver_id, trips"),
        ("store.get_historical_features(drivers, ['hourly:trips', 'profile:age'])",
         " at 0x", "hourly:trips"),
    ],
    ids=["store", "store.mlflow", "online", "job"],
)  # fmt: skip
def test_7_3_feasts_objects_say_what_they_are(book, repo, shown, native, expected) -> None:
    """Feast's objects have default reprs (`<feast.… object at 0x…>`). Right is what they hold."""
    value = book.run(shown)
    assert native in repr(value), "Feast alone"

    text = book.shell.display_formatter.format(value)[0]["text/plain"]

    assert expected.format(repo=repo) in text
    assert native not in text


@pytest.mark.conformance("7.3")
def test_7_3_a_training_is_shown_whole(book) -> None:
    """Feast shows nothing of a training. Right is a summary that lasts, in HTML and in text.

    What HTML folds away, text has with `-v`.
    """
    summary = book.run(
        "%%feast_train v1 --service rates --entity-df drivers --register shown --alias champion\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression().fit(training_df[['acc_rate']], training_df['y'])"
    )

    bundle, _ = book.shell.display_formatter.format(summary)
    assert bundle["application/vnd.feast-nb.v1+json"] == summary.to_dict()
    for text in (bundle["text/html"], str(replace(summary, verbose=True))):
        for part in ("v1", "rates", "hourly:conv_rate", "hourly:acc_rate", "shown/1", "champion"):
            assert part in text
    assert "<script" not in bundle["text/html"]
    assert bundle["text/html"].startswith("<")
