"""Every kind of view that Feast has × every question: it works, or one line says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from feast_nb.errors import Drift, FeatureError, Warned
from feast_nb.integrations.feast import registry, repository
from feast_nb.integrations.feast.views import KINDS

from ..conftest import wait_for
from ..feast_kinds import ASKED, Kind, build, define, named, rows, train

pytestmark = pytest.mark.xdist_group("kinds")  # its models are trained once, not by each worker


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("kinds") / "repo")


@pytest.fixture
def session(kinds: Path) -> Any:
    import feast_nb

    return feast_nb.open(kinds)


@pytest.mark.parametrize("kind", ASKED)
def test_every_question_of_every_kind(session, kind: str, capsys) -> None:
    asked, name = ASKED[kind], named(kind)
    train(session, name, asked)
    assert session.recorder.flush()
    model = f"{name}/1"
    given = rows()[list(asked.given)]
    then = rows()[[*asked.given, "event_timestamp"]]
    refs = asked.features or session.resolve(model).refs
    view = refs[0].partition(":")[0].partition("@")[0]
    registered = "batch" if view in ("origin", "target") else view

    assert session.resolve(model).drift == ()
    found = {
        f.column.replace("@v0", "").replace("@v1", "") for f in session.features(model).features
    }
    assert found == set(asked.inputs)
    online = session.score(model, given)["prediction"]
    as_of = session.score(model, then, as_of="event_timestamp")["prediction"]
    assert list(online) == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=4)
    assert list(as_of) == pytest.approx(list(online))
    vector = session.vector(model, given.to_dict("records"))
    assert vector.shape == (4, len(asked.inputs))
    again = session.reproduce(model, verify=True)
    assert (again.verdict, again.because) == ("identical", ())
    assert session.diff(model, model).same
    assert any(u.ref == registered and not u.gone for u in session.usage().views)
    drawn = session.lineage(model)
    assert f"view:{registered}" in {n.id for n in drawn.nodes}
    assert not [n for n in drawn.nodes if n.gone]
    impact = session.impact(f"view={registered}")
    assert model in {m.name for m in impact.models}
    assert "fault of feast_nb" not in capsys.readouterr().err


# ---------------------------------------------------------------------- what cannot be served


def test_a_disabled_view_is_said_in_one_line_by_every_question(session) -> None:
    train(session, "switched", Kind(("rate",), ("off:rate",)))
    assert session.recorder.flush()
    with pytest.warns(Warned, match=r"view=off: off is disabled\. It breaks switched/1"):
        session.store.disable_feature_view("off")
    try:
        for ask in (
            lambda: session.resolve("switched/1"),
            lambda: session.score("switched/1", rows()[["driver_id"]]),
            lambda: session.vector("switched/1", [{"driver_id": 1}]),
        ):
            with pytest.raises(Drift, match=r"off is disabled\. Enable") as raised:
                ask()
            assert "\n" not in str(raised.value)
        with pytest.raises(FeatureError, match="rebuilt now: view off is disabled; enable it with"):
            session.reproduce("switched/1")
        with pytest.raises(FeatureError, match="view off is disabled"):
            train(session, "again", Kind(("rate",), ("off:rate",)))
        assert "breaks serving: off is disabled" in session.features("switched/1").notes
    finally:
        session.store.enable_feature_view("off")
    assert session.resolve("switched/1").drift == ()


def test_a_view_that_only_an_on_demand_view_reads_may_be_disabled(session) -> None:
    """Feast serves it all the same."""
    train(session, "behind", Kind(("rate2",), ("in_pandas:rate2",)))
    assert session.recorder.flush()
    with pytest.warns(Warned, match=r"view=batch: batch is disabled\. It breaks ") as said:
        session.store.disable_feature_view("batch")
    try:
        assert "behind/1" not in str(said[0].message)
        assert session.resolve("behind/1").drift == ()
        assert session.vector("behind/1", [{"driver_id": 1}]).tolist() == [[0.2]]
    finally:
        session.store.enable_feature_view("batch")


def test_a_version_that_is_not_kept_is_said_with_those_that_are(session) -> None:
    with pytest.raises(FeatureError, match=r"view versioned has no version v7; it has v0, v1\."):
        train(session, "v7", Kind(("old",), ("versioned@v7:old",)))
    with pytest.raises(FeatureError, match="view versioned@v1 has no feature old; there is kept"):
        train(session, "v1", Kind(("old",), ("versioned@v1:old",)))


def test_a_join_key_that_is_request_data_too_is_said_at_training_and_at_resolving(session) -> None:
    said = "driver_id is a join key, and request data of clashing too: Feast cannot serve that"
    with pytest.warns(Warned, match=said):
        train(session, "clash", Kind(("rate7",), ("clashing:rate7",), given=("driver_id", "hour")))
    assert session.recorder.flush()
    given = rows()[["driver_id", "hour", "event_timestamp"]]

    assert said in session.resolve("clash/1").notes[0]
    assert session.reproduce("clash/1", verify=True).verdict == "identical"
    with pytest.warns(Warned, match=said):
        assert session.score("clash/1", given, as_of="event_timestamp")["prediction"].notna().all()
    for ask in (
        lambda: session.score("clash/1", given[["driver_id", "hour"]]),
        lambda: session.vector("clash/1", [{"driver_id": 1, "hour": 2}]),
    ):
        with pytest.raises(FeatureError, match=said):
            ask()


def test_code_that_takes_one_row_is_said_in_one_line(session) -> None:
    """Feast's offline stores hand it whole columns: pyarrow's words, sixty lines of them."""
    with pytest.raises(FeatureError, match=r"one_row computes one row at a time \(singleton\)"):
        train(session, "one", Kind(("rate8",), ("one_row:rate8",)))


def test_what_else_goes_wrong_is_not_blamed_on_code_that_takes_one_row(
    session, monkeypatch
) -> None:
    """A reason is read from the traceback: that such a view is among them says nothing."""
    from feast import FeatureStore

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("no such column")

    monkeypatch.setattr(FeatureStore, "get_historical_features", refuse)
    with pytest.raises(ValueError, match="no such column"):
        train(session, "other", Kind(("rate8",), ("one_row:rate8",)))


# ---------------------------------------------------------------------- labels


def test_a_changed_conflict_policy_wants_another_training(session, kinds) -> None:
    from feast.labeling.conflict_policy import ConflictPolicy

    train(session, "judged", Kind(("rate",), ("batch:rate", "labels:quality")))
    assert session.recorder.flush()
    was = next(o for o in define(kinds) if o.name == "labels")
    changed = next(o for o in define(kinds) if o.name == "labels")
    changed.conflict_policy, changed.labeler_field = ConflictPolicy.MAJORITY_VOTE, "labeler"
    session.store.apply([changed])
    try:
        (change,) = (c for c in session.resolve("judged/1", allow_drift=True).drift)
        assert (change.what, change.grade) == ("labels", "needs retraining")
        assert "label policy of labels was" in change.said
        with pytest.raises(Drift, match="was trained on different values"):
            session.resolve("judged/1")
    finally:
        session.store.apply([was])


def test_the_source_of_labels_has_an_impact(session) -> None:
    train(session, "sourced", Kind(("rate",), ("batch:rate", "labels:quality")))
    assert session.recorder.flush()

    found = session.impact("source=of_labels")
    assert [v.name for v in found.views] == ["labels"]
    assert found.runs
    assert {m.name: m.through for m in found.models}["sourced/1"] == "labels:quality (label)"
    drawn = session.lineage("view=labels")
    assert "model:sourced/1" in {n.id for n in drawn.nodes}
    assert "sourced/1" not in {m.name for m in session.impact("labels:labeler").models}, (
        "a column of labels that nobody retrieved"
    )


# ---------------------------------------------------------------------- what a newer Feast has


def test_every_kind_of_view_in_the_registrys_proto_is_known() -> None:
    """A list of what has features, and is no view, is named here."""
    from feast.protos.feast.core.Registry_pb2 import Registry

    lists = {
        field.name
        for field in Registry.DESCRIPTOR.fields
        if field.message_type
        and "spec" in field.message_type.fields_by_name
        and "features" in field.message_type.fields_by_name["spec"].message_type.fields_by_name
    }
    assert lists - {"feature_services", "feature_tables", "saved_datasets"} == set(KINDS)


def test_every_kind_is_in_the_catalogue(session) -> None:
    read = repository.catalog(session.store)

    assert {v.kind for v in read.views.values()} == set(KINDS.values())
    assert read.views["labels"].sources == ("of_labels",)
    assert read.views["pushed"].sources == ("of_pushed", "push")
    assert read.views["versioned"].earlier == ("old",)
    assert read.views["off"].unavailable is None


def test_a_change_that_nobody_made_is_called_a_fault_of_ours(session, monkeypatch) -> None:
    from feast_nb.contracts import drift
    from feast_nb.records.answers import Change

    invented = Change("removed", "batch", "breaks serving")
    monkeypatch.setattr(drift, "compare", lambda *_: (invented,))
    with pytest.warns(Warned, match="batch is removed. That is a fault of feast_nb's"):
        train(session, "invented", ASKED["batch"])


def test_the_panel_says_of_every_kind_that_nothing_changed(session, kinds) -> None:
    """From its own reading of the registry, in the worker's way."""
    from feast_nb.questions.monitor import RepositoryMonitor

    chosen = ("label", "entity-less", "pinned", "pinned by a service", "renamed keys",
              "on demand, request data")  # fmt: skip
    for kind in chosen:
        train(session, f"p_{named(kind)}", ASKED[kind])
    assert session.recorder.flush()
    watched = RepositoryMonitor(kinds / "feature_store.yaml")

    def seen() -> dict[str, str]:
        watched.look()
        models = {m.name: m.versions[0].drift for m in watched.overview().models}
        return {k: models.get(f"p_{named(k)}", "unknown") for k in chosen}

    wait_for(lambda: "unknown" not in seen().values(), 60, "the panel")
    assert seen() == dict.fromkeys(chosen, "same")
    shown = {v.name: v for v in watched.overview().views}
    assert set(shown) == set(registry.definitions_of(session.store).views)
    assert not [v.name for v in shown.values() if v.gone]


# ---------------------------------------------------------------------- loaded, and looked at


def test_what_feast_loads_is_loaded(session) -> None:
    """Label views are not, on-demand views that are written are."""
    planned = {load.view for load in session.materialize(dry_run=True).views}

    assert planned == {"batch", "fx", "mapped", "off", "pushed", "versioned", "aggregated",
                       "streamed", "written"}  # fmt: skip
    with pytest.raises(FeatureError, match="Feast loads labels into no online store"):
        session.materialize("labels", dry_run=True)


def test_every_kind_of_view_can_be_looked_at(session) -> None:
    found = session.health(seconds=60)

    assert {line.name: line.said for line in found.lines if line.light != "green"} == {
        "aggregated": "it was never materialized; what is pushed or streamed to it is not known here"
    }
    assert {line.name for line in found.lines if line.part == "skew"} == {
        "batch", "fx", "mapped", "off", "pushed", "streamed", "versioned",
    }  # fmt: skip
