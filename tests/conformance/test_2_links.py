"""Feast alone and with feast_nb, group 2: which run a retrieval belongs to, and how that is known."""

from __future__ import annotations

import mlflow
import pytest

from ..conftest import artifacts, make_repository
from .conftest import change_yaml, contracts_of, fit, retrievals_of, tags_of

REFS = ["hourly:conv_rate", "hourly:acc_rate", "hourly:trips"]
FIT = """
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit(df[["trips", "acc_rate"]], df["y"])
"""


def feast_tags(store, run_id: str) -> dict[str, str]:
    return {k: v for k, v in tags_of(store, run_id).items() if k.startswith("feast.")}


@pytest.fixture
def book(load, drivers):
    """A notebook with the repository open, an entity frame, and plain MLflow on its server."""
    load()
    load.book.space["drivers"] = drivers
    load.book.run("import mlflow\nmlflow.set_tracking_uri(store.config.mlflow.get_tracking_uri())")
    return load.book


def run_id_of(book, variable: str = "run") -> str:
    return str(book.space[variable].info.run_id)


@pytest.mark.conformance("2.1")
def test_2_1_a_frame_retrieved_before_the_run_is_linked(alone, load, request, drivers) -> None:
    """Retrieved in one cell, the run started in the next: Feast records nothing, and says nothing.

    Right is that the run has the retrieval, as one that was made outside of it, its tags and its
    entity frame, and that Feast's own tools find them.
    """
    from feast.mlflow_integration import FeastMlflowModelResolutionError

    df = alone.get_historical_features(drivers, alone.get_feature_service("activity")).to_df()
    with alone.mlflow.start_run() as run:
        alone.mlflow.log_model(fit(df, "trips", "acc_rate"), "model", flavor="sklearn")
    alone.mlflow.register_model(f"runs:/{run.info.run_id}/model", "m")
    assert set(feast_tags(alone, run.info.run_id)) == {"feast.project"}
    assert "entity_df.parquet" not in artifacts(alone.mlflow.client, run.info.run_id)
    with pytest.raises(FeastMlflowModelResolutionError, match="Could not determine"):
        alone.mlflow.resolve_features("models:/m/1")

    book = request.getfixturevalue("book")
    book.run("df = store.get_historical_features(drivers, store.get_feature_service('activity'))"
             ".to_df()")  # fmt: skip
    book.run(
        "with store.mlflow.start_run() as run:"
        + FIT.replace("\n", "\n    ")
        + "mlflow.sklearn.log_model(model, name='model', registered_model_name='m')"
    )
    store, run_id = book.space["store"], run_id_of(book)

    (kept,) = retrievals_of(store, run_id)
    assert (kept["refs"], kept["service"], kept["state"]) == (REFS, "activity", "ran")
    assert (kept["linked_by"], kept["origin"], kept["run_id"]) == ("attrs", None, run_id)
    assert kept["cell"]["number"] == 4, "the cell that retrieved"
    tags = feast_tags(store, run_id)
    assert tags["feast.feature_refs"] == ",".join(REFS)
    assert tags["feast.feature_service"] == "activity"
    assert tags["feast.entity_count"] == "6"
    contract = contracts_of(store, run_id)["model"]
    assert (contract["retrievals"], contract["linked_by"]) == ([kept["id"]], "attrs")
    assert [i["ref"] for i in contract["inputs"]] == ["hourly:trips", "hourly:acc_rate"]
    assert store.mlflow.resolve_features("models:/m/1") == "activity"
    frame = store.mlflow.get_training_entity_df(run_id)
    assert frame.driver_id.tolist() == [1, 2, 3, 4, 5, 6]
    assert frame.y.tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.conformance("2.1")
def test_2_1_a_run_that_stays_open_has_what_later_cells_read(book) -> None:
    """The run is opened in a cell of its own; a later cell reads the frame."""
    book.run("df = store.get_historical_features(drivers, ['hourly:trips']).to_df()")
    book.run("other = store.get_historical_features(drivers, ['profile:age']).to_df()")
    book.run("run = store.mlflow.start_run()")
    book.run("part = df[df['trips'] >= 0].copy()")
    book.run("mlflow.end_run()")

    (kept,) = retrievals_of(book.space["store"], run_id_of(book))
    assert (kept["refs"], kept["linked_by"]) == (["hourly:trips"], "attrs"), "and not the other"


@pytest.mark.conformance("2.1")
def test_2_1_a_model_that_was_fitted_before_the_run_is_linked_by_its_fit(book) -> None:
    """Retrieved and fitted before; the run only logs the model: the frame of its fit says it."""
    book.run("df = store.get_historical_features(drivers, store.get_feature_service('activity'))"
             ".to_df()")  # fmt: skip
    book.run(FIT)
    book.run("with store.mlflow.start_run() as run:\n"
             "    mlflow.sklearn.log_model(model, name='model')")  # fmt: skip

    (kept,) = retrievals_of(book.space["store"], run_id_of(book))
    assert (kept["refs"], kept["linked_by"]) == (REFS, "attrs")
    assert contracts_of(book.space["store"], run_id_of(book))["model"]["linked_by"] == "attrs"


@pytest.mark.conformance("2.1")
def test_2_1_a_run_that_uses_no_frame_has_none(book) -> None:
    """A retrieval that nothing in the run reads is none of its."""
    book.run("df = store.get_historical_features(drivers, ['hourly:trips']).to_df()")
    book.run("with store.mlflow.start_run() as run:\n    mlflow.log_metric('auc', 0.5)")

    store, run_id = book.space["store"], run_id_of(book)
    assert set(feast_tags(store, run_id)) == {"feast.project"}
    assert "feast/retrievals.json" not in artifacts(store.mlflow.client, run_id)


@pytest.mark.conformance("2.2")
def test_2_2_children_inherit_what_their_parent_retrieved(alone, load, drivers) -> None:
    """The parent run retrieves, its children train: Feast leaves the children with nothing.

    Right is a retrieval in each child, as its parent's: here by functions that no cell shows.
    """

    def search(store):
        children = []
        with store.mlflow.start_run() as parent:
            df = store.get_historical_features(
                drivers, store.get_feature_service("activity")
            ).to_df()
            for columns in (["trips"], ["trips", "acc_rate"]):
                with mlflow.start_run(nested=True) as child:
                    mlflow.sklearn.log_model(fit(df, *columns), name="model")
                children.append(child.info.run_id)
            with mlflow.start_run(nested=True) as child:
                mlflow.log_metric("auc", 0.5)
            children.append(child.info.run_id)
        return parent.info.run_id, children

    parent, children = search(alone)
    assert feast_tags(alone, parent)["feast.feature_service"] == "activity"
    assert [feast_tags(alone, c) for c in children] == [{}] * 3, "Feast alone"

    store = load()
    parent, children = search(store)

    (made,) = retrievals_of(store, parent)
    for child in children:
        (kept,) = retrievals_of(store, child)
        assert (kept["id"], kept["origin"], kept["run_id"]) == (made["id"], parent, child)
        assert kept["entity"]["reason"] == f"it is kept in runs:/{parent}/entity_df.parquet"
        assert tags_of(store, child)["feast_nb.inherited_from"] == parent
        assert feast_tags(store, child)["feast.feature_service"] == "activity"
        assert feast_tags(store, child)["feast.feature_refs"] == ",".join(REFS)
    inputs = [
        [i["ref"] for i in contracts_of(store, child)["model"]["inputs"]] for child in children[:2]
    ]
    assert inputs == [["hourly:trips"], ["hourly:trips", "hourly:acc_rate"]]
    assert "feast_nb.inherited_from" not in tags_of(store, parent)
    assert retrievals_of(store, children[2])[0]["linked_by"] == "parent"


@pytest.mark.conformance("2.2")
def test_2_2_a_childs_model_is_resolved(load, drivers) -> None:
    """The best child's model is registered: Feast raises for it; right is the parent's service."""
    store = load()
    service = store.get_feature_service("rates")
    with store.mlflow.start_run():
        df = store.get_historical_features(drivers, service).to_df()
        with mlflow.start_run(nested=True) as child:
            mlflow.sklearn.log_model(fit(df, "acc_rate"), name="model", registered_model_name="m")

    assert store.mlflow.resolve_features("models:/m/1") == "rates"
    (kept,) = retrievals_of(store, child.info.run_id)
    assert kept["linked_by"] == "parent", "surer than matching columns"
    assert contracts_of(store, child.info.run_id)["model"]["linked_by"] == "parent"


@pytest.mark.conformance("2.2")
def test_2_2_a_plain_child_is_in_its_parents_experiment(alone, load) -> None:
    """`mlflow.start_run(nested=True)` in a run of the store's: beside its parent, as by Feast."""

    def experiments(store):
        with store.mlflow.start_run() as parent, mlflow.start_run(nested=True) as child:
            pass
        client = store.mlflow.client
        ids = [client.get_run(run.info.run_id).info.experiment_id for run in (parent, child)]
        return [client.get_experiment(id).name for id in ids]

    assert experiments(alone) == ["drivers", "drivers"], "Feast alone"

    assert experiments(load()) == ["drivers", "drivers"]


@pytest.mark.conformance("2.2")
def test_2_2_a_plain_child_of_a_magics_run_is_in_its_experiment(book) -> None:
    """The same in a run that `%feast_run` opened."""
    parent = book.run("%feast_run outer --experiment trials")
    book.run("with mlflow.start_run(nested=True) as child:\n    pass")
    book.run("%feast_run --end")

    client = book.space["store"].mlflow.client
    info = client.get_run(run_id_of(book, "child")).info
    assert info.experiment_id == parent.experiment_id


@pytest.mark.conformance("2.2")
def test_2_2_a_child_in_a_cell_has_the_frame_that_it_reads(book) -> None:
    """In a cell that reads the parent's frame, the child's link is the frame's own mark."""
    book.run("parent = store.mlflow.start_run()")
    book.run("df = store.get_historical_features(drivers, store.get_feature_service('activity'))"
             ".to_df()")  # fmt: skip
    book.run(
        "with mlflow.start_run(nested=True) as child:\n"
        "    with mlflow.start_run(nested=True) as grandchild:" + FIT.replace("\n", "\n        ")
    )
    book.run("mlflow.end_run()")

    store, parent = book.space["store"], run_id_of(book, "parent")
    (made,) = retrievals_of(store, parent)
    for name in ("child", "grandchild"):
        (kept,) = retrievals_of(store, run_id_of(book, name))
        assert (kept["id"], kept["linked_by"], kept["origin"]) == (made["id"], "attrs", parent)
        assert tags_of(store, run_id_of(book, name))["feast_nb.inherited_from"] == parent


@pytest.mark.conformance("2.2")
def test_2_2_a_child_that_retrieves_has_its_own_and_no_more(load, drivers) -> None:
    store = load()
    with store.mlflow.start_run() as parent:
        store.get_historical_features(drivers, ["hourly:trips"]).to_df()
        with mlflow.start_run(nested=True) as child:
            store.get_historical_features(drivers, ["profile:age"]).to_df()

    assert [r["refs"] for r in retrievals_of(store, parent.info.run_id)] == [["hourly:trips"]]
    (kept,) = retrievals_of(store, child.info.run_id)
    assert (kept["refs"], kept["linked_by"]) == (["profile:age"], None)


@pytest.mark.conformance("2.3")
def test_2_3_autologs_own_run_is_linked(alone, load, request, drivers) -> None:
    """`mlflow.sklearn.autolog()`, and a fit with no run open: MLflow opens one, Feast adds nothing.

    Right is that this run has the retrieval, and its model a contract.
    """

    def newest(store):
        (run,) = mlflow.search_runs(
            output_format="list", max_results=1, search_all_experiments=True
        )
        return str(run.info.run_id)

    mlflow.set_tracking_uri(alone.config.mlflow.tracking_uri)
    mlflow.set_experiment("autologged")
    mlflow.sklearn.autolog()
    fit(alone.get_historical_features(drivers, ["hourly:trips"]).to_df(), "trips")
    assert feast_tags(alone, newest(alone)) == {}
    mlflow.sklearn.autolog(disable=True)

    book = request.getfixturevalue("book")
    book.run("mlflow.set_experiment('autologged')\nmlflow.sklearn.autolog()")
    book.run("df = store.get_historical_features(drivers, store.get_feature_service('activity'))"
             ".to_df()")  # fmt: skip
    book.run(FIT)
    book.run("mlflow.sklearn.autolog(disable=True)")
    store = book.space["store"]
    load.sent()

    run_id = newest(store)
    (kept,) = retrievals_of(store, run_id)
    assert (kept["refs"], kept["linked_by"], kept["origin"]) == (REFS, "attrs", None)
    assert feast_tags(store, run_id)["feast.feature_service"] == "activity"
    contract = contracts_of(store, run_id)["model"]
    assert [i["ref"] for i in contract["inputs"]] == ["hourly:trips", "hourly:acc_rate"]
    assert contract["retrievals"] == [kept["id"]]


@pytest.mark.conformance("2.6")
def test_2_6_a_retrieval_from_another_repository_is_recorded_with_the_run(
    alone, load, tmp_path, drivers, capsys
) -> None:
    """Two repositories with servers of their own, one run: Feast writes the other's nowhere.

    Right is a record with the run, on the run's server, and one line that says so.
    """
    from feast import FeatureStore

    def both(first, second):
        with first.mlflow.start_run() as run:
            first.get_historical_features(drivers, ["hourly:trips"]).to_df()
            for _ in range(3):
                second.get_historical_features(drivers, ["profile:age"]).to_df()
        return run.info.run_id

    def other(folder):
        make_repository(folder, project="riders")
        change_yaml(folder, "sqlite:///mlflow.db", f"sqlite:///{folder}/mlflow.db")
        return FeatureStore(repo_path=str(folder))

    second = other(tmp_path / "riders_alone")
    assert second.mlflow is not None
    run_id = both(alone, second)
    assert feast_tags(alone, run_id)["feast.feature_refs"] == "hourly:trips", "Feast alone"
    assert not second.mlflow.client.search_runs(["0"]), "nor on the other server"

    store = load()
    second = other(tmp_path / "riders")
    load.book.space["go"] = lambda: both(store, second)
    capsys.readouterr()
    load.book.run("run_id = go()")
    run_id = load.book.space["run_id"]

    kept = retrievals_of(store, run_id)
    assert [(r["project"], r["refs"][0]) for r in kept] == [
        ("drivers", "hourly:trips"),
        *[("riders", "profile:age")] * 3,
    ]
    tags = tags_of(store, run_id)
    assert tags["feast_nb.projects"] == "drivers,riders"
    assert (tags["feast.project"], tags["feast.feature_refs"]) == ("drivers", "hourly:trips")
    said = capsys.readouterr().err
    assert said.count("the repository riders names") == 1, said
    assert f"{tmp_path}/riders/mlflow.db" in said
    assert run_id[:8] in said


JOIN = """
both = rates.merge(ages, on=["driver_id", "event_timestamp"])
"""


@pytest.mark.conformance("2.1")
def test_2_1_a_joined_frame_is_linked_to_both_of_its_parts(book) -> None:
    """Two retrievals joined in a cell, trained on in the next: pandas drops the marks in a join.

    Right is both, each called what it is: known by the variables.
    """
    book.run("rates = store.get_historical_features(drivers, ['hourly:acc_rate']).to_df()\n"
             "ages = store.get_historical_features(drivers[['driver_id', 'event_timestamp']],"
             " ['profile:age']).to_df()")  # fmt: skip
    book.run(JOIN)
    assert book.space["both"].attrs == {}, "nothing is marked: the variables tell"
    book.run(
        "with store.mlflow.start_run() as run:\n"
        "    from sklearn.linear_model import LogisticRegression\n"
        "    model = LogisticRegression().fit(both[['age', 'acc_rate']], both['y'])\n"
        "    mlflow.sklearn.log_model(model, name='model')"
    )

    store, run_id = book.space["store"], run_id_of(book)
    kept = retrievals_of(store, run_id)
    assert sorted((r["refs"], r["linked_by"]) for r in kept) == [
        (["hourly:acc_rate"], "name"),
        (["profile:age"], "name"),
    ]
    contract = contracts_of(store, run_id)["model"]
    assert [i["ref"] for i in contract["inputs"]] == ["profile:age", "hourly:acc_rate"]
    assert sorted(contract["retrievals"]) == sorted(r["id"] for r in kept)
    assert contract["linked_by"] == "name"
    refs = feast_tags(store, run_id)["feast.feature_refs"].split(",")
    assert sorted(refs) == ["hourly:acc_rate", "profile:age"]


@pytest.mark.conformance("2.1")
def test_2_1_what_a_joined_frame_came_from_is_in_the_order_asked(book) -> None:
    """`feast/retrievals.json` is in order, for joined frames too; so are the references' tags."""
    asked = ["profile:age", "hourly:trips", "hourly:conv_rate", "hourly:acc_rate"]
    book.space["asked"] = asked
    book.run("parts = [store.get_historical_features(drivers, [ref]).to_df() for ref in asked]")
    book.run("joined = parts[0]\n"
             "for part in parts[1:]:\n"
             "    joined = joined.merge(part, on=['driver_id', 'event_timestamp', 'y'])")  # fmt: skip
    book.run("with store.mlflow.start_run() as run:\n    shape = joined.shape")

    store, run_id = book.space["store"], run_id_of(book)
    kept = retrievals_of(store, run_id)
    assert sorted(r["refs"][0] for r in kept) == sorted(asked)
    assert [r["refs"][0] for r in kept] == asked
    assert feast_tags(store, run_id)["feast.feature_refs"] == ",".join(asked)


@pytest.mark.conformance("2.1")
def test_2_1_from_is_the_users_word(book) -> None:
    """`--from VAR`: the frame that a training came from is declared, which is surer than a match."""
    book.run("df = store.get_historical_features(drivers, store.get_feature_service('activity'))"
             ".to_df()")  # fmt: skip
    book.run("x, y = df[['trips', 'acc_rate']].to_numpy(), df['y'].to_numpy()")
    summary = book.run(
        "%%feast_train v1 --from df\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression().fit(x, y)"
    )

    store, run_id = book.space["store"], summary.run.id
    (kept,) = retrievals_of(store, run_id)
    assert (kept["refs"], kept["linked_by"]) == (REFS, "declared")
    contract = contracts_of(store, run_id)["model"]
    assert (contract["retrievals"], contract["linked_by"]) == ([kept["id"]], "declared")
    assert [r.linked_by for r in summary.retrievals] == ["declared"]


@pytest.mark.conformance("2.1")
@pytest.mark.parametrize(
    "cell",
    [
        "with mlflow.start_run() as run:\n"
        "    df = store.get_historical_features(drivers, ['hourly:conv_rate']).to_df()\n"
        "    df.head()",
        "df = store.get_historical_features(drivers, ['hourly:conv_rate']).to_df()\n"
        "with mlflow.start_run() as run:\n"
        "    mlflow.log_metric('mean', df['conv_rate'].mean())",
        "%%feast_train v1 --features hourly:conv_rate --entity-df drivers --into df\ndf.head()",
    ],
    ids=["in the run", "before the run", "by the magic"],
)
def test_2_1_a_variable_that_the_cell_binds_anew_links_nothing_old(book, drivers, cell) -> None:
    """A notebook uses one name again and again: what it held before the cell is not what it reads."""
    book.space["drivers"] = drivers
    book.run("df = store.get_historical_features(drivers, ['hourly:trips']).to_df()")
    summary = book.run(cell)
    run_id = summary.run.id if summary is not None and hasattr(summary, "run") else None
    run_id = run_id or book.space["run"].info.run_id

    (kept,) = retrievals_of(book.space["store"], run_id)
    assert kept["refs"] == ["hourly:conv_rate"]
