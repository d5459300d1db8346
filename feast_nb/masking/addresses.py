"""Addresses without who may open them."""

from __future__ import annotations

import re

from .texts import NAMES


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
_SECRET = re.compile(rf"([?&][^=&]*(?:{NAMES}|key)[^=&]*=)[^&#]*", re.I)
