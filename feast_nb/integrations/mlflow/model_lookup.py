"""Find a model by any of its names: the version, the logged model, the run it came from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ...errors import ModelError, TrackingError, brief, nearest
from .clients import client
from .http import check_reachable, translate_errors
from .models import registered_names
from .runs import tags_of, using_server
from .writer import text_of

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, RunInfo
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class ModelRef:
    """A model: as a registered version, as a logged model, or both."""

    named: str
    name: str | None = None
    version: str | None = None
    model_id: str | None = None
    run_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """`driver_model/3`, or what the user wrote."""
        return f"{self.name}/{self.version}" if self.name else self.named


def find(uri: str, named: str) -> ModelRef:
    """The model that a name means: `name/3`, `name@alias`, `name`, or one of MLflow's URIs.

    `models:/name/latest` and a bare name mean the latest version. Raises `ModelError` where there
    is none, with those that there are.
    """
    check_reachable(uri)
    from mlflow.exceptions import MlflowException

    text = named.removeprefix("models:/")
    if not text or "'" in text:
        raise ModelError(
            f"{named or 'nothing'} is not a model name; write name/3, name@alias or name."
        )
    with translate_errors():
        try:
            return _found(uri, named, text)
        except MlflowException as problem:
            if problem.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            said = brief(problem, 200)
            raise ModelError(f"no model {named}: {said}") from problem


def _found(uri: str, named: str, text: str) -> ModelRef:
    if named.startswith("runs:/"):
        return _of_run(uri, named)
    if re.fullmatch(r"m-[0-9a-f]{32}", text):
        return _registered(uri, named, client(uri).get_logged_model(text))
    name, at_sign, alias = text.partition("@")
    if at_sign:
        return _aliased(uri, named, name, alias)
    name, slash, version = text.partition("/")
    return _version(uri, named, name, version if slash else "latest")


def _version(uri: str, named: str, name: str, version: str) -> ModelRef:
    from mlflow.exceptions import MlflowException

    api = client(uri)
    known = {str(v.version): v for v in api.search_model_versions(f"name = '{name}'")}
    if not known:
        hint = nearest(name, list(registered_names(uri)))
        raise ModelError(f"no registered model {name}; {hint or 'none is registered.'}")
    if version == "latest":
        version = max(known, key=int)
    if version in known:
        return _of_version(uri, named, known[version])
    if version.isdigit():
        raise ModelError(f"no version {version} of {name}; it has {_range(known)}.")
    staged = [v for v in known.values() if (v.current_stage or "").lower() == version.lower()]
    if staged:  # `name/Production`, as MLflow before its aliases
        return _of_version(uri, named, max(staged, key=lambda v: int(v.version)))
    try:  # `name/alias`, as Feast's own calls take it
        return _of_version(uri, named, api.get_model_version_by_alias(name, version))
    except MlflowException:
        return _aliased(uri, named, name, version)


def versions(uri: str, name: str) -> tuple[dict[str, ModelRef], dict[str, str]] | None:
    """Number → version, and alias → number, of a registered model; None where there is none.

    Raises `TrackingError` where MLflow does not answer.
    """
    check_reachable(uri)
    from mlflow.exceptions import MlflowException

    api = client(uri)
    with translate_errors():
        try:
            pointed = api.get_registered_model(name).aliases or {}
        except MlflowException as problem:
            if problem.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        found = [_of_version(uri, name, v) for v in api.search_model_versions(f"name = '{name}'")]
    return {str(v.version): v for v in found}, {a: str(n) for a, n in pointed.items()}


def _aliased(uri: str, named: str, name: str, alias: str) -> ModelRef:
    from mlflow.exceptions import MlflowException

    api, names = client(uri), registered_names(uri)
    if name not in names:
        hint = nearest(name, list(names)) or "none is registered."
        raise ModelError(f"no registered model {name}; {hint}")
    try:
        return _of_version(uri, named, api.get_model_version_by_alias(name, alias))
    except MlflowException:
        aliases = sorted(api.get_registered_model(name).aliases or {})
        hint = nearest(alias, aliases) or "it has none."
        raise ModelError(f"no alias {alias} of {name}; {hint}") from None


def _of_version(uri: str, named: str, version: ModelVersion) -> ModelRef:
    source = str(version.source or "")
    model_id = source.removeprefix("models:/") if source.startswith("models:/m-") else None
    return ModelRef(named, version.name, str(version.version), model_id, version.run_id or None,
                 dict(version.tags or {}))  # fmt: skip


def logged(uri: str, model_id: str) -> LoggedModel | None:
    """A logged model, or None where it was deleted, or the server has none (MLflow 2)."""
    from mlflow.exceptions import MlflowException

    try:
        return client(uri).get_logged_model(model_id)
    except MlflowException as problem:
        if problem.error_code not in ("RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND"):
            raise
        return None


def _registered(uri: str, named: str, model: LoggedModel) -> ModelRef:
    """A logged model, as the latest version that was registered of it, where there is one."""
    run = model.source_run_id
    versions = client(uri).search_model_versions(f"run_id = '{run}'") if run else []
    mine = [v for v in versions if str(v.source) == f"models:/{model.model_id}"]
    if not mine:
        return ModelRef(named, None, None, model.model_id, run, dict(model.tags or {}))
    return _of_version(uri, named, max(mine, key=lambda v: int(v.version)))


def _of_run(uri: str, named: str) -> ModelRef:
    """`runs:/<id>/path`: the model that the run logged under that name."""
    run_id, _, path = named.removeprefix("runs:/").partition("/")
    api = client(uri)
    run = api.get_run(run_id)
    outputs = getattr(run.outputs, "model_outputs", None) or []
    models = [m for o in outputs if (m := logged(uri, o.model_id)) is not None]
    mine = [m for m in models if m.name == path]
    if not mine:
        known = ", ".join(m.name for m in models) or "none"
        raise ModelError(f"run {run_id} logged no model {path}; it logged {known}.")
    return _registered(uri, named, max(mine, key=lambda m: int(m.creation_timestamp)))


def _range(known: Iterable[str]) -> str:
    numbers = sorted(int(v) for v in known)
    whole = len(numbers) > 1 and numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]}–{numbers[-1]}" if whole else ", ".join(str(n) for n in numbers)


@dataclass(frozen=True)
class NativeTags:
    """What Feast's own integration left about a model: tags of its version and of its run."""

    version: str | None = None
    run: str | None = None
    refs: tuple[str, ...] | None = None
    project: str | None = None
    cut: bool = False


def services_named(uri: str, found: ModelRef) -> tuple[str | None, str | None]:
    """The services that the tags of a model's version and of its run name."""
    return _services(found, tags_of(uri, found.run_id) if found.run_id else {})


def _services(found: ModelRef, of_run: Mapping[str, str]) -> tuple[str | None, str | None]:
    named = (tags.get("feast.feature_service") or None for tags in (found.tags, of_run))
    return next(named), next(named)


def read_native_tags(uri: str, found: ModelRef) -> NativeTags:
    """What Feast left about a model; `refs` from `feast_features.json`, else from the run's tag.

    A tag that Feast cut off (near 5,000 characters) tells only a part: `cut`.
    """
    tags = tags_of(uri, found.run_id) if found.run_id else {}
    version, run = _services(found, tags)
    if not found.run_id:
        return NativeTags(version)
    with translate_errors():
        text = text_of(uri, found.run_id, "feast_features.json")
    named = [r for r in tags.get("feast.feature_refs", "").split(",") if r]
    refs = json.loads(text) if text else named
    whole = tags.get("feast.feature_count", "").partition(".")[0]
    return NativeTags(
        version,
        run,
        tuple(refs) or None,
        tags.get("feast.project"),
        cut=bool(whole.isdigit() and len(refs) < int(whole)),
    )


def inputs(uri: str, found: ModelRef) -> tuple[tuple[str, ...] | None, str, dict[str, str]]:
    """A logged model's inputs, as it says itself or as its signature has them.

    Returns names (None where nothing says them), the basis (`named`, `signature`, `unknown`), and
    the signature's column types. The model is loaded where it has no signature with names.
    """
    from mlflow.models import get_model_info

    from ..model_libraries.model_inputs import inputs_of
    from .models import load, signature_of

    address = address_of(found)
    with using_server(uri, always=True), translate_errors():
        signed = signature_of(get_model_info(address)) or {}
    own = inputs_of(load(uri, address))
    if own.names:
        return own.names, "named", signed
    return (tuple(signed), "signature", signed) if signed else (None, "unknown", {})


_SHOWN = 5  # runs of one name that a question names


def run_named(uri: str, project: str, named: str) -> str | None:
    """The id of a run: named by its id, or by its name, where one of the project's has it.

    Raises `ModelError`, with their ids, where several do: the newest need not be what is meant.
    """
    from mlflow.exceptions import MlflowException

    api = client(uri)
    if re.fullmatch("[0-9a-f]{32}", named):
        try:
            return str(api.get_run(named).info.run_id)
        except MlflowException as problem:
            if problem.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise TrackingError(f"no run {named} on this server (deleted for good?).") from None
    experiment = api.get_experiment_by_name(project)
    if experiment is None or "'" in named:
        return None
    found = api.search_runs(
        [experiment.experiment_id], f"attributes.run_name = '{named}'", max_results=_SHOWN + 1
    )
    if len(found) > 1:
        listed = ", ".join(_begun(run.info) for run in found[:_SHOWN])
        more = " and others" if len(found) > _SHOWN else ""
        raise ModelError(f"several runs are called {named}: {listed}{more}; give the id of one.")
    return str(found[0].info.run_id) if found else None


def _begun(info: RunInfo) -> str:
    began = datetime.fromtimestamp((info.start_time or 0) / 1000, UTC)
    return f"{info.run_id} of {began:%Y-%m-%d %H:%M}"


def address_of(found: ModelRef) -> str:
    """MLflow's URI of what was found: the version or logged model that it is now."""
    if found.name:
        return f"models:/{found.name}/{found.version}"
    return f"models:/{found.model_id}" if found.model_id else found.named
