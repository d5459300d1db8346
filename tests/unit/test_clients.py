"""In which workspace of an MLflow server a request is made."""

from __future__ import annotations

import os

from mlflow.utils.workspace_context import get_request_workspace, set_workspace

from feast_nb.integrations.mlflow.clients import in_workspace, workspace


def test_a_request_of_ours_is_made_where_its_run_is(monkeypatch) -> None:
    """The environment, which other threads read, stays as it is."""
    monkeypatch.setenv("MLFLOW_WORKSPACE", "team-a")
    with in_workspace("team-b"):
        assert get_request_workspace() == "team-b"
        assert os.environ["MLFLOW_WORKSPACE"] == "team-a"
    assert workspace() == "team-a"
    with in_workspace(None):  # a run that was opened before the user chose one
        assert get_request_workspace() == "default"


def test_the_workspace_is_the_one_that_mlflow_says(monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_WORKSPACE", raising=False)
    assert workspace() is None
    try:
        set_workspace("team-c")
        assert workspace() == "team-c"
    finally:
        set_workspace(None)
