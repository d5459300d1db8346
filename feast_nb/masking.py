"""Passwords, tokens and users, which nobody keeps: not in a record, a message or a cell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def public_uri(uri: str | None) -> str | None:
    """A URI without the user name and password that it may hold: records keep only these."""
    if not uri:
        return uri
    # By hand: a password may hold what no parser of URIs takes, and SQLAlchemy does.
    scheme, slashes, rest = uri.partition("://")
    if slashes and not scheme.lower().startswith(_NO_USER):
        rest = _USER.sub("", rest)
    return _SECRET.sub(r"\1…", f"{scheme}{slashes}{rest}")


_NO_USER = ("sqlite", "s3", "gs", "file", "hdfs", "abfs")

# In the authority; or a user, and a password with a slash in it that is no port.
_USER = re.compile(r"^[^/]*@|^[^/:@]*:(?!\d+(?:/|$)).*@")
_SECRET = re.compile(r"([?&][^=&]*(?:password|passwd|pwd|token|secret|key)[^=&]*=)[^&#]*", re.I)
_WORDS = r"(?:password|passwd|pwd|secret|token|api_?key|access_?key|credential|private_?key)"
_TEXT = r"""([\"'])(?:(?!\2).)+\2"""
_SECRETS = (
    # password = "…", headers["X-Token"] = "…", f(api_key="…"), {"secret": "…"}
    (re.compile(rf"""({_WORDS}\w*["']?\]?\s*[=:]\s*[rbf]*){_TEXT}""", re.I), r"\1\2…\2"),
    # setdefault("AWS_SECRET_ACCESS_KEY", "…")
    (re.compile(rf"""(["']\w*{_WORDS}\w*["']\s*,\s*[rbf]*){_TEXT}""", re.I), r"\1\2…\2"),
    # %env MY_TOKEN=…, !export MY_TOKEN=…
    (
        re.compile(rf"(^\s*(?:%env|%set_env|!\s*export)\s+\w*{_WORDS}\w*[= ]\s*)\S+", re.I | re.M),
        r"\1…",
    ),
    # postgresql://user:password@host
    (re.compile(r"(\w://)[^\s/:@'\"]*:[^\s@'\"]+@"), r"\1…@"),
    # keys that are known by their look: AWS, GitHub, OpenAI, Hugging Face, Slack, Databricks, JWT
    (
        re.compile(
            r"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,}|sk-[\w-]{20,}|hf_\w{20,}"
            r"|xox[abp]-[\w-]{10,}|dapi[0-9a-f]{32}|eyJ[\w-]{10,}\.[\w-]+\.[\w-]+)"
        ),
        "…",
    ),
)


def masked(source: str) -> str:
    """A cell's text with passwords, tokens and keys that are written in it taken out."""
    for pattern, instead in _SECRETS:
        source = pattern.sub(instead, source)
    return source


_AUTHORITY = re.compile(r"://[^/\s]*@")


def without_credentials(text: str) -> str:
    """A text without the user and password of any address in it."""
    return _AUTHORITY.sub("://", text)


def without_secrets(value: Any) -> Any:
    """A JSON value whose texts are masked as a cell's text is."""
    if isinstance(value, str):
        return without_credentials(masked(value))
    if isinstance(value, Mapping):
        return {key: without_secrets(one) for key, one in value.items()}
    return [without_secrets(one) for one in value] if isinstance(value, list) else value
