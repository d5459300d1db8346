"""What the text of a cell says of what `fit` was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, SGDRegressor

from feast_nb.integrations.model_libraries.fitted_state import FittedState
from feast_nb.notebook.fit_calls import FitCalls

DF = pd.DataFrame({"a": [1.0, 2], "b": [3.0, 4], "y": [0, 1]})


def given(code: str, *names: str, **space: Any) -> Any:
    return FitCalls(code).input_of(names or ("model",), {"df": DF, "F": ["b", "a"], **space})


@pytest.mark.parametrize(
    ("code", "columns", "named"),
    [("model = Own().fit(df, y)", ("a", "b", "y"), True),
     ("model = Own().fit(df[F], y)", ("b", "a"), True),
     ("model = Own().fit(df[['b', 'a']].fillna(0), df.y)", ("b", "a"), True),
     ("model = Own().fit(df[F].to_numpy(), y)", ("b", "a"), False),
     ("model = Own().fit(df[F].values, y)", ("b", "a"), False),
     ("model = Own().fit(np.asarray(df[F]), y)", ("b", "a"), False),
     ("model = Own().fit(X=df.drop(columns=['y']), y=y)", ("a", "b"), True),
     ("model = Own().fit(df.loc[df.a > 0, F], y)", ("b", "a"), True),
     ("model.fit(df[F], y)", ("b", "a"), True),
     ("other, model = A().fit(df), Own().fit(df[F])", ("b", "a"), True),
     ("if (model := Own().fit(df[F])): pass", ("b", "a"), True),
     ("with run():\n    model = Own().fit(df[F])", ("b", "a"), True),
     ("model = Own().fit(df[sorted(F)])", ("a", "b"), True),
     ("model = Own().fit(df[df.a.notna()])", ("a", "b", "y"), True),
     ("df['z'] = 1\nmodel = Own().fit(df[F])", ("b", "a"), True),
     ("x, t = train_test_split(df[F])\nmodel = Own().fit(x)", ("b", "a"), True)],
)  # fmt: skip
def test_the_columns_are_those_of_the_frame_in_its_order(
    code: str, columns: tuple[str, ...], named: bool
) -> None:
    found = given(code)

    assert (found.columns, found.named) == (columns, named)
    assert found.frames[0] is DF


@pytest.mark.parametrize(
    "code",
    ["model = train(df)",
     "def f(df):\n    return Own().fit(df)\nmodel = f(1)",
     "model = Own().fit(prepared(df))",
     "model = Own().fit(*args)",
     "model = Own().fit(df[F])\nmodel.fit(df)",
     "x = df[F]\nx = df\nmodel = Own().fit(x)",
     "other = Own().fit(df[F])",
     "model = Own().fit(df[G])",
     "model = Own().fit(df[picked(F)])",
     "model = Own().fit(df[df.columns.difference(['y'])])",
     "model = Own().fit(df[F + more()])",
     "model = Own().fit(df.sort_index(axis=1))",
     "model = Own().fit(df.dropna(axis='columns'))",
     "model = Own().fit(df.reset_index(drop=False))",
     "model = Own().fit(df)\ndf['prediction'] = model.predict(df)",
     "model = Own().fit(df)\ndf.insert(0, 'z', 1)",
     "model = Own().fit(df)\ndel df['z']",
     "model = ("],
)  # fmt: skip
def test_what_the_text_does_not_tell_is_unknown(code: str) -> None:
    assert given(code) is None


def test_an_array_of_another_width_is_another_array() -> None:
    code = "x = df[F].to_numpy()\nmodel = Own().fit(x)"

    assert given(code, x=np.zeros((2, 2))).columns == ("b", "a")
    assert given(code, x=np.zeros((2, 5))) is None


def test_a_second_fit_is_seen_and_a_look_is_not() -> None:
    model = LinearRegression().fit(DF[["a"]], DF["y"])
    state = FittedState(model)
    model.predict(DF[["a"]])

    assert state.is_of(model)
    assert not FittedState(model).is_of(LinearRegression())
    model.fit(DF[["a"]], DF["y"])
    assert not state.is_of(model)


def test_a_model_that_is_trained_further_in_place_is_seen() -> None:
    model = SGDRegressor().fit(DF[["a"]], DF["y"])
    state = FittedState(model)
    model.partial_fit(DF[["a"]], DF["y"])

    assert not state.is_of(model)
