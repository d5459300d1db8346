"""Read an MLflow server's Feast runs and model versions, page by page: what a history copies."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ...errors import FeastNbError
from ...masking import public_uri
from ...records.facts import Kind, RunFact, VersionFact
from ...records.references import canonical
from . import contract_store, retrieval_files
from . import tags as index
from .clients import client, connect
from .http import check_reachable, short_timeouts, translate_errors

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.store.entities import PagedList

Entity = TypeVar("Entity")
PAGE = 1000
_MODELS_PAGE = 1000  # MLflow's own limit for registered models
_VERSIONS_PAGE = 10_000


class Pages:
    """Reads one server for one project; `requests` counts what was asked of it."""

    def __init__(self, uri: str, registry_uri: str | None, project: str) -> None:
        from mlflow import MlflowClient

        check_reachable(uri)
        connect(uri)
        self._uri = uri
        self._project = project
        self._api = client(uri)
        self._registry = MlflowClient(uri, registry_uri) if registry_uri else self._api
        self._experiments: list[str] = []
        # A server works on several requests at once; a database is read in this process.
        self.at_once = 4 if uri.startswith(("http://", "https://")) else 1
        self.requests = 0

    def experiments(self) -> dict[str, tuple[str, bool, int]]:
        """Id → name, whether it is deleted, and when it was made."""
        from mlflow.entities import ViewType

        def page(token: str | None) -> PagedList[Experiment]:
            return self._api.search_experiments(
                view_type=ViewType.ALL, max_results=PAGE, page_token=token
            )

        found = [e for some in self._pages(page) for e in some]
        self._experiments = [str(e.experiment_id) for e in found]
        return {
            str(e.experiment_id): (e.name, e.lifecycle_stage == "deleted", e.creation_time or 0)
            for e in found
        }

    def runs(
        self,
        where: str = "",
        *,
        deleted: bool = False,
        most: int | None = None,
        newest: bool = False,
        experiments: Collection[str] | None = None,
    ) -> Iterator[list[RunFact]]:
        """The project's runs that a filter finds, in every experiment, oldest first.

        The next page is asked for by the start time of the last run: MLflow's own tokens count
        runs, and pass one over where another was deleted meanwhile.
        """
        from mlflow.entities import ViewType

        quote = '"' if "'" in self._project else "'"
        mine = f"tags.`feast.project` = {quote}{self._project}{quote}"
        filters = f"{where} AND {mine}" if where else mine
        kind = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        order = [f"attributes.start_time {'DESC' if newest else 'ASC'}"]
        places = self._experiments if experiments is None else list(experiments)
        low, token, seen = None, None, set[str]()
        while places:
            since = "" if low is None else f" AND attributes.start_time >= {low}"
            self.requests += 1
            with translate_errors():
                page = self._api.search_runs(
                    places, filters + since, kind, most or PAGE, order, token
                )
            found = [run_of(run) for run in page]
            yield [run for run in found if run.id not in seen]
            if most is not None or not page.token:
                return
            if found[-1].started == low:  # more runs of one millisecond than go on a page
                token = page.token
            else:
                low, token = found[-1].started, None
            seen = {run.id for run in found if run.started == low}

    def run(self, id: str) -> RunFact | None:
        """One run; None where it is gone for good, or not the project's."""
        from mlflow.exceptions import MlflowException

        self.requests += 1
        with translate_errors():
            try:
                found = run_of(self._api.get_run(id))
            except MlflowException as problem:
                if problem.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return None
        return found if found.project == self._project else None

    def versions(self) -> list[VersionFact]:
        """Every registered model version."""

        def page(token: str | None) -> PagedList[ModelVersion]:
            return self._registry.search_model_versions(
                max_results=_VERSIONS_PAGE, page_token=token
            )

        return [version_of(v) for some in self._pages(page) for v in some]

    def aliases(self) -> dict[str, dict[str, int]]:
        """Registered model → alias → version; versions that are searched for come without."""

        def page(token: str | None) -> PagedList[RegisteredModel]:
            return self._registry.search_registered_models(
                max_results=_MODELS_PAGE, page_token=token
            )

        return {
            model.name: {alias: int(v) for alias, v in (model.aliases or {}).items()}
            for some in self._pages(page)
            for model in some
        }

    def contracts(
        self, wanted: Iterable[VersionFact]
    ) -> dict[str, tuple[tuple[str, ...] | None, str | None]]:
        """Kept contracts' features and services, by their addresses; None for none of ours."""
        addresses = [v.contract for v in wanted if v.contract]
        self.requests += len(addresses)
        return {
            address: (canonical(c.features, c.views), c.service) if c else (None, None)
            for address, c in contract_store.contracts_at(self._uri, addresses).items()
        }

    def whole(self, run: RunFact) -> RunFact:
        """A run of ours whose references are too many for a tag, with all of them."""
        self.requests += 1
        from mlflow.exceptions import MlflowException

        try:
            with short_timeouts():
                kept = retrieval_files.retrievals_of(self._uri, run.id).retrievals
        except (FeastNbError, MlflowException, OSError):
            return run  # it is gone, the store of files is away, or it is none of ours
        counted, _ = index.counting(kept)
        refs = index.union(canonical(r.refs, r.views) for r in counted)
        return replace(run, refs=refs, cut=False) if refs else run

    def _pages(self, page: Callable[[str | None], PagedList[Entity]]) -> Iterator[list[Entity]]:
        token = None
        while True:
            self.requests += 1
            with translate_errors():
                found = page(token)
            yield list(found)
            token = found.token
            if not token:
                return


def run_of(run: Run) -> RunFact:
    """An MLflow run as a plain fact; what Feast's own integration wrote is read as well."""
    info, tags = run.info, dict(run.data.tags)
    refs, cut = _refs(tags, run.data.params)
    return RunFact(
        id=info.run_id,
        experiment=str(info.experiment_id),
        name=info.run_name or info.run_id[:8],
        status=info.status,
        started=info.start_time or 0,
        kind=_kind(tags, refs),
        project=tags.get("feast.project", ""),
        ended=info.end_time,
        deleted=info.lifecycle_stage == "deleted",
        user=tags.get("mlflow.user") or (info.user_id if info.user_id != "unknown" else None),
        service=tags.get("feast.feature_service") or None,
        refs=refs,
        cut=cut,
        notebook=tags.get("feast_nb.notebook") or _notebook(tags),
        rows=_number(tags.get("feast.entity_df_rows") or tags.get("feast.entity_count")),
        model=tags.get("feast.model_name"),
        version=tags.get("feast.model_version"),
        written=run.data.metrics.get("feast_nb.written_at", 0.0),
        metrics={k: v for k, v in run.data.metrics.items() if k != "feast_nb.written_at"},
        # Only what an answer shows is kept: parameters and tags may hold anything.
        params=dict(run.data.params) if "feast.operation" in tags else {},
        tags={k: v for k, v in tags.items() if _kept(k)},
    )


def version_of(version: ModelVersion) -> VersionFact:
    """A registered model version as a plain fact."""
    tags = dict(version.tags or {})
    source = str(version.source or "")
    features = tags.get("feast_nb.features")
    return VersionFact(
        name=version.name,
        version=int(version.version),
        run=version.run_id or None,
        model_id=source.removeprefix("models:/") if source.startswith("models:/m-") else None,
        stage=None if version.current_stage in (None, "None") else version.current_stage,
        created=version.creation_timestamp or 0,
        updated=version.last_updated_timestamp or 0,
        refs=tuple(features.split(",")) if features else None,
        service=tags.get("feast.feature_service") or None,
        contract=tags.get("feast_nb.contract"),
        tags={k: v for k, v in tags.items() if _kept(k)},
    )


def _kind(tags: Mapping[str, str], refs: tuple[str, ...]) -> Kind:
    """What a run counts as: an operation is no use, and an inherited retrieval no other one."""
    if "feast.operation" in tags:
        return "operation"
    if "feast.model_name" in tags or "feast_nb.predicts" in tags:
        return "prediction"
    if not refs:
        return "other"
    if "feast_nb.inherited_from" in tags:
        return "inherited"
    return "lookup" if tags.get("feast.retrieval_type") == "online" else "training"


def _refs(tags: Mapping[str, str], params: Mapping[str, str]) -> tuple[tuple[str, ...], bool]:
    """The references of a run's tag, by the views' registered names, and whether some lack.

    Feast cuts the tag within a reference; what is left of that one is no reference.
    """
    text = tags.get("feast.feature_refs") or params.get("feast.feature_refs", "")
    refs = [ref.strip() for ref in text.split(",") if ref.strip()]
    cut = text.endswith("...")
    if cut:
        refs = refs[:-1]
    whole = _number(tags.get("feast.feature_count"))
    missing = "feast_nb.refs_missing" in tags or (whole is not None and whole > len(refs))
    pairs = (pair.partition("=") for pair in tags.get("feast_nb.renamed", "").split(",") if pair)
    renamed = {name: view for name, _, view in pairs}
    named = []
    for ref in refs:
        view, colon, feature = ref.partition(":")
        named.append(f"{renamed.get(_plain(view), _plain(view))}{colon}{feature}")
    return tuple(dict.fromkeys(named)), cut or missing


def _plain(view: str) -> str:
    """A view's name without the version that was asked for."""
    return view.partition("@")[0]


def _notebook(tags: Mapping[str, str]) -> str | None:
    name = public_uri(tags.get("mlflow.source.name")) or ""
    return name if name.endswith(".ipynb") else None


def _kept(tag: str) -> bool:
    """Long lists are kept as what they mean, and queries not at all."""
    left_out = ("feast.feature_refs", "feast.feature_views", "feast.entity_df_query")
    return tag.startswith(("feast.", "feast_nb.")) and tag not in left_out


def _number(text: str | None) -> int | None:
    try:
        return int(float(text)) if text else None
    except (ValueError, OverflowError):
        return None
