"""The last look at a repository's health, kept on this machine: what a panel shows with its age."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ..errors import ArtifactError
from ..paths import cache_folder, private_folder
from ..records.operation import Health, HealthLine


def kept(yaml: Path) -> Health | None:
    """What the last looks at a repository found; each line says when. None before the first."""
    path = _place(yaml)
    try:
        return Health.read(path.read_text(), path.name)
    except (OSError, ArtifactError):  # none, or one of another version
        return None


def keep(yaml: Path, found: Health, whole: bool) -> Health:
    """Keep what was found, beside what was not looked at this time.

    `whole`: all views were looked at, so that what is not among them is not there any more. Of
    models, which are looked at one by one, what was known stays.
    """
    before = kept(yaml)
    merged = replace(found, lines=joined(before, found.lines, whole), model=None)
    path = _place(yaml)
    part = path.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):  # without a disk to keep it on there is none
        private_folder(path.parent)
        part.touch(0o600)
        part.write_text(json.dumps(merged.to_dict()))
        part.replace(path)
    return merged


def joined(
    before: Health | None, lines: Iterable[HealthLine], whole: bool
) -> tuple[HealthLine, ...]:
    """Lines of an earlier look with those of a newer one in their place, the worst first."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    found = {_key(line): replace(line, at=line.at or now) for line in lines}
    if before is not None:
        for line in before.lines:
            if not whole or line.part == "model":
                found.setdefault(_key(line), line)
    return tuple(sorted(found.values(), key=worst_first))


def _key(line: HealthLine) -> tuple[str, str]:
    """There is one registry and one online store; one that is away does not tell where it is."""
    return line.part, "" if line.part in ("registry", "online store") else line.name


_LIGHTS = ("red", "amber", "unknown", "green")
_ORDER = ("registry", "source", "online store", "feature server", "view", "skew", "model")


def worst_first(line: HealthLine) -> tuple[int, int, str]:
    """A key to sort lines by."""
    return _LIGHTS.index(line.light), _ORDER.index(line.part), line.name


def _place(yaml: Path) -> Path:
    name = hashlib.blake2b(str(yaml.resolve()).encode(), digest_size=12).hexdigest()
    return cache_folder() / "health" / f"{name}.json"
