"""Applying a plan: what breaks a served version is refused, and what was done is logged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from feast_nb import recorder
from feast_nb.errors import Drift, FeatureError, RepositoryError, TrackingError, UsageError, Warned
from feast_nb.integrations.feast.repository_files import definition_files

from ..conftest import read_json
from .test_plan import base, edit, planned, repo

__all__ = ["base", "repo"]  # fixtures

pytestmark = pytest.mark.xdist_group("plan")
TWICE = 'Hourly = FeatureView(name="Hourly", entities=[driver], source=source, schema=[])\n'
UNUSED = 'unused = FeatureService(name="unused", features=[hourly[["acc_rate"]]])'


def opened(repo: Path) -> Any:
    import feast_nb

    return feast_nb.open(repo)


def operations(session: Any) -> list[Any]:
    """The logged runs, newest first."""
    from mlflow import MlflowClient

    assert session.recorder.flush()
    api = MlflowClient(session.runs.uri)
    found = api.get_experiment_by_name("drivers-feast-ops")
    return list(api.search_runs([found.experiment_id])) if found else []


def test_what_breaks_no_served_version_is_applied_and_logged(repo: Path) -> None:
    session = opened(repo)
    edit(repo, ("days=3", "days=1"))
    done = session.apply()

    assert done.applied
    assert session.store.get_feature_view("hourly").ttl.days == 1
    assert planned(repo).changes == ()
    (run,) = operations(session)
    tags = run.data.tags
    assert (run.info.status, tags["feast.operation"]) == ("FINISHED", "apply")
    assert tags["feast.feature_views_updated"] == "hourly"
    assert tags["feast_nb.grade"] == "needs retraining"
    assert tags["mlflow.user"]
    kept = read_json(_client(session), run.info.run_id, "feast/plan.json")
    assert kept["changes"][0]["object"] == "view=hourly"
    (operation,) = session.operations().operations
    assert (operation.what, operation.updated) == ("apply", ("hourly",))
    assert operation.grade == "needs retraining"


def _client(session: Any) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(session.runs.uri)


def test_what_breaks_a_served_version_is_refused_and_forced_with_a_reason(repo: Path) -> None:
    session = opened(repo)
    edit(repo, ("dtype=Int64", "dtype=Float32"))
    before = (repo / "registry.db").read_bytes()
    with pytest.raises(Drift, match=r"view=hourly: hourly:trips was int64.*breaks m/1 @champion"):
        session.apply()
    assert (repo / "registry.db").read_bytes() == before
    with pytest.raises(UsageError, match="--force needs a reason"):
        session.apply(force=True)

    done = session.apply(force=True, reason="m is retired")
    assert (done.applied, done.reason) == (True, "m is retired")
    assert operations(session)[0].data.tags["feast_nb.reason"] == "m is retired"


def test_a_version_without_an_alias_holds_nothing_up(repo: Path) -> None:
    session = opened(repo)
    edit(repo, (UNUSED, ""))
    assert session.apply().applied
    assert [s.name for s in session.store.list_feature_services()] == ["activity"]


def test_nothing_to_change_is_no_operation(repo: Path) -> None:
    session = opened(repo)

    assert session.apply().applied is False
    assert operations(session) == []


def test_what_is_not_agreed_to_is_not_applied(repo: Path) -> None:
    session = opened(repo)
    edit(repo, ("days=3", "days=1"))
    shown: list[Any] = []

    assert session.apply(agreed=lambda plan: bool(shown.append(plan))).applied is False
    assert shown[0].changes
    assert session.store.get_feature_view("hourly").ttl.days == 3


def test_files_that_change_while_somebody_reads_the_plan_are_planned_again(repo: Path) -> None:
    session = opened(repo)
    edit(repo, ("days=3", "days=1"))

    def agrees_late(plan: Any) -> bool:
        edit(repo, ("days=1", "days=2"))
        return True

    with pytest.raises(UsageError, match="the files changed since the plan was shown"):
        session.apply(agreed=agrees_late)
    assert session.store.get_feature_view("hourly").ttl.days == 3


def test_with_mlflow_away_nobody_knows_what_it_breaks(repo: Path) -> None:
    yaml = repo / "feature_store.yaml"
    yaml.write_text(yaml.read_text().replace("sqlite:///mlflow.db", "http://127.0.0.1:9"))
    session = opened(repo)
    more = '\nmore = FeatureService(name="more", features=[hourly])'
    edit(repo, (UNUSED, UNUSED + more))  # what is new breaks nobody
    assert session.apply().applied
    edit(repo, ("days=3", "days=1"))
    with pytest.raises(Drift, match=r"which models it breaks.*--force --reason"):
        session.apply()

    done = session.apply(force=True, reason="the server is down")
    assert (done.applied, done.notes) == (True, ())
    assert session.recorder.outbox.pending() == 2  # they are sent when the server is there


def test_what_feast_refuses_is_said_and_nothing_is_half_known(repo: Path) -> None:
    session = opened(repo)
    edit(repo, ("activity = ", TWICE + "activity = "))
    assert "Feast itself cannot plan it" in str(planned(repo))
    with pytest.raises(Drift, match="Feast itself cannot plan it: ConflictingFeatureViewNames"):
        session.apply()
    with pytest.raises(RepositoryError, match=r"not apply it .*Done: nothing; not done: view"):
        session.apply(force=True, reason="see what happens")
    assert operations(session)[0].info.status == "FAILED"


def test_in_a_notebook_that_nobody_watches_it_needs_yes(repo: Path, notebook: Any) -> None:
    notebook.run(f"store = %feast_store {repo}")
    edit(repo, ("days=3", "days=1"))
    assert "add --yes to apply it" in notebook.fails("%feast_apply")
    assert notebook.run("%feast_apply --yes").applied
    assert str(notebook.run("%feast_plan")).startswith("nothing to change")


# ---------------------------------------------------------------------- some objects of the files


def test_some_objects_are_applied_and_no_others(repo: Path) -> None:
    session = opened(repo)
    edit(
        repo,
        ("days=3", "days=1"),
        (UNUSED, ""),
        ('[hourly[["trips"', '[hourly[["acc_rate", "trips"'),
    )
    before = session.store.registry.proto().feature_services[0].meta.last_updated_timestamp

    done = session.apply(partial="hourly")
    assert [(c.object, c.action) for c in done.changes] == [("view=hourly", "update")]
    assert done.applied
    assert session.store.get_feature_view("hourly").ttl.days == 1
    services = {s.name: s for s in session.store.list_feature_services()}
    assert set(services) == {"activity", "unused"}  # what is in no file stays
    assert len(services["activity"].feature_view_projections[0].features) == 2
    assert session.store.registry.proto().feature_services[0].meta.last_updated_timestamp == before
    left = {c.object for c in planned(repo, full=True).changes}
    assert left == {"service=activity", "service=unused"}
    assert operations(session)[0].data.tags["feast.feature_views_updated"] == "hourly"

    assert session.apply(partial=["hourly"]).applied is False
    assert session.apply(partial=["service=activity"]).applied
    assert {c.object for c in planned(repo, full=True).changes} == {"service=unused"}


def test_a_name_that_is_in_no_file_is_told_the_nearest(repo: Path) -> None:
    with pytest.raises(FeatureError, match=r"nothing is called hourli in the files; .*hourly\?"):
        opened(repo).apply(partial=["hourli"])


def test_what_some_objects_break_is_refused_too(repo: Path) -> None:
    session = opened(repo)
    edit(repo, ("dtype=Int64", "dtype=Float32"), ("days=3", "days=1"))
    with pytest.raises(Drift, match="breaks m/1 @champion"):
        session.apply(partial=["hourly"])
    assert session.apply(partial=["unused"]).changes == ()


def test_each_object_is_heard_of_once_the_registry_has_it(repo: Path) -> None:
    heard: list[str] = []
    edit(
        repo,
        ("days=3", "days=1"),
        (UNUSED, UNUSED + '\nmore = FeatureService(name="more", features=[hourly])'),
    )
    assert definition_files.apply(repo / "feature_store.yaml", told=heard.append) is None
    assert set(heard) >= {"view=hourly", "service=more"}
    heard.clear()
    edit(repo, ("days=1", "days=2"))
    only = ["view=hourly"]
    assert definition_files.apply(repo / "feature_store.yaml", only, heard.append) is None
    assert "service=more" not in heard
    assert "view=hourly" in heard


def test_in_a_job(repo: Path) -> None:
    def job(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "feast_nb", "apply", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=repo,
                              stdin=subprocess.DEVNULL)  # fmt: skip

    edit(repo, ("days=3", "days=1"))
    asks = job()
    assert (asks.returncode, "add --yes to apply it" in asks.stderr) == (2, True)
    done = job("--yes", "--format", "json", "--partial", "hourly")
    assert (done.returncode, json.loads(done.stdout)["applied"]) == (0, True)
    edit(repo, ("dtype=Int64", "dtype=Float32"))
    refused = job("--yes")
    assert refused.returncode == 1
    assert "refused: view=hourly: hourly:trips was int64" in refused.stderr


# ---------------------------------------------------------------------- the log of operations


def test_what_was_done_is_sent_beside_the_cell_and_once(repo: Path, monkeypatch) -> None:
    """A server that takes a part of it and then fails is sent the rest, to the same run."""
    from feast_nb.integrations.mlflow import writer

    session = opened(repo)
    main, failed = threading.current_thread(), []
    write = writer.write

    def fails_once(*args: Any) -> None:
        assert threading.current_thread() is not main
        if not failed:
            failed.append(True)
            raise TrackingError("the server is away")
        write(*args)

    monkeypatch.setattr(writer, "write", fails_once)
    edit(repo, ("days=3", "days=1"))
    before = int(time.time() * 1000)
    assert session.apply().applied
    with pytest.warns(Warned, match="kept on disk and go when it answers"):
        assert not session.recorder.flush()
    assert failed
    (run,) = operations(session)

    assert run.info.status == "FINISHED"
    assert run.data.tags["feast.feature_views_updated"] == "hourly"
    assert before <= run.info.start_time <= run.info.end_time <= time.time() * 1000


ENDS = """
import os, sys
import feast_nb
session = feast_nb.open(sys.argv[1])
session.recorder.outbox._sender.start = lambda uri: None  # nothing is sent before it dies
assert session.apply().applied
os._exit(9)
"""


def test_what_a_killed_process_did_is_logged_by_the_next(repo: Path) -> None:
    edit(repo, ("days=3", "days=1"))
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", ENDS, str(repo)])
    assert done.returncode == 9
    session = opened(repo)
    recorder.shut()  # what waits is sent
    session = opened(repo)

    (run,) = operations(session)
    assert run.data.tags["feast.operation"] == "apply"
    assert read_json(_client(session), run.info.run_id, "feast/plan.json")["applied"] is True


def test_an_operation_that_mlflow_will_never_take_is_set_aside_with_a_word(
    repo: Path, capsys
) -> None:
    from mlflow import MlflowClient

    session = opened(repo)
    api = MlflowClient(session.runs.uri)
    api.delete_experiment(api.create_experiment("drivers-feast-ops"))
    edit(repo, ("days=3", "days=1"))
    assert session.apply().applied
    assert session.recorder.flush()
    said = capsys.readouterr().err
    assert "what was done cannot be logged (the experiment drivers-feast-ops is deleted" in said
    assert session.recorder.outbox.pending() == 0
    assert list((session.recorder.outbox.folder / "rejected").iterdir())


def test_what_is_sent_late_is_in_a_history_that_is_newer(repo: Path, monkeypatch) -> None:
    from feast_nb.operations import operation_log

    session = opened(repo)
    assert session.operations().operations == ()
    monkeypatch.setattr(operation_log.time, "time", lambda: 1_700_000_000.0)  # years ago
    edit(repo, ("days=3", "days=1"))
    assert session.apply().applied
    monkeypatch.undo()
    with session.run("later"):
        pass

    (found,) = session.operations().operations
    assert found.at == "2023-11-14T22:13:20+00:00"


def test_the_last_word_of_the_process_that_applies_is_heard_with_the_one_before() -> None:
    """Two lines that come at once: the second one waits in our own buffer, not in the pipe."""
    heard: list[str] = []
    parser = definition_files._Parser()
    parser._process = subprocess.Popen(
        [sys.executable, "-c", "input(); import sys; sys.stdout.write('view=a\\nview=b\\ndone\\n'); "
         "sys.stdout.flush(); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    parser._owner = os.getpid()
    question: Any = {"apply": True, "folder": ""}
    parser.ask(question, heard.append)
    parser._end(parser._process)

    assert heard == ["view=a", "view=b"]
