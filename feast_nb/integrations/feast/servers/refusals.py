"""Who does not let us in: one of Feast's servers by its permissions, or the identity provider."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from ....errors import brief
from ....masking import public_uri

if TYPE_CHECKING:
    from .store_faults import Asked

_DISCOVERY = "Error fetching OIDC discovery response, discovery url - "
_TOKEN = "Failed to obtain oidc access token:url=["
_NO_TOKEN = ("token_env_var=", "No OIDC token source configured", "LOCAL_K8S_TOKEN environment")
# Of Arrow Flight: what was raised in the server, with its traceback.
_RAISED = re.compile(r"\.? Detail: Python exception: .*", re.DOTALL)
# Of gRPC: it was raised before the call was looked at, which is where Feast looks at tokens.
_BEFORE = "Error in service handler"
_UNKNOWN = (_BEFORE, "Missing authorization header", "Invalid token", "Failed to decode token",
            "Error executing user verification", "Missing username claim")  # fmt: skip


_UNAUTHORIZED = re.compile(r"^\(?401\b")


def said(asked: Asked, problem: BaseException) -> str | None:
    """Who refuses, and what to do; None for what is no refusal."""
    text = str(problem)
    kind = type(problem).__name__
    if kind == "RuntimeError" and (sent := _sent(text)) is not None:
        return said(asked, sent)
    if kind == "FeastPermissionError":
        why = brief(text.removeprefix("Permission error:"), 300).rstrip(".")
        return f"{asked.who} refuses ({why}); see to your permissions."
    if kind == "RuntimeError" and text.startswith(_DISCOVERY):
        address = text.removeprefix(_DISCOVERY).partition(", exception")[0]
        why = "did not answer in time" if "timed out" in text else "cannot be reached"
        return (
            f"the identity provider at {public_uri(address)} {why}; see auth_discovery_url of auth."
        )
    if kind == "RuntimeError" and text.startswith(_TOKEN):
        address, _, answer = text.removeprefix(_TOKEN).partition("]")
        return (
            f"the identity provider at {public_uri(address)} gives no token "
            f"({brief(answer.strip(), 200)}); see who `auth` of feature_store.yaml says you are."
        )
    if any(word in text for word in _NO_TOKEN):
        return f"there is no token to show {asked.who} ({brief(text, 250).rstrip('.')})."
    return None


def _sent(text: str) -> BaseException | None:
    """The error of a feature server's in what Feast says of a materialization there."""
    from feast.errors import FeastError

    if not text.startswith("Remote materialization failed (403): "):
        return None
    try:
        detail = json.loads(text.partition("): ")[2])
    except ValueError:
        return None
    return FeastError.from_error_detail(detail) if isinstance(detail, str) else None


def unknown(asked: Asked, answer: str) -> str | None:
    """The same of an answer that says that a server does not know who asks; else None."""
    first = brief(_RAISED.sub("", answer), 150).rstrip(".")
    if not any(word in first for word in _UNKNOWN) and not _UNAUTHORIZED.search(first):
        return None
    return f"{asked.who} does not know who asks ({first}); see `auth` of feature_store.yaml."
