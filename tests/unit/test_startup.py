"""What the tests keep of typeguard's work is what typeguard would make anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from ..conftest import STARTUP

TELLS = """
import hashlib, json, marshal, sys, types
import feast
found = {}
for name, module in list(sys.modules.items()):
    if name.startswith("feast."):
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == name:
                for at, value in vars(kind).items():
                    value = getattr(value, "__func__", getattr(value, "fget", value))
                    if isinstance(value, types.FunctionType):
                        code = value.__code__
                        told = (code.co_code, code.co_names, code.co_freevars, code.co_varnames,
                                len(value.__defaults__ or ()), sorted(value.__kwdefaults__ or ()),
                                sorted(value.__annotations__), value.__doc__, value.__name__)
                        found[f"{name}.{value.__qualname__}.{at}"] = hashlib.md5(
                            repr(told).encode()).hexdigest()
try:
    feast.Entity(name=3)
except Exception as refused:
    found["refused"] = f"{type(refused).__name__}: {refused}"
print(json.dumps(found))
"""


def told(path: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TELLS], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_feasts_methods_are_checked_as_they_are_without_it() -> None:
    told(STARTUP)  # at the latest now all of them are kept
    kept, made = told(STARTUP), told("")

    assert made["refused"].startswith("TypeCheckError")
    assert len(made) > 500
    assert kept == made
