"""What is served says how it stands: present, null, expired, missing; here and by a server."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from feast_nb.errors import FeatureError, StoreError, UsageError
from feast_nb.integrations.feast.servers import store_door

from ..conftest import free_port, wait_for
from .test_score import further, latest, more, serve_now, session_of

__all__ = ["further", "more"]  # fixtures

pytestmark = pytest.mark.xdist_group("score")

ROWS = [{"driver_id": 1}, {"driver_id": 2}, {"driver_id": 3}, {"driver_id": 99}]
STATUSES = [["present"] * 2, ["null", "present"], ["expired"] * 2, ["missing"] * 2]


@pytest.fixture
def four(promoted: Any) -> Any:
    """Drivers 1 (fresh), 2 (fresh, a null), 3 (known and old) and 99 (unknown)."""
    serve_now(promoted, driver_id=[1, 2], conv_rate=[0.5, None], acc_rate=[0.5] * 2, trips=[20, 21])
    return promoted


@pytest.fixture
def remote(four: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The same session, its online store behind Feast's feature server; which may be a busy one."""
    from feast.infra.online_stores.remote import RemoteOnlineStore, RemoteOnlineStoreConfig

    monkeypatch.setattr(store_door, "SECONDS", 60.0)
    store, port = four.space["store"], free_port()
    command = [sys.executable, "-m", "feast.cli.cli", "-c", str(store.repo_path), "serve",
               "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]  # fmt: skip
    with (tmp_path / "log").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_for(lambda: _healthy(port), 90, f"the feature server: {tmp_path / 'log'}")
        config = RemoteOnlineStoreConfig(path=f"http://127.0.0.1:{port}")
        store.config.online_config = config.model_dump()
        store.config._online_store = config
        store._get_provider()._online_store = RemoteOnlineStore()
        four.space["server"] = functools.partial(os.killpg, process.pid)  # it and its workers
        yield four
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)


def _healthy(port: int) -> bool:
    import requests

    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=1).ok
    except requests.RequestException:
        return False


def test_a_row_without_any_value_is_refused_and_named(four) -> None:
    with pytest.raises(FeatureError) as refused:
        session_of(four).vector("m/1", ROWS)

    assert str(refused.value).startswith("1 of 4 rows (row 3: driver_id=99) has no value of m/1")


def test_every_value_has_a_status(four) -> None:
    array, status = session_of(four).vector("m/1", ROWS, missing="nan", with_status=True)

    assert [list(reversed(row)) for row in status.tolist()] == STATUSES
    assert np.isnan(array).tolist() == [*(status == "null").tolist()[:3], [True, True]]


def test_rows_without_values_are_left_out_and_their_status_is_not(four) -> None:
    array, status = session_of(four).vector("m/1", ROWS, missing="skip", with_status=True)

    assert array.shape == (3, 2)
    assert [list(reversed(row)) for row in status.tolist()] == STATUSES


def test_old_values_are_served_nulled_or_refused(four) -> None:
    session, rows = session_of(four), [{"driver_id": 1}, {"driver_id": 3}]

    assert not np.isnan(session.vector("m/1", rows)).any()
    nulled = session.vector("m/1", rows, expired="null")
    assert np.isnan(nulled).tolist() == [[False, False], [True, True]]
    with pytest.raises(FeatureError, match=r"1 of 2 rows \(row 1: driver_id=3\) has a value older"):
        session.vector("m/1", rows, expired="raise")


@pytest.mark.parametrize("option", ["missing", "expired"])
def test_a_word_that_is_none_is_refused(four, option: str) -> None:
    with pytest.raises(UsageError, match=f"{option}='drop': use one of "):
        session_of(four).vector("m/1", ROWS[:1], **{option: "drop"})


def test_what_is_served_is_counted(four) -> None:
    from prometheus_client import REGISTRY

    def counted() -> dict[str, float]:
        names = ("present", "null", "expired", "missing")
        key = "feast_nb_features_served_total"
        return {
            name: REGISTRY.get_sample_value(key, {"model": "m/1", "status": name}) or 0.0
            for name in names
        }

    session = session_of(four)
    session.vector("m/1", ROWS[:1])
    before = counted()
    session.vector("m/1", ROWS, missing="nan")

    after = counted()
    assert {name: after[name] - before[name] for name in after} == {
        "present": 3, "null": 1, "expired": 2, "missing": 2,
    }  # fmt: skip


def test_a_frame_has_the_models_own_names_and_types(promoted) -> None:
    session = session_of(promoted)
    frame = session.frame("m/1", [{"driver_id": 7}, {"driver_id": 2}])

    assert list(frame.columns) == ["trips", "conv_rate"]
    assert frame["conv_rate"].dtype == "float32"
    expected = latest()[["trips", "conv_rate"]].loc[[7, 2]]
    model = session.load_model("m/1")
    assert model.predict(frame).tolist() == model.predict(expected).tolist()


def test_an_on_demand_feature_stands_as_the_worst_of_its_inputs(more) -> None:
    """Feast says PRESENT of it, whatever it was computed from."""
    rows = [{"driver_id": 3, "bonus": 5}, {"driver_id": 99, "bonus": 5}]
    array, status = session_of(more).vector("derived", rows, missing="nan", with_status=True)

    assert array.shape == (2, 2)  # what it is computed from is looked at and left out
    assert status.tolist() == [["expired", "expired"], ["missing", "missing"]]
    with pytest.raises(FeatureError, match="driver_id=99"):
        session_of(more).vector("derived", rows)


def test_what_is_asked_beside_a_model_is_not_recorded_as_its_own(more) -> None:
    more.space["keys"] = pd.DataFrame({"driver_id": [3], "bonus": [5]})
    more.run("%feast_score derived --entities keys")
    (run,) = session_of(more).recorded(most=1)

    assert run.retrievals[0].refs == ("hourly:conv_rate", "doubled:doubled")


def test_a_feature_server_says_the_same(remote) -> None:
    """Feast's remote store drops the timestamps, and `%feast_score` ended in an IndexError."""
    session = session_of(remote)
    array, status = session.vector("m/1", ROWS, missing="nan", with_status=True)

    assert [list(reversed(row)) for row in status.tolist()] == STATUSES
    assert array[0].tolist() == [20.0, 0.5]
    remote.space["keys"] = pd.DataFrame(ROWS)
    scored = remote.run("%feast_score m/1 --entities keys")
    assert scored["prediction"].isna().tolist() == [False, True, False, True]
    with pytest.raises(FeatureError, match="driver_id=99"):
        session.vector("m/1", ROWS)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (signal.SIGSTOP, "did not answer within 1 s"),
        (signal.SIGKILL, "cannot be reached; start it"),
    ],
    ids=["hangs", "is down"],
)
def test_a_feature_server_that_is_away_is_one_line(remote, monkeypatch, fault, said) -> None:
    session, server = session_of(remote), remote.space["server"]
    before = session.vector("m/1", ROWS[:1])

    def serves_as(known: Any) -> bool:
        """On a busy machine it first answers those who have gone."""
        with contextlib.suppress(StoreError):
            return bool((session.vector("m/1", ROWS[:1]) == known).all())
        return False

    monkeypatch.setattr(store_door, "SECONDS", 1.0)
    server(fault)
    began = time.monotonic()
    with pytest.raises(StoreError, match=f"the feature server at http://127.*{said}"):
        session.vector("m/1", ROWS[:1])
    remote.space["keys"] = pd.DataFrame(ROWS[:1])
    assert said in remote.fails("%feast_score m/1 --entities keys")

    assert time.monotonic() - began < 15
    if fault == signal.SIGSTOP:
        server(signal.SIGCONT)
        monkeypatch.setattr(store_door, "SECONDS", 60.0)
        wait_for(lambda: serves_as(before), 120, "the feature server, which goes on")


def test_a_users_own_call_of_a_feature_server_is_left_alone(remote) -> None:
    answer = remote.space["store"].get_online_features(["hourly:trips"], [{"driver_id": 1}])

    assert [list(result.event_timestamps) for result in answer.proto.results] == [[], []]


def test_a_refused_row_costs_no_other_its_prediction(more) -> None:
    """A model that takes some gaps and not others: each row is answered as if it were alone."""
    import mlflow

    session = session_of(more)

    class Picky(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any) -> Any:
            if model_input["trips"].isna().any():
                raise ValueError("trips must be known")
            return model_input["trips"].astype(float) + model_input["conv_rate"].fillna(0.0)

    drivers = more.space["drivers"]
    with session.train("picky", entity_df=drivers, service="activity", register="picky") as made:
        made.model = Picky()
    serve_now(
        more, driver_id=[1, 2, 3], conv_rate=[0.5, None, 0.5], acc_rate=[0.5] * 3,
        trips=[20, 21, None],
    )  # fmt: skip
    more.space["keys"] = pd.DataFrame({"driver_id": [1, 2, 3, 99]})
    score = "%feast_score picky --entities keys --columns trips,conv_rate,acc_rate"
    together = more.run(score)["prediction"]
    alone = []
    for driver in (1, 2, 3, 99):
        more.space["keys"] = pd.DataFrame({"driver_id": [driver]})
        alone.append(more.run(score)["prediction"].iloc[0])

    assert together.tolist()[:2] == alone[:2] == [20.5, 21.0]
    assert np.isnan(together.tolist()[2:]).all()
    assert np.isnan(alone[2:]).all()


def test_with_mlflow_away_a_registry_read_anew_is_no_other_one(promoted, monkeypatch) -> None:
    """A SQL registry's copy is another object after each refresh, and the service stopped."""
    from feast_nb.errors import TrackingError
    from feast_nb.integrations.feast import registry
    from feast_nb.session import resolution

    session, rows = session_of(promoted), [{"driver_id": 1}]
    before = session.vector("m/1", rows)

    def away(*_: Any) -> Any:
        raise TrackingError("MLflow cannot be reached.")

    monkeypatch.setattr(resolution, "resolve", away)
    states = iter(range(10))
    monkeypatch.setattr(registry, "state_of", lambda _: next(states))
    assert session.vector("m/1", rows).tolist() == before.tolist()

    view = promoted.space["store"].get_feature_view("hourly")
    view.tags = {"tier": "gold"}
    promoted.space["store"].apply([view])
    with pytest.raises(TrackingError):
        session.vector("m/1", rows)


def test_scoring_as_of_asks_for_the_models_features_alone(more) -> None:
    """What tells of an on-demand feature online is not asked for, nor recorded, as of a moment."""
    more.space["keys"] = more.space["drivers"].assign(bonus=5)[
        ["driver_id", "event_timestamp", "bonus"]
    ]
    more.run("%feast_score derived --entities keys --as-of event_timestamp")
    (run,) = session_of(more).recorded(most=1)

    assert run.retrievals[0].refs == ("hourly:conv_rate", "doubled:doubled")
