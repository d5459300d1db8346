"""The three stacks and their stories, made once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import STARTUP
from . import stacks

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def three() -> Iterator[dict[str, stacks.Stack]]:
    """The stacks by name. Not under pytest's folder: PostgreSQL's owner may not go through it."""
    folder = Path(tempfile.mkdtemp(prefix="feast_nb-stack-"))
    try:
        with stacks.started(folder) as found:
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def notebook_of(stack: stacks.Stack) -> dict[str, Any]:
    """How a process of a notebook of this stack is started: it has what that stack gives it."""
    outside = ("AWS_", "MLFLOW_", "FEAST_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(outside)}
    environment |= stacks.SERVERS | stack.environment | {
        "FEAST_NB_STATE": str(stack.repo.parent / "state"),
        "FEAST_NB_CACHE": str(stack.repo.parent / "cache"),
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "PYTHONPATH": os.pathsep.join([STARTUP, str(PROJECT)]),
    }  # fmt: skip
    return {"env": environment, "cwd": stack.repo}


@pytest.fixture(scope="session")
def told(three: dict[str, stacks.Stack]) -> dict[str, dict[str, Any]]:
    """What each stack's story came to, step by step; two at a time."""
    running = {}
    for name, stack in three.items():
        out = stack.repo.parent / f"{name}.json"
        command = [sys.executable, "-m", "tests.stack.story", str(stack.repo), name, str(out)]
        with out.with_suffix(".log").open("wb") as log:
            running[name] = subprocess.Popen(command, stdout=log, stderr=log, **notebook_of(stack))
        if name == "embedded":
            continue
        running[name].wait(timeout=1200)
    running["embedded"].wait(timeout=1200)
    found = {}
    for name, stack in three.items():
        out = stack.repo.parent / f"{name}.json"
        log = out.with_suffix(".log").read_text(errors="replace")
        assert running[name].returncode == 0, log[-3000:]
        found[name] = json.loads(out.read_text()) | {"": {"ok": True, "value": log, "seconds": 0}}
    return found
