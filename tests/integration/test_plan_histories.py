"""Plans on other registries, and any edits one after the other: what a plan says, comes true."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feast_nb.errors import Drift, FeatureError

from .test_plan import BREAKS, EDITS, SAFE, apply, base, edit, graded, planned, repo
from .test_registry_calls import RegistryServer, client_of

__all__ = ["base", "repo"]  # fixtures

pytestmark = pytest.mark.xdist_group("plan")
MODELS = ("m/1", "r/1", "d/1")


def in_sql(repo: Path) -> None:
    """The same definitions in a SQL registry."""
    yaml = repo / "feature_store.yaml"
    sql = f"registry: {{registry_type: sql, path: 'sqlite:///{repo}/sql.db'}}"
    yaml.write_text(yaml.read_text().replace("registry: registry.db", sql))
    apply(repo)


@pytest.fixture(params=["sql", "remote"])
def there(request: pytest.FixtureRequest, repo: Path) -> Any:
    """The repository with its registry in a database, or behind a server that has one."""
    in_sql(repo)
    if request.param == "sql":
        yield repo
        return
    server = RegistryServer(repo)
    # What names the registry is the client's; the files and MLflow are the same.
    yaml = repo / "feature_store.yaml"
    file = yaml.read_text()
    yaml.write_text(file.replace(file[file.index("registry:") : file.index("provider")],
                                 "registry: registry.db\n"))  # fmt: skip
    client = client_of(repo, server)
    shutil.copy(repo / "features.py", client)
    yield client
    server.end()


def test_every_edit_is_graded_alike_whatever_keeps_the_registry(there: Path) -> None:
    text = (there / "features.py").read_text()
    for what, changes, expected, line in EDITS:
        (there / "features.py").write_text(text)
        edit(there, *changes)
        plan = planned(there)
        found = graded(plan)
        assert bool(found) == bool(expected), what
        for name, (action, grade, models) in expected.items():
            assert found[name][:2] == (action, grade), (what, plan)
            assert sorted(found[name][2]) == sorted(models), (what, plan)
        assert line in str(plan), (what, plan)
        assert not plan.unchecked


def test_what_breaks_a_served_version_is_refused_there_too(there: Path) -> None:
    import feast_nb

    session = feast_nb.open(there, guard="refuse")
    with pytest.raises(Drift, match=r"service=activity: .*breaks m/1 @champion"):
        session.store.delete_feature_service("activity")
    edit(there, ("days=3", "days=1"), ("dtype=Int64", "dtype=Float32"))
    with pytest.raises(Drift, match=r"view=hourly: .*breaks m/1 @champion"):
        session.apply(partial=["hourly"])
    edit(there, ("dtype=Float32),\n    ],", "dtype=Int64),\n    ],"))
    assert session.apply(partial=["hourly"]).applied
    session.store.refresh_registry()
    assert session.store.get_feature_view("hourly").ttl.days == 1
    assert planned(there).changes == ()


# ---------------------------------------------------------------------- any edits

# What is edited: each alone is one of the table's, or another of its kind.
POOL = [
    *(changes for what, changes, _, _ in EDITS if changes and "source has not" not in what
      and "not there" not in what),
    [("dtype=Float32),\n        Field(name=\"trips\"", "dtype=Float64),\n        Field(name=\"trips\"")],
    [("days=3", "days=30")],
    [('name="unused"', 'name="renamed"')],
    [("ttl=timedelta(days=3),", "ttl=timedelta(days=3), online=False,")],
    [("inputs[\"conv_rate\"] * 2.0", "inputs[\"conv_rate\"] * 2.0 + 0")],
    [('hourly[["acc_rate"]]', 'hourly[["acc_rate"]], doubled')],
]  # fmt: skip


def definitions(repo: Path) -> dict[str, Any]:
    """What is registered: hashes of views, references of services, keys of entities."""
    from feast import FeatureStore

    from feast_nb.integrations.feast import registry
    from feast_nb.integrations.feast.views import refs_of_service

    known = registry.definitions_now(FeatureStore(str(repo)))
    return {
        "views": {n: (r.kind, r.hashes, r.reads) for n, r in known.records().items()},
        "services": {n: refs_of_service(s) for n, s in known.services.items()},
        "entities": {n: (e.join_key, e.value_type) for n, e in known.entities.items()},
    }


def served(session: Any, model: str) -> str:
    """What resolving a version says of it now: `safe`, or the error's text."""
    try:
        session.resolve(model)
    except (Drift, FeatureError) as problem:
        return str(problem)
    return SAFE


@given(st.lists(st.sampled_from(range(len(POOL))), min_size=1, max_size=3, unique=True))
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
def test_what_a_plan_says_of_any_edits_comes_true(base: Path, chosen: list[int]) -> None:
    import feast_nb

    with tempfile.TemporaryDirectory() as place:
        repo = Path(shutil.copytree(base, Path(place) / "repo"))
        before, text = definitions(repo), (repo / "features.py").read_text()
        edited = text
        for number in chosen:
            for old, new in POOL[number]:
                edited = edited.replace(old, new)
        (repo / "features.py").write_text(edited)

        plan = planned(repo, full=True)
        session = feast_nb.open(repo)
        if not any(one.startswith("Feast") for one in plan.unchecked):
            done = session.apply(force=True, reason="to see it come true")
            assert done.changes == plan.changes
            assert planned(repo, full=True).changes == ()
            for model in MODELS:
                grades = {
                    c.grade for c in plan.changes if model in str([m.shown for m in c.models])
                }
                now = served(session, model)
                by_name = all(c.object.startswith("service=") for c in plan.changes
                              if c.grade == BREAKS and model in str(c.models))  # fmt: skip
                # Of a change that breaks some, a plan names those alone.
                if not grades and BREAKS not in {c.grade for c in plan.changes}:
                    assert now == SAFE, (model, plan, now)
                elif grades and (BREAKS not in grades or not by_name):
                    assert now != SAFE, (model, plan)

            (repo / "features.py").write_text(text)
            session.apply(force=True, reason="back")
            assert definitions(repo) == before
