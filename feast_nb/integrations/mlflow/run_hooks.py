"""Notice runs that start and end, models that are logged, versions that are registered.

Two things are also put right on the way: scikit-learn trees log without the user knowing about
skops, and a SQLite tracking store beside a repository keeps its artifacts there too.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ...errors import Told, brief
from ...patching.interrupts import guarded
from ...patching.patches import Patches
from . import http, silence

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import Model
    from mlflow.models.model import ModelInfo
    from mlflow.tracking._tracking_service.client import TrackingServiceClient


class StartedRun(NamedTuple):
    """A run that MLflow started, its parent, and what MLflow took for its source.

    `resumed` where it was there before: what it holds is to be kept.
    """

    run_id: str
    tracking_uri: str
    name: str | None = None
    parent_id: str | None = None
    source: str | None = None
    resumed: bool = False


class MlflowListener(Protocol):
    """Who is told. What these raise becomes a warning, never an error in the user's call."""

    def run_started(self, started: StartedRun) -> None: ...

    def run_ends(self, run_id: str, status: str) -> None: ...

    def end_failed(self, run_id: str, tracking_uri: str, status: str) -> None: ...

    def run_ended(self, run_id: str) -> None: ...

    def model_logged(self, info: ModelInfo, model: object, tracking_uri: str) -> None: ...

    def version_registered(
        self, version: ModelVersion, model_uri: str, tracking_uri: str
    ) -> None: ...

    def artifact_root(self, tracking_uri: str) -> Path | None: ...


class RunHooks:
    """MLflow's calls, noticed from its import (past or future) until `remove`."""

    def __init__(self, listener: Callable[[], MlflowListener]) -> None:
        self._wake = listener
        self._patches = Patches()

    @property
    def _listener(self) -> MlflowListener:
        """Made when it is first asked for: an extension that is only loaded costs nothing."""
        return self._wake()

    def install(self) -> None:
        follow = self._patches.on_import
        follow("mlflow.tracking.fluent", self._follow_fluent)
        follow("mlflow.models.model", self._follow_models)
        follow("mlflow.tracking._model_registry.fluent", self._follow_registry)
        follow("mlflow.tracking._tracking_service.client", self._follow_client)
        http.follow(self._patches)
        silence.follow(self._patches)
        follow("mlflow", self._follow_names)

    def remove(self) -> None:
        self._patches.undo()

    def _follow_fluent(self, module: ModuleType) -> None:
        self._patches.replace(module, "end_run", self._end_run)
        self._patches.replace(module, "start_run", self._start_run)

    def _follow_names(self, module: ModuleType) -> None:
        """`mlflow.start_run` is a second name for the function of the fluent module."""
        from mlflow.tracking import fluent

        for name in ("start_run", "end_run"):
            ours = vars(fluent)[name]
            self._patches.put(module, name, ours, getattr(ours, "__wrapped__", ours))

    def _follow_models(self, module: ModuleType) -> None:
        self._patches.replace(module.Model, "log", self._log)

    def _follow_registry(self, module: ModuleType) -> None:
        self._patches.replace(module, "_register_model", self._register)

    def _follow_client(self, module: ModuleType) -> None:
        service = module.TrackingServiceClient  # `set_experiment` goes past `MlflowClient`
        self._patches.replace(service, "create_experiment", self._create_experiment)

    def _start_run(
        self, original: Callable[..., mlflow.ActiveRun]
    ) -> Callable[..., mlflow.ActiveRun]:
        @functools.wraps(original)
        def start_run(*args: object, **kwargs: object) -> mlflow.ActiveRun:
            if self._patches.active and kwargs.get("nested"):
                with guarded("looking up the experiment of the outer run"):
                    _beside_parent(args, kwargs)
            # MLflow forgets the variable when it has used it.
            named = (args[:1] or (kwargs.get("run_id"),))[0] or os.environ.get("MLFLOW_RUN_ID")
            run = original(*args, **kwargs)
            if self._patches.active:
                with guarded("noting that a run started"):
                    tags = run.data.tags
                    self._listener.run_started(
                        StartedRun(
                            run.info.run_id,
                            _tracking_uri(),
                            run.info.run_name,
                            tags.get("mlflow.parentRunId"),
                            tags.get("mlflow.source.name"),
                            resumed=named == run.info.run_id,
                        )
                    )
            return run

        return start_run

    def _end_run(self, original: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(original)
        def end_run(*args: object, **kwargs: object) -> object:
            run, status = None, str(args[0] if args else kwargs.get("status", "FINISHED"))
            try:
                if self._patches.active:
                    with guarded("sending the records of a run that ends"):
                        import mlflow

                        if run := mlflow.active_run():
                            self._listener.run_ends(run.info.run_id, status)
            finally:  # Ctrl-C while the records are sent: the run ends all the same
                try:
                    ended = original(*args, **kwargs)
                except Exception:  # MLflow has let go of it, and its server does not know
                    if run is not None:
                        with guarded("keeping the end of a run"):
                            self._listener.end_failed(run.info.run_id, _tracking_uri(), status)
                    raise
            if run is not None:
                with guarded("letting go of the records of a run that ended"):
                    self._listener.run_ended(run.info.run_id)
            return ended

        return end_run

    def _log(self, original: Any) -> object:
        call = original.__func__ if isinstance(original, classmethod) else original
        signature = inspect.signature(call)

        @functools.wraps(call)
        def log(cls: type[Model], *args: Any, **kwargs: Any) -> ModelInfo:
            model = None
            if self._patches.active:
                with guarded("looking at a model to be logged"):
                    asked = signature.bind(cls, *args, **kwargs).arguments
                    model = _model_of(asked.get("kwargs", {}))
                    if _wants_skops(asked.get("flavor"), kwargs):
                        kwargs |= _kept_by_skops(model)
            info: ModelInfo = call(cls, *args, **kwargs)
            if self._patches.active:
                with guarded("recording a logged model"):
                    self._listener.model_logged(info, model, _tracking_uri())
            return info

        return classmethod(log)

    def _register(self, original: Callable[..., ModelVersion]) -> Callable[..., ModelVersion]:
        @functools.wraps(original)
        def _register_model(model_uri: str, *args: object, **kwargs: object) -> ModelVersion:
            version = original(model_uri, *args, **kwargs)
            if self._patches.active:
                with guarded("recording a registered version"):
                    self._listener.version_registered(version, model_uri, _tracking_uri())
            return version

        return _register_model

    def _create_experiment(self, original: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(original)
        def create_experiment(
            client: TrackingServiceClient,
            name: str,
            artifact_location: str | None = None,
            *args: object,
            **kwargs: object,
        ) -> str:
            if self._patches.active and artifact_location is None:
                with guarded("placing the artifacts of an experiment"):
                    root = self._listener.artifact_root(client.tracking_uri)
                    artifact_location = (root / folder_of(name)).as_uri() if root else None
            return original(client, name, artifact_location, *args, **kwargs)

        return create_experiment


def _beside_parent(args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    """A nested run is in its parent's experiment, where the user chose none.

    Feast sets the project's experiment for good when it starts a run; here it is only told, so
    that a choice stays the user's, and MLflow would take its default for the nested one.
    """
    import mlflow
    from mlflow.tracking import fluent

    if args or kwargs.get("run_id") or kwargs.get("experiment_id") or fluent._active_experiment_id:
        return
    chosen = ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
    outer = mlflow.active_run()
    if outer is not None and not any(os.environ.get(name) for name in chosen):
        kwargs["experiment_id"] = outer.info.experiment_id


def _tracking_uri() -> str:
    import mlflow

    return str(mlflow.get_tracking_uri())


def _model_of(kwargs: dict[str, object]) -> object:
    """The model among a flavour's own arguments: `sk_model`, `xgb_model`, `python_model`, …"""
    for name, value in kwargs.items():
        if name == "model" or (name.endswith("_model") and value is not None):
            return value
    return None


def _wants_skops(flavor: object, kwargs: dict[str, object]) -> bool:
    """A scikit-learn model in the skops format for which the user named no trusted types.

    skops guards those who load a stranger's file; these types are of a model that was trained in
    this process a moment ago.
    """
    if getattr(flavor, "__name__", "") != "mlflow.sklearn" or kwargs.get("skops_trusted_types"):
        return False
    return kwargs.get("serialization_format") in (None, "skops")


def _kept_by_skops(model: object) -> dict[str, object]:
    """What MLflow is to be told for a model's file: its types, or to pickle it.

    skops cannot keep code that has no name to be found by (a lambda, a class inside a function);
    cloudpickle can, and MLflow offers both.
    """
    import skops.io

    try:
        types = list(skops.io.get_untrusted_types(data=skops.io.dumps(model)))
    except Exception as problem:  # whatever a user's object makes of it
        why = brief(problem, 120)
    else:
        local = [name for name in types if "<lambda>" in name or "<locals>" in name]
        if not local:
            return {"skops_trusted_types": types or None}
        why = f"it holds {', '.join(local)}, which has no name to be found by"
    warnings.warn(
        f"skops cannot keep this model ({why}); it is kept by cloudpickle.", Told, stacklevel=2
    )
    return {"serialization_format": "cloudpickle"}


def folder_of(experiment: str) -> str:
    """The folder of an experiment's artifacts: its name where that is one, else one like it.

    A name may be a path (`/Shared/churn`), lead out of the folder (`..`), or mean something in a
    URI; two names never share a folder.
    """
    if re.fullmatch(r"\w[\w .-]{0,100}", experiment) and not experiment.endswith((".", " ")):
        return experiment
    like = re.sub(r"[^\w.-]+", "-", experiment).strip("-.")[:60]
    digest = hashlib.blake2b(experiment.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f"{like}-{digest}" if like else digest
