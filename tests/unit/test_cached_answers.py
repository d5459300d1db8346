"""What the server keeps of its worker's answers is bounded by bytes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from feast_nb.server.cached_answers import CachedAnswers
from feast_nb.server.worker_process import Reply

BODY = b"x" * 4_000_000  # shared by all replies: the test itself takes no more


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("FEAST_NB_CACHE", str(tmp_path))
    return []


def answers(asked: list[str]) -> CachedAnswers:
    async def ask(question: dict[str, Any], _: float) -> Reply:
        asked.append(question["object"])
        return Reply(200, BODY, at=asyncio.get_running_loop().time())

    return CachedAnswers(ask, lambda: True, 30)


async def get(kept: CachedAnswers, name: str) -> None:
    await kept.get({"ask": "lineage", "object": name}, None)


def test_large_answers_leave_when_there_is_no_room(asked: list[str]) -> None:
    async def many() -> int:
        kept = answers(asked)
        for number in range(40):
            await get(kept, str(number))
        asked.clear()
        for number in (39, 0):  # the last is kept, the first is asked for again
            await get(kept, str(number))
        return kept.size

    assert asyncio.run(many()) <= 64_000_000
    assert asked == ["0"]


def test_the_same_answer_is_counted_once(asked: list[str]) -> None:
    async def again() -> tuple[int, int]:
        kept = answers(asked)
        await get(kept, "a")
        first = kept.size
        for reply in kept._kept.values():
            object.__setattr__(reply, "at", -10.0)  # no longer fresh
        await get(kept, "a")
        return first, kept.size

    first, second = asyncio.run(again())
    assert first == second > len(BODY)
    assert asked == ["a", "a"]
