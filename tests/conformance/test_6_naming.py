"""Feast alone and with feast_nb, group 6: the ways to name a model, and what a name comes to."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import feast_nb

from ..conftest import define
from .conftest import change_yaml, fit, forget, tags_of
from .test_1_models import apart, asked, opened, shown

pytestmark = pytest.mark.xdist_group("naming")  # its fixtures are made once, not in each worker

# How a model is named → the version meant, whether Feast's resolve takes it, and its load_model:
# "tags", "loads" (and writes no tag), or "raises". `{id}` and `{run}` are those of version 1.
FORMS = {
    "ride/1": (1, False, "raises"),
    "ride@champion": (1, False, "raises"),
    "ride/champion": (1, False, "raises"),
    "ride": (2, False, "raises"),
    "ride/latest": (2, False, "raises"),
    "ride/Production": (1, False, "raises"),
    "models:/ride/1": (1, True, "tags"),
    "models:/ride@champion": (1, False, "loads"),
    "models:/ride/champion": (1, True, "raises"),
    "models:/ride": (2, False, "raises"),
    "models:/ride/latest": (2, True, "tags"),
    "models:/ride/Production": (1, False, "loads"),
    "models:/{id}": (1, False, "loads"),
    "runs:/{run}/rider": (1, False, "loads"),
}
REFS = {
    1: ["hourly:trips", "hourly:acc_rate", "hourly:conv_rate"],
    2: ["profile:age", "hourly:conv_rate"],
}
SERVICES = {1: "activity", 2: "everything"}


@dataclass(frozen=True)
class Registered:
    """A repository, and the two versions of `ride` on its server: alias and stage are version 1's."""

    repo: Path
    id: str
    runs: dict[int, str]
    predicted: dict[int, list[float]]

    def named(self, form: str) -> str:
        return form.format(id=self.id, run=self.runs[1])

    def rows(self) -> Any:
        """The frame that the versions were trained on, and more."""
        service = opened(self.repo).get_feature_service("everything")
        return opened(self.repo).get_historical_features(asked(), service).to_df()


def train(store: Any, version: int) -> tuple[str, Any]:
    """Log and register a version as `ride`; its run's id, and the model."""
    from sklearn.linear_model import LinearRegression

    service = store.get_feature_service(SERVICES[version])
    with store.mlflow.start_run(run_name=f"v{version}") as run:
        frame = store.get_historical_features(asked(), service).to_df()
        columns = [ref.partition(":")[2] for ref in REFS[version]]
        model = LinearRegression().fit(frame[columns], frame["y"])
        store.mlflow.log_model(model, "rider")
    store.mlflow.register_model(f"runs:/{run.info.run_id}/rider", "ride")
    found = model.predict(frame.sort_values("driver_id")[columns]).tolist()
    return run.info.run_id, found


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, template: Path) -> dict[str, Registered]:
    """Two versions of a model, by Feast alone (`native`) and with the extension (`ours`)."""
    place, made = tmp_path_factory.mktemp("naming"), {}
    with apart(place):
        for who in ("native", "ours"):
            folder = place / who
            shutil.copytree(template, folder)
            change_yaml(folder, "sqlite:///mlflow.db", f"sqlite:///{folder}/mlflow.db")
            opened(folder).apply(define(folder))
            store = opened(folder) if who == "native" else feast_nb.open(folder).store
            found = {version: train(store, version) for version in (1, 2)}
            client = store.mlflow.client
            client.set_registered_model_alias("ride", "champion", "1")
            client.transition_model_version_stage("ride", "1", "Production")
            source = client.get_model_version("ride", "1").source
            assert source.startswith("models:/m-")
            made[who] = Registered(
                folder,
                source.removeprefix("models:/"),
                {v: run for v, (run, _) in found.items()},
                {v: predicted for v, (_, predicted) in found.items()},
            )
    return made


@pytest.mark.conformance("6.1")
@pytest.mark.parametrize("form", FORMS)
def test_6_1_every_name_of_a_model_is_resolved(registered, load, form) -> None:
    """Feast's `resolve_features` takes `models:/name/` with a version or an alias, and no more.

    Right is every name that MLflow knows a model by, and each means one version.
    """
    from feast.mlflow_integration import FeastMlflowModelResolutionError

    version, taken, _ = FORMS[form]
    native, ours = registered["native"], registered["ours"]
    # given what Feast alone does
    alone = opened(native.repo).mlflow
    if taken:
        assert alone.resolve_features(native.named(form)) == SERVICES[version]
    else:
        with pytest.raises(FeastMlflowModelResolutionError):
            alone.resolve_features(native.named(form))

    # when the extension is loaded
    load(ours.repo)
    found = load.book.run(f"%feast_resolve {ours.named(form)}")

    # then it is the version meant: its service, and its references in its own order
    assert found.model == f"ride/{version}"
    assert found.service == SERVICES[version]
    assert list(found.refs) == REFS[version]
    assert (found.basis, found.drift) == ("contract", ())
    assert found.contract.run_id == ours.runs[version]


@pytest.mark.conformance("6.1")
@pytest.mark.parametrize(
    "form", ["ride@champion", "models:/{id}", "runs:/{run}/rider", "ride/Production"]
)
def test_6_1_a_model_that_feast_alone_logged_is_resolved_too(registered, load, form) -> None:
    """No contract was kept of it: the same names, from the tags that Feast left."""
    native = registered["native"]
    load(native.repo)

    found = load.book.run(f"%feast_resolve {native.named(form)}")

    assert (found.model, found.service) == ("ride/1", "activity")
    assert list(found.refs) == REFS[1], "in the model's own order, which it knows itself"
    assert found.basis == "version tag"
    assert any("definitions" in note for note in found.notes), "and says what is not known"


LOAD = """
with store.mlflow.start_run() as run:
    model = store.mlflow.load_model("{}")
run.info.run_id
"""


@pytest.mark.conformance("6.2")
@pytest.mark.parametrize("form", FORMS)
def test_6_2_every_name_of_a_model_loads_it_and_tags_the_run(registered, load, form) -> None:
    """Feast's `load_model` tags a prediction run for two of the names; others load, others fail.

    Right is that each loads the version meant, and the run says which one, and where it is from.
    """
    version, _, does = FORMS[form]
    native, ours = registered["native"], registered["ours"]
    # given what Feast alone does
    alone = opened(native.repo)
    with alone.mlflow.start_run() as run, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if does == "raises":
            with pytest.raises(Exception):  # noqa: B017, PT011  (of many kinds, a local path's too)
                alone.mlflow.load_model(native.named(form))
        else:
            alone.mlflow.load_model(native.named(form))
    wrote = "feast.model_version" in tags_of(alone, run.info.run_id)
    assert wrote is (does == "tags"), "Feast alone"

    # when the extension is loaded
    store = load(ours.repo)
    book = load.book
    run_id = book.run(LOAD.format(ours.named(form)))

    # then it is the version meant, and the run says so
    tags = tags_of(store, run_id)
    assert tags["feast.model_name"] == "ride"
    assert tags["feast.model_version"] == str(version)
    assert tags["feast.training_run_id"] == ours.runs[version]
    columns = [ref.partition(":")[2] for ref in REFS[version]]
    rows = ours.rows().sort_values("driver_id")[columns]
    assert np.allclose(book.space["model"].predict(rows), ours.predicted[version], rtol=1e-4)


@pytest.mark.conformance("6.2")
@pytest.mark.parametrize("form", ["{id}", "{run}"])
def test_6_2_a_model_that_is_not_registered_tags_the_run_with_its_training(
    registered, load, form
) -> None:
    """No name and no version to say: the run that it was trained in is."""
    import mlflow

    ours = registered["ours"]
    store = load(ours.repo)
    mlflow.set_tracking_uri(store.config.mlflow.get_tracking_uri())
    with store.mlflow.start_run() as run:
        frame = store.get_historical_features(asked(), ["hourly:trips"]).to_df()
        logged = mlflow.sklearn.log_model(fit(frame, "trips"), name="loose")
    named = {"{id}": f"models:/{logged.model_id}", "{run}": f"runs:/{run.info.run_id}/loose"}[form]

    tags = tags_of(store, load.book.run(LOAD.format(named)))

    assert tags["feast.training_run_id"] == run.info.run_id
    assert "feast.model_name" not in tags
    assert list(load.book.run(f"%feast_resolve {named}").refs) == ["hourly:trips"]


@pytest.mark.conformance("6.2")
@pytest.mark.parametrize("form", ["models:/ride/9", "models:/rode/1", "models:/ride@chief"])
def test_6_2_a_name_of_nothing_is_refused_as_before(registered, load, form) -> None:
    """MLflow's own error for a name of nothing: no other model is loaded, and no tag is written."""
    from mlflow import MlflowException

    native, ours = registered["native"], registered["ours"]

    def refused(store, folder):
        with store.mlflow.start_run() as run, pytest.raises(MlflowException) as said:
            store.mlflow.load_model(form)
        assert not any(t.startswith("feast.model") for t in tags_of(store, run.info.run_id)), folder
        return said.value.error_code, str(said.value)

    expected = refused(opened(native.repo), native.repo)
    forget()

    assert refused(load(ours.repo), ours.repo) == expected


@pytest.mark.conformance("6.5")
def test_6_5_a_model_of_a_plain_list_is_resolved_to_its_references(alone, load, drivers) -> None:
    """A list that is no service's: Feast knows the references, and resolve answers with none.

    Right is the references in the model's order, with their types, ready to be asked for.
    """
    from feast.mlflow_integration import FeastMlflowModelResolutionError

    def trained(store):
        store.delete_feature_service("everything")  # or Feast guesses it: it holds them both
        with store.mlflow.start_run() as run:
            frame = store.get_historical_features(drivers, ["profile:age", "hourly:trips"]).to_df()
            model = fit(frame, "trips", "age")
            store.mlflow.log_model(model, "model")
        store.mlflow.register_model(f"runs:/{run.info.run_id}/model", "listed")
        return run.info.run_id

    # given what Feast alone does
    run_id = trained(alone)
    assert tags_of(alone, run_id)["feast.feature_refs"] == "profile:age,hourly:trips"
    with pytest.raises(FeastMlflowModelResolutionError, match="Could not determine"):
        alone.mlflow.resolve_features("models:/listed/1")

    # when the extension is loaded
    store = load()
    book = load.book
    trained(store)
    found = book.run("%feast_resolve listed/1")

    # then there are its references in its own order, with types, and no service
    assert (found.service, found.drift, found.basis) == (None, (), "contract")
    assert found.refs == ("hourly:trips", "profile:age")
    inputs = [(i.name, i.ref, i.dtype, i.declared) for i in found.contract.inputs]
    assert inputs == [
        ("trips", "hourly:trips", "int64", "int64"),
        ("age", "profile:age", "int64", "int64"),
    ]
    text = shown(book, found)
    assert "by references, not by a service" in text
    assert text.index("hourly:trips") < text.index("profile:age")

    # and they are what Feast's own calls take
    book.space["asked"] = drivers
    book.space["found"] = found
    again = book.run("store.get_historical_features(asked, found.features).to_df()")
    assert {"trips", "age"} <= set(again.columns)
    online = store.get_online_features(found.features, [{"driver_id": 1}]).to_dict()
    assert {"trips", "age"} <= set(online)


@pytest.mark.conformance("6.5")
def test_6_5_a_model_of_a_plain_list_that_feast_alone_logged_is_resolved_too(
    alone, load, drivers
) -> None:
    """Trained before the extension was there: the references are read from what Feast left."""
    with alone.mlflow.start_run() as run:
        frame = alone.get_historical_features(drivers, ["profile:age", "hourly:trips"]).to_df()
        alone.mlflow.log_model(fit(frame, "trips", "age"), "model")
    alone.mlflow.register_model(f"runs:/{run.info.run_id}/model", "listed")
    assert tags_of(alone, run.info.run_id)["feast.feature_service"] == "everything", "a guess"

    load(Path(alone.repo_path))
    found = load.book.run("%feast_resolve listed/1")

    assert found.refs == ("hourly:trips", "profile:age")
    online = load.book.space["store"].get_online_features(found.features, [{"driver_id": 1}])
    assert {"trips", "age"} <= set(pd.DataFrame(online.to_dict()).columns)
