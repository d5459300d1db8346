"""Large MLflow stores made in seconds: rows written straight into a database of MLflow's making."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feast_nb.records.facts import Registry, RegistryService, RegistryView

PROJECT = "big"
VIEWS, FEATURES, SERVICES, MODELS, VERSIONS, EXPERIMENTS = 500, 10, 250, 1000, 5, 3
NOW = 1_767_225_600_000  # the first of January 2026


def catalog() -> Registry:
    """The registry that the runs of a large store were made with."""
    views = {
        f"view_{n}": RegistryView(f"view_{n}", "batch", tuple(f"f{i}" for i in range(FEATURES)),
                          (f"source_{n % 50}",), (f"entity_{n % 7}",))
        for n in range(VIEWS)
    }  # fmt: skip
    services = {
        f"service_{n}": RegistryService(f"service_{n}", refs_of(n)) for n in range(SERVICES)
    }
    return Registry(
        PROJECT,
        {f"source_{n}": "FileSource" for n in range(50)},
        {f"entity_{n}": f"key_{n}" for n in range(7)},
        views,
        services,
    )


def refs_of(service: int) -> tuple[str, ...]:
    """The references of a service: two views of ten features."""
    views = (service * 2 % VIEWS, (service * 2 + 1) % VIEWS)
    return tuple(f"view_{v}:f{i}" for v in views for i in range(FEATURES))


def make(path: Path, runs: int, models: int = MODELS, versions: int = VERSIONS) -> str:
    """A SQLite store of that many Feast-tagged runs, and its address."""
    import mlflow

    uri = f"sqlite:///{path}"
    api = mlflow.MlflowClient(uri)
    experiments = [api.create_experiment(n) for n in (PROJECT, "other", "third")[:EXPERIMENTS]]
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA synchronous=OFF")
        _fill(db, "runs", _runs(runs, experiments))
        _fill(db, "tags", _tags(runs))
        _fill(db, "latest_metrics", _metrics(runs))
        _fill(db, "params", _params(runs))
        _fill(db, "registered_models", _models(models))
        _fill(db, "model_versions", _versions(runs, models, versions))
        _fill(db, "model_version_tags", _version_tags(models, versions))
        _fill(db, "registered_model_aliases", _aliases(models))
    db.close()
    return uri


def _fill(db: sqlite3.Connection, table: str, rows: Iterator[dict[str, Any]]) -> None:
    first = next(rows)
    there = {name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")}
    names = [name for name in first if name in there]
    marks = ",".join("?" * len(names))
    sql = f"INSERT INTO {table} ({','.join(names)}) VALUES ({marks})"

    def values() -> Iterator[tuple[Any, ...]]:
        yield tuple(first[n] for n in names)
        for row in rows:
            yield tuple(row[n] for n in names)

    db.executemany(sql, values())
    db.commit()


def run_id(n: int) -> str:
    return f"{n:032x}"


def _started(n: int, runs: int) -> int:
    """Spread over a year, oldest first."""
    return NOW - 365 * 86_400_000 + n * (365 * 86_400_000 // runs)


def _runs(runs: int, experiments: list[str]) -> Iterator[dict[str, Any]]:
    for n in range(runs):
        start = _started(n, runs)
        yield {
            "run_uuid": run_id(n), "name": f"run {n}", "source_type": "NOTEBOOK",
            "source_name": "train.ipynb", "entry_point_name": "", "user_id": f"user_{n % 20}",
            "status": "FINISHED", "start_time": start, "end_time": start + 60_000,
            "source_version": "", "lifecycle_stage": "active", "artifact_uri": "file:///nowhere",
            "experiment_id": int(experiments[n % len(experiments)]), "deleted_time": None,
        }  # fmt: skip


def _tags(runs: int) -> Iterator[dict[str, Any]]:
    lists = [",".join(refs_of(s)) for s in range(SERVICES)]
    for n in range(runs):
        service = n % SERVICES
        views = {ref.partition(":")[0] for ref in refs_of(service)}
        tags = {
            "mlflow.user": f"user_{n % 20}", "mlflow.runName": f"run {n}",
            "mlflow.source.name": "train.ipynb", "mlflow.source.type": "NOTEBOOK",
            "feast.project": PROJECT, "feast.retrieval_type": "historical",
            "feast.feature_service": f"service_{service}", "feast.feature_refs": lists[service],
            "feast.feature_views": ",".join(sorted(views)), "feast.feature_count": "20",
            "feast.entity_count": "1000", "feast.entity_df_rows": "1000",
            "feast.entity_df_type": "dataframe", "feast_nb.version": "0.1.0",
        }  # fmt: skip
        for key, value in tags.items():
            yield {"key": key, "value": value, "run_uuid": run_id(n)}


def _metrics(runs: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(0)
    for n in range(runs):
        for key in ("rmse", "auc", "feast.job_submission_sec"):
            yield {"key": key, "value": draw.random(), "timestamp": _started(n, runs), "step": 0,
                   "is_nan": 0, "run_uuid": run_id(n)}  # fmt: skip


def _params(runs: int) -> Iterator[dict[str, Any]]:
    for n in range(runs):
        for key in ("depth", "rate", "seed"):
            yield {"key": key, "value": str(n % 17), "run_uuid": run_id(n)}


def _models(models: int) -> Iterator[dict[str, Any]]:
    for m in range(models):
        yield {"name": f"model_{m}", "creation_time": NOW, "last_updated_time": NOW,
               "description": "", "workspace": "default"}  # fmt: skip


def _versions(runs: int, models: int, versions: int) -> Iterator[dict[str, Any]]:
    for m in range(models):
        for v in range(1, versions + 1):
            n = (m * versions + v) * 7 % runs
            yield {
                "name": f"model_{m}", "version": v, "creation_time": NOW + v,
                "last_updated_time": NOW + v, "description": "", "user_id": "",
                "current_stage": "None", "source": f"models:/m-{m:016x}{v:016x}",
                "run_id": run_id(n), "status": "READY", "status_message": "", "run_link": "",
                "storage_location": "", "workspace": "default",
            }  # fmt: skip


def _version_tags(models: int, versions: int) -> Iterator[dict[str, Any]]:
    for m in range(models):
        for v in range(1, versions + 1):
            yield {"name": f"model_{m}", "version": v, "key": "feast_nb.kept", "value": "yes",
                   "workspace": "default"}  # fmt: skip


def _aliases(models: int) -> Iterator[dict[str, Any]]:
    for m in range(models):
        yield {"name": f"model_{m}", "alias": "champion", "version": 3, "workspace": "default"}


def more(uri: str, count: int) -> None:
    """New runs, as people make them."""
    import mlflow

    api = mlflow.MlflowClient(uri)
    experiment = api.get_experiment_by_name(PROJECT)
    for n in range(count):
        refs = ",".join(refs_of(n))
        tags = {"feast.project": PROJECT, "feast.retrieval_type": "historical",
                "feast.feature_refs": refs, "feast.feature_service": f"service_{n}"}  # fmt: skip
        run = api.create_run(experiment.experiment_id, tags=tags, run_name=f"new {time.time()}")
        api.set_terminated(run.info.run_id)
