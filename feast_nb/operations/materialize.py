"""Loading the online store, view by view: watched, interruptible, told and logged as it went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ..errors import (
    FeastNbError,
    FeatureError,
    StoreError,
    UsageError,
    brief,
    nearest,
)
from ..integrations.feast import registry
from ..integrations.feast.materialization import progress, remote
from ..integrations.feast.servers import online_contents, store_door
from ..integrations.feast.views import View
from ..masking import masked_text
from ..records.operation import Materialization, ViewLoad
from .options import WAIT

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.mlflow_integration.config import MlflowConfig
    from tqdm import tqdm

# Feast's own rule for a view without a TTL that was never loaded (`materialize_incremental`).
_WITHOUT_TTL = timedelta(weeks=52)
_ENDS = ("interrupted", "failed", "running", "left out")
Told = Callable[[str, progress.Counts | None], None]


@dataclass(frozen=True)
class LoadRequest:
    """Which views, and which range of event times; `start` None: from where each was left off.

    `wait` is how long a feature server that does it is waited for, in seconds.
    """

    views: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    dry_run: bool = False
    wait: float = WAIT


def materialize(store: FeatureStore, asked: LoadRequest, told: Told) -> Materialization:
    """Load views into the online store as Feast does, one after the other; what came of each.

    `told` is given a view's name and its counts while it is loaded. An interrupt ends the view
    that is being loaded, and those after it are left out: what Feast has written stays, and its
    range is not marked as loaded. Raises `FeatureError` for a view that is none, `UsageError` for
    a range that is none.
    """
    end = asked.end or datetime.now(UTC)
    if asked.start is not None and asked.start > end:
        raise UsageError(f"--start {_iso(asked.start)} is after --end {_iso(end)}.")
    known = registry.definitions_now(store)
    views = _chosen(known.views, asked.views)
    began = time.monotonic()
    loads: list[ViewLoad] = []
    notes = list(_before(store, views, asked, end))
    for view in views:
        planned = _planned(view, asked.start, end)
        ended = bool(loads) and loads[-1].state in _ENDS
        if asked.dry_run:
            loads.append(planned)
        elif ended:
            loads.append(replace(planned, state="left out"))
        else:
            loads.append(_loaded(store, planned, asked, told))
    return Materialization(
        project=store.project,
        views=tuple(loads),
        incremental=asked.start is None,
        dry_run=asked.dry_run,
        online_store=str(getattr(store.config.online_store, "type", "")),
        seconds=None if asked.dry_run else round(time.monotonic() - began, 3),
        notes=tuple(notes),
    )


@contextmanager
def bars(drawn: bool) -> Iterator[Told]:
    """What draws a bar for each view: what it is at, and how many rows of how many are written."""
    if not drawn:
        yield lambda view, counts: None
        return
    from tqdm.auto import tqdm

    with ExitStack() as stack:
        open_bars: dict[str, tqdm] = {}

        def told(view: str, counts: progress.Counts | None) -> None:
            if view not in open_bars:
                open_bars[view] = stack.enter_context(tqdm(desc=view, unit="row", total=None))
            bar = open_bars[view]
            if counts is None:
                bar.set_postfix_str("on the feature server", refresh=True)
                return
            if counts.rows is not None:
                bar.total = counts.rows
            bar.set_postfix_str(counts.phase, refresh=False)
            bar.update(counts.written - bar.n)
            bar.refresh()

        yield told


def _chosen(known: Mapping[str, View], names: Sequence[str]) -> list[View]:
    """The views that Feast would load, in the order in which they were named."""
    loadable = {n: v for n, v in known.items() if v.is_loaded}
    for name in names:
        if name not in known:
            raise FeatureError(f"there is no view {name}; {nearest(name, loadable)}")
        if name not in loadable:
            raise FeatureError(
                f"Feast loads {name} into no online store: it is not `online`, or a label view."
            )
    if not names:
        return [v for v in loadable.values() if not getattr(v.spec, "disabled", False)]
    return [loadable[name] for name in dict.fromkeys(names)]


def _planned(view: View, start: datetime | None, end: datetime) -> ViewLoad:
    """The range that Feast would load; its rule for one that was never loaded is its own."""
    before = view.loaded_to
    if start is None and not view.is_timed:  # from the views that it is computed from
        return ViewLoad(view.view, "planned", None, _iso(end))
    if start is None:
        start = before if before is not None else datetime.now(UTC) - _back(view)
    return ViewLoad(view.view, "planned", _iso(start), _iso(end))


def _back(view: View) -> timedelta:
    """How far back Feast begins with a view that was never loaded, from now on."""
    return timedelta(seconds=view.ttl) if view.ttl else _WITHOUT_TTL


def _before(
    store: FeatureStore, views: Sequence[View], asked: LoadRequest, end: datetime
) -> Iterator[str]:
    """What to know before it begins: what an incremental run does not load."""
    if asked.start is not None:
        return
    for view in views:
        before = view.loaded_to
        if before is None:
            if view.is_timed and end <= (begins := datetime.now(UTC) - _back(view)):
                since = _iso(end - _back(view))[:10]
                yield (
                    f"{view.view} was never loaded: Feast begins at {_iso(begins)}, which is after "
                    f"--end, and loads nothing. Say from when: --start {since}."
                )
            continue
        try:
            with store_door.asking(store, "online store"):
                empty = online_contents.is_empty(store, view.view)
        except StoreError as problem:
            yield str(problem)
            return
        if empty:
            yield (
                f"the online store has no row of {view.view}, which was loaded up to "
                f"{_iso(before)}: it was emptied, or no row was in that range. An incremental run "
                f"loads only what is newer; load it whole: %feast_materialize {view.view} --start "
                f"{_iso(end - _back(view))[:10]}."
            )


def _loaded(store: FeatureStore, planned: ViewLoad, asked: LoadRequest, told: Told) -> ViewLoad:
    """One view, loaded; what went wrong is part of the answer."""
    began = time.monotonic()
    start = asked.start
    end = datetime.fromisoformat(str(planned.end))
    counts: progress.Counts | None = None
    try:
        if remote.is_remote(store):
            state, why = remote.load(store, planned.view, start, end, asked.wait, told)
            return replace(planned, state=state, why=why, seconds=_since(began))
        with (
            progress.watched(store, lambda now: told(planned.view, now)) as counts,
            progress.state_kept(store, planned.view),
            _logged_once(store),
        ):
            told(planned.view, counts)
            if start is None:
                store.materialize_incremental(end, [planned.view])
            else:
                store.materialize(start, end, [planned.view])
        return _counted(replace(planned, state="loaded"), counts, began)
    except KeyboardInterrupt:
        why = "what was written stays; its range is not marked as loaded"
        return _counted(replace(planned, state="interrupted", why=why), counts, began)
    except FeastNbError as problem:
        return _counted(replace(planned, state="failed", why=str(problem)), counts, began)
    except Exception as problem:  # a driver's, a store's: the answer says it
        said = store_door.fault(store, "online store", problem) or (
            f"{type(problem).__name__}: {brief(problem, 300)}"
        )
        return _counted(replace(planned, state="failed", why=masked_text(said)), counts, began)


@contextmanager
def _logged_once(store: FeatureStore) -> Iterator[None]:
    """Without Feast's own log of the operation: ours has more."""
    settings: MlflowConfig | None = getattr(store.config, "mlflow", None)
    before = getattr(settings, "log_operations", None)
    if settings is not None and before:
        settings.log_operations = False
    try:
        yield
    finally:
        if settings is not None and before:
            settings.log_operations = before


def _counted(load: ViewLoad, counts: progress.Counts | None, began: float) -> ViewLoad:
    seconds = _since(began)
    if counts is None:
        return replace(load, seconds=seconds)
    newest = _iso(counts.newest) if counts.newest is not None else None
    written = counts.written if counts.rows is not None else None
    return replace(load, read=counts.read, written=written, newest=newest, seconds=seconds)


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
