"""What is written to a run and read back from it: tags and metrics in one request, artifacts."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import GoneError, TrackingError, brief
from .clients import client, database_exists, database_file
from .http import check_reachable, translate_errors
from .silence import silent

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ...records.outbox import OperationEntry

_LONGEST = 5000  # characters of a tag's value
WRITTEN_AT = "feast_nb.written_at"  # of a run that a history may have read before, or passed by
_NEVER = ("INVALID_PARAMETER_VALUE", "PERMISSION_DENIED")  # what MLflow says no to, it will again
_OPERATION_ID = "feast_nb.operation_id"  # of what was done, by which its run is found again


def write(
    uri: str,
    run_id: str,
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    files: Sequence[tuple[Path | str, str]] = (),
) -> None:
    """Write to a run, finished ones too: tags and metrics in one request, then each file.

    A file is a path to upload or the text to upload, with its path among the artifacts. Raises
    `GoneError` where there is no such run any more.
    """
    check_reachable(uri)
    _check_database(uri)
    from mlflow.entities import Metric, RunTag
    from mlflow.exceptions import MlflowException

    api = client(uri)
    now = int(time.time() * 1000)
    try:
        if tags or metrics:
            api.log_batch(
                run_id,
                metrics=[Metric(k, v, now, 0) for k, v in metrics.items()],
                tags=[RunTag(k, v) for k, v in tags.items()],
            )
        for content, artifact in files:
            _upload(api, run_id, content, artifact)
    except MlflowException as problem:
        if problem.error_code == "RESOURCE_DOES_NOT_EXIST" or "'active' state" in str(problem):
            raise GoneError(f"run {run_id} is not there any more (deleted?).") from problem
        raise


def end_marked(uri: str, experiment: str, tag: str, mark: str) -> int:
    """End, as killed, the runs that began with a mark and that go on; how many there were."""
    check_reachable(uri)
    _check_database(uri)
    api = client(uri)
    with translate_errors():
        mine = f"tags.`{tag}` = '{mark}' and attributes.status = 'RUNNING'"
        found = api.search_runs([experiment], mine)
        for run in found:
            api.set_terminated(run.info.run_id, "KILLED")
    return len(found)


def untag(uri: str, run_id: str, tags: Mapping[str, str]) -> None:
    """Take tags off a run, where they still are what we wrote: Feast may have written since."""
    api = client(uri)
    now = api.get_run(run_id).data.tags
    for key, value in tags.items():
        if now.get(key) == value:
            api.delete_tag(run_id, key)


def _check_database(uri: str) -> None:
    """Raise `TrackingError` for a SQLite file that is away: a drive, a folder, may come back.

    MLflow would make it anew, without the run that is meant.
    """
    if not database_exists(uri):
        raise TrackingError(f"the tracking database {database_file(uri)} is not there now.")


def _upload(api: MlflowClient, run_id: str, content: Path | str, artifact: str) -> None:
    folder, _, name = artifact.rpartition("/")
    with tempfile.TemporaryDirectory(prefix="feast_nb") as place:
        local = Path(place) / name
        if isinstance(content, Path):
            local.symlink_to(content.resolve())
        else:
            local.write_text(content, encoding="utf-8")
        if local.is_dir():
            api.log_artifacts(run_id, str(local), artifact)
        else:
            api.log_artifact(run_id, str(local), folder or None)


def download(uri: str, artifact_uri: str, place: Path) -> Path:
    """An artifact of a run (`runs:/<id>/path`), downloaded; raises `TrackingError` if not."""
    from mlflow.artifacts import download_artifacts

    check_reachable(uri)
    with translate_errors(), silent():
        return Path(
            download_artifacts(artifact_uri=artifact_uri, dst_path=str(place), tracking_uri=uri)
        )


def artifacts_of(uri: str, run_id: str, folder: str | None = None) -> dict[str, bool]:
    """The artifacts in a folder of a run: their paths, and whether each is a folder.

    Raises `GoneError` where there is no such run any more.
    """
    check_reachable(uri)
    _check_database(uri)
    from mlflow.exceptions import MlflowException

    try:
        return {a.path: bool(a.is_dir) for a in client(uri).list_artifacts(run_id, folder)}
    except MlflowException as problem:
        if problem.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise GoneError(f"run {run_id} is not there any more (deleted?).") from problem
        raise


def downloaded(uri: str, run_id: str, artifact: str) -> str:
    """The text of an artifact that a run has; raises `TrackingError` where it cannot be had.

    Of its store itself: MLflow's own download takes a pool of threads, which Python refuses when
    a process ends, and that is when most is sent.
    """
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory(prefix="feast_nb") as place:
        local = Path(place) / "artifact"
        try:
            with silent():
                store = client(uri)._tracking_client._get_artifact_repo(run_id)
                store._download_file(artifact, str(local))
            return local.read_text(encoding="utf-8")
        except MlflowException:
            raise
        except Exception as problem:  # whatever a store raises, of which MLflow has a dozen
            raise TrackingError(
                f"{artifact} of run {run_id[:8]} cannot be read: {problem}"
            ) from problem


def delete(uri: str, run_id: str, artifact: str) -> None:
    """Delete an artifact of a run; raises `TrackingError` where its store does not do that."""
    check_reachable(uri)
    try:
        with silent():
            client(uri)._tracking_client._get_artifact_repo(run_id).delete_artifacts(artifact)
    except NotImplementedError as problem:
        raise TrackingError("this store of artifacts deletes nothing.") from problem
    except Exception as problem:  # whatever a store raises, of which MLflow has a dozen
        raise TrackingError(f"its store answers: {brief(problem, 200)}") from problem


def read_text(uri: str, run_id: str, artifact: str) -> str | None:
    """The text of an artifact, or None where the run has none of that name.

    Raises `GoneError` where there is no such run any more.
    """
    there = artifacts_of(uri, run_id, artifact.rpartition("/")[0] or None)
    return downloaded(uri, run_id, artifact) if artifact in there else None


def text_of(uri: str, run_id: str, artifact: str) -> str | None:
    """The same; None where the run is gone, too."""
    try:
        return read_text(uri, run_id, artifact)
    except GoneError:
        return None


def context() -> dict[str, str]:
    """User, source and commit, as a run begun here would have them. In a thread of the user's."""
    from mlflow.tracking.context.registry import resolve_tags

    return {str(name): str(value) for name, value in resolve_tags().items()}


def log_operation(uri: str, entry: OperationEntry) -> None:
    """Log an operation as Feast logs its own: a run that began and ended when it was done.

    A part of it may have been sent before: then that run is completed. Raises `GoneError` where
    MLflow will never take it, `TrackingError` where it does not now.
    """
    check_reachable(uri)
    if entry.had_database:
        _check_database(uri)
    try:
        _log_operation(uri, entry)
    except TrackingError as problem:
        if getattr(problem.__cause__, "error_code", "") in _NEVER:
            raise GoneError(str(problem)) from problem
        raise


def _log_operation(uri: str, entry: OperationEntry) -> None:
    with translate_errors(), silent():
        api = client(uri)
        found = api.get_experiment_by_name(entry.experiment)
        if found is not None and found.lifecycle_stage == "deleted":
            raise GoneError(f"the experiment {entry.experiment} is deleted; restore it in MLflow.")
        place = found.experiment_id if found else api.create_experiment(entry.experiment)
        named = f"tags.`{_OPERATION_ID}` = '{entry.id}'"
        before = api.search_runs([place], named, max_results=1)
        run = before[0].info.run_id if before else api.create_run(
            place, start_time=entry.began, run_name=f"{entry.what}_{entry.project}",
            tags={_OPERATION_ID: entry.id},
        ).info.run_id  # fmt: skip
        told = {**entry.tags, "feast.operation": entry.what, "feast.project": entry.project}
        if entry.trouble is not None:
            told["feast_nb.trouble"] = entry.trouble
        for param, value in entry.params.items():
            api.log_param(run, param, value)
        kept = {name: value[:_LONGEST] for name, value in told.items()}
        artifact = "feast/plan.json" if entry.what == "apply" else "feast/materialization.json"
        text = json.dumps(json.loads(entry.record), indent=1, ensure_ascii=False)
        # By the last a history finds what is older than what it has read.
        counts = {**entry.counts, WRITTEN_AT: round(time.time(), 3)}
        write(uri, run, kept, counts, [(text, artifact)])
        api.set_terminated(run, "FINISHED" if entry.trouble is None else "FAILED", entry.at)
