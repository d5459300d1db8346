"""A repository with models that were trained in it: made once, put back before each test."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ..conftest import NOW, make_repository

# What also runs with other versions of Python, pandas and all that pyproject.toml names: one walk
# through every door, and where a library has changed its mind before.
MATRIX = {
    "test_train": (
        "test_a_training_is_recorded_whole",
        "test_the_contract_has_the_models_own_order",
        "test_a_tree_logs_without_a_word_about_skops",
        "test_an_autologged_model_is_the_one",
        "test_boosted_trees_have_their_own_flavour",
        "test_a_python_model_is_logged",
        "test_a_failing_cell_shows_one_traceback_and_the_run_failed",
        "test_a_frame_retrieved_in_an_earlier_cell_is_linked",
        "test_the_same_from_a_script",
    ),
    "test_runs": (
        "test_later_cells_belong_to_an_open_run",
        "test_a_run_is_resumed_and_keeps_what_it_had",
        "test_a_thread_belongs_to_the_only_open_run",
        "test_unloading_puts_everything_back",
    ),
    "test_resolve": (
        "test_a_bare_name_is_the_latest_version",
        "test_the_answer_serves_the_model",
        "test_a_name_of_nothing_says_what_there_is",
    ),
    "test_score": (
        "test_keys_alone_are_enough",
        "test_a_positional_model_gets_its_own_order",
        "test_as_of_scores_each_row_as_it_was_then",
        "test_absent_null_and_stale_are_told_apart",
        "test_the_same_rows_fed_have_the_same_fingerprint_and_others_another",
        "test_a_vector_is_in_the_models_order",
    ),
    "test_drift": ("test_a_feature_of_another_type", "test_other_code_of_an_on_demand_view"),
    "test_reproduce": (
        "test_what_nobody_changed_is_identical",
        "test_shuffled_rows_of_the_source_are_the_same_training_set",
        "test_one_changed_value_is_found",
        "test_a_type_that_changed_in_the_source_is_named",
        "test_a_range_of_dates_is_asked_for_again",
    ),
    "test_history": (
        "test_what_is_written_late_is_seen",
        "test_deleted_and_restored",
        "test_asking_from_several_threads",
    ),
    "test_lineage_answers": (
        "test_the_usage_of_a_project",
        "test_where_a_model_comes_from",
        "test_what_depends_on_a_view_and_on_a_feature",
        "test_a_live_drawing",
    ),
    "test_delivery": ("test_what_a_killed_process_recorded_is_delivered_by_the_next",),
    "test_server": (
        "test_the_catalog_of_the_only_repository",
        "test_routes_only_read",
        "test_pages_of_runs_hold_each_run_once",
        "test_lineage_and_impact_of_an_object",
    ),
    "test_kernels": ("test_a_summary_lasts_as_html_text_and_our_own_mime_type",),
    "test_bad_input": ("test_an_unreachable_registry", "test_a_broken_yaml"),
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, before `-m matrix` chooses; a name that is no test any more is an error."""
    there: dict[str, set[str]] = {}
    for item in items:
        if item.path.parent == Path(__file__).parent:
            name = item.name.partition("[")[0]
            there.setdefault(item.path.stem, set()).add(name)
            if name in MATRIX.get(item.path.stem, ()):
                item.add_marker("matrix")
    if set(there) >= set(MATRIX) and not any("::" in arg for arg in items[0].config.args):
        gone = [f"{m}::{n}" for m, names in MATRIX.items() for n in names if n not in there[m]]
        if gone:
            raise pytest.UsageError(f"MATRIX in {__file__} names no test: {', '.join(gone)}")


def define(repo: Path) -> list[Any]:
    """As the tests' repository, with descriptions, an owner and an on-demand view."""
    from feast import Field, RequestSource
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import Float64, Int64

    from ..conftest import define as plain

    driver, hourly, profile, *services = plain(repo)
    hourly.owner, hourly.description = "rides@example.com", "What a driver did"

    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"doubled": inputs["trips"] * 2.0 + inputs["bonus"]})

    request = RequestSource(name="bonus", schema=[Field(name="bonus", dtype=Int64)])
    derived = on_demand_feature_view(
        sources=[hourly, request], schema=[Field(name="doubled", dtype=Float64)]
    )(doubled)
    return [driver, hourly, profile, derived, *services]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which `m` (named inputs) and `p` (fitted on an array) were registered."""
    import feast_nb
    from feast_nb import recorder

    folder = make_repository(tmp_path_factory.mktemp("trained") / "repo", define=define)
    state = os.environ.get("FEAST_NB_STATE")
    os.environ["FEAST_NB_STATE"] = str(folder.parent / "state")
    try:
        session = feast_nb.open(folder)
        session.store.materialize(
            datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC)
        )
        train(session)
        recorder.shut()
    finally:
        os.environ.pop("FEAST_NB_STATE")
        if state is not None:
            os.environ["FEAST_NB_STATE"] = state
    for name in ("registry.db", "stats.parquet", "online.db", "mlflow.db"):
        shutil.copy(folder / name, folder.parent / name)
    return folder


def train(session: Any) -> None:
    from sklearn.linear_model import LogisticRegression

    drivers = entities().drop(columns="index")
    with session.train("v1", service="activity", entity_df=drivers, register="m",
                       aliases=("champion",)) as training:  # fmt: skip
        frame = training.frame
        training.model = LogisticRegression().fit(frame[["trips", "conv_rate"]], frame["y"])
    with session.train("v2", service="activity", entity_df=drivers[:4], register="m") as training:
        frame = training.frame
        training.model = LogisticRegression(C=2).fit(
            frame[["conv_rate", "trips", "acc_rate"]], frame["y"]
        )
        import mlflow

        mlflow.log_metric("auc", 0.7)
    with session.train("bare", features=("hourly:trips", "hourly:acc_rate", "hourly:conv_rate"),
                       entity_df=drivers, register="p") as training:  # fmt: skip
        frame = training.frame
        training.model = LogisticRegression().fit(
            frame[["trips", "acc_rate", "conv_rate"]].to_numpy(), frame["y"]
        )


def entities() -> pd.DataFrame:
    """Ten drivers at one moment, with a label."""
    return pd.DataFrame(
        {"index": range(10), "driver_id": range(10), "event_timestamp": [NOW] * 10,
         "y": [0, 1] * 5}
    )  # fmt: skip


@pytest.fixture
def promoted(trained: Path, request: pytest.FixtureRequest) -> Any:
    """A notebook in a fresh kernel, on that repository as it was when its models were trained."""
    for name in ("registry.db", "stats.parquet", "online.db"):
        shutil.copy(trained.parent / name, trained / name)
    notebook = request.getfixturevalue("notebook")
    notebook.run(f"store = %feast_store {trained}")
    notebook.space["drivers"] = entities().drop(columns="index")
    return notebook
