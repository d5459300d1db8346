"""A registry holds code (on-demand views, pickled): to show a repository runs none of it."""

from __future__ import annotations

from contextlib import suppress

import pytest

pytestmark = pytest.mark.xdist_group("resolve")  # on the models that test_resolve has trained


QUESTIONS = (
    "store = %feast_store {repo}",
    "%feast_usage",
    "%feast_lineage",
    "%feast_impact hourly",
    "%feast_features m",
    "%feast_resolve m@champion",
    "%feast_diff m/1 m/2",
    "%feast_runs",
    "%feast_ops",
)


def test_no_question_about_a_repository_runs_code_that_its_registry_holds(
    trained, promoted, tmp_path
) -> None:
    """Feast runs an on-demand view's source whenever it makes the view's object."""
    from feast.protos.feast.core.Registry_pb2 import Registry

    mark = tmp_path / "ran"
    proto = Registry.FromString((trained / "registry.db").read_bytes())
    planted = f"open({str(mark)!r}, 'w').close()\ndef doubled(inputs):\n    return inputs\n"
    for view in proto.on_demand_feature_views:
        for place in (view.spec.feature_transformation, view.spec):
            place.user_defined_function.body_text = planted
    (trained / "registry.db").write_bytes(proto.SerializeToString())
    for question in QUESTIONS:
        promoted.run(question.format(repo=trained))
        assert not mark.exists(), question
    assert "doubled" in str(promoted.shell.complete("%feast_impact dou")[1])
    assert not mark.exists()
    with suppress(AttributeError, TypeError, ValueError):  # the plant is one: Feast itself runs it
        promoted.space["store"].list_on_demand_feature_views()
    assert mark.exists()
