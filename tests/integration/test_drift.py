"""The registry moves on after a model was trained: what broke, what is stale, what is safe.

Each test edits the repository's definitions and applies them, as a team does.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feast_nb.errors import Drift
from feast_nb.records.answers import Change
from feast_nb.session import of_store

from .conftest import entities

pytestmark = pytest.mark.xdist_group("drift")  # its models are trained once, not by each worker


@pytest.fixture(scope="module", autouse=True)
def _put_back(trained: Path) -> Iterator[None]:
    """The last test's definitions are nobody else's."""
    _restore(trained)
    yield
    _restore(trained)


def _restore(trained: Path) -> None:
    for name in ("registry.db", "stats.parquet", "online.db"):
        shutil.copy(trained.parent / name, trained / name)


@pytest.fixture(scope="module")
def derived(trained: Path, _put_back: None) -> Iterator[str]:
    """A model `d` of an on-demand feature and a plain one."""
    yield from _trained_on(trained, "d", "doubled", "conv_rate")


@pytest.fixture(scope="module")
def alone_derived(trained: Path, _put_back: None) -> Iterator[str]:
    """A model `e` of an on-demand feature alone."""
    yield from _trained_on(trained, "e", "doubled")


def _trained_on(trained: Path, name: str, *columns: str) -> Iterator[str]:
    """A model registered in the repository as it was, until the module ends."""
    import mlflow
    from sklearn.linear_model import LogisticRegression

    import feast_nb
    from feast_nb import recorder

    _restore(trained)
    patch = pytest.MonkeyPatch()
    patch.setenv("FEAST_NB_STATE", str(trained.parent / "state"))
    given = entities().drop(columns="index").assign(bonus=range(10))
    refs = tuple({"doubled": "doubled:doubled"}.get(c, f"hourly:{c}") for c in columns)
    session = feast_nb.open(trained)
    with session.train(name, features=refs, entity_df=given, register=name) as training:
        frame = training.frame
        training.model = LogisticRegression().fit(frame[list(columns)], frame["y"])
    recorder.shut()
    patch.undo()
    yield name
    mlflow.MlflowClient(f"sqlite:///{trained}/mlflow.db").delete_registered_model(name)


class Team:
    """Who edits the definitions: what is passed replaces what they are, the rest stays."""

    def __init__(self, store: Any) -> None:
        from feast.types import Float32, Int64

        self.store = store
        self.folder = Path(store.repo_path)
        self.fields: dict[str, Any] = {"conv_rate": Float32, "acc_rate": Float32, "trips": Int64}

    def source(self, file: str = "stats.parquet", **options: Any) -> Any:
        from feast import FileSource

        known = {"timestamp_field": "event_timestamp"} | options
        return FileSource(name="stats", path=str(self.folder / file), **known)

    def apply(
        self,
        *,
        view: str = "hourly",
        fields: dict[str, Any] | None = None,
        source: Any = None,
        keys: tuple[Any, ...] = (),
        code: Any = None,
        services: dict[str, list[str] | None] | None = None,
        gone: tuple[Any, ...] = (),
        **options: Any,
    ) -> None:
        """Apply the view, the on-demand view (where `code` is given) and the services.

        A service's value is the list of its features, or None for all of the view's.
        """
        from feast import FeatureService, FeatureView, Field

        known = {"ttl": timedelta(days=3), "owner": "rides@example.com",
                 "description": "What a driver did"} | options  # fmt: skip
        made = FeatureView(
            name=view,
            entities=list(keys) or [self.store.get_entity("driver")],
            schema=[Field(name=n, dtype=t) for n, t in (fields or self.fields).items()],
            source=source or self.source(),
            **known,
        )
        objects = [*keys, made]
        for name, chosen in (services or {}).items():
            objects.append(FeatureService(name=name, features=[made[chosen] if chosen else made]))
        if code is not None:
            objects.append(self.on_demand(made, code))
        self.store.apply(objects, objects_to_delete=list(gone), partial=not gone)

    def on_demand(self, view: Any, code: Any) -> Any:
        from feast import Field, RequestSource
        from feast.on_demand_feature_view import on_demand_feature_view
        from feast.types import Float64, Int64

        request = RequestSource(name="bonus", schema=[Field(name="bonus", dtype=Int64)])
        return on_demand_feature_view(
            sources=[view, request], schema=[Field(name="doubled", dtype=Float64)]
        )(code)

    def without(self, *names: str) -> dict[str, Any]:
        return {n: t for n, t in self.fields.items() if n not in names}

    def rewrite(self, change: Any, file: str = "stats.parquet") -> None:
        """Write the source anew, changed."""
        change(pd.read_parquet(self.folder / "stats.parquet")).to_parquet(self.folder / file)


@pytest.fixture
def team(promoted: Any) -> Team:
    return Team(promoted.space["store"])


def refused(book: Any, model: str, allow: bool) -> tuple[Change, ...]:
    """What the session's error says has changed."""
    with pytest.raises(Drift) as problem:
        of_store(book.space["store"]).resolve(model, allow_drift=allow)
    assert all(isinstance(c, Change) for c in problem.value.changes)
    return problem.value.changes  # type: ignore[return-value]


def breaks(book: Any, model: str, said: str) -> tuple[Change, ...]:
    """The model is refused, whatever is allowed, with that said; the changes."""
    whole = f"Drift: {model} cannot be served: {said}. Put it back, or retrain."
    assert book.fails(f"%feast_resolve {model}") == whole
    assert book.fails(f"%feast_resolve {model} --allow-drift") == whole
    changes = refused(book, model, allow=True)
    assert refused(book, model, allow=False) == changes
    assert "breaks serving" in {c.grade for c in changes}
    return changes


def stale(book: Any, model: str, said: str) -> tuple[Change, ...]:
    """The model is refused with that said, and let through where drift is allowed; the changes."""
    whole = (
        f"Drift: {model} was trained on different values: {said}. Retrain, or add --allow-drift."
    )
    assert book.fails(f"%feast_resolve {model}") == whole
    found = book.run(f"%feast_resolve {model} --allow-drift")
    changes = refused(book, model, allow=False)
    assert set(changes) <= set(found.drift)
    assert {c.grade for c in changes} == {"needs retraining"}
    return changes


def safe(book: Any, model: str) -> Any:
    """The model is resolved with no word against it; the answer."""
    found = book.run(f"%feast_resolve {model}")
    assert {c.grade for c in found.drift} <= {"safe"}
    return found


# ------------------------------------------------------------------ breaks serving


def test_a_feature_that_is_removed(promoted, team) -> None:
    team.apply(fields=team.without("conv_rate"), services={"activity": None})

    (change,) = breaks(promoted, "m/1", "hourly:conv_rate is removed")
    assert change == Change("removed", "hourly:conv_rate", "breaks serving")


def test_a_feature_that_the_model_does_not_take_may_be_removed(promoted, team) -> None:
    """`m/1` takes trips and conv_rate; its service held acc_rate too."""
    team.apply(fields=team.without("acc_rate"), services={"activity": None})

    found = safe(promoted, "m/1")
    assert found.service == "activity"
    assert found.features == ["hourly:trips", "hourly:conv_rate"]
    assert [c.said for c in found.drift] == ["hourly:acc_rate from service activity is removed"]
    breaks(promoted, "m/2", "hourly:acc_rate is removed")


def test_a_feature_that_is_renamed_is_proposed_by_its_definition(promoted, team) -> None:
    """The only new feature of the same type: it is asked about, never taken."""
    from feast.types import Int64

    team.rewrite(lambda frame: frame.assign(rides=frame["trips"]))
    team.store.apply([], objects_to_delete=[team.store.get_on_demand_feature_view("doubled")],
                     partial=False)  # fmt: skip
    team.apply(fields=team.without("trips") | {"rides": Int64}, services={"activity": None})

    said = "hourly:trips is gone; hourly:rides is defined the same (renamed?)"
    (change,) = breaks(promoted, "m/1", said)
    assert (change.kind, change.old, change.new) == ("renamed", "hourly:trips", "hourly:rides")


def test_a_view_that_is_renamed_is_proposed_by_its_definition(promoted, team) -> None:
    gone = (team.store.get_feature_view("hourly"), team.store.get_on_demand_feature_view("doubled"),
            *(team.store.get_feature_service(n) for n in ("rates", "everything")))  # fmt: skip
    team.apply(view="per_hour", services={"activity": None}, gone=gone)

    said = "hourly is gone; per_hour is defined the same (renamed?)"
    (change,) = breaks(promoted, "m/1", said)
    assert (change.kind, change.what, change.new) == ("renamed", "hourly", "per_hour")


def test_a_view_that_is_removed(promoted, team) -> None:
    store = team.store
    services = [store.get_feature_service(n) for n in ("activity", "rates", "everything")]
    views = [store.get_feature_view("hourly"), store.get_on_demand_feature_view("doubled")]
    store.apply([], objects_to_delete=[*services, *views], partial=False)

    (change,) = breaks(promoted, "m/1", "hourly is removed")
    assert change == Change("removed", "hourly", "breaks serving")


def test_a_feature_of_another_type(promoted, team) -> None:
    """Counts that became text."""
    from feast.types import String

    team.store.apply([], objects_to_delete=[team.store.get_on_demand_feature_view("doubled")],
                     partial=False)  # fmt: skip
    team.rewrite(lambda frame: frame.assign(trips=frame["trips"].astype(str)))
    team.apply(fields=team.fields | {"trips": String}, services={"activity": None})

    (change,) = breaks(promoted, "m/1", "hourly:trips was int64, is string")
    assert (change.kind, change.part, change.old, change.new) == (
        "retyped", "schema", "int64", "string",
    )  # fmt: skip


def test_other_join_keys(promoted, team) -> None:
    """A driver has several cars now: whoever asks must say which."""
    from feast import Entity, ValueType

    car = Entity(name="car", join_keys=["car_id"], value_type=ValueType.INT64)
    team.rewrite(lambda frame: frame.assign(car_id=frame["driver_id"] % 2))
    team.apply(keys=(team.store.get_entity("driver"), car), services={"activity": None})

    said = "the join key of hourly was driver_id, is car_id, driver_id"
    (change,) = breaks(promoted, "m/1", said)
    assert (change.kind, change.what, change.part) == ("redefined", "hourly", "entities")


# ------------------------------------------------------------------ needs retraining


def test_another_ttl(promoted, team) -> None:
    team.apply(ttl=timedelta(hours=1), services={"activity": None})

    (change,) = stale(promoted, "m/1", "the TTL of hourly was 3 days, is 1 hour")
    assert change == Change("redefined", "hourly", "needs retraining", "ttl", "3 days", "1 hour")


def test_a_ttl_that_was_taken_away(promoted, team) -> None:
    team.apply(ttl=timedelta(0), services={"activity": None})

    stale(promoted, "m/1", "the TTL of hourly was 3 days, is none")


def test_other_code_of_an_on_demand_view(promoted, team, derived) -> None:
    """The line that changed is shown as it was and as it is."""

    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"doubled": inputs["trips"] * 3.0 + inputs["bonus"]})

    assert safe(promoted, "d").drift == ()
    team.apply(code=doubled)

    old = 'return pd.DataFrame({"doubled": inputs["trips"] * 2.0 + inputs["bonus"]})'
    new = old.replace("2.0", "3.0")
    (change,) = stale(promoted, "d/1", f"the code of doubled was {old}, is {new}")
    assert (change.what, change.part) == ("doubled", "code")
    lines = [line.replace(" ", "") for line in change.diff.splitlines()]
    assert {f"-{old}".replace(" ", ""), f"+{new}".replace(" ", "")} <= set(lines)
    assert safe(promoted, "m/1").drift == ()  # which takes nothing of it


def test_the_same_code_with_another_comment_around_it_is_the_same(promoted, team, derived) -> None:
    """Applied again from another file, at other lines: no drift."""

    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"doubled": inputs["trips"] * 2.0 + inputs["bonus"]})

    team.apply(code=doubled)

    assert safe(promoted, "d").drift == ()


def test_what_an_on_demand_view_computes_from_counts_too(promoted, team, derived) -> None:
    """`doubled` is computed from `hourly:trips`, which the model does not take by itself."""
    from feast.types import Float32

    team.rewrite(lambda frame: frame.assign(trips=frame["trips"].astype("float32")))
    team.apply(fields=team.fields | {"trips": Float32})

    changes = refused(promoted, "d/1", allow=True)
    assert [(c.kind, c.what, c.grade) for c in changes] == [
        ("retyped", "hourly:trips", "breaks serving")
    ]


def test_the_ttl_of_what_an_on_demand_view_computes_from_counts_too(
    promoted, team, alone_derived
) -> None:
    """The model takes `doubled` alone; what that is computed from may be older now."""
    team.apply(ttl=timedelta(hours=1))

    stale(promoted, "e/1", "the TTL of hourly was 3 days, is 1 hour")


def test_another_timestamp_of_the_source(promoted, team) -> None:
    """Rows count from when they were written now, not from when they happened."""
    team.rewrite(lambda frame: frame.assign(written=frame["event_timestamp"]))
    team.apply(source=team.source(timestamp_field="written"), services={"activity": None})

    (change,) = refused(promoted, "m/1", allow=False)
    assert (change.kind, change.what, change.part) == ("redefined", "hourly", "query")
    shown = promoted.fails("%feast_resolve m/1")
    before, _, after = shown.partition(", is ")
    assert before.startswith(
        "Drift: m/1 was trained on different values: the source's query of hourly was "
    )
    assert "event_timestamp" in before
    assert "written" in after
    assert shown.endswith(". Retrain, or add --allow-drift.")
    assert promoted.run("%feast_resolve m/1 --allow-drift").refs[0] == "hourly:trips"


def test_a_created_column_of_the_source(promoted, team) -> None:
    """Of two rows of one moment the one made last counts now."""
    team.rewrite(lambda frame: frame.assign(made=frame["event_timestamp"]))
    team.apply(source=team.source(created_timestamp_column="made"), services={"activity": None})

    (change,) = refused(promoted, "m/1", allow=False)
    assert (change.part, change.grade) == ("query", "needs retraining")
    assert "made" in promoted.fails("%feast_resolve m/1")


def test_another_mapping_of_the_sources_columns(promoted, team) -> None:
    """`trips` is read from another column now: other values under the same name."""
    team.rewrite(lambda frame: frame.assign(tours=frame["trips"] + 1).drop(columns="trips"))
    team.apply(source=team.source(field_mapping={"tours": "trips"}), services={"activity": None})

    (change,) = refused(promoted, "m/1", allow=False)
    assert (change.part, change.grade) == ("query", "needs retraining")
    assert "tours" in promoted.fails("%feast_resolve m/1")


def test_what_breaks_and_what_is_stale_are_both_in_the_error(promoted, team) -> None:
    """The line names what breaks serving; `changes` holds all that must be put right."""
    team.apply(
        fields=team.without("conv_rate"), ttl=timedelta(hours=1), services={"activity": None}
    )

    changes = breaks(promoted, "m/1", "hourly:conv_rate is removed")
    assert {(c.kind, c.grade) for c in changes} == {
        ("removed", "breaks serving"),
        ("redefined", "needs retraining"),
    }


# ------------------------------------------------------------------ safe


def test_a_new_feature(promoted, team) -> None:
    """More to choose from, in the view and in the service: told, and nothing is different."""
    from feast.types import Float32

    team.rewrite(lambda frame: frame.assign(tips=frame["conv_rate"]))
    team.apply(fields=team.fields | {"tips": Float32}, services={"activity": None})

    found = safe(promoted, "m/1")
    assert [c.said for c in found.drift] == [
        "hourly:tips is added",
        "hourly:tips in service activity is added",
    ]
    assert {c.kind for c in found.drift} == {"added"}
    assert found.features == ["hourly:trips", "hourly:conv_rate"]


def test_a_service_in_another_order(promoted, team) -> None:
    """Told where the service was given to the retrieval; the model's own order is served."""
    team.apply(services={"activity": ["trips", "acc_rate", "conv_rate"]})

    (change,) = safe(promoted, "m/1").drift
    assert (change.kind, change.what) == ("reordered", "service activity")
    assert change.old == "hourly:conv_rate, hourly:acc_rate, hourly:trips"
    assert change.new == "hourly:trips, hourly:acc_rate, hourly:conv_rate"
    found = safe(promoted, "m/1")
    assert (found.service, found.features) == ("activity", ["hourly:trips", "hourly:conv_rate"])


def test_a_service_in_another_order_is_nothing_to_a_list_of_references(promoted, team) -> None:
    """`p` was trained on a list that the service happened to hold: it had an order of its own."""
    assert safe(promoted, "p").drift == ()
    team.apply(services={"activity": ["acc_rate", "trips", "conv_rate"]})

    assert safe(promoted, "p").drift == ()


def test_a_source_that_was_moved(promoted, team) -> None:
    """The same file at another place: safe, and shown with both places."""
    shutil.copy(team.folder / "stats.parquet", team.folder / "moved.parquet")
    team.apply(source=team.source("moved.parquet"), services={"activity": None})

    (change,) = safe(promoted, "m/1").drift
    assert (change.kind, change.what, change.part) == ("moved", "hourly", "location")
    before, _, after = change.said.partition(", is ")
    assert before.startswith("the source's place of hourly was ")
    assert str(team.folder / "stats.parquet") in before
    assert str(team.folder / "moved.parquet") in after
    assert "moved.parquet" in str(promoted.run("%feast_resolve m/1"))


def test_a_service_that_is_removed(promoted, team) -> None:
    """The references are used, and no service is named any more."""
    store = team.store
    store.apply([], objects_to_delete=[store.get_feature_service("activity")], partial=False)

    found = safe(promoted, "m/1")
    assert (found.service, found.features) == (None, ["hourly:trips", "hourly:conv_rate"])
    assert [(c.kind, c.said) for c in found.drift] == [("removed", "service activity is removed")]


def test_a_service_that_lost_a_feature_of_the_model(promoted, team) -> None:
    """The view has it still: it is served by reference, and the service is not named."""
    team.apply(services={"activity": ["conv_rate", "acc_rate"]})

    found = safe(promoted, "m/1")
    assert (found.service, found.features) == (None, ["hourly:trips", "hourly:conv_rate"])
    assert [c.said for c in found.drift] == ["hourly:trips from service activity is removed"]


@pytest.mark.parametrize(
    "change",
    [{"description": "Something else"}, {"owner": "others@example.com"}, {"tags": {"team": "b"}}],
    ids=["description", "owner", "tags"],
)
def test_what_is_only_said_of_a_view_is_no_drift(promoted, team, change) -> None:
    team.apply(services={"activity": None}, **change)

    assert promoted.run("%feast_resolve m/1").drift == ()


def test_the_same_definitions_applied_again_are_no_drift(promoted, team) -> None:
    team.apply(services={"activity": None})

    for model in ("m/1", "m/2", "p"):
        assert promoted.run(f"%feast_resolve {model}").drift == ()


def test_fields_in_another_order_are_no_drift(promoted, team) -> None:
    """A view has no order that a model could depend on."""
    team.apply(fields=dict(reversed(team.fields.items())),
               services={"activity": list(team.fields)})  # fmt: skip

    assert promoted.run("%feast_resolve m/1").drift == ()


def test_drift_of_another_view_is_not_this_models(promoted, team) -> None:
    from feast import FeatureView

    profile = team.store.get_feature_view("profile")
    assert isinstance(profile, FeatureView)
    profile.ttl = timedelta(days=1)
    team.store.apply([profile])

    assert promoted.run("%feast_resolve m/1").drift == ()


def test_what_another_process_applied_is_seen(promoted, team, trained) -> None:
    """A colleague applies from elsewhere while this notebook is open."""
    from feast import FeatureStore

    before = promoted.run("%feast_resolve m/1")
    Team(FeatureStore(repo_path=str(trained))).apply(ttl=timedelta(hours=2))

    assert before.drift == ()
    stale(promoted, "m/1", "the TTL of hourly was 3 days, is 2 hours")


def test_what_was_put_back_is_no_drift_any_more(promoted, team) -> None:
    team.apply(ttl=timedelta(hours=1))
    stale(promoted, "m/1", "the TTL of hourly was 3 days, is 1 hour")
    team.apply()

    assert promoted.run("%feast_resolve m/1").drift == ()


def test_features_are_shown_whatever_drifted(promoted, team) -> None:
    """`%feast_features` refuses nothing: it says what changed and how grave that is."""
    team.apply(
        fields=team.without("conv_rate"), ttl=timedelta(hours=1), services={"activity": None}
    )
    shown = promoted.run("%feast_features m/1")

    assert shown.notes == (
        "breaks serving: hourly:conv_rate is removed",
        "needs retraining: the TTL of hourly was 3 days, is 1 hour",
    )
    assert [f.ref for f in shown.features] == ["hourly:trips", "hourly:conv_rate"]
