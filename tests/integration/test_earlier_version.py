"""What version 0.1 left behind is read, resolved, reproduced, scored and delivered."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import feast_nb
from feast_nb.errors import Warned
from feast_nb.integrations.mlflow import retrieval_files

from ..conftest import artifacts

SET = Path(__file__).parents[1] / "data" / "0.1"
PLACE = "{HOME}"
IN_ORDER = ("hourly:trips", "hourly:conv_rate")  # as the model was fitted
PROVEN = ("identical", "reordered")  # DuckDB's threads give rows in any order


@pytest.fixture
def home(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the repository, runs, models and history of then; its outboxes are not in it."""
    repo = tmp_path / "repo"
    shutil.copytree(SET / "repo", repo)
    shutil.copytree(SET / "artifacts", repo / "mlartifacts")
    shutil.copy(template / "mlflow.db", repo / "mlflow.db")
    _fill(repo / "mlflow.db", json.loads(_placed((SET / "mlflow.json").read_text(), tmp_path)))
    for path in (repo / "mlartifacts").rglob("*"):
        if path.suffix in (".json", ".ipynb") or path.name == "MLmodel":
            path.write_text(_placed(path.read_text(), tmp_path))
    _keep_history(tmp_path, repo)
    _forget_places()
    monkeypatch.chdir(repo)  # its source has a relative path, which Feast takes from there
    return tmp_path


@pytest.fixture
def left(home: Path) -> dict[str, str]:
    """The outboxes of two killed processes, in the state folder; name of the run → its id."""
    shutil.copytree(SET / "state", home / "state")
    for path in (home / "state" / "outbox").iterdir():
        path.write_text(_placed(path.read_text(), home))
    rows = json.loads((SET / "mlflow.json").read_text())["runs"]
    return {row["name"]: row["run_uuid"] for row in rows if row["name"] in ("left", "ended")}


@pytest.fixture
def api(home: Path) -> Any:
    """MLflow's own client on that repository's server: what really is there."""
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{home}/repo/mlflow.db")


def _placed(text: str, home: Path) -> str:
    return text.replace(PLACE, str(home))


def _fill(path: Path, tables: dict[str, list[dict[str, Any]]]) -> None:
    """Rows into a database of the MLflow that is installed, whatever columns it has by now."""
    with sqlite3.connect(path) as db:
        for table, rows in tables.items():
            there = [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")]
            names = [name for name in rows[0] if name in there]
            if not names:  # an older MLflow has no such table
                continue
            marks = ",".join("?" * len(names))
            sql = f"INSERT OR REPLACE INTO {table} ({','.join(names)}) VALUES ({marks})"
            db.executemany(sql, [[row[name] for name in names] for row in rows])
    db.close()


def _forget_places() -> None:
    """MLflow remembers by a run's id where its artifacts lie: each test has them elsewhere."""
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()


def _keep_history(home: Path, repo: Path) -> None:
    """The history under the name that 0.1 gave it.

    In MLflow the trained run has another name since: an edit that a refresh of the copy does not
    see, so that an answer with the old name is one of this very file.
    """
    uri = f"sqlite:///{repo}/mlflow.db"
    named = hashlib.blake2b(json.dumps([uri, None, "drivers"]).encode(), digest_size=10)
    folder = home / "cache" / "history"
    folder.mkdir(parents=True)
    copy = folder / f"{named.hexdigest()}.sqlite"
    shutil.copy(SET / "history.sqlite", copy)
    with sqlite3.connect(copy) as db:
        for table, column in (("runs", "notebook"), ("details", "tags")):
            db.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (PLACE, str(home)))
    db.close()
    with sqlite3.connect(repo / "mlflow.db") as db:
        db.execute("UPDATE runs SET name = 'edited' WHERE name = 'v1'")
        db.execute("UPDATE tags SET value = 'edited' WHERE key = 'mlflow.runName' AND value = 'v1'")
    db.close()


def trained_run(session: Any) -> Any:
    """What MLflow has of the run that trained `fare/1`."""
    (found,) = [run for run in session.recorded() if run.models and run.name == "edited"]
    return found


# ------------------------------------------------------------------ runs and models


def test_the_retrievals_of_a_run_are_read_whole(home: Path) -> None:
    """References, rows, fingerprints, definitions, the cell that asked, and its model version."""
    run = trained_run(feast_nb.open(home / "repo"))

    (kept,) = run.retrievals
    assert (kept.refs, kept.service, kept.state) == (
        ("hourly:conv_rate", "hourly:trips"), "activity", "ran"
    )  # fmt: skip
    assert (kept.entity.rows, kept.entity.join_keys, kept.result.rows) == (5, ("driver_id",), 5)
    assert (kept.entity.artifact, len(kept.entity.fingerprint)) == ("entity_df.parquet", 35)
    assert set(kept.views[0].hashes) == {
        "schema", "entities", "ttl", "code", "query", "location"
    }  # fmt: skip
    assert kept.cell.notebook == str(home / "repo" / "train.ipynb")
    assert [(m.name, m.version, m.aliases) for m in run.models] == [("fare", "1", ("champion",))]


def test_a_model_is_resolved_by_its_contract(home: Path) -> None:
    """Its own order, no drift: every hash of a definition is computed today as it was then."""
    found = feast_nb.open(home / "repo").resolve("fare@champion")

    assert (found.refs, found.service, found.basis) == (IN_ORDER, "activity", "contract")
    assert found.drift == ()
    (note,) = found.notes  # what that version did not always know
    assert note.startswith("it was recorded by an earlier version of feast_nb")
    contract = found.contract
    assert [(i.name, i.dtype, i.nulls) for i in contract.inputs] == [
        ("trips", "int64", 0.0), ("conv_rate", "float", 0.0)
    ]  # fmt: skip
    assert (contract.order, contract.linked_by, contract.join_keys) == (
        "named", "attrs", ("driver_id",)
    )  # fmt: skip


def test_the_features_of_a_model_are_described(home: Path) -> None:
    """TTL and range in training come from what the contract says of them."""
    found = feast_nb.open(home / "repo").features("fare/1")

    assert [(f.ref, f.input, f.ttl) for f in found.features] == [
        ("hourly:trips", 1, "3 days"), ("hourly:conv_rate", 2, "3 days")
    ]  # fmt: skip
    assert all(f.min is not None and f.max is not None for f in found.features)


def test_a_training_set_is_retrieved_again_and_proven_the_same(home: Path) -> None:
    """The fingerprint of today is the one of then."""
    found = feast_nb.open(home / "repo").reproduce("fare/1", verify=True)

    assert (found.verdict, found.rows, found.because) in [(v, 5, ()) for v in PROVEN]
    assert found.notes == ()


def test_a_changed_value_is_found_in_what_was_kept_then(home: Path) -> None:
    """Which column and how many values: read from the result that the run archived."""
    path = home / "repo" / "stats.parquet"
    frame = pd.read_parquet(path)
    frame["trips"] += 1
    frame.to_parquet(path)

    found = feast_nb.open(home / "repo").reproduce("fare/1", verify=True)

    assert found.verdict == "different"
    assert [(c.name, c.differ) for c in found.columns] == [("trips", 5)]


def test_a_model_is_scored(home: Path) -> None:
    """The model loads, and is fed in the order of its contract."""
    at = pd.DataFrame(
        {"driver_id": [1, 2], "event_timestamp": [pd.Timestamp("2024-01-06", tz="UTC")] * 2}
    )
    session = feast_nb.open(home / "repo")
    with pytest.warns(Warned, match="recorded by an earlier version"):
        scored = session.score("fare@champion", at, as_of="event_timestamp", with_features=True)

    model = session.load_model("fare@champion")
    assert list(scored["prediction"]) == pytest.approx(
        list(model.predict(scored[["trips", "conv_rate"]]))
    )


# ------------------------------------------------------------------ the history


@pytest.mark.parametrize(
    "ask",
    [lambda s: s.usage(), lambda s: s.lineage("fare/1"), lambda s: s.impact("hourly"),
     lambda s: s.recent()],
    ids=["usage", "lineage", "impact", "runs"],
)  # fmt: skip
def test_the_local_history_answers_and_is_not_made_anew(
    home: Path, ask: Callable[[Any], Any]
) -> None:
    """No word of a copy that was read anew, and the name that MLflow has no more."""
    session = feast_nb.open(home / "repo")

    assert not [note for note in ask(session).notes if "history" in note]
    names = {run.name for run in session.recent().runs}
    assert "v1" in names
    assert "edited" not in names
    assert len(list((home / "cache" / "history").glob("*.sqlite"))) == 1


def test_the_local_history_is_brought_up_to_date(home: Path) -> None:
    """Use, lineage and impact of then, and the model version that was registered afterwards."""
    session = feast_nb.open(home / "repo")
    usage, impact = session.usage(), session.impact("hourly")
    lineage = session.lineage("fare/1")

    used = {f.ref: (f.training, [(m.name, m.aliases) for m in f.models]) for f in usage.features}
    assert used["hourly:trips"][0] >= 1
    assert used["hourly:trips"][1] == [("fare", {"champion": 1})]
    assert [m.name for m in impact.live] == ["fare/1"]
    assert "train.ipynb" in {n.name for n in impact.notebooks}
    assert {"source:stats", "view:hourly", "service:activity", "model:fare/1"} <= {
        node.id for node in lineage.nodes
    }
    assert {"fare/1", "fare/2"} <= {m.name for m in impact.models}


# ------------------------------------------------------------------ the outboxes


def test_what_a_killed_kernel_left_is_delivered(home: Path, left: dict[str, str], api: Any) -> None:
    """Retrievals, writes, files, cells, the contract on run, model and version; the run closed."""
    with pytest.warns(Warned, match=r"run left was left open in .*left\.ipynb"):
        session = feast_nb.open(home / "repo")
    assert session.recorder.flush()

    run = api.get_run(left["left"])
    found = retrieval_files.retrievals_of(api.tracking_uri, left["left"])
    kept = {(r.kind, r.refs): r.state for r in found.retrievals}
    assert kept == {
        ("historical", IN_ORDER): "ran",
        ("historical", IN_ORDER[::-1]): "ran",
        ("online", IN_ORDER[:1]): "ran",
    }
    assert [w.call for w in found.writes] == ["write_to_online_store"]
    assert "feast_nb.incomplete" not in run.data.tags
    there = artifacts(api, left["left"])
    assert {"entity_df.parquet", "feast/cells.ipynb", "feast_features.json"} <= set(there)
    assert len([path for path in there if path.startswith("feast/results/")]) == 2
    assert run.info.status == "KILLED"
    resolved = session.resolve("fare/2")
    assert (resolved.refs, resolved.basis) == (IN_ORDER[::-1], "contract")
    assert "feast_nb.contract" in api.get_model_version("fare", "2").tags


def test_a_run_that_ended_while_its_server_was_away_is_ended(
    home: Path, left: dict[str, str], api: Any
) -> None:
    """It has its status, its retrieval, both of its files, and nothing is left on disk."""
    with pytest.warns(Warned):  # of the other run
        session = feast_nb.open(home / "repo")
    assert session.recorder.flush()
    assert session.recorder.outbox.close()

    run = api.get_run(left["ended"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["feast.feature_refs"] == "hourly:trips"
    there = artifacts(api, left["ended"])
    assert {"entity_df.parquet", "feast/retrievals.json"} <= set(there)
    assert not list((home / "state" / "outbox").iterdir())
    assert not list((home / "state" / "spool").iterdir())
