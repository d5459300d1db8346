"""A repository that is looked at again and again: answered from copies, read in the background."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..contracts import drift
from ..errors import FeastNbError, TrackingError, brief
from ..history import queries
from ..integrations.feast import definition_hashes, registry, repository, store
from ..integrations.feast.store import settings_of
from ..integrations.feast.views import refs_of_service
from ..integrations.mlflow import contract_store, database, http, runs
from ..lineage import overview, usage
from ..patching.patches import Patches
from ..records.answers import Operations
from ..records.contract import Contract
from ..records.facts import RegisteredModel, Registry
from ..records.lineage import Impact, Lineage
from ..records.overview import ProjectOverview, Tracking
from . import answers
from .source import HistorySource, stretch_of

if TYPE_CHECKING:
    from feast import FeatureStore

FRESH = 2.0  # seconds within which what was read is not read again
PATIENCE = 4.0  # seconds that an answer waits for MLflow; after that it is given from the copy
_CONTRACTS = 2000  # of how many model versions the definitions are compared

_T = TypeVar("_T")
_SAID = {
    "disabled": "MLflow is not enabled for this repository; add `mlflow: {enabled: true}` to its "
    "feature_store.yaml.",
    "unapplied": "nothing is applied in this repository yet; run `feast apply`.",
    "unmade": "the tracking database has not all tables of this MLflow yet: the first run makes "
    "them.",
}


class RepositoryMonitor:
    """A feature repository and its tracking server, looked at by a panel.

    Nothing of it writes, nothing that is not there yet is made by looking, and no code of the
    repository is run. `tracking_uri` is a notebook's, for repositories that leave it to the
    environment. Raises `RepositoryError` for a `feature_store.yaml` that Feast cannot use.
    """

    def __init__(self, yaml: Path, tracking_uri: str | None = None) -> None:
        self._yaml = yaml
        self._given = tracking_uri
        self._lock = threading.RLock()
        self._written: tuple[int, int] | None = None
        self._off = Tracking("disabled")
        self._uri: str | None = None
        self._copy: _Copy | None = None
        self.store: FeatureStore | None = None
        self._open()

    def _open(self) -> None:
        written = _written(self._yaml)
        self._off, self._uri, self._copy = Tracking("disabled"), None, None
        if not store.is_applied(self._yaml):
            self.store, self._off = None, Tracking("unapplied")
            return
        self.store = store.open_store(self._yaml)
        settings = settings_of(self.store)
        if settings is not None and not settings.tracking_uri and self._given:
            settings.tracking_uri = self._given
        if settings is not None:
            try:
                self._uri = runs.address(settings.get_tracking_uri())
            except TrackingError as problem:
                self._off = Tracking("refused", str(problem))
        self._written = written

    def look(self) -> Tracking:
        """Whether MLflow answers; it is asked again where that is a while ago."""
        with self._lock:
            if self.store is None or _written(self._yaml) != self._written:
                self._open()
            if self._uri is None:
                return self._off
            if self._copy is None:
                assert self.store is not None  # it has an address
                if not database.has_current_schema(self._uri):
                    return Tracking("unmade")
                self._copy = _Copy(self.store, self._uri)
            copy = self._copy
        return copy.look()

    @property
    def off(self) -> str:
        """Why nothing is to be known of MLflow; empty where it has something to say."""
        found = self.look()
        if found.state == "refused":
            return found.said
        return _SAID.get(found.state, "")

    def asked(self, ask: Callable[[HistorySource], _T]) -> _T:
        """An answer from what was read of MLflow; raises `TrackingError` where nothing was."""
        found = self.look()
        if self._copy is None or self._copy.history.as_of is None:
            raise TrackingError(_SAID.get(found.state) or found.said)
        with self._lock:
            return ask(self._copy)

    def overview(self) -> ProjectOverview:
        """The project at one look; without what MLflow knows while MLflow has said nothing."""
        found = self.look()
        now = time.time()
        copy = self._copy
        if self.store is None:
            return ProjectOverview("", tracking=found)
        if copy is None or copy.history.as_of is None:
            registry.refresh(self.store)
            known = overview.build(
                repository.catalog(self.store),
                None,
                (),
                lambda _: ("unknown", ()),
                lambda _: None,
                int(now * 1000),
            )
            return _with(known, tracking=found)
        with self._lock:
            days = stretch_of(queries.began(copy.history), now)
            past = copy.known(days=days)
            used = usage.build(
                past.catalog, past.groups, past.models, days=days, now=int(now * 1000)
            )
            fit = DriftChecker(self.store, past.catalog, copy.contracts)
            known = overview.build(
                past.catalog, used, past.models, fit.of, _urls(copy.ui), int(now * 1000)
            )
        notes = (*copy.notes, *known.notes)
        return _with(known, tracking=found, as_of=copy.as_of, notes=notes)

    def lineage(self, named: str | None, up: int | None, down: int | None) -> Lineage:
        """The graph of the project, or of what an object comes from and what comes of it."""
        names = [named] if named else []
        return self._drawn(lambda past: answers.lineage(past, names, up=up, down=down))

    def impact(self, named: str) -> Impact:
        """Everything that depends on an object."""
        return self._drawn(lambda past: answers.impact(past, named))

    def _drawn(self, ask: Callable[[HistorySource], _T]) -> _T:
        """As `asked`; of the registry alone, and with the reason, where there is no MLflow."""
        found = self.look()
        with self._lock:
            opened = self.store
            if opened is None or found.state not in ("disabled", "unmade"):
                return self.asked(ask)
            past = HistorySource(opened, None, notes=(_SAID[found.state],))
            with contextlib.closing(past.history):
                return ask(past)

    def operations(self, most: int) -> Operations:
        """What was applied and materialized, newest first."""
        return self.asked(lambda past: answers.operations(past, most))


class _Copy(HistorySource):
    """A history source that answers from the copy, which another one keeps up to date."""

    def __init__(self, opened: FeatureStore, uri: str) -> None:
        super().__init__(opened, uri)
        self._server = uri
        self.contracts: dict[str, Contract | None] = {}
        self._reader = HistorySource(opened, uri)
        self._reader.show = self._shown
        self._share = 0.0
        self._pool = ThreadPoolExecutor(1, "feast_nb reading")
        self._reading: Future[None] | None = None
        self._looked = 0.0
        self._trouble = ""
        self._asking = threading.Lock()

    def refresh(self, anew: bool = False) -> None:
        """Nothing: the other one does it."""

    def look(self) -> Tracking:
        """Have MLflow read, unless that was just done, and wait a little for it."""
        with self._asking:
            done = self._reading is None or self._reading.done()
            if done and time.monotonic() - self._looked > FRESH:
                self._reading = self._pool.submit(self._bring)
        if self._reading is not None:
            wait_for([self._reading], PATIENCE)
        url = runs.web_address(self.ui)
        if self._trouble:
            return Tracking("away", self._trouble, url)
        if self.history.as_of is None:
            return Tracking("reading", "MLflow is being read for the first time.", url, self._share)
        return Tracking("ready", "", url)

    def _bring(self) -> None:
        trouble = ""
        try:
            before = self._reader.history
            self._reader.refresh()
            self.notes = self._reader.notes
            trouble = next((n for n in self.notes if n.startswith("as of ")), "")
            if self._reader.history is not before:  # it was broken, and made anew
                self.history.close()
                self.history = type(before)(before.path)
            self._read_contracts()
        except FeastNbError as problem:
            trouble = str(problem)
        except Exception as problem:  # a driver's, MLflow's own: the panel shows its first line
            trouble = f"{type(problem).__name__}: {brief(problem, 300)}"
        finally:
            self._catalog = None
            self._trouble = trouble
            self._looked = time.monotonic()

    def _read_contracts(self) -> None:
        """Contracts of what is served, or might be: of versions with an alias, and the latest."""
        latest: dict[str, RegisteredModel] = {}
        wanted: dict[str, None] = {}
        for model in queries.models(self._reader.history, project=self.project):
            latest[model.name] = model
            if model.aliases and model.contract:
                wanted[model.contract] = None
        wanted |= dict.fromkeys(m.contract for m in latest.values() if m.contract)
        missing = [a for a in list(wanted)[:_CONTRACTS] if a not in self.contracts]
        if missing:
            self.contracts |= contract_store.contracts_at(self._server, missing)

    def _shown(self, count: int, share: float) -> None:
        self._share = share


class DriftChecker:
    """How today's registry differs from what model versions were trained on."""

    def __init__(
        self, opened: FeatureStore, catalog: Registry, kept: dict[str, Contract | None]
    ) -> None:
        self._catalog = catalog
        self._kept = kept
        self._gone: dict[tuple[str, ...], tuple[str, ...]] = {}
        known = registry.definitions_now(opened)
        pinned = {v for c in kept.values() if c is not None for v in drift.versions_named(c)}
        self._views = known.records(pinned)
        self._parts = definition_hashes.parts_of(self._views.values())
        self._services = {n: refs_of_service(s) for n, s in known.services.items()}

    def of(self, model: RegisteredModel) -> tuple[str, tuple[str, ...]]:
        """The gravest change, and all in words."""
        contract = self._kept.get(model.contract or "")
        if contract is None or not contract.views:
            if model.refs not in self._gone:  # thousands of versions share a few hundred lists
                self._gone[model.refs] = tuple(
                    f"{ref} is gone." for ref in model.refs if not self._offers(ref)
                )
            said = self._gone[model.refs]
            return ("breaks serving" if said else "unknown"), said
        refs = self._services.get(contract.service or "")
        changes = drift.compare(contract, self._views, self._parts, refs)
        if not changes:
            return "same", ()
        return drift.worst(changes), tuple(c.said for c in changes)

    def _offers(self, ref: str) -> bool:
        view, _, feature = ref.partition(":")
        name = self._catalog.names.get(view, view)
        known = self._catalog.views.get(name)
        return known is not None and feature in (*known.features, *known.earlier)


def follow_requests() -> None:
    """Have MLflow's requests give up soon, in a process that has no recorder to see to it."""
    http.follow(Patches())


def load_libraries() -> None:
    """Import Feast and MLflow. What cannot be imported is told where a question needs it."""
    for load in (store.load_feast, runs.load_mlflow):
        with contextlib.suppress(Exception):
            load()


def _urls(ui: str) -> Callable[[str], str | None]:
    """The address of `name/3` in MLflow's UI, for thousands of them."""
    if runs.web_address(ui) is None:
        return lambda _: None

    def url(shown: str) -> str | None:
        name, _, version = shown.rpartition("/")
        return runs.version_url(ui, name, version)

    return url


def _with(known: ProjectOverview, **more: Any) -> ProjectOverview:
    from dataclasses import replace

    return replace(known, **more)


def _written(yaml: Path) -> tuple[int, int]:
    found = yaml.stat()
    return found.st_mtime_ns, found.st_size
