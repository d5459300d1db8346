"""The magics that ask the whole past: who uses what, what comes from what, what was done."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from ..errors import UsageError
from .options import reads_options

if TYPE_CHECKING:
    from anywidget import AnyWidget
    from IPython.core.interactiveshell import InteractiveShell

    from ..records.answers import Erasure, Operations, RecentRuns
    from ..records.lineage import Impact, Lineage, Usage
    from .repository import RepositoryInUse

_REFRESH = "rebuild the local copy from MLflow"


@magics_class
class HistoryMagics(Magics):
    """`%feast_usage`, `%feast_lineage`, `%feast_impact`, `%feast_runs`, `%feast_ops`."""

    def __init__(self, shell: InteractiveShell, feast: RepositoryInUse) -> None:
        super().__init__(shell)
        self._feast = feast

    @magic_arguments()
    @argument("object", nargs="?", help="a view, a service or view:feature; else everything")
    @argument("--since", metavar="WHEN", help="30d, 12h, 8w or a date: runs since then")
    @argument("--experiment", metavar="E", help="runs of that experiment only")
    @argument("--unused", action="store_true", help="only unused features")
    @argument("--refresh", action="store_true", help=_REFRESH)
    @line_magic
    @reads_options
    def feast_usage(self, options: Namespace) -> Usage:
        """Who uses each feature: runs, users, services, models, and when last.

        Training and prediction runs are counted apart; views that are gone from the registry but
        were used are marked, and so is what the registry offers and nobody uses.

        Examples
        --------
        ::

            %feast_usage
            %feast_usage driver_hourly_stats --since 30d
            usage = %feast_usage --unused
            usage.to_pandas()
        """
        return self._feast.session().usage(
            options.object,
            since=options.since,
            experiment=options.experiment,
            unused=options.unused,
            refresh=options.refresh,
        )

    @magic_arguments()
    @argument(
        "object", nargs="*", help="what to start from: a model, run, service, view, source, entity"
    )
    @argument("--up", type=int, metavar="N", help="number of steps upstream")
    @argument("--down", type=int, metavar="N", help="number of steps downstream")
    @argument(
        "--runs", choices=("all", "latest", "collapsed"), default="collapsed",
        help="each run, the latest of each kind, or those of a kind together",
    )  # fmt: skip
    @argument("--live", action="store_true", help="a widget whose .selected Python can read")
    @argument("--refresh", action="store_true", help=_REFRESH)
    @line_magic
    @reads_options
    def feast_lineage(self, options: Namespace) -> Lineage | AnyWidget:
        """Where a model came from and what became of a feature, as a picture.

        From data sources over entities, views and services to runs, model versions and
        predictions. Without an object: the whole project.

        Examples
        --------
        ::

            %feast_lineage driver_model/3
            %feast_lineage driver_hourly_stats --down 2
            %feast_lineage view=driver_activity --runs latest
        """
        for name in ("up", "down"):
            given = getattr(options, name)
            if given is not None and given < 0:
                raise UsageError(f"--{name} {given}: give 0 or more steps.")
        found = self._feast.session().lineage(
            *options.object,
            up=options.up,
            down=options.down,
            runs=options.runs,
            refresh=options.refresh,
        )
        return found.widget() if options.live else found

    @magic_arguments()
    @argument("object", help="a source, entity, view, service or view:feature")
    @argument("--refresh", action="store_true", help=_REFRESH)
    @line_magic
    @reads_options
    def feast_impact(self, options: Namespace) -> Impact:
        """What breaks if this changes: models with an alias first, then services, runs, notebooks.

        Examples
        --------
        ::

            %feast_impact driver_hourly_stats
            %feast_impact driver_hourly_stats:conv_rate
        """
        return self._feast.session().impact(options.object, options.refresh)

    @magic_arguments()
    @argument("--service", metavar="S", help="runs that used this service")
    @argument("--model", metavar="M", help="runs that trained this model or predicted with it")
    @argument("--since", metavar="WHEN", help="30d, 12h, 8w or a date")
    @argument("--mine", action="store_true", help="only your own runs")
    @argument("--most", type=int, default=20, metavar="N", help="how many (20)")
    @argument("--forget", metavar="RUN", help="erase the rows stored with a run")
    @argument("--refresh", action="store_true", help=_REFRESH)
    @line_magic
    @reads_options
    def feast_runs(self, options: Namespace) -> RecentRuns | Erasure:
        """The newest runs, with their features, rows, metrics and models.

        `--forget` removes a run's entity frames and results from MLflow and from this machine,
        keeps their fingerprints, and says what it could not reach.

        Examples
        --------
        ::

            %feast_runs --service driver_activity --since 7d
            %feast_runs --forget brave-fox-12
        """
        if options.forget is not None:
            return self._feast.session().forget(options.forget)
        if options.most < 1:
            raise UsageError(f"--most {options.most}: give 1 or more.")
        return self._feast.session().recent(
            service=options.service,
            model=options.model,
            since=options.since,
            mine=options.mine,
            most=options.most,
            refresh=options.refresh,
        )

    @magic_arguments()
    @argument("--most", type=int, default=50, metavar="N", help="how many (50)")
    @argument("--refresh", action="store_true", help=_REFRESH)
    @line_magic
    @reads_options
    def feast_ops(self, options: Namespace) -> Operations:
        """What was applied and materialized: what changed, over which range, how long, what failed.

        Examples
        --------
        ::

            %feast_ops
        """
        if options.most < 1:
            raise UsageError(f"--most {options.most}: give 1 or more.")
        return self._feast.session().operations(options.most, options.refresh)
