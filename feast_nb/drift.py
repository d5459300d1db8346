"""How today's registry differs from what a contract expects, and how grave that is.

One table says it (`GRADES`): what breaks serving, what needs retraining, what is safe.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from .records import Change, Contract, View

Grade = Literal["breaks serving", "needs retraining", "safe"]

GRADES: dict[str, Grade] = {
    "removed": "breaks serving",
    "renamed": "breaks serving",
    "retyped": "breaks serving",
    "entities": "breaks serving",
    "ttl": "needs retraining",
    "query": "needs retraining",
    "code": "needs retraining",
    "added": "safe",
    "reordered": "safe",
    "location": "safe",
}
_NAMES = {"ttl": "TTL", "query": "source's query", "code": "code", "entities": "join keys",
          "location": "source's place"}  # fmt: skip


def compare(
    contract: Contract,
    views: Mapping[str, View],
    parts: Mapping[str, Any],
    service: Sequence[str] | None = None,
) -> tuple[Change, ...]:
    """What differs between a contract and today's `views` (by name), in the contract's order.

    `parts` holds what today's hashes stand for, `service` today's references of the contract's
    service (None where there is none any more). Only the features that the model uses count.
    """
    known = {**contract.definitions, **parts}
    used: dict[str, list[str]] = {}
    for ref in contract.features or contract.refs:
        view, _, feature = ref.partition(":")
        used.setdefault(view, []).append(feature)
    found: list[Change] = []
    for was in contract.views:
        if was.name in used:
            found += _of_view(was, used[was.name], views, known)
    found += _of_service(contract, service)
    return tuple(found)


def worst(changes: Iterable[Change]) -> Grade:
    """The gravest of some changes."""
    order: tuple[Grade, ...] = ("breaks serving", "needs retraining", "safe")
    return min((c.grade for c in changes), key=order.index, default="safe")


def _of_view(
    was: View, used: Sequence[str], views: Mapping[str, View], known: Mapping[str, Any]
) -> Iterator[Change]:
    now = views.get(was.view)
    if now is None:
        other = _same_definition(was, views)
        if other:
            yield Change("renamed", was.view, GRADES["renamed"], old=was.view, new=other)
        else:
            yield Change("removed", was.view, GRADES["removed"])
        return
    before, after = _schema(was, known), _schema(now, known)
    if before is None or after is None:
        if was.hashes.get("schema") != now.hashes.get("schema"):
            yield Change("retyped", was.view, GRADES["retyped"], "schema")
    else:
        yield from _of_features(was.name, used, before, after)
    for part in ("entities", "ttl", "code", "query", "location"):
        one, other = was.hashes.get(part), now.hashes.get(part)
        if one is not None and other is not None and one != other:
            kind: Any = "moved" if part == "location" else "redefined"
            yield Change(
                kind, was.view, GRADES[part], part, shown(known.get(one)), shown(known.get(other))
            )


def _same_definition(was: View, views: Mapping[str, View]) -> str | None:
    """A view that is defined as the one that is gone was: it may have been renamed."""
    same = [
        name
        for name, view in views.items()
        if all(view.hashes.get(p) == h for p, h in was.hashes.items() if p != "location")
    ]
    return same[0] if len(same) == 1 else None


def _schema(view: View, known: Mapping[str, Any]) -> dict[str, Any] | None:
    """Feature → its type, from what the hash of a schema stands for."""
    fields = known.get(view.hashes.get("schema", ""))
    return {f[0]: f[1:] for f in fields} if isinstance(fields, list) else None


def _of_features(
    view: str, used: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any]
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


def _of_service(contract: Contract, service: Sequence[str] | None) -> Iterator[Change]:
    """A service that is gone or changed is safe: the contract's own references are used."""
    if contract.service is None:
        return
    if service is None:
        yield Change("removed", f"service {contract.service}", "safe")
        return
    if set(service) == set(contract.refs) and list(service) != list(contract.refs):
        yield Change("reordered", f"service {contract.service}", GRADES["reordered"],
                     old=", ".join(contract.refs), new=", ".join(service))  # fmt: skip
    for ref in service:
        if ref not in contract.refs:
            yield Change("added", f"{ref} in service {contract.service}", GRADES["added"])
    for ref in contract.refs:
        if ref not in service:
            yield Change("removed", f"{ref} from service {contract.service}", "safe")


# Feast's `ValueType`, as its protos number it.
_TYPES = ("invalid", "bytes", "string", "int32", "int64", "double", "float", "bool",
          "unix_timestamp")  # fmt: skip


def _type(field: Sequence[Any]) -> str:
    number = field[0]
    if isinstance(number, int) and number < len(_TYPES):
        return _TYPES[number]
    if isinstance(number, int) and 11 <= number < 11 + len(_TYPES) - 1:
        return f"list<{_TYPES[number - 10]}>"
    return f"type {number}"


def shown(part: Any) -> str | None:
    """A part of a definition as people read it."""
    if part is None:
        return None
    if isinstance(part, list) and part and all(isinstance(p, str) for p in part):
        return "\n".join(p for p in part if p)  # code
    if isinstance(part, (int, float)):
        return seconds(part)
    return json.dumps(part, indent=1, sort_keys=True)


def seconds(number: float) -> str:
    """A TTL in the largest unit that tells it exactly."""
    if not number:
        return "none"
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if number % length == 0:
            count = int(number // length)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{number:g} seconds"


def said(change: Change) -> str:
    """A change in one line; long texts by their first line that differs."""
    if change.kind == "renamed":
        return f"{change.old} is gone; {change.new} is defined the same (renamed?)"
    if change.kind == "retyped" and change.old:
        return f"{change.what} was {change.old}, is {change.new}"
    if change.kind in ("redefined", "moved"):
        name = _NAMES[str(change.part)]
        old, new = first_difference(change.old or "unknown", change.new or "unknown")
        return f"the {name} of {change.what} was {old}, is {new}"
    return f"{change.what} {'is' if change.kind != 'retyped' else 'was'} {change.kind}"


def first_difference(old: str, new: str) -> tuple[str, str]:
    """The first line of each of two texts that the other has not."""
    if "\n" not in old and "\n" not in new:
        return old, new
    gone, came = "", ""
    for line in difflib.ndiff(old.splitlines(), new.splitlines()):
        if line.startswith("- ") and not gone:
            gone = line[2:].strip()
        elif line.startswith("+ ") and not came:
            came = line[2:].strip()
    return gone or "without it", came or "without it"


def diff(change: Change) -> str:
    """A change's old and new text, line by line."""
    old, new = (change.old or "").splitlines(), (change.new or "").splitlines()
    return "\n".join(difflib.unified_diff(old, new, "trained on", "today", lineterm=""))
