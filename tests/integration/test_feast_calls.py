"""Every call of Feast's that reads features, with every argument it was given, and made again."""

from __future__ import annotations

import functools
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from feast_nb.records.retrieval import LateValues

from ..conftest import NOW, make_repository, read_json

# What is decided of each public name of `FeatureStore`: recorded by a hook of ours, made of calls
# that are, or why not.
RECORDED = {
    "get_historical_features", "get_online_features", "get_online_features_async",
    "get_saved_dataset", "create_saved_dataset", "retrieve_online_documents",
    "retrieve_online_documents_v2", "push", "push_async", "write_to_online_store",
    "write_to_online_store_async", "write_to_offline_store", "mlflow",
}  # fmt: skip
DECIDED = {
    "create_dataset_from_retrieval": "made of get_historical_features and create_saved_dataset",
    "retrieve_dataset_data": "a preview of ten rows, for Feast's own page",
    "openai_search": "made of retrieve_online_documents_v2",
    "validate_logged_features": "checks what a feature server logged; nobody trains on it",
    "write_logged_features": "logs of what was served, not features",
    "precompute_feature_service": "copies within the online store",
    "materialize": "Feast's own log of operations has it",
    "materialize_incremental": "Feast's own log of operations has it",
    "update_online_store": "arrays in place; Feast's own log has it",
}
_DEFINES = ("apply", "plan", "teardown", "delete_", "disable_", "enable_", "set_", "list_",
            "refresh_", "serve", "close", "initialize", "config", "repo_path", "registry",
            "provider", "project", "reset_", "openlineage", "embedding_provider",
            "get_data_source", "get_entity", "get_feature_s", "get_feature_view", "get_label_view",
            "get_on_demand", "get_permission", "get_project", "get_stream", "get_validation",
            "compute_", "log_", "save_", "unapply")  # fmt: skip


def test_every_public_name_of_the_store_is_decided_about() -> None:
    from feast import FeatureStore

    public = {n for n in dir(FeatureStore) if not n.startswith("_")}
    rest = {n for n in public - RECORDED - set(DECIDED) if not n.startswith(_DEFINES)}

    assert not rest, f"does it read or write features? then record it: {sorted(rest)}"


@pytest.fixture
def corrected(tmp_path: Path) -> Path:
    """A repository whose values were corrected a week after they were written."""
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64

    def define(repo: Path) -> list[Any]:
        moments = pd.to_datetime(["2024-01-01"] * 4, utc=True)
        written = pd.to_datetime(["2024-01-01", "2024-01-09"] * 2, utc=True)
        rows = {"driver_id": [1, 1, 2, 2], "event_timestamp": moments, "created": written,
                "rate": [0.1, 0.9, 0.2, 0.8]}  # fmt: skip
        pd.DataFrame(rows).to_parquet(repo / "rates.parquet")
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        source = FileSource(
            name="rates",
            path=str(repo / "rates.parquet"),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        )
        schema = [Field(name="rate", dtype=Float64)]
        view = FeatureView(
            name="rates", entities=[driver], ttl=timedelta(days=30), schema=schema, source=source
        )
        return [driver, view]

    return make_repository(tmp_path / "corrected", define=define)


TRIPS = """
import pandas as pd
trips = pd.DataFrame({"driver_id": [1, 2], "y": [0.0, 1.0],
                      "event_timestamp": pd.to_datetime(["2024-01-03"] * 2, utc=True)})
from sklearn.linear_model import LinearRegression
"""
TRAIN = """
model = LinearRegression().fit(training_df[["rate"]], training_df["y"])
"""


def test_a_training_set_is_rebuilt_with_the_arguments_of_then(notebook, corrected) -> None:
    notebook.run(f"store = %feast_store {corrected}\n" + TRIPS)
    notebook.run(
        "%%feast_train then --features rates:rate --entity-df trips --register then "
        "--filter-by-created-timestamp" + TRAIN
    )
    notebook.run("%%feast_train now --features rates:rate --entity-df trips --register now" + TRAIN)
    notebook.run("then = %feast_reproduce then/1 --verify\nnow = %feast_reproduce now/1 --verify")
    notebook.run("asof = %feast_score then/1 --entities trips --as-of event_timestamp")
    notebook.run("d = %feast_diff then/1 now/1")

    space = notebook.space
    assert (space["then"].verdict, list(space["then"].frame["rate"])) == ("identical", [0.1, 0.2])
    assert (space["now"].verdict, list(space["now"].frame["rate"])) == ("identical", [0.9, 0.8])
    np.testing.assert_allclose(space["asof"]["prediction"], [0.0, 1.0], atol=1e-9)
    told = {d.what: (d.one, d.other) for d in space["d"].data}
    assert told["arguments"] == ("filter_by_created_timestamp=True", None)


@pytest.fixture
def away(monkeypatch) -> None:
    """Sources that cannot be read from here, as tables and what an offline server has cannot."""
    from feast_nb.integrations.feast import point_in_time

    monkeypatch.setattr(point_in_time, "is_at_hand", lambda view, repo: False)
    monkeypatch.setattr(point_in_time, "_source_rows", lambda *given: None)


@pytest.mark.usefixtures("away")
def test_values_that_were_written_later_are_found_by_asking_without_them(
    notebook, corrected
) -> None:
    notebook.run(f"store = %feast_store {corrected}\n" + TRIPS)
    for name, more in (("then", "--filter-by-created-timestamp"), ("now", "")):
        notebook.run(
            f"%%feast_train {name} --features rates:rate --entity-df trips --register {name} {more}"
            + TRAIN
        )
    notebook.run("then = %feast_reproduce then/1 --verify\nnow = %feast_reproduce now/1 --verify")

    assert notebook.space["then"].notes == ()
    assert notebook.space["now"].notes == (
        "2 of 2 rows that were looked up have a value of rates that was written after their own "
        "moment; filter_by_created_timestamp=True leaves such values out.",
    )


@pytest.mark.usefixtures("away")
def test_a_training_is_held_against_some_of_its_rows_asked_for_alone(
    notebook, corrected, monkeypatch
) -> None:
    """An offline store that gives a row of a thousand what it does not give the row by itself."""
    from feast import FeatureStore

    asked: list[int] = []
    original = FeatureStore.get_historical_features

    @functools.wraps(original)
    def leaks(self: Any, entity_df: Any, features: Any, **more: Any) -> Any:
        job = original(self, entity_df, features, **more)
        asked.append(len(entity_df))
        if len(entity_df) > 50:
            to_arrow = job._to_arrow_internal

            def leaking(*given: Any, **more: Any) -> Any:
                table = to_arrow(*given, **more)
                place = table.schema.get_field_index("rate")
                return table.set_column(place, "rate", pa.array([0.7] * len(table)))

            job._to_arrow_internal = leaking
        return job

    notebook.run("%unload_ext feast_nb")
    monkeypatch.setattr(FeatureStore, "get_historical_features", leaks)
    notebook.run(f"%load_ext feast_nb\nstore = %feast_store {corrected}\n" + TRIPS)
    notebook.run(
        "trips = pd.concat([trips.assign(event_timestamp=trips.event_timestamp "
        "+ pd.Timedelta(minutes=n)) for n in range(100)], ignore_index=True)"
    )
    summary = notebook.run("%%feast_train leaky --features rates:rate --entity-df trips" + TRAIN)

    assert asked == [200, 50]
    (said,) = [w for w in summary.warnings if "rates" in w and "moment" in w]
    assert said.startswith(
        "50 of 50 rows that were asked for again by themselves have other values"
    )
    (kept,) = summary.retrievals
    assert kept.result.late == (LateValues("rates", 50, 50, "alone"),)


@pytest.mark.usefixtures("away")
def test_a_store_that_cannot_be_asked_so_costs_neither_the_training_nor_the_verdict(
    notebook, corrected, monkeypatch, capsys
) -> None:
    """Feast's Snowflake and remote stores know no `filter_by_created_timestamp`."""
    from feast.infra.offline_stores.duckdb import DuckDBOfflineStore

    notebook.run(f"store = %feast_store {corrected}\n" + TRIPS)
    monkeypatch.setattr(DuckDBOfflineStore, "supports_filter_by_created_timestamp", False)
    notebook.run("%%feast_train v1 --features rates:rate --entity-df trips --register v1" + TRAIN)
    found = notebook.run("r = %feast_reproduce v1/1 --verify\nr")

    assert found.verdict == "identical"
    assert found.notes == (
        "whether values were known at their rows' moments is not known: "
        "filter_by_created_timestamp is not supported by DuckDBOfflineStore",
    )

    from feast_nb.session.training import late_values

    def breaks(self: Any, **more: Any) -> Any:
        raise KeyError("a driver's own")

    monkeypatch.setattr(late_values.AskedAlone, "_ask", breaks)
    notebook.run("%%feast_train v2 --features rates:rate --entity-df trips" + TRAIN)
    notebook.run("1")

    assert notebook.space["training_df"]["rate"].tolist() == [0.9, 0.8]
    assert late_values.UNKNOWN in " ".join(capsys.readouterr())


def test_where_the_files_are_here_nothing_is_asked_for_once_more(
    notebook, corrected, monkeypatch
) -> None:
    from feast import FeatureStore

    asked: list[int] = []
    original = FeatureStore.get_historical_features

    @functools.wraps(original)
    def counts(self: Any, entity_df: Any, *given: Any, **more: Any) -> Any:
        asked.append(len(entity_df))
        return original(self, entity_df, *given, **more)

    notebook.run("%unload_ext feast_nb")
    monkeypatch.setattr(FeatureStore, "get_historical_features", counts)
    notebook.run(f"%load_ext feast_nb\nstore = %feast_store {corrected}\n" + TRIPS)
    notebook.run("%%feast_train v1 --features rates:rate --entity-df trips" + TRAIN)

    assert asked == [2]


def test_an_argument_that_nobody_here_knows_is_recorded_and_not_guessed(
    notebook, corrected, monkeypatch
) -> None:
    from feast import FeatureStore

    original = FeatureStore.get_historical_features

    def of_a_later_feast(self: Any, entity_df=None, features=[], lag: Any = None) -> Any:  # noqa: B006
        return original(self, entity_df, features)

    notebook.run("%unload_ext feast_nb")
    monkeypatch.setattr(FeatureStore, "get_historical_features", of_a_later_feast)
    notebook.run(f"%load_ext feast_nb\nstore = %feast_store {corrected}\n" + TRIPS)
    notebook.run(
        "%%feast_run late\ndf = store.get_historical_features(trips, ['rates:rate'], lag=3).to_df()"
    )

    said = notebook.fails("%feast_reproduce late")

    assert "it was retrieved with lag=3" in str(said)
    assert "does not know what that does" in str(said)
    notebook.run("%unload_ext feast_nb")


SAVES = """
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
job = store.get_historical_features(drivers, ["hourly:trips", "hourly:acc_rate"])
kept = store.create_saved_dataset(job, "kept", SavedDatasetFileStorage({path!r}))
"""


def test_a_saved_dataset_is_a_training_set(notebook, repo, drivers, client, tmp_path) -> None:
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}\n{SAVES.format(path=str(tmp_path / 'k.parquet'))}")
    notebook.run("found = store.get_saved_dataset('kept')")
    notebook.run(
        "%%feast_train v1 --register m\n"
        "from sklearn.linear_model import LinearRegression\n"
        "rows = found.to_df()\n"
        "model = LinearRegression().fit(rows[['trips', 'acc_rate']], range(len(rows)))"
    )
    notebook.run("again = %feast_reproduce m/1 --verify")

    again = notebook.space["again"]
    assert again.verdict in ("identical", "reordered")
    run = client.get_model_version("m", "1").run_id
    (retrieval,) = read_json(client, run, "feast/retrievals.json")["retrievals"]
    assert (retrieval["call"], retrieval["arguments"]) == ("get_saved_dataset", {"name": "kept"})
    assert retrieval["refs"] == ["hourly:trips", "hourly:acc_rate"]
    assert retrieval["entity"]["kind"] == "dataset"


def test_a_dataset_read_back_where_it_was_saved_is_the_same_retrieval(
    notebook, repo, drivers, client, tmp_path
) -> None:
    notebook.space["drivers"] = drivers
    notebook.run(f"store = %feast_store {repo}")
    notebook.run(
        "%%feast_train v1 --register m\n"
        "from sklearn.linear_model import LinearRegression"
        + SAVES.format(path=str(tmp_path / "k.parquet"))
        + "rows = kept.to_df()\n"
        "model = LinearRegression().fit(rows[['trips', 'acc_rate']], range(len(rows)))"
    )

    run = client.get_model_version("m", "1").run_id
    (retrieval,) = read_json(client, run, "feast/retrievals.json")["retrievals"]
    assert retrieval["entity"]["rows"] == len(drivers)
    assert retrieval["kept"].startswith("saved dataset kept in ")
    contract = notebook.space["_"].models[0].contract
    assert (contract.linked_by, [i.ref for i in contract.inputs]) == (
        "attrs", ["hourly:trips", "hourly:acc_rate"]
    )  # fmt: skip


def test_a_search_of_documents_is_recorded(notebook, tmp_path, client) -> None:
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Array, Float32, String

    def define(repo: Path) -> list[Any]:
        rows = pd.DataFrame(
            {
                "doc_id": [1, 2, 3],
                "event_timestamp": [NOW] * 3,
                "vector": [[1.0, 0.0], [0.0, 1.0], [0.7, 0.7]],
                "text": ["red apples", "green pears", "green apples"],
            }
        )
        rows.to_parquet(repo / "docs.parquet")
        doc = Entity(name="doc", join_keys=["doc_id"], value_type=ValueType.INT64)
        source = FileSource(
            name="docs", path=str(repo / "docs.parquet"), timestamp_field="event_timestamp"
        )
        vector = Field(name="vector", dtype=Array(Float32), vector_index=True, vector_length=2)
        schema = [vector, Field(name="text", dtype=String)]
        return [doc, FeatureView(name="docs", entities=[doc], schema=schema, source=source)]

    folder = make_repository(tmp_path / "docs", define=define)
    yaml = folder / "feature_store.yaml"
    online = "text_search_enabled: true"
    yaml.write_text(yaml.read_text().replace("{type: sqlite,", f"{{type: sqlite, {online},"))
    notebook.run(f"store = %feast_store {folder}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        notebook.run(
            "import pandas as pd\nrows = pd.read_parquet(store.repo_path / 'docs.parquet')\n"
            "store.write_to_online_store('docs', rows)"
        )
        notebook.run(
            "%%feast_run rag\n"
            "found = store.retrieve_online_documents_v2(\n"
            "    features=['docs:text'], query_string='apples', top_k=2).to_df()"
        )

    assert len(notebook.space["found"]) == 2
    import mlflow

    mine = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = mine.search_runs([mine.get_experiment_by_name("drivers").experiment_id])
    (retrieval,) = read_json(mine, run.info.run_id, "feast/retrievals.json")["retrievals"]
    assert (retrieval["kind"], retrieval["call"]) == ("online", "retrieve_online_documents_v2")
    assert retrieval["arguments"] == {"query_string": "apples", "top_k": 2}
    assert retrieval["refs"] == ["docs:text"]
    assert retrieval["result"]["rows"] == 2


def test_two_long_arguments_that_begin_alike_are_two() -> None:
    from feast_nb.integrations.feast.calls import plain

    one, other = np.arange(5000.0), np.arange(5000.0)
    other[2500] = -1  # in the middle, which the text of an array leaves out
    filters = {f"name {n}": "x" * 50 for n in range(20)}

    assert plain(one) != plain(other)
    assert plain(one) == plain(one.copy())
    assert plain(filters) != plain({**filters, "name 19": "y"})
    assert plain(np.float64(0.5)) == 0.5
