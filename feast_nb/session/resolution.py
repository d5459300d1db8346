"""From a model to what must be served for it: its service, its references, what changed since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..contracts import drift
from ..errors import Drift, FeatureError, ModelError
from ..integrations.feast import definition_hashes, definitions, registry, repository
from ..integrations.mlflow import contract_store, model_lookup
from ..records.answers import Change, Resolution
from ..records.contract import Contract, Input
from ..records.references import column_names

if TYPE_CHECKING:
    from feast import FeatureService

    from ..integrations.feast.calls import Features

    Basis: TypeAlias = Literal["contract", "version tag", "run tag", "feast_features.json"]

    from .session import Session


def resolve(session: Session, model: str, allow_drift: bool = False) -> Resolution:
    """What to serve a model with, checked against the registry as it is now.

    From its contract; only without one by Feast's own chain (version tag, run tag,
    `feast_features.json`). Raises `Drift` for a change that breaks serving, and for one that needs
    retraining unless `allow_drift`; `ModelError` for a model that has nothing to do with Feast,
    or with this project.
    """
    return resolved(session, model_lookup.find(session.runs.uri, model), allow_drift)


def resolved(session: Session, found: model_lookup.ModelRef, allow_drift: bool) -> Resolution:
    """As `resolve`, of a model that was found: an alias may move from one look to the next."""
    contract, basis, notes = contract_of(session, found)
    registry.refresh(session.store)
    check_project(session, found.shown, contract.project)
    service = service_of(session, contract.service)
    since = changes(session, contract, service)
    _refuse(found.shown, since, allow_drift)
    refs = tuple(dict.fromkeys(contract.features or contract.refs))
    features: Features = list(refs)
    whole = service is not None and set(definitions.service_refs(service)) >= set(refs)
    if service is not None and whole and renames(service):
        features = service
    known = registry.definitions_of(session.store)
    views = definitions.views_of(known, features, refs)
    clash = definitions.key_clash(known, views.values())
    return Resolution(
        model=found.shown,
        refs=refs,
        service=contract.service if whole else None,
        basis=basis,
        drift=since,
        notes=(*notes, *([clash] if clash else [])),
        contract=contract,
        features=features,
    )


def check_project(session: Session, what: str, project: str) -> None:
    """Raise `ModelError` for something of another project than the open repository's."""
    if project and project != session.store.project:
        raise ModelError(
            f"{what} was trained on project {project}, and this repository is "
            f"{session.store.project}; open that one with %feast_store."
        )


def contract_of(
    session: Session, found: model_lookup.ModelRef
) -> tuple[Contract, Basis, tuple[str, ...]]:
    """A model's contract, where it is from, and what to know of it.

    Without one of ours it is put together from what Feast's integration and MLflow left. Raises
    `ModelError` where those use no features.
    """
    kept = contract_store.contract_of(session.runs.uri, found)
    if kept is not None and (kept.features or kept.refs):
        return kept, "contract", (*_disagreement(session, found, kept), *kept.cautions)
    left = model_lookup.read_native_tags(session.runs.uri, found)
    name = left.version or left.run
    service = service_of(session, name)
    refs = left.refs
    if refs is None and service is not None:
        refs = definitions.service_refs(service)
    if refs is None and name is not None:
        raise ModelError(f"{found.shown} names feature service {name}, which is not there now.")
    if refs is None:
        raise ModelError(
            f"{found.shown} says nothing of features: it was trained without Feast, or outside a "
            "tracked run. Train it again under %%feast_train, and it has a contract."
        )
    basis: Basis = (
        "version tag" if left.version else "run tag" if left.run else "feast_features.json"
    )
    derived = _derived(session, found, left, refs, name)
    return derived, basis, derived.cautions


def _derived(
    session: Session,
    found: model_lookup.ModelRef,
    left: model_lookup.NativeTags,
    refs: tuple[str, ...],
    name: str | None,
) -> Contract:
    """The contract of a model that was logged without us, with what could not be known."""
    names, order, signed = model_lookup.inputs(session.runs.uri, found)
    unknown = [
        "its definitions at training are not known, so changes since then cannot be checked."
    ]
    columns = {r.partition(":")[2]: r for r in refs}
    long = {name: r for r in refs for name in column_names(r, True)}
    columns = {**long, **columns}
    if names is None:
        unknown.append("the order of its inputs is not known: it was fitted on an array.")
    if left.version and left.run and left.version != left.run:
        unknown.append(f"its version's tag says service {left.version}, its run's {left.run}.")
    if left.cut:
        unknown.append("Feast cut the list of references off; further features are unknown.")
    full = any(n in long for n in names or ())
    return Contract(
        model_id=found.model_id or "",
        run_id=found.run_id,
        project=left.project or "",
        inputs=tuple(
            Input(n, columns.get(n), signed.get(n), "feature" if n in columns else "unknown")
            for n in names or ()
        ),
        order=order,  # type: ignore[arg-type]
        service=name,
        refs=refs,
        full_feature_names=full,
        unknown=tuple(unknown),
    )


def service_of(session: Session, name: str | None) -> FeatureService | None:
    """The feature service of that name as it is now, or None."""
    if name is None:
        return None
    try:
        return repository.service_named(session.store, name)
    except FeatureError:
        return None


def renames(service: FeatureService) -> bool:
    """Whether a service gives a view another name or keys: only it can say what it means."""
    return any(p.name_alias or p.join_key_map for p in service.feature_view_projections)


def changes(
    session: Session, contract: Contract, service: FeatureService | None
) -> tuple[Change, ...]:
    """What differs between a contract and the registry as the store has it now.

    `service` is the contract's own as it is now, None where there is none any more.
    """
    known = registry.definitions_of(session.store)
    refs = definitions.service_refs(service) if service is not None else None
    if not contract.views:  # logged without us: all that can be seen is what is gone
        there = {name: [f.name for f in view.features] for name, view in known.views.items()}
        for part in service.feature_view_projections if service is not None else ():
            there.setdefault(part.name_to_use(), there.get(part.name, []))
        return drift.gone(contract, there)
    records = known.records(drift.versions_named(contract))
    parts = definition_hashes.parts_of(records.values())
    found = drift.compare(contract, records, parts, refs)
    return (*found, *_of_renaming(session, contract, service))


def _of_renaming(
    session: Session, contract: Contract, service: FeatureService | None
) -> Iterator[Change]:
    """What a service means by its own names for views and keys: only it can say, and as then."""
    own = [v for v in contract.views if v.name.partition("@")[0] != v.view]
    refs = contract.features or contract.refs
    named = f"service {contract.service}"
    if service is None or not set(definitions.service_refs(service)) >= set(refs):
        if own:
            yield Change(
                "removed", f"{named} (it names {own[0].view} {own[0].name})", "breaks serving"
            )
        return
    if not (own or renames(service)):
        return
    now = {p.name_to_use(): p.name for p in service.feature_view_projections}
    for view in own:
        if now.get(view.name) != view.view:
            yield Change("redefined", f"{view.name} in {named}", "breaks serving", "view",
                         view.view, now.get(view.name))  # fmt: skip
    known = registry.definitions_of(session.store)
    keys = definitions.join_keys_of(known, definitions.views_of(known, service, refs).values())
    if contract.join_keys and not set(keys) <= set(contract.join_keys):
        yield Change("redefined", named, "breaks serving", "entities",
                     ", ".join(contract.join_keys), ", ".join(keys))  # fmt: skip


def _refuse(model: str, changes: Sequence[Change], allow_drift: bool) -> None:
    gravest = drift.worst(changes)
    told = [c for c in changes if c.grade == gravest]
    said = "; ".join(c.said for c in told)
    if gravest == "breaks serving":
        told += [c for c in changes if c.grade == "needs retraining"]
        if all(c.kind == "unavailable" for c in changes if c.grade == gravest):
            raise Drift(
                f"{model} cannot be served now: {said}. Enable or materialize it; the model is "
                "as it was.",
                told,
            )
        raise Drift(f"{model} cannot be served: {said}. Put it back, or retrain.", told)
    if gravest == "needs retraining" and not allow_drift:
        raise Drift(
            f"{model} was trained on different values: {said}. Retrain, or add --allow-drift.", told
        )


def _disagreement(
    session: Session, found: model_lookup.ModelRef, contract: Contract
) -> tuple[str, ...]:
    """Where Feast's own tags say something else than the contract."""
    version, run = model_lookup.services_named(session.runs.uri, found)
    if version and version != contract.service:
        return (f"the version's tag names service {version}; its contract is followed.",)
    if run and not version and run != contract.service and not found.name:
        return (f"its run's tag names service {run}; its contract is followed.",)
    return ()
