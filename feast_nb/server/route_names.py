"""The routes under `feast-nb/api/` by name: the one list that the panel and the worker follow.

It imports nothing: the worker, the server and a test of the panel's own list read it.
"""

from __future__ import annotations

REPOSITORIES = "repositories"  # answered by the server itself, without the worker

CATALOG = "catalog"
LINEAGE = "lineage"
IMPACT = "impact"
OPERATIONS = "operations"
HEALTH = "health"
RUNS = "mlflow-runs"
FEATURE_USAGE = "mlflow-feature-usage"
FEATURE_MODELS = "mlflow-feature-models"

# What the worker is asked, about one repository.
OF_A_REPOSITORY = (
    CATALOG,
    LINEAGE,
    IMPACT,
    OPERATIONS,
    HEALTH,
    RUNS,
    FEATURE_USAGE,
    FEATURE_MODELS,
)
ALL = (REPOSITORIES, *OF_A_REPOSITORY)
