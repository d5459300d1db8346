"""Which way a metric is better, by its name: said only where the name says it."""

from __future__ import annotations

import pytest

from feast_nb.session.training.earlier_version import higher_is_better


@pytest.mark.parametrize(
    "name",
    ["auc", "test_auc", "roc_auc", "rocAUC", "val/accuracy", "f1_score", "f1-macro", "training_r2",
     "r2_score", "average_precision", "neg_mean_squared_error", "neg_log_loss", "recall@10"],
)  # fmt: skip
def test_more_is_better(name: str) -> None:
    assert higher_is_better(name) is True


@pytest.mark.parametrize(
    "name",
    ["loss", "val_loss", "log_loss", "rmse", "test_mae", "mean_squared_error", "brier_score",
     "training_log_loss", "validLoss", "error_rate", "mape"],
)  # fmt: skip
def test_less_is_better(name: str) -> None:
    assert higher_is_better(name) is False


@pytest.mark.parametrize(
    "name",
    ["n", "rows", "score", "training_score", "epoch", "lr", "", "best_iteration", "threshold",
     "auc_loss", "accuracy_error", "terror", "mapped", "lossless"],
)  # fmt: skip
def test_what_the_name_does_not_say_is_not_known(name: str) -> None:
    assert higher_is_better(name) is None


@pytest.mark.parametrize(
    "name",
    ["negative_log_likelihood_loss", "loss_negative", "false_negative_error", "neg_class_error",
     "accuracy_std", "cv_auc_std", "auc_gap", "f1_threshold", "acc_time", "map_seconds"],
)  # fmt: skip
def test_a_metric_of_a_metric_has_no_direction(name: str) -> None:
    """Its spread, its threshold, what it took; a loss that is negative by itself."""
    assert higher_is_better(name) is None
