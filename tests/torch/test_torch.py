"""PyTorch and Keras models, in a tier of their own: `make test-torch`, with the CPU build."""

from __future__ import annotations

import pytest

MODULE = """
import torch
torch.manual_seed(0)
inputs = ["conv_rate", "acc_rate", "trips"]
x = torch.tensor(training_df[inputs].to_numpy(dtype="float32"))
y = torch.tensor(training_df[["y"]].to_numpy(dtype="float32"))
net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for _ in range(3):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(net(x), y)
    loss.backward()
    optimizer.step()
"""


@pytest.fixture
def book(notebook, repo, drivers):
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    return notebook


def test_a_module_that_does_not_say_what_it_takes_has_no_inputs(book, client) -> None:
    summary = book.run(
        "%%feast_train v1 --service activity --entity-df drivers --register net" + MODULE
    )

    (model,) = summary.models
    assert (model.variable, model.flavor, model.version) == ("net", "pytorch", "1")
    assert (model.contract.order, model.contract.inputs) == ("unknown", ())
    assert set(model.contract.refs) == {"hourly:conv_rate", "hourly:acc_rate", "hourly:trips"}


def test_the_logged_module_predicts_as_the_one_in_the_notebook(book) -> None:
    import mlflow

    summary = book.run("%%feast_train v1 --service activity --entity-df drivers" + MODULE)
    frame = book.space["training_df"][["conv_rate", "acc_rate", "trips"]]
    with book.space["torch"].no_grad():
        expected = book.space["net"](book.space["x"]).numpy().ravel()
    found = (
        mlflow.pyfunc.load_model(summary.models[0].uri).predict(frame.to_numpy("float32")).ravel()
    )

    assert found == pytest.approx(expected, rel=1e-5)


def test_a_keras_model_is_logged(book, monkeypatch) -> None:
    """Keras 3 on PyTorch: its own flavour, and what it predicts is what was logged."""
    import mlflow

    monkeypatch.setenv("KERAS_BACKEND", "torch")
    summary = book.run(
        "%%feast_train v1 --service activity --entity-df drivers\n"
        "import keras\n"
        "inputs = ['conv_rate', 'acc_rate', 'trips']\n"
        "x = training_df[inputs].to_numpy(dtype='float32')\n"
        "net = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])\n"
        "net.compile(loss='mse')\n"
        "_ = net.fit(x, training_df['y'].to_numpy(dtype='float32'), verbose=0)"
    )

    (model,) = summary.models
    assert (model.variable, model.flavor) == ("net", "keras")
    assert model.contract.order == "array"
    expected = book.run("net.predict(x, verbose=0)").ravel()
    found = mlflow.pyfunc.load_model(model.uri).predict(book.space["x"])
    assert found.ravel() == pytest.approx(expected, rel=1e-5)
