"""What MLflow says in a call of ours is not heard, and nothing of the process is changed for it."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from feast_nb.integrations.mlflow import silence
from feast_nb.patching.patches import Patches


@pytest.fixture(autouse=True)
def followed(monkeypatch) -> Iterator[None]:
    import mlflow.tracking._model_registry.fluent
    import mlflow.types.utils
    import mlflow.utils.file_utils  # noqa: F401

    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "true")
    patches = Patches()
    silence.follow(patches)
    yield
    patches.undo()


def state() -> tuple[object, ...]:
    """What of the process a thread could change for all others."""
    levels = [logging.getLogger(n).level for n in ("mlflow.models.model", "mlflow.types.utils")]
    return (list(warnings.filters), sys.stderr, sys.stdout, dict(os.environ), levels)


def bar() -> object:
    from mlflow.utils.file_utils import ArtifactProgressBar

    return ArtifactProgressBar.files("Downloading artifacts", 1).pbar


def test_a_bar_of_ours_is_not_drawn_and_the_users_is() -> None:
    with silence.silent():
        assert bar() is None
    drawn = bar()
    assert drawn is not None
    drawn.close()  # type: ignore[attr-defined]


def test_the_hint_about_integers_is_the_users_where_the_call_is(recwarn) -> None:
    import pandas as pd
    from mlflow.models import infer_signature

    frame = pd.DataFrame({"a": [1, 2]})
    with silence.silent():
        infer_signature(frame)
    assert [w for w in recwarn if "integer column" in str(w.message)] == []
    infer_signature(frame)
    assert [w for w in recwarn if "integer column" in str(w.message)]


def test_errors_are_heard_and_less_is_not(caplog, monkeypatch) -> None:
    log = logging.getLogger("mlflow.models.model")
    monkeypatch.setattr(log, "propagate", True)
    with silence.silent():
        log.warning("a hint")
        log.error("an error")
    log.warning("the user's")

    assert list(dict.fromkeys(r.message for r in caplog.records)) == ["an error", "the user's"]


def test_threads_change_nothing_of_the_process() -> None:
    """Eight at once, each silent for a while: what was there before is there meanwhile and after."""
    before = state()
    meanwhile: list[bool] = []
    together = threading.Barrier(8)

    def work() -> None:
        for _ in range(50):
            with silence.silent():
                together.wait(10)
                meanwhile.append(state() == before)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(meanwhile)
    assert state() == before


def test_what_was_followed_is_put_back() -> None:
    from mlflow.utils import file_utils

    patches = Patches()
    ours = file_utils.ArtifactProgressBar.set_pbar
    silence.follow(patches)
    patches.undo()

    assert file_utils.ArtifactProgressBar.set_pbar is ours


def test_mlflows_link_to_a_run_holds_no_password(capsys) -> None:
    from mlflow.tracking._tracking_service import client

    client.sys.stdout.write("🏃 View run r at: http://me:hunter2@host:5000/#/experiments/1\n")
    assert client.sys.argv is sys.argv

    said = capsys.readouterr().out
    assert "hunter2" not in said
    assert "host:5000/#/experiments/1" in said
