"""The magics that look at registry and stores, and change them: plan, apply, load, health."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from ..errors import StoreError, UsageError
from ..operations.options import APPLY, HEALTH, MATERIALIZE, PLAN
from .options import reads_options, takes

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..records.operation import Health, HealthLine, Materialization, Plan
    from .repository import RepositoryInUse

_AGAIN = 30.0  # seconds between two looks of --watch


@magics_class
class StoreMagics(Magics):
    """`%feast_plan`, `%feast_apply`, `%feast_materialize`, `%feast_health`."""

    def __init__(self, shell: InteractiveShell, feast: RepositoryInUse) -> None:
        super().__init__(shell)
        self._feast = feast

    @magic_arguments()
    @argument("path", nargs="?", help="a folder with definition files; else the repository's own")
    @takes(*PLAN)
    @argument("--full", action="store_true", help="show deletions of what is in no file")
    @line_magic
    @reads_options
    def feast_plan(self, options: Namespace) -> Plan:
        """What applying the definition files would change, and which models it breaks.

        Each change is shown as a diff, with its grade, the reason, and the model versions, services
        and notebooks that it touches. Nothing is written. In CI: `python -m feast_nb check`.

        Examples
        --------
        ::

            %feast_plan
            %feast_plan --against main
        """
        return self._feast.session().plan(options.path, against=options.against, full=options.full)

    @magic_arguments()
    @takes(*APPLY)
    @line_magic
    @reads_options
    def feast_apply(self, options: Namespace) -> Plan:
        """Show the plan, ask, and apply it; what breaks a version with an alias is refused.

        As `feast apply` does it: what is in the registry and in no file goes. What was applied, by
        whom and why is logged as an operation (`%feast_ops`).

        Examples
        --------
        ::

            %feast_apply
            %feast_apply --yes
            %feast_apply --partial driver_hourly_stats service=ranking
            %feast_apply --force --reason "v3 is retired on Monday"
        """
        return self._feast.session().apply(
            force=options.force,
            reason=options.reason,
            partial=options.partial,
            progress=True,
            agreed=lambda plan: options.yes or self._agreed(plan),
        )

    def _agreed(self, plan: Plan) -> bool:
        """Ask the user; where nobody can be asked, say what to write."""
        from IPython.core.error import StdinNotImplementedError

        self._feast.show(plan)
        try:
            answer = input("Apply these changes? [y/N] ")
        except (StdinNotImplementedError, EOFError):
            raise UsageError("nobody can be asked here; add --yes to apply it.") from None
        return answer.strip().lower() in ("y", "yes")

    @magic_arguments()
    @takes(*MATERIALIZE)
    @argument("--incremental", action="store_true", help="from where each was left off (default)")
    @line_magic
    @reads_options
    def feast_materialize(self, options: Namespace) -> Materialization:
        """Load views into the online store, with a bar for each, and say what was loaded.

        As Feast materializes. Interrupting leaves what was written, and the range unmarked: the
        same line loads it again. It is logged as an operation (`%feast_ops`), a failed one, too.

        Examples
        --------
        ::

            %feast_materialize
            %feast_materialize driver_hourly_stats --start 2026-01-01
        """
        if options.incremental and options.start is not None:
            raise UsageError("--incremental and --start say two things; give one.")
        done = self._feast.session().materialize(
            options.views, start=options.start, end=options.end, dry_run=options.dry_run,
            wait=options.wait, progress=True,
        )  # fmt: skip
        if done.state == "interrupted":
            self._feast.show(done)
            raise KeyboardInterrupt
        if done.state in ("failed", "running"):
            self._feast.show(done)
            first = next(load for load in done.views if load.state == done.state)
            raise StoreError(f"{first.view} was not loaded: {first.why}")
        return done

    @magic_arguments()
    @takes(*HEALTH)
    @argument(
        "--watch", action="store_true", help="look again every half minute, until interrupted"
    )
    @line_magic
    @reads_options
    def feast_health(self, options: Namespace) -> Health | None:
        """How registry, stores, sources and views are, and whether online is what offline is.

        Each line is green, amber, red or unknown, with the reason and what to do. Real reads with a
        deadline each; nothing is written.

        Examples
        --------
        ::

            %feast_health
            %feast_health driver_hourly_stats --model driver_model@champion
        """

        def look(told: Callable[[HealthLine], None] = lambda line: None) -> Health:
            return self._feast.session().health(
                options.views, model=options.model, sample=options.sample,
                server=options.server, seconds=options.seconds, told=told,
            )  # fmt: skip

        with self._lines_as_they_come() as told:
            found = look(told)
        if options.watch:
            self._watched(look, found)
            return None
        return found

    @contextmanager
    def _lines_as_they_come(self) -> Iterator[Callable[[HealthLine], None]]:
        """In a notebook: a place in which lines are shown until the whole of them is."""
        from IPython.display import display

        from ..records.operation import Health

        if getattr(self.shell, "kernel", None) is None:  # a terminal cannot take a line back
            yield lambda line: None
            return
        place = display({"text/plain": "looking …"}, raw=True, display_id=True)
        lines: list[HealthLine] = []

        def told(line: HealthLine) -> None:
            lines.append(line)
            place.update(Health(project="looking", lines=tuple(lines)))

        try:
            yield told
        finally:
            place.update({"text/plain": ""}, raw=True)

    def _watched(self, look: Callable[[], Health], found: Health) -> None:
        """Look again and again in the same place; an interrupt ends it with the last look."""
        from IPython.display import display

        place = display(found, display_id=True)
        try:
            while True:
                time.sleep(_AGAIN)
                found = look()
                place.update(found)
        except KeyboardInterrupt:
            return  # the last look is shown
