"""Feast alone and with feast_nb, group 6: logging models."""

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
    assert "no flavour catbost" in book.fails("%feast_log mean --flavor catbost")


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


@pytest.mark.conformance("6.4")
def test_6_4_a_model_that_autolog_logged_is_not_logged_again(alone, load, drivers) -> None:
    """autolog, then `log_model`: two logged models of one fit, and Feast knows neither's inputs.

    Right is one in a `%%feast_train`: the one that is there is given its contract and registered.
    """
    import mlflow

    # given what Feast alone does
    mlflow.set_tracking_uri(alone.config.mlflow.tracking_uri)
    mlflow.sklearn.autolog(silent=True)
    with alone.mlflow.start_run() as run:
        frame = alone.get_historical_features(drivers, ["hourly:trips"]).to_df()
        alone.mlflow.log_model(fit(frame, "trips"), "model")
    assert len(alone.mlflow.client.get_run(run.info.run_id).outputs.model_outputs) == 2
    mlflow.sklearn.autolog(disable=True, silent=True)

    # when the extension is loaded
    store = load()
    book = load.book
    book.space["drivers"] = drivers
    book.run("import mlflow\nmlflow.sklearn.autolog(silent=True)")
    summary = book.run(
        "%%feast_train v1 --features hourly:trips --entity-df drivers --register autologged\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression().fit(training_df[['trips']], training_df['y'])"
    )
    load.sent()

    # then there is one logged model, with a contract, and the version is it
    client = store.mlflow.client
    (output,) = client.get_run(summary.run.id).outputs.model_outputs
    (made,) = summary.models
    assert (made.model_id, made.version) == (output.model_id, "1")
    assert client.get_model_version("autologged", "1").source == f"models:/{output.model_id}"
    (contract,) = contracts_of(store, summary.run.id).values()
    assert contract["model_id"] == output.model_id
    assert contract["refs"] == ["hourly:trips"]


@pytest.mark.conformance("6.4")
def test_6_4_a_model_that_the_cell_logged_itself_is_the_one(load, drivers) -> None:
    """autolog, and `store.mlflow.log_model` in the cell: the user's two, and none of ours.

    Both have a contract; the version is of the one that was logged last, by the user's own call.
    """
    store = load()
    book = load.book
    book.space["drivers"] = drivers
    book.run("import mlflow\nmlflow.sklearn.autolog(silent=True)")
    summary = book.run(
        "%%feast_train v1 --features hourly:trips --entity-df drivers --register twice\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression().fit(training_df[['trips']], training_df['y'])\n"
        "store.mlflow.log_model(model, 'by_hand')"
    )
    load.sent()

    client = store.mlflow.client
    outputs = client.get_run(summary.run.id).outputs.model_outputs
    assert len(outputs) == 2
    assert {m.model_id for m in summary.models} == {o.model_id for o in outputs}
    contracts = contracts_of(store, summary.run.id)
    assert set(contracts) == {"model", "by_hand"}
    assert all(c["refs"] == ["hourly:trips"] for c in contracts.values())
    version = client.get_model_version("twice", "1")
    assert version.source == f"models:/{contracts['by_hand']['model_id']}"


@pytest.mark.conformance("6.4")
def test_6_4_a_model_comes_back_in_its_own_library(alone, load, repo, drivers) -> None:
    """`store.mlflow.load_model` gives a PyFunc model, which has no `predict_proba`.

    That is Feast's call, and stays; `session.load_model` gives the model as it was trained.
    """
    import mlflow
    from sklearn.linear_model import LogisticRegression

    from feast_nb.errors import ModelError

    def trained(store):
        with store.mlflow.start_run() as run:
            frame = store.get_historical_features(drivers, ["hourly:trips"]).to_df()
            store.mlflow.log_model(fit(frame, "trips"), "model")
        store.mlflow.register_model(f"runs:/{run.info.run_id}/model", "own")
        store.mlflow.client.set_registered_model_alias("own", "champion", "1")
        return frame[["trips"]]

    trained(alone)
    native = alone.mlflow.load_model("models:/own/1")
    assert not hasattr(native, "predict_proba"), "Feast alone"

    store = load()
    rows = trained(store)
    assert isinstance(store.mlflow.load_model("models:/own/1"), mlflow.pyfunc.PyFuncModel)
    session = feast_nb.open(repo)
    for named in ("own", "own/1", "own@champion", "models:/own/1", "models:/own@champion"):
        model = session.load_model(named)
        assert isinstance(model, LogisticRegression), named
        assert model.predict_proba(rows).shape == (6, 2)
    assert isinstance(session.load_model("own", flavor="pyfunc"), mlflow.pyfunc.PyFuncModel)
    with pytest.raises(ModelError, match="not of flavour xgboost, but sklearn"):
        session.load_model("own", flavor="xgboost")
    with pytest.raises(ModelError, match="no registered model owl; did you mean own"):
        session.load_model("owl")
