"""What a training's summary says beside the records: features in order, and what to beware of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ...display import words
from ...records.contract import ModelVersion
from ...records.retrieval import Retrieval
from ...records.run import FeatureUse
from ..recorded_training_set import outlook

if TYPE_CHECKING:
    from feast import FeatureStore


def features_used(
    retrievals: Sequence[Retrieval], made: Iterable[ModelVersion]
) -> tuple[FeatureUse, ...]:
    """Every feature of the historical retrievals in the order asked, and its place in the model."""
    order: dict[str, int] = {}
    for version in made:
        if version.contract is not None:
            order = {i.ref: n for n, i in enumerate(version.contract.inputs, 1) if i.ref}
    used: dict[str, FeatureUse] = {}
    for retrieval in retrievals:
        if retrieval.kind != "historical":
            continue
        known = {c.name: c for c in retrieval.result.columns} if retrieval.result else {}
        for column, ref in retrieval.columns().items():
            found = known.get(column)
            used.setdefault(
                ref,
                FeatureUse(
                    ref=ref,
                    column=column,
                    dtype=found.dtype if found else None,
                    nulls=found.nulls if found else None,
                    rows=retrieval.result.rows if retrieval.result else None,
                    input=order.get(ref),
                ),
            )
    for version in made:
        for n, item in enumerate(version.contract.inputs if version.contract else (), 1):
            if item.ref is None:
                used[f"input {n}"] = FeatureUse("", item.name, item.dtype, input=n)
    return tuple(used.values())


def rebuilt(
    store: FeatureStore, retrievals: Sequence[Retrieval], made: Iterable[ModelVersion]
) -> str:
    """Whether what the models were trained on can be asked for again; the worst is said."""
    known = {id for m in made if m.contract for id in m.contract.retrievals}
    ran = [r for r in retrievals if r.kind == "historical" and r.state == "ran"]
    said = [outlook(store, r) for r in [r for r in ran if r.id in known] or ran]
    worst = [s for s in said if s.startswith("cannot")] or [s for s in said if "again" in s]
    return next(iter(worst or said), "")


# From this share on a missing feature is said in a line of its own.
_MISSING = 0.1


def _gaps(features: Sequence[FeatureUse]) -> list[str]:
    """The features with the most gaps, of those that a model uses; nothing where few miss."""
    known = any(f.input is not None for f in features)
    found = [
        (f.null_share, f.column)
        for f in features
        if f.ref and f.null_share is not None and _MISSING <= f.null_share < 1
        and (f.input is not None or not known)
    ]  # fmt: skip
    found.sort(key=lambda gap: -gap[0])
    if len(found) == 1:
        return [f"{found[0][1]} is missing in {words.share(found[0][0])} of the rows."]
    named = [f"{name} ({words.share(share)})" for share, name in found]
    return [f"{words.listed(named)} are missing in part of the rows."] if named else []


def warnings(
    retrievals: Sequence[Retrieval],
    made: Sequence[ModelVersion],
    features: Sequence[FeatureUse] = (),
    target: str | None = None,
) -> list[str]:
    """What the reader of a summary should know before trusting it."""
    said = _of_models(made, any(r.kind == "historical" for r in retrievals))
    for version in made:
        if version.contract and target in [i.name for i in version.contract.inputs]:
            said.append(
                f"{version.variable or version.model_id} takes {target}, the target, as an input, "
                "which nobody has when it predicts. Fit it without."
            )
    for r in retrievals:
        result, entity = r.result, r.entity
        if result is not None and result.dropped:
            verb = "dropped" if result.dropped > 0 else "added"
            why = "; ".join(f"{loss.rows:,}: {loss.why}" for loss in result.losses)
            said.append(
                f"the offline store {verb} {abs(result.dropped):,} of {entity.rows:,} rows asked "
                f"for ({why})."
                if why
                else f"{abs(result.dropped):,} rows were {verb}."
            )
        off = (entity.reason or "").startswith("archiving is off")
        kept = entity.reason is None or entity.elsewhere is not None or off
        if not kept and r.kind == "historical":
            said.append(
                f"the entity frame is not archived ({entity.reason}); only its fingerprint is."
            )
        if result is not None:
            empty = [c.name for c in result.columns if c.nulls == result.rows and result.rows]
            asked = [c for c in empty if c in r.columns()]
            if asked:
                said.append(f"all values are missing in {', '.join(asked)}.")
        if result is not None:
            said += [late.said for late in result.late]
        if r.state == "submitted":
            said.append("a retrieval was never run (call to_df() or to_arrow()).")
        if len(r.services) > 1:
            said.append(
                f"the list of features matches several services ({', '.join(r.services)}); "
                "no service is recorded. Pass the service itself."
            )
    return said + _gaps(features)


def _of_models(made: Sequence[ModelVersion], retrieved: bool) -> list[str]:
    if not made:
        return ["no model found in this cell. Assign it to a variable, or log one: %feast_log VAR"]
    said = []
    for version in made:
        contract = version.contract
        name = version.variable or version.model_id
        if contract is None or not contract.retrievals:
            if retrieved:
                said.append(f"{name} is not linked to any retrieval.")
        elif contract.order == "assumed":
            said.append(
                f"the input order of {name} is not known. Fit it on a DataFrame, or "
                "score it with --columns."
            )
        elif contract.order == "unknown":
            said.append(
                f"the inputs of {name} and their order are not known. Fit it on a "
                "frame, or score it with --columns."
            )
    return said
