"""A run's tags say only what is true of all its retrievals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feast_nb.integrations.mlflow import tags
from feast_nb.records.retrieval import EntityFrame, Retrieval, Seconds


def retrieval(*refs: str, rows: int | None = 2, **fields: Any) -> Retrieval:
    entity = EntityFrame("dataframe", rows=rows, columns=("id", "event_timestamp"))
    start = Retrieval("r", "historical", "p", refs, state="ran", entity=entity)
    return replace(start, **fields)


def test_references_are_the_union_in_first_seen_order() -> None:
    found, _ = tags.build([retrieval("b:x", "a:y"), retrieval("a:z", "b:x")])

    assert found["feast.feature_refs"] == "b:x,a:y,a:z"
    assert found["feast.feature_count"] == "3"


def test_views_are_sorted_as_feast_sorts_them() -> None:
    found, _ = tags.build([retrieval("b:x", "a:y", "b:z")])

    assert found["feast.feature_views"] == "a,b"


def test_no_retrieval_has_no_tags() -> None:
    assert tags.build([]) == ({}, {})


@pytest.mark.parametrize("state", ["submitted", "failed"])
def test_what_did_not_run_does_not_count(state: Any) -> None:
    found, _ = tags.build([retrieval("a:x", state=state), retrieval("a:y")])

    assert found["feast.feature_refs"] == "a:y"
    assert tags.build([retrieval("a:x", state=state)]) == ({}, {})


def test_historical_retrievals_go_before_online_ones() -> None:
    found, _ = tags.build([retrieval("a:x", kind="online"), retrieval("a:y")])

    assert found["feast.retrieval_type"] == "historical"
    assert found["feast.feature_refs"] == "a:y"


def test_online_ones_count_where_there_are_no_others() -> None:
    online = retrieval("a:x", kind="online", entity=EntityFrame("rows", rows=3))
    found, _ = tags.build([online, replace(online, refs=("a:y",))])

    assert found["feast.retrieval_type"] == "online"
    assert found["feast.feature_refs"] == "a:x,a:y"
    assert found["feast.entity_count"] == "6"
    assert not any(key.startswith("feast.entity_df") for key in found)


def test_linked_ones_count_only_where_the_run_made_none() -> None:
    linked, own = retrieval("a:x", linked_by="attrs"), retrieval("a:y")

    assert tags.build([linked, own])[0]["feast.feature_refs"] == "a:y"
    assert tags.build([linked])[0]["feast.feature_refs"] == "a:x"


def test_a_linked_one_counts_where_the_runs_own_failed() -> None:
    linked, own = retrieval("a:x", linked_by="attrs"), retrieval("a:y", state="failed")

    assert tags.build([linked, own])[0]["feast.feature_refs"] == "a:x"


# ---------------------------------------------------------------------- the service


def service_of(*retrievals: Retrieval) -> str | None:
    return tags.build(retrievals)[0].get("feast.feature_service")


def test_a_service_that_is_the_whole_union_is_named() -> None:
    assert service_of(retrieval("a:x", "a:y", service="s")) == "s"
    assert service_of(retrieval("a:x", "a:y", service="s"), retrieval("a:y")) == "s"


def test_a_service_that_is_part_of_the_union_is_not_named() -> None:
    assert service_of(retrieval("a:x", service="s"), retrieval("a:y")) is None


def test_two_services_of_the_same_features_are_neither() -> None:
    one, other = (retrieval("a:x", service=s) for s in "st")

    assert service_of(one, other) is None


def test_two_services_that_make_up_the_union_are_neither() -> None:
    assert service_of(retrieval("a:x", service="s"), retrieval("a:y", service="t")) is None


# ---------------------------------------------------------------------- entities


@pytest.mark.parametrize(
    ("entities", "count"),
    [
        ([EntityFrame("dataframe", rows=2), EntityFrame("dataframe", rows=3)], "5"),
        ([EntityFrame("sql", query="SELECT")], "-1"),
        ([EntityFrame("dataframe", rows=2), EntityFrame("sql", query="SELECT")], "-1"),
        ([EntityFrame("dataframe", rows=0)], "0"),
        ([EntityFrame("range")], "0"),
    ],
)
def test_entities_are_counted_as_feast_counts_them(entities: list[EntityFrame], count: str) -> None:
    found, _ = tags.build([retrieval("a:x", entity=e) for e in entities])

    assert found["feast.entity_count"] == count


def test_a_frame_is_described_by_the_first_retrieval() -> None:
    found, _ = tags.build([retrieval("a:x", rows=2), retrieval("a:y", rows=9)])

    assert found["feast.entity_df_type"] == "dataframe"
    assert found["feast.entity_df_rows"] == "2"
    assert found["feast.entity_df_columns"] == "id,event_timestamp"


def test_a_long_query_is_cut_and_says_so() -> None:
    entity = EntityFrame("sql", query="SELECT " + "x" * 9000)
    query = tags.build([retrieval("a:x", entity=entity)])[0]["feast.entity_df_query"]

    assert len(query) == tags.LIMIT
    assert query.endswith("...")


def test_a_range_says_its_dates() -> None:
    found, _ = tags.build([retrieval("a:x", entity=EntityFrame("range", start="2024-01-01"))])

    assert found["feast.entity_df_type"] == "range"
    assert found["feast.start_date"] == "2024-01-01"
    assert "feast.end_date" not in found


@pytest.mark.parametrize(
    ("kept", "tag"),
    [
        ({"artifact": "entity_df.parquet"}, "true"),
        ({"reason": "archiving is off"}, "false: archiving is off"),
        ({}, None),
    ],
)
def test_whether_the_frame_was_kept_is_said(kept: dict[str, str], tag: str | None) -> None:
    found, _ = tags.build([retrieval("a:x", entity=EntityFrame("dataframe", rows=1, **kept))])

    assert found.get("feast_nb.entity_archived") == tag


# ---------------------------------------------------------------------- the limit


@given(st.lists(st.text("abc:,é", min_size=1, max_size=2000), max_size=12))
def test_a_list_is_cut_between_items_and_as_late_as_possible(items: list[str]) -> None:
    shown, missing = tags.whole(items)
    kept = len(items) - missing

    assert shown == ",".join(items[:kept])
    assert len(shown) <= tags.LIMIT
    assert not missing or len(",".join(items[: kept + 1])) > tags.LIMIT


def test_commas_count_too() -> None:
    half = "x" * (tags.LIMIT // 2)

    assert tags.whole([half[:-1], half]) == (f"{half[:-1]},{half}", 0)
    assert tags.whole([half, half]) == (half, 1)


def test_as_many_references_are_missing_as_do_not_fit() -> None:
    refs = [f"view:feature_{i:03}_{'x' * 40}" for i in range(300)]
    found, _ = tags.build([retrieval(*refs)])
    shown = found["feast.feature_refs"].split(",")

    assert shown == refs[: len(shown)]
    assert len(shown) + int(found["feast_nb.refs_missing"]) == 300
    assert found["feast.feature_count"] == "300"


def test_nothing_is_missing_where_all_fits() -> None:
    assert "feast_nb.refs_missing" not in tags.build([retrieval("a:x")])[0]


def test_submission_times_add_up() -> None:
    one = retrieval("a:x", seconds=Seconds(0.25, 9.0))

    assert tags.build([one, one])[1] == {"feast.job_submission_sec": 0.5}


def test_every_tag_is_text() -> None:
    found, _ = tags.build([retrieval("a:x", service="s")])

    assert all(isinstance(value, str) for value in found.values())
