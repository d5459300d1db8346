"""How records look: the same on every machine, escaped, without script or style sheet.

The golden files are what a notebook keeps. After a change that is meant, write them anew with
`FEAST_NB_GOLDEN=write pytest tests/unit/test_display.py` and read the difference.
"""

from __future__ import annotations

import base64
import inspect
import json
import os
import re
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from feast_nb import lineage, records
from feast_nb.display import MIME, bundle, html, words
from feast_nb.display.text import records as text
from feast_nb.lineage import usage
from feast_nb.records import answers, overview
from feast_nb.records.answers import (
    Change,
    ColumnDifference,
    Difference,
    Erasure,
    Feature,
    ModelDiff,
    ModelFeatures,
    Reproduction,
    Resolution,
    Score,
)
from feast_nb.records.contract import Contract, Input, ModelVersion
from feast_nb.records.document import Document
from feast_nb.records.lineage import Dependent, Impact, Lineage, Usage
from feast_nb.records.operation import (
    Health,
    HealthLine,
    Materialization,
    Plan,
    PlannedChange,
    ViewLoad,
)
from feast_nb.records.retrieval import (
    Cell,
    Column,
    EntityFrame,
    Result,
    Retrieval,
    Retrievals,
    Seconds,
    Span,
)
from feast_nb.records.run import (
    Comparison,
    FeatureUse,
    LibraryWarnings,
    MetricChange,
    Origin,
    Repository,
    RunState,
    TrackedRun,
    TrainingSummary,
)

from .. import lineage_data as past

GOLDEN = Path(__file__).parent / "golden"
EVIL = "<img src=x onerror=alert(1)>"
LONG = "a_feature_view_with_a_rather_long_name:and_a_feature_whose_name_is_no_shorter_at_all"


def retrieval(**changes: Any) -> Retrieval:
    made = Retrieval(
        id="r-1",
        kind="historical",
        project="flights",
        refs=("weather:wind", "weather:rain", LONG),
        state="ran",
        service="delays",
        service_basis="given",
        entity=EntityFrame(
            "dataframe",
            rows=37423,
            timestamp=Span("event_timestamp", "2013-01-01T00:00:00+00:00", "2013-09-30T23:59:00"),
        ),
        result=Result(
            37420,
            dropped=3,
            columns=(Column("wind", "float", 12),),
            fingerprint="0123456789abcdef0123456789-01234567",
        ),
        seconds=Seconds(0.01, 2.345),
        cell=Cell(7, "/home/me/flights.ipynb"),
        run_id="0" * 32,
    )
    return replace(made, **changes)


def run(**changes: Any) -> TrackedRun:
    made = TrackedRun(
        id="0" * 32,
        name="v1",
        experiment="flights",
        status="FINISHED",
        tracking_uri="http://mlflow:5000",
        url="http://mlflow:5000/#/experiments/1/runs/0",
        retrievals=(retrieval(), retrieval(id="r-2", kind="online", count=12, service=None)),
    )
    return replace(made, **changes)


def model(**changes: Any) -> ModelVersion:
    contract = Contract(
        "m-1",
        "0" * 32,
        "flights",
        inputs=(Input("wind", "weather:wind", "float"), Input("hour", None, "int64")),
        order="named",
    )
    made = ModelVersion(
        "m-1", flavor="sklearn", name="arrival_delay", version="2", aliases=("champion", "old"),
        contract=contract,
    )  # fmt: skip
    return replace(made, **changes)


FAILED = retrieval(
    id="r-3", state="failed", result=None, service=None, error="ValueError: no such column"
)
FEATURES = (
    FeatureUse("weather:wind", "wind", "float", 12, 37420, 1),
    FeatureUse("weather:rain", "rain", "double", 30000, 37420, None),
    FeatureUse(LONG, "x", None, None, None, 2),
    FeatureUse("weather:sun", "sun", "int64", 0, 37420, 3),
    FeatureUse("weather:fog", "fog", "int64", 5000, 37420, 4),
)
SUMMARY = TrainingSummary(
    run=run(),
    features=FEATURES,
    retrievals=(retrieval(), retrieval(service_basis="exact", linked_by="attrs")),
    rebuilt="cannot be rebuilt: its entity frame is not kept",
    models=(model(), ModelVersion("m-2", flavor=None)),
    metrics={"rmse": 12.34567, "n": 37420, "tiny": 0.0000123},
    warnings=("3 of 37,423 rows asked did not come back.", "1 feature is missing everywhere."),
    seconds=0.0421,
)
REPOSITORY = Repository(
    project="flights",
    path="/home/me/repo",
    registry="data/registry.db",
    offline_store="duckdb",
    online_store="sqlite",
    tracking_uri="http://mlflow:5000",
    mlflow={"enabled": True, "auto_log": False},
    entities=("airport",),
    views={"weather": ("wind", "rain"), "empty": ()},
    services={"delays": ("weather:wind",)},
    warnings=("the offline store drops rows.",),
)
CHANGES = (
    Change("removed", "weather:fog", "breaks serving"),
    Change("renamed", "weather:sun", "breaks serving", old="weather:sun", new="weather:light"),
    Change("retyped", "weather:rain", "breaks serving", "schema", "int64", "string"),
    Change("redefined", "weather", "needs retraining", "ttl", "3 days", "1 hour"),
    Change("redefined", "crosswind", "needs retraining", "code",
           "def wind(x):\n    return x + 10", "def wind(x):\n    return x * 1000"),
    Change("added", "weather:hail", "safe"),
)  # fmt: skip
ANSWERS: dict[str, Document] = {
    "plan": Plan(
        "flights",
        changes=(
            PlannedChange(
                "view=weather", "update", "breaks serving", "weather:wind was double, is int64",
                ("- wind: Float64", "+ wind: Int64"), ("description", "wind: tags"),
                (
                    Dependent("delay/2", "model", ("champion",),
                              through="weather:wind was double, is int64"),
                    Dependent("delay/1", "model", through="weather:rain is removed"),
                ),
                notebooks=("train.ipynb",), predictions=12, file="features.py", line=14,
            ),
            PlannedChange("service=new", "create", "safe", "nothing depends on it yet",
                          ("+ weather:wind",)),
        ),
        only_registered=("service=mine",),
        unchecked=("the columns of stations, the source of weather: OSError: no access",),
        notes=("weather: a TTL of 1 day is shorter than the time between two.",),
    ),
    "plan_empty": Plan("flights", "main"),
    "resolution": Resolution(
        "delay/2", ("weather:wind", "weather:rain"), "delays", drift=CHANGES,
        notes=("order assumed: it was fitted on an array.",),
    ),
    "resolution_bare": Resolution("m-1", ("a:b",), basis="feast_features.json"),
    "features": ModelFeatures(
        "delay/2",
        (
            Feature(1, "weather:wind", "wind", "double", "double", "stations", "me@example.com",
                    "Wind, mph", "3 days", 0.342, -1.5, 42.5),
            Feature(3, LONG, "x"),
        ),
        ("hour (given with the entities)",),
        "named",
        "delays",
        ("needs retraining: the TTL of weather was 3 days, is 1 hour",),
    ),
    "model_diff": ModelDiff(
        "delay/1", "delay/2",
        (Difference("weather:wind, place", "1", None),),
        CHANGES[3:4],
        (Difference("training rows", "37420", "12"),),
        (Difference("auc", None, "0.71"),),
        ("delay/1: the order of its inputs is unknown.",),
    ),
    "model_diff_same": ModelDiff("delay/1", "delay@champion"),
    "reproduction": Reproduction(
        "0" * 32, ("weather:wind",), "r-1", 37420, "different", 3, 1,
        (ColumnDifference("wind", 14085, ("station=3, at=2013-06-04: 73.04 → null",)),
         ColumnDifference("rain", 0, ("int64 is object",))),
        ("the TTL of weather was 3 days, is 1 hour",), ("4 rows were not given: twice.",),
    ),
    "reproduction_same": Reproduction("0" * 32, ("weather:wind",), rows=1, verdict="reordered"),
    "score": Score("delay/2", "0" * 32, 1200, absent=3, stale=1, nulls={"wind": 7},
                   notes=("wind: 33% are null, in training 0%.",)),
    "materialization": Materialization(
        "flights",
        (
            ViewLoad("weather", "loaded", "2026-01-01T00:00:00+00:00", "2026-01-31T06:00:00+00:00",
                     51970, 2000, "2026-01-31T05:00:00+00:00", seconds=4.2),
            ViewLoad("traffic", "failed", "2026-01-01T00:00:00+00:00", "2026-01-31T06:00:00+00:00",
                     seconds=0.2, why="Redis at cache:6379 cannot be reached; start it."),
            ViewLoad("planes", "left out", "2026-01-01T00:00:00+00:00"),
        ),
        online_store="redis",
        seconds=4.4,
        notes=("the online store has no row of traffic: it was emptied.",),
    ),
    "materialization_done": Materialization(
        "flights", (ViewLoad("weather", "loaded", None, "2026-01-31T06:00:00+00:00", 12, 3),),
        incremental=True, online_store="sqlite", seconds=0.31,
    ),
    "materialization_nothing": Materialization("flights", dry_run=True),
    "health": Health(
        "flights",
        "2026-01-31T06:00:00+00:00",
        (
            HealthLine("registry", "registry.db", "green", "file, 3 views", seconds=0.0042),
            HealthLine("online store", "cache:6379", "red", "redis; it evicted 12 keys (allkeys-lru)",
                       "give it more memory (maxmemory), then load the views whole",
                       {"evicted": 12}),
            HealthLine("view", "weather", "amber", "late: the newest is 6 days old", "%feast_mat x"),
            HealthLine("source", "stats", "unknown", "it cannot be looked at from here (no access)"),
            HealthLine("model", "delay/3", "red", "hourly:trips has moved far (PSI 1.31)", facts={
                "hourly:trips.psi": 1.31, "hourly:trips.p": 2.3e-9,
                "hourly:trips.training": [0.25, 0.25, 0.25, 0.25],
                "hourly:trips.served": [0.0, 0.1, 0.2, 0.7], "hourly:kind.psi": 0.02,
                "hourly:kind.training": [0.5, 0.5], "hourly:kind.served": [0.4, 0.6]}),
        ),
        model="eta@champion",
        seconds=3.25,
        notes=("the views are not known: no",),
    ),
    "health_well": Health("flights", "2026-01-31T06:00:00+00:00",
                          (HealthLine("registry", "registry.db", "green", "file"),)),
    "usage": past.used(),
    "usage_unused": usage.unused(past.used()),
    "usage_part": usage.part(past.used(), "activity", past.ACTIVITY),
    "usage_nothing": Usage("p"),
    "lineage": past.drawn(),
    "lineage_model": past.drawn(("model", "eta/2")),
    "lineage_nothing": Lineage("p", "m/1"),
    "impact": past.of_view(),
    "impact_nothing": Impact("p", "idle"),
    "runs": past.RUNS,
    "runs_nothing": answers.RecentRuns("p"),
    "operations": past.OPERATIONS,
    "operations_nothing": answers.Operations("p", notes=("no operation was logged.",)),
}  # fmt: skip
DOCUMENTS: dict[str, Document] = {
    **ANSWERS,
    "training": SUMMARY,
    "training_against": replace(
        SUMMARY,
        retrievals=(
            retrieval(
                entity=EntityFrame("dataframe", rows=37423, artifact="entity_df.parquet"),
                result=Result(37423, columns=(Column("wind", "float", 12),)),
            ),
        ),
        models=(model(aliases=("challenger",)),),
        metrics={"auc": 0.716, "brier": 0.151, "n": 37420, "log_loss": 0.5},
        compared=Comparison(
            "arrival_delay/1",
            ("champion",),
            (
                MetricChange("auc", 0.716, 0.664, True),
                MetricChange("brier", 0.151, 0.141, False),
                MetricChange("n", 37420, 37000),
            ),
            ("weather:fog",),
            (),
        ),
        entity_name="flights",
        rebuilt="can be rebuilt",
        warnings=("fog is missing in 13.4 % of the rows.",),
    ),
    "training_not_compared": replace(
        SUMMARY, compared=Comparison("arrival_delay", unknown="MLflow refuses: no")
    ),
    "training_long": replace(SUMMARY, verbose=True),
    "training_failed": TrainingSummary(
        run=run(status="FAILED", url=None), retrievals=(FAILED,), seconds=75.0
    ),
    "training_bare": TrainingSummary(run=TrackedRun("1" * 32, "bare", "e")),
    "run": run(warnings=("MLflow is slow.",), pending=2),
    "run_killed": run(status="KILLED", retrievals=(), pending=1, url=None),
    "run_state_empty": RunState(),
    "run_state_open": RunState(open=(run(status="RUNNING"), run(name="child", retrievals=()))),
    "run_state_paused": RunState(recording=False),
    "repository": REPOSITORY,
    "repository_off": Repository("p", "/r", mlflow={"enabled": False}),
    "library_warnings": LibraryWarnings(("SADeprecationWarning: it is old.", "UserWarning: no")),
    "model_version": model(),
    "model_version_bare": ModelVersion("m-2"),
}
ALL = pytest.mark.parametrize("name", DOCUMENTS)


class Page(HTMLParser):
    """The tags of a page, and whether each was closed."""

    EMPTY = frozenset({"img", "br", "hr"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("kind", ["html", "txt"])
@ALL
def test_a_record_looks_as_it_did(name: str, kind: str) -> None:
    shown = (html if kind == "html" else text).render(DOCUMENTS[name]) + "\n"
    path = GOLDEN / f"{name}.{kind}"
    if os.environ.get("FEAST_NB_GOLDEN") == "write":
        path.write_text(shown, encoding="utf-8")

    assert shown == path.read_text(encoding="utf-8")


@ALL
def test_a_bundle_has_three_kinds_of_output(name: str) -> None:
    record = DOCUMENTS[name]
    found = bundle(record)

    assert set(found) == {MIME, "text/html", "text/plain"}
    assert type(record).from_dict(json.loads(json.dumps(found[MIME]))) == record
    assert found[MIME]["kind"] == record.kind


DOCUMENT_KINDS = [
    k for room in (answers, overview, lineage, records, usage) for _, k in inspect.getmembers(room, inspect.isclass)
    if issubclass(k, Document) and k is not Document and k.__module__ == room.__name__
    and k is not overview.ProjectOverview  # the panel alone is told it
]  # fmt: skip
MINIMAL: dict[type[Document], Document] = {
    **{type(a): a for a in ANSWERS.values()},
    Contract: Contract("m-1", None, "p"),
    overview.Guide: overview.Guide(
        (overview.MagicEntry("feast_usage", "Inspect", "Who uses what."),)
    ),
    Erasure: Erasure("r", ("entity_df.parquet",), ("what others have downloaded",)),
    ModelVersion: ModelVersion("m-1"),
    Origin: Origin("nb.ipynb", "1a2b", "main", True, cautions=("cell 3 was edited.",)),
    LibraryWarnings: LibraryWarnings(("UserWarning: no",)),
    Repository: Repository("p", "/r"),
    Retrievals: Retrievals("r", (retrieval(),)),
    RunState: RunState(),
    TrackedRun: TrackedRun("r", "v1", "e"),
    TrainingSummary: TrainingSummary(TrackedRun("r", "v1", "e")),
}


@pytest.mark.parametrize("kind", DOCUMENT_KINDS, ids=lambda k: k.__name__)
def test_every_document_can_be_a_cells_last_value(kind: type[Document]) -> None:
    """`summary.models[0].contract` in a cell."""
    found = bundle(MINIMAL[kind])

    assert found["text/html"]
    assert found["text/plain"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_no_number_is_still_json(value: float) -> None:
    """A loss that diverged. Jupyter's protocol and every browser refuse a bare NaN."""
    found = bundle(replace(SUMMARY, metrics={"loss": value}))

    assert json.dumps(found[MIME], allow_nan=False)


# ---------------------------------------------------------------------- safe


def poisoned(value: Any) -> Any:
    """A record with markup in every text that a user, Feast or MLflow may have chosen."""
    if isinstance(value, str):
        return value + EVIL
    if isinstance(value, tuple):
        return tuple(poisoned(v) for v in value)
    if isinstance(value, dict):
        return {poisoned(k): poisoned(v) for k, v in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        ours = {"kind", "state", "service_basis", "linked_by", "order", "hashes", "mlflow", "part",
                "grade", "basis", "verdict", "mode"}  # fmt: skip
        names = [f.name for f in fields(value) if f.name not in ours]
        return replace(value, **{n: poisoned(getattr(value, n)) for n in names})
    return value


@ALL
def test_markup_in_a_name_is_only_ever_text(name: str) -> None:
    record = poisoned(DOCUMENTS[name])
    page = Page(html.render(record))

    assert "<img src=x" not in html.render(record)
    assert all("onerror" not in attributes for _, attributes in page.tags)
    if name not in ("run_state_empty", "run_state_paused"):
        titles = [attributes.get("title") or "" for _, attributes in page.tags]
        assert EVIL in "".join((*page.words, *titles))


@ALL
def test_quotes_in_a_name_never_leave_an_attribute(name: str) -> None:
    written = json.dumps(poisoned(DOCUMENTS[name]).to_dict()).replace(EVIL, '\\" onload=\\"x')
    record = type(DOCUMENTS[name]).from_dict(json.loads(written))

    assert all("onload" not in attributes for _, attributes in Page(html.render(record)).tags)


@ALL
def test_a_page_needs_neither_script_nor_style_sheet_nor_svg(name: str) -> None:
    page = Page(html.render(DOCUMENTS[name]))

    assert not {tag for tag, _ in page.tags} & {"script", "style", "svg", "iframe", "link"}
    assert page.open == []
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]


@ALL
def test_pictures_are_data_and_say_what_they_show(name: str) -> None:
    for tag, attributes in Page(html.render(DOCUMENTS[name])).tags:
        if tag == "img":
            drawn = picture(attributes["src"] or "")
            assert "<script" not in drawn
            ElementTree.fromstring(drawn)
            assert attributes["alt"]


def picture(address: str) -> str:
    """The SVG in a data address."""
    kind, _, data = address.partition(",")
    assert kind in ("data:image/svg+xml", "data:image/svg+xml;base64")
    return base64.b64decode(data).decode() if kind.endswith("base64") else unquote(data)


@ALL
def test_markup_in_a_name_is_only_text_in_a_picture_too(name: str) -> None:
    for tag, attributes in Page(html.render(poisoned(DOCUMENTS[name]))).tags:
        if tag == "img":
            drawn = ElementTree.fromstring(picture(attributes["src"] or ""))
            assert not [e for e in drawn.iter() if e.tag.endswith("img")]


@ALL
def test_nothing_is_shown_that_only_python_knows(name: str) -> None:
    for shown in (html.render(DOCUMENTS[name]), text.render(DOCUMENTS[name])):
        assert not re.search(r"\bNone\b|\bnan\b|Undefined|\{\{|\}\}|object at 0x", shown)


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "data:text/html,x"],
)
def test_only_web_addresses_are_links(url: str) -> None:
    page = Page(html.render(run(url=url)))

    assert not [a for tag, a in page.tags if tag == "a"]


@pytest.mark.parametrize(
    ("start", "end"), [("2024-01-01", None), (None, "2024-02-01"), (None, None)]
)
def test_a_range_with_an_open_end_reads_well(start: str | None, end: str | None) -> None:
    ranged = retrieval(entity=EntityFrame("range", start=start, end=end))

    assert "None" not in words.reach(ranged)
    assert "None" not in html.render(run(retrievals=(ranged,)))


def test_a_dictionary_of_settings_may_be_empty() -> None:
    """What an older or newer version wrote need not hold every setting."""
    assert html.render(Repository("p", "/r"))
    assert html.render(Repository("p", "/r", mlflow={"enabled": True}))


# ---------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "–"), (0, "0 %"), (0.00001, "< 0.1 %"), (0.001, "0.1 %"), (0.5, "50.0 %"), (1, "100.0 %")],
)  # fmt: skip
def test_a_share(value: float | None, said: str) -> None:
    assert words.share(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.0421, "42 ms"),
        (1, "1.0 s"),
        (59.96, "1 min"),
        (75, "1 min 15 s"),
        (414, "6 min 54 s"),
        (7500, "2 h 5 min"),
        (3600, "1 h"),
    ],
)
def test_seconds(value: float | None, said: str) -> None:
    assert words.seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(1, "1 row"), (0, "0 rows"), (2, "2 rows"), (12500, "12,500 rows")]
)
def test_a_count(value: int, said: str) -> None:
    assert words.count(value, "row") == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (12.34567, "12.35"), (0.0000123, "1.23e-05"), (37420, "37,420"), (-1e6, "-1,000,000")],
)  # fmt: skip
def test_a_number(value: float, said: str) -> None:
    assert words.number(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        ("2013-09-30T23:59:59+00:00", "2013-09-30 23:59"),
        ("2013-09-30", "2013-09-30 00:00"),
        ("2013-09-30T23:59:00+02:00", "2013-09-30 21:59"),
        ("some day", "some day"),
    ],
)
def test_a_moment_is_in_utc(value: str | None, said: str) -> None:
    assert words.moment(value) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "37,423 asked, 37,420 given"),
        ({"state": "submitted", "result": None}, "37,423 asked, never run"),
        ({"result": None}, "37,423 asked"),
        ({"entity": EntityFrame("sql")}, "sql, 37,420 given"),
        (
            {"state": "failed", "result": None, "error": "ValueError: x"},
            "37,423 asked, failed: ValueError: x",
        ),
    ],
)
def test_rows_asked_and_given(changes: dict[str, Any], said: str) -> None:
    assert words.asked_and_given(retrieval(**changes)) == said


def test_a_service_says_how_it_is_known() -> None:
    assert words.service(retrieval()) == "delays"
    assert words.service(retrieval(service_basis="exact")) == "delays (same features)"
    assert words.service(retrieval(service=None)) == "list of features"


@pytest.mark.parametrize("status", ["RUNNING", "FINISHED", "FAILED", "KILLED", "SCHEDULED"])
def test_a_status_is_told_by_more_than_colour(status: str) -> None:
    assert status.lower() in words.status(status)


def test_a_text_table_may_be_empty() -> None:
    assert text.table([], ("a", "rows")).split() == ["a", "rows", "---", "------"]


@pytest.mark.parametrize(("share", "colour"), [(0.05, "5d8aa8"), (0.2, "d68910"), (0.6, "c0392b")])
def test_a_bar_is_coloured_by_how_much_is_missing(share: float, colour: str) -> None:
    assert colour in html.bar(share)


@pytest.mark.parametrize("share", [None, 0])
def test_nothing_missing_has_no_bar(share: float | None) -> None:
    assert html.bar(share) == ""


def test_a_record_shows_itself_where_the_extension_is_not_loaded() -> None:
    """With `feast_nb.open` alone: any IPython, marimo, a script that prints it."""
    from IPython.core.formatters import DisplayFormatter

    found, _ = DisplayFormatter().format(SUMMARY)

    assert found[MIME]["kind"] == "training"
    assert found["text/html"].startswith("<")
    assert found["text/plain"] == str(SUMMARY)
    assert "TrackedRun(" not in str(SUMMARY)
