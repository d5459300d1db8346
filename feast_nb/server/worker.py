"""The process that reads feature repositories and MLflow for the side panel.

Questions come as lines of JSON on its input; each answer is a line of JSON that says its `size`,
and as many bytes. Between them stand signs of life, lines without a body: `{"sign": "ready"}` once
the libraries are imported, and `{"sign": "alive"}` in each second in which it computed. It ends
with its input. The Jupyter server that asks imports neither Feast nor MLflow: both are imported
here.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .. import masking
from ..errors import FeastNbError, FeatureError, TrackingError, UsageError, brief, visible
from ..questions.monitor import RepositoryMonitor, follow_requests, load_libraries
from ..records.messages import AnswerHead
from . import route_names
from .health_look import HealthLook

if TYPE_CHECKING:
    from ..records.answers import OperationsAnswer
    from ..records.document import Document
    from ..records.messages import FeatureModelsPage, FeatureUsagePage, Question, RunsPage

LARGEST = 64_000_000  # bytes of an answer
_AT_ONCE = 8
_SIGN = 1.0  # seconds between two signs of life
_COMPUTED = 0.005  # seconds of computing between them, beyond what it takes to ask


class Worker:
    """Answers questions about repositories, each of which is opened once."""

    def __init__(self) -> None:
        self._watched: dict[tuple[str, str | None], RepositoryMonitor] = {}
        self._opening: defaultdict[tuple[str, str | None], threading.Lock] = defaultdict(
            threading.Lock
        )
        follow_requests()

    def answer(self, question: Question) -> tuple[AnswerHead, bytes]:
        """What is known of an answer, and the answer as JSON.

        An error is one line and a remedy, without a traceback.
        """
        try:
            found: Mapping[str, Any] = self._found(question)
        except FeastNbError as problem:
            return _refusal(_status(problem), str(problem), type(problem).__name__)
        except Exception as problem:  # a driver's, a library's: the panel shows its first line
            said = brief(problem, 300)
            print(f"feast_nb: {type(problem).__name__}: {said}", file=sys.stderr)
            return _refusal(500, f"{type(problem).__name__}: {said}", "Failure")
        # When it was true is no part of what it says: an answer that is the same is not sent again.
        passing = {k: v for k, v in found.items() if k in ("as_of", "now")}
        lasting = _json({k: v for k, v in found.items() if k not in passing})
        if len(lasting) > LARGEST:
            return _refusal(413, "the answer is too large; ask for less of it.", "TooLarge")
        etag = hashlib.blake2b(lasting, digest_size=12).hexdigest()
        body = _json(passing)[:-1] + (b"," if passing else b"") + lasting[1:]
        state = (found.get("tracking") or {}).get("state", "ready")
        return AnswerHead(200, etag, found.get("as_of"), state), body

    def _found(self, question: Question) -> Mapping[str, object]:
        ask = _ASKED.get(question["ask"])
        if ask is None:
            raise UsageError(f"there is no {question['ask']} to ask for.")
        return ask(self._repository(question), question)

    def _repository(self, question: Question) -> RepositoryMonitor:
        key = (question["repo"], question.get("tracking_uri"))
        with self._opening[key]:  # a far registry that does not answer keeps nobody else waiting
            if key not in self._watched:
                self._watched[key] = RepositoryMonitor(Path(key[0]), key[1])
            return self._watched[key]


def _runs(watched: RepositoryMonitor, question: Question) -> RunsPage:
    from ..questions import feast_ui

    if off := watched.off:
        return feast_ui.no_runs(off)
    most, token = question.get("max_results") or 50, question.get("page_token")
    return watched.asked(lambda past: feast_ui.runs(past, most, token, question.get("object")))


def _usage(watched: RepositoryMonitor, question: Question) -> FeatureUsagePage:
    from ..questions import feast_ui

    if off := watched.off:
        return feast_ui.no_usage(off)
    page = question.get("max_results"), question.get("page_token")
    return watched.asked(lambda past: feast_ui.feature_usage(past, *page))


def _models(watched: RepositoryMonitor, question: Question) -> FeatureModelsPage:
    from ..questions import feast_ui

    if off := watched.off:
        return feast_ui.no_models(off)
    page = question.get("max_results"), question.get("page_token")
    return watched.asked(lambda past: feast_ui.feature_models(past, *page))


def _operations(watched: RepositoryMonitor, question: Question) -> Mapping[str, object]:
    if off := watched.off:
        nothing: OperationsAnswer = {"operations": (), "as_of": None, "reason": off}
        return nothing
    return _shown(watched.operations(question.get("max_results") or 100))


def _lineage(watched: RepositoryMonitor, question: Question) -> dict[str, object]:
    return _shown(watched.lineage(question.get("object"), question.get("up"), question.get("down")))


def _impact(watched: RepositoryMonitor, question: Question) -> dict[str, object]:
    named = question.get("object")
    if not named:
        raise UsageError("name an object: view:feature, view=…, service=….")
    return _shown(watched.impact(named))


def _health(watched: RepositoryMonitor, question: Question) -> Mapping[str, object]:
    """The last look, and a new one's lines as they come; that one is begun where asked for."""
    look = _looks.setdefault(watched, HealthLook(Path(question["repo"])))
    if question.get("anew"):
        watched.look()  # its YAML may be another one by now
        if watched.store is not None:
            look.begin(watched.store)
    found = look.answer()
    known = found["health"]
    return {**found, "health": known.to_dict() if known is not None else None}


_looks: WeakKeyDictionary[RepositoryMonitor, HealthLook] = WeakKeyDictionary()


def _shown(record: Document) -> dict[str, object]:
    return record.to_dict()


_ASKED: dict[str, Callable[[RepositoryMonitor, Question], Mapping[str, object]]] = {
    route_names.CATALOG: lambda watched, _: _shown(watched.overview()),
    route_names.LINEAGE: _lineage,
    route_names.IMPACT: _impact,
    route_names.OPERATIONS: _operations,
    route_names.HEALTH: _health,
    route_names.RUNS: _runs,
    route_names.FEATURE_USAGE: _usage,
    route_names.FEATURE_MODELS: _models,
}


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _status(problem: FeastNbError) -> int:
    if isinstance(problem, UsageError):
        return 400
    if isinstance(problem, FeatureError):
        return 404
    return 503 if isinstance(problem, TrackingError) else 422


def _refusal(status: int, message: str, reason: str) -> tuple[AnswerHead, bytes]:
    said = {"message": visible(masking.masked_text(message)), "reason": reason}
    body = json.dumps(said, ensure_ascii=False).encode()
    return AnswerHead(status, state="refused"), body


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until the questions end; several at a time."""
    worker, writing = Worker(), threading.Lock()

    def write(head: dict[str, object], body: bytes = b"") -> None:
        with writing:
            answers.write(json.dumps(head).encode() + b"\n" + body)
            answers.flush()

    def work(question: Question) -> None:
        head, body = worker.answer(question)
        write(replace(head, id=question["id"], size=len(body)).to_dict(), body)

    threading.Thread(target=_show_life, args=(write,), daemon=True).start()
    load_libraries()
    write({"sign": "ready"})
    pool = ThreadPoolExecutor(_AT_ONCE)
    for line in questions:
        pool.submit(work, json.loads(line))


def _show_life(write: Callable[[dict[str, object]], None]) -> None:
    """A slow machine is told from a process that hangs: the one computes, the other does not."""
    used = time.process_time()
    while True:
        time.sleep(_SIGN)
        before, used = used, time.process_time()
        if used - before > _COMPUTED:
            write({"sign": "alive"})


def main() -> None:
    """Keep the answers apart from what libraries print, and end with the server that asks."""
    # Python's own thresholds have it go through Feast's and MLflow's objects again and again: a
    # third of the time until the first answer, and half of that of each later one.
    gc.set_threshold(100_000, 50, 50)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)
    os._exit(0)  # what is being read is read for nobody


if __name__ == "__main__":
    main()
