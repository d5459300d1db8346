"""MLflow's calls as they are noticed: runs that open and end, models logged and registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contracts import contract
from ..frames import matching
from ..integrations.feast import definition_hashes
from ..integrations.feast.store import sqlite_file
from ..records.outbox import RunEnd, RunStart, VersionEntry
from ..records.retrieval import LinkedBy, Retrieval
from ..records.run import RunRef

if TYPE_CHECKING:
    from ..integrations.mlflow.run_hooks import StartedRun
    from .frame_links import FrameLinks
    from .notices import Notices
    from .open_runs import OpenRuns
    from .recording import Recording
    from .run_origin import RunOrigins

_PATIENCE = 15.0  # seconds for frames that are being hashed: logging a model takes longer

# What MLflow takes for the source of a headless notebook.
_LAUNCHERS = ("ipykernel_launcher.py", "ipykernel/__main__.py", "colab_kernel_launcher.py")
_guessed: ContextVar[bool] = ContextVar("feast_nb_guessed_signature", default=False)


@contextmanager
def guessed_signature(guessed: bool) -> Iterator[None]:
    """Whether the signature of a model that is logged within is a guess of ours, no fact."""
    token = _guessed.set(guessed)
    try:
        yield
    finally:
        _guessed.reset(token)


@dataclass(frozen=True)
class ModelBeforeContract:
    """A model as it was logged, before it is known what it was trained on."""

    run: RunRef
    name: str
    flavor: str | None
    input_names: tuple[str, ...] | None
    signature: dict[str, str] | None
    width: int | None = None


class RunListener:
    """Listens to MLflow for the recorder."""

    def __init__(
        self,
        runs: OpenRuns,
        recording: Recording,
        links: FrameLinks,
        origins: RunOrigins,
        notices: Notices,
        stores: Callable[[], Sequence[Any]],
        begun: Callable[[RunRef], None],
        flush: Callable[..., bool],
    ) -> None:
        self._runs = runs
        self._recording = recording
        self._table = recording.table
        self._links = links
        self._origins = origins
        self._notices = notices
        self._stores = stores
        self._begun = begun
        self._flush = flush
        self.ids: list[str] = []
        self._seen: dict[str, ModelBeforeContract] = {}
        self._early: dict[str, list[Any]] = {}

    def run_started(self, started: StartedRun) -> None:
        """Keep which runs are open; a kernel's are on disk, for the next to close if it dies."""
        run = RunRef(started.run_id, started.tracking_uri)
        self._runs.begin(run, started.parent_id)
        if self._notices.interactive:
            notebook = self._origins.notebook
            launcher = (started.source or "").endswith(_LAUNCHERS)
            opened = RunStart(notebook, started.name, source=notebook if launcher else None)
            self._recording.put(run, opened)
            self._origins.opened(run)
        self.link_reads(run)
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
            self._recording.settle()
            used = [r.cell for r in found] + [c.cell for c in self._table.contracts_of(run_id)]
            self._origins.ends(run, used)
            self._recording.put(run, RunEnd(status))
        self._flush(run_id, final=True)

    def link_reads(self, run: RunRef) -> None:
        """A run uses everything that the running cell reads."""
        if self._runs.records(run):
            self._recording.link_all(run, self._links.now)

    def _inherit(self, run: RunRef) -> None:
        """A nested run that retrieved nothing itself worked on what its parent retrieved."""
        outer = self._runs.outer_of(run.id)
        while outer is not None and not self._table.of_run(run.id):
            for retrieval in self._table.of_run(outer):
                if retrieval.kind == "historical":
                    self._recording.link(run, retrieval.id, "parent", outer)
            outer = self._runs.outer_of(outer)

    def model_logged(self, info: Any, model: Any, tracking_uri: str) -> None:
        """Give every model that is logged in a run its contract, whoever logged it."""
        from ..integrations.mlflow import models

        if self._runs.paused or not info.run_id:
            return
        run = RunRef(str(info.run_id), tracking_uri)
        found = models.inputs_of(model) if model is not None else models.Inputs()
        signature = None if _guessed.get() else models.signature_of(info)
        self._recording.settle(_PATIENCE)  # a contract says how each input was in training
        names = found.names or (tuple(signature) if signature else None)
        used = self._links.now
        mine = self._table.sources_of(run.id, names, found.width, used)
        if not mine:
            self._inherit(run)
            mine = self._table.sources_of(run.id, names, found.width, used)
        self.ids.append(str(info.model_id))
        if not mine and self._runs.options_of(run.id) is None:
            return
        self._seen[str(info.model_id)] = ModelBeforeContract(
            run=run,
            name=str(getattr(info, "name", None) or "model"),
            flavor=models.flavor_of(model) if model is not None else None,
            input_names=found.names,
            signature=signature,
            width=found.width,
        )
        for retrieval in mine:
            outer = self._runs.ancestor(run.id, retrieval.run_id)
            by = used.get(retrieval.id) or ("parent" if outer else "columns")
            self._recording.link(run, retrieval.id, by, outer)
        self.link(str(info.model_id), mine, self._least_sure(run, mine))
        for version in self._early.pop(str(info.model_id), []):
            self._tag(version, str(info.model_id), tracking_uri)

    def _least_sure(self, run: RunRef, retrievals: Sequence[Retrieval]) -> LinkedBy:
        """How it is known what a model was trained on: no surer than the weakest of its links."""
        known = [self._table.link_of(run.id, r.id) or "columns" for r in retrievals]
        return max(known, key=matching.LINK_CONFIDENCE.index, default="columns")

    def link(self, model_id: str, retrievals: Sequence[Retrieval], by: LinkedBy) -> None:
        """Say which retrievals a logged model was trained on, and how that is known."""
        seen = self._seen[model_id]
        built = contract.build(
            model_id=model_id,
            run_id=seen.run.id,
            name=seen.name,
            flavor=seen.flavor,
            input_names=seen.input_names,
            signature=seen.signature,
            width=seen.width,
            retrievals=retrievals,
            linked_by=by if retrievals else None,
            cell=self._origins.cell,
        )
        parts = definition_hashes.parts_of(built.views)
        inputs = contract.declared(built.inputs, built.views, parts)
        built = replace(built, inputs=inputs, definitions=parts)
        self._recording.modelled(seen.run, built)

    def version_registered(self, version: Any, model_uri: str, tracking_uri: str) -> None:
        model_id = model_uri.removeprefix("models:/") if "models:/m-" in model_uri else None
        if model_id is None and str(version.source).startswith("models:/m-"):
            model_id = str(version.source).removeprefix("models:/")
        if model_id is None:
            return
        if model_id in self._table.contracts:
            self._tag(version, model_id, tracking_uri)
        else:  # `log_model(registered_model_name=…)` registers before it has logged
            self._early.setdefault(model_id, []).append(version)

    def _tag(self, version: Any, model_id: str, tracking_uri: str) -> None:
        run_id = self._table.contracts[model_id].run_id
        entry = VersionEntry(version.name, str(version.version), model_id)
        self._recording.put(RunRef(str(run_id), tracking_uri), entry)

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
