"""What servers, artifacts and people hold that means harm, or is nonsense: one line, nothing run."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feast_nb.errors import ArtifactError, UsageError, visible
from feast_nb.integrations.mlflow import retrieval_files, writer
from feast_nb.records.run import RunState, TrackedRun
from feast_nb.server import route_names
from feast_nb.server.worker import Worker

ESCAPES = "\x1b[2J\x1b]0;owned\x07a\x00b\u202ec\u2066d\x9be\rf"
TEXTS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["²", "٣", "9" * 23, "-1", "99999999999999999999999:a", "-5:x", "1:" + "x" * 5000, "%00",
         ESCAPES, "<script>", "view=", "service=\x00", "notebook=/x/\x00.ipynb", "' OR 1=1 --", "{", ""]
    ),
)  # fmt: skip
NUMBERS = st.one_of(st.none(), st.integers(0, 999_999))  # the server lets only these through


# ---------------------------------------------------------------------- REST


@pytest.fixture(scope="module")
def worker() -> Worker:
    return Worker()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ask=st.sampled_from(route_names.OF_A_REPOSITORY),
    object=st.one_of(st.none(), TEXTS),
    token=st.one_of(st.none(), TEXTS),
    up=NUMBERS,
    most=NUMBERS,
)
def test_every_parameter_of_every_route_is_checked(
    worker: Worker, repo: Path, ask: str, object: Any, token: Any, up: Any, most: Any
) -> None:
    """200, or one line and a remedy: never an answer of Python's own, never a 500."""
    question = {"ask": ask, "repo": str(repo / "feature_store.yaml"), "tracking_uri": None,
                "object": object, "page_token": token, "up": up, "down": up, "max_results": most}  # fmt: skip
    head, body = worker.answer(question)

    assert head.status in (200, 400, 404), body
    if head.status != 200:
        said = json.loads(body)["message"]
        assert said == visible(said)
        assert "Error" not in said


# ---------------------------------------------------------------------- text


def test_what_moves_a_cursor_is_shown_as_text() -> None:
    assert visible("a\x1b[2J\u202eb\n") == r"a\x1b[2J\u202eb\n"
    assert str(UsageError(f"there is no {ESCAPES}.")) == visible(f"there is no {ESCAPES}.")


def test_names_in_an_output_and_in_an_error_move_nothing(notebook, repo) -> None:
    from feast_nb import display

    run = TrackedRun("1" * 32, ESCAPES, "e\x1b[31m", warnings=(ESCAPES,))
    shown = display.bundle(RunState((run,)))
    for text in (shown["text/plain"], shown["text/html"]):  # a direction mark turns HTML round too
        assert visible(text, lines=True) == text

    notebook.run(f"store = %feast_store {repo}")
    said = notebook.fails(f"%feast_features {ESCAPES.replace(chr(0), '').replace(chr(13), '')}")
    assert visible(said) == said


def test_stored_names_in_a_hint_move_nothing(notebook, repo, client) -> None:
    client.create_registered_model("fare\x1b[2Jmodel")
    notebook.run(f"store = %feast_store {repo}")

    said = notebook.fails("%feast_features faremodel")
    assert visible(said) == said


def test_an_error_holds_no_secret_of_what_it_quotes() -> None:
    said = str(UsageError("no server at postgresql://me:hunter2@db/feast?password=hunter3."))
    assert "hunter" not in said


# ---------------------------------------------------------------------- magics

_PARTS = (
    "--", "-", "--model", "--register", "--alias", "--target", "--flavor", "--run", "--nested",
    "--since", "30d", "--up", "x", "-1", "'", '"', "\\", "=", "@", "m@", "/", "m/1", "models:/",
    "models:/m-", "runs:/", "?", "{x}", "$x", "#", "é", "\u202e", "a" * 300, "hourly:trips", ":",
    "hourly:", "--features", "--entity", "drivers", "--columns", ",", "a,,b", "%", "*",
)  # fmt: skip
_LINES = ("store", "run", "usage", "lineage", "impact", "runs", "ops", "features", "resolve",
          "diff", "reproduce", "score", "log")  # fmt: skip
_CELLS = ("run", "train")


def test_no_line_shows_the_inside(notebook, repo, drivers) -> None:
    """Four hundred random lines and cells: an answer, or one line of ours."""
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    chance = random.Random(14)
    for _ in range(400):
        parts = [chance.choice(_PARTS) for _ in range(chance.randint(0, 4))]
        if chance.random() < 0.25:
            source = f"%%feast_{chance.choice(_CELLS)} {' '.join(parts)}\nx = 1"
        else:
            source = f"%feast_{chance.choice(_LINES)} {' '.join(parts)}"
        before = len(notebook.tracebacks)
        result = notebook.shell.run_cell(source, store_history=True)
        shown = notebook.tracebacks[before:]
        notebook.shell.run_cell("%feast_run --end")
        if result.success or not shown:
            continue
        (said,) = shown
        assert "\n" not in said.strip(), (source, said)
        assert "Traceback" not in said, source


# ---------------------------------------------------------------------- artifacts


@pytest.fixture
def trained(repo: Path, drivers: Any) -> Any:
    """A session, and a run with a training and its artifacts."""
    from sklearn.linear_model import LinearRegression

    import feast_nb

    session = feast_nb.open(repo)
    frame = drivers.assign(label=1.0)
    with session.train("v1", features=["hourly:trips"], entity_df=frame, register="m") as training:
        inputs = training.frame[["trips"]].fillna(0)
        training.model = LinearRegression().fit(inputs, training.frame["label"])
    assert session.recorder.flush(final=True)
    return session


BAD = [
    "{",
    "[]",
    "null",
    '{"schema_version": "9.0"}',
    '{"run_id": 1}',
    "\x80\x04cos\nsystem\n",
    "[" * 50_000,
]


@pytest.mark.parametrize("text", BAD)
def test_a_damaged_list_of_retrievals_is_one_line(trained: Any, text: str) -> None:
    uri, run_id = trained.runs.uri, trained.runs.last.id
    writer.write(uri, run_id, {}, {}, [(text, retrieval_files.FIRST)])

    with pytest.raises(ArtifactError) as refused:
        trained.reproduce(run_id)
    assert "\n" not in str(refused.value)


def test_a_frame_that_is_none_or_swells_is_refused(trained: Any, tmp_path: Path, client) -> None:
    """A pickle in the place of Parquet is not read as one; a bomb is not unpacked."""
    import pickle

    from feast_nb.errors import FeastNbError

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "PWNED",))

    uri, run_id = trained.runs.uri, trained.runs.last.id
    (kept,) = retrieval_files.retrievals_of(uri, run_id).retrievals
    bomb = pd.DataFrame({"driver_id": [1] * 30_000_000})
    swollen = tmp_path / "swollen.parquet"
    bomb.to_parquet(swollen, compression="zstd")
    wrong = {"pickle": pickle.dumps(Evil()), "none": b"PAR1", "bomb": swollen.read_bytes()}
    for name, content in wrong.items():
        path = tmp_path / f"{name}.bin"
        path.write_bytes(content)
        writer.write(uri, run_id, {}, {}, [(path, str(kept.entity.artifact))])
        with pytest.raises(FeastNbError) as refused:
            trained.reproduce(run_id)
        assert "\n" not in str(refused.value), name
    assert not (tmp_path / "PWNED").exists()


# ---------------------------------------------------------------------- erased


def test_a_runs_rows_are_erased_and_its_fingerprints_stay(trained: Any, client, notebook) -> None:
    from ..conftest import artifacts

    run_id = trained.runs.last.id
    (before,) = retrieval_files.retrievals_of(trained.runs.uri, run_id).retrievals
    assert before.entity.artifact == "entity_df.parquet"

    erased = trained.forget(run_id)

    assert "entity_df.parquet" in erased.erased
    assert not [p for p in artifacts(client, run_id) if p.endswith(".parquet")]
    (after,) = retrieval_files.retrievals_of(trained.runs.uri, run_id).retrievals
    assert after.entity.fingerprint == before.entity.fingerprint
    assert after.result.fingerprint == before.result.fingerprint
    assert (after.entity.artifact, after.result.artifact) == (None, None)
    assert {c.min for c in after.result.columns} == {None}
    with pytest.raises(Exception, match="it was erased on"):
        trained.reproduce(run_id)
    assert "downloaded" in erased.beyond[-1]

    import mlflow

    mlflow.set_tracking_uri(trained.runs.uri)  # what is sent of the run later brings nothing back
    mlflow.register_model(client.get_model_version("m", "1").source, "again")
    assert trained.recorder.flush(final=True)
    (later,) = retrieval_files.retrievals_of(trained.runs.uri, run_id).retrievals
    assert later == after
    assert client.get_model_version("again", "1").tags["feast_nb.contract"]


def test_the_rows_of_a_run_that_goes_on_are_not_erased(repo) -> None:
    import feast_nb

    session = feast_nb.open(repo)
    opened = session.runs.start("open")
    with pytest.raises(UsageError, match="is RUNNING; end it first"):
        session.forget(opened.ref.id)
    session.runs.end(opened)


def test_of_several_runs_of_one_name_none_is_taken_for_the_newest(notebook, repo, client) -> None:
    """Least of all to erase its rows."""
    notebook.run(f"store = %feast_store {repo}")
    ids = set()
    for _ in range(2):
        ids.add(notebook.run("%feast_run twice").id)
        notebook.run("%feast_run --end")

    for line in ("%feast_runs --forget twice", "%feast_reproduce twice"):
        said = notebook.fails(line)
        assert said.startswith("ModelError: several runs are called twice: ")
        assert all(id in said for id in ids)
