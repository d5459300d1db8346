"""Sources in an object store: opened with limits, and asked for one object before Feast reads it.

s3fs and botocore try again and again: ten seconds where nobody listens, minutes where one hangs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ....errors import StoreError, brief
from ....masking import public_uri
from . import store_door, store_faults

if TYPE_CHECKING:
    from feast.data_source import DataSource

_PROTOCOLS = ("s3", "s3a")
_READ_HERE = ("file", "dask", "duckdb")  # offline stores that read objects in this process


def opened(path: str, endpoint: str | None, **further: object) -> tuple[Any, str]:
    """fsspec's file system for an address, and the place in it; of S3 with a limit of ours.

    It is not the one that Feast's reading takes: fsspec keeps one for each set of options.
    """
    import fsspec

    if path.partition("://")[0] not in _PROTOCOLS:
        system, inner = fsspec.core.url_to_fs(path)
        return system, inner
    wait = store_door.SECONDS
    limits = {"connect_timeout": wait, "read_timeout": wait, "retries": {"total_max_attempts": 1}}
    client = {"client_kwargs": {"endpoint_url": endpoint}} if endpoint else {}
    system, inner = fsspec.core.url_to_fs(path, config_kwargs=limits, **client, **further)
    system.retries = 1
    return system, inner


def check(source: DataSource) -> None:
    """Raise `StoreError` for a source's object that is not there, or that nobody gives us.

    It is asked for by its driver, once; without a driver, or elsewhere than in S3, nothing is said.
    """
    path = str(getattr(source, "path", "") or "")
    if path.partition("://")[0] not in _PROTOCOLS:
        return
    endpoint = getattr(source, "s3_endpoint_override", None) or None
    try:
        system, inner = opened(path, endpoint, **_credentials(source))
    except ImportError:
        return  # whoever reads it says what is to be installed
    try:
        _ask(system, inner)
    except Exception as problem:  # of botocore, aiohttp, or what s3fs makes of them
        raise StoreError(said(source, problem)) from problem


def _ask(system: Any, inner: str) -> None:
    """Raises what its driver raises; a refusal of HEAD has no reason with it, one of a list has."""
    try:
        system.info(inner)
    except PermissionError:
        system.ls(inner, refresh=True)
        raise


def _credentials(source: DataSource) -> dict[str, object]:
    """Those that Feast would take for a source that names its own (`connection_ref`)."""
    own = getattr(source, "resolve_credentials", lambda: None)() or {}
    names = {"key": "AWS_ACCESS_KEY_ID", "secret": "AWS_SECRET_ACCESS_KEY",
             "token": "AWS_SESSION_TOKEN"}  # fmt: skip
    return {name: own[key] for name, key in names.items() if own.get(key)}


def said(source: DataSource, problem: BaseException) -> str:
    """Which object store is at fault for a source's object, and what to do."""
    path = public_uri(str(getattr(source, "path", "") or ""))
    where = getattr(source, "s3_endpoint_override", None) or _by_environment()
    who = f"the object store at {public_uri(where)}" if where else "the object store (AWS S3)"
    kinds, code = [], ""
    for each in store_faults.chain(problem):
        kinds += [kind.__name__ for kind in type(each).__mro__]
        answer = getattr(each, "response", None)
        if not code and isinstance(answer, dict):
            code = str(answer.get("Error", {}).get("Code", ""))
    last = brief(problem, 150).rstrip(".")
    if any("Timeout" in kind for kind in kinds):
        return f"{who} did not answer within {store_door.SECONDS:g} s; see whether it hangs."
    if any(kind in ("EndpointConnectionError", "ConnectionError") for kind in kinds):
        return f"{who} cannot be reached; start it, or see s3_endpoint_override of {source.name}."
    if "FileNotFoundError" in kinds:
        return f"{who} has no {path}, from which {source.name} is read; see its path and bucket."
    if "NoCredentialsError" in kinds:
        return f"{who} needs credentials for {path}; set AWS_ACCESS_KEY_ID and its secret."
    if "PermissionError" in kinds:
        why = f"{code}: {last}" if code and code not in last else last
        return f"{who} refuses {path} ({why}); see AWS_ACCESS_KEY_ID and its secret."
    return f"{who} does not give {path} ({last}); see its address, and your credentials."


def _by_environment() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def is_read_here(offline_store: object) -> bool:
    """Whether an offline store of this kind reads its objects in this process."""
    return str(getattr(offline_store, "type", "")).rpartition(".")[2] in _READ_HERE
