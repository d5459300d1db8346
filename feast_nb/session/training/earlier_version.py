"""The version that a new one is held against: the one with its alias, else the last one."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ...errors import brief
from ...integrations.mlflow import contract_store, model_lookup
from ...integrations.mlflow import runs as mlflow_runs
from ...integrations.mlflow.model_lookup import ModelRef
from ...records.contract import Contract, ModelVersion
from ...records.run import Comparison, MetricChange

# scikit-learn's scorers of errors (`neg_…`) are negative, so that more of each is better.
# Which way is better, by the words of a metric's name, as scikit-learn and MLflow call them.
_HIGHER = frozenset(
    {"auc", "auroc", "aucpr", "accuracy", "acc", "f1", "f2", "fbeta", "precision", "recall", "r2"}
    | {"ap", "map", "ndcg", "mrr", "kappa", "mcc", "gini", "sensitivity", "specificity"}
)
_LOWER = frozenset(
    {"loss", "logloss", "error", "err", "mae", "mse", "rmse", "msle", "rmsle", "mape", "smape"}
    | {"wape", "brier", "deviance", "crossentropy", "perplexity"}
)

# A metric of a metric: its spread, its threshold, what it took.
_OTHER = frozenset(
    {"std", "stdev", "var", "variance", "gap", "diff", "drop", "threshold", "time", "seconds"}
    | {"ms", "count", "epoch", "iteration"}
)


class EarlierVersion(NamedTuple):
    """A registered version as it was before the new one, with the aliases that it had then."""

    model: ModelRef
    aliases: tuple[str, ...]


def find(
    uri: str, name: str, aliases: Sequence[str], logged: Collection[str]
) -> EarlierVersion | Comparison | None:
    """The version that has the first of `aliases`, else the last one of `name`; None for none.

    It is asked before the new version takes its aliases; a version of what the training `logged`
    itself is none that was before. Where MLflow does not say it, a comparison that says so.
    """
    try:
        known = model_lookup.versions(uri, name)
    except Exception as problem:  # a training is never lost for what it would be held against
        return Comparison(name, unknown=brief(problem, 200).rstrip("."))
    if known is None:
        return None
    versions, pointed = known
    before = [number for number, model in versions.items() if model.model_id not in logged]
    held = next((pointed[a] for a in aliases if pointed.get(a) in before), None)
    number = held or max(before, key=int, default=None)
    if number is None:
        return None
    mine = sorted(alias for alias, pointed_at in pointed.items() if pointed_at == number)
    return EarlierVersion(versions[number], tuple(mine))


def compare(
    uri: str,
    earlier: EarlierVersion | Comparison | None,
    made: ModelVersion | None,
    metrics: Mapping[str, float],
) -> Comparison | None:
    """The new version held against the earlier one: metrics that both have, features used.

    `metrics` are those of the new version alone; a run's metrics are a version's only where the run
    made no other model.
    """
    if made is None or earlier is None:
        return None
    if isinstance(earlier, Comparison):
        return earlier
    model, shown = earlier.model, earlier.model.shown
    try:
        contract = contract_store.contract_of(uri, model)
        before = mlflow_runs.metrics_of_only_model(uri, model.run_id) if model.run_id else {}
    except Exception as problem:  # an artifact store's own errors, too
        return Comparison(shown, earlier.aliases, unknown=brief(problem, 200).rstrip("."))
    new, gone = _features(made.contract, contract)
    changed = [
        MetricChange(name, metrics[name], before[name], _better(name, metrics[name], before[name]))
        for name in sorted(metrics)
        if name in before
    ]
    return Comparison(shown, earlier.aliases, tuple(changed), new, gone)


def _features(
    made: Contract | None, before: Contract | None
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Features that only the new model uses, and those that only the earlier one used."""
    if made is None or before is None or not (made.is_of_features and before.is_of_features):
        return None, None
    mine, theirs = made.features, before.features
    return (
        tuple(ref for ref in mine if ref not in theirs),
        tuple(ref for ref in theirs if ref not in mine),
    )


def _better(name: str, value: float, before: float) -> bool | None:
    higher = higher_is_better(name)
    known = math.isfinite(value) and math.isfinite(before) and value != before
    return (value > before) == higher if known and higher is not None else None


def higher_is_better(name: str) -> bool | None:
    """Whether more of a metric is better, by its name; None where the name does not say it."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower())
    if _OTHER.intersection(words):
        return None
    text = "".join(words)
    more = bool(_HIGHER.intersection(words)) or "rocauc" in text or "averageprecision" in text
    less = bool(_LOWER.intersection(words))
    if more == less or {"neg", "negative"}.intersection(words):
        scorer = re.search(r"(^|_)neg_(mean|root|median|log|max|brier)", name)
        return True if scorer and less and not more else None
    return more
