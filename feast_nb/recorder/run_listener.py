"""MLflow's calls as they are noticed: runs that open and end, models logged and registered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts import contract
from ..frames import matching
from ..integrations.feast import definition_hashes
from ..integrations.feast.store import sqlite_file
from ..records.outbox import RunEnd, RunStart, VersionEntry
from ..records.retrieval import LinkedBy, Retrieval
from ..records.run import RunRef
from .origins.contract_check import invented_changes
from .origins.logged_models import LoggedModel, ModelBeforeContract
from .origins.model_origins import ModelOrigin

if TYPE_CHECKING:
    from feast import FeatureStore
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models.model import ModelInfo

    from ..integrations.mlflow.run_hooks import StartedRun
    from .notices import Notices
    from .open_runs import OpenRuns
    from .origins.frame_links import FrameLinks
    from .origins.model_origins import ModelOrigins
    from .origins.run_origin import RunOrigins
    from .recording import Recording

_PATIENCE = 15.0  # seconds for frames that are being hashed: logging a model takes longer

_guessed: ContextVar[bool] = ContextVar("feast_nb_guessed_signature", default=False)


@contextmanager
def guessed_signature(guessed: bool) -> Iterator[None]:
    """Whether the signature of a model that is logged within is a guess of ours, no fact."""
    token = _guessed.set(guessed)
    try:
        yield
    finally:
        _guessed.reset(token)


class RunListener:
    """Listens to MLflow for the recorder."""

    def __init__(
        self,
        runs: OpenRuns,
        recording: Recording,
        links: FrameLinks,
        origins: RunOrigins,
        notices: Notices,
        stores: Callable[[], Sequence[FeatureStore]],
        models: ModelOrigins,
        begun: Callable[[RunRef], None],
        flush: Callable[..., bool],
    ) -> None:
        self._runs = runs
        self._models = models
        self._recording = recording
        self._table = recording.table
        self._links = links
        self._origins = origins
        self._notices = notices
        self._stores = stores
        self._begun = begun
        self._flush = flush
        self.logged: list[LoggedModel] = []
        self._seen: dict[str, ModelBeforeContract] = {}
        self._early: dict[str, list[ModelVersion]] = {}

    def run_started(self, started: StartedRun) -> None:
        """Keep which runs are open; a kernel's are on disk, for the next to close if it dies."""
        run = RunRef(started.run_id, started.tracking_uri)
        self._runs.begin(run, started.parent_id, started.resumed)
        self._models.run_begun(run)
        kernel = self._notices.interactive
        if kernel or started.resumed:
            source = self._origins.source_instead_of(started.source or "")
            notebook = self._origins.notebook
            opened = RunStart(notebook, started.name, source, started.resumed, kernel)
            self._recording.put(run, opened)
        self._origins.opened(run)
        if self._runs.records(run):
            self._recording.link_all(run, self._links.run_begun(run.id))
        self._begun(run)

    def run_ends(self, run_id: str, status: str) -> None:
        """Send all of a run's records before MLflow ends it; what cannot go stays on disk."""
        run = self._runs.end(run_id)
        if run is None:
            return
        self.link_reads(run)
        self._inherit(run)
        found = self._table.of_run(run_id)
        if found or self._notices.interactive:
            self._recording.look_again()
            self._recording.settle()
            used = [r.cell for r in found] + [c.cell for c in self._table.contracts_of(run_id)]
            self._origins.ends(run, used)
            self._recording.put(run, RunEnd(status))
            self._recording.outbox.hold(run_id)
        else:
            self._origins.forget(run)
        self._flush(run_id, final=True)

    def end_failed(self, run_id: str, tracking_uri: str, status: str) -> None:
        """MLflow could not tell its server that a run ended: it is told when it is back."""
        from ..integrations.mlflow.runs import ENDINGS

        known = self._table.of_run(run_id) or self._notices.interactive
        if known and status in ENDINGS:  # else MLflow has no such status
            self._recording.put(RunRef(run_id, tracking_uri), RunEnd(status, late=True))
        self.run_ended(run_id)

    def run_ended(self, run_id: str) -> None:
        """MLflow has let go of a run: whoever finds our records has nothing to end."""
        self._recording.outbox.release(run_id)

    def link_reads(self, run: RunRef) -> None:
        """A run uses everything that the running cell reads while it is open."""
        if self._runs.records(run):
            self._recording.link_all(run, self._links.of_run(run.id))

    def _inherit(self, run: RunRef) -> None:
        """A nested run that retrieved nothing itself worked on what its parent retrieved."""
        outer = self._runs.outer_of(run.id)
        while outer is not None and not self._table.of_run(run.id):
            for retrieval in self._table.of_run(outer):
                if retrieval.kind == "historical":
                    self._recording.link(run, retrieval.id, "parent", outer)
            outer = self._runs.outer_of(outer)

    def model_logged(self, info: ModelInfo, model: object, tracking_uri: str) -> None:
        """Give every model that is logged in a run its contract, whoever logged it."""
        from ..integrations.mlflow import models
        from ..integrations.model_libraries.categories import categories_of
        from ..integrations.model_libraries.model_inputs import Inputs, inputs_of

        if self._runs.paused or not info.run_id:
            return
        run = RunRef(str(info.run_id), tracking_uri)
        found = inputs_of(model) if model is not None else Inputs()
        types = models.signature_of(info)
        signature = None if _guessed.get() else types
        self._recording.settle(_PATIENCE)  # a contract says how each input was in training
        name, flavor = str(getattr(info, "name", None) or "model"), models.flavor_in(info)
        origin = self._models.find(model) if model is not None else ModelOrigin()
        seen = ModelBeforeContract(
            run=run,
            name=name,
            flavor=flavor,
            input_names=found.names,
            signature=signature,
            width=found.width,
            fit=origin.fit,
            types=types,
            categories={  # the frame's win: XGBoost cuts some of its own
                **(categories_of(model, found.names) if model is not None else {}),
                **(origin.fit.categories if origin.fit else {}),
            },
        )
        sources = self._sources(seen, origin)
        model_id = str(info.model_id)
        self.logged.append(LoggedModel(model_id, run, name, flavor, model))
        if not sources and self._runs.options_of(run.id) is None:
            return
        self._seen[model_id] = seen
        tied = self._tied(run, sources, seen)
        if tied:  # what it takes may be known, its rows are not
            alike = len({r.refs for r in tied}) == 1
            self.link(model_id, tied if alike else [], "columns", sure=False)
        else:
            for id, by in sources.items():
                made_in = self._table.retrievals[id].run_id
                self._recording.link(run, id, by, self._runs.ancestor(run.id, made_in))
            mine = [r for r in self._table.of_run(run.id) if r.id in sources]
            self.link(model_id, mine, matching.least_certain(sources.values()))
        for version in self._early.pop(model_id, []):
            self._tag(version, model_id, tracking_uri)

    def _sources(self, seen: ModelBeforeContract, origin: ModelOrigin) -> dict[str, LinkedBy]:
        """The retrievals that a model was trained on, and how that is known of this model.

        What its `fit` was given says it; else the frames that the running cell reads; else the
        columns alone. Where several would do as well, none is surer than a match of columns.
        """
        run, names = seen.run, seen.input_names
        names = names or (tuple(seen.signature) if seen.signature else None)
        names = names or (seen.fit.columns if seen.fit else None)
        used = dict(origin.links or self._links.of_run(run.id) or self._links.now)
        found = self._table.sources_of(run.id, names, seen.width, used)
        if not found:
            self._inherit(run)
            found = self._table.sources_of(run.id, names, seen.width, used)
        sources: dict[str, LinkedBy] = {}
        for retrieval in self._nearest(run, found):
            outer = self._runs.ancestor(run.id, retrieval.run_id)
            by = used.get(retrieval.id) or ("parent" if outer else "columns")
            if origin.links is None and self._has_rival(retrieval, names, used, run.id):
                by = "columns"
            sources[retrieval.id] = by
        return sources

    def _tied(
        self, run: RunRef, sources: Mapping[str, LinkedBy], seen: ModelBeforeContract
    ) -> list[Retrieval]:
        """Retrievals of other runs that would do as well as each other, by their columns alone."""
        own = {r.id for r in self._table.of_run(run.id)}
        found = [self._table.retrievals[id] for id, by in sources.items()
                 if by == "columns" and id not in own]  # fmt: skip
        wanted = set(seen.input_names or seen.signature or (seen.fit.columns if seen.fit else ()))
        given = [c for r in found for c in r.columns() if not wanted or c in wanted]
        return found if len(given) > len(set(given)) else []

    def _nearest(self, run: RunRef, found: Sequence[Retrieval]) -> list[Retrieval]:
        """Of retrievals of the same features the run's own, else those of the nearest around it.

        One that never ran gave nothing to train on, where another did.
        """
        around = [run.id]
        while (outer := self._runs.outer_of(around[-1])) is not None:
            around.append(outer)
        own = {r.id for r in self._table.of_run(run.id)}

        def rank(one: Retrieval) -> tuple[int, bool]:
            home = 0 if one.id in own else len(around)
            if home and one.run_id in around:
                home = around.index(one.run_id)
            return home, one.state != "ran"

        best: dict[tuple[str, ...], tuple[int, bool]] = {}
        for one in found:
            best[one.refs] = min(best.get(one.refs, rank(one)), rank(one))
        return [one for one in found if rank(one) == best[one.refs]]

    def _has_rival(
        self, one: Retrieval, names: Sequence[str] | None, used: Collection[str], run_id: str
    ) -> bool:
        """Whether another retrieval could have given a model's inputs as well, for all we know."""
        wanted = set(names or one.columns()) & set(one.columns())
        pool = [self._table.retrievals[id] for id in used] or self._table.of_run(run_id)
        others = [r for r in pool if r.id != one.id and r.kind == "historical"]
        return any(wanted <= set(r.columns()) for r in others)

    def link(
        self, model_id: str, retrievals: Sequence[Retrieval], by: LinkedBy, sure: bool = True
    ) -> None:
        """Say which retrievals a logged model was trained on, and how that is known.

        Not `sure`: it was one of them, and nothing tells which.
        """
        seen = self._seen[model_id]
        built = contract.build(
            model_id=model_id,
            run_id=seen.run.id,
            name=seen.name,
            flavor=seen.flavor,
            input_names=seen.input_names,
            signature=seen.signature,
            width=seen.width,
            fit=(seen.fit.columns, seen.fit.named) if seen.fit else None,
            categories=seen.categories,
            types=seen.types,
            retrievals=retrievals,
            linked_by=by if retrievals else None,
            cell=self._origins.cell,
        )
        parts = definition_hashes.parts_of(built.views)
        inputs = contract.declared(built.inputs, built.views, parts)
        built = replace(built, inputs=inputs, definitions=parts)
        if not sure:
            unknown = (
                "which of several retrievals with these columns it was trained on is not known."
            )
            built = replace(built, retrievals=(), unknown=(*built.unknown, unknown))
        self._recording.modelled(seen.run, built)

    def version_registered(self, version: ModelVersion, model_uri: str, tracking_uri: str) -> None:
        model_id = model_uri.removeprefix("models:/") if "models:/m-" in model_uri else None
        if model_id is None and str(version.source).startswith("models:/m-"):
            model_id = str(version.source).removeprefix("models:/")
        if model_id is None:
            return
        if model_id in self._table.contracts:
            self._tag(version, model_id, tracking_uri)
        else:  # `log_model(registered_model_name=…)` registers before it has logged
            self._early.setdefault(model_id, []).append(version)

    def _tag(self, version: ModelVersion, model_id: str, tracking_uri: str) -> None:
        built = self._table.contracts[model_id]
        entry = VersionEntry(version.name, str(version.version), model_id)
        self._recording.put(RunRef(str(built.run_id), tracking_uri), entry)
        known = self._table.retrievals
        mine = [known[id] for id in built.retrievals if id in known]
        if invented := invented_changes(built, mine, self._stores()):
            self._notices.say(
                f"{version.name}/{version.version} would be called changed, and no definition has "
                f"changed since its training: {invented[0]}. That is a fault of feast_nb's; "
                "please report it."
            )

    def artifact_root(self, tracking_uri: str) -> Path | None:
        """Artifacts lie beside the SQLite tracking store of a repository, wherever one stands."""
        file = sqlite_file(tracking_uri)
        if file is None or not file.is_absolute():
            return None
        for store in self._stores():
            repo = Path(store.repo_path).resolve()
            if repo in file.resolve().parents:
                return file.parent / "mlartifacts"
        return None
