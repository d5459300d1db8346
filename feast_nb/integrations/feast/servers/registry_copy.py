"""A registry server's definitions, kept: what it lists is asked for beside a cell, not in it.

Feast keeps no copy of what a registry server holds, so that each retrieval would ask it anew.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from ....patching import threads
from ....patching.patches import Patches

FRESH = 60.0  # seconds after which a copy is read anew, beside whoever asked
LATEST = 600.0  # seconds after which it is not used before it was (Feast's own of a SQL registry)


@dataclass
class RegistryCopy:
    """What a server listed; `digest` is of all of it, `at` by the monotonic clock."""

    proto: Any
    at: float
    digest: str
    renewing: bool = False


_copies: WeakKeyDictionary[Any, RegistryCopy] = WeakKeyDictionary()


def kept(registry: Any, ask: Callable[[], Any]) -> RegistryCopy:
    """The copy of a registry server, which `ask` reads: waits for it only where none is at hand.

    Raises what `ask` raises where it has to wait.
    """
    copy = _copies.get(registry)
    age = time.monotonic() - copy.at if copy is not None else LATEST
    if copy is None or age >= LATEST:
        return _keep(registry, ask())
    if age >= FRESH and not copy.renewing:
        copy.renewing = True
        threads.begin(lambda: _renew(registry, copy, ask))
    return copy


def digest_of(registry: Any) -> str | None:
    """What changes with the copy; None where there is none."""
    copy = _copies.get(registry)
    return copy.digest if copy is not None else None


def _keep(registry: Any, proto: Any) -> RegistryCopy:
    text = proto.SerializeToString(deterministic=True)
    digest = hashlib.blake2b(text, digest_size=8).hexdigest()
    found = _copies[registry] = RegistryCopy(proto, time.monotonic(), digest)
    return found


def _renew(registry: Any, copy: RegistryCopy, ask: Callable[[], Any]) -> None:
    """Read it anew; a server that is away leaves the copy as it is, until that is too old."""
    try:
        proto = ask()
    finally:
        copy.renewing = False
    if _copies.get(registry) is copy:  # else this process wrote to it meanwhile
        _keep(registry, proto)


def follow(patches: Patches) -> None:
    """What this process writes to a registry server is read anew at once."""
    name = "feast.infra.registry.remote"
    patches.on_import(name, functools.partial(_follow_registry, patches))


def _follow_registry(patches: Patches, module: ModuleType) -> None:
    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def commit(registry: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(registry, *args, **kwargs)
            finally:
                _copies.pop(registry, None)

        return commit

    patches.replace(module.RemoteRegistry, "commit", wrap)
