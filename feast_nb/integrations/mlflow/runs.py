"""MLflow runs: start, resume, end, read, each by its id and the address of its server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...errors import TrackingError
from ...masking import public_uri
from ...records.run import TrackedRun
from .clients import client
from .http import check_reachable, translate_errors

if TYPE_CHECKING:
    from mlflow.entities import Run

ENDINGS = ("FINISHED", "FAILED", "KILLED")

_used: list[str | None] = []  # the server before the first `use`, and the one of the last


def active() -> tuple[str, str] | None:
    """The run active in this thread and its server's address; mlflow is not imported for it."""
    mlflow = sys.modules.get("mlflow")
    if mlflow is None or not hasattr(mlflow, "active_run"):
        return None
    run = mlflow.active_run()
    return (run.info.run_id, mlflow.get_tracking_uri()) if run else None


def address(uri: str | None) -> str:
    """The address that MLflow will use for a store's setting; None means MLflow's own choice.

    Raises `TrackingError` where MLflow is not installed, or would refuse the address.
    """
    try:
        import mlflow
    except ImportError:
        raise TrackingError(
            "mlflow is not installed here; install it with: pip install 'feast[mlflow]'."
        ) from None
    found = uri or str(mlflow.get_tracking_uri())
    if urlsplit(found).scheme in ("", "file") and not _files_allowed():
        raise TrackingError(
            f"MLflow refuses {found}, a folder of files, as its store; write tracking_uri: "
            '"sqlite:///mlflow.db" in feature_store.yaml (`mlflow migrate-filestore` moves the '
            "runs), or set MLFLOW_ALLOW_FILE_STORE=true."
        )
    return found


def _files_allowed() -> bool:
    """MLflow 3.17 takes a folder only where it is asked to; older ones always do."""
    from mlflow import environment_variables

    asked = getattr(environment_variables, "MLFLOW_ALLOW_FILE_STORE", None)
    return asked is None or bool(asked.get())


def load_mlflow() -> None:
    """Import MLflow, which takes a while once in each process."""
    import mlflow  # noqa: F401


def use(uri: str) -> None:
    """Make a server the one of the user's own MLflow calls, as Feast's `start_run` does."""
    import mlflow

    if not _used:
        _used.append(mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None)
    mlflow.set_tracking_uri(uri)
    _used[1:] = [uri]


def put_back() -> None:
    """Undo `use`, where the user has chosen no other server since."""
    import mlflow

    if _used and mlflow.get_tracking_uri() == _used[1]:
        mlflow.set_tracking_uri(_used[0])  # type: ignore[arg-type]  # None: as if none was set
    _used.clear()


def experiment_id(uri: str, name: str) -> str:
    """The experiment of that name, made if there is none; raises for a deleted one."""
    api = client(uri)
    found = api.get_experiment_by_name(name)
    if found is None:
        return str(api.create_experiment(name))
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"experiment {name} is deleted; restore it in MLflow, or name another with "
            "--experiment."
        )
    return str(found.experiment_id)


def experiment_of(uri: str, name: str | None, default: str) -> str:
    """The experiment by name; else the one the user chose before; else the `default` one."""
    check_reachable(uri)
    with translate_errors():
        if name:
            return experiment_id(uri, name)
        return chosen_experiment(uri) or experiment_id(uri, default)


def chosen_experiment(uri: str) -> str | None:
    """The experiment that the user chose before, by call or environment, if `uri` has it."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import fluent

    chosen = fluent._active_experiment_id or os.environ.get("MLFLOW_EXPERIMENT_ID")
    if chosen:
        try:
            found = client(uri).get_experiment(chosen)
        except MlflowException:
            return None  # chosen on another server
        return str(chosen) if found and found.lifecycle_stage == "active" else None
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    return experiment_id(uri, name) if name else None


def start(
    uri: str,
    name: str | None,
    experiment: str,
    tags: Mapping[str, str],
    description: str | None = None,
    nested: bool = False,
) -> TrackedRun:
    """Start a run and make it the active one, so that the user's own MLflow calls join it.

    `experiment` by its id, as `experiment_of` has it.
    """
    check_reachable(uri)
    import mlflow

    use(uri)
    with translate_errors():
        run = mlflow.start_run(
            run_name=name,
            experiment_id=experiment,
            nested=nested,
            tags=dict(tags),
            description=description,
        )
        return _tracked(run, uri)


def resume(uri: str, run_id: str) -> TrackedRun:
    """Make an earlier run the active one again."""
    check_reachable(uri)
    import mlflow

    use(uri)
    with translate_errors():
        with in_its_experiment(uri, run_id):
            run = mlflow.start_run(run_id=run_id)
        return _tracked(run, uri)


@contextmanager
def in_its_experiment(uri: str, run_id: str) -> Iterator[str]:
    """The experiment of a run, with none chosen: MLflow refuses a run of another than that one."""
    from mlflow.tracking import fluent

    info = client(uri).get_run(run_id).info
    if info.lifecycle_stage == "deleted":
        raise TrackingError(f"run {run_id} is deleted; restore it in MLflow first.")
    chosen, fluent._active_experiment_id = fluent._active_experiment_id, None
    try:
        yield str(info.experiment_id)
    finally:
        fluent._active_experiment_id = chosen


def tags_of(uri: str, run_id: str) -> dict[str, str]:
    """The tags of a run; none where there is no such run."""
    from mlflow.exceptions import MlflowException

    try:
        return dict(client(uri).get_run(run_id).data.tags)
    except MlflowException:
        return {}


@contextmanager
def using_server(uri: str | None, always: bool = False) -> Iterator[None]:
    """MLflow's fluent calls go to a server meanwhile; to that of an open run, where one is.

    `always`: to this one whatever is open, for what is only read.
    """
    import mlflow

    if not uri or (mlflow.active_run() is not None and not always):
        yield
        return
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None: as above


def end(uri: str, run_id: str, status: str) -> None:
    """End a run; where it is the active one of this thread, MLflow lets go of it first.

    Raises `TrackingError` where the server is away: the run is no longer active all the same.
    """
    import mlflow

    now = active()
    try:
        check_reachable(uri)
    except TrackingError:
        release(run_id)
        raise
    if now == (run_id, uri):
        with translate_errors():
            mlflow.end_run(status)  # with all that MLflow itself does at a run's end
    else:
        release(run_id)
        terminate(uri, run_id, status)


def end_within(run_id: str, status: str) -> None:
    """End the runs that were started inside a run in this thread and are still open."""
    mlflow = sys.modules.get("mlflow")
    if mlflow is None:
        return
    from mlflow.tracking import fluent

    open_now = [run.info.run_id for run in fluent._active_run_stack.get()]
    for inner in reversed(open_now[open_now.index(run_id) + 1 :] if run_id in open_now else []):
        with translate_errors():
            try:
                mlflow.end_run(status)
            except TrackingError:
                release(inner)
                raise


@contextmanager
def of_its_own() -> Iterator[None]:
    """A run that is started within is a new one: not that of the launcher (`MLFLOW_RUN_ID`)."""
    named = os.environ.pop("MLFLOW_RUN_ID", None)
    try:
        yield
    finally:
        if named is not None:
            os.environ["MLFLOW_RUN_ID"] = named


def release(run_id: str) -> None:
    """Take a run off MLflow's stack of this thread without asking any server."""
    from mlflow.tracking import fluent

    stack = fluent._active_run_stack.get()
    stack[:] = [run for run in stack if run.info.run_id != run_id]
    fluent._last_active_run_id.set(run_id)


def terminate(uri: str, run_id: str, status: str, only_running: bool = False) -> None:
    """Set a run's status and end time; with `only_running`, leave one that has ended alone."""
    check_reachable(uri)
    api = client(uri)
    with translate_errors():
        if only_running and api.get_run(run_id).info.status != "RUNNING":
            return
        api.set_terminated(run_id, status)


def read(uri: str, run_id: str) -> TrackedRun:
    """A run with its latest metrics."""
    check_reachable(uri)
    with translate_errors():
        return _tracked(client(uri).get_run(run_id), uri)


def metrics_of_only_model(uri: str, run_id: str) -> dict[str, float]:
    """The metrics of a run that logged one model; none where it logged several: whose are they?"""
    with translate_errors():
        run = client(uri).get_run(run_id)
    made = run.outputs.model_outputs if run.outputs is not None else []
    return dict(run.data.metrics) if len(made) == 1 else {}


def newest(uri: str, experiment: str, most: int) -> list[TrackedRun]:
    """The newest runs of an experiment, newest first; none where there is no such experiment."""
    check_reachable(uri)
    api = client(uri)
    with translate_errors():
        found = api.get_experiment_by_name(experiment)
        if found is None:
            return []
        page = api.search_runs([found.experiment_id], max_results=most)
        return [_tracked(run, uri) for run in page]


def _tracked(run: Run, uri: str) -> TrackedRun:
    info = run.info
    name = client(uri).get_experiment(info.experiment_id).name
    began = datetime.fromtimestamp(info.start_time / 1000, UTC) if info.start_time else None
    return TrackedRun(
        id=info.run_id,
        name=info.run_name or info.run_id[:8],
        experiment=name,
        experiment_id=str(info.experiment_id),
        status=info.status,
        tracking_uri=public_uri(uri) or "",
        url=run_url(uri, str(info.experiment_id), info.run_id),
        parent_id=run.data.tags.get("mlflow.parentRunId"),
        started=began.isoformat() if began else None,
        metrics=dict(run.data.metrics),
    )


def web_address(uri: str | None) -> str | None:
    """An address as a browser opens it; None where it is no web address."""
    base = public_uri(uri) or ""
    return base.rstrip("/") if base.startswith(("http://", "https://")) else None


def run_url(uri: str | None, experiment: str, run_id: str) -> str | None:
    """Where MLflow's UI shows a run; None where the address is no web address."""
    base = web_address(uri)
    return base and f"{base}/#/experiments/{experiment}/runs/{run_id}"


def version_url(uri: str | None, name: str, version: str | int) -> str | None:
    """Where MLflow's UI shows a registered model version; None where there is no web address."""
    from urllib.parse import quote

    base = web_address(uri)
    return base and f"{base}/#/models/{quote(name, safe='')}/versions/{version}"
