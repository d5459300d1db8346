"""`%feast_store`, `%feast_run`, `%%feast_train`, `%feast_log`: open, track, train, log."""

from __future__ import annotations

import keyword
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.magic import (
    line_cell_magic,
    line_magic,
    magics_class,
    needs_local_scope,
)
from IPython.core.magic_arguments import argument, magic_arguments

from ..errors import UsageError
from ..integrations.model_libraries.flavors import flavor_named
from ..session import open as open_session
from . import run_cell
from .options import (
    in_full,
    pairs,
    reads_options,
    register_options,
    run_options,
    verbose_option,
)
from .repository import RepositoryInUse

if TYPE_CHECKING:
    from feast import FeatureStore

    from ..records.contract import ModelVersion
    from ..records.retrieval import Retrieval
    from ..records.run import RunState, TrackedRun, TrainingSummary
    from ..session.training import Training


@magics_class
class FeastMagics(RepositoryInUse):
    """`%feast_store`, `%feast_run`, `%%feast_train`, `%feast_log`."""

    @magic_arguments()
    @argument("path", nargs="?", help="a feature repository: its folder, or its feature_store.yaml")
    @line_magic
    @reads_options
    def feast_store(self, options: Namespace) -> FeatureStore:
        """Open a feature repository, show what it holds, and return the `FeatureStore`.

        Without PATH: the store already bound in the notebook, else `FEAST_FS_YAML_FILE_PATH`,
        else the nearest `feature_store.yaml` from the notebook upward.

        Examples
        --------
        ::

            store = %feast_store
            store = %feast_store feature_repo
        """
        if options.path:
            self._passed_over = self.bound_store()
            self._session = open_session(options.path)
            self._session.names.refresh(self._session)
        session = self.session()
        self.show(session.repository)
        return session.store

    @magic_arguments()
    @argument("name", nargs="?", help="the run's name")
    @run_options
    @argument("--nested", action="store_true", help="a child of the run that is open")
    @argument("--end", action="store_true", help="end the open run")
    @argument("--status", metavar="S", help="with --end: FINISHED, FAILED or KILLED")
    @argument("--resume", metavar="RUN_ID", help="continue an earlier run")
    @argument("--pause", action="store_true", help="stop recording until --unpause")
    @argument("--unpause", action="store_true", help="resume recording")
    @line_cell_magic
    @reads_options
    def feast_run(
        self, options: Namespace, cell: str | None = None
    ) -> RunState | TrackedRun | None:
        """Start a tracked run that later cells belong to; end, resume or look at one.

        Every Feast retrieval made while it is open is recorded. Bare `%feast_run` shows what is
        open and what it has recorded. `%%feast_run` is for one cell.

        Examples
        --------
        ::

            %feast_run v1 --tag team=ranking
            %feast_run
            %feast_run --end
        """
        chosen = [o for o in ("end", "resume", "pause", "unpause") if getattr(options, o)]
        if len(chosen) > 1:
            raise UsageError(
                f"--{chosen[0]} and --{chosen[1]} cannot be used together; choose one."
            )
        if options.status and not options.end:
            raise UsageError("--status needs --end.")
        if cell is not None:
            return self._run_cell(options, chosen, cell)
        if chosen and options.name:
            raise UsageError(f"--{chosen[0]} does not take a NAME.")
        if chosen:
            return self._run_state(options, chosen[0])
        session = self.session()
        if options.name is None and not (options.nested or options.experiment or options.tag):
            return session.runs.state()
        return session.runs.start(
            options.name, nested=options.nested, **_run_keywords(options)
        ).record

    def _run_state(self, options: Namespace, chosen: str) -> RunState | TrackedRun | None:
        session = self.session()
        runs = session.runs
        if chosen == "resume":
            return runs.described(runs.resume(options.resume))
        if chosen == "end":
            if runs.innermost is None:
                raise UsageError("no run of %feast_run is open; start one with %feast_run NAME.")
            return runs.end(runs.innermost, (options.status or "FINISHED").upper())
        session.recorder.runs.paused = chosen == "pause"
        return runs.state()

    def _run_cell(self, options: Namespace, chosen: list[str], cell: str) -> TrackedRun:
        if chosen and chosen != ["resume"]:
            raise UsageError(f"--{chosen[0]} works only with %feast_run on its own line.")
        if not cell.strip():
            raise UsageError(
                "%%feast_run needs a cell below its line; for later cells write %feast_run NAME."
            )
        assert self.shell is not None
        run_cell.check(self.shell, cell, "feast_run")
        runs = self.session().runs
        if chosen:
            opened = runs.resume(options.resume)
        else:
            opened = runs.start(options.name, nested=options.nested, **_run_keywords(options))
        try:
            run_cell.run(self.shell, cell)
        except BaseException as problem:
            killed = isinstance(problem, KeyboardInterrupt)
            record = runs.end(opened, "KILLED" if killed else "FAILED")
            print(_closed(record, record.retrievals))
            raise
        return runs.end(opened)

    @magic_arguments()
    @argument("name", nargs="?", help="the run's name; without one an open %%feast_run is joined")
    @argument("--service", metavar="S", help="retrieve the features of this feature service first")
    @argument(
        "--features",
        nargs="+",
        default=(),
        metavar="REF",
        help="or retrieve these references (view:feature)",
    )
    @argument("--entity-df", metavar="VAR", help="the variable that holds the entity frame")
    @argument("--start", metavar="T", help="start date, instead of an entity frame")
    @argument("--end", metavar="T", help="end date")
    @argument("--into", metavar="VAR", default="training_df", help="the training frame's variable")
    @argument("--full-feature-names", action="store_true", help="columns named view__feature")
    @argument("--filter-by-created-timestamp", action="store_true",
              help="ignore values written after each row's timestamp")  # fmt: skip
    @argument("--target", metavar="COL", help="the label's column in the entity frame")
    @argument("--model", metavar="VAR", help="the variable that holds the model to log")
    @register_options
    @run_options
    @argument("--from", dest="sources", nargs="+", default=(), metavar="VAR",
              help="the training frames, if they were retrieved earlier")  # fmt: skip
    @verbose_option
    @line_cell_magic
    @reads_options
    def feast_train(self, options: Namespace, cell: str | None = None) -> TrainingSummary | None:
        """Train in a tracked run: retrieve features, run the cell, log and register its model.

        The cell is ordinary code: without its first line it still runs. The model is that of
        --model, else the one that the cell logged, bound or trained again; of several it asks.

        Examples
        --------
        ::

            %%feast_train v1 --service driver_activity --entity-df drivers --register driver_model
            model = LinearRegression().fit(training_df[["conv_rate"]], training_df["trips"])
        """
        if cell is None or not cell.strip():
            raise UsageError("%%feast_train needs a cell below its line: the training code.")
        if not options.into.isidentifier() or keyword.iskeyword(options.into):
            raise UsageError(f"--into {options.into} is not a variable name.")
        assert self.shell is not None
        run_cell.check(self.shell, cell, "feast_train")
        if options.flavor:
            flavor_named(options.flavor)
        training = self.session().train(**self._training_options(options))
        try:
            with training:
                self._train(training, options, cell)
        except BaseException:
            if training.deferred is not None:
                # The cell went well, and what it did is worth seeing beside the question.
                self.show(in_full(training.summary, options))
            elif training.summary is not None:
                print(_closed(training.summary.run, training.summary.retrievals))
            raise
        return training.summary

    def _train(self, training: Training, options: Namespace, cell: str) -> None:
        from ..integrations.model_libraries.variables import ModelVariables

        assert self.shell is not None
        if training.frame is not None:
            self._space[options.into] = training.frame
        source = self.shell.transform_cell(cell)
        training.use(self._space, source)
        before = ModelVariables(self._space)
        run_cell.run(self.shell, cell)
        training.choose(self._space, before, source, options.model)

    def _training_options(self, options: Namespace) -> dict[str, Any]:
        given = {
            name: getattr(options, name)
            for name in ("name", "service", "start", "end", "full_feature_names",
                         "filter_by_created_timestamp", "target",
                         "flavor", "register")
        }  # fmt: skip
        given |= _run_keywords(options)
        given["features"] = [ref for part in options.features for ref in part.split(",") if ref]
        given["aliases"] = options.alias or ()
        given["sources"] = [self.variable(v, "--from") for v in options.sources]
        if options.entity_df:
            given["entity_df"] = self.variable(options.entity_df, "--entity-df")
            given["entity_name"] = options.entity_df
        return given

    @magic_arguments()
    @argument("model", help="the variable that holds a trained model, or what one holds: m['a']")
    @argument("--run", metavar="RUN_ID", help="the run that trained it, if there are several")
    @register_options
    @needs_local_scope
    @line_magic
    @reads_options
    def feast_log(
        self, options: Namespace, local_ns: Mapping[str, object] | None = None
    ) -> ModelVersion:
        """Log a model that is trained already, to the run that made it; nothing is trained again.

        That is the run of the cell that made the model, else the one that is open, else the last.
        With --register what is logged of it already is registered.

        Examples
        --------
        ::

            %feast_log model --register driver_model --alias champion
        """
        from ..session import made_models, models

        if options.alias and not options.register:
            raise UsageError("--alias needs --register NAME: an alias points at a version.")
        for alias in options.alias or ():
            models.check_alias(alias)
        space = {**self._space, **(local_ns or {})}
        frames = [v for k, v in space.items() if k[:1] != "_" and hasattr(v, "columns")]
        return self.session().log_model(
            made_models.named(space, options.model),
            variable=options.model,
            run_id=options.run,
            flavor=options.flavor,
            register=options.register,
            aliases=options.alias or (),
            at_hand=frames,
        )


def _closed(run: TrackedRun, retrievals: Sequence[Retrieval]) -> str:
    """How a run was left by a cell that failed, and what it keeps."""
    from ..display import words
    from ..errors import visible

    kept = f"; it keeps {words.count(len(retrievals), 'retrieval')}" if retrievals else ""
    named = f"Run {visible(run.name)} ({run.id[:8]})"
    if run.status == "RUNNING":
        return f"{named} stays open{kept}."
    how = {"KILLED": "interrupted: closed as KILLED", "FAILED": "closed as FAILED"}
    return f"{named} was {how.get(run.status, f'closed as {run.status}')}{kept}."


def _run_keywords(options: Namespace) -> dict[str, Any]:
    return {
        "experiment": options.experiment,
        "tags": pairs(options.tag, "--tag"),
        "description": options.description,
        "archive": not options.no_archive,
        "archive_rows": options.archive_rows,
    }
