"""The answers of Feast's three UI endpoints, with their fields, and complete.

Feast's own stop at 200 runs, the first hundred models and the latest versions, and count
predictions and other names of a view as uses (`feast/ui_server.py`, feast 0.67). These are given in
pages: `next_page_token` is there where there is more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

from ..errors import UsageError
from ..history import queries
from ..lineage.usage import registered
from ..masking import public_uri
from ..records.facts import RegisteredModel, RunFact
from ..records.messages import (
    FeatureModelsPage,
    FeatureUsagePage,
    ModelOfRun,
    RunOfPage,
    RunsPage,
    ViewUse,
)
from .source import HistorySource, find

_MOST = 1000
_KINDS = ("training", "prediction", "lookup", "inherited")


def runs(
    past: HistorySource, most: int = 50, token: str | None = None, named: str | None = None
) -> RunsPage:
    """`mlflow-runs`: the newest first; of a `service=…`, a `model=…` or a `notebook=…`."""
    most = max(1, min(most, _MOST))
    known = past.known()
    only: dict[str, Any] = {}
    kind, equals, name = (named or "").partition("=")
    if kind == "notebook" and equals:
        only["notebook"] = name
    elif named:
        kind, name = find(named, known, past.history)[0]
        if kind not in ("service", "model"):
            raise UsageError(f"{named} is a {kind}; name a service=, a model= or a notebook=.")
        only = {"service": name} if kind == "service" else _version(name, named)
    found = queries.runs(
        past.history, kinds=_KINDS, after=_after(token), most=most + 1, **only
    )  # fmt: skip
    models: dict[str, list[ModelOfRun]] = {}
    for m in known.models:
        if m.run:
            models.setdefault(m.run, []).append(_model(past, m))
    shown, more = found[:most], found[most:]
    names = queries.experiments(past.history)
    return {
        "runs": [_run(past, r, models.get(r.id, []), names) for r in shown],
        "mlflow_uri": public_uri(past.ui),
        "next_page_token": f"{shown[-1].started}:{shown[-1].id}" if more else None,
        "as_of": past.as_of,
        "notes": list(past.notes),
    }


def feature_usage(
    past: HistorySource, most: int | None = None, token: str | None = None
) -> FeatureUsagePage:
    """`mlflow-feature-usage`, by view: `run_count` counts trainings, `prediction_count` others."""
    known = past.known()
    catalog = known.catalog
    uses: dict[str, ViewUse] = {}
    for group in known.groups:
        if group.kind == "inherited":
            continue
        service = catalog.services.get(group.service or "")
        names = {**catalog.names, **(service.renamed if service else {})}
        refs = registered(group.refs, names, catalog)
        counted: Literal["run_count", "prediction_count"] = (
            "run_count" if group.kind == "training" else "prediction_count"
        )
        for view in _views((*refs, *catalog.behind(refs))):
            use = uses.setdefault(view, _unused())
            use[counted] += group.runs
            use["last_used"] = max(use["last_used"] or 0, group.last)
    for model in known.models:
        refs = registered(model.refs, catalog.names, catalog)
        for view in _views((*refs, *catalog.behind(refs))):
            named = uses.setdefault(view, _unused())["models"]
            if model.name not in named:
                named.append(model.name)
    page, more = _page(sorted(uses), most, token)
    return {
        "feature_usage": {name: uses[name] for name in page},
        "mlflow_enabled": True,
        "next_page_token": more,
        "as_of": past.as_of,
        "notes": list(past.notes),
    }


def feature_models(
    past: HistorySource, most: int | None = None, token: str | None = None
) -> FeatureModelsPage:
    """`mlflow-feature-models`: for each feature, every version of every model that uses it."""
    known = past.known()
    catalog = known.catalog
    found: dict[str, list[ModelOfRun]] = {}
    for model in known.models:
        shown = _model(past, model)
        refs = registered(model.refs, catalog.names, catalog)
        for ref in dict.fromkeys((*refs, *catalog.behind(refs))):
            found.setdefault(ref, []).append(shown)
    page, more = _page(sorted(found), most, token)
    return {
        "feature_models": {ref: found[ref] for ref in page},
        "next_page_token": more,
        "as_of": past.as_of,
        "notes": list(past.notes),
    }


def no_runs(said: str) -> RunsPage:
    """The same where there is no MLflow, with the reason: Feast's own are empty too."""
    return {"runs": [], "mlflow_uri": None, "next_page_token": None, "as_of": None, "reason": said}


def no_usage(said: str) -> FeatureUsagePage:
    """As `no_runs`."""
    return {"feature_usage": {}, "mlflow_enabled": False, "next_page_token": None, "as_of": None,
            "reason": said}  # fmt: skip


def no_models(said: str) -> FeatureModelsPage:
    """As `no_runs`."""
    return {"feature_models": {}, "next_page_token": None, "as_of": None, "reason": said}


def _unused() -> ViewUse:
    return {"run_count": 0, "prediction_count": 0, "last_used": None, "models": []}


def _run(
    past: HistorySource, run: RunFact, models: list[ModelOfRun], names: dict[str, str]
) -> RunOfPage:
    return {
        "run_id": run.id,
        "run_name": run.name,
        "status": run.status,
        "start_time": run.started,
        "feature_service": run.service,
        "feature_views": sorted(_views(run.refs)),
        "feature_refs": list(run.refs),
        "retrieval_type": run.tags.get("feast.retrieval_type"),
        "entity_count": run.tags.get("feast.entity_count"),
        "mlflow_url": past.url(run.id, run.experiment),
        "registered_models": models,
        # Beside Feast's fields:
        "end_time": run.ended,
        "counts_as": run.kind,
        "experiment": names.get(run.experiment),
        "experiment_id": run.experiment,
        "user": run.user,
        "notebook": run.notebook,
        "predicts": f"{run.model}/{run.version}" if run.model else None,
        "metrics": {k: v for k, v in run.metrics.items() if not k.startswith("feast")},
    }


def _model(past: HistorySource, model: RegisteredModel) -> ModelOfRun:
    return {
        "model_name": model.name,
        "version": str(model.version),
        "stage": model.stage or "None",  # as MLflow has it
        "mlflow_url": past.version_url(model.shown),
        "aliases": list(model.aliases),
    }


def _views(refs: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ref.partition(":")[0] for ref in refs))


def _version(shown: str, named: str) -> dict[str, str | None]:
    """A model's runs; those of one version where one was named."""
    name, _, version = shown.rpartition("/")
    whole = "/" not in named and "@" not in named
    return {"model": name, "version": None if whole else version}


_TOKEN = re.compile(r"-?[0-9]{1,18}:[\w-]{1,100}", re.ASCII)  # SQLite counts to 2^63


def _after(token: str | None) -> tuple[int, str] | None:
    if token is None:
        return None
    if not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{token[:40]} is not a page_token; use next_page_token of the previous page."
        )
    started, _, id = token.partition(":")
    return int(started), id


def _page(names: list[str], most: int | None, token: str | None) -> tuple[list[str], str | None]:
    left = [name for name in names if token is None or name > token]
    shown = left[: max(1, min(most or _MOST, _MOST))]
    return shown, shown[-1] if len(left) > len(shown) else None
