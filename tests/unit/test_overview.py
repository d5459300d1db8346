"""A project at one look: pure, from the registry, the usage and the models."""

from __future__ import annotations

from dataclasses import replace

from feast_nb.lineage import overview
from feast_nb.records.facts import Registry, RegistryView
from feast_nb.records.overview import ProjectOverview

from .. import lineage_data as past

SEEN = past.seen()
VIEWS = {view.name: view for view in SEEN.views}


def test_views_say_who_uses_them() -> None:
    hourly = VIEWS["hourly"]

    assert (hourly.training, hourly.prediction) == (15, 42)
    assert [f.name for f in hourly.features] == ["trips", "rating"]
    assert [f.dtype for f in hourly.features] == ["Int64", "Float32"]
    assert hourly.services == ("activity",)
    assert hourly.models[0].aliases == {"champion": 2}
    assert VIEWS["idle"].models == ()


def test_a_view_that_was_used_and_is_gone_is_kept_and_marked() -> None:
    lost = VIEWS["lost"]

    assert lost.gone
    assert [(f.name, f.gone) for f in lost.features] == [("x", True)]
    assert [v.gone for v in SEEN.views] == sorted(v.gone for v in SEEN.views)


def test_what_is_older_than_its_ttl_in_the_online_store_is_stale() -> None:
    """Materialized up to the 18th, a TTL of a day, and it is the 20th."""
    assert VIEWS["hourly"].stale
    assert VIEWS["hourly"].fresh == "2026-01-18T00:00:00+00:00"
    view = past.CATALOG.views["hourly"]
    for fresh in (replace(view, materialized=past.at(20)), replace(view, online=False),
                  replace(view, ttl=None), replace(view, materialized=None)):  # fmt: skip
        known = overview.build(Registry("p", views={"hourly": fresh}), None, (),
                            lambda _: ("unknown", ()), lambda _: None, past.NOW)  # fmt: skip
        assert not known.views[0].stale


def test_models_come_newest_version_first_with_their_drift() -> None:
    eta = SEEN.models[0]

    assert [(v.version, v.drift) for v in eta.versions] == [(2, "same"), (1, "needs retraining")]
    assert eta.versions[0].aliases == ("champion",)
    assert eta.versions[0].predictions == 40


def test_a_service_that_models_were_trained_on_and_is_gone_is_shown() -> None:
    services = {s.name: s for s in SEEN.services}

    assert services["old"].gone
    assert services["old"].refs == ("profile:age",)
    assert [m.name for m in services["activity"].models] == ["eta"]
    assert services["spare"].models == ()


def test_without_mlflow_the_registry_is_there_all_the_same() -> None:
    known = overview.build(
        past.CATALOG, None, (), lambda _: ("unknown", ()), lambda _: None, past.NOW
    )

    assert [v.name for v in known.views] == ["derived", "hourly", "idle", "profile"]
    assert known.models == ()
    assert known.views[1].training == 0


def test_a_record_survives_its_json() -> None:
    assert ProjectOverview.from_dict(SEEN.to_dict()) == SEEN


def test_a_view_of_no_features() -> None:
    known = overview.build(Registry("p", views={"v": RegistryView("v", "batch", ())}), None, (),
                        lambda _: ("unknown", ()), lambda _: None, past.NOW)  # fmt: skip

    assert known.views[0].features == ()
