"""The command line: what a job in CI asks, without a notebook.

Exit codes: 0 nothing was found, 1 something was, 2 it could not be checked.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from .errors import FeastNbError, visible
from .records.lineage import Plan, PlannedChange

FOUND, UNCHECKED = 1, 2
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
    check.add_argument(
        "--against", metavar="REF", default="registry", help="registry, or a git revision"
    )
    check.add_argument(
        "--format", choices=("text", "json", "github", "markdown"), default="text",
        help="github: annotations of the lines; markdown: a comment for a pull request",
    )  # fmt: skip
    check.add_argument(
        "--fail-on", choices=tuple(_FAIL_ON), default="breaks",
        help="the gravest change that passes is one below it (breaks)",
    )  # fmt: skip
    check.set_defaults(run=_check)
    return parser


def _check(options: argparse.Namespace) -> int:
    plan, yaml = _planned(options.repo, options.against)
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


def _planned(repo: str | None, against: str) -> tuple[Plan, Path]:
    # What libraries warn of: a job's log is for what was found.
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    logging.getLogger("py.warnings").propagate = False
    from .integrations.feast.repository_files import definition_files

    definition_files.begin()  # it imports Feast beside this process
    from .integrations.feast import store
    from .operations.affected_models import tracked_at
    from .operations.plan import plan
    from .questions.monitor import follow_requests
    from .questions.source import HistorySource

    yaml = store.yaml_of(repo) if repo else store.find()
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


def _json(plan: Plan) -> str:
    return json.dumps(plan.to_dict(), indent=1, ensure_ascii=False)


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
