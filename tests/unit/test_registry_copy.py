"""The copy of a registry server's definitions: what is kept of it, and what is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from feast_nb.integrations.feast.registry import Definitions
from feast_nb.integrations.feast.servers import registry_copy
from feast_nb.patching.patches import Patches


class RemoteRegistry:
    """As far as writes to it are noticed."""

    def commit(self) -> None: ...

    def refresh(self) -> None: ...


def listed() -> Any:
    from feast.protos.feast.core.Registry_pb2 import Registry

    return Registry()


@pytest.fixture
def registry() -> Any:
    patches = Patches()
    kind = type("Remote", (RemoteRegistry,), dict(vars(RemoteRegistry)))
    registry_copy._follow_registry(patches, SimpleNamespace(RemoteRegistry=kind))  # type: ignore[arg-type]
    yield kind()
    patches.undo()


def test_what_was_listed_is_kept_and_asked_for_once(registry: Any) -> None:
    first = registry_copy.renewed(registry, listed)

    assert registry_copy.latest(registry) is first
    assert registry_copy.renewed(registry, lambda: pytest.fail("it was asked again")) is first


def test_what_was_listed_while_this_process_wrote_is_not_kept(registry: Any) -> None:
    """A listing that began before an apply has what was there before, or a part of each."""

    def while_it_is_written_to() -> Any:
        found = listed()
        registry.commit()
        return found

    registry_copy.renewed(registry, while_it_is_written_to)

    assert registry_copy.latest(registry) is None


def test_a_copy_is_as_old_as_the_moment_at_which_it_was_asked_for(
    registry: Any, monkeypatch
) -> None:
    clock = iter([100.0, 100.0 + registry_copy.FRESH])  # the listing took that long

    monkeypatch.setattr(registry_copy.time, "monotonic", lambda: next(clock))
    registry_copy.renewed(registry, listed)

    assert registry_copy.latest(registry) is None


def test_an_entity_of_another_project_says_nothing_of_ones_own() -> None:
    from feast.protos.feast.core.Registry_pb2 import Registry

    proto = Registry()
    for project, seconds in (("other", 2_000), ("mine", 1_000)):
        entity = proto.entities.add()
        entity.spec.name, entity.spec.project = "driver", project
        entity.meta.last_updated_timestamp.FromSeconds(seconds)

    at = Definitions(proto, "mine", None).applied_at("entities", "driver")
    assert at is not None
    assert at.timestamp() == 1_000
