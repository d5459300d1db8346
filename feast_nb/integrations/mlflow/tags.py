"""A run's tags, as Feast writes them, from its retrievals. An index, never read back as truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...records.retrieval import Retrieval

LIMIT = 4990  # Feast's own; MLflow cuts at 8,000 in silence


def build(retrievals: Sequence[Retrieval]) -> tuple[dict[str, str], dict[str, float]]:
    """The tags and metrics that are true of these retrievals together.

    Historical ones that ran count; online ones only where there are none, and those linked from
    elsewhere only where the run made none itself. References and views
    are the union in first-seen order, the service is set only where it is that whole union. Where
    a run retrieved from several projects, the tags are those of the first, and name the others:
    a reference means nothing without its project.
    """
    counted, projects = counting(retrievals)
    if not counted:
        return {}, {}
    refs = union(r.refs for r in counted)
    views = sorted({ref.split(":")[0] for ref in refs if ":" in ref})
    shown, missing = whole(refs)
    tags = {
        "feast.project": counted[0].project,
        "feast.retrieval_type": counted[0].kind,
        "feast.feature_views": whole(views)[0],
        "feast.feature_refs": shown,
        "feast.entity_count": str(_entities(counted)),
        "feast.feature_count": str(len(refs)),
        **_entity_tags(counted[0]),
    }
    if service := _service(counted, refs):
        tags["feast.feature_service"] = service
    if len(projects) > 1:
        tags["feast_nb.projects"] = whole(projects)[0]
    if missing:
        tags["feast_nb.refs_missing"] = str(missing)
    if renamed := {v.name: v.view for r in counted for v in r.views if v.name != v.view}:
        tags["feast_nb.renamed"] = whole([f"{k}={v}" for k, v in sorted(renamed.items())])[0]
    seconds = {"feast.job_submission_sec": round(sum(r.seconds.submit for r in counted), 4)}
    return tags, seconds


def counting(retrievals: Sequence[Retrieval]) -> tuple[list[Retrieval], tuple[str, ...]]:
    """The retrievals that a run's tags are about, and all projects that it retrieved from."""
    ran = [r for r in retrievals if r.state == "ran"]
    ran = [r for r in ran if r.linked_by is None] or ran
    counted = [r for r in ran if r.kind == "historical"] or ran
    projects = union([r.project] for r in counted)
    return [r for r in counted if r.project == projects[0]], projects


def union(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All items in first-seen order, each once."""
    return tuple(dict.fromkeys(item for part in lists for item in part))


def whole(items: Sequence[str]) -> tuple[str, int]:
    """Items joined by commas, as many as fit without cutting one, and how many were left out."""
    length, fitting = 0, 0
    for item in items:
        length += len(item) + (1 if fitting else 0)
        if length > LIMIT:
            break
        fitting += 1
    return ",".join(items[:fitting]), len(items) - fitting


def _service(counted: Sequence[Retrieval], refs: Sequence[str]) -> str | None:
    named = [r for r in counted if r.service]
    covering = [r.service for r in named if set(r.refs) == set(refs)]
    return covering[0] if covering and len(set(covering)) == 1 else None


def _entities(counted: Sequence[Retrieval]) -> int:
    """As Feast counts: rows of frames and key lists; -1 for SQL, whose rows it cannot know."""
    rows = [-1 if r.entity.kind == "sql" else r.entity.rows or 0 for r in counted]
    return -1 if -1 in rows else sum(rows)


def _entity_tags(training: Retrieval) -> dict[str, str]:
    entity = training.entity
    if training.kind != "historical":
        return {}
    tags: dict[str, str] = {}
    if entity.kind == "dataframe":
        tags["feast.entity_df_type"] = "dataframe"
        tags["feast.entity_df_rows"] = str(entity.rows)
        tags["feast.entity_df_columns"] = whole(entity.columns)[0]
    elif entity.kind == "sql":
        query = entity.query or ""
        short = query if len(query) <= LIMIT else query[: LIMIT - 3] + "..."
        tags |= {"feast.entity_df_type": "sql", "feast.entity_df_query": short}
    elif entity.kind == "range":
        tags["feast.entity_df_type"] = "range"
        tags |= {"feast.start_date": entity.start} if entity.start else {}
        tags |= {"feast.end_date": entity.end} if entity.end else {}
    if entity.timestamp and entity.timestamp.column != "event_timestamp":
        tags["feast_nb.timestamp_column"] = entity.timestamp.column
    if entity.artifact:
        tags["feast_nb.entity_archived"] = "true"
    elif entity.reason:
        tags["feast_nb.entity_archived"] = f"false: {entity.reason}"
    return tags
