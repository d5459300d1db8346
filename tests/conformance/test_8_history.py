"""Feast alone and with feast_nb, groups 7 and 8: what its endpoints leave out, and who uses what."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import pytest

from feast_nb.display import MIME, bundle


def endpoint(store: Any, path: str) -> Any:
    """The function behind one of the endpoints of `feast ui`."""
    import feast.ui_server

    app = feast.ui_server.get_app(store, store.project)
    return next(r.endpoint for r in app.routes if getattr(r, "path", "") == path)


def small(api: Any) -> None:
    """Three runs and two models: few enough for Feast's endpoints to be complete."""
    experiment = api.create_experiment("drivers")
    runs = [
        record(api, experiment, refs, **tags)
        for refs, tags in (
            ("hourly:trips,hourly:conv_rate", {"feast.feature_service": "activity"}),
            ("hourly:trips,profile:age", {}),
            ("profile:age", {}),
        )
    ]
    register(api, "m", runs[0])
    register(api, "n", runs[1])


def record(api: Any, experiment: str, refs: str, **tags: str) -> str:
    """A run as Feast's integration tags it."""
    count = str(len(refs.split(",")))
    views = ",".join(sorted({ref.partition(":")[0] for ref in refs.split(",")}))
    run = api.create_run(
        experiment,
        tags={"feast.project": "drivers", "feast.retrieval_type": "historical",
              "feast.feature_refs": refs, "feast.feature_views": views,
              "feast.feature_count": count, "feast.entity_count": "10", **tags},
    )  # fmt: skip
    api.set_terminated(run.info.run_id)
    return str(run.info.run_id)


@pytest.fixture
def api(alone: Any) -> Any:
    import mlflow

    return mlflow.MlflowClient(alone.config.mlflow.get_tracking_uri())


@pytest.fixture
def asked(alone: Any) -> Any:
    """A session on the same repository, without a notebook."""
    from feast_nb.session import of_store

    return of_store(alone)


def register(api: Any, name: str, run: str, alias: str | None = None) -> None:
    if not api.search_registered_models(f"name = '{name}'"):
        api.create_registered_model(name)
    version = api.create_model_version(name, f"runs:/{run}/model", run)
    if alias:
        api.set_registered_model_alias(name, alias, version.version)


@pytest.mark.conformance("7.3")
def test_7_3_outputs_are_drawn(asked, api) -> None:
    """What Feast's integration answers has the plain look of Python objects. Right is a picture
    and a table in the notebook, in a saved page, and in a terminal.
    """
    run = record(api, api.create_experiment("drivers"), "hourly:trips")
    register(api, "m", run, "champion")

    assert "_repr_html_" not in dir(asked.store.mlflow)
    for answer in (asked.usage(), asked.lineage("m@champion"), asked.impact("hourly")):
        shown = bundle(answer)
        assert set(shown) == {MIME, "text/html", "text/plain"}
        assert "champion" in shown["text/plain"]
    assert "<img" in bundle(asked.lineage())["text/html"]


@pytest.mark.conformance("8.2")
def test_8_2_every_run_of_every_experiment(alone, asked, api) -> None:
    """`/api/mlflow-runs` gives at most 200 runs, of the experiment named like the project only.
    Right is all of them.
    """
    own, other = api.create_experiment("drivers"), api.create_experiment("elsewhere")
    for n in range(230):
        record(api, own if n < 205 else other, "hourly:trips")
    theirs = endpoint(alone, "/api/mlflow-runs")(max_results=1000)["runs"]

    assert len(theirs) == 200
    assert asked.usage().training == 230
    assert len(asked.recent(most=1000).runs) == 230


@pytest.mark.conformance("8.3")
def test_8_3_views_of_older_models_are_not_unused(alone, asked, api) -> None:
    """`/api/mlflow-feature-usage` counts the newest 200 runs, predictions among them, and takes a
    renamed view for another one: the view of an older model looks unused. Right is every use,
    training and prediction apart, by the view's registered name.
    """
    experiment = api.create_experiment("drivers")
    oldest = record(api, experiment, "profile:age")
    register(api, "old", oldest, "champion")
    time.sleep(0.01)
    for _ in range(200):
        record(api, experiment, "hourly:trips")
    record(api, experiment, "hourly:trips", **{"feast.model_name": "old"})
    record(api, experiment, "other:trips", **{"feast_nb.renamed": "other=hourly"})
    theirs = endpoint(alone, "/api/mlflow-feature-usage")()["feature_usage"]
    uses = {v.ref: v for v in asked.usage().views}

    assert "profile" not in theirs
    assert "other" in theirs
    assert [m.said for m in uses["profile"].models] == ["old/1 (champion → 1)"]
    assert (uses["hourly"].training, uses["hourly"].prediction) == (201, 1)
    assert "other" not in uses


@pytest.mark.conformance("8.4")
def test_8_4_every_version_of_every_model(alone, asked, api) -> None:
    """`/api/mlflow-feature-models` shows the latest versions of the first hundred models. Right is
    every version of each, with its aliases.
    """
    experiment = api.create_experiment("drivers")
    run = record(api, experiment, "hourly:trips")
    for n in range(105):
        register(api, f"model_{n:03d}", run)
    register(api, "model_000", run)  # its first version is the one that serves
    api.set_registered_model_alias("model_000", "champion", "1")
    theirs = endpoint(alone, "/api/mlflow-feature-models")()["feature_models"]
    ours = next(f for f in asked.usage().features if f.ref == "hourly:trips")

    assert len({m["model_name"] for m in theirs["hourly:trips"]}) == 100
    assert {
        str(m["version"]) for m in theirs["hourly:trips"] if m["model_name"] == "model_000"
    } == {"2"}
    assert len(ours.models) == 105
    assert ours.models[0].said == "model_000/1–2 (champion → 1)"


@pytest.mark.conformance("8.5")
def test_8_5_which_models_use_a_feature_is_a_question(asked, api) -> None:
    """Feast's SDK has no call that says which models use a feature. Right is one line in the
    notebook.
    """
    experiment = api.create_experiment("drivers")
    register(api, "m", record(api, experiment, "hourly:trips,hourly:conv_rate"), "champion")
    register(api, "n", record(api, experiment, "profile:age"))
    found = asked.impact("hourly:trips")

    assert not [name for name in dir(asked.store.mlflow) if "usage" in name or "impact" in name]
    assert [m.name for m in found.models] == ["m/1"]
    assert found.models[0].aliases == ("champion",)


def test_where_feasts_endpoints_are_complete_the_numbers_are_the_same(alone, asked, api) -> None:
    """A small store, field by field: runs, uses of views, models of features."""
    small(api)
    listed = {r["run_id"]: r for r in endpoint(alone, "/api/mlflow-runs")(max_results=50)["runs"]}
    ours = {r.id: r for r in asked.recent(most=50).runs}
    assert set(ours) == set(listed)
    for id, theirs in listed.items():
        mine = ours[id]
        assert (mine.name, mine.status, mine.service, mine.features) == (
            theirs["run_name"], theirs["status"], theirs["feature_service"],
            len(theirs["feature_refs"]),
        )  # fmt: skip
        assert list(mine.models) == [
            f"{m['model_name']}/{m['version']}" for m in theirs["registered_models"]
        ]

    used = endpoint(alone, "/api/mlflow-feature-usage")()["feature_usage"]
    views = {v.ref: v for v in asked.usage().views if v.runs}
    assert {n: v.runs for n, v in views.items()} == {n: u["run_count"] for n, u in used.items()}
    assert {n: {m.name for m in v.models} for n, v in views.items()} == {
        n: set(u["models"]) for n, u in used.items()
    }
    lasts = {n: u["last_used"] // 1000 for n, u in used.items()}
    assert {n: int(seconds_of(v.last)) for n, v in views.items()} == lasts

    models = endpoint(alone, "/api/mlflow-feature-models")()["feature_models"]
    features = {f.ref: f for f in asked.usage().features if f.models}
    assert {r: {m.name for m in f.models} for r, f in features.items()} == {
        r: {m["model_name"] for m in of} for r, of in models.items()
    }


def seconds_of(text: str | None) -> float:
    return datetime.fromisoformat(str(text)).timestamp()
