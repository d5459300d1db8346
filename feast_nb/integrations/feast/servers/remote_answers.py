"""What a feature server answers beside the values: Feast's remote store drops the timestamps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ....patching.patches import Patches

if TYPE_CHECKING:
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.online_response import OnlineResponse
    from google.protobuf.timestamp_pb2 import Timestamp

_wanted: ContextVar[bool] = ContextVar("feast_nb_timestamps_wanted", default=False)


@contextmanager
def with_timestamps() -> Iterator[None]:
    """What is read online within it has the event timestamps that a feature server sent."""
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)


def _moment(text: str, known: dict[str, Timestamp]) -> Timestamp:
    from google.protobuf.timestamp_pb2 import Timestamp

    if text not in known:
        known[text] = Timestamp()
        known[text].FromJsonString(text)
    return known[text]


def follow(patches: Patches) -> None:
    """Take them over from the server's JSON, in calls of ours; the user's are left alone."""
    name = "feast.infra.online_stores.remote"
    patches.on_import(name, functools.partial(_follow_store, patches))


def _follow_store(patches: Patches, module: ModuleType) -> None:
    def wrap(original: Callable[..., OnlineResponse]) -> Callable[..., OnlineResponse]:
        @functools.wraps(original)
        def built(self: OnlineStore, answer: dict[str, Any]) -> OnlineResponse:
            response = original(self, answer)
            if _wanted.get():
                known: dict[str, Timestamp] = {}  # rows that were loaded together share them
                for sent, result in zip(answer["results"], response.proto.results, strict=True):
                    told = (_moment(text, known) for text in sent.get("event_timestamps", ()))
                    result.event_timestamps.extend(told)
            return response

        return built

    # One private method of Feast's: no public one gives the answer as it came.
    patches.replace(module.RemoteOnlineStore, "_build_online_response_from_json", wrap)
