"""The history of a repository's server: opened once, brought up to date, asked about objects."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FeatureError, TrackingError, UsageError, nearest
from ..history import History, database, queries
from ..integrations.feast import registry, repository
from ..integrations.feast.store import settings_of
from ..integrations.mlflow import clients, runs
from ..lineage.impact import touched
from ..lineage.state import ProjectState
from ..masking import public_uri
from ..paths import cache_folder
from ..records.facts import RegisteredModel, Registry

if TYPE_CHECKING:
    from feast import FeatureStore


class HistorySource:
    """What is known of a store's history; `notes` says what the reader of an answer must know.

    Without an address (`uri`) nothing is known of runs and models: only the registry is asked.
    `settle` is called before MLflow is read: what this process has yet to write goes first.
    `show` hears how many runs were read and which part of them that is; without it, a bar shows it.
    `catalog` is a registry that is asked in place of today's.
    """

    def __init__(
        self,
        store: FeatureStore,
        uri: str | None,
        settle: Callable[[], None] = lambda: None,
        notes: tuple[str, ...] = (),
        catalog: Registry | None = None,
    ) -> None:
        self.store = store
        self.uri = uri
        self.project: str = store.project
        self._settle = settle
        self._registry = clients.registry_uri(uri) if uri else None
        self.history = self._opened(uri) if uri else History.empty()
        self.notes = notes
        self.show: Callable[[int, float], None] | None = None
        self._given = self._catalog = catalog

    def _opened(self, uri: str) -> History:
        return History(place_of(uri, self._registry, self.project))

    def refresh(self, anew: bool = False) -> None:
        """Bring the copy up to date; with the server away the copy answers, and says as of when.

        Raises `TrackingError` where there is no copy yet.
        """
        self._catalog = self._given
        if self.uri is None:
            return
        self.notes = ()
        if why := self.history.why:
            self.notes = (f"the local history {why}; it was read anew.",)
            self.history.why = None
        self._settle()
        try:
            self._read_or_rebuild(self.uri, anew)
        except TrackingError as problem:
            as_of = self.history.as_of
            if as_of is None:
                raise
            self.notes += (f"as of {_ago(as_of)}: {problem}",)

    def _read_or_rebuild(self, uri: str, anew: bool) -> None:
        """A copy that turns out to be damaged is made anew: all of it can be read again."""
        try:
            self._read(uri, anew)
        except sqlite3.OperationalError as problem:  # no room, no right to write, in use for long
            raise TrackingError(
                f"the local history {self.history.path} cannot be written ({problem}); make room, "
                "or name another folder in FEAST_NB_CACHE."
            ) from problem
        except sqlite3.DatabaseError as problem:
            self.history.close()
            database.remove(self.history.path)
            self.history = History(self.history.path)
            self.notes += (f"the local history was broken ({problem}); it was read anew.",)
            self._read(uri, anew)

    def _read(self, uri: str, anew: bool) -> None:
        from ..integrations.mlflow.pages import Pages

        pages = Pages(uri, self._registry, self.project)
        if self.show is not None:
            self.history.refresh(pages, anew, self.show)
            return
        from tqdm.auto import tqdm

        with tqdm(total=100, desc="reading MLflow", unit="%", delay=1.0, leave=False) as bar:

            def show(count: int, share: float) -> None:
                bar.set_postfix_str(f"{count:,} runs", refresh=False)
                bar.update(round(share * 100) - bar.n)

            self.history.refresh(pages, anew, show)

    @property
    def as_of(self) -> str | None:
        found = self.history.as_of
        return datetime.fromtimestamp(found, UTC).isoformat("T", "seconds") if found else None

    @property
    def catalog(self) -> Registry:
        """What the registry holds today, read once for each answer."""
        if self._catalog is None:
            registry.refresh(self.store)  # another process may have applied something
            self._catalog = repository.catalog(self.store)
        return self._catalog

    def known(
        self, since: int | None = None, experiment: str | None = None, days: int = 1
    ) -> ProjectState:
        """The registry, and every run and model of the history, together."""
        return state_of(self.history, self.catalog, self.project, since, experiment, days)

    def url(self, run: str, experiment: str) -> str | None:
        """Where MLflow's UI shows a run."""
        return runs.run_url(self.ui, experiment, run)

    def version_url(self, shown: str) -> str | None:
        """Where MLflow's UI shows `name/3`."""
        name, _, version = shown.rpartition("/")
        return runs.version_url(self.ui, name, version)

    @property
    def ui(self) -> str:
        """The address of MLflow's UI: as set, else the tracking server's own."""
        settings = settings_of(self.store)
        base = (settings.get_ui_url() if settings else None) or os.environ.get("MLFLOW_UI_URL")
        return str(base or self.uri or "")


def state_of(
    history: History,
    catalog: Registry,
    project: str,
    since: int | None = None,
    experiment: str | None = None,
    days: int = 1,
) -> ProjectState:
    """A registry, and every run and model of a history, together."""
    with history.snapshot():
        groups = queries.groups(history, since, experiment, days * queries.DAY)
        models = queries.models(history, groups, project)
    return ProjectState(catalog, groups, models)


def place_of(uri: str, registry: str | None, project: str) -> Path:
    """Where the history of a server, registry and project lies."""
    server = public_uri(uri) or ""
    if workspace := clients.workspace():  # the same server holds other runs in another
        server = f"{server} {workspace}"
    named = (server, public_uri(registry), project)
    return database.path_of(cache_folder() / "history", *named)


def find(named: str, known: ProjectState, history: History) -> list[tuple[str, str]]:
    """The objects that a name means: bare where it is unique, else `view=…`, `model=…`.

    A model without a version means all of its versions. Raises `UsageError` for a name of two
    objects, and `FeatureError` for one of none, with the nearest.
    """
    names = _names(known)
    kind, equals, rest = named.partition("=")
    if equals and kind in (*names, "run"):
        found = [(k, n) for k, n in _meant(rest, known, names, history, kind) if k == kind]
        if not found:
            hint = nearest(rest, names.get(kind, ()))
            raise FeatureError(f"no {kind} {rest}; {hint or 'there is none.'}")
    else:
        found = _meant(named, known, names, history)
    kinds = list(dict.fromkeys(k for k, _ in found))
    if len(kinds) > 1:
        ways = " or ".join(f"{k}={named}" for k in kinds)
        raise UsageError(f"{named} is the name of a {' and a '.join(kinds)}; write {ways}.")
    if not found:
        every = {name for of in names.values() for name in of}
        hint = nearest(named, every) or "nothing is registered here."
        raise FeatureError(f"no object named {named}; {hint}")
    if found[0][0] == "run" and len(found) > 1:
        ids = ", ".join(id[:8] for _, id in found[:4])
        raise UsageError(f"{len(found)} runs are called {named}; write an id: {ids}.")
    return found


def _names(known: ProjectState) -> dict[str, set[str]]:
    """Kind → every name that is or was there."""
    catalog, groups, models = known.catalog, known.groups, known.models
    refs = {ref for g in groups for ref in g.refs} | {ref for m in models for ref in m.refs}
    today = {f"{v.name}:{f}" for v in catalog.views.values() for f in v.features}
    return {
        "view": {*catalog.views, *(ref.partition(":")[0] for ref in refs)},
        "service": {*catalog.services, *(g.service for g in groups if g.service)},
        "source": set(catalog.sources),
        "entity": set(catalog.entities),
        "feature": refs | today,
        "model": {m.name for m in models},
    }


def _meant(
    named: str,
    known: ProjectState,
    names: dict[str, set[str]],
    history: History,
    only: str | None = None,
) -> list[tuple[str, str]]:
    found = [(kind, named) for kind in names if kind != "model" and named in names[kind]]
    found += [("model", m.shown) for m in _models(named, known.models)]
    if not found or only == "run":
        id = named.removeprefix("runs:/").partition("/")[0]
        found += [("run", run.id) for run in queries.run_named(history, id)]
    return found


def _models(named: str, models: Iterable[RegisteredModel]) -> list[RegisteredModel]:
    """`name`, `name/3`, `name/latest`, `name@alias`, `m-<logged model id>`."""
    text = named.removeprefix("models:/")
    if text.endswith("/latest"):
        mine = [m for m in models if m.name == text.removesuffix("/latest")]
        return sorted(mine, key=lambda m: m.version)[-1:]
    name, at, alias = text.partition("@")
    if at:
        return [m for m in models if m.name == name and alias in m.aliases]
    return [m for m in models if text in (m.name, m.shown, m.model_id)]


def since_of(text: str | None, now: float) -> int | None:
    """`30d`, `12h`, `8w` ago, or a date, as milliseconds since 1970; raises `UsageError`."""
    if not text:
        return None
    if ago := re.fullmatch(r"(\d+)\s*([hdw])", text.strip()):
        hours = int(ago[1]) * {"h": 1, "d": 24, "w": 168}[ago[2]]
        return int((now - hours * 3600) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--since {text} is not a time; write 30d, 12h, 8w or 2026-01-31."
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def stretch_of(first: int | None, now: float) -> int:
    """How many days one bar of a chart stands for, so that about sixty show all of it."""
    days = (now * 1000 - first) / queries.DAY if first else 1
    return next((n for n in (1, 7, 28) if days <= n * 60), 91)


def refs_of(kind: str, name: str, known: ProjectState) -> list[str]:
    """The features of a view, a service, or the one that is named, today's and former ones."""
    used = {ref for g in known.groups for ref in g.refs}
    if kind == "feature":
        return [name]
    if kind == "service":
        mine = known.catalog.services.get(name)
        asked = {ref for g in known.groups if g.service == name for ref in g.refs}
        return sorted(asked | set(mine.refs if mine else ()))
    if kind == "view":
        today = known.catalog.views.get(name)
        offered = {f"{name}:{f}" for f in today.features} if today else set()
        return sorted(offered | {ref for ref in used if ref.partition(":")[0] == name})
    changing = touched(known.catalog, kind, name)
    return sorted(ref for ref in changing if not ref.endswith(":"))


def _ago(at: float) -> str:
    """`2026-11-21 20:03 UTC`."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
