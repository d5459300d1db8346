"""The options of what is asked from a notebook and from a terminal, once for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

SAMPLE = 200  # entities of each view that a look reads
SECONDS = 5.0  # that each line of a look may take
WAIT = 600.0  # seconds for a feature server that loads views
REGISTRY = "registry"


class Keywords(TypedDict, total=False):
    """What argparse, and IPython's `argument`, take of an option."""

    nargs: str
    metavar: str
    type: type
    default: object
    action: str
    help: str


@dataclass(frozen=True)
class Option:
    """One option, or one word by its place, with argparse's keywords."""

    name: str
    keywords: Keywords


_VIEWS = Option("views", {"nargs": "*", "metavar": "VIEW",
                          "help": "views; else all that are served online"})  # fmt: skip

PLAN = (
    Option("--against", {"metavar": "REF", "default": REGISTRY,
                         "help": "registry, or a git revision"}),
)  # fmt: skip
APPLY = (
    Option("--yes", {"action": "store_true", "help": "apply without asking"}),
    Option("--force", {"action": "store_true",
                       "help": "also what breaks a version that is served"}),
    Option("--reason", {"metavar": "TEXT", "help": "why, with --force; it is logged"}),
    Option("--partial", {"nargs": "+", "metavar": "NAME", "default": (),
                         "help": "these objects of the files, and no others"}),
)  # fmt: skip
MATERIALIZE = (
    _VIEWS,
    Option("--start", {"metavar": "T", "help": "load events from here on: 2026-01-31"}),
    Option("--end", {"metavar": "T", "help": "and up to here (now)"}),
    Option("--dry-run", {"action": "store_true", "help": "say what would be loaded"}),
    Option("--wait", {"type": float, "default": WAIT, "metavar": "S",
                      "help": f"seconds to wait for a feature server that loads them ({WAIT:g})"}),
)  # fmt: skip
HEALTH = (
    _VIEWS,
    Option("--model", {"metavar": "M",
                       "help": "whether its inputs are as in training: name/3, name@a"}),
    Option("--sample", {"type": int, "default": SAMPLE, "metavar": "N",
                        "help": f"entities of each view ({SAMPLE})"}),
    Option("--server", {"metavar": "URL", "help": "a feature server beside the repository's own"}),
    Option("--seconds", {"type": float, "default": SECONDS, "metavar": "S",
                         "help": f"for each line ({SECONDS:g})"}),
)  # fmt: skip
