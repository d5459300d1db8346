"""A look at the health of a project: which probes, and the lines as they are known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FeastNbError, FeatureError, nearest
from ..integrations.feast import registry
from ..masking import public_uri
from ..records.operation import Health, HealthLine
from . import health_process, last_look
from .health_process import Probe

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class HealthRequest:
    """What is looked at: `views` (all that are served online), and `seconds` for each probe.

    `server` is the address of a feature server beside the one that the repository names.
    `inputs` are those of a model, with their references, and their ranges and nulls in training.
    """

    views: tuple[str, ...]
    sample: int
    seconds: float
    server: str | None = None
    model: str | None = None
    inputs: tuple[dict[str, object], ...] = ()


def look(
    store: FeatureStore, yaml: Path, asked: HealthRequest, told: Callable[[HealthLine], None]
) -> Health:
    """Look at all of it, within the deadlines; `told` is given each line as it is known.

    What was found is kept on this machine, for a panel to show with its age.

    Raises `FeatureError` for a view that is none.
    """
    began = time.monotonic()
    probes, notes = _probes(store, asked)
    lines: list[HealthLine] = []
    for line in health_process.answers(yaml, asked.seconds, probes):
        told(line)
        lines.append(line)
    found = Health(
        project=store.project,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        lines=tuple(sorted(lines, key=last_look.worst_first)),
        model=asked.model,
        seconds=round(time.monotonic() - began, 2),
        notes=notes,
    )
    last_look.keep(yaml, found, whole=not asked.views and not notes)
    return found


def _probes(store: FeatureStore, asked: HealthRequest) -> tuple[list[Probe], tuple[str, ...]]:
    config = store.config
    online = str(getattr(config.online_store, "type", ""))
    probes = [
        Probe("registry", str(getattr(config.registry, "registry_type", "file"))),
        Probe("online store", online),
    ]
    server = asked.server or (str(config.online_store.path) if online == "remote" else None)
    if server:
        cert = str(getattr(config.online_store, "cert", "") or "") if not asked.server else ""
        where = {"address": server, "cert": cert}
        probes.append(Probe("feature server", str(public_uri(server)), where))
    try:
        known = registry.definitions_of(store).views
    except FeastNbError as problem:
        return probes, (f"the views are not known: {problem}",)
    timed = {n: v for n, v in known.items() if v.is_timed and v.is_loaded}
    for name in asked.views:
        if name not in timed:
            raise FeatureError(f"no view {name} is served online; {nearest(name, timed)}")
    named = asked.views or tuple(timed)
    probes += [Probe("view", name, {"sample": asked.sample}) for name in named]
    sources: dict[str, list[str]] = {}
    for name in named:
        if (source := timed[name].batch_proto) is not None:
            sources.setdefault(source.name, []).append(name)
    probes += [Probe("source", name, {"views": views}) for name, views in sources.items()]
    if asked.inputs:
        arguments = {"inputs": list(asked.inputs), "sample": asked.sample}
        probes.append(Probe("model", str(asked.model), arguments))
    return probes, ()
