"""What the record and `session.vector` cost where registry and online store are behind servers."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from .conftest import NOW, make_repository
from .stack.feast_servers import FeatureServer, RegistryServer

ROUNDS = 60
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC)
REFS = ["hourly:trips", "hourly:conv_rate", "hourly:acc_rate"]


def remote() -> list[tuple[str, float, float]]:
    """A notebook that has two of Feast's servers: its calls beside bare ones, in turns."""
    from feast import FeatureStore

    import feast_nb
    from feast_nb import recorder

    from .bench import timed_inside

    with tempfile.TemporaryDirectory() as folder, _client(Path(folder)) as repo:
        store = FeatureStore(str(repo))
        asked = pd.DataFrame({"driver_id": range(10), "event_timestamp": [NOW] * 10})
        rows = [{"driver_id": i % 10} for i in range(100)]
        calls: dict[str, Callable[[], object]] = {
            "historical": lambda: store.get_historical_features(asked, REFS),
            "online": lambda: store.get_online_features(REFS, rows[:1]),
        }
        with (
            timed_inside(FeatureStore, "get_historical_features") as historical,
            timed_inside(FeatureStore, "get_online_features") as online,
        ):
            session = feast_nb.open(repo)
            _promote(session)
            added = {}
            with session.run("bench"):
                for name, inside in (("historical", historical), ("online", online)):
                    inside.clear()
                    took = [_timed(calls[name]) for _ in range(ROUNDS)]
                    added[name] = statistics.median(
                        whole / bare for whole, bare in zip(took, inside, strict=True)
                    )
        fetched, vectors = [], []
        for _ in range(ROUNDS):
            fetched.append(_timed(lambda: store.get_online_features(REFS, rows).to_dict()))
            vectors.append(_timed(lambda: session.vector("m/1", rows)))
        recorder.shut()
    served = statistics.median(vectors) / statistics.median(fetched)
    return [
        *((f"through Feast's servers, in a run: {name} beside the bare call in it", ratio, 1.25)
          for name, ratio in added.items()),
        ("through Feast's servers: vector of 100 rows beside the bare call", served, 1.15),
    ]  # fmt: skip


@contextmanager
def _client(folder: Path) -> Iterator[Path]:
    """A repository that names two servers, which are in front of another one."""
    from feast import FeatureStore

    behind = make_repository(folder / "behind", project="drivers")
    FeatureStore(str(behind)).materialize(START, END)
    (folder / "servers").mkdir()
    servers = [kind(folder / "servers", behind, {}) for kind in (RegistryServer, FeatureServer)]
    try:
        for server in servers:
            server.start()
        registry, online = servers
        client = make_repository(folder / "client", project="drivers")
        yaml = client / "feature_store.yaml"
        text = yaml.read_text().replace(
            "registry: registry.db",
            f"registry: {{registry_type: remote, path: '{registry.address}'}}",
        )
        text = text.replace(
            "{type: sqlite, path: online.db}", f"{{type: remote, path: 'http://{online.address}'}}"
        )
        assert text.count("type: remote") == 1 + text.count("registry_type: remote") == 2
        yaml.write_text(text)
        yield client
    finally:
        for server in servers:
            server.end()


def _promote(session: Any) -> None:
    from sklearn.linear_model import LogisticRegression

    asked = pd.DataFrame({"driver_id": range(10), "event_timestamp": [NOW] * 10, "y": [0, 1] * 5})
    with session.train("v1", service="activity", entity_df=asked, register="m") as training:
        inputs = training.frame[["trips", "conv_rate", "acc_rate"]]
        training.model = LogisticRegression().fit(inputs, training.frame["y"])


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
