"""What definition files would make of a registry: each change, its grade, and what it breaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts import drift
from ..integrations.feast import registry
from ..integrations.feast import store as stores
from ..integrations.feast.registry import Definitions
from ..integrations.feast.repository_files import definition_calls, definition_files
from ..masking import masked_text
from ..records.operation import REFUSED, Plan
from . import source_check
from .affected_models import AffectedModels
from .change_grades import ORDER, ChangeGrades
from .differences import Sides, object_named
from .options import REGISTRY

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
    from google.protobuf.message import Message

    from ..questions.source import HistorySource
    from .snapshot import SnapshotSource


def plan(
    yaml: Path,
    store: FeatureStore | None,
    past: HistorySource | SnapshotSource | None,
    unknown: str = "",
    *,
    registered: Definitions | None = None,
    folder: Path | None = None,
    against: str = REGISTRY,
    full: bool = False,
    only: Sequence[str] = (),
) -> Plan:
    """What applying a repository's files, or `only` some objects of them, would do.

    `store` is None where nothing was ever applied, or nobody is to be asked: then `registered` is
    what was. `past` is the history, or `unknown` why there is none (`tracked_at`). Nothing is
    written. Raises `RepositoryError` for files that do not parse, `UsageError` for a revision that
    is none, `FeatureError` for a name that is in no file.
    """
    project = store.project if store is not None else stores.project_of(yaml)
    with ExitStack() as stack:
        have = registry.nothing(project)
        if against == REGISTRY and store is not None:  # first: what hangs is known within seconds
            have = registry.definitions_now(store)
        elif against == REGISTRY and registered is not None:
            have = registered
        files = definition_files.read(yaml, folder)
        want = Definitions(files.proto, project, None)
        unchecked: list[str] = []
        inferred = files.inferred
        if against != REGISTRY:
            repo = stores.folder_of(yaml)
            before = stack.enter_context(definition_files.at_revision(repo, against))
            earlier = definition_files.read(yaml, before)
            _move(earlier.proto, str(before), str(repo))
            have = Definitions(earlier.proto, project, None)
            full, inferred = True, inferred and earlier.inferred
            if earlier.trouble:
                unchecked.append(f"{REFUSED}{against}: {earlier.trouble}")
    if only:
        names = [object_named(want, name, "the files") for name in only]
        chosen = definition_calls.with_objects(have.proto, files.proto, project, names)
        want, full = Definitions(chosen, project, None), True
    sides = Sides(have, want, full)
    found = ChangeGrades(sides, AffectedModels(past, unknown), files.places)
    # Without what Feast infers (keys, types) everything would look changed.
    changes = [found.of(one) for one in sides.differences()] if inferred else []
    unchecked += found.models.unchecked
    if files.trouble:
        unchecked.append(f"{REFUSED}{files.trouble}")
    unchecked += sides.restored
    if store is not None and inferred:
        trouble, faults = source_check.look(store, sides)
        unchecked += trouble
        changes = [found.with_fault(change, faults.get(change.object)) for change in changes]
    return Plan(
        project=project,
        against="the registry" if against == REGISTRY else against,
        changes=tuple(sorted(changes, key=lambda c: (ORDER.index(c.grade), c.object))),
        only_registered=() if full else sides.only_registered,
        unchecked=tuple(masked_text(text) for text in dict.fromkeys(unchecked)),
        notes=(
            *found.models.notes,
            *_short_lived(sides),
            *(() if only else _permissions(files.proto)),
        ),
        files=files.digest,
    )


def _move(message: Message, old: str, new: str) -> None:
    """Take paths that files made of their own place for those of another place."""
    for kind, value in message.ListFields():
        if kind.type == kind.TYPE_STRING and isinstance(value, str) and old in value:
            setattr(message, kind.name, value.replace(old, new))
        elif kind.type == kind.TYPE_MESSAGE and hasattr(value, "ListFields"):
            _move(value, old, new)
        elif kind.type == kind.TYPE_MESSAGE and not hasattr(value, "items"):
            for one in value:
                _move(one, old, new)


def _permissions(proto: RegistryProto) -> tuple[str, ...]:
    if not proto.permissions:
        return ()
    return ("permissions are not compared; `feast apply` applies them.",)


def _short_lived(sides: Sides) -> Iterator[str]:
    """Views whose values would expire before they are materialized again."""
    for name, view in sides.want.views.items():
        was = sides.have.views.get(name)
        if was is None or not view.ttl:
            continue
        ends = sorted(
            i.end_time.ToSeconds()
            for i in getattr(was.message.meta, "materialization_intervals", ())
        )
        gaps = [b - a for a, b in pairwise(ends)]
        if gaps and view.ttl < max(gaps) and view.ttl != was.ttl:
            yield (
                f"{name}: a TTL of {drift.seconds(view.ttl)} is shorter than the time between two "
                f"materializations ({drift.seconds(max(gaps))}): its values expire before that."
            )
