"""NATIVE.md, group 6: logging models."""

from __future__ import annotations

import pytest

import feast_nb

from .conftest import contracts_of, fit

FIT = """
from sklearn.linear_model import LogisticRegression
frame = store.get_historical_features(drivers, store.get_feature_service("activity")).to_df()
model = LogisticRegression().fit(frame[["trips"]], frame["y"])
"""


@pytest.fixture
def book(load, drivers):
    """A notebook with the extension loaded, a store, and an entity frame in `drivers`."""
    load()
    load.book.space["drivers"] = drivers
    return load.book


@pytest.mark.conformance("6.3")
def test_6_3_feasts_log_model_is_as_it_was(alone, load, drivers) -> None:
    """Feast's `log_model` returns None, knows no `name=`, and fails for other flavours.

    Its signature and its result are Feast's: the same with the extension loaded.
    """

    def what_it_does(store):
        with store.mlflow.start_run():
            service = store.get_feature_service("activity")
            model = fit(store.get_historical_features(drivers, service).to_df(), "trips")
            returned = store.mlflow.log_model(model, "model")
            said = []
            for arguments in ({"name": "model"}, *({"flavor": f} for f in ("pyfunc", "catboost"))):
                path = [] if "name" in arguments else ["other"]
                with pytest.raises(TypeError) as refused:
                    store.mlflow.log_model(model, *path, **arguments)
                said.append(str(refused.value).partition("(")[0])
        return returned, said

    native = what_it_does(alone)
    assert native[0] is None, "Feast alone"

    assert what_it_does(load()) == native


@pytest.mark.conformance("6.3")
def test_6_3_our_log_returns_the_model(book, client) -> None:
    """Feast's `log_model` returns None. Right is the model's id: `%feast_log` gives it."""
    run = book.run("%feast_run v1")
    book.run(FIT)
    logged = book.run("%feast_log model")
    book.run("%feast_run --end")

    (output,) = client.get_run(run.id).outputs.model_outputs
    assert logged.model_id == output.model_id
    assert client.get_logged_model(logged.model_id).source_run_id == logged.run_id == run.id
    assert logged.contract.features == ("hourly:trips",)


@pytest.mark.conformance("6.3")
def test_6_3_our_log_speaks_of_no_deprecated_path(book, caplog, capsys) -> None:
    """Feast's `log_model` makes MLflow warn of `artifact_path`. Right is MLflow 3's own spelling."""
    store = book.space["store"]
    book.run("%feast_run v1")
    book.run(FIT)
    store.mlflow.log_model(book.space["model"], "model")
    assert "artifact_path" in caplog.text, "Feast's own"
    caplog.clear()
    capsys.readouterr()

    book.run("%feast_log model")

    assert "artifact_path" not in caplog.text + "".join(capsys.readouterr())
    contracts = contracts_of(store, book.run("%feast_run --end").id)
    assert set(contracts) == {"model"}


@pytest.mark.conformance("6.3")
def test_6_3_our_log_takes_a_python_model(book, client) -> None:
    """`flavor="pyfunc"` is a TypeError in Feast's `log_model`. Right is a model that is logged."""
    book.run("%feast_run v1")
    book.run(
        "import mlflow\n"
        "class Mean(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return model_input.mean(axis=1)\n"
        "mean = Mean()"
    )
    logged = book.run("%feast_log mean --flavor pyfunc")

    assert client.get_logged_model(logged.model_id).source_run_id == logged.run_id
    assert "no flavour catboost" in book.fails("%feast_log mean --flavor catboost")


@pytest.mark.conformance("6.3")
def test_6_3_a_script_has_the_models_id_too(repo, client, drivers) -> None:
    """The same in a plain script: `session.log_model` returns the logged model."""
    session = feast_nb.open(repo)
    with session.run("v1") as run:
        frame = session.store.get_historical_features(drivers, ["hourly:trips"]).to_df()
        logged = session.log_model(fit(frame, "trips"), register="scripted", aliases=["champion"])

    assert client.get_logged_model(logged.model_id).source_run_id == run.record.id
    version = client.get_model_version_by_alias("scripted", "champion")
    assert version.source == f"models:/{logged.model_id}"
    assert (logged.name, logged.version) == ("scripted", str(version.version))
