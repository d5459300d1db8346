"""What a repository holds, as a record, and whether what a user names is in it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import FeatureError, nearest
from ...masking import public_uri
from ...records.retrieval import NO_ENTITY, split_version
from ...records.run import Repository
from .registry import definitions_of, refs_of_service
from .store import settings_of


def describe(store: Any, yaml: Path) -> Repository:
    """What a feature repository holds."""
    config = store.config
    settings = getattr(config, "mlflow", None)
    known = definitions_of(store)
    tracking = settings.get_tracking_uri() if settings else None
    block = {k: getattr(settings, k) for k in _SHOWN} if settings else {"enabled": False}
    return Repository(
        project=store.project,
        path=str(yaml.parent),
        registry=public_uri(str(getattr(config.registry, "path", config.registry))) or "",
        offline_store=str(getattr(config.offline_store, "type", "")).rpartition(".")[2],
        online_store=str(getattr(config.online_store, "type", "none")).rpartition(".")[2],
        tracking_uri=public_uri(tracking),
        ui_url=public_uri(settings.get_ui_url()) if settings else None,
        mlflow=block,
        entities=tuple(sorted(name for name in known.join_keys if name != NO_ENTITY)),
        views={n: tuple(f.name for f in v.features) for n, v in sorted(known.views.items())},
        services={n: refs_of_service(s) for n, s in sorted(known.services.items())},
        warnings=_repository_warnings(store),
    )


_SHOWN = (
    "enabled",
    "auto_log",
    "auto_log_entity_df",
    "entity_df_max_rows",
    "log_operations",
    "ops_experiment_suffix",
)


def _repository_warnings(store: Any) -> tuple[str, ...]:
    said = []
    settings = settings_of(store)
    if settings is not None and not _is_installed("mlflow"):
        said.append("mlflow is not installed here: pip install 'feast[mlflow]'.")
    if settings is not None and _is_folder(settings.get_tracking_uri()):
        said.append(
            "MLflow refuses a folder of files as its store; write "
            'tracking_uri: "sqlite:///mlflow.db" in feature_store.yaml, or set '
            "MLFLOW_ALLOW_FILE_STORE=true."
        )
    if settings is None:
        said.append(
            "MLflow is off here: runs and recording need `mlflow: {enabled: true}` in "
            "feature_store.yaml."
        )
    if str(getattr(store.config.offline_store, "type", "")).endswith(("file", "dask")):
        said.append(
            "the offline store `file` (dask) drops training rows that have no value within the "
            "TTL; `offline_store: {type: duckdb}` keeps them as nulls and is several times faster."
        )
    return tuple(said)


def _is_installed(name: str) -> bool:
    """Whether a library could be imported; it is not imported for it."""
    from importlib.util import find_spec

    try:
        return find_spec(name) is not None
    except ValueError:  # told to be absent
        return False


def _is_folder(uri: str | None) -> bool:
    """Whether a tracking address is a folder of files that MLflow would not take."""
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1"):
        return False
    if uri is None:  # MLflow's own choice: ./mlruns where there are runs in it
        return any(p.parent.name.isdigit() for p in Path("mlruns").glob("*/meta.yaml"))
    return uri.startswith("file:") or "://" not in uri


def service_named(store: Any, name: str) -> Any:
    """The feature service of that name; raises `FeatureError` that names the nearest."""
    from feast.errors import FeatureServiceNotFoundException

    try:
        return store.get_feature_service(name)
    except FeatureServiceNotFoundException:
        known = definitions_of(store).services
        hint = nearest(name, known) or "this repository has none."
        raise FeatureError(f"no feature service {name}; {hint}") from None


def check_collisions(refs: Sequence[str]) -> None:
    """Raise `FeatureError` where two views give a column of the same name."""
    seen: dict[str, str] = {}
    for ref in refs:
        view, _, feature = ref.partition(":")
        if seen.setdefault(feature, view) != view:
            raise FeatureError(
                f"{feature} is in both {seen[feature]} and {view}; add --full-feature-names to "
                "tell them apart."
            )


def check_refs(store: Any, refs: Sequence[str]) -> None:
    """Raise `FeatureError` for the first reference that names nothing, with the nearest one."""
    known = definitions_of(store)
    for ref in refs:
        name, colon, feature = ref.partition(":")
        if not colon:
            raise FeatureError(f"{ref} is no reference; write view:feature.")
        plain = split_version(name)[0]
        if plain not in known.views:
            raise FeatureError(f"no feature view {plain} for {ref}; {nearest(plain, known.views)}")
        features = [f.name for f in known.view(name).features]
        if feature not in features:
            raise FeatureError(
                f"view {name} has no feature {feature}; {nearest(feature, features)}"
            )


def saved_rows(store: Any, name: str) -> Any:
    """The rows of a saved dataset as they are now; raises `FeatureError` where it is gone."""
    from feast.errors import SavedDatasetNotFound

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that saved datasets are experimental
            return store.get_saved_dataset(name).to_df()
    except SavedDatasetNotFound:
        raise FeatureError(
            f"it cannot be rebuilt: the saved dataset {name} is not registered any more."
        ) from None
