"""What changed since a model was trained, and how grave that is: plain records, no registry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from feast_nb.contracts import drift
from feast_nb.records.answers import Change
from feast_nb.records.contract import Contract, Input
from feast_nb.records.retrieval import ViewDefinition

DAY = 86400
INT64, STRING, FLOAT = 4, 2, 6
DRIVER = [["driver"], [["driver_id", INT64]]]
QUERY = [{"timestamp_field": "at", "created_timestamp_column": None, "query": None}]
PLACE = [{"type": "BATCH_FILE", "uri": "/data/stats.parquet"}]
CODE = ["def f(x):\n    y = x * 2\n    return y\n", "pandas"]


class Registry:
    """Views with the parts that their hashes stand for; a hash here is the part's own text."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}
        self.views: dict[str, ViewDefinition] = {}

    def add(
        self, name: str, features: dict[str, int], view: str | None = None, **parts: Any
    ) -> Any:
        schema = sorted([n, kind, 0, ""] for n, kind in features.items())
        all_parts = {"schema": schema, "entities": DRIVER, "ttl": 3 * DAY, "code": [],
                     "query": QUERY, "location": PLACE} | parts  # fmt: skip
        hashes = {part: f"{part} {value!r}" for part, value in all_parts.items()}
        self.parts |= {hashes[part]: value for part, value in all_parts.items()}
        self.views[name] = ViewDefinition(name, view or name, hashes=hashes)
        return self


HOURLY = {"trips": INT64, "rate": FLOAT, "town": STRING}


def then() -> Registry:
    return Registry().add("hourly", HOURLY)


def contract(registry: Registry, *refs: str, **fields: Any) -> Contract:
    """Of a model that takes `refs`, in that order."""
    known = {
        "refs": refs,
        "inputs": tuple(Input(r.partition(":")[2], r, basis="feature") for r in refs),
        "views": tuple(registry.views.values()),
        "definitions": registry.parts,
    }
    return Contract("m-1", "r", "p", **(known | fields))


def since(now: Registry, *refs: str, **fields: Any) -> tuple[Change, ...]:
    """What `drift.compare` finds for a model of `then`."""
    refs = refs or ("hourly:trips", "hourly:rate")
    return drift.compare(contract(then(), *refs, **fields), now.views, now.parts)


def test_nothing_changed_is_no_change() -> None:
    assert since(then()) == ()


def test_a_feature_that_is_gone_breaks_serving() -> None:
    now = Registry().add("hourly", {"rate": FLOAT, "town": STRING})

    assert since(now) == (Change("removed", "hourly:trips", "breaks serving"),)
    assert since(now)[0].said == "hourly:trips is removed"


def test_a_feature_that_the_model_does_not_take_may_go() -> None:
    now = Registry().add("hourly", {"trips": INT64, "rate": FLOAT})

    assert since(now) == ()


def test_a_feature_of_another_name_and_the_same_type_is_proposed() -> None:
    now = Registry().add("hourly", {"rides": INT64, "rate": FLOAT, "town": STRING})
    (found,) = since(now)

    assert found == Change(
        "renamed", "hourly:trips", "breaks serving", old="hourly:trips", new="hourly:rides"
    )
    assert found.said == "hourly:trips is gone; hourly:rides is defined the same (renamed?)"


def test_of_two_that_it_might_be_now_none_is_proposed() -> None:
    now = Registry().add("hourly", {"rides": INT64, "tours": INT64, "rate": FLOAT})

    assert [c.kind for c in since(now)] == ["removed", "added", "added"]


def test_one_new_feature_is_proposed_once() -> None:
    """Two of the same type are gone and one has come: it cannot be both."""
    before = Registry().add("v", {"a": INT64, "b": INT64})
    now = Registry().add("v", {"c": INT64})

    found = drift.compare(contract(before, "v:a", "v:b"), now.views, now.parts)

    assert [c.new for c in found].count("v:c") <= 1
    assert {c.what for c in found if c.grade == "breaks serving"} == {"v:a", "v:b"}


def test_a_retyped_feature_says_both_types() -> None:
    now = Registry().add("hourly", HOURLY | {"trips": STRING})
    (found,) = since(now)

    assert found == Change("retyped", "hourly:trips", "breaks serving", "schema", "int64", "string")
    assert found.said == "hourly:trips was int64, is string"


def test_a_list_of_a_type_is_another_type() -> None:
    (found,) = since(Registry().add("hourly", HOURLY | {"trips": 14}))

    assert found.said == "hourly:trips was int64, is list<int64>"


def test_a_vector_of_another_length_shows_how_it_differs() -> None:
    """The type's name is the same; what is said must tell the two apart."""
    before = Registry().add("v", {"x": 16})
    now = Registry().add("v", {}, schema=[["x", 16, 8, ""]])

    (found,) = drift.compare(contract(before, "v:x"), now.views, now.parts)

    assert (found.kind, found.grade) == ("retyped", "breaks serving")
    assert found.old != found.new


def test_another_ttl_needs_retraining() -> None:
    now = Registry().add("hourly", HOURLY, ttl=3600)
    (found,) = since(now)

    assert found == Change("redefined", "hourly", "needs retraining", "ttl", "3 days", "1 hour")
    assert found.said == "the TTL of hourly was 3 days, is 1 hour"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "none"), (1, "1 second"), (60, "1 minute"), (90, "90 seconds"), (7200, "2 hours"),
     (DAY, "1 day"), (DAY + 60, "1441 minutes"), (0.5, "0.5 seconds")],
)  # fmt: skip
def test_a_ttl_is_said_in_the_largest_unit_that_tells_it(seconds: float, words: str) -> None:
    assert drift.seconds(seconds) == words


def test_a_ttl_that_was_none_is_said_so() -> None:
    (found,) = since(Registry().add("hourly", HOURLY, ttl=0))

    assert found.said == "the TTL of hourly was 3 days, is none"


def test_changed_code_shows_its_first_line_that_differs() -> None:
    before = Registry().add("v", {"x": FLOAT}, code=CODE)
    now = Registry().add("v", {"x": FLOAT}, code=[CODE[0].replace("* 2", "* 3"), "pandas"])

    (found,) = drift.compare(contract(before, "v:x"), now.views, now.parts)

    assert (found.kind, found.grade, found.part) == ("redefined", "needs retraining", "code")
    assert found.said == "the code of v was y = x * 2, is y = x * 3"
    assert "-    y = x * 2" in found.diff.splitlines()
    assert "+    y = x * 3" in found.diff.splitlines()


def test_another_timestamp_of_the_source_needs_retraining() -> None:
    now = Registry().add("hourly", HOURLY, query=[QUERY[0] | {"timestamp_field": "made"}])
    (found,) = since(now)

    assert (found.kind, found.grade, found.part) == ("redefined", "needs retraining", "query")
    assert found.said.startswith("the source's query of hourly was ")
    old, _, new = found.said.partition(", is ")
    assert '"at"' in old
    assert '"made"' in new


def test_other_join_keys_break_serving() -> None:
    now = Registry().add("hourly", HOURLY, entities=[["car"], [["car_id", INT64]]])
    (found,) = since(now)

    assert (found.kind, found.grade, found.part) == ("redefined", "breaks serving", "entities")
    old, _, new = found.said.partition(", is ")
    assert "driver" in old
    assert "car" in new


def test_a_join_key_of_another_type_is_told_as_one() -> None:
    """The same name, but text now: what is said must show a difference."""
    now = Registry().add("hourly", HOURLY, entities=[["driver"], [["driver_id", STRING]]])
    (found,) = since(now)

    assert (found.grade, found.part) == ("breaks serving", "entities")
    assert found.old != found.new


def test_a_source_that_was_moved_is_safe_and_says_where_to() -> None:
    now = Registry().add("hourly", HOURLY, location=[PLACE[0] | {"uri": "/new/stats.parquet"}])
    (found,) = since(now)

    assert (found.kind, found.grade, found.part) == ("moved", "safe", "location")
    assert "/data/stats.parquet" in found.said
    assert "/new/stats.parquet" in found.said


def test_a_new_feature_is_safe() -> None:
    now = Registry().add("hourly", HOURLY | {"tips": FLOAT})

    assert since(now) == (Change("added", "hourly:tips", "safe"),)
    assert since(now)[0].said == "hourly:tips is added"


def test_several_changes_are_all_told() -> None:
    now = Registry().add("hourly", {"trips": STRING, "town": STRING}, ttl=DAY, location=[{}])

    assert [(c.kind, c.what, c.part) for c in since(now)] == [
        ("retyped", "hourly:trips", "schema"),
        ("removed", "hourly:rate", None),
        ("redefined", "hourly", "ttl"),
        ("moved", "hourly", "location"),
    ]


def test_a_view_that_is_gone_breaks_serving() -> None:
    now = Registry().add("daily", {"other": INT64})
    (found,) = since(now)

    assert found == Change("removed", "hourly", "breaks serving")
    assert found.said == "hourly is removed"


def test_a_view_of_another_name_that_is_defined_the_same_is_proposed() -> None:
    """Wherever its source lies now."""
    now = Registry().add("per_hour", HOURLY, location=[{"uri": "/new"}])
    now.add("daily", {"other": INT64})
    (found,) = since(now)

    assert found == Change("renamed", "hourly", "breaks serving", old="hourly", new="per_hour")
    assert found.said == "hourly is gone; per_hour is defined the same (renamed?)"


def test_a_view_that_the_model_takes_already_is_no_new_name_of_another() -> None:
    """Two views defined alike, of which one is gone: the other was there before."""
    before = Registry().add("a", {"x": INT64}).add("b", {"x": INT64})
    now = Registry().add("b", {"x": INT64})

    found = drift.compare(contract(before, "a:x", "b:x"), now.views, now.parts)

    assert found == (Change("removed", "a", "breaks serving"),)


def test_a_view_that_the_model_takes_nothing_of_does_not_matter() -> None:
    before = then().add("profile", {"age": INT64})
    fields = {"views": tuple(before.views.values()), "definitions": before.parts,
              "refs": ("hourly:trips", "profile:age")}  # fmt: skip

    assert since(then(), "hourly:trips", **fields) == ()


def test_a_renamed_projection_is_looked_up_by_the_views_own_name() -> None:
    """A service calls `hourly` by another name: the reference has that, the registry has not."""
    before = Registry().add("mine", HOURLY, view="hourly")
    now = Registry().add("hourly", HOURLY, ttl=DAY)

    found = drift.compare(contract(before, "mine:trips"), now.views, now.parts)

    assert [(c.what, c.part) for c in found] == [("hourly", "ttl")]


SERVED = ["hourly:trips", "hourly:rate"]


def test_a_service_in_another_order_is_safe_and_told_where_it_was_given() -> None:
    kept = contract(then(), *SERVED, service="s", service_basis="given")

    assert drift.compare(kept, then().views, then().parts, SERVED[::-1]) == (
        Change("reordered", "service s", "safe", old="hourly:trips, hourly:rate",
               new="hourly:rate, hourly:trips"),
    )  # fmt: skip


def test_a_service_that_only_holds_the_same_has_no_order_to_lose() -> None:
    kept = contract(then(), *SERVED, service="s", service_basis="exact")

    assert drift.compare(kept, then().views, then().parts, SERVED[::-1]) == ()


def test_a_service_that_grew_or_shrank_is_safe() -> None:
    kept = contract(then(), *SERVED, service="s", service_basis="given")
    more = drift.compare(kept, then().views, then().parts, [*SERVED, "hourly:town"])
    less = drift.compare(kept, then().views, then().parts, SERVED[:1])

    assert more == (Change("added", "hourly:town in service s", "safe"),)
    assert less == (Change("removed", "hourly:rate from service s", "safe"),)


def test_a_service_that_is_gone_is_safe() -> None:
    kept = contract(then(), *SERVED, service="s", service_basis="given")

    assert drift.compare(kept, then().views, then().parts, None) == (
        Change("removed", "service s", "safe"),
    )


def test_a_definition_whose_text_nobody_knows_is_compared_by_its_hash() -> None:
    """A contract of another kernel's hash only: that it changed is known, not from what."""
    kept = contract(then(), "hourly:trips", definitions={})
    now = Registry().add("hourly", HOURLY, ttl=DAY)

    (found,) = drift.compare(kept, now.views, now.parts)
    assert (found.part, found.old, found.new) == ("ttl", None, "1 day")
    assert found.said == "the TTL of hourly was unknown, is 1 day"
    (typed,) = drift.compare(
        contract(then(), "hourly:trips", definitions={}),
        Registry().add("hourly", {"trips": STRING}).views,
        {},
    )
    assert (typed.kind, typed.what, typed.grade) == ("retyped", "hourly", "breaks serving")


def test_without_definitions_only_what_is_gone_is_seen() -> None:
    kept = contract(then(), "hourly:trips", "hourly@v2:rate", "daily:x", views=())

    assert drift.gone(kept, {"hourly": ["trips", "rate"]}) == (
        Change("removed", "daily:x", "breaks serving"),
    )
    assert [c.what for c in drift.gone(kept, {"hourly": ["trips"], "daily": ["x"]})] == [
        "hourly@v2:rate"
    ]


def test_the_worst_of_several_grades() -> None:
    safe = Change("added", "a", "safe")
    stale = Change("redefined", "b", "needs retraining", "ttl")
    grave = Change("removed", "c", "breaks serving")

    assert drift.worst([safe, stale, grave]) == "breaks serving"
    assert drift.worst([safe, stale]) == "needs retraining"
    assert drift.worst([]) == "safe"


def test_a_change_is_kept_as_it_is() -> None:
    """A change in a record comes back the same."""
    (found,) = since(Registry().add("hourly", HOURLY, ttl=3600))

    assert Change.from_dict(found.to_dict()) == found


@pytest.mark.parametrize("number", [0, 9, 10, 18, 99, None, "x"])
def test_a_type_of_a_later_feast_has_a_name_too(number: Any) -> None:
    (found,) = since(Registry().add("hourly", HOURLY | {"trips": number}))

    assert found.new
    assert found.new != found.old


# ---------------------------------------------------------------------- versions and labels


def pinned(version: str | None, **parts: Any) -> Registry:
    """A registry that knows `hourly@v0`; its record says of which version it is."""
    found = Registry().add("hourly@v0", HOURLY, "hourly", **parts)
    found.views["hourly@v0"] = replace(found.views["hourly@v0"], version=version)
    return found


def test_a_pinned_version_is_compared_with_itself() -> None:
    was = contract(pinned("0"), "hourly@v0:trips")
    now = pinned("0").add("hourly", {"rate": FLOAT}, ttl=DAY)

    assert drift.versions_named(was) == ("hourly@v0",)
    assert drift.compare(was, now.views, now.parts) == ()
    del now.views["hourly@v0"]
    (gone,) = drift.compare(was, now.views, now.parts)
    assert (gone.said, gone.grade) == ("hourly@v0 is removed", "breaks serving")


@pytest.mark.parametrize("version", [None, "1"])
def test_what_0_1_recorded_of_a_pinned_version_is_another_ones_definition(version) -> None:
    """It kept the newest version's; only whether the features are there can be said."""
    was = contract(pinned(version, ttl=DAY, code=CODE), "hourly@v0:trips")
    now = pinned("0")

    assert [c for c in drift.compare(was, now.views, now.parts) if c.grade != "safe"] == []
    fewer = Registry().add("hourly@v0", {"rate": FLOAT}, "hourly")
    assert [c.said for c in drift.compare(was, fewer.views, fewer.parts)] == [
        "hourly@v0:trips is removed"
    ]


def labelled(kind: Any = "label", **parts: Any) -> Registry:
    found = then().add("labels", {"quality": FLOAT}, policy={"conflict": "LAST"}, **parts)
    found.views["labels"] = replace(found.views["labels"], kind=kind)
    return found


REFS = ("hourly:trips", "labels:quality")
ONE_INPUT = {"inputs": (Input("trips", "hourly:trips", basis="feature"),), "refs": REFS}


def test_labels_that_a_model_was_trained_on_are_watched_and_never_break_serving() -> None:
    was = contract(labelled(), *REFS, **ONE_INPUT)
    other = then().add("labels", {"quality": FLOAT}, policy={"conflict": "VOTE"})
    other.views["labels"] = replace(other.views["labels"], kind="label")

    (change,) = drift.compare(was, other.views, other.parts)
    assert change.grade == "needs retraining"
    assert change.said == 'the label policy of labels was conflict "LAST", is conflict "VOTE"'
    (gone,) = drift.compare(was, then().views, then().parts)
    assert (gone.said, gone.grade) == ("labels is removed", "needs retraining")


def test_0_1_knew_no_source_of_a_label_view() -> None:
    was = contract(labelled("batch", query=[], location=[]), *REFS)
    now = labelled()

    assert drift.compare(was, now.views, now.parts) == ()


def test_a_view_that_is_disabled_is_no_reason_to_train_again() -> None:
    now = then()
    now.views["hourly"] = replace(now.views["hourly"], unavailable="disabled")

    (change,) = since(now)
    assert (change.kind, change.grade, change.said) == (
        "unavailable", "breaks serving", "hourly is disabled",
    )  # fmt: skip


@pytest.mark.parametrize(
    "entities",
    [[["__dummy"], [["__dummy_id", STRING]]], [[], [["__dummy_id", STRING]]], [["__dummy"], []]],
)
def test_0_1_recorded_feasts_own_entity_of_a_view_that_has_none(entities: list[Any]) -> None:
    was = contract(Registry().add("fx", {"rate": FLOAT}, entities=entities), "fx:rate")
    now = Registry().add("fx", {"rate": FLOAT}, entities=[[], []])

    assert drift.compare(was, now.views, now.parts) == ()
    given = Registry().add("fx", {"rate": FLOAT}, entities=DRIVER)
    (change,) = drift.compare(was, given.views, given.parts)
    assert (change.part, change.grade) == ("entities", "breaks serving")
