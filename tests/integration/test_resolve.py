"""A promoted model says what it needs, by every name that it has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from feast_nb.errors import ModelError
from feast_nb.session import of_store

from ..conftest import make_repository
from .conftest import entities

pytestmark = pytest.mark.xdist_group("resolve")  # its models are trained once, not by each worker

REFS = ("hourly:trips", "hourly:conv_rate")
HEX = "0" * 31 + "a"


@pytest.fixture
def api(promoted) -> Any:
    """MLflow's own client on the repository's tracking server, which is the global one too."""
    import mlflow

    found = promoted.space["store"].mlflow.client
    mlflow.set_tracking_uri(found.tracking_uri)
    return found


@pytest.fixture
def first(api) -> dict[str, str]:
    """The ids of `m/1`: its run, and what MLflow calls its logged model."""
    version = api.get_model_version("m", "1")
    return {"run": version.run_id, "id": version.source.removeprefix("models:/")}


@pytest.fixture
def again(api, first) -> Iterator[Callable[[str], Any]]:
    """Registers the logged model of `m/1` once more, under a name that the test's end removes."""
    made: set[str] = set()

    def register(name: str) -> Any:
        if name not in made:
            api.create_registered_model(name)
            made.add(name)
        return api.create_model_version(
            name, f"models:/{first['id']}", first["run"], model_id=first["id"]
        )

    yield register
    for name in made:
        api.delete_registered_model(name)


# Every form of a name is a row of conformance 6.1; here one of them, and the id alone.
@pytest.mark.parametrize("named", ["m@champion", "{id}"])
def test_every_way_to_name_a_model(promoted, first, named: str) -> None:
    """Whatever it is called, the answer is the same: references in the model's own order."""
    found = promoted.run(f"%feast_resolve {named.format(**first)}")

    assert found.model == "m/1"
    assert found.refs == REFS
    assert found.service == "activity"
    assert found.features == list(REFS)
    assert (found.basis, found.drift, found.notes) == ("contract", (), ())
    assert found.contract.run_id == first["run"]


@pytest.mark.parametrize("named", ["m", "models:/m/latest"])
def test_a_bare_name_is_the_latest_version(promoted, named: str) -> None:
    """`m` means version 2, which takes three features in an order of its own."""
    found = promoted.run(f"%feast_resolve {named}")

    assert found.model == "m/2"
    assert found.refs == ("hourly:conv_rate", "hourly:trips", "hourly:acc_rate")


def test_the_answer_serves_the_model(promoted) -> None:
    """What `features` holds is what both of Feast's calls take, and it is what the model takes."""
    promoted.run("answer = %feast_resolve m@champion")
    promoted.run(
        "online = store.get_online_features(answer.features, [{'driver_id': 3}]).to_df()\n"
        "then = store.get_historical_features(drivers, answer.features).to_df()"
    )

    assert set(promoted.space["online"]) == {"driver_id", "trips", "conv_rate"}
    assert list(promoted.space["then"])[-2:] == ["trips", "conv_rate"]


def test_an_assumed_order_is_said(promoted) -> None:
    """`p` was fitted on a bare array: its order is that of the references asked for."""
    found = promoted.run("%feast_resolve p")

    assert found.refs == ("hourly:trips", "hourly:acc_rate", "hourly:conv_rate")
    assert found.notes == (
        "order assumed: nothing says what it was fitted on, and the frame's order is shown; "
        "to score it, name its own with --columns a,b,c.",
    )


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("m/9", "ModelError: no version 9 of m; it has 1–2."),
        ("p/2", "ModelError: no version 2 of p; it has 1."),
        ("models:/m/9", "ModelError: no version 9 of m; it has 1–2."),
        ("mm/1", "ModelError: no registered model mm; did you mean m?"),
        ("m@champoin", "ModelError: no alias champoin of m; did you mean champion?"),
        ("m/champoin", "ModelError: no alias champoin of m; did you mean champion?"),
        ("p@champion", "ModelError: no alias champion of p; it has none."),
        ("runs:/{run}/other", "ModelError: run {run} logged no model other; it logged model."),
    ],
)
def test_a_name_of_nothing_says_what_there_is(promoted, first, named: str, said: str) -> None:
    shown = promoted.fails(f"%feast_resolve {named.format(**first)}")

    assert shown == said.format(**first)


@pytest.mark.parametrize("named", ["zzz", "zzz/1", "zzz@champion", "models:/zzz/1"])
def test_a_name_like_no_other_lists_what_there_is(promoted, named: str) -> None:
    said, _, known = promoted.fails(f"%feast_resolve {named}").partition("; there is ")

    assert said == "ModelError: no registered model zzz"
    assert {"m", "p"} <= set(known.rstrip(".").split(", "))


@pytest.mark.parametrize("named", [f"runs:/{HEX}/model", f"models:/m-{HEX}", f"m-{HEX}", HEX])
def test_an_id_of_nothing_is_one_line_that_names_it(promoted, named: str) -> None:
    """An id copied wrong: a `ModelError` with the id in it, not what MLflow's store raises."""
    shown = promoted.fails(f"%feast_resolve {named}")

    assert shown.startswith("ModelError: ")
    assert HEX in shown
    assert "\n" not in shown


@pytest.mark.parametrize(
    "named", ["''", "@champion", "m@", "m/", "runs:/", "runs:/{run}", "models:/", "m/1/2", "o'neil",
              '"m\'/1"', "m/-1", "m/1.0"],
)  # fmt: skip
def test_what_can_be_no_name_is_one_line_too(promoted, first, named: str) -> None:
    """Half a name, or a quote in it: the user is told in one line, never by a traceback."""
    shown = promoted.fails(f"%feast_resolve {named.format(**first)}")

    assert shown.partition(":")[0] in ("ModelError", "UsageError")
    assert "\n" not in shown


def test_an_alias_is_looked_up_anew_by_every_call(promoted, api) -> None:
    """The champion moves from version 1 to 2 between two calls: the second answers for 2."""
    before = promoted.run("%feast_resolve m@champion")
    try:
        api.set_registered_model_alias("m", "champion", "2")
        after = promoted.run("%feast_resolve m@champion")
    finally:
        api.set_registered_model_alias("m", "champion", "1")

    assert (before.model, after.model) == ("m/1", "m/2")
    assert before.refs != after.refs


def test_a_deleted_version_is_no_version(promoted, api, again) -> None:
    """The others stay; a name that has none left says that there is none."""
    for _ in range(3):
        again("copied")
    api.delete_model_version("copied", "2")

    said = promoted.fails("%feast_resolve copied/2")
    assert said == "ModelError: no version 2 of copied; it has 1, 3."
    assert promoted.run("%feast_resolve copied").model == "copied/3"
    for version in ("1", "3"):
        api.delete_model_version("copied", version)
    said = promoted.fails("%feast_resolve copied")
    assert said.startswith("ModelError: no ")
    assert "copied" in said


def test_a_deleted_alias_is_no_alias(promoted, api, again) -> None:
    again("copied")
    api.set_registered_model_alias("copied", "best", "1")
    assert promoted.run("%feast_resolve copied@best").model == "copied/1"
    api.delete_registered_model_alias("copied", "best")

    said = promoted.fails("%feast_resolve copied@best")
    assert said == "ModelError: no alias best of copied; it has none."


def test_a_logged_model_that_is_registered_twice_is_its_latest_version(promoted, again) -> None:
    """The same model under a second name: still the same features, whichever name is shown."""
    again("copied")
    found = promoted.run("%feast_resolve copied/1")

    assert (found.model, found.refs, found.basis) == ("copied/1", REFS, "contract")


def test_the_model_of_a_deleted_run_is_resolved_all_the_same(promoted, api, first) -> None:
    """MLflow only hides a deleted run: the version and its contract are there."""
    api.delete_run(first["run"])
    try:
        found = promoted.run("%feast_resolve m/1")
    finally:
        api.restore_run(first["run"])

    assert (found.refs, found.service, found.basis) == (REFS, "activity", "contract")


@pytest.fixture(scope="module")
def orphan(trained) -> Iterator[str]:
    """A registered model whose run was deleted for good (`mlflow gc`); its name."""
    import mlflow
    from sklearn.linear_model import LogisticRegression

    import feast_nb
    from feast_nb import recorder

    for name in ("registry.db", "stats.parquet"):
        shutil.copy(trained.parent / name, trained / name)
    patch = pytest.MonkeyPatch()
    patch.setenv("FEAST_NB_STATE", str(trained.parent / "state"))
    session = feast_nb.open(trained)
    with session.train("gone", service="activity", entity_df=entities().drop(columns="index"),
                       register="orphan") as training:  # fmt: skip
        frame = training.frame
        training.model = LogisticRegression().fit(frame[["trips", "conv_rate"]], frame["y"])
    recorder.shut()
    patch.undo()
    run_id = training.summary.run.id
    api = mlflow.MlflowClient(f"sqlite:///{trained}/mlflow.db")
    api.delete_run(run_id)
    # fmt: off
    subprocess.run(
        [sys.executable, "-m", "mlflow", "gc", "--run-ids", run_id, "--backend-store-uri",
         f"sqlite:///{trained}/mlflow.db", "--older-than", "0s"],
        check=True, capture_output=True, cwd=trained,
        env={**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{trained}/mlflow.db"},
    )
    # fmt: on
    yield "orphan"
    api.delete_registered_model("orphan")


def test_the_model_of_a_run_that_is_gone_for_good_has_its_own_contract(promoted, orphan) -> None:
    """`mlflow gc` took the run and its artifacts: the logged model has a copy of the contract."""
    found = promoted.run(f"%feast_resolve {orphan}/1")

    assert (found.refs, found.service, found.basis) == (REFS, "activity", "contract")


def test_a_model_of_another_project_says_which(promoted, trained, tmp_path) -> None:
    """Two projects on one server: the references mean something else here."""
    other = make_repository(
        tmp_path / "other", project="other", tracking_uri=f"sqlite:///{trained}/mlflow.db"
    )
    promoted.run(f"store = %feast_store {other}")

    assert promoted.fails("%feast_resolve m@champion") == (
        "ModelError: m/1 was trained on project drivers, and this repository is other; open that "
        "one with %feast_store."
    )


def test_a_model_without_features_says_so(promoted, api) -> None:
    """A model that never met Feast, in a plain MLflow run: what to do is said."""
    promoted.run(
        "import mlflow\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "with mlflow.start_run() as run:\n"
        "    mlflow.sklearn.log_model(LogisticRegression().fit([[1.0], [2.0]], [0, 1]), name='x',"
        " registered_model_name='plain', pip_requirements=[])"
    )
    try:
        said = promoted.fails("%feast_resolve plain")
        assert said == (
            "ModelError: plain/1 says nothing of features: it was trained without Feast, or "
            "outside a tracked run. Train it again under %%feast_train, and it has a contract."
        )
        run_id = promoted.space["run"].info.run_id
        with pytest.raises(ModelError, match="says nothing of features"):
            of_store(promoted.space["store"]).resolve(f"runs:/{run_id}/x")
    finally:
        api.delete_registered_model("plain")


def test_a_tag_of_feasts_that_says_otherwise_is_noted(promoted, api, again) -> None:
    """Somebody wrote another service on the version: the contract is followed, and it is said."""
    again("copied")
    api.set_model_version_tag("copied", "1", "feast.feature_service", "rates")
    found = promoted.run("%feast_resolve copied")

    assert (found.refs, found.service, found.basis) == (REFS, "activity", "contract")
    assert found.notes == ("the version's tag names service rates; its contract is followed.",)


def test_no_name_is_a_usage_error(promoted) -> None:
    assert promoted.fails("%feast_resolve").startswith("UsageError: ")


def test_from_a_script_it_raises_what_the_magic_shows(promoted) -> None:
    """The session's call is the same: a `ModelError` with the same words."""
    session = of_store(promoted.space["store"])

    assert session.resolve("m@champion").refs == REFS
    with pytest.raises(ModelError, match=r"^no version 9 of m; it has 1–2\.$"):
        session.resolve("m/9")
