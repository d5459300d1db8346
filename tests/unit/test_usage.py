"""Who uses which feature: counted right, by registered names, with what is gone and unused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from feast_nb.lineage import usage
from feast_nb.records.facts import Registry, RunGroup
from feast_nb.records.lineage import FeatureUsage, Usage, spans

from .. import lineage_data as past


def of(ref: str, found: Usage | None = None) -> FeatureUsage:
    found = found or past.used()
    return next(f for f in (*found.views, *found.features) if f.ref == ref)


def test_training_and_prediction_are_counted_apart() -> None:
    trips = of("hourly:trips")

    assert (trips.training, trips.prediction) == (12 + 1, 40 + 2)


def test_an_inherited_retrieval_is_no_other_training() -> None:
    assert of("hourly:rating").training == 12 + 2


def test_a_view_counts_a_run_once_however_many_of_its_features_it_asks_for() -> None:
    assert of("hourly").training == 12 + 1 + 2


def test_what_an_on_demand_view_computes_from_is_used_through_it() -> None:
    groups = [g for g in past.GROUPS if g.number == 1]
    found = usage.build(past.CATALOG, groups, [], now=past.NOW)

    assert of("hourly:trips", found).through == ("derived",)
    assert of("hourly", found).through == ("derived",)
    assert of("derived:pay", found).through == ()


def test_a_name_that_a_service_gives_to_a_view_is_no_view_of_its_own() -> None:
    found = past.used()

    assert of("profile:age").services == ("old", "pay")
    assert "person" not in [v.ref for v in found.views]


def test_what_is_gone_is_marked_and_what_is_unused_too() -> None:
    assert of("lost").gone
    assert of("lost:x").gone
    assert not of("hourly").gone
    assert past.used().unused == ("idle:clicks",)
    assert [f.ref for f in usage.unused(past.used()).views] == ["idle"]


def test_a_feature_that_only_a_model_needs_is_not_unused() -> None:
    """Its runs were deleted: the model that is served still needs it."""
    found = usage.build(past.CATALOG, [], past.MODELS, now=past.NOW)

    assert found.unused == ("idle:clicks",)
    assert [m.said for m in of("hourly:trips", found).models] == [
        "eta/1–2 (champion → 2)", "pay/1 (live → 1)",
    ]  # fmt: skip


def test_models_are_those_whose_contract_has_it_not_those_of_the_run() -> None:
    assert [m.name for m in of("hourly:rating").models] == ["eta"]
    assert of("hourly:rating").models[0].versions == (1,)


def test_the_trend_adds_up_and_covers_today() -> None:
    found = past.used()

    assert sum(found.trend) == found.training + found.prediction
    assert found.since == "2026-01-01T00:00:00+00:00"
    assert len(found.trend) == 20
    assert found.trend[-1] == 30
    assert sum(of("hourly").trend) == of("hourly").runs


def test_a_long_past_shows_its_newest_stretches() -> None:
    group = RunGroup(0, past.ACTIVITY, None, "training", 2, 0, past.NOW, 0, (), {0: 1, 2000: 1})
    found = usage.build(past.CATALOG, [group], [], now=past.NOW)

    assert len(found.trend) == 60
    assert found.training == 2


def test_runs_that_kept_a_part_of_their_references_are_told() -> None:
    assert "1 run recorded by Feast alone" in past.used().notes[0]


def test_nothing_at_all() -> None:
    found = usage.build(Registry("p"), [], [], now=past.NOW)

    assert (found.views, found.features, found.training) == ((), (), 0)
    assert sum(found.trend) == 0


def test_a_part_keeps_its_views() -> None:
    found = usage.part(past.used(), "profile:age", ["profile:age"])

    assert [v.ref for v in found.views] == ["profile"]
    assert [f.ref for f in found.features] == ["profile:age"]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [([1], "1"), ([3, 1, 2], "1–3"), ([1, 2, 4, 7, 8], "1–2, 4, 7–8"), ([], "")],
)
def test_spans(numbers: list[int], said: str) -> None:
    assert spans(numbers) == said


def test_the_frame_has_a_row_for_each_feature() -> None:
    frame = past.used().to_pandas()

    assert len(frame) == len(past.used().features)
    assert str(frame["last_used"].dt.tz) == "UTC"
    assert frame.loc[frame["feature"] == "clicks", "unused"].all()
    assert len(Usage("p").to_pandas()) == 0


def test_the_figure_shows_runs_and_models() -> None:
    figure = past.used().figure()

    assert sum(figure.data[0].y) == 58
    assert set(figure.data[1].x) == {"eta", "pay", "old"}
    z = dict(zip(figure.data[1].y, figure.data[1].z, strict=True))
    assert list(z["hourly:trips"]) == [1.0, 0.0, 1.0]  # eta, old, pay
    assert Usage("p").figure() is not None


def test_users_and_services_are_those_of_its_runs() -> None:
    trips = of("hourly:trips")

    assert trips.users == ("ann", "bob", "cy", "svc")
    assert trips.services == ("activity", "pay")
    assert replace(trips, models=(), training=0, prediction=0).unused
