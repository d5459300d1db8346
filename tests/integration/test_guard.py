"""A store's own calls that change definitions: what they break is said, or refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from feast_nb.errors import Drift, FeatureError, UsageError, Warned
from feast_nb.questions.source import HistorySource

from .test_apply import operations
from .test_plan import base, repo

__all__ = ["base", "repo"]  # fixtures

pytestmark = pytest.mark.xdist_group("plan")
CHAMPION = r"view=hourly: hourly:trips was int64, is float.*It breaks m/1 @champion"


def opened(repo: Path, guard: str | None = None) -> Any:
    import feast_nb

    return feast_nb.open(repo, guard=guard)


def retyped(store: Any) -> Any:
    """The view with one feature of another type."""
    from feast import Field
    from feast.types import Float32

    view = store.get_feature_view("hourly")
    view.features = [Field(name=f.name, dtype=Float32) for f in view.features]
    view.projection.features = view.features
    return view


def shorter(store: Any) -> Any:
    view = store.get_feature_view("hourly")
    view.ttl = timedelta(days=1)
    return view


def emptied(store: Any) -> None:
    store.apply([], objects_to_delete=[store.get_feature_view("hourly")], partial=False)


BREAKING: dict[str, tuple[Callable[[Any], object], str]] = {
    "a type": (lambda store: store.apply([retyped(store)]), CHAMPION),
    "one object": (lambda store: store.apply(retyped(store)), CHAMPION),
    "objects_to_delete": (emptied, r"view=hourly: .*breaks m/1 @champion"),
    "a view": (lambda store: store.delete_feature_view("hourly"), r"hourly.*m/1 @champion"),
    "a service": (
        lambda store: store.delete_feature_service("activity"),
        r"service=activity: service activity is gone: .*breaks m/1 @champion",
    ),
    "disabled": (lambda store: store.disable_feature_view("hourly"), r"hourly.*m/1 @champion"),
}


@pytest.mark.parametrize(("change", "said"), BREAKING.values(), ids=BREAKING)
def test_what_a_call_breaks_is_said_once_it_is_done(repo: Path, change: Any, said: str) -> None:
    store = opened(repo).store
    before = store.registry.proto().SerializeToString(deterministic=True)

    with pytest.warns(Warned, match=said):
        change(store)

    assert store.registry.proto().SerializeToString(deterministic=True) != before


@pytest.mark.parametrize(("change", "said"), BREAKING.values(), ids=BREAKING)
def test_where_it_is_to_be_refused_nothing_is_changed(repo: Path, change: Any, said: str) -> None:
    store = opened(repo, "refuse").store
    before = (repo / "registry.db").read_bytes()

    with pytest.raises(Drift, match=said.replace("It breaks", ".*It breaks")) as refused:
        change(store)

    assert "move the alias first, or feast_nb.open(..., guard='warn')" in str(refused.value)
    assert (repo / "registry.db").read_bytes() == before


@pytest.mark.filterwarnings("error")
def test_what_breaks_nothing_is_done_without_a_word(repo: Path) -> None:
    """`r` has no alias: that its service goes, or a view is made, touches nobody who is served."""
    from feast import FeatureService

    store = opened(repo, "refuse").store
    again = FeatureService(name="again", features=[store.get_feature_view("hourly")])
    store.apply([again, store.get_feature_view("hourly"), store.get_entity("driver")])
    store.delete_feature_service("unused")

    assert {s.name for s in store.list_feature_services()} == {"activity", "again"}


def test_what_is_new_asks_nobody(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from feast import FeatureService

    store = opened(repo).store
    monkeypatch.setattr(HistorySource, "refresh", None)
    store.apply([FeatureService(name="new", features=[store.get_feature_view("hourly")])])

    assert store.get_feature_service("new")


def test_a_change_that_calls_for_retraining_is_said_and_not_refused(repo: Path) -> None:
    store = opened(repo).store
    with pytest.warns(Warned, match=r"TTL of hourly.* calls for retraining of m/1 @champion"):
        store.apply([shorter(store)])
    store = opened(repo, "refuse").store
    view = store.get_feature_view("hourly")
    view.ttl = timedelta(days=2)
    store.apply([view])

    assert store.get_feature_view("hourly").ttl == timedelta(days=2)


def test_what_it_breaks_is_not_guessed_where_mlflow_is_away(repo: Path) -> None:
    yaml = repo / "feature_store.yaml"
    yaml.write_text(yaml.read_text().replace("sqlite:///mlflow.db", "http://127.0.0.1:9"))
    store = opened(repo).store
    with pytest.warns(Warned, match=r"which models store\.apply breaks is not known: .*127"):
        store.apply([shorter(store)])
    store = opened(repo, "refuse").store
    with pytest.raises(Drift, match=r"which models it breaks: .*Do it when that is known, or"):
        store.delete_feature_view("hourly")


def test_an_error_of_feasts_own_is_feasts_own(repo: Path) -> None:
    from feast import Entity
    from feast.errors import FeatureViewNotFoundException

    for choice in ("warn", "refuse"):
        store = opened(repo, choice).store
        with pytest.raises(FeatureViewNotFoundException):
            store.delete_feature_view("nowhere")
        with pytest.raises(ValueError, match="single join key"):
            store.apply([Entity(name="x", join_keys=["a", "b"])])


def test_the_three_doors(repo: Path, notebook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"guard='refuze': did you mean refuse\?"):
        opened(repo, "refuze")
    monkeypatch.setenv("FEAST_NB_GUARD", "refuse")
    notebook.run(f"store = %feast_store {repo}")
    deletes = "store.delete_feature_service('activity')"
    assert "It breaks m/1 @champion" in notebook.fails(deletes)
    notebook.shell.config.FeastNb.guard = "off"
    notebook.run(deletes)
    store = notebook.space["store"]
    assert [s.name for s in store.list_feature_services()] == ["unused"]


# ---------------------------------------------------------------------- session.delete


def test_a_deletion_is_graded_refused_forced_and_logged(repo: Path) -> None:
    session = opened(repo)
    with pytest.raises(Drift, match=r"service=activity: .*or delete with force=True, reason"):
        session.delete("activity")
    with pytest.raises(UsageError, match="force needs a reason"):
        session.delete("activity", force=True)
    assert operations(session) == []

    done = session.delete("activity", force=True, reason="m is retired")
    assert (done.applied, done.reason, done.grade) == (True, "m is retired", "breaks serving")
    assert [s.name for s in session.store.list_feature_services()] == ["unused"]
    (run,) = operations(session)
    assert run.data.tags["feast.feature_services_deleted"] == "activity"
    assert run.data.tags["feast_nb.reason"] == "m is retired"


def test_what_is_loaded_of_a_view_goes_with_it(repo: Path) -> None:
    session = opened(repo)
    session.materialize("hourly", start="2024-01-01", end="2024-01-10T12:00")
    session.delete("unused", "service=activity", "doubled", "view=hourly",
                   force=True, reason="all of it")  # fmt: skip

    assert session.store.list_all_feature_views() == []
    assert not session.plan(full=True).only_registered
    import sqlite3

    kept = sqlite3.connect(repo / "online.db")
    assert kept.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == []


def test_a_registry_file_that_is_gone_is_what_feast_still_has_of_it(repo: Path) -> None:
    session = opened(repo)
    (repo / "registry.db").unlink()

    assert session.plan().changes == ()
    with pytest.raises(Drift, match=r"service=activity: .*breaks m/1 @champion"):
        session.delete("activity")


def test_a_name_that_is_none_is_told_the_nearest(repo: Path) -> None:
    session = opened(repo)
    with pytest.raises(
        FeatureError, match=r"nothing is called x+ .*there is activity, doubled, dr"
    ):
        session.delete("x" * 20)
    with pytest.raises(FeatureError, match=r"nothing is called hourli .*did you mean hourly\?"):
        session.delete("hourli")
    with pytest.raises(UsageError, match="write view=NAME, service=NAME or entity=NAME"):
        session.delete("model=m")


# ---------------------------------------------------------------------- what is there, and when


def test_what_another_process_applied_is_nothing_that_this_call_did(repo: Path) -> None:
    """Feast's own copy of a file is of when it was read; what counts is the file."""
    from feast import Entity, FeatureStore, ValueType

    store = opened(repo, "off").store
    store.list_entities()
    FeatureStore(str(repo)).apply([shorter(FeatureStore(str(repo)))])
    opened(repo, "warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.apply([Entity(name="rider", join_keys=["rider_id"], value_type=ValueType.INT64)])

    store.refresh_registry()
    assert store.get_feature_view("hourly").ttl == timedelta(days=1)


def test_a_version_that_is_kept_aside_changes_nothing_that_is_served(repo: Path) -> None:
    store = opened(repo, "refuse").store
    store.apply([retyped(store)], no_promote=True)

    assert {str(f.dtype) for f in store.get_feature_view("hourly").features} == {"Float32", "Int64"}


def test_an_earlier_version_that_is_asked_for_is_not_taken_for_what_stands_there(
    repo: Path,
) -> None:
    store = opened(repo, "refuse").store
    view = shorter(store)
    view.version = "v0"
    with pytest.raises(Drift, match="view hourly asks for version v0, which Feast restores"):
        store.apply([view])


def test_what_cannot_be_known_before_is_refused_with_feasts_own_word(repo: Path) -> None:
    from feast import Field, RequestSource
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import Float64

    store = opened(repo, "refuse").store
    given = RequestSource(name="given", schema=[Field(name="bonus", dtype=Float64)])

    @on_demand_feature_view(sources=[given], schema=[Field(name="twice", dtype=Float64)])
    def twice(inputs):
        return inputs.nothing

    with pytest.raises(Drift, match=r"what store\.apply would change is not known \(AttributeEr"):
        store.apply([twice])


def test_an_interrupt_waits_for_nothing_of_ours(repo: Path, monkeypatch) -> None:
    session = opened(repo)
    monkeypatch.setattr(HistorySource, "refresh", None)  # it would be an error of ours

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session.store.registry, "apply_feature_view", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.store.apply([retyped(session.store)])
