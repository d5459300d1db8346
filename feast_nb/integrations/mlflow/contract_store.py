"""Kept contracts, read back: of a model that was found, and of many by their addresses."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from ...errors import ArtifactError, TrackingError
from ...patching import threads
from ...records.contract import Contract
from .clients import connect
from .http import check_reachable, translate_errors
from .model_lookup import ModelRef, logged
from .writer import download, text_of

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel


def contract_of(uri: str, found: ModelRef) -> Contract | None:
    """The contract that was kept for a model, from its run or from the logged model itself."""
    where, text = found.tags.get("feast_nb.contract"), None
    with translate_errors():
        if where is None and found.model_id:
            model = logged(uri, found.model_id)
            where = (model.tags or {}).get("feast_nb.contract") if model is not None else None
        if where is None:
            return None
        text = text_of(uri, *_place(where))
        if text is None and found.model_id:  # the run is gone for good: the model has its own
            model = logged(uri, found.model_id)
            text = _text_of_model(uri, model) if model is not None else None
    return Contract.read(text, where) if text else None


def contracts_at(uri: str, addresses: Iterable[str]) -> dict[str, Contract | None]:
    """Contracts by their addresses, several read at once; None for what is none of ours.

    Those that cannot be had now are left out. Raises `TrackingError` where the server goes away.
    """
    connect(uri)
    addresses = list(dict.fromkeys(addresses))
    read = threads.together([partial(_at, uri, address) for address in addresses])
    return {a: found for a, (there, found) in zip(addresses, read, strict=True) if there}


def _at(uri: str, address: str) -> tuple[bool, Contract | None]:
    """Whether the store answered, and the contract, where there is one of a shape we know."""
    try:
        with translate_errors():
            text = text_of(uri, *_place(address))
    except (TrackingError, OSError):
        check_reachable(uri)
        return False, None
    try:
        return True, Contract.read(text, address) if text else None
    except ArtifactError:
        return True, None


def _place(address: str) -> tuple[str, str]:
    """`runs:/<id>/path` as the run and the path."""
    run_id, _, path = address.removeprefix("runs:/").partition("/")
    return run_id, path


def _text_of_model(uri: str, model: LoggedModel) -> str | None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="feast_nb") as place:
        address = f"{model.artifact_location.rstrip('/')}/feast_contract.json"
        try:
            return download(uri, address, Path(place)).read_text(encoding="utf-8")
        except (TrackingError, OSError):
            return None
