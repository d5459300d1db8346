"""A feature server: whether it says that it is well, and how it answers a real look-up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ....errors import brief
from ....masking import masked_text, public_uri
from ....records.operation import HealthLine
from .. import registry
from ..servers import store_door
from . import store_probes

if TYPE_CHECKING:
    from feast import FeatureStore
    from requests import Response

    from ..views import View

_LOOKUPS = 20


def server_line(opened: Callable[[], FeatureStore], address: str, cert: str) -> list[HealthLine]:
    """Its `/health`, then look-ups of a view through it; `cert` is one of its own."""
    import requests

    name, place = str(public_uri(address)), address.rstrip("/")

    def red(said: str, remedy: str) -> list[HealthLine]:
        return [HealthLine("feature server", name, "red", said, remedy)]

    def ask(path: str, body: dict[str, object] | None = None) -> Response:
        how = "GET" if body is None else "POST"
        return requests.request(
            how, place + path, json=body, timeout=store_door.SECONDS, verify=cert or True
        )

    began = time.monotonic()
    try:
        answer = ask("/health")
        took = round(time.monotonic() - began, 4)
        if answer.status_code != 200:
            return red(f"/health answers {answer.status_code}", "see its log")
        store = opened()
        if str(getattr(store.config.online_store, "type", "")) == "remote":
            # The look-ups of the online store's line go through it.
            return [HealthLine("feature server", name, "green", "/health answers 200",
                               seconds=took)]  # fmt: skip
        return [_looked_up(store, name, ask, took)]
    except requests.Timeout:
        return red(f"it did not answer within {store_door.SECONDS:g} s", "see whether it hangs")
    except requests.exceptions.SSLError:
        return red("its certificate is not trusted", "name its own in `cert` of online_store")
    except requests.ConnectionError:
        return red("it cannot be reached", "start it (feast serve)")


def _looked_up(
    store: FeatureStore, name: str, ask: Callable[..., Response], took: float
) -> HealthLine:
    """Look-ups of the first view that can be asked for: their times, and the order of columns."""
    said, facts = "/health answers 200", dict[str, Any]()
    found = _askable(store)
    if found is None:
        return HealthLine("feature server", name, "green", said, seconds=took)
    view, row = found
    refs = [f"{view.view}:{feature.name}" for feature in view.features]
    body = {"features": refs, "entities": {key: [value] for key, value in row.items()}}
    times = []
    for _ in range(_LOOKUPS):
        began = time.perf_counter()
        answer = ask("/get-online-features", body)
        times.append(time.perf_counter() - began)
        if answer.status_code != 200:
            return _refused(name, view, answer)
    p50, p99 = (store_probes.quantile(times, share) for share in (0.5, 0.99))
    facts |= {"p50_seconds": p50, "p99_seconds": p99}
    said += (
        f"; {len(times)} look-ups of {view.view} p50 {1000 * p50:.1f} ms, p99 {1000 * p99:.1f} ms"
    )
    names = answer.json()["metadata"]["feature_names"]
    given = [one for one in names if one not in row]
    if given != [feature.name for feature in view.features]:
        said += "; its columns come in another order than they were asked for: read them by name"
    return HealthLine("feature server", name, "green", said, facts=facts, seconds=took)


def _askable(store: FeatureStore) -> tuple[View, dict[str, object]] | None:
    for view in registry.definitions_of(store).views.values():
        if view.is_loaded and view.is_timed and view.features:
            row = store_probes.row_of(store, view)
            if row:
                return view, row
    return None


def _refused(name: str, view: View, answer: Response) -> HealthLine:
    if answer.status_code in (401, 403):
        said = "/health answers 200; it lets nobody look up without a token, and was not asked more"
        return HealthLine("feature server", name, "unknown", said)
    text = masked_text(brief(answer.text, 150))
    said = f"a look-up of {view.view} answers {answer.status_code} ({text})"
    return HealthLine(
        "feature server", name, "red", said, "see its log, and whether it serves this project"
    )
