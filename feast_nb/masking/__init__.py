"""Passwords, tokens and users, which nobody keeps: not in a record, a message or a cell."""

from collections.abc import Mapping
from typing import Any

from .addresses import public_uri
from .cell_code import masked
from .texts import GONE, masked_text

__all__ = ["GONE", "masked", "masked_text", "public_uri", "without_secrets"]


def without_secrets(value: Any) -> Any:
    """A JSON value whose texts are without the secrets that are written in them."""
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, Mapping):
        return {key: without_secrets(one) for key, one in value.items()}
    return [without_secrets(one) for one in value] if isinstance(value, list) else value
