"""What processes of ours tell each other: a kernel the panel, the worker its server, both the lab.

The keys of `mlflow-…` pages are those of Feast's own UI endpoints (`feast/ui_server.py`, feast
0.67), and ours beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired

from typing_extensions import TypedDict

from .record import Record


@dataclass(frozen=True)
class OpenedRun(Record):
    """The run that is open in a kernel."""

    id: str
    name: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class KernelState(Record):
    """What only a kernel knows; `repository` is the path of its `feature_store.yaml`.

    `at` is when it was told, in seconds since 1970.
    """

    kernel: str
    pid: int
    repository: str
    notebook: str | None = None
    tracking_uri: str | None = None
    run: OpenedRun | None = None
    at: float = 0.0


class Question(TypedDict):
    """What the panel asks of a repository; `ask` is the route."""

    ask: str
    repo: str
    tracking_uri: str | None
    object: str | None
    page_token: str | None
    up: int | None
    down: int | None
    max_results: int | None
    anew: NotRequired[bool]  # look once more, of what is looked at only then
    id: NotRequired[int]  # of the asking, for the worker


@dataclass(frozen=True)
class AnswerHead(Record):
    """What is known of an answer of the worker, before its `size` bytes of JSON.

    `id` is that of the question; `state` is the tracking server's.
    """

    status: int
    etag: str | None = None
    as_of: str | None = None
    state: str = "ready"
    id: int = 0
    size: int = 0


# ---------------------------------------------------------------------- what routes answer


class ModelOfRun(TypedDict):
    """A registered version, as a run or a feature names it; `stage` as MLflow writes it."""

    model_name: str
    version: str
    stage: str
    mlflow_url: str | None
    aliases: list[str]


class RunOfPage(TypedDict):
    """A run that retrieved; moments in milliseconds since 1970."""

    run_id: str
    run_name: str
    status: str
    start_time: int
    end_time: int | None
    feature_service: str | None
    feature_views: list[str]
    feature_refs: list[str]
    retrieval_type: str | None
    entity_count: str | None
    mlflow_url: str | None
    registered_models: list[ModelOfRun]
    counts_as: str
    experiment: str | None
    experiment_id: str
    user: str | None
    notebook: str | None
    predicts: str | None
    metrics: dict[str, float]


class Page(TypedDict):
    """What every page says: what of it is next, of when it is, and why it is empty if it is."""

    next_page_token: str | None
    as_of: str | None
    notes: NotRequired[list[str]]
    reason: NotRequired[str]


class RunsPage(Page):
    """`mlflow-runs`, the newest first."""

    runs: list[RunOfPage]
    mlflow_uri: str | None


class ViewUse(TypedDict):
    """How often runs used a view, when last, and by which models."""

    run_count: int
    prediction_count: int
    last_used: int | None
    models: list[str]


class FeatureUsagePage(Page):
    """`mlflow-feature-usage`, by view."""

    feature_usage: dict[str, ViewUse]
    mlflow_enabled: bool


class FeatureModelsPage(Page):
    """`mlflow-feature-models`: every version that uses a feature."""

    feature_models: dict[str, list[ModelOfRun]]


class RunOfKernel(TypedDict):
    """The run that is open in a kernel."""

    id: str
    name: str | None
    url: str | None


class KernelAnswer(TypedDict):
    """What a living kernel says, with its paths as the panel names them."""

    kernel: str
    notebook: str | None
    repo: str | None
    tracking_uri: str | None
    run: RunOfKernel | None


class RepositoryAnswer(TypedDict):
    """A feature repository that may be asked about."""

    repo: str
    project: str | None


class RepositoriesAnswer(TypedDict):
    """`repositories`."""

    repositories: list[RepositoryAnswer]
    kernels: list[KernelAnswer]
