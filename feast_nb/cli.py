"""The command line: what a job in CI asks, without a notebook.

Exit codes: 0 nothing was found, 1 something was, 2 it could not be checked.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import Drift, FeastNbError, RepositoryError, UsageError, visible
from .operations.options import APPLY, HEALTH, MATERIALIZE, PLAN, Option
from .records.document import Document
from .records.operation import REFUSED, Plan, PlannedChange

if TYPE_CHECKING:
    from .session.session import Session

FOUND, UNCHECKED = 1, 2
_PATIENCE = 60.0  # seconds for MLflow to take what was done
_SNAPSHOT = "feast-nb-snapshot.zip"
_AS_BAD = {"amber": ("amber", "red"), "red": ("red",)}
_FAIL_ON = {
    "breaks": ("breaks serving",),
    "retrain": ("breaks serving", "needs retraining"),
    "any": ("breaks serving", "needs retraining", "safe"),
}


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    options = _parser().parse_args(words)
    try:
        return int(options.run(options))
    except FeastNbError as problem:
        print(f"feast_nb: {type(problem).__name__}: {problem}", file=sys.stderr)
        return UNCHECKED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="feast-nb", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    check = commands.add_parser(
        "check", help="which models a change of the definition files breaks", description=
        "Hold the definition files against the registry or a git revision. Nothing is written. "
        "Exit code 1: a change is as grave as --fail-on; 2: it could not be checked.",
    )  # fmt: skip
    check.add_argument("--repo", metavar="PATH", help="the feature repository (the nearest one)")
    _take(check, *PLAN)
    check.add_argument(
        "--format", choices=("text", "json", "github", "markdown"), default="text",
        help="github: annotations of the lines; markdown: a comment for a pull request",
    )  # fmt: skip
    check.add_argument(
        "--fail-on", choices=tuple(_FAIL_ON), default="breaks",
        help="the gravest change that passes is one below it (breaks)",
    )  # fmt: skip
    check.add_argument(
        "--offline", metavar="FILE", nargs="?", const=_SNAPSHOT, help="ask neither registry nor "
        f"MLflow, but a file that `feast-nb snapshot` wrote ({_SNAPSHOT})",
    )  # fmt: skip
    check.set_defaults(run=_check)
    keep = commands.add_parser(
        "snapshot", help="keep registry and models in a file, for check --offline", description=
        "What a job in CI needs that may reach neither the registry nor MLflow. The file holds who "
        "trained which model on what: keep it where only those may read who may read MLflow.",
    )  # fmt: skip
    keep.add_argument("--repo", metavar="PATH", help="the feature repository (the nearest one)")
    keep.add_argument("--into", metavar="FILE", default=_SNAPSHOT, help=f"({_SNAPSHOT})")
    keep.add_argument("--format", choices=("text", "json"), default="text")
    keep.set_defaults(run=_snapshot)
    change = commands.add_parser(
        "apply", help="apply the definition files, where that breaks no served model", description=
        "As `feast apply`, but what breaks a model version with an alias is refused, and what was "
        "done is logged. Exit code 1: it was refused; 2: it could not be applied.",
    )  # fmt: skip
    change.add_argument("--repo", metavar="PATH", help="the feature repository (the nearest one)")
    _take(change, *APPLY)
    change.add_argument("--format", choices=("text", "json"), default="text")
    change.set_defaults(run=_apply)
    _add_materialize(commands)
    _add_health(commands)
    return parser


def _take(parser: argparse.ArgumentParser, *options: Option) -> None:
    for option in options:
        parser.add_argument(option.name, **option.keywords)


def _add_materialize(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    load = commands.add_parser(
        "materialize", help="load views into the online store", description=
        "As Feast does, told view by view and logged as an operation. Exit code 1: a view was not "
        "loaded; 2: none could be.",
    )  # fmt: skip
    _take(load, *MATERIALIZE)
    load.add_argument("--repo", metavar="PATH", help="the feature repository (the nearest one)")
    load.add_argument("--format", choices=("text", "json"), default="text")
    load.set_defaults(run=_materialize)


def _add_health(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    look = commands.add_parser(
        "health", help="how registry, stores, sources and views are", description=
        "Real reads with a deadline each; nothing is written. Exit code 1: a line is as bad as "
        "--fail-on; 2: it could not be looked at.",
    )  # fmt: skip
    _take(look, *HEALTH)
    look.add_argument("--repo", metavar="PATH", help="the feature repository (the nearest one)")
    look.add_argument("--format", choices=("text", "json", "prometheus"), default="text",
                      help="prometheus: for the node exporter's textfile collector")  # fmt: skip
    look.add_argument("--fail-on", choices=tuple(_AS_BAD), default="red",
                      help="the worst that passes is one below it (red)")  # fmt: skip
    look.set_defaults(run=_health)


def _check(options: argparse.Namespace) -> int:
    plan, yaml = _planned(options.repo, options.against, options.offline)
    shows: dict[str, Callable[[Plan], str]] = {
        "text": str,
        "json": _json,
        "markdown": _markdown,
        "github": partial(_github, yaml=yaml),
    }
    print(shows[options.format](plan))
    if any(change.grade in _FAIL_ON[options.fail_on] for change in plan.changes):
        return FOUND
    return UNCHECKED if plan.unchecked else 0


def _snapshot(options: argparse.Namespace) -> int:
    _without_warnings()
    from .integrations.feast import store
    from .operations import snapshot
    from .operations.affected_models import tracked_at
    from .questions.source import HistorySource

    opened = store.open_store(store.yaml_of(options.repo) if options.repo else store.find())
    uri, unknown = tracked_at(opened)
    if unknown:
        raise RepositoryError(f"no snapshot was written: {unknown}")
    made = snapshot.write(opened, HistorySource(opened, uri), Path(options.into))
    print(_json(made) if options.format == "json" else str(made))
    return 0


def _planned_offline(yaml: Path, against: str, file: str) -> Plan:
    from .integrations.feast import store
    from .operations import snapshot
    from .operations.plan import plan

    with snapshot.opened(Path(file), store.project_of(yaml)) as past:
        at = past.head.at
        found = plan(yaml, None, past, registered=past.definitions, against=against, full=True)
    said = f"registry and models are those of the snapshot of {at}; sources were not looked at."
    return replace(found, notes=(*found.notes, said))


def _planned(repo: str | None, against: str, offline: str | None = None) -> tuple[Plan, Path]:
    _without_warnings()
    from .integrations.feast.repository_files import definition_files

    definition_files.begin()  # it imports Feast beside this process
    from .integrations.feast import store
    from .operations.affected_models import tracked_at
    from .operations.plan import plan
    from .questions.monitor import follow_requests
    from .questions.source import HistorySource

    yaml = store.yaml_of(repo) if repo else store.find()
    if offline is not None:
        return _planned_offline(yaml, against, offline), yaml
    if not store.is_applied(yaml):  # opening it would write a registry
        unknown = "no registry is at hand, and so no model was asked."
        unknown = "" if against == "registry" else unknown
        return plan(yaml, None, None, unknown, against=against, full=True), yaml
    follow_requests()
    opened = store.open_store(yaml)
    uri, unknown = tracked_at(opened)
    past = HistorySource(opened, uri) if uri else None
    if past is not None:
        past.show = lambda *_: None
    return plan(yaml, opened, past, unknown, against=against, full=True), yaml


def _apply(options: argparse.Namespace) -> int:
    from .operations.affected_models import MODELS

    def agreed(plan: Plan) -> bool:
        if options.yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError("nobody can be asked here; add --yes to apply it.")
        print(plan)
        return input("Apply these changes? [y/N] ").strip().lower() in ("y", "yes")

    session = _session(options.repo)
    try:
        done = session.apply(
            force=options.force, reason=options.reason, partial=options.partial,
            progress=sys.stderr.isatty(), agreed=agreed,
        )  # fmt: skip
    except Drift as problem:
        print(f"feast_nb: refused: {problem}", file=sys.stderr)
        return UNCHECKED if str(problem).startswith((MODELS, REFUSED)) else FOUND
    finally:
        _send(session)
    print(_json(done) if options.format == "json" else str(done))
    return 0


def _send(session: Session) -> None:
    """A job may lose its disk when it ends: what was done is in MLflow before, or it is said."""
    if not session.recorder.flush(seconds=_PATIENCE):
        where = session.recorder.outbox.folder
        print(f"feast_nb: what was done is not in MLflow yet: it is kept in {where}, and goes with "
              "the next session here.", file=sys.stderr)  # fmt: skip


def _materialize(options: argparse.Namespace) -> int:
    session = _session(options.repo)
    done = session.materialize(
        options.views, start=options.start, end=options.end, dry_run=options.dry_run,
        wait=options.wait, progress=sys.stderr.isatty(),
    )  # fmt: skip
    _send(session)
    print(_json(done) if options.format == "json" else str(done))
    return 0 if done.state in ("loaded", "planned", "left out") else FOUND


def _health(options: argparse.Namespace) -> int:
    found = _session(options.repo).health(
        options.views, model=options.model, sample=options.sample, server=options.server,
        seconds=options.seconds,
    )  # fmt: skip
    shows: dict[str, Callable[[], str]] = {
        "text": lambda: str(found),
        "json": lambda: _json(found),
        "prometheus": found.to_prometheus,
    }
    print(shows[options.format]())
    if all(line.light == "unknown" for line in found.lines):
        return UNCHECKED
    return FOUND if found.light in _AS_BAD[options.fail_on] else 0


def _session(repo: str | None) -> Session:
    """The session of a repository, without what libraries warn of."""
    _without_warnings()
    from .integrations.feast import store
    from .session import open as open_session

    return open_session(store.yaml_of(repo) if repo else store.find())


def _without_warnings() -> None:
    """A job's log is for what was found."""
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    logging.getLogger("py.warnings").propagate = False


def _json(record: Document) -> str:
    return json.dumps(record.to_dict(), indent=1, ensure_ascii=False)


def _github(plan: Plan, yaml: Path) -> str:
    """Workflow commands, which GitHub shows at the lines of a pull request."""
    from .integrations.feast.store import folder_of

    lines = [_annotation(change, folder_of(yaml)) for change in plan.changes]
    lines += [f"::warning title=not checked::{_escaped(text)}" for text in plan.unchecked]
    return "\n".join([*lines, str(plan).splitlines()[0]])


def _annotation(change: PlannedChange, folder: Path) -> str:
    level = {"breaks serving": "error", "needs retraining": "warning"}.get(change.grade, "notice")
    place = ""
    if change.file:
        path = _from_top(folder / change.file)
        place = f" file={path},line={change.line},"
    models = ", ".join(model.shown for model in change.models)
    said = f"{change.reason}{f' ({models})' if models else ''}"
    title = _escaped(f"{change.action} {change.object}: {change.grade}").replace(",", "%2C")
    return f"::{level}{place or ' '}title={title.replace(':', '%3A')}::{_escaped(said)}"


def _from_top(path: Path) -> str:
    """A file as GitHub names it: from the top of the checkout, where a job begins."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return str(path)


def _escaped(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _markdown(plan: Plan) -> str:
    """A comment: the models that break in its first line."""
    first = (
        f"**Breaks {len(plan.broken)} model version{'s' if len(plan.broken) != 1 else ''}: "
        f"{', '.join(f'`{name}`' for name in plan.broken)}**"
        if plan.broken else f"**{str(plan).splitlines()[0]}**"
    )  # fmt: skip
    lines = [first, ""]
    lines += [f"- not checked: {text}" for text in plan.unchecked]
    if plan.changes:
        lines += ["| change | grade | why | models |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {c.action} `{c.object}` | {c.grade} | {_cell(c.reason)} | "
            f"{', '.join(f'`{m.shown}`' for m in c.models) or '–'} |"
            for c in plan.changes
        ]
    for change in plan.changes:
        if change.lines:
            lines += ["", f"<details><summary>{change.object}</summary>", "", "```diff",
                      *change.lines, "```", "", "</details>"]  # fmt: skip
    return "\n".join(lines)


def _cell(text: str) -> str:
    return visible(text).replace("|", "\\|")
