"""The object of a registry, or of definition files, that a name means."""

from __future__ import annotations

from ..errors import FeatureError, UsageError, nearest
from ..integrations.feast.registry import Definitions


def object_named(known: Definitions, name: str, where: str) -> str:
    """`view=NAME`, `service=NAME` or `entity=NAME` of what is meant; `where` it is looked for.

    Raises `FeatureError`, with the nearest name, where there is none, and `UsageError` where there
    is more than one.
    """
    there = {"view": known.views, "service": known.services, "entity": known.entities}
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
