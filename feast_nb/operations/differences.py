"""Two registries of one project side by side, object by object, down to a field."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..contracts import drift
from ..errors import FeatureError, UsageError, nearest
from ..integrations.feast import definition_hashes
from ..integrations.feast.registry import Definitions
from ..integrations.feast.views import View, dtype_named, refs_of_service
from ..records.operation import REFUSED
from ..records.retrieval import NO_ENTITY, ViewDefinition

if TYPE_CHECKING:
    from feast.protos.feast.core.Entity_pb2 import EntitySpecV2
    from feast.protos.feast.core.Feature_pb2 import FeatureSpecV2
    from feast.protos.feast.core.FeatureService_pb2 import FeatureServiceSpec
    from google.protobuf.message import Message

_PARTS = {"entities": "join keys", "ttl": "TTL", "query": "source's query",
          "location": "source", "policy": "label policy"}  # fmt: skip
_ASIDE = ("description", "owner", "tags")
_UNITS = ("online", "offline", "disabled", "enable_validation")


@dataclass
class ObjectDifference:
    """One object that is not on both sides as it is on the other; `lines` are those of a diff.

    `fields` holds the features that changed, `aside` what says nothing of the data.
    """

    kind: Literal["view", "entity", "service", "source"]
    name: str
    action: Literal["create", "update", "delete"]
    lines: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)


class Sides:
    """What is there and what is wanted, read once for all that is asked of the two.

    What is in no file is wanted as it is, unless the plan is a `full` one: then it goes.
    """

    def __init__(self, have: Definitions, want: Definitions, full: bool) -> None:
        self.have, self.want, self.full = have, want, full
        self.records_had = have.records()
        self.records_wanted = want.records()
        if not full:
            self.records_wanted = {**self.records_had, **self.records_wanted}
        every = [*self.records_had.values(), *self.records_wanted.values()]
        self.parts = definition_hashes.parts_of(every)
        self.services_had = {n: refs_of_service(s) for n, s in have.services.items()}
        self.services_wanted = {n: refs_of_service(s) for n, s in want.services.items()}
        if not full:
            self.services_wanted = {**self.services_had, **self.services_wanted}

    @property
    def only_registered(self) -> tuple[str, ...]:
        """What is in the registry and in no file, as an impact is asked for."""
        sides = (
            ("view", self.have.views, self.want.views),
            ("entity", self.have.entities, self.want.entities),
            ("service", self.have.services, self.want.services),
        )
        return tuple(
            f"{kind}={name}"
            for kind, had, wanted in sides
            for name in sorted(set(had) - set(wanted) - {NO_ENTITY})
        )

    @property
    def restored(self) -> tuple[str, ...]:
        """Views that ask for an earlier version of theirs: Feast puts that in their place."""
        asked = {n: getattr(v.spec, "version", "") for n, v in self.want.views.items()}
        return tuple(
            f"{REFUSED}view {name} asks for version {version}, which Feast restores."
            for name, version in asked.items()
            if version not in ("", "latest") and name in self.have.views
            and version != getattr(self.have.views[name].spec, "version", "")
        )  # fmt: skip

    def differences(self) -> list[ObjectDifference]:
        """Sources and entities first, as Feast applies them; what is the same is left out."""
        found = [*self._sources(), *self._entities(), *self._views(), *self._services()]
        return found if self.full else [one for one in found if one.action != "delete"]

    # ------------------------------------------------------------------ each kind

    def _views(self) -> Iterator[ObjectDifference]:
        for name, action in _actions(self.have.views, self.want.views):
            if action == "update":
                found = self._view(name, self.have.views[name], self.want.views[name])
                if found.lines or found.aside:
                    yield found
            else:
                side = self.have.views if action == "delete" else self.want.views
                sign = "-" if action == "delete" else "+"
                view = side[name]
                features = [f"{sign} {f.name}: {_type(f)}" for f in view.features]
                yield ObjectDifference("view", name, action, features)

    def _view(self, name: str, was: View, now: View) -> ObjectDifference:
        found = ObjectDifference("view", name, "update")
        before = {f.name: _type(f) for f in was.features}
        after = {f.name: _type(f) for f in now.features}
        for feature in (*before, *(f for f in after if f not in before)):
            if before.get(feature) != after.get(feature):
                found.fields.append(feature)
                found.lines += _both(feature, before.get(feature), after.get(feature))
        one, other = self.records_had[name], self.records_wanted[name]
        if was.kind != now.kind:
            found.lines += _both("kind", was.kind, now.kind)
        for part, called in _PARTS.items():
            found.lines += self._part(part, called, one, other)
        if one.hashes.get("code") != other.hashes.get("code"):
            found.lines += _code(self.parts, one, other)
        for unit in _UNITS:
            old, new = getattr(was.spec, unit, None), getattr(now.spec, unit, None)
            if old != new:
                found.lines += _both(unit, str(old).lower(), str(new).lower())
        if not found.lines:
            found.lines += _others(was.spec, now.spec)
        found.aside = list(_aside(was.spec, now.spec))
        for feature in set(before) & set(after):
            told = {f.name: f for f in was.features}[feature], {
                f.name: f for f in now.features}[feature]  # fmt: skip
            found.aside += [f"{feature}: {line}" for line in _aside(*told)]
        return found

    def _part(
        self, part: str, called: str, one: ViewDefinition, other: ViewDefinition
    ) -> list[str]:
        old, new = one.hashes.get(part), other.hashes.get(part)
        if old == new:
            return []
        said = [drift.describe(part, self.parts.get(h or "")) for h in (old, new)]
        if said[0] == said[1] and part == "entities":
            said = [drift.describe("typed", self.parts.get(h or "")) for h in (old, new)]
        return _both(called, said[0] or "unknown", said[1] or "unknown")

    def _entities(self) -> Iterator[ObjectDifference]:
        had, wanted = self.have.entities, self.want.entities
        for name, action in _actions(had, wanted):
            found = ObjectDifference("entity", name, action)
            if action == "update":
                for called in ("join_key", "value_type"):
                    old, new = (_entity_part(side[name], called) for side in (had, wanted))
                    if old != new:
                        found.lines += _both(called.replace("_", " "), old, new)
                found.aside = list(_aside(had[name], wanted[name]))
            if action != "update" or found.lines or found.aside:
                yield found

    def _services(self) -> Iterator[ObjectDifference]:
        had = self.services_had
        wanted = {n: self.services_wanted[n] for n in self.want.services}
        for name, action in _actions(had, wanted):
            found = ObjectDifference("service", name, action)
            old, new = had.get(name, ()), wanted.get(name, ())
            found.lines = [f"- {ref}" for ref in old if ref not in new]
            found.lines += [f"+ {ref}" for ref in new if ref not in old]
            if action == "update":
                if not found.lines and old != new:
                    found.lines = _both("order", ", ".join(old), ", ".join(new))
                found.lines += _renamed(self.have.services[name], self.want.services[name])
                if not found.lines:
                    found.lines += _others(self.have.services[name], self.want.services[name])
                found.aside = list(_aside(self.have.services[name], self.want.services[name]))
            if action != "update" or found.lines or found.aside:
                yield found

    def _sources(self) -> Iterator[ObjectDifference]:
        had = {s.name: s for s in self.have.sources}
        wanted = {s.name: s for s in self.want.sources}
        for name, action in _actions(had, wanted):
            found = ObjectDifference("source", name, action)
            if action == "update":
                old, new = (definition_hashes.source_lines(side[name]) for side in (had, wanted))
                found.lines = [f"- {line}" for line in old if line not in new]
                found.lines += [f"+ {line}" for line in new if line not in old]
                found.aside = list(_aside(had[name], wanted[name]))
            if action != "update" or found.lines or found.aside:
                yield found


def _actions(
    had: Mapping[str, object], wanted: Mapping[str, object]
) -> Iterator[tuple[str, Literal["create", "update", "delete"]]]:
    for name in sorted({*had, *wanted} - {NO_ENTITY}):
        if name not in had:
            yield name, "create"
        else:
            yield name, "update" if name in wanted else "delete"


def _both(what: str, old: str | None, new: str | None) -> list[str]:
    return [
        *([f"- {what}: {old}"] if old is not None else ()),
        *([f"+ {what}: {new}"] if new is not None else ()),
    ]


def _type(feature: FeatureSpecV2) -> str:
    length = f" of {feature.vector_length}" if feature.vector_length else ""
    return dtype_named(feature.value_type) + length


def _renamed(was: FeatureServiceSpec, now: FeatureServiceSpec) -> list[str]:
    """What a service makes of join keys: other keys are other answers for who asks it."""
    old, new = (
        [f"{p.feature_view_name_alias or p.feature_view_name}: {dict(p.join_key_map)}"
         for p in side.features if p.join_key_map]
        for side in (was, now)
    )  # fmt: skip
    return [f"- join keys of {line}" for line in old if line not in new] + [
        f"+ join keys of {line}" for line in new if line not in old
    ]


# What is told above, or says nothing of the data; and what Feast itself fills in.
_TOLD = {*_ASIDE, *_UNITS, "ttl", "features", "entities", "entity_columns", "batch_source",
         "stream_source", "source", "sources", "conflict_policy", "labeler_field",
         "retain_history", "feature_transformation", "user_defined_function", "mode",
         "project", "version", "version_tag", "created_timestamp", "last_updated_timestamp",
         "original_entities"}  # fmt: skip


def _others(was: Message, now: Message) -> list[str]:
    """Settings of other names that differ: they are said, whatever they mean."""
    names = [f.name for f in was.DESCRIPTOR.fields if f.name not in _TOLD]
    return [f"~ {name}" for name in names if getattr(was, name) != getattr(now, name)]


def _entity_part(spec: EntitySpecV2, called: str) -> str:
    value = getattr(spec, called)
    return dtype_named(value) if called == "value_type" else str(value)


def _aside(was: Message, now: Message) -> Iterator[str]:
    """Descriptions, owners and tags: what people read, and no model depends on."""
    for called in _ASIDE:
        old, new = getattr(was, called, None), getattr(now, called, None)
        if called == "tags":
            old, new = dict(old or {}), dict(new or {})
        if (old or None) != (new or None):
            yield called


def _code(parts: Mapping[str, object], one: ViewDefinition, other: ViewDefinition) -> list[str]:
    """What changed in the text of a transformation, line by line."""
    old, new = (drift.describe("code", parts.get(r.hashes.get("code", ""))) for r in (one, other))
    lines = difflib.unified_diff(
        (old or "").splitlines(), (new or "").splitlines(), lineterm="", n=1
    )
    return ["code:", *(line for line in lines if line[:3] not in ("---", "+++", "@@ "))]


def object_named(known: Definitions, name: str, where: str) -> str:
    """`view=NAME`, `service=NAME` or `entity=NAME` of what is meant; `where` it is looked for.

    Raises `FeatureError`, with the nearest name, where there is none, and `UsageError` where there
    is more than one.
    """
    entities = known.entities.keys() - {NO_ENTITY}
    there = {"view": known.views, "service": known.services, "entity": entities}
    kind, _, plain = name.rpartition("=")
    if kind and kind not in there:
        raise UsageError(f"{name}: write view=NAME, service=NAME or entity=NAME.")
    found = [k for k, names in there.items() if plain in names and k in (kind or k)]
    if len(found) > 1:
        several = " or ".join(f"{k}={plain}" for k in found)
        raise UsageError(f"{plain} is more than one thing; write {several}.")
    if not found:
        every = [one for k, names in there.items() if k == (kind or k) for one in names]
        raise FeatureError(f"nothing is called {plain} in {where}; {nearest(plain, every)}")
    return f"{found[0]}={plain}"
