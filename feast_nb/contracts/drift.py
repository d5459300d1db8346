"""How today's registry differs from what a contract expects, and how grave that is.

One table says it (`GRADES`): what breaks serving, what needs retraining, what is safe.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from ..records.answers import Change, Grade
from ..records.contract import Contract
from ..records.references import split_version
from ..records.retrieval import NO_ENTITY, ViewDefinition
from .contract import type_named

GRADES: dict[str, Grade] = {
    "removed": "breaks serving",
    "renamed": "breaks serving",
    "retyped": "breaks serving",
    "entities": "breaks serving",
    "ttl": "needs retraining",
    "query": "needs retraining",
    "code": "needs retraining",
    "policy": "needs retraining",
    "added": "safe",
    "reordered": "safe",
    "location": "safe",
    "unavailable": "breaks serving",
}


def compare(
    contract: Contract,
    views: Mapping[str, ViewDefinition],
    parts: Mapping[str, object],
    service: Sequence[str] | None = None,
) -> tuple[Change, ...]:
    """What differs between a contract and today's `views` (by name), in the contract's order.

    Of a view of which the contract pins a version, `views` holds that version (`stats@v1`).
    `parts` holds what today's hashes stand for, `service` today's references of the contract's
    service (None where there is none any more). Only the features that the model uses count.
    """
    known = {**contract.definitions, **parts}
    used = _used(contract)
    found: list[Change] = []
    taken = {view.view for view in contract.views}
    others = {name: view for name, view in views.items() if split_version(name)[0] not in taken}
    labels = _labels(contract, used)
    asked = {ref.partition(":")[0] for ref in contract.features or contract.refs}
    for was in contract.views:
        now = views.get(was.address)
        if was.name in used:
            if now is not None and now.unavailable and was.name in asked:  # not one behind it
                found.append(_unavailable(was, now))
            found += _of_view(was, used[was.name], now, others, known)
        elif was.name in labels:
            changes = _of_view(was, labels[was.name], now, others, known)
            found += (c for c in map(_never_served, changes) if c.kind != "added")
    found += _of_service(contract, service)
    return tuple(found)


def _labels(contract: Contract, used: Collection[str]) -> dict[str, list[str]]:
    """Label view → its columns that were retrieved: what the model was trained to say."""
    of_labels = {view.name for view in contract.views if view.kind == "label"} - set(used)
    found: dict[str, list[str]] = {}
    for view, _, label in (ref.partition(":") for ref in contract.refs):
        if view in of_labels:
            found.setdefault(view, []).append(label)
    return found


def _never_served(change: Change) -> Change:
    """A change of labels: other labels want another training, and serving goes on."""
    breaks = change.grade == "breaks serving"
    return replace(change, grade="needs retraining") if breaks else change


def versions_named(contract: Contract) -> tuple[str, ...]:
    """The views of which a contract pins a version: `stats@v1`."""
    return tuple(v.address for v in contract.views if v.address != v.view)


def _unavailable(was: ViewDefinition, now: ViewDefinition) -> Change:
    return Change("unavailable", was.address, GRADES["unavailable"], new=now.unavailable)


def _used(contract: Contract) -> dict[str, list[str]]:
    """View → features that the model takes, and those that its on-demand views compute from."""
    reads = {view.name: view.reads for view in contract.views}
    used: dict[str, list[str]] = {}
    left = list(contract.features or contract.refs)
    while left:
        view, _, feature = left.pop(0).partition(":")
        if view not in used:
            left += reads.get(view, ())
        if feature not in used.setdefault(view, []):
            used[view].append(feature)
    return used


def gone(contract: Contract, views: Mapping[str, Sequence[str]]) -> tuple[Change, ...]:
    """The features that are not there today, where no definitions of then are known."""
    found = []
    for ref in contract.features or contract.refs:
        view, _, feature = ref.partition(":")
        if feature not in views.get(view.partition("@")[0], ()):
            found.append(Change("removed", ref, GRADES["removed"]))
    return tuple(found)


def worst(changes: Iterable[Change]) -> Grade:
    """The gravest of some changes."""
    order: tuple[Grade, ...] = ("breaks serving", "needs retraining", "safe")
    return min((c.grade for c in changes), key=order.index, default="safe")


def _of_view(
    was: ViewDefinition,
    used: Sequence[str],
    now: ViewDefinition | None,
    others: Mapping[str, ViewDefinition],
    known: Mapping[str, object],
) -> Iterator[Change]:
    """What differs between a view then and `now`; `others` are views that it may be called now."""
    if now is None:
        other = _same_definition(was, others)
        if other:
            yield Change("renamed", was.view, GRADES["renamed"], old=was.view, new=other)
        else:
            yield Change("removed", was.address, GRADES["removed"])
        return
    before, after = _schema(was, known), _schema(now, known)
    if not was.is_of_its_version:  # how that version was defined then is not known
        yield from _of_features(was.name, used, after or {}, after or {})
        return
    if before is None or after is None:
        if was.hashes.get("schema") != now.hashes.get("schema"):
            yield Change("retyped", was.address, GRADES["retyped"], "schema")
    else:
        yield from _of_features(was.name, used, before, after)
    for part in ("entities", "ttl", "code", "policy", "query", "location"):
        if was.kind != now.kind == "label" and part in ("query", "location"):
            continue  # 0.1 recorded no source of a label view
        one, other = was.hashes.get(part), now.hashes.get(part)
        if one is not None and other is not None and one != other:
            if part == "entities" and _of_user(known.get(one)) == _of_user(known.get(other)):
                continue
            kind: Literal["moved", "redefined"] = "moved" if part == "location" else "redefined"
            old, new = known.get(one), known.get(other)
            said = describe(part, old), describe(part, new)
            if part == "entities" and said[0] == said[1] and old and new:
                said = describe("typed", old), describe("typed", new)
            yield Change(kind, was.address, GRADES[part], part, *said)


def _of_user(entities: object) -> object:
    """Entities and join keys without Feast's own of a view that has none, as 0.1 recorded it."""
    if not isinstance(entities, list) or len(entities) != 2:
        return entities
    names, columns = entities
    return (
        [n for n in names if not str(n).startswith(NO_ENTITY)],
        [c for c in columns if not str(c[0]).startswith(NO_ENTITY)],
    )


def _same_definition(was: ViewDefinition, views: Mapping[str, ViewDefinition]) -> str | None:
    """A view that is defined as the one that is gone was: it may have been renamed."""
    same = [
        name
        for name, view in views.items()
        if all(view.hashes.get(p) == h for p, h in was.hashes.items() if p != "location")
    ]
    return same[0] if len(same) == 1 else None


def _schema(
    view: ViewDefinition, known: Mapping[str, object]
) -> dict[str, Sequence[object]] | None:
    """Feature → its type, from what the hash of a schema stands for."""
    fields = known.get(view.hashes.get("schema", ""))
    return {f[0]: f[1:] for f in fields} if isinstance(fields, list) else None


def _of_features(
    view: str,
    used: Sequence[str],
    before: Mapping[str, Sequence[object]],
    after: Mapping[str, Sequence[object]],
) -> Iterator[Change]:
    new = [f for f in after if f not in before]
    for feature in used:
        ref = f"{view}:{feature}"
        if feature not in after:
            same = [f for f in new if after[f] == before.get(feature)]
            if len(same) == 1:
                other = f"{view}:{same[0]}"
                yield Change("renamed", ref, GRADES["renamed"], old=ref, new=other)
                new.remove(same[0])
            else:
                yield Change("removed", ref, GRADES["removed"])
        elif feature in before and after[feature] != before[feature]:
            old, now = _type(before[feature]), _type(after[feature])
            yield Change("retyped", ref, GRADES["retyped"], "schema", old, now)
    for feature in new:
        yield Change("added", f"{view}:{feature}", GRADES["added"])


def _type(field: Sequence[object]) -> str:
    """A feature's type, with the length of a vector and the fields of a struct."""
    number, length, struct = (*field, None, None)[:3]
    of = f" of {length}" if length else ""
    return type_named(number) + of + (f" {struct}" if struct else "")


def _of_service(contract: Contract, service: Sequence[str] | None) -> Iterator[Change]:
    """A service that is gone or changed is safe: the contract's own references are used."""
    if contract.service is None:
        return
    if service is None:
        yield Change("removed", f"service {contract.service}", "safe")
        return
    given = contract.service_basis == "given"  # else the list was never in the service's order
    if given and set(service) == set(contract.refs) and list(service) != list(contract.refs):
        yield Change("reordered", f"service {contract.service}", GRADES["reordered"],
                     old=", ".join(contract.refs), new=", ".join(service))  # fmt: skip
    for ref in service:
        if ref not in contract.refs:
            yield Change("added", f"{ref} in service {contract.service}", GRADES["added"])
    for ref in contract.refs:
        if ref not in service:
            yield Change("removed", f"{ref} from service {contract.service}", "safe")


def describe(part: str, value: Any) -> str | None:
    """A part of a definition as people read it."""
    if value is None:
        return None
    if part == "ttl":
        return seconds(value)
    if part == "code":
        return "\n".join(p for p in value if p)
    if part == "entities":
        return ", ".join(str(column[0]) for column in value[1]) or "none"
    if part == "policy":
        return _compact(value)
    if part == "typed":
        return ", ".join(f"{name} ({type_named(number)})" for name, number in value[1])
    if part == "location":
        return "; ".join(_address(source) for source in value) or "none"
    return "; ".join(_compact(source) for source in value) or "none"


def _address(source: object) -> str:
    """Where a source lies: its path or table, where it has one."""
    for name in ("uri", "path", "table"):
        if isinstance(source, dict) and source.get(name):
            return str(source[name])
    return _compact(source)


def _compact(value: object) -> str:
    """What a source is told to select, in one line, without what is not said."""
    if isinstance(value, dict):
        value = {k: v for k, v in value.items() if v}
        return ", ".join(f"{k} {json.dumps(v)}" for k, v in sorted(value.items())) or "nothing"
    return json.dumps(value, sort_keys=True)


def seconds(number: float) -> str:
    """A TTL in the largest unit that tells it exactly."""
    if not number:
        return "none"
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if number % length == 0:
            count = int(number // length)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{number:g} second{'s' if number != 1 else ''}"
