"""Small notebooks made at random: no link of a model claims more than the objects themselves say.

The oracle is what each `fit` was really given: every retrieval asks for drivers of its own, so that
the values in a training frame tell which retrievals it came from.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from feast_nb.frames import fingerprint

from ..conftest import NOW, read_json

SURE = ("attrs", "name", "declared")
COLUMNS = ("conv_rate", "trips")
REFS = "['hourly:conv_rate', 'hourly:trips']"


class Seen(LinearRegression):
    """A model that remembers the values of the first column that it was fitted on."""

    given: ClassVar[dict[float, set[float]]] = {}

    def fit(self, X: Any, y: Any) -> Seen:
        super().fit(X, y)
        values = np.asarray(X)[:, 0]
        self.given[float(self.coef_[0])] = {round(float(v), 12) for v in values}
        return self


def entities(number: int) -> pd.DataFrame:
    """Two drivers of its own for each retrieval."""
    ids = [2 * number, 2 * number + 1]
    return pd.DataFrame({"driver_id": ids, "event_timestamp": [NOW] * 2, "y": [0.5, number + 1.5]})


class Writer:
    """Writes cells, and knows which variables there are by then."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.frames: list[str] = []
        self.models: list[str] = []
        self.logged = 0

    def cells(self, number: int) -> Iterator[str]:
        yield self.retrieve()
        for _ in range(number):
            made = self.random.choice(
                (self.retrieve, self.derive, self.rebind, self.fit, self.fit, self.refit,
                 self.fit_and_log, self.fit_and_log, self.log, self.loop, self.train)
            )()  # fmt: skip
            if made:
                yield made
                if self.random.random() < 0.15:
                    yield made  # run twice

    def _name(self, kind: str, known: list[str]) -> str:
        name = f"{kind}{self.random.randrange(4)}"
        if name not in known:
            known.append(name)
        return name

    def retrieve(self) -> str:
        number = self.random.randrange(5)
        name = self._name("f", self.frames)
        return f"{name} = store.get_historical_features(e{number}, {REFS}).to_df()"

    def derive(self) -> str:
        one, other = self.random.choice(self.frames), self.random.choice(self.frames)
        made = self._name("f", self.frames)
        return f"{made} = " + self.random.choice(
            (f"{one}.assign(z={one}.trips * 2)", f"{one}[{one}.trips > -1]", f"{one}.copy()",
             f"{one}.merge(extra, on='driver_id')", f"pd.concat([{one}, {other}])",
             f"{one}.sample(frac=1, random_state=0).reset_index(drop=True)",
             f"pd.DataFrame({one}.to_dict('list'))")
        )  # fmt: skip

    def rebind(self) -> str:
        one, made = self.random.choice(self.frames), self._name("f", self.frames)
        return f"{made} = {one}"

    def _fit(self, frame: str) -> str:
        values = self.random.choice(("[COLS]", "[COLS]", "[COLS].to_numpy()", "[COLS].fillna(0)"))
        return f".fit({frame}{values}, {frame}['y'])"

    def fit(self) -> str:
        frame = self.random.choice(self.frames)
        time = self.random.choice(("", "", "%time "))
        return f"{time}{self._name('m', self.models)} = Seen(){self._fit(frame)}"

    def refit(self) -> str | None:
        if not self.models:
            return None
        model = self.random.choice(self.models)
        return f"{model}{self._fit(self.random.choice(self.frames))};"

    def _logs(self, model: str) -> str:
        self.logged += 1
        return f"mlflow.sklearn.log_model({model}, name='m')"

    def log(self) -> str | None:
        if not self.models:
            return None
        model = self.random.choice(self.models)
        return f"with mlflow.start_run():\n    {self._logs(model)}"

    def fit_and_log(self) -> str:
        frame, model = self.random.choice(self.frames), self._name("m", self.models)
        return (
            f"with mlflow.start_run():\n    {model} = Seen(){self._fit(frame)}\n"
            f"    {self._logs(model)}"
        )

    def loop(self) -> str:
        pair = self.random.sample(range(5), 2)
        frame, model = self._name("f", self.frames), self._name("m", self.models)
        return (
            f"for e in (e{pair[0]}, e{pair[1]}):\n"
            "    with mlflow.start_run():\n"
            f"        {frame} = store.get_historical_features(e, {REFS}).to_df()\n"
            f"        {model} = Seen(){self._fit(frame)}\n"
            f"        {self._logs(model)}"
        )

    def train(self) -> str:
        number, model = self.random.randrange(5), self._name("m", self.models)
        if "training_df" not in self.frames:
            self.frames.append("training_df")
        self.logged += 1
        return (
            f"%%feast_train --features hourly:conv_rate hourly:trips --entity-df e{number}\n"
            f"{model} = Seen(){self._fit('training_df')}"
        )


@pytest.mark.parametrize("seed", range(12))
def test_no_link_claims_more_than_is_so(notebook, repo, client, seed: int) -> None:
    book = notebook
    book.space.update({f"e{n}": entities(n) for n in range(5)}, Seen=Seen, COLS=list(COLUMNS),
                      extra=pd.DataFrame({"driver_id": range(10), "more": range(10)}), pd=pd)  # fmt: skip
    book.run(f"import mlflow\nstore = %feast_store {repo}")
    book.run("mlflow.set_tracking_uri(store.config.mlflow.get_tracking_uri())")
    digests = {fingerprint.of(entities(n)).digest: n for n in range(5)}
    everyone = pd.concat([entities(n) for n in range(5)])
    book.space["everyone"] = everyone
    book.run(f"whole = store.get_historical_features(everyone, {REFS}).to_df()")
    rates = book.space.pop("whole").set_index("driver_id")["conv_rate"]
    owner = {round(float(rate), 12): id // 2 for id, rate in rates.items()}

    text = []
    for cell in Writer(seed).cells(9):
        text.append(cell)
        book.run(cell)

    book.run("%unload_ext feast_nb")
    for contract, retrievals in logged(client):
        import mlflow

        model = mlflow.sklearn.load_model(f"models:/{contract['model_id']}")
        truth = {owner[v] for v in Seen.given[float(model.coef_[0])]}
        told = {digests[retrievals[id]] for id in contract["retrievals"]}
        shown = "\n# %%\n".join([*text, f"told {told}, is {truth}: {contract}"])
        if contract["linked_by"] in SURE:
            assert told <= truth, shown
        if len(truth) == 1:  # one sure source
            assert told == truth, shown


def logged(client: Any) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Each contract, and the entity frame of each retrieval of its run."""
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            files = {f.path for f in client.list_artifacts(run.info.run_id, "feast")}
            if "feast/retrievals.json" not in files:
                continue
            document = read_json(client, run.info.run_id, "feast/retrievals.json")
            known = {r["id"]: r["entity"]["fingerprint"] for r in document["retrievals"]}
            for file in client.list_artifacts(run.info.run_id, "feast/contracts"):
                yield read_json(client, run.info.run_id, file.path), known
