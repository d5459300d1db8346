"""The magics that start from a model: its features, what to serve, rebuild, score."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from ..errors import UsageError
from .options import in_full, reads_options, verbose_option

if TYPE_CHECKING:
    import pandas as pd
    from IPython.core.interactiveshell import InteractiveShell

    from ..records.answers import ModelDiff, ModelFeatures, Reproduction, Resolution
    from .repository import RepositoryInUse

_NAMED = "name/3, name@alias, name (latest), or one of MLflow's URIs"


@magics_class
class ModelMagics(Magics):
    """`%feast_features`, `%feast_resolve`, `%feast_diff`, `%feast_reproduce`, `%feast_score`."""

    def __init__(self, shell: InteractiveShell, feast: RepositoryInUse) -> None:
        super().__init__(shell)
        self._feast = feast

    @magic_arguments()
    @argument("model", help=_NAMED)
    @line_magic
    @reads_options
    def feast_features(self, options: Namespace) -> ModelFeatures:
        """The features of a model, in its own order, and how they were in training.

        Examples
        --------
        ::

            %feast_features driver_model/3
        """
        return self._feast.session().features(options.model)

    @magic_arguments()
    @argument("model", help=_NAMED)
    @argument(
        "--allow-drift", action="store_true", help="continue even if the model needs retraining"
    )
    @line_magic
    @reads_options
    def feast_resolve(self, options: Namespace) -> Resolution:
        """What must be served for a model: its service, its references in its own order.

        The registry is compared with what the model was trained on; a change that breaks serving
        or needs retraining is refused, with what was and what is.

        Examples
        --------
        ::

            resolution = %feast_resolve driver_model@champion
            store.get_online_features(resolution.features, rows)
        """
        return self._feast.session().resolve(options.model, options.allow_drift)

    @magic_arguments()
    @argument("one", help=_NAMED)
    @argument("other", help="the model to compare it with")
    @line_magic
    @reads_options
    def feast_diff(self, options: Namespace) -> ModelDiff:
        """Two models side by side: features, order, definitions, data, metrics.

        Examples
        --------
        ::

            %feast_diff driver_model/2 driver_model@champion
        """
        return self._feast.session().diff(options.one, options.other)

    @magic_arguments()
    @argument("run", help="a run's id or name, or a model")
    @argument(
        "--retrieval", type=int, metavar="N", help="which retrieval, if there are several (from 1)"
    )
    @argument("--into", metavar="VAR", help="the variable for the frame")
    @argument(
        "--verify",
        action="store_true",
        help="compare it with the original, and show where they differ",
    )
    @line_magic
    @reads_options
    def feast_reproduce(self, options: Namespace) -> Reproduction:
        """Retrieve a training set again, from the entity rows and references that its run kept.

        With --verify its fingerprint is compared: identical, the same rows in another order, or
        different, and then which rows, which values, and what changed since.

        Examples
        --------
        ::

            %feast_reproduce driver_model/3 --verify --into again
        """
        _check_name(options.into)
        found = self._feast.session().reproduce(options.run, options.retrieval, options.verify)
        if options.into:
            self._space[options.into] = found.frame
        return found

    @magic_arguments()
    @argument("model", help=_NAMED)
    @argument("--entities", required=True, metavar="VAR", help="a frame of entity keys")
    @argument("--online", action="store_true", help="read from the online store (default)")
    @argument("--as-of", metavar="COLUMN", help="use values as of the timestamps in that column")
    @argument("--into", metavar="VAR", help="the variable for the predictions")
    @argument("--batch", type=int, default=1000, metavar="N", help="rows in one online request")
    @argument(
        "--prefer-given", action="store_true", help="use a given column instead of the feature"
    )
    @argument("--with-features", action="store_true", help="add the model's inputs to the result")
    @argument("--experiment", metavar="E", help="the experiment of the prediction run")
    @argument("--columns", metavar="A,B", help="the model's inputs in order, if unknown")
    @argument(
        "--allow-drift", action="store_true", help="continue even if the model needs retraining"
    )
    @verbose_option
    @line_magic
    @reads_options
    def feast_score(self, options: Namespace) -> pd.DataFrame:
        """Predict for entity keys: features are fetched, put in the model's order, and checked.

        What is absent, too old or unlike training is said; the prediction run is linked to the
        training run.

        Examples
        --------
        ::

            scored = %feast_score driver_model@champion --entities drivers
            scored = %feast_score driver_model/3 --entities drivers --as-of event_timestamp
        """
        if options.online and options.as_of:
            raise UsageError("--online and --as-of cannot be used together; choose one.")
        if options.batch < 1:
            raise UsageError(f"--batch {options.batch}: use 1 or more.")
        _check_name(options.into)
        scored = self._feast.session().score(
            options.model,
            self._feast.variable(options.entities, "--entities"),
            as_of=options.as_of,
            batch=options.batch,
            prefer_given=options.prefer_given,
            with_features=options.with_features,
            experiment=options.experiment,
            allow_drift=options.allow_drift,
            columns=tuple(c.strip() for c in (options.columns or "").split(",") if c.strip()),
            progress=True,
            told=lambda record: self._feast.show(in_full(record, options)),
        )
        if options.into:
            self._space[options.into] = scored
        return scored

    @property
    def _space(self) -> dict[str, object]:
        assert self.shell is not None
        space: dict[str, object] = self.shell.user_ns
        return space


def _check_name(into: str | None) -> None:
    import keyword

    if into is not None and (not into.isidentifier() or keyword.iskeyword(into)):
        raise UsageError(f"--into {into} is not a variable name.")
