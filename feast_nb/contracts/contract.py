"""What a model expects: its inputs in its own order, and which of them are Feast features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from ..errors import UsageError
from ..records.contract import Contract, Input
from ..records.references import column_names
from ..records.retrieval import Cell, Column, LinkedBy, Retrieval, ViewDefinition


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
    fit: tuple[tuple[str, ...], bool] | None = None,
    categories: Mapping[str, tuple[object, ...]] | None = None,
    cell: Cell | None = None,
    types: Mapping[str, str] | None = None,
) -> Contract:
    """The contract of a logged model that was trained on `retrievals`.

    The order of its inputs is the model's own (`input_names`), else its signature's (column →
    type, in order), else that of the columns its `fit` was given (and whether as a frame). Where
    none of these is known, a model of as many inputs as columns came (its `width`) is taken to
    have these, in their order, which the contract calls assumed; of another, or one that does not
    say how many, nothing is known of its inputs. `types` are the signature's, also of one whose
    names were guessed and say no order.
    """
    columns: dict[str, str] = {}
    beside: dict[str, str] = {}
    seen: dict[str, tuple[Column, int]] = {}
    for retrieval in retrievals:
        for column, ref in retrieval.columns_given().items():
            columns.setdefault(column, ref)
        for column, ref in retrieval.beside.items():
            beside.setdefault(column, ref)
        for known in retrieval.result.columns if retrieval.result else ():
            rows = retrieval.result.rows if retrieval.result else 0
            if known.name in seen and linked_by == "columns":  # of which of them, nobody knows
                known = replace(known, nulls=None, min=None, max=None)
                seen[known.name] = (known, rows)
            seen.setdefault(known.name, (known, rows))
    sources = {**beside, **columns}
    names, order = _ordered(input_names, signature, fit, tuple(columns), width)
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
            replace(
                _input(n, sources.get(n), seen.get(n), (types or signature or {}).get(n)),
                categories=(categories or {}).get(n),
            )
            for n in names
        ),
        order=order,
        retrievals=tuple(r.id for r in retrievals),
        linked_by=linked_by,
        service=first.service if first and len(services) == 1 else None,
        service_basis=first.service_basis if first and len(services) == 1 else "none",
        refs=refs,
        join_keys=tuple(dict.fromkeys(k for r in retrievals for k in r.entity.join_keys)),
        full_feature_names=bool(first and first.full_feature_names),
        arguments=_arguments(retrievals),
        views=_views(retrievals),
        cell=cell,
    )


def _views(retrievals: Sequence[Retrieval]) -> tuple[ViewDefinition, ...]:
    """The definitions of all that was retrieved; none where those of a part are not known."""
    if any(r.unseen is not None for r in retrievals):
        return ()
    return tuple({v.name: v for r in retrievals for v in (*r.behind, *r.views)}.values())


def _arguments(retrievals: Sequence[Retrieval]) -> dict[str, object]:
    """What all of the historical retrievals were given beside features, entities and dates."""
    given = [r.arguments for r in retrievals if r.kind == "historical" and r.call is None]
    first = dict(given[0]) if given else {}
    return {
        name: value for name, value in first.items() if all(g.get(name) == value for g in given)
    }


def in_order(contract: Contract, columns: Sequence[str]) -> Contract:
    """The contract with the order of its inputs as somebody who knows it gives it.

    Raises `UsageError` for another number of columns than the model takes.
    """
    taken = len(contract.inputs)
    if taken and len(columns) != taken:
        raise UsageError(f"--columns names {len(columns)}, and the model takes {taken}.")
    known = {i.name: i for i in contract.inputs}
    for ref in contract.refs:
        for name in (*column_names(ref, False), *column_names(ref, True)):
            known.setdefault(name, Input(name, ref, basis="feature"))
    found = tuple(known.get(name, Input(name)) for name in columns)
    return replace(contract, inputs=found, order="given")


def _input(
    name: str, ref: str | None, seen: tuple[Column, int] | None, signed: str | None
) -> Input:
    """One input: a feature, a column that came with the entity frame, or one the cell made."""
    if seen is None:
        return Input(name, ref, signed, basis="feature" if ref else "made")
    column, rows = seen
    return Input(
        name,
        ref,
        _trained(column.dtype, signed),
        basis="feature" if ref else "given",
        nulls=column.nulls / rows if column.nulls is not None and rows else None,
        min=column.min,
        max=column.max,
    )


_NARROWER = {("int64", "integer"): "int32", ("double", "float"): "float"}


def _trained(came: str, signed: str | None) -> str:
    """The type that a column was trained on: as it came, unless the cell gave it another.

    Its signature tells: it takes moments without the zone that Feast gives each, floats that were
    whole numbers. What MLflow itself would widen is as it came.
    """
    if signed == "datetime" and "tz=" in came:
        return came.partition(",")[0] + "]"
    if signed in ("double", "float") and came.startswith(("int", "uint", "bool")):
        return signed
    return _NARROWER.get((came, signed or ""), came)


def declared(
    inputs: Sequence[Input], views: Sequence[ViewDefinition], definitions: Mapping[str, Any]
) -> tuple[Input, ...]:
    """The inputs with the types that their views declare."""
    types = {
        f"{view.name}:{feature[0]}": type_named(feature[1])
        for view in views
        for feature in definitions.get(view.hashes.get("schema", ""), ())
    }
    return tuple(replace(i, declared=types.get(i.ref or "")) for i in inputs)


# Feast's `ValueType`, as its protos number it; lists are ten further on.
_TYPES = ("invalid", "bytes", "string", "int32", "int64", "double", "float", "bool",
          "unix_timestamp")  # fmt: skip


def type_named(number: object) -> str:
    """What Feast's proto means by the number of a value type."""
    if isinstance(number, int) and 0 <= number < len(_TYPES):
        return _TYPES[number]
    if isinstance(number, int) and 11 <= number < 10 + len(_TYPES):
        return f"list<{_TYPES[number - 10]}>"
    return f"type {number}"


def _ordered(
    input_names: Sequence[str] | None,
    signature: Mapping[str, str] | None,
    fit: tuple[tuple[str, ...], bool] | None,
    columns: tuple[str, ...],
    width: int | None,
) -> tuple[
    tuple[str, ...],
    Literal["named", "signature", "frame", "array", "assumed", "unknown"],
]:
    if input_names:
        return tuple(input_names), "named"
    if signature:
        return tuple(signature), "signature"
    if fit is not None and width in (None, len(fit[0])):
        return fit[0], "frame" if fit[1] else "array"
    if columns and width == len(columns):
        return columns, "assumed"
    return (), "unknown"
