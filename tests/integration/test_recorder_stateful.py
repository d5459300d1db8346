"""Any sequence of runs, retrievals, models and failures is recorded as it happened.

A plain model of what happened stands beside the real thing: Feast on DuckDB, MLflow on SQLite.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from ..conftest import NOW, define

FEATURES = {
    "rates": ["hourly:conv_rate", "hourly:acc_rate"],
    "activity": ["hourly:conv_rate", "hourly:acc_rate", "hourly:trips"],
    "everything": ["hourly:conv_rate", "hourly:acc_rate", "hourly:trips", "profile:age"],
    "": ["hourly:trips"],
}
BY_COLUMN = {ref.partition(":")[2]: ref for ref in FEATURES["everything"]}


@dataclass
class Asked:
    """A retrieval as the plain model knows it."""

    number: int
    kind: str
    refs: list[str]
    service: str | None
    rows: int
    state: str = "submitted"
    run: str | None = None
    count: int = 1
    frame: Any = None


@dataclass
class Run:
    """A run as the plain model knows it."""

    id: str
    parent: Run | None = None
    made: list[Asked] = field(default_factory=list)
    linked: dict[int, str] = field(default_factory=dict)
    models: dict[str, list[str]] = field(default_factory=dict)
    status: str = "RUNNING"


class Histories(RuleBasedStateMachine):
    """What a user may do, in any order."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        import mlflow
        from feast import FeatureStore

        from feast_nb import recorder

        recorder.shut()
        self.folder = Path(tempfile.mkdtemp(prefix="histories"))
        repo = self.folder / "repo"
        shutil.copytree(self.template, repo)
        self.patch = pytest.MonkeyPatch()
        self.patch.setenv("FEAST_NB_STATE", str(self.folder / "state"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            FeatureStore(repo_path=str(repo)).apply(define(repo))
        self.recorder = recorder.current()
        self.store = FeatureStore(repo_path=str(repo))
        self.mlflow = mlflow
        mlflow.set_tracking_uri(f"sqlite:///{repo}/mlflow.db")
        self.open: list[Run] = []
        self.ended: list[Run] = []
        self.asked: list[Asked] = []

    # ------------------------------------------------------------------ what may happen

    @rule()
    def start(self) -> None:
        if len(self.open) < 3:
            run = self.mlflow.start_run(nested=bool(self.open))
            self.open.append(Run(run.info.run_id, self.open[-1] if self.open else None))

    @precondition(lambda self: self.open)
    @rule(status=st.sampled_from(["FINISHED", "FAILED", "KILLED"]))
    def end(self, status: str) -> None:
        run = self.open.pop()
        self._inherit(run)
        run.status = status
        self.mlflow.end_run(status)
        self.ended.append(run)

    @rule(
        name=st.sampled_from(sorted(FEATURES)),
        rows=st.integers(1, 4),
        to=st.sampled_from(["to_df", "to_arrow", None, "fails"]),
    )
    def retrieve(self, name: str, rows: int, to: str | None) -> None:
        refs = FEATURES[name]
        entity = pd.DataFrame({"driver_id": range(rows), "event_timestamp": [NOW] * rows})
        entity["y"] = [n % 2 for n in range(rows)]
        features = self.store.get_feature_service(name) if name else refs
        job = self.store.get_historical_features(entity, features)
        asked = Asked(len(self.asked), "historical", refs, name or None, rows)
        self._mine(asked)
        entity["driver_id"] = -1  # what is done to the frame afterwards changes nothing
        if to == "fails":
            source = Path(self.store.repo_path) / "stats.parquet"
            source.rename(source.with_suffix(".away"))
            with pytest.raises(Exception, match=r"stats\.parquet|No files"):
                job.to_df()
            source.with_suffix(".away").rename(source)
            asked.state = "failed"
        elif to:
            asked.frame = getattr(job, to)()
            asked.state = "ran"

    @rule(rows=st.integers(1, 2), name=st.sampled_from(["rates", ""]))
    def look_up(self, rows: int, name: str) -> None:
        features = self.store.get_feature_service(name) if name else FEATURES[name]
        self.store.get_online_features(features, [{"driver_id": n} for n in range(rows)])
        run = self.open[-1] if self.open else None
        for old in self.asked:
            same = (old.kind, old.refs, old.rows, old.run) == (
                "online", FEATURES[name], rows, run.id if run else None
            )  # fmt: skip
            if same:
                old.count += 1
                return
        asked = Asked(len(self.asked), "online", FEATURES[name], name or None, rows, "ran")
        self._mine(asked)

    @precondition(lambda self: self.open and any(a.frame is not None for a in self.asked))
    @rule(pick=st.randoms(use_true_random=False))
    def log_model(self, pick: Any) -> None:
        from sklearn.linear_model import LinearRegression

        asked = pick.choice([a for a in self.asked if a.frame is not None])
        run = self.open[-1]
        frame = asked.frame if isinstance(asked.frame, pd.DataFrame) else asked.frame.to_pandas()
        columns = [ref.partition(":")[2] for ref in asked.refs]
        model = LinearRegression().fit(frame[columns].fillna(0), frame["y"])
        name = f"m{len(run.models)}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.mlflow.sklearn.log_model(model, name=name, pip_requirements=["scikit-learn"])
        run.models[name] = asked.refs
        own = [a for a in self._of(run) if a.kind == "historical" and a.refs == asked.refs]
        if not own:
            same = [a for a in self.asked if a.kind == "historical" and a.refs == asked.refs]
            outer = run.parent
            while outer is not None and not any(a.run == outer.id for a in same):
                outer = outer.parent
            near = [a for a in same if a.run == outer.id] if outer else same
            near = [a for a in near if a.state == "ran"] or near
            if outer or len(near) == 1:  # of several that nobody is nearer to, none is known
                run.linked |= {a.number: "parent" if outer else "columns" for a in near}

    # ------------------------------------------------------------------ what must be so

    def teardown(self) -> None:
        try:
            while self.open:
                self.end("FINISHED")
            assert self.recorder.recording.settle(20)
            assert self.recorder.flush(final=True)
            for run in self.ended:
                self._compare(run)
            assert not list((self.folder / "state" / "outbox").glob("*.jsonl")), "left on disk"
        finally:
            from feast_nb import recorder

            while self.mlflow.active_run():
                self.mlflow.end_run()
            recorder.shut()
            self.patch.undo()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _compare(self, run: Run) -> None:
        client = self.mlflow.MlflowClient()
        found = client.get_run(run.id)
        assert found.info.status == run.status
        assert "feast_nb.incomplete" not in found.data.tags
        names = {a.path for a in client.list_artifacts(run.id, "feast")}
        expected = [
            (a.kind, a.refs, a.service, a.rows, a.state, a.count, run.linked.get(a.number))
            for a in self._of(run)
        ]
        if not expected:
            assert "feast/retrievals.json" not in names
            return
        kept = json.loads(
            Path(client.download_artifacts(run.id, "feast/retrievals.json")).read_text()
        )
        assert sorted(expected, key=repr) == sorted(
            [(r["kind"], r["refs"], r["service"], r["entity"]["rows"], r["state"], r["count"],
             r["linked_by"])
            for r in kept["retrievals"]],
            key=repr,
        )  # fmt: skip
        for retrieval in kept["retrievals"]:
            if retrieval["kind"] == "historical":
                assert retrieval["entity"]["fingerprint"]
            if retrieval["state"] == "ran":
                assert retrieval["result"]["rows"] == retrieval["entity"]["rows"]
        contracts = [
            json.loads(Path(client.download_artifacts(run.id, a.path)).read_text())
            for a in client.list_artifacts(run.id, "feast/contracts")
        ]
        assert {c["name"]: c["refs"] for c in contracts} == run.models
        ids = {r["id"] for r in kept["retrievals"]}
        assert all(set(c["retrievals"]) <= ids for c in contracts)

    # ------------------------------------------------------------------ the plain model

    def _mine(self, asked: Asked) -> None:
        self.asked.append(asked)
        if self.open:
            asked.run = self.open[-1].id
            self.open[-1].made.append(asked)

    def _of(self, run: Run) -> list[Asked]:
        return [self.asked[n] for n in run.linked] + run.made

    def _inherit(self, run: Run) -> None:
        """A nested run that retrieved nothing has what the nearest one around it has."""
        outer = run.parent
        while outer is not None and not self._of(run):
            for asked in self._of(outer):
                if asked.kind == "historical":
                    run.linked[asked.number] = "parent"
            outer = outer.parent


def test_any_history_is_recorded_as_it_happened(template: Path) -> None:
    Histories.template = template
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=12,
            stateful_step_count=14,
            deadline=None,
            phases=[Phase.generate],  # each example takes seconds: none is made smaller
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
