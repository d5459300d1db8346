"""What a model expects: its inputs in its own order, and which of them are Feast features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .records import Cell, Contract, Input, LinkedBy, Retrieval


def build(
    *,
    model_id: str,
    run_id: str | None,
    name: str,
    flavor: str | None,
    input_names: Sequence[str] | None,
    signature: Mapping[str, str] | None,
    retrievals: Sequence[Retrieval],
    linked_by: LinkedBy | None,
    width: int | None = None,
    cell: Cell | None = None,
) -> Contract:
    """The contract of a logged model that was trained on `retrievals`.

    The order of its inputs is the model's own (`input_names`), else its signature's (column →
    type, in order), else that of the retrievals' references, which the contract calls assumed;
    a model of another `width` than those has inputs of which nothing is known.
    """
    columns: dict[str, str] = {}
    beside: dict[str, str] = {}
    dtypes: dict[str, str] = {}
    for retrieval in retrievals:
        for column, ref in retrieval.columns().items():
            columns.setdefault(column, ref)
        for column, ref in retrieval.beside.items():
            beside.setdefault(column, ref)
        for known in retrieval.result.columns if retrieval.result else ():
            dtypes.setdefault(known.name, known.dtype)
    sources = {**beside, **columns}
    names, order = _ordered(input_names, signature, tuple(columns), width)
    first = retrievals[0] if retrievals else None
    refs = tuple(dict.fromkeys(ref for r in retrievals for ref in r.refs))
    services = {r.service for r in retrievals}
    return Contract(
        model_id=model_id,
        run_id=run_id,
        project=first.project if first else "",
        name=name,
        flavor=flavor,
        inputs=tuple(
            Input(n, sources.get(n), dtypes.get(n) or (signature or {}).get(n)) for n in names
        ),
        order=order,
        retrievals=tuple(r.id for r in retrievals),
        linked_by=linked_by,
        service=first.service if first and len(services) == 1 else None,
        refs=refs,
        join_keys=tuple(dict.fromkeys(k for r in retrievals for k in r.entity.join_keys)),
        full_feature_names=bool(first and first.full_feature_names),
        views=tuple({v.name: v for r in retrievals for v in r.views}.values()),
        cell=cell,
    )


def _ordered(
    input_names: Sequence[str] | None,
    signature: Mapping[str, str] | None,
    columns: tuple[str, ...],
    width: int | None,
) -> tuple[tuple[str, ...], Any]:
    if input_names:
        return tuple(input_names), "named"
    if signature:
        return tuple(signature), "signature"
    if columns and width in (None, len(columns)):
        return columns, "assumed"
    return (), "unknown"
