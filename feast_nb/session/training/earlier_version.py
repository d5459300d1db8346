"""The version that a new one is held against: the one with its alias, else the last one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import FeastNbError
from ...integrations.mlflow import contract_store, model_lookup
from ...integrations.mlflow import models as mlflow_models
from ...integrations.mlflow import runs as mlflow_runs
from ...records.contract import Contract, ModelVersion
from ...records.run import Comparison, MetricChange

# Which way is better, by the words of a metric's name, as scikit-learn and MLflow call them.
_HIGHER = frozenset(
    {"auc", "auroc", "aucpr", "accuracy", "acc", "f1", "f2", "fbeta", "precision", "recall", "r2"}
    | {"ap", "map", "ndcg", "mrr", "kappa", "mcc", "gini", "sensitivity", "specificity"}
)
_LOWER = frozenset(
    {"loss", "logloss", "error", "err", "mae", "mse", "rmse", "msle", "rmsle", "mape", "smape"}
    | {"wape", "brier", "deviance", "crossentropy", "perplexity"}
)


@dataclass(frozen=True)
class EarlierVersion:
    """A registered version as it was before the new one, with the aliases that it had then."""

    name: str
    version: str
    aliases: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        return f"{self.name}/{self.version}"


def find(uri: str, name: str, aliases: Sequence[str]) -> EarlierVersion | Comparison | None:
    """The version that has the first of `aliases`, else the last one of `name`; None for none.

    It is asked before the new version takes its aliases. Where MLflow does not say it, a
    comparison that says so: a training is never lost for it.
    """
    try:
        known = mlflow_models.versions_named(uri, name)
    except FeastNbError as problem:
        return Comparison(name, unknown=str(problem).rstrip("."))
    if known is None:
        return None
    versions, pointed = known
    held = next((pointed[a] for a in aliases if a in pointed), None)
    number = held or max(versions, key=int, default=None)
    if number is None:
        return None
    mine = tuple(sorted(a for a, v in pointed.items() if v == number))
    return EarlierVersion(name, number, mine)


def compare(
    uri: str,
    earlier: EarlierVersion | Comparison | None,
    made: ModelVersion | None,
    metrics: Mapping[str, float],
) -> Comparison | None:
    """The new version held against the earlier one: metrics that both have, features used."""
    if made is None or earlier is None or isinstance(earlier, Comparison):
        return earlier if made is not None and isinstance(earlier, Comparison) else None
    try:
        found = model_lookup.find(uri, earlier.shown)
        contract = contract_store.contract_of(uri, found)
        # Two versions of one run have the run's metrics, which tell neither from the other.
        other = found.run_id if found.run_id != made.run_id else None
        before = mlflow_runs.read(uri, other).metrics if other else {}
    except FeastNbError as problem:
        return Comparison(earlier.shown, earlier.aliases, unknown=str(problem).rstrip("."))
    new, gone = _features(made.contract, contract)
    changed = [
        MetricChange(name, metrics[name], before[name], _better(name, metrics[name], before[name]))
        for name in sorted(metrics)
        if name in before
    ]
    return Comparison(earlier.shown, earlier.aliases, tuple(changed), new, gone)


def _features(
    made: Contract | None, before: Contract | None
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Features that only the new model uses, and those that only the earlier one used."""
    if made is None or before is None or not (made.inputs and before.inputs):
        return None, None
    mine, theirs = made.features, before.features
    return (
        tuple(ref for ref in mine if ref not in theirs),
        tuple(ref for ref in theirs if ref not in mine),
    )


def _better(name: str, value: float, before: float) -> bool | None:
    higher = higher_is_better(name)
    return None if higher is None or value == before else (value > before) == higher


def higher_is_better(name: str) -> bool | None:
    """Whether more of a metric is better, by its name; None where the name does not say it."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower())
    text = "".join(words)
    more = bool(_HIGHER.intersection(words)) or "rocauc" in text or "averageprecision" in text
    less = bool(_LOWER.intersection(words))
    if more == less:
        return None
    # scikit-learn's scorers of errors are negative, so that more of each is better
    return True if more else "neg" in words or "negative" in words
