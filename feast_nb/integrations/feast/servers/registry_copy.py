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
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ....patching import threads
from ....patching.patches import Patches

if TYPE_CHECKING:
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

FRESH = 10.0  # seconds after which a copy is read anew, beside whoever asked; what is recorded is
# of no older one
LATEST = 60.0  # seconds after which it is not used at all before it was


@dataclass
class RegistryCopy:
    """What a server listed; `digest` is of all of it, `at` by the monotonic clock.

    `ask` reads it anew.
    """

    proto: RegistryProto
    at: float
    digest: str
    ask: Callable[[], RegistryProto]
    renewing: bool = False


_copies: WeakKeyDictionary[BaseRegistry, RegistryCopy] = WeakKeyDictionary()


def kept(registry: BaseRegistry, ask: Callable[[], RegistryProto]) -> RegistryCopy:
    """The copy of a registry server, which `ask` reads: waits for it only where none is at hand.

    Raises what `ask` raises where it has to wait.
    """
    copy = _usable(registry)
    return copy if copy is not None else _read(registry, ask)


def renewed(registry: BaseRegistry, ask: Callable[[], RegistryProto]) -> RegistryCopy:
    """The same, and none but a fresh one."""
    copy = latest(registry)
    return copy if copy is not None else _read(registry, ask)


def latest(registry: BaseRegistry) -> RegistryCopy | None:
    """The copy of a registry server where it is a fresh one; nobody is asked."""
    copy = _copies.get(registry)
    return copy if copy is not None and time.monotonic() - copy.at < FRESH else None


def digest_of(registry: BaseRegistry) -> str | None:
    """What changes with the copy; None where there is none that may be used still."""
    copy = _usable(registry)
    return copy.digest if copy is not None else None


def _usable(registry: BaseRegistry) -> RegistryCopy | None:
    """The copy, unless it is too old; whoever looks at it has it renewed in time."""
    copy = _copies.get(registry)
    age = time.monotonic() - copy.at if copy is not None else LATEST
    if copy is None or age >= LATEST:
        return None
    if age >= FRESH and not copy.renewing and not threads.is_ours():
        copy.renewing = True
        threads.begin(lambda: _renew(registry, copy))
    return copy


def _read(registry: BaseRegistry, ask: Callable[[], RegistryProto]) -> RegistryCopy:
    """Read it, and keep it: not what was listed while this process wrote to the registry."""
    written, at = _written.get(registry, 0), time.monotonic()
    proto = ask()
    found = RegistryCopy(proto, at, content_of(proto), ask)
    if _written.get(registry, 0) == written:
        _copies[registry] = found
    return found


# How often this process has written to a registry server.
_written: WeakKeyDictionary[BaseRegistry, int] = WeakKeyDictionary()


def content_of(proto: RegistryProto) -> str:
    """A hash of all that a copy of a registry holds."""
    text = proto.SerializeToString(deterministic=True)
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _renew(registry: BaseRegistry, copy: RegistryCopy) -> None:
    """Read it anew; a server that is away leaves the copy as it is, until that is too old."""
    try:
        _read(registry, copy.ask)
    finally:
        copy.renewing = False


def follow(patches: Patches) -> None:
    """What this process writes to a registry server, or has it read anew, is read anew at once."""
    name = "feast.infra.registry.remote"
    patches.on_import(name, functools.partial(_follow_registry, patches))


def _follow_registry(patches: Patches, module: ModuleType) -> None:
    def wrap(original: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(original)
        def forgetting(registry: BaseRegistry, *args: object, **kwargs: object) -> object:
            try:
                return original(registry, *args, **kwargs)
            finally:
                _written[registry] = _written.get(registry, 0) + 1
                _copies.pop(registry, None)

        return forgetting

    patches.replace(module.RemoteRegistry, "commit", wrap)
    patches.replace(module.RemoteRegistry, "refresh", wrap)
