"""What is asked about the whole project: usage, lineage, impact, runs, operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feast import FeatureStore

    from ..questions.answers import RunsDrawn
    from ..questions.source import HistorySource
    from ..recorder.recorder import Recorder
    from ..records.answers import Operations, RecentRuns
    from ..records.lineage import Impact, Lineage, Usage
    from .runs import SessionRuns


class ProjectAnswers:
    """The questions of a session that the local history of its tracking server answers.

    Every one of them first brings the history up to date; `refresh` reads all of it anew. Where
    MLflow cannot be reached they answer from what is kept, and say of when that is; they raise
    `TrackingError` where nothing is kept.
    """

    store: FeatureStore
    recorder: Recorder
    runs: SessionRuns
    _history: HistorySource | None = None

    @property
    def history(self) -> HistorySource:
        """The history of the repository's tracking server; raises where MLflow is not enabled."""
        from ..questions.source import HistorySource

        if self._history is None or self._history.uri != self.runs.uri:
            self._history = HistorySource(self.store, self.runs.uri, self._settle)
        return self._history

    def _settle(self) -> None:
        """What the cells before recorded goes to MLflow before it is asked."""
        self.recorder.recording.settle(2.0)
        self.recorder.outbox.flush(seconds=2.0)

    def usage(
        self,
        named: str | None = None,
        *,
        since: str | None = None,
        experiment: str | None = None,
        unused: bool = False,
        refresh: bool = False,
    ) -> Usage:
        """Who uses each view and feature, or those of one view, service or feature.

        `since` is a date (`2026-01-31`) or a time back from now (`30d`); `unused` leaves only what
        nobody uses. Raises `UsageError` for a name or a time that means nothing.
        """
        from ..questions import answers

        return answers.usage(
            self.history, named, since=since, experiment=experiment, unused=unused, refresh=refresh
        )

    def lineage(
        self,
        *names: str,
        up: int | None = None,
        down: int | None = None,
        runs: RunsDrawn = "collapsed",
        refresh: bool = False,
    ) -> Lineage:
        """The graph of the project, or what some objects come from and what comes of them.

        `up` and `down` are steps (all where None). Raises `UsageError` for a name that is nothing
        of the project's.
        """
        from ..questions import answers

        return answers.lineage(self.history, names, up=up, down=down, runs=runs, refresh=refresh)

    def impact(self, named: str, refresh: bool = False) -> Impact:
        """Everything that depends on a source, entity, view, feature or service.

        Raises `UsageError` for a name that is nothing of the project's.
        """
        from ..questions import answers

        return answers.impact(self.history, named, refresh)

    def recent_runs(
        self,
        *,
        service: str | None = None,
        model: str | None = None,
        since: str | None = None,
        mine: bool = False,
        most: int = 20,
        refresh: bool = False,
    ) -> RecentRuns:
        """The newest runs: of a service, of a model (trained or predicted with), or one's own."""
        from ..questions import answers

        return answers.recent_runs(
            self.history, service=service, model=model, since=since, mine=mine, most=most,
            refresh=refresh,
        )  # fmt: skip

    recent = recent_runs  # its name in 0.1

    def operations(self, most: int = 50, refresh: bool = False) -> Operations:
        """What was applied and materialized, newest first."""
        from ..questions import answers

        return answers.operations(self.history, most, refresh)
