"""What goes wrong on a real stack is red with the right line, and nothing else is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from .conftest import notebook_of
from .stacks import Stack

LOAD = "import sys, feast_nb; print(feast_nb.open(sys.argv[1]).materialize(start='2024-01-01', "
LOAD += "end='2024-01-12'))"


def wrong(stack: Stack, seconds: int = 60) -> dict[str, str]:
    """`part` → light and reason of what is red or amber, by the command of a job."""
    command = [sys.executable, "-m", "feast_nb", "health", "--repo", str(stack.repo),
               "--format", "json", "--seconds", str(seconds)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, **notebook_of(stack))
    assert done.returncode in (0, 1), done.stderr
    lines = json.loads(done.stdout)["lines"]
    return {x["part"]: f"{x['light']}: {x['said']}" for x in lines
            if x["light"] in ("red", "amber")}  # fmt: skip


def load(stack: Stack) -> None:
    command = [sys.executable, "-c", LOAD, str(stack.repo)]
    done = subprocess.run(command, capture_output=True, text=True, **notebook_of(stack))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("✓ loaded"), done.stdout


@pytest.fixture
def redis_client(three: dict[str, Stack], told: Any) -> Any:
    """Redis as it is when all is well; it is put back so."""
    import redis

    client = redis.Redis(port=three["direct"].server("Redis").port)
    yield client
    client.config_set("maxmemory", 0)
    client.config_resetstat()
    for name in ("direct", "remote"):
        load(three[name])


def test_redis_that_was_restarted_empty(three: dict[str, Stack], redis_client: Any) -> None:
    """The watermark has moved on: nothing but a look says it."""
    load(three["direct"])
    assert wrong(three["direct"]) == {}
    server = three["direct"].server("Redis")
    server.end()
    server.start()

    found = wrong(three["direct"])
    assert set(found) == {"online store", "view"}
    assert "no row of hourly is there: it was emptied" in found["online store"]
    assert found["view"].startswith("red: nothing of it is online")


def test_redis_that_evicts(three: dict[str, Stack], redis_client: Any) -> None:
    load(three["direct"])
    redis_client.config_set("maxmemory-policy", "allkeys-random")
    redis_client.config_set("maxmemory", redis_client.info()["used_memory"] + 50_000)
    for number in range(3_000):
        redis_client.set(f"of-another-{number}", "x" * 200)
    assert redis_client.info()["evicted_keys"]

    found = wrong(three["direct"])
    assert found["online store"].startswith("amber: redis")
    assert "keys since it runs (allkeys-random)" in found["online store"] or (
        "emptied" in found["online store"]
    )
    redis_client.flushall()


def test_a_feature_server_that_hangs(three: dict[str, Stack], told: Any) -> None:
    remote = three["remote"]
    load(remote)
    assert wrong(remote) == {}
    server = remote.server("FeatureServer")
    server.signal(signal.SIGSTOP)
    try:
        found = wrong(remote, seconds=10)
    finally:
        server.signal(signal.SIGCONT)
    assert found["feature server"].startswith("red: it did not answer within ")
    assert set(found) <= {"feature server", "online store"}  # which lies behind it
