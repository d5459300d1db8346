"""What a repository holds, as a record, and whether what a user names is in it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FeatureError, nearest
from ...masking import public_uri
from ...records.facts import Registry, RegistryService, RegistryView
from ...records.references import split_version
from ...records.retrieval import NO_ENTITY
from ...records.run import Repository
from .registry import Definitions, definitions_now, definitions_of
from .sources import duckdb_reads
from .store import folder_of, is_by_environment, settings_of
from .views import View, dtype_named, mlflow_origin, refs_of_service, sources_of

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureService, FeatureStore
    from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
    from feast.protos.feast.core.FeatureService_pb2 import FeatureServiceSpec


def describe(store: FeatureStore, yaml: Path) -> Repository:
    """What a feature repository holds."""
    config = store.config
    settings = getattr(config, "mlflow", None)
    known = definitions_of(store)
    tracking = settings.get_tracking_uri() if settings else None
    block = {k: getattr(settings, k) for k in _SHOWN} if settings else {"enabled": False}
    return Repository(
        project=store.project,
        path=str(folder_of(yaml)),
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


_EMPTY = "nothing is applied in this repository yet: run `feast apply`."
_NO_SERVICE = "this repository has none."
_SHOWN = (
    "enabled",
    "auto_log",
    "auto_log_entity_df",
    "entity_df_max_rows",
    "log_operations",
    "ops_experiment_suffix",
)


def _repository_warnings(store: FeatureStore) -> tuple[str, ...]:
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
            "feature_store.yaml, or MLFLOW_TRACKING_URI where that has no mlflow block."
        )
    if is_by_environment(store):
        said.append(
            "feature_store.yaml has no mlflow block: runs go where MLFLOW_TRACKING_URI says."
        )
    if str(getattr(store.config.offline_store, "type", "")).endswith(("file", "dask")):
        sources = [v.batch_proto for v in definitions_of(store).views.values() if v.batch_proto]
        better = (
            " `offline_store: {type: duckdb}` keeps them as nulls and is several times faster."
            if duckdb_reads(sources)
            else ""
        )
        said.append(
            "the offline store `file` (dask) drops training rows that have no value within the "
            f"TTL.{better}"
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


def service_named(store: FeatureStore, name: str) -> FeatureService:
    """The feature service of that name; raises `FeatureError` that names the nearest."""
    from feast.errors import FeatureServiceNotFoundException

    try:
        return store.get_feature_service(name)
    except FeatureServiceNotFoundException:
        known = definitions_of(store).services
        hint = nearest(name, known) or (_NO_SERVICE if definitions_of(store).views else _EMPTY)
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


def check_refs(store: FeatureStore, refs: Sequence[str]) -> None:
    """Raise `FeatureError` for the first reference that names nothing, with the nearest one."""
    known = definitions_of(store)
    for ref in refs:
        name, colon, feature = ref.partition(":")
        if not colon:
            raise FeatureError(f"{ref} needs its view: write view:feature.")
        plain = split_version(name)[0]
        if plain not in known.views:
            hint = nearest(plain, known.views) or _EMPTY
            raise FeatureError(f"no feature view {plain} for {ref}; {hint}")
        features = [f.name for f in known.view(name).features]
        if feature not in features:
            raise FeatureError(
                f"view {name} has no feature {feature}; {nearest(feature, features)}"
            )


def saved_rows(store: FeatureStore, name: str) -> pd.DataFrame:
    """The rows of a saved dataset as they are now; raises `FeatureError` where it is gone."""
    from feast.errors import SavedDatasetNotFound

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that saved datasets are experimental
            found: pd.DataFrame = store.get_saved_dataset(name).to_df()
            return found
    except SavedDatasetNotFound:
        raise FeatureError(
            f"cannot be rebuilt: the saved dataset {name} is not registered any more."
        ) from None


# ------------------------------------------------------------------ as facts, for the read path


def catalog(store: FeatureStore) -> Registry:
    """What the registry of a store holds of its project today."""
    return catalog_of(definitions_now(store))


def catalog_of(known: Definitions) -> Registry:
    """The same of definitions that were read before."""
    entities = {name: key for name, key in known.join_keys.items() if name != NO_ENTITY}
    views = {name: _view_fact(view, known) for name, view in known.views.items()}
    services = {name: _service_fact(spec) for name, spec in known.services.items()}
    sources = {_name(s): _kind(s) for s in known.sources}
    origins = {_name(s): mlflow_origin(s) for s in known.sources}
    for view in known.views.values():
        for source in _all_sources(view):
            sources.setdefault(_name(source), _kind(source))
            origins.setdefault(_name(source), mlflow_origin(source))
    made = {name: origin for name, origin in origins.items() if origin is not None}
    return Registry(known.project, sources, entities, views, services, made)


def _view_fact(view: View, known: Definitions) -> RegistryView:
    spec, meta = view.spec, view.message.meta
    filled = [i.end_time.ToMilliseconds() for i in getattr(meta, "materialization_intervals", ())]
    now = {f.name for f in view.features}
    earlier = (known.view(f"{spec.name}@v{n}") for n in known.versions_of(spec.name))
    return RegistryView(
        name=spec.name,
        kind=view.kind,
        features=tuple(f.name for f in spec.features),
        sources=tuple(dict.fromkeys(_name(s) for s in _all_sources(view))),
        entities=tuple(e for e in spec.entities if e != NO_ENTITY),
        reads=tuple(f"{r.view}:{f}" for r in view.reads for f in r.features),
        description=spec.description,
        owner=spec.owner,
        dtypes=tuple(dtype_named(f.value_type) for f in spec.features),
        ttl=view.ttl or None,
        tags=dict(spec.tags),
        online=bool(getattr(spec, "online", False)),
        materialized=max(filled, default=None),
        unavailable=view.unavailable,
        earlier=tuple(
            dict.fromkeys(f.name for v in earlier for f in v.features if f.name not in now)
        ),
    )


def _all_sources(view: View) -> Iterator[DataSourceProto]:
    """The data sources of a view, and those that feed a stream or a push source of it."""
    for source in sources_of(view.spec):
        yield source
        if source.HasField("batch_source"):
            yield source.batch_source


def _service_fact(spec: FeatureServiceSpec) -> RegistryService:
    refs = [f"{p.feature_view_name}:{c.name}" for p in spec.features for c in p.feature_columns]
    renamed = {
        p.feature_view_name_alias: p.feature_view_name
        for p in spec.features
        if p.feature_view_name_alias and p.feature_view_name_alias != p.feature_view_name
    }
    return RegistryService(
        spec.name, tuple(dict.fromkeys(refs)), renamed, spec.description, spec.owner
    )


def _name(source: DataSourceProto) -> str:
    """A source's name; of one without, where it lies."""
    return source.name or source.file_options.uri or "unnamed source"


def _kind(source: DataSourceProto) -> str:
    """`FileSource`, say; what SQL registries say of it is its type alone."""
    named = str(source.data_source_class_type).rpartition(".")[2]
    if named not in ("", "DataSource"):
        return named
    sort, _, of = type(source).SourceType.Name(source.type).partition("_")
    word = sort if of == "SOURCE" else of  # BATCH_FILE, PUSH_SOURCE
    if word in ("", "CUSTOM"):
        return "DataSource"
    return f"{_SPELT.get(word, word.capitalize())}Source"


_SPELT = {"BIGQUERY": "BigQuery"}
