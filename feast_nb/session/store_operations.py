"""What a session does to the registry and the stores: plan and apply definitions, load, look."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..errors import UsageError
from ..operations.options import SAMPLE, SECONDS, WAIT
from .project_answers import ProjectAnswers

if TYPE_CHECKING:
    from ..records.operation import Health, HealthLine, Materialization, Plan
    from .session import Session


class StoreOperations(ProjectAnswers):
    """What changes a registry or a store, and what is looked at before and after."""

    yaml: Path

    def plan(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        against: str = "registry",
        full: bool = False,
    ) -> Plan:
        """What applying the repository's definition files would do, and which models it breaks.

        `path` is another folder with definition files. `against` is what they are held against: the
        registry, or a revision of git. What is in the registry and in no file is listed; `full`
        shows it as the deletions that `feast apply` makes of it. Nothing is written. Raises
        `RepositoryError` for files that do not parse, with file and line.
        """
        from ..operations import affected_models
        from ..operations.plan import plan

        uri, unknown = affected_models.tracked_at(self.store)
        past = self.history if uri else None
        folder = Path(path).expanduser().resolve() if path is not None else None
        return plan(self.yaml, self.store, past, unknown, folder=folder, against=against, full=full)

    def apply(
        self,
        *,
        force: bool = False,
        reason: str | None = None,
        partial: str | Sequence[str] = (),
        progress: bool = False,
        agreed: Callable[[Plan], bool] = lambda plan: True,
    ) -> Plan:
        """Apply the repository's definition files as `feast apply` does, where that breaks nothing.

        `agreed` is given the plan and says whether to go on. `partial` names the objects of the
        files that are applied (`driver_hourly_stats`, `service=ranking`): no others are, and
        nothing is deleted. `progress` draws a bar of the objects that are done. A change that
        breaks a version with an alias raises `Drift`, unless `force` is given with a `reason`,
        which is logged. Raises `RepositoryError` where Feast fails, with what is done and what is
        not.
        """
        from ..operations import affected_models
        from ..operations.apply import ApplyBar, apply

        uri, unknown = affected_models.tracked_at(self.store)
        past = self.history if uri else None
        names = (partial,) if isinstance(partial, str) else tuple(partial)
        with ApplyBar(progress) as bar:
            return apply(
                self.yaml, self.store, past, unknown, force=force, reason=reason,
                agreed=lambda plan: agreed(plan) and bar.begin(plan), only=names, told=bar.told,
                origin=self._origin(), log=self.recorder.log_operation,
            )  # fmt: skip

    def delete(self, *objects: str, force: bool = False, reason: str | None = None) -> Plan:
        """Delete views, services or entities from the registry, where that breaks nothing.

        Each is named as in `%feast_impact`: `driver_hourly_stats`, `service=ranking`. What the
        online store has of a view goes, too. As with `apply`, what breaks a version with an alias
        raises `Drift`, unless `force` is given with a `reason`; it is logged as an operation.
        Raises `FeatureError` for a name that is none.
        """
        from ..operations import object_changes
        from ..operations.store_guard import past_of

        return object_changes.delete(
            self.store, objects, past_of, force=force, reason=reason, origin=self._origin(),
            log=self.recorder.log_operation,
        )  # fmt: skip

    def materialize(
        self,
        views: str | Sequence[str] = (),
        *,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        dry_run: bool = False,
        wait: float = WAIT,
        progress: bool = False,
    ) -> Materialization:
        """Load views into the online store as Feast does; what was read and written of each.

        Without `views` all that are served online, without `start` each from where it was left off
        (Feast's `materialize_incremental`). `start` and `end` are event times. `dry_run` says what
        would be loaded; `progress` draws a bar for each view; `wait` is how long a feature server
        that does it is waited for, in seconds. It is logged as an operation, a failed one, too. A
        view that fails or is interrupted ends it, and is said in the answer: nothing is raised for
        it. Raises `FeatureError` for a view that is none.
        """
        from ..operations import materialize as loading
        from ..operations.operation_log import log_load

        names = (views,) if isinstance(views, str) else tuple(views)
        asked = loading.LoadRequest(names, _moment(start), _moment(end), dry_run, wait)
        with loading.bars(progress) as told:
            done = loading.materialize(self.store, asked, told)
        if dry_run:
            return done
        return log_load(self.store, done, self._origin(), self.recorder.log_operation)

    def health(
        self,
        views: str | Sequence[str] = (),
        *,
        model: str | None = None,
        sample: int = SAMPLE,
        server: str | None = None,
        seconds: float = SECONDS,
        told: Callable[[HealthLine], None] = lambda line: None,
    ) -> Health:
        """How registry, stores, sources and views are: each line green, amber, red or unknown.

        Real reads, in a process of its own that is ended at its deadline: `seconds` for each line.
        `sample` entities of each view (all that are served online, else `views`) are read online
        and held against the source. `model` adds whether its inputs lie within what it was trained
        on, `server` the address of a feature server beside the repository's own. `told` is given
        each line as it is known. Raises `FeatureError` for a view that is none, `UsageError` for a
        number or an address that is none.
        """
        from ..operations.health import HealthRequest, look
        from .recorded_training_set import training_columns

        if sample < 1:
            raise UsageError(f"--sample {sample}: give 1 or more.")
        if seconds <= 0:
            raise UsageError(f"--seconds {seconds:g}: give more than 0.")
        if server is not None and not server.startswith(("http://", "https://")):
            raise UsageError(f"--server {server}: write the whole address: http://{server}.")

        names = (views,) if isinstance(views, str) else tuple(views)
        request = HealthRequest(names, sample, seconds, server)
        if model is None:
            return look(self.store, self.yaml, request, told)
        session = cast("Session", self)
        contract = session.resolve(model, allow_drift=True).contract
        with tempfile.TemporaryDirectory(prefix="feast_nb") as place:
            kept: dict[str, dict[str, str]] = {}
            unknown: str | None = "it has no contract: what it was trained on is not known"
            if contract is not None:
                kept, unknown = training_columns(session, contract, Path(place))
            inputs = tuple(
                {**one.to_dict(), "training": kept.get(str(one.ref))}
                for one in (contract.inputs if contract else ())
                if one.ref
            )
            found = look(self.store, self.yaml, replace(request, model=model, inputs=inputs), told)
        notes = (f"{model}: {unknown}; distributions are not compared.",) if unknown else ()
        return replace(found, notes=(*found.notes, *notes))

    def _origin(self) -> dict[str, str]:
        """Tags that say where an operation came from."""
        cell = self.recorder.cells.current
        notebook = cell.notebook if cell is not None else None
        return {"feast_nb.notebook": notebook} if notebook else {}


def _moment(given: datetime | str | None) -> datetime | None:
    """A moment that was given as text or otherwise, in UTC where it says no zone."""
    import pandas as pd

    if given is None:
        return None
    try:
        found = pd.to_datetime(given, utc=True)
    except (ValueError, TypeError) as problem:
        said = f"{given!r} is no moment; write 2026-01-31 or 2026-01-31T06:00."
        raise UsageError(said) from problem
    if not isinstance(found, pd.Timestamp):
        raise UsageError(f"{given!r} is no moment; write 2026-01-31 or 2026-01-31T06:00.")
    made: datetime = found.to_pydatetime()
    return made
