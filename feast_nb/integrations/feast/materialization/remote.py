"""A materialization that a feature server does: asked for, and waited for as long as is wanted.

Feast's own call waits without end. The server's answer says what failed; the state of a view in the
registry does not (a SQL registry keeps no state of a view that is otherwise unchanged, Feast 0.67).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from ....errors import StoreError, brief
from ....masking import masked_text, public_uri
from ..servers import client_limits, store_door, store_faults, tls

if TYPE_CHECKING:
    from feast import FeatureStore

State = Literal["loaded", "failed", "running"]
_GOES_ON = "the feature server goes on with it; %feast_health shows when it is done"


def is_remote(store: FeatureStore) -> bool:
    """Whether a feature server does what is asked of the online store."""
    return str(getattr(store.config.online_store, "type", "")) == "remote"


def load(
    store: FeatureStore,
    view: str,
    start: datetime | None,
    end: datetime,
    wait: float,
    told: Callable[[str, None], None],
) -> tuple[State, str | None]:
    """Have a view loaded; its state, and why. Ctrl-C leaves the server at it, and says so.

    Raises `StoreError` for a server that is away.
    """
    from requests import ConnectionError, Timeout

    address = str(store.config.online_store.path)
    if not store_door.listens(address):
        raise StoreError(
            f"the feature server at {public_uri(address)} cannot be reached; start it (feast "
            "serve), or see online_store's path."
        )
    told(view, None)
    token = client_limits.SECONDS.set(wait)
    try:
        if start is None:
            store.materialize_incremental(end, [view])
        else:
            store.materialize(start, end, [view])
    except KeyboardInterrupt:
        return "running", _GOES_ON
    except Timeout:
        return "running", f"not done within {wait:g} s: {_GOES_ON}"
    except ConnectionError as problem:
        asked = store_faults.Asked(store, "online store", store_door.SECONDS)
        if wrong := tls.fault(asked):
            return "failed", f"{asked.who} {wrong}"
        return "failed", f"the feature server ended while it was at it ({brief(problem, 150)})"
    except RuntimeError as problem:  # Feast's own, with the server's answer in it
        said = store_door.fault(store, "online store", problem) or brief(problem, 300)
        return "failed", masked_text(said)
    finally:
        client_limits.SECONDS.reset(token)
    return "loaded", None
