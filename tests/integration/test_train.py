"""`%%feast_train` from the cell to what MLflow has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ..conftest import artifacts, read_json

FIT = """
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit(training_df[["trips", "acc_rate"]], training_df["y"])
"""


@pytest.fixture
def book(notebook, repo, drivers):
    """A notebook with the repository open and an entity frame in `drivers`."""
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    return notebook


@pytest.mark.usefixtures("real_requirements")
def test_a_training_is_recorded_whole(book, client) -> None:
    summary = book.run(
        "%%feast_train v1 --service activity --entity-df drivers --register m --alias champion"
        + FIT
        + "import mlflow\nmlflow.log_metric('auc', 0.7)"
    )

    run = client.get_run(summary.run.id)
    assert (run.info.run_name, run.info.status) == ("v1", "FINISHED")
    (kept,) = read_json(client, summary.run.id, "feast/retrievals.json")["retrievals"]
    assert kept["refs"] == ["hourly:conv_rate", "hourly:acc_rate", "hourly:trips"]
    assert (kept["service"], kept["service_basis"], kept["state"]) == ("activity", "given", "ran")
    assert kept["entity"]["rows"] == kept["result"]["rows"] == 6
    assert kept["entity"]["join_keys"] == ["driver_id"]
    assert kept["result"]["fingerprint"]
    assert kept["seconds"]["run"] > 0
    assert kept["cell"]["number"] == 3
    version = client.get_model_version_by_alias("m", "champion")
    assert version.run_id == summary.run.id
    assert version.tags["feast.feature_service"] == "activity"
    assert summary.metrics == {"auc": 0.7}
    assert [f.ref for f in summary.features] == kept["refs"]
    assert [f.input for f in summary.features] == [None, 2, 1]
    (model,) = summary.models
    needed = client.get_logged_model(model.model_id).artifact_location
    text = Path(needed.removeprefix("file://"), "requirements.txt").read_text()
    assert "numpy==" in text  # what MLflow's own search adds to the flavour's packages


def test_the_contract_has_the_models_own_order(book, client) -> None:
    summary = book.run("%%feast_train v1 --service activity --entity-df drivers" + FIT)

    model_id = summary.models[0].model_id
    contract = read_json(client, summary.run.id, f"feast/contracts/{model_id}.json")
    assert [i["ref"] for i in contract["inputs"]] == ["hourly:trips", "hourly:acc_rate"]
    assert contract["order"] == "named"
    logged = client.get_logged_model(model_id)
    assert logged.tags["feast_nb.contract"].endswith(f"{model_id}.json")


def test_a_tree_logs_without_a_word_about_skops(book, client) -> None:
    summary = book.run(
        "%%feast_train v1 --service activity --entity-df drivers\n"
        "from sklearn.ensemble import RandomForestClassifier\n"
        "forest = RandomForestClassifier(3).fit(training_df[['trips']], training_df['y'])"
    )

    assert summary.models[0].variable == "forest"
    assert not summary.warnings


@pytest.mark.parametrize(
    "log",
    [
        "mlflow.sklearn.log_model(model, name='mine')",
        "mlflow.sklearn.log_model(model, name='mine', registered_model_name='before')",
        "store.mlflow.log_model(model, 'mine')",
        "import feast.mlflow; feast.mlflow.init(store); feast.mlflow.log_model(model, 'mine')",
    ],
)
def test_a_model_that_the_cell_logs_is_the_one_and_none_is_logged_twice(book, client, log) -> None:
    summary = book.run(
        "%%feast_train v1 --service activity --entity-df drivers --register m"
        + FIT
        + f"import mlflow\n{log}"
    )

    outputs = client.get_run(summary.run.id).outputs.model_outputs
    assert [o.model_id for o in outputs] == [summary.models[0].model_id]
    assert summary.models[0].version == "1"
    assert summary.models[0].contract.service == "activity"


def test_versions_registered_by_the_users_own_calls_are_tagged(book, client) -> None:
    book.run(
        "%%feast_train v1 --service activity --entity-df drivers"
        + FIT
        + "import mlflow\n"
        + "info = mlflow.sklearn.log_model(model, name='mine', registered_model_name='m')\n"
        + "_ = mlflow.register_model(f'models:/{info.model_id}', 'n')"
    )

    for name in ("m", "n"):
        tags = client.get_model_version(name, "1").tags
        assert tags["feast.feature_service"] == "activity"
        assert tags["feast_nb.contract"].startswith("runs:/")


def test_a_tree_that_the_cell_logs_itself_needs_no_word_about_skops(book) -> None:
    summary = book.run(
        "%%feast_train v1 --service activity --entity-df drivers\n"
        "import mlflow\n"
        "from sklearn.ensemble import RandomForestClassifier\n"
        "forest = RandomForestClassifier(3).fit(training_df[['trips']], training_df['y'])\n"
        "_ = mlflow.sklearn.log_model(forest, name='forest')"
    )

    assert len(summary.models) == 1


@pytest.mark.parametrize(
    ("written", "flags", "archived"),
    [
        ("", "", True),
        (", auto_log_entity_df: false", "", False),
        (", auto_log_entity_df: true", "", True),
        ("", "--no-archive", False),
        (", auto_log_entity_df: true", "--no-archive", False),
    ],
)
def test_entity_frames_are_archived_unless_somebody_said_no(
    notebook, tmp_path, drivers, written, flags, archived
) -> None:
    """An explicit magic archives; the YAML's word, written out, goes before it."""
    from mlflow import MlflowClient

    from ..conftest import make_repository

    block = f"mlflow: {{enabled: true, tracking_uri: 'sqlite:///m.db'{written}}}"
    repo = make_repository(tmp_path / "r", mlflow=block)
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    summary = notebook.run(f"%%feast_train v1 --service activity --entity-df drivers {flags}\n1")
    notebook.run(
        "with store.mlflow.start_run() as ambient:\n"
        "    _ = store.get_historical_features(drivers, ['hourly:trips']).to_df()"
    )

    client = MlflowClient(f"sqlite:///{repo}/m.db")
    assert ("entity_df.parquet" in artifacts(client, summary.run.id)) is archived
    ambient = notebook.space["ambient"].info.run_id
    assert ("entity_df.parquet" in artifacts(client, ambient)) is ("true" in written)


def test_an_autologged_model_is_the_one(book, client) -> None:
    book.run("import mlflow\nmlflow.sklearn.autolog()")
    summary = book.run("%%feast_train v1 --service activity --entity-df drivers" + FIT)

    book.run("mlflow.sklearn.autolog(disable=True)")

    outputs = client.get_run(summary.run.id).outputs.model_outputs
    assert [o.model_id for o in outputs] == [summary.models[0].model_id]


def test_two_models_are_a_question_and_neither_is_lost(book, client) -> None:
    said = book.fails(
        "%%feast_train v1 --service activity --entity-df drivers"
        + FIT
        + "other = LogisticRegression().fit(training_df[['trips']], training_df['y'])"
    )

    assert said.startswith("ModelError: this cell made 2 models (model, other)")
    assert "3 features retrieved" in book.shown[-1]["text/plain"], "the summary stands beside it"
    assert "%feast_log other" in said
    logged = book.run("%feast_log other --register m --alias champion")
    assert (logged.name, logged.version, logged.aliases) == ("m", "1", ("champion",))
    assert [i.ref for i in logged.contract.inputs] == ["hourly:trips"]
    run = client.get_run(logged.run_id)
    assert run.info.status == "FINISHED"


def test_a_part_of_a_pipeline_is_no_second_model(book) -> None:
    summary = book.run(
        "%%feast_train v1 --service activity --entity-df drivers\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import StandardScaler\n"
        "scaler, inner = StandardScaler(), LogisticRegression()\n"
        "whole = make_pipeline(scaler, inner).fit(training_df[['trips']], training_df['y'])"
    )

    assert [m.variable for m in summary.models] == ["whole"]


def test_a_model_made_before_and_fitted_here_counts(book) -> None:
    book.run("from sklearn.linear_model import LogisticRegression\nearly = LogisticRegression()")
    summary = book.run(
        "%%feast_train v1 --service activity --entity-df drivers\n"
        "_ = early.fit(training_df[['trips']], training_df['y'])"
    )

    assert [m.variable for m in summary.models] == ["early"]


def test_no_model_is_no_error_unless_one_was_to_be_registered(book) -> None:
    summary = book.run("%%feast_train v1 --service activity --entity-df drivers\nx = 1")
    assert summary.models == ()

    said = book.fails("%%feast_train v2 --service activity --entity-df drivers --register m\nx = 1")
    assert said.startswith("ModelError: no model was made here to register as m")


@pytest.mark.parametrize(
    ("flavor", "make"),
    [
        ("xgboost", "import xgboost\nmodel = xgboost.XGBClassifier(n_estimators=2)"),
        (
            "lightgbm",
            "import lightgbm\nmodel = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1)",
        ),
    ],
)
def test_boosted_trees_have_their_own_flavour(book, flavor, make) -> None:
    summary = book.run(
        f"%%feast_train v1 --service activity --entity-df drivers\n{make}\n"
        "_ = model.fit(training_df[['trips', 'acc_rate']], training_df['y'])"
    )

    assert summary.models[0].flavor == flavor
    inputs = summary.models[0].contract.inputs
    assert [i.ref for i in inputs] == ["hourly:trips", "hourly:acc_rate"]


def test_a_python_model_is_logged(book) -> None:
    summary = book.run(
        "%%feast_train v1 --service activity --entity-df drivers\n"
        "import mlflow\n"
        "class Mean(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input):\n"
        "        return model_input.mean(axis=1)\n"
        "mean = Mean()"
    )

    assert (summary.models[0].variable, summary.models[0].flavor) == ("mean", "pyfunc")


ARRAY = """%%feast_train v1 --service activity --entity-df drivers
from sklearn.linear_model import LogisticRegression
columns = {columns}
model = LogisticRegression().fit(training_df[columns].to_numpy(), training_df["y"])
"""


def test_an_array_model_has_the_order_of_what_its_fit_was_given_and_no_names(book) -> None:
    """Names in its signature would be our guess, and MLflow would reorder by them in silence."""
    import mlflow

    summary = book.run(ARRAY.format(columns=["trips", "acc_rate", "conv_rate"]))

    contract = summary.models[0].contract
    assert contract.order == "array"
    assert [i.ref for i in contract.inputs] == [
        "hourly:trips", "hourly:acc_rate", "hourly:conv_rate",
    ]  # fmt: skip
    signature = mlflow.models.get_model_info(summary.models[0].uri).signature
    assert not signature.inputs.has_input_names()


def test_an_array_model_of_another_width_has_unknown_inputs(book) -> None:
    book.run("hidden = lambda frame: frame")
    text = ARRAY.format(columns=["trips", "acc_rate"])
    summary = book.run(text.replace(".fit(", ".fit(hidden(").replace(".to_numpy()", ".to_numpy())"))

    assert (summary.models[0].contract.order, summary.models[0].contract.inputs) == ("unknown", ())
    assert "are not known" in summary.warnings[0]


def test_what_nothing_says_is_assumed(book) -> None:
    book.run("hidden = lambda frame: frame")
    text = ARRAY.format(columns=["trips", "acc_rate", "conv_rate"])
    summary = book.run(text.replace(".fit(", ".fit(hidden(").replace(".to_numpy()", ".to_numpy())"))

    assert summary.models[0].contract.order == "assumed"
    assert "the input order of model is not known" in summary.warnings[0]


def test_a_column_that_the_cell_made_is_an_input_that_is_no_feature(book) -> None:
    summary = book.run(
        "%%feast_train v1 --service activity --entity-df drivers\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "frame = training_df.assign(ratio=training_df.trips / 2)\n"
        "model = LogisticRegression().fit(frame[['ratio', 'trips']], frame['y'])"
    )

    assert [(i.name, i.ref) for i in summary.models[0].contract.inputs] == [
        ("ratio", None), ("trips", "hourly:trips"),
    ]  # fmt: skip
    shown = book.shell.display_formatter.format(summary)[0]
    assert "ratio (not a feature)" in str(replace(summary, verbose=True))
    assert "ratio" in shown["text/html"]


def test_a_model_fitted_before_keeps_what_it_was_trained_on(book) -> None:
    """`--model` names one of an earlier cell: its retrieval covers more of it than this one's."""
    book.run(
        "early = store.get_historical_features(drivers, ['hourly:trips', 'profile:age']).to_df()\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "m = LogisticRegression().fit(early[['trips', 'age']].fillna(0), early['y'])"
    )
    summary = book.run("%%feast_train v1 --service activity --entity-df drivers --model m\n1")

    assert [i.ref for i in summary.models[0].contract.inputs] == ["hourly:trips", "profile:age"]


def test_feast_log_goes_to_the_run_that_made_the_models_frame(book) -> None:
    outer = book.run("%feast_run outer")
    book.run(
        "frame = store.get_historical_features(drivers, ['hourly:trips']).to_df()\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "m = LogisticRegression().fit(frame[['trips']], frame['y'])"
    )
    book.run("%feast_run inner --nested")
    book.run("%feast_run --end")
    book.run("%feast_run --end")
    logged = book.run("%feast_log m")

    assert logged.run_id == outer.id
    assert [i.ref for i in logged.contract.inputs] == ["hourly:trips"]


def test_a_cell_that_drops_rows_has_a_signature_all_the_same(book) -> None:
    import warnings

    import mlflow

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        summary = book.run(
            "%%feast_train v1 --features hourly:trips profile:age --entity-df drivers\n"
            "import numpy as np\n"
            "from sklearn.linear_model import LogisticRegression\n"
            "training_df.loc[0, 'age'] = np.nan\n"
            "training_df = training_df.dropna()\n"
            "model = LogisticRegression().fit(training_df[['trips', 'age']], training_df['y'])"
        )

    assert mlflow.models.get_model_info(summary.models[0].uri).signature.outputs is not None


def test_a_failing_cell_shows_one_traceback_and_the_run_failed(book, client) -> None:
    said = book.fails("%%feast_train v1 --service activity --entity-df drivers\n1/0")

    assert "ZeroDivisionError" in said
    assert "feast_nb" not in said, "the traceback is the user's own"
    (run,) = client.search_runs(["1"])
    assert run.info.status == "FAILED"
    assert read_json(client, run.info.run_id, "feast/retrievals.json")["retrievals"]
    book.run("%%feast_train v1 --service activity --entity-df drivers" + FIT)


def test_an_interrupt_leaves_the_run_killed(book, client) -> None:
    book.fails("%%feast_train v1 --service activity --entity-df drivers\nraise KeyboardInterrupt")

    (run,) = client.search_runs(["1"])
    assert run.info.status == "KILLED"
    book.run("%%feast_train v1 --service activity --entity-df drivers" + FIT)


def test_a_syntax_error_stops_before_anything_is_retrieved(book, client) -> None:
    said = book.fails("%%feast_train v1 --service activity --entity-df drivers\nx = )")

    assert "SyntaxError" in said
    assert "feast_nb" not in said
    assert client.get_experiment_by_name("drivers") is None


def test_await_is_refused_before_anything_is_retrieved(book, client) -> None:
    said = book.fails("%%feast_train v1 --service activity --entity-df drivers\nawait f()")

    assert said.startswith("UsageError: %%feast_train cannot run a cell with top-level await")
    assert client.get_experiment_by_name("drivers") is None


def test_references_and_full_names(book, client) -> None:
    summary = book.run(
        "%%feast_train v1 --features hourly:trips profile:age --entity-df drivers --into df"
        " --full-feature-names\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression().fit(df[['profile__age', 'hourly__trips']].fillna(0), df['y'])"
    )

    assert summary.retrievals[0].service is None
    assert [i.ref for i in summary.models[0].contract.inputs] == ["profile:age", "hourly:trips"]


def test_a_frame_retrieved_in_an_earlier_cell_is_linked(book, client) -> None:
    book.run("df = store.get_historical_features(drivers, ['hourly:trips']).to_df()")
    summary = book.run(
        "%%feast_train v1\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "part = df.dropna()[['trips', 'y']]\n"
        "model = LogisticRegression().fit(part[['trips']], part['y'])"
    )

    (kept,) = read_json(client, summary.run.id, "feast/retrievals.json")["retrievals"]
    assert (kept["linked_by"], kept["cell"]["number"]) == ("attrs", 3)
    assert [i.ref for i in summary.models[0].contract.inputs] == ["hourly:trips"]
    assert client.get_run(summary.run.id).data.tags["feast.feature_refs"] == "hourly:trips"


def test_the_training_frame_of_a_training_is_the_models(book) -> None:
    """A frame for judging, used in the same cell, is linked but is not what it was trained on."""
    book.run("later = store.get_historical_features(drivers.iloc[:3], "
             "store.get_feature_service('activity')).to_df()")  # fmt: skip
    summary = book.run(
        "%%feast_train v1 --service activity --entity-df drivers" + FIT + "later.shape"
    )

    trained_on = summary.models[0].contract.retrievals
    by_id = {r.id: r for r in summary.retrievals}
    assert len(by_id) == 2
    assert [by_id[i].entity.rows for i in trained_on] == [6]


def test_inside_an_open_run_a_training_joins_or_is_a_child(book, client) -> None:
    book.run("%feast_run outer")
    joined = book.run("%%feast_train --service activity --entity-df drivers --no-archive" + FIT)
    child = book.run("%%feast_train inner --service activity --entity-df drivers" + FIT)
    ended = book.run("%feast_run --end")

    assert joined.run.id == ended.id
    assert joined.retrievals[0].entity.reason == "archiving is off"
    assert client.get_run(child.run.id).data.tags["mlflow.parentRunId"] == ended.id
    assert client.get_run(ended.id).info.status == "FINISHED"


def test_the_same_from_a_script(repo, drivers, client) -> None:
    from sklearn.linear_model import LogisticRegression

    import feast_nb

    session = feast_nb.open(repo)
    with session.train("v1", service="activity", entity_df=drivers, register="m") as training:
        frame = training.frame
        training.model = LogisticRegression().fit(frame[["trips"]], frame["y"])

    assert training.summary.models[0].version == "1"
    assert client.get_run(training.summary.run.id).info.status == "FINISHED"


def test_without_the_magic_the_cell_still_runs(book) -> None:
    book.run("training_df = store.get_historical_features(drivers, "
             "store.get_feature_service('activity')).to_df()")  # fmt: skip
    book.run(FIT)


def test_large_entity_frames_are_not_archived_and_it_is_said(book, repo, client) -> None:
    book.run("store.config.mlflow.entity_df_max_rows = 5")
    summary = book.run("%%feast_train v1 --service activity --entity-df drivers" + FIT)

    entity = summary.retrievals[0].entity
    assert entity.artifact is None
    assert entity.fingerprint
    assert "6 rows above entity_df_max_rows (5)" in " ".join(summary.warnings)
    assert "entity_df.parquet" not in artifacts(client, summary.run.id)
    tags = client.get_run(summary.run.id).data.tags
    assert tags["feast_nb.entity_archived"].startswith("false: 6 rows above")


def test_a_cell_that_was_edited_since_is_in_the_summary(book, drivers) -> None:
    """What the training used came from a text of the cell that is no more."""
    retrieve = "df = store.get_historical_features(drivers, ['hourly:{}']).to_df()"
    book.space["drivers"] = drivers
    book.shell.run_cell(retrieve.format("trips"), store_history=True, cell_id="retrieve")
    book.shell.run_cell("old = df", store_history=True, cell_id="keep")
    book.shell.run_cell(retrieve.format("acc_rate"), store_history=True, cell_id="retrieve")

    summary = book.run(
        "%%feast_train v1\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression().fit(old[['trips']], old['y'])"
    )

    assert [w for w in summary.warnings if "was edited since, and run again as cell" in w]
    assert [r.refs for r in summary.retrievals] == [("hourly:trips",)]


def test_the_summary_says_what_came_from_after_its_moment(
    notebook, repo, drivers, monkeypatch
) -> None:
    """What is looked up, and found, is tested in `test_point_in_time`; no store here gives any."""
    from feast_nb.integrations.feast import point_in_time
    from feast_nb.records.retrieval import LateValues

    asked: list[int] = []

    def late(result: object, *_: object) -> tuple[LateValues, ...]:
        asked.append(len(result))  # type: ignore[arg-type]
        return (LateValues("hourly", 3, 6),)

    notebook.space["trips"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    train = "%%feast_train v1 --features hourly:trips --entity-df trips\nx = 1"
    assert not [w for w in notebook.run(train).warnings if "moment" in w]
    monkeypatch.setattr(point_in_time, "late_values", late)
    said = notebook.run(train).warnings
    assert "3 of 6 rows that were looked up have a value of hourly from after their own moment" in (
        " ".join(said)
    )
    assert len(asked) == 1
    notebook.run("%feast_run plain")
    notebook.run("store.get_historical_features(trips, ['hourly:trips']).to_df()")
    notebook.run("%feast_run --end")
    assert len(asked) == 1  # the sources are read for it where a training was asked for


def test_a_signature_is_made_of_pandas_own_types_with_gaps() -> None:
    """MLflow refuses the very gaps of `Int64` and `boolean` that it infers a signature from."""
    import pandas as pd

    from feast_nb.integrations.mlflow import models

    frame = pd.DataFrame({
        "n": pd.array([1, None], "Int64"), "m": pd.array([1, 2], "Int32"),
        "b": pd.array([True, None], "boolean"), "x": [0.5, 1.5],
    })  # fmt: skip
    signature, trouble = models._accepted(models._of_numpy(frame), None, None)

    assert trouble is None
    assert [c.type.name for c in signature.inputs.inputs][:2] == ["double", "integer"]
    assert models._of_numpy(frame[["x"]]) is not None


# ---------------------------------------------------------------------- held against an earlier one

METRIC = "\nimport mlflow; mlflow.log_metrics({metrics})"


def trained(book, columns: str, metrics: str, line: str):
    return book.run(
        f"%%feast_train --service activity --entity-df drivers --register held {line}\n"
        "from sklearn.linear_model import LogisticRegression\n"
        f"model = LogisticRegression().fit(training_df[{columns}].fillna(0), training_df['y'])"
        + METRIC.format(metrics=metrics)
    )


def test_a_version_is_held_against_the_one_that_has_its_alias(book) -> None:
    """Not against the last one: what the alias means is what is replaced."""
    first = trained(book, "['trips']", "{'auc': 0.6, 'brier': 0.2}", "--alias champion")
    last = trained(book, "['trips']", "{'auc': 0.9}", "")
    third = trained(
        book, "['trips', 'conv_rate']", "{'auc': 0.7, 'brier': 0.3, 'n': 6}", "--alias champion"
    )

    assert first.compared is None
    assert last.compared.model == "held/1"
    compared = third.compared
    assert (compared.model, compared.aliases) == ("held/1", ("champion",))
    assert [(m.name, m.value, m.before, m.better) for m in compared.metrics] == [
        ("auc", 0.7, 0.6, True), ("brier", 0.3, 0.2, False),
    ]  # fmt: skip
    assert compared.new == ("hourly:conv_rate",)
    assert compared.gone == ()
    said = str(third).splitlines()
    assert said[0] == "✓ held/3 @champion    against held/1 (@champion until now)"
    assert said[1] == "  auc 0.7 ▲ +0.1   brier 0.3 ▲ +0.1 worse   n 6"
    assert "  Next  %feast_diff held/1 held/3" in said


def test_an_alias_that_nobody_has_is_held_against_the_last_version(book) -> None:
    trained(book, "['trips']", "{'auc': 0.6}", "--alias champion")
    second = trained(book, "['trips']", "{'auc': 0.6}", "--alias challenger")

    assert "against held/1 (@champion)" in str(second)
    assert "auc 0.6 unchanged" in str(second)


def test_two_versions_of_one_run_are_not_told_apart_by_the_runs_metrics(book) -> None:
    book.run("%feast_run both")
    trained(book, "['trips']", "{'auc': 0.6}", "")
    second = trained(book, "['trips']", "{'auc': 0.7}", "")
    book.run("%feast_run --end")

    assert second.compared.model == "held/1"
    assert second.compared.metrics == ()


def test_a_training_is_not_lost_for_what_it_cannot_be_held_against(book, monkeypatch) -> None:
    """The registry refuses to say which version there is: the rest of the summary stands."""
    trained(book, "['trips']", "{'auc': 0.6}", "")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def refuses(*args, **kwargs):
        raise MlflowException("not today")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "get_registered_model", refuses)
        second = trained(book, "['trips']", "{'auc': 0.7}", "")

    assert second.models[0].version == "2"
    assert second.compared.unknown == "MLflow refuses: not today"
    assert "not compared with held: MLflow refuses: not today" in str(second)


@pytest.mark.parametrize(
    ("raised", "status"), [("ValueError('no')", "FAILED"), ("KeyboardInterrupt", "KILLED")]
)
def test_a_cell_that_fails_says_in_one_line_how_its_run_was_left(
    book, capsys, raised, status
) -> None:
    capsys.readouterr()
    book.fails(f"%%feast_train v1 --service activity --entity-df drivers\nraise {raised}")

    (line,) = [said for said in capsys.readouterr().out.splitlines() if said.startswith("Run v1")]
    assert f"closed as {status}; it keeps 1 retrieval." in line


def test_v_shows_what_is_folded_away(book) -> None:
    line = "%%feast_train v1 --service activity --entity-df drivers"
    short, long = book.run(line + FIT), book.run(line + " -v" + FIT)

    assert "hourly:trips" not in str(short)
    assert "hourly:trips" in str(long)
    assert "<details open>" in book.shell.display_formatter.format(long)[0]["text/html"]
    assert "<details>" in book.shell.display_formatter.format(short)[0]["text/html"]


def test_gaps_are_said_of_what_the_model_uses(book) -> None:
    """Trained on a column that is mostly missing; another such column is retrieved and not used."""
    book.run(
        "from feast.infra.offline_stores.offline_store import RetrievalJob\n"
        "drivers = drivers.assign(event_timestamp=[*drivers['event_timestamp'][:3], "
        "*(drivers['event_timestamp'][3:] - __import__('pandas').Timedelta(days=400))])"
    )
    used = book.run("%%feast_train v1 --service activity --entity-df drivers" + FIT.replace(
        'training_df[["trips", "acc_rate"]]', 'training_df[["trips"]].fillna(0)'))  # fmt: skip

    (said,) = [w for w in used.warnings if "missing" in w]
    assert said == "trips is missing in 50.0 % of the rows."
    assert said in str(used)


def test_a_frame_of_another_run_can_be_rebuilt_there(book) -> None:
    """Retrieved in one run, trained on in another: the copy is the first one's, and is found."""
    book.run("%feast_run first\n")
    book.run("kept = store.get_historical_features(drivers, ['hourly:trips']).to_df()")
    book.run("%feast_run --end")
    second = book.run(
        "%%feast_train second --from kept\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "m = LogisticRegression().fit(kept[['trips']], kept['y'])"
    )

    assert second.rebuilt == "can be rebuilt"
    assert book.run(f"%feast_reproduce {second.run.id} --verify").verdict == "identical"


def test_v_of_a_frame_with_a_column_of_that_name_is_no_fault(book) -> None:
    book.run("drivers['verbose'] = 1")
    book.run("%%feast_train v1 --service activity --entity-df drivers --register m" + FIT)
    scored = book.run("%feast_score m --entities drivers --as-of event_timestamp -v")

    assert "prediction" in scored.columns
    assert "prediction run" in book.shown[-1]["text/plain"]


def test_a_version_that_the_cell_registered_itself_is_not_the_one_before(book) -> None:
    trained(book, "['trips']", "{'auc': 0.6}", "")
    second = book.run(
        "%%feast_train --service activity --entity-df drivers --register held\n"
        "import mlflow\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression().fit(training_df[['trips']].fillna(0), training_df['y'])\n"
        "mlflow.sklearn.log_model(model, name='model', registered_model_name='held')"
    )

    assert second.models[0].version == "3"
    assert second.compared.model == "held/1"
