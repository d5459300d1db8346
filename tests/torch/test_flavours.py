"""Libraries that are too large for the other tiers: what is found, logged, and how it is scored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ..conftest import define as plain
from ..conftest import make_repository

WORDS = ["good ride", "bad ride", "good car", "bad car", "fine good",
         "poor bad", "good good", "bad bad", "good", "bad"]  # fmt: skip


def define(repo: Path) -> list[Any]:
    """As the tests' repository, with a text for each driver."""
    from feast import FeatureService, FeatureView, Field, FileSource
    from feast.types import String

    at = pd.Series([pd.Timestamp("2024-01-01", tz="UTC")] * 10).astype("datetime64[us, UTC]")
    frame = pd.DataFrame({"driver_id": range(10), "event_timestamp": at, "note": WORDS})
    frame.to_parquet(repo / "notes.parquet")
    driver, *others = plain(repo)
    source = FileSource(name="notes", path=str(repo / "notes.parquet"),
                        timestamp_field="event_timestamp")  # fmt: skip
    notes = FeatureView(name="notes", entities=[driver], ttl=timedelta(days=365), source=source,
                        schema=[Field(name="note", dtype=String)])  # fmt: skip
    return [driver, *others, notes, FeatureService(name="texts", features=[notes])]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from feast import FeatureStore

    folder = make_repository(tmp_path_factory.mktemp("flavours") / "repo", define=define)
    FeatureStore(str(folder)).materialize(
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC)
    )
    return folder


@pytest.fixture
def book(notebook, shared, drivers, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook.space["drivers"] = drivers
    notebook.space["keys"] = pd.DataFrame({"driver_id": [4, 1, 77, 3, 3]})
    notebook.run(f"store = %feast_store {shared}")
    return notebook


def train(book: Any, name: str, code: str, options: str = "--service texts") -> Any:
    """The one model that a training cell made."""
    line = f"%%feast_train {name} --entity-df drivers --register {name} {options}\n"
    (model,) = book.run(line + code).models
    return model


def pyfunc(book: Any, uri: str) -> Any:
    import mlflow

    mlflow.set_tracking_uri(book.space["store"].config.mlflow.get_tracking_uri())
    return mlflow.pyfunc.load_model(uri)


# ---------------------------------------------------------------------- rows at moments


def test_prophet_answers_each_row_whatever_the_order_of_their_moments(book) -> None:
    """Prophet sorts what it is asked, and takes no zone, which Feast gives every moment."""
    days = np.repeat(pd.date_range("2024-01-02", periods=8, tz="UTC"), 5)
    rows = pd.DataFrame({"driver_id": [*range(5)] * 8, "event_timestamp": days, "ds": days})
    book.space["drivers"] = rows.assign(y=np.arange(40) % 7 + rows["driver_id"])
    model = train(
        book,
        "rides",
        "from prophet import Prophet\n"
        "frame = training_df.assign(ds=training_df['ds'].dt.tz_localize(None))\n"
        "model = Prophet(uncertainty_samples=0)\n"
        "model.add_regressor('trips')\n"
        "model.fit(frame)",
        "--service activity",
    )

    assert (model.flavor, model.contract.order) == ("prophet", "named")
    assert [i.name for i in model.contract.inputs] == ["ds", "trips"]
    asked = pyfunc(book, model.uri)
    book.space["keys"] = pd.DataFrame(
        {"driver_id": [4, 1, 3, 2, 1],
         "ds": pd.to_datetime(["2024-01-12", "2024-01-11", "2024-01-14", "2024-01-10", "2024-01-11"])}
    )  # fmt: skip
    book.space["past"] = rows.sample(frac=1, random_state=0)
    for entities in ("keys", "past --as-of event_timestamp"):
        scored = book.run(f"%feast_score rides --entities {entities} --with-features")
        fed = scored[["ds", "trips"]]
        if fed["ds"].dt.tz is not None:
            fed = fed.assign(ds=fed["ds"].dt.tz_localize(None))
        alone = [asked.predict(fed.iloc[[n]])["yhat"].iloc[0] for n in range(len(fed))]
        assert scored["prediction_yhat"].tolist() == pytest.approx(alone)
        assert len({round(v, 6) for v in alone}) > 3


# ---------------------------------------------------------------------- texts

SPACY = """
import spacy
from spacy.training import Example
nlp = spacy.blank("en")
_cat = nlp.add_pipe("textcat")
_cat.add_label("GOOD"), _cat.add_label("BAD")
nlp.initialize()
def again():
    nlp.update([Example.from_dict(nlp.make_doc(t), {"cats": {"GOOD": float(y), "BAD": 1.0 - y}})
                for t, y in zip(training_df["note"], training_df["y"])])
ask = lambda texts: [nlp(t).cats["GOOD"] for t in texts]
"""
TOKENS = """
import tempfile, torch, transformers
from tokenizers import Tokenizer, models as _models, pre_tokenizers as _split
_words = ["[PAD]", "[UNK]", "good", "bad", "ride", "car", "fine", "poor"]
_known = Tokenizer(_models.WordLevel({w: n for n, w in enumerate(_words)}, unk_token="[UNK]"))
_known.pre_tokenizer = _split.Whitespace()
tokens = transformers.PreTrainedTokenizerFast(
    tokenizer_object=_known, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16)
config = transformers.BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=1,
    num_attention_heads=2, intermediate_size=16, max_position_embeddings=32)
def step(module, loss):
    loss.backward()
    torch.optim.SGD(module.parameters(), lr=0.1).step()
"""
PIPELINE = (
    TOKENS
    + """
net = transformers.BertForSequenceClassification(config).eval()
pipe = transformers.pipeline("text-classification", model=net, tokenizer=tokens)
def again():
    batch = tokens(list(training_df["note"]), padding=True, return_tensors="pt")
    step(net, net(**batch, labels=torch.tensor(training_df["y"].to_numpy())).loss)
ask = lambda texts: [one["score"] for one in pipe(list(texts))]
"""
)
SENTENCES = (
    TOKENS
    + """
from sentence_transformers import SentenceTransformer, models as _parts
_place = tempfile.mkdtemp()
transformers.BertModel(config).save_pretrained(_place), tokens.save_pretrained(_place)
word = _parts.Transformer(_place)
encoder = SentenceTransformer(modules=[word, _parts.Pooling(16)], device="cpu").eval()
def again():
    batch = encoder.tokenize(list(training_df["note"]))
    step(encoder, encoder(batch)["sentence_embedding"].square().mean())
ask = lambda texts: encoder.encode(list(texts))[:, 0].tolist()
"""
)


@pytest.fixture
def described(tmp_path, monkeypatch) -> None:
    """MLflow asks for torchvision's version, which the CPU build of PyTorch comes without."""
    info = tmp_path / "described" / "torchvision-0.28.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n")
    monkeypatch.syspath_prepend(str(info.parent))


@pytest.mark.parametrize(
    ("code", "variable", "flavor", "column"),
    [(SPACY, "nlp", "spacy", "prediction"),
     (PIPELINE, "pipe", "transformers", "prediction_score"),
     (SENTENCES, "encoder", "sentence_transformers", "prediction_0")],
    ids=["spacy", "transformers", "sentences"],
)  # fmt: skip
@pytest.mark.usefixtures("described")
def test_a_model_of_texts(book, code: str, variable: str, flavor: str, column: str) -> None:
    from feast_nb.integrations.model_libraries.fitted_state import FittedState

    model = train(book, variable, f"{code}\nagain()")

    assert (model.variable, model.flavor, model.contract.order) == (variable, flavor, "unknown")
    assert model.contract.refs == ("notes:note",)
    assert "--columns" in book.fails(f"%feast_score {variable} --entities keys")
    texts = [WORDS[n] for n in (4, 1, 3, 3)]
    expected = book.space["ask"](texts)
    for more in ("", " --as-of at"):
        book.space["keys"]["at"] = pd.Timestamp("2024-01-10", tz="UTC")
        scored = book.run(f"%feast_score {variable} --entities keys --columns note{more}")
        found = [v["GOOD"] if isinstance(v, dict) else v for v in scored[column].drop(2)]
        assert found == pytest.approx(expected, rel=1e-5)
        assert scored[column].isna().tolist() == [False, False, True, False, False]

    before = FittedState(book.space[variable])
    book.space["ask"](texts)
    assert before.is_of(book.space[variable])
    book.run("again()")
    assert not before.is_of(book.space[variable]), "it was trained in place"


def test_what_mlflow_cannot_ask_is_told_before_it_is_asked(book) -> None:
    train(
        book, "cut", "import spacy\ncutter = spacy.blank('en')\n_ = cutter.add_pipe('sentencizer')"
    )

    said = book.fails("%feast_score cut --entities keys --columns note")
    assert said.startswith("ModelError: models:/cut/1 was logged as spacy alone")


def test_a_module_that_takes_no_floats_is_kept_by_pickle(book) -> None:
    with pytest.warns(UserWarning, match="Places does not answer .* it is kept by pickle"):
        model = train(
            book,
            "places",
            "import torch\n"
            "class Places(torch.nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.places = torch.nn.Embedding(60, 1)\n"
            "    def forward(self, x):\n"
            "        return self.places(x[:, 0])\n"
            "net = Places()",
            "--service activity",
        )

    assert (model.flavor, model.contract.order) == ("pytorch", "unknown")
    assert "failed on its input" in book.fails(
        "%feast_score places --entities keys --columns trips"
    )


# ---------------------------------------------------------------------- series


@pytest.mark.parametrize(
    ("fit", "flavor", "asked"),
    [("pmdarima.ARIMA((1, 0, 0)).fit(y=y, X=X)", "pmdarima", None),
     ("pmdarima.ARIMA((1, 0, 0)).fit(training_df[['y']])", "pmdarima", {"n_periods": [3]}),
     ("Pipeline([('a', pmdarima.ARIMA((1, 0, 0)))]).fit(y)", "pmdarima", {"n_periods": [3]}),
     ("SARIMAX(y, exog=X).fit(disp=0)", "statsmodels", None),
     ("SARIMAX(y).fit(disp=0)", "statsmodels", {"start": [12], "end": [14]})],
    ids=["with X", "arima", "pipeline", "statsmodels with X", "statsmodels"],
)  # fmt: skip
def test_a_forecaster_of_a_series_takes_no_rows(book, fit: str, flavor: str, asked: Any) -> None:
    at = pd.date_range("2024-01-02", periods=12, freq="12h", tz="UTC")
    book.space["drivers"] = pd.DataFrame(
        {"driver_id": 1, "event_timestamp": at, "y": np.arange(12) % 5 + 1.0}
    )
    name = "series"
    model = train(
        book,
        name,
        "import pmdarima\nfrom pmdarima.pipeline import Pipeline\n"
        "from statsmodels.tsa.statespace.sarimax import SARIMAX\n"
        "untrained = pmdarima.ARIMA((2, 0, 0))\n"
        f"y, X = training_df['y'], training_df[['trips']]\nmodel = {fit}",
        "--service activity",
    )

    assert (model.flavor, model.contract.order, model.contract.inputs) == (flavor, "unknown", ())
    assert "--columns" in book.fails(f"%feast_score {name} --entities keys")
    assert "rejected" in book.fails(f"%feast_score {name} --entities keys --columns trips")
    if asked is not None:
        forecast = pyfunc(book, model.uri).predict(pd.DataFrame(asked))
        assert len(np.asarray(forecast)) == 3
        book.space["one"] = pd.DataFrame({"driver_id": [1], **asked})
        line = f"%feast_score {name} --entities one --columns {','.join(asked)}"
        assert "does not answer row by row (1 asked, 3 answered)" in book.fails(line)
