"""Rows that a model refuses for their gaps: their answer is a gap, whatever its type."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from feast_nb.errors import ModelError
from feast_nb.integrations.mlflow import prediction
from feast_nb.records.contract import Contract, Input
from feast_nb.session import scoring

CONTRACT = Contract("m", None, "p", inputs=(Input("x", "v:x", "double"),), order="named")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (np.array([True, False]), [True, None, False]),
        (np.array([1.5, 2.5]), [1.5, None, 2.5]),
        (np.array([1, 2]), [1.0, None, 2.0]),
        (np.array(["yes", "no"]), ["yes", None, "no"]),
    ],
    ids=["truth values", "numbers", "whole numbers", "texts"],
)
def test_a_refused_row_has_a_gap_and_no_answer(
    monkeypatch: pytest.MonkeyPatch, answers: Any, expected: list[Any]
) -> None:
    def predict(model: Any, fed: pd.DataFrame, named: bool) -> dict[str, Any]:
        if fed["x"].isna().any():
            raise ModelError("it takes no gaps")
        return {"prediction": answers[: len(fed)]}

    monkeypatch.setattr(prediction, "predict", predict)
    frame = pd.DataFrame({"x": [1.0, np.nan, 2.0]})
    found, (said,) = scoring._by_gaps(None, CONTRACT, frame, named=True)

    shown = [None if pd.isna(value) else value for value in found["prediction"]]
    assert shown == expected
    assert said.startswith("1 of 3 rows have gaps")


def test_rows_that_are_all_taken_keep_their_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        prediction, "predict", lambda model, fed, named: {"prediction": np.arange(len(fed))}
    )
    frame = pd.DataFrame({"x": [1.0, np.nan]})
    found, notes = scoring._by_gaps(None, CONTRACT, frame, named=True)

    assert (found["prediction"].dtype, notes) == (np.dtype("int64"), ())


# ---------------------------------------------------------------------- what a model says


def model(answer: Callable[[Any], Any]) -> Any:
    """A logged model without a signature, as MLflow loads it."""
    return SimpleNamespace(metadata=SimpleNamespace(signature=None, flavors={}), predict=answer)


FED = pd.DataFrame({"x": [1.0, 2.0]})


def test_lists_of_several_lengths_are_answers_too() -> None:
    found = prediction.predict(model(lambda fed: [[1, 2], [3]]), FED, named=True)

    assert found["prediction"].tolist() == [[1, 2], [3]]


@pytest.mark.parametrize("answer", [3.0, [1, 2, 3], {"a": [1]}, pd.DataFrame({"a": [1]})])
def test_another_number_of_answers_than_rows_is_refused(answer: Any) -> None:
    with pytest.raises(ModelError, match=r"does not answer row by row \(2 asked, [13] answered\)"):
        prediction.predict(model(lambda fed: answer), FED, named=True)


def test_whatever_a_model_raises_is_told_in_a_line() -> None:
    with pytest.raises(ModelError, match=r"failed on its input \(KeyError: 'y'\)"):
        prediction.predict(model(lambda fed: fed["y"]), FED, named=True)


def test_a_schemas_refusal_says_why_and_shows_no_frame() -> None:
    from mlflow.exceptions import MlflowException

    def predict(fed: Any) -> Any:
        raise MlflowException(
            f"Failed to enforce schema of data '{fed}' with schema 'x'. Error: No."
        )

    with pytest.raises(ModelError, match=r"^the model rejected its input: No\.$"):
        prediction.predict(model(predict), FED, named=True)
