"""A training set is retrieved again from what its run kept, and what became different is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from feast_nb.records.answers import ColumnDifference

from ..conftest import NOW, make_repository
from .conftest import entities
from .test_drift import Team

ACTIVITY = ("hourly:conv_rate", "hourly:acc_rate", "hourly:trips")
PROVEN = ("identical", "reordered")  # DuckDB's threads give rows in any order
DRIVER_3 = "driver_id=3, event_timestamp=2024-01-10 12:00:00+00:00"


def drivers() -> pd.DataFrame:
    return entities().drop(columns="index")


def gaps() -> pd.DataFrame:
    """A driver with values; one nobody knows, one too late, one too early."""
    return pd.DataFrame(
        {
            "driver_id": [1, 99, 5, 6],
            "event_timestamp": [NOW, NOW, NOW + timedelta(days=30), NOW - timedelta(days=30)],
        }
    )


def _restore(folder: Path) -> None:
    for name in ("registry.db", "stats.parquet", "online.db"):
        shutil.copy(folder.parent / name, folder / name)


@contextmanager
def edited(folder: Path, old: str, new: str) -> Iterator[None]:
    """The repository's settings with a piece replaced, while it lasts."""
    yaml = folder / "feature_store.yaml"
    before = yaml.read_text()
    assert old in before
    yaml.write_text(before.replace(old, new))
    try:
        yield
    finally:
        yaml.write_text(before)


DASK = ("offline_store: {type: duckdb}", "offline_store: {type: file}")


@pytest.fixture(scope="module", autouse=True)
def recorded(trained: Path) -> Iterator[dict[str, str]]:
    """Runs of every kind that need no model, made once: name → id."""
    import feast_nb
    from feast_nb import recorder

    _restore(trained)
    patch = pytest.MonkeyPatch()
    patch.setenv("FEAST_NB_STATE", str(trained.parent / "state"))
    ids: dict[str, str] = {}

    def run(session: Any, name: str, *asked: tuple[Any, Any], **options: Any) -> None:
        with session.run(name, **options) as opened:
            for frame, features in asked:
                session.store.get_historical_features(frame, features).to_df()
        ids[name] = opened.record.id

    session = feast_nb.open(trained)
    service = session.store.get_feature_service("activity")
    run(session, "late", (drivers().assign(event_timestamp=NOW + timedelta(hours=6)), service))
    run(session, "two", (drivers(), ["hourly:trips"]), (drivers()[:3], service))
    run(session, "unkept", (drivers(), service), archive=False)
    run(session, "empty")
    run(session, "gaps", (gaps(), ["hourly:trips"]))
    run(session, "bonus", (drivers().assign(bonus=range(10)), ["doubled:doubled"]))
    with session.run("online") as opened:
        session.store.get_online_features(["hourly:trips"], [{"driver_id": 1}]).to_dict()
    ids["online"] = opened.record.id
    recorder.shut()
    with edited(
        trained, "auto_log_entity_df: true", "auto_log_entity_df: true, entity_df_max_rows: 3"
    ):
        run(feast_nb.open(trained), "large", (drivers(), service))
        recorder.shut()
    with edited(trained, *DASK):
        session = feast_nb.open(trained)
        with session.train("ranged", features=("hourly:trips",), start="2024-01-02",
                           end="2024-01-05") as training:  # fmt: skip
            pass
        ids["ranged"] = training.summary.run.id
        run(session, "dasked", (gaps(), ["hourly:trips"]))
        recorder.shut()
    patch.undo()
    yield ids
    _restore(trained)


@pytest.fixture
def team(promoted: Any) -> Team:
    return Team(promoted.space["store"])


@pytest.fixture
def dasked(promoted: Any, trained: Path) -> Iterator[Any]:
    """The notebook after the repository has moved to the dask store."""
    with edited(trained, *DASK):
        promoted.run(f"store = %feast_store {trained}")
        yield promoted


def change(team: Team, column: str, value: Any, driver: int = 3) -> tuple[str, str]:
    """Change the newest value of a driver in the source; what it was and what it is."""
    frame = pd.read_parquet(team.folder / "stats.parquet")
    place = frame.index[(frame["driver_id"] == driver) & (frame["event_timestamp"] == NOW)]
    assert len(place) == 1
    old = frame[column].to_numpy()[place[0]]  # as wide as it is there
    frame.loc[place, column] = frame[column].dtype.type(value)
    frame.to_parquet(team.folder / "stats.parquet")
    return str(old), str(frame[column].to_numpy()[place[0]])


# ------------------------------------------------------------------ the same


def test_what_nobody_changed_is_identical(promoted) -> None:
    """The same entity rows, references and values: nothing more is said."""
    found = promoted.run("%feast_reproduce m/1 --verify")

    assert found.verdict in PROVEN
    assert (found.rows, found.missing, found.new, found.columns) == (10, 0, 0, ())
    assert (found.because, found.notes, found.refs) == ((), (), ACTIVITY)
    assert list(found.frame) == ["driver_id", "event_timestamp", "y", "conv_rate", "acc_rate",
                                 "trips"]  # fmt: skip
    shown = promoted.shell.display_formatter.format(found)[0]["text/plain"]
    assert ("✓ identical" in shown) or ("✓ the same rows, in another order" in shown)


@pytest.mark.parametrize("named", ["late", "bonus", "gaps", "m/2", "p/1"])
def test_runs_of_every_kind_are_identical(promoted, named: str) -> None:
    """Rows with gaps, on-demand features with request data, a list of features."""
    found = promoted.run(f"%feast_reproduce {named} --verify")

    assert found.verdict in PROVEN
    assert (found.columns, found.because, found.notes) == ((), (), ())


def test_shuffled_rows_of_the_source_are_the_same_training_set(promoted, team) -> None:
    """The source was written anew in another order: proven the same, and no source is blamed."""
    before = promoted.run("%feast_reproduce m/1").frame
    team.rewrite(lambda frame: frame.sample(frac=1, random_state=1))
    found = promoted.run("%feast_reproduce m/1 --verify")

    assert found.verdict in PROVEN
    assert (found.missing, found.new, found.columns, found.because) == (0, 0, (), ())
    pd.testing.assert_frame_equal(
        found.frame.sort_values("driver_id", ignore_index=True),
        before.sort_values("driver_id", ignore_index=True),
    )


def test_a_source_that_grew_later_is_the_same_training_set(promoted, team) -> None:
    """New rows after the moments asked for: point in time, they do not count."""
    team.rewrite(lambda frame: pd.concat(
        [frame, frame[-20:].assign(event_timestamp=NOW + timedelta(days=1))]
    ))  # fmt: skip
    found = promoted.run("%feast_reproduce m/1 --verify")

    assert found.verdict in PROVEN
    assert found.because == ()


def test_integers_written_as_floats_are_the_values_declared(promoted, team) -> None:
    """The view declares Int64, and every value is the same, as where gaps make them floats."""
    team.rewrite(lambda frame: frame.astype({"trips": "float64"}))
    found = promoted.run("%feast_reproduce m/1 --verify")

    assert found.verdict in PROVEN
    assert (found.missing, found.new, found.columns) == (0, 0, ())


def test_without_verify_nothing_is_compared(promoted, team) -> None:
    change(team, "trips", 49)
    found = promoted.run("%feast_reproduce m/1")

    assert (found.verdict, found.columns, found.rows) == ("not compared", (), 10)
    assert len(found.because) == 1
    assert found.because[0].startswith("source stats has changed: ")


# ------------------------------------------------------------------ different


def test_one_changed_value_is_found(promoted, team) -> None:
    """Which column, how many values, whose, what it was and is, and which source changed."""
    old, new = change(team, "conv_rate", 0.125)
    found = promoted.run("%feast_reproduce m/1 --verify")

    assert (found.verdict, found.missing, found.new) == ("different", 0, 0)
    assert found.columns == (ColumnDifference("conv_rate", 1, (f"{DRIVER_3}: {old} → {new}",)),)
    assert len(found.because) == 1
    assert found.because[0].startswith("source stats has changed: ")


def test_a_value_that_is_missing_now_is_found(promoted, team) -> None:
    old, _ = change(team, "acc_rate", np.nan)
    found = promoted.run("%feast_reproduce m/1 --verify")

    assert found.verdict == "different"
    assert found.columns == (ColumnDifference("acc_rate", 1, (f"{DRIVER_3}: {old} → null",)),)


def test_values_of_several_columns_are_told_apart(promoted, team) -> None:
    for driver in (1, 2, 3, 4):
        change(team, "trips", 1000 + driver, driver)
    change(team, "conv_rate", 0.125)
    found = promoted.run("%feast_reproduce m/1 --verify")

    assert [(c.name, c.differ, len(c.examples)) for c in found.columns] == [
        ("conv_rate", 1, 1),
        ("trips", 4, 3),
    ]
    shown = promoted.shell.display_formatter.format(found)[0]["text/plain"]
    assert "conv_rate: 1 value differs" in shown
    assert "trips: 4 values differ" in shown
    assert shown.count(" → 100") == 3


def test_one_moved_timestamp_is_found_by_the_values_it_brings(promoted, team) -> None:
    """Driver 3's newest row happened an hour later: the one before counts instead."""
    frame = pd.read_parquet(team.folder / "stats.parquet")
    mine = frame[frame["driver_id"] == 3].sort_values("event_timestamp")
    (before, newest), columns = mine.index[-2:], ["conv_rate", "acc_rate", "trips"]
    values = {c: frame[c].to_numpy() for c in columns}
    expected = {c: f"{DRIVER_3}: {v[newest]!s} → {v[before]!s}" for c, v in values.items()}
    assert all(frame.loc[newest, c] != frame.loc[before, c] for c in columns)
    frame.loc[newest, "event_timestamp"] += timedelta(hours=1)
    frame.to_parquet(team.folder / "stats.parquet")

    found = promoted.run("%feast_reproduce m/1 --verify")

    assert (found.verdict, found.missing, found.new) == ("different", 0, 0)
    assert {c.name: c.examples for c in found.columns} == {c: (e,) for c, e in expected.items()}
    (because,) = found.because
    assert because.startswith("source stats has changed: newest event ")
    assert "2024-01-10T12:00:00+00:00, now 2024-01-10T13:00:00+00:00" in because


def test_a_type_that_changed_in_the_source_is_named(promoted, team) -> None:
    """Counts became text that reads the same: the column and both types."""
    team.rewrite(lambda frame: frame.assign(trips=frame["trips"].astype(str)))
    found = promoted.run("%feast_reproduce m/1 --verify")

    assert found.verdict == "different"
    (column,) = found.columns
    assert (column.name, column.differ) == ("trips", 0)
    assert column.examples[0].startswith("int64 is ")
    assert found.because[0].startswith("source stats has changed: ")


def test_values_of_double_precision_are_found(promoted, team) -> None:
    """Rates were rounded to single precision, and the source has them in full now."""
    draw = np.random.default_rng(5).random(200) * 1e-9
    team.rewrite(lambda frame: frame.assign(acc_rate=frame["acc_rate"].astype("float64") + draw))
    found = promoted.run("%feast_reproduce m/1 --verify")

    assert found.frame["acc_rate"].dtype == "float64"  # as the source has it, not as declared
    assert found.verdict == "different"
    assert [(c.name, c.differ) for c in found.columns] == [("acc_rate", 10)]


def test_rows_that_the_source_lost_are_counted_in_its_change(promoted, team) -> None:
    """Driver 3 was deleted: DuckDB gives gaps for it, and the source has fewer rows."""
    team.rewrite(lambda frame: frame[frame["driver_id"] != 3])
    found = promoted.run("%feast_reproduce m/1 --verify")

    assert (found.verdict, found.missing, found.new) == ("different", 0, 0)
    assert {(c.name, c.differ) for c in found.columns} == {(c, 1) for c in
                                                          ("conv_rate", "acc_rate", "trips")}  # fmt: skip
    assert all(c.examples[0].endswith(" → null") for c in found.columns)
    assert found.because[0].startswith("source stats has changed: rows 200, now 180")


def test_a_ttl_that_changed_since_is_named(promoted, team) -> None:
    """Six hours old values were good for three days, and are too old now."""
    team.apply(ttl=timedelta(hours=1), services={"activity": None})
    found = promoted.run("%feast_reproduce late --verify")

    assert found.verdict == "different"
    assert [(c.name, c.differ) for c in found.columns] == [
        ("conv_rate", 10), ("acc_rate", 10), ("trips", 10),
    ]  # fmt: skip
    assert found.because[0] == "the TTL of hourly was 3 days, is 1 hour"


def test_a_ttl_that_made_no_difference_is_told_all_the_same(promoted, team) -> None:
    """The rows are of the moment itself: identical, and yet defined otherwise."""
    team.apply(ttl=timedelta(hours=1), services={"activity": None})
    found = promoted.run("%feast_reproduce m/1 --verify")

    assert found.verdict in PROVEN
    assert found.because == ("the TTL of hourly was 3 days, is 1 hour",)


def test_other_code_of_an_on_demand_view_is_named(promoted, team) -> None:
    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"doubled": inputs["trips"] * 3.0 + inputs["bonus"]})

    team.apply(code=doubled)
    found = promoted.run("%feast_reproduce bonus --verify")

    assert found.verdict == "different"
    assert [c.name for c in found.columns] == ["doubled"]
    assert found.because[0].startswith("the code of doubled was ")
    assert "* 2.0" in found.because[0]
    assert "* 3.0" in found.because[0]


# ------------------------------------------------------------------ what is meant


@pytest.mark.parametrize(
    "named", ["v1", "{run}", "m/1", "m@champion", "models:/m/1", "models:/m@champion", "m/champion",
              "models:/{id}", "{id}", "runs:/{run}/model"],
)  # fmt: skip
def test_every_way_to_name_a_run(promoted, named: str) -> None:
    """By its id, by its name, by the model that it made."""
    version = promoted.space["store"].mlflow.client.get_model_version("m", "1")
    model_id = version.source.removeprefix("models:/")
    found = promoted.run(f"%feast_reproduce {named.format(run=version.run_id, id=model_id)}")

    assert (found.run_id, found.rows, found.refs) == (version.run_id, 10, ACTIVITY)
    assert found.retrieval


def test_a_bare_model_name_is_its_latest_version(promoted) -> None:
    version = promoted.space["store"].mlflow.client.get_model_version("m", "2")
    found = promoted.run("%feast_reproduce m")

    assert (found.run_id, found.rows) == (version.run_id, 4)


def test_into_binds_the_frame(promoted) -> None:
    """The frame is a plain one: a model can be trained on it again."""
    found = promoted.run("%feast_reproduce m/1 --verify --into again")

    assert promoted.space["again"] is found.frame
    assert {"driver_id", "y", "trips"} <= set(found.frame)
    assert promoted.fails("%feast_reproduce m/1 --into no-name") == (
        "UsageError: --into no-name is not a variable name."
    )


def test_of_several_retrievals_one_is_chosen(promoted) -> None:
    """Without a number they are listed, to choose from."""
    said = promoted.fails("%feast_reproduce two --verify")
    assert said == (
        "FeatureError: two has 2 retrievals; add --retrieval N (1: hourly:trips, 10 rows; "
        "2: activity, 3 rows)."
    )
    first = promoted.run("%feast_reproduce two --verify --retrieval 1")
    second = promoted.run("%feast_reproduce two --verify --retrieval 2")

    assert (first.rows, first.refs) == (10, ("hourly:trips",))
    assert (second.rows, second.refs) == (3, ACTIVITY)
    assert {first.verdict, second.verdict} <= set(PROVEN)
    assert first.retrieval != second.retrieval
    assert list(first.frame) == ["driver_id", "event_timestamp", "y", "trips"]


@pytest.mark.parametrize("number", ["0", "3", "-1"])
def test_a_retrieval_that_there_is_not(promoted, number: str) -> None:
    said = promoted.fails(f"%feast_reproduce two --retrieval {number}")

    assert said == f"FeatureError: run two has no retrieval {number}; it has 1–2."


def test_a_retrieval_number_of_the_only_one_is_fine(promoted) -> None:
    assert promoted.run("%feast_reproduce late --verify --retrieval 1").verdict in PROVEN
    said = promoted.fails("%feast_reproduce late --retrieval 2")
    assert said.startswith("FeatureError: run late has no retrieval 2; it has ")
    assert "1–1" not in said


# ------------------------------------------------------------------ ranges, and another store


def test_a_range_of_dates_is_asked_for_again(dasked) -> None:
    """No entity rows, but two dates: the dask store gives the same rows again."""
    found = dasked.run("%feast_reproduce ranged --verify")

    assert found.verdict in PROVEN
    assert found.rows > 0
    assert (found.missing, found.new, found.columns, found.because) == (0, 0, (), ())


def test_a_range_of_dates_says_which_value_changed(dasked, trained) -> None:
    """The last row of driver 0 before the end of the range has another value now."""
    frame = pd.read_parquet(trained / "stats.parquet")
    end = pd.Timestamp("2024-01-05", tz="UTC")
    place = frame.index[(frame["driver_id"] == 0) & (frame["event_timestamp"] == end)]
    old = frame.loc[place[0], "trips"]
    frame.loc[place, "trips"] = 1000
    frame.to_parquet(trained / "stats.parquet")
    found = dasked.run("%feast_reproduce ranged --verify")

    assert (found.verdict, found.missing, found.new) == ("different", 0, 0)
    ((name, differ, (example,)),) = [(c.name, c.differ, c.examples) for c in found.columns]
    assert (name, differ) == ("trips", 1)
    assert example.startswith("driver_id=0")
    assert example.endswith(f": {old} → 1000")
    assert found.because[0].startswith("source stats has changed: ")


def test_a_range_of_dates_needs_a_store_that_takes_one(promoted) -> None:
    """DuckDB takes only entity rows: one line that says so, not Feast's traceback."""
    said = promoted.fails("%feast_reproduce ranged --verify")

    assert said.startswith("FeatureError: ")
    assert "\n" not in said


def test_rows_that_another_store_drops_are_counted_and_explained(dasked) -> None:
    """DuckDB keeps rows whose values are too old or come too late; dask drops them: which, why."""
    found = dasked.run("%feast_reproduce gaps --verify")

    assert (found.verdict, found.rows, found.missing, found.new) == ("different", 2, 2, 0)
    assert sorted(found.frame["driver_id"]) == [1, 99]
    assert sorted(found.notes) == [
        "1 row was not given: older than the TTL.",
        "1 row was not given: only values later than asked for.",
    ]
    assert found.columns == ()
    shown = dasked.shell.display_formatter.format(found)[0]["text/plain"]
    assert "✗ different, 2 missing" in shown


def test_a_store_that_drops_nothing_gives_the_same(dasked) -> None:
    """Every row has its value: the move to dask changed nothing of `m/1`."""
    found = dasked.run("%feast_reproduce m/1 --verify")

    assert found.verdict in PROVEN
    assert (found.missing, found.new, found.columns, found.notes) == (0, 0, (), ())


def test_rows_that_another_store_gives_more_are_new(promoted) -> None:
    """Retrieved on dask, and now on DuckDB, which gives the rows that were dropped then."""
    found = promoted.run("%feast_reproduce dasked --verify")

    assert (found.verdict, found.rows, found.missing, found.new) == ("different", 4, 0, 2)


# ------------------------------------------------------------------ what cannot be rebuilt


def test_an_entity_frame_that_was_not_kept_says_why(promoted) -> None:
    """`--no-archive`, and a frame larger than the limit."""
    assert promoted.fails("%feast_reproduce unkept") == (
        "FeatureError: cannot be rebuilt: its entity frame was not archived: archiving is off."
    )
    assert promoted.fails("%feast_reproduce large") == (
        "FeatureError: cannot be rebuilt: its entity frame was not archived: 10 rows above "
        "entity_df_max_rows (3)."
    )


def test_a_feature_that_is_gone_says_which(promoted, team) -> None:
    team.apply(fields=team.without("conv_rate"), services={"activity": None})
    said = promoted.fails("%feast_reproduce m/1 --verify")

    assert said.startswith("FeatureError: cannot be rebuilt: view hourly has no feature "
                           "conv_rate; ")  # fmt: skip


def test_a_view_that_is_gone_says_which(promoted, team) -> None:
    store = team.store
    gone = [store.get_feature_service(n) for n in ("activity", "rates", "everything")]
    gone += [store.get_feature_view("hourly"), store.get_on_demand_feature_view("doubled")]
    store.apply([], objects_to_delete=gone, partial=False)
    said = promoted.fails("%feast_reproduce m/1")

    assert said.startswith("FeatureError: cannot be rebuilt: no feature view hourly for hourly:")


def test_a_service_that_is_gone_does_not_matter(promoted, team) -> None:
    """The references are what is retrieved."""
    store = team.store
    store.apply([], objects_to_delete=[store.get_feature_service("activity")], partial=False)

    assert promoted.run("%feast_reproduce m/1 --verify").verdict in PROVEN


def test_a_service_in_another_order_does_not_matter(promoted, team) -> None:
    """What it held then is retrieved, in the order of then."""
    team.apply(services={"activity": ["trips", "acc_rate", "conv_rate"]})

    assert promoted.run("%feast_reproduce m/1 --verify").verdict in PROVEN


@pytest.mark.parametrize("named", ["empty", "online"])
def test_a_run_without_a_historical_retrieval_says_so(promoted, named: str) -> None:
    assert promoted.fails(f"%feast_reproduce {named}") == (
        f"FeatureError: run {named} recorded no historical retrieval: nothing to rebuild."
    )


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (
            "nothing",
            "ModelError: nothing: no run of that name or id in drivers, and no registered model nothing; ",
        ),
        ("0" * 32, f"TrackingError: no run {'0' * 32} on this server (deleted for good?)."),
        (
            "m/9",
            "ModelError: m/9: no run of that name or id in drivers, and no version 9 of m; it has 1–2.",
        ),
        ("m@no", "ModelError: m@no: no run of that name or id in drivers, and no alias no of m; "),
    ],
)
def test_a_name_of_nothing_says_so(promoted, named: str, said: str) -> None:
    assert promoted.fails(f"%feast_reproduce {named}").startswith(said)


def test_reproducing_records_nothing(promoted) -> None:
    """No run is made, and none that is open gains a retrieval that it did not train on."""
    client = promoted.space["store"].mlflow.client
    before = {e.experiment_id: len(client.search_runs([e.experiment_id])) for e in
              client.search_experiments()}  # fmt: skip
    promoted.run("%feast_reproduce m/1 --verify")
    after = {e.experiment_id: len(client.search_runs([e.experiment_id])) for e in
             client.search_experiments()}  # fmt: skip

    assert before == after


def test_an_open_run_gains_nothing_by_a_reproduction(promoted) -> None:
    """It would be taken for what the run trained on; a later cell that uses it links it."""
    promoted.run("%feast_run looking")
    promoted.run("%feast_reproduce m/1 --verify --into again")
    ended = promoted.run("%feast_run --end")

    assert ended.retrievals == ()


# ------------------------------------------------------------------ retrieved with no run open


@pytest.fixture
def loose(promoted: Any) -> Callable[[str], Any]:
    """Retrieves with no run open, then trains on the frame in another cell."""

    def make(name: str) -> Any:
        promoted.run(
            "frame = store.get_historical_features(drivers, "
            "store.get_feature_service('activity')).to_df()"
        )
        return promoted.run(f"%%feast_train {name} --from frame\nshape = frame.shape")

    return make


def test_a_frame_retrieved_before_its_run_reproduces_too(promoted, loose) -> None:
    """The entity rows and the result were taken along into the run that came to use them."""
    summary = loose("loose1")
    found = promoted.run("%feast_reproduce loose1 --verify")

    assert (found.run_id, found.rows) == (summary.run.id, 10)
    assert found.verdict in PROVEN


def test_a_frame_retrieved_before_its_run_is_compared_value_by_value(promoted, loose, team) -> None:
    """Which value became different, as for a frame of the run's own."""
    summary = loose("loose2")
    (kept,) = summary.retrievals
    assert kept.linked_by == "declared"
    old, new = change(team, "trips", 49)
    found = promoted.run(f"%feast_reproduce {summary.run.id} --verify")

    assert (found.verdict, found.missing, found.new) == ("different", 0, 0)
    assert found.columns == (ColumnDifference("trips", 1, (f"{DRIVER_3}: {old} → {new}",)),)
    assert found.notes == ()
    assert found.because[0].startswith("source stats has changed: ")


def test_the_frame_of_another_run_reproduces_from_there(promoted, team) -> None:
    """Retrieved in one run, trained on in the next: the copy is the first one's."""
    promoted.run("%feast_run first")
    promoted.run("frame = store.get_historical_features(drivers, ['hourly:trips']).to_df()")
    promoted.run("%feast_run --end")
    second = promoted.run("%%feast_train second --from frame\nshape = frame.shape")
    assert promoted.run("%feast_reproduce second --verify").verdict in PROVEN
    old, new = change(team, "trips", 49)
    found = promoted.run("%feast_reproduce second --verify")

    assert found.run_id == second.run.id
    assert found.columns == (ColumnDifference("trips", 1, (f"{DRIVER_3}: {old} → {new}",)),)


def test_a_verdict_has_a_reason_where_an_archive_gives_other_types_back(
    notebook, repo, drivers
) -> None:
    notebook.space["kept"] = drivers.assign(meta=[{"a": i} if i % 2 else {} for i in drivers.index])
    notebook.run(f"store = %feast_store {repo}")
    notebook.run(
        "%%feast_run odd\ndf = store.get_historical_features(kept, ['hourly:trips']).to_df()"
    )
    notebook.run("again = %feast_reproduce odd --verify")

    again = notebook.space["again"]
    assert again.verdict == "different"
    (column,) = again.columns
    assert column.name == "meta"
    assert column.examples == ("the same values, struct<a: int64> is struct<a: double>",)


def test_values_that_were_written_after_their_rows_moment_are_named(tmp_path) -> None:
    """Feast takes a correction that came weeks later, unless it is told not to."""
    import feast_nb

    repo = make_repository(tmp_path / "repo", define=corrected)
    session = feast_nb.open(repo)
    rows = pd.DataFrame(
        {"driver_id": [1, 2], "event_timestamp": [pd.Timestamp("2024-01-05", tz="UTC")] * 2}
    )
    with session.run("later"):
        session.store.get_historical_features(rows, ["scores:score"]).to_df()
    with session.run("then"):
        session.store.get_historical_features(
            rows, ["scores:score"], filter_by_created_timestamp=True
        ).to_df()
    assert session.recorder.flush()

    (note,) = session.reproduce("later", verify=True).notes
    assert note.startswith(
        "1 of 2 rows that were looked up have a value of scores that was written"
    )
    assert session.reproduce("then", verify=True).notes == ()


def corrected(repo: Any) -> list[Any]:
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64

    at = pd.Series(pd.to_datetime(["2024-01-01"] * 3, utc=True)).astype("datetime64[us, UTC]")
    made = pd.Series(pd.to_datetime(["2024-01-01", "2024-02-01", "2024-01-01"], utc=True))
    pd.DataFrame({"driver_id": [1, 1, 2], "at": at, "made": made.astype("datetime64[us, UTC]"),
                  "score": [1.0, 1.5, 2.0]}).to_parquet(repo / "scores.parquet")  # fmt: skip
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(name="scores", path=str(repo / "scores.parquet"), timestamp_field="at",
                        created_timestamp_column="made")  # fmt: skip
    return [driver, FeatureView(name="scores", entities=[driver], source=source,
                                schema=[Field(name="score", dtype=Float64)])]  # fmt: skip
