"""A notebook of a stack that is asked one thing after the other: `python -m tests.stack.doors REPO MODEL`.

It reads a door's name from its input, and answers with what came of it and how long it took.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import feast_nb
from feast_nb.errors import FeastNbError

from .story import entities, named_by_flavour

ROWS = [{"driver_id": n, "bonus": 1} for n in (1, 2)]


class Doors:
    """What a notebook asks; each answer is something that does not change while nothing does."""

    def __init__(self, repo: str, model: str) -> None:
        self._repo, self._model = repo, model

    @cached_property
    def _session(self) -> Any:
        return feast_nb.open(self._repo)

    def vector(self) -> Any:
        return self._session.vector(f"{self._model}/1", ROWS).tolist()

    def score(self) -> Any:
        found = self._session.score(f"{self._model}/1", entities()[["driver_id", "bonus"]])
        return found["prediction"].tolist()

    def rebuild(self) -> Any:
        return self._session.reproduce(f"{self._model}/1", verify=True).verdict

    def resolve(self) -> Any:
        return self._session.resolve(f"{self._model}@champion").refs

    def plan(self) -> Any:
        return len(self._session.plan().changes)

    def usage(self) -> Any:
        return len(self._session.usage(refresh=True).features)

    def open_anew(self) -> Any:
        """As a kernel that was just started."""
        from feast_nb.integrations.feast import registry

        return len(registry.definitions_now(feast_nb.open(self._repo).store).views)

    def own_retrieval(self) -> Any:
        """The user's own call of Feast in a tracked run: what it says is Feast's own."""
        with self._session.run("own"):
            frame = self._session.store.get_historical_features(
                entity_df=entities(), features=["hourly:trips"]
            ).to_df()
        return len(frame)


def main(repo: str, model: str) -> None:
    named_by_flavour()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    doors, out = Doors(repo, model), sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        ask: Callable[[], Any] = getattr(doors, line.strip())
        began = time.monotonic()
        try:
            told = {"ok": True, "value": ask()}
        except KeyboardInterrupt:
            told = {"ok": False, "kind": "KeyboardInterrupt", "said": ""}
        except FeastNbError as problem:
            told = {"ok": False, "kind": type(problem).__name__, "said": str(problem)}
        except Exception as problem:
            told = {
                "ok": False,
                "kind": "traceback",
                "said": f"{type(problem).__name__}: {problem}",
            }
        told["seconds"] = round(time.monotonic() - began, 2)
        print(json.dumps(told, default=str), file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
