"""What a tracking server knows of runs and model versions, as plain facts: read, kept, asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from .retrieval import ViewKind

# A lookup reads the online store and names no model; an inherited retrieval is its parent's.
Kind = Literal["training", "prediction", "lookup", "inherited", "operation", "other"]


@dataclass(frozen=True)
class RunFact:
    """An MLflow run with what is asked about it; times in milliseconds since 1970.

    `refs` are references with the views' registered names, in the order asked; `cut` says that
    the run's tags hold only a part of them. `model` and `version` are those of a prediction
    run; `project` is Feast's.
    """

    id: str
    experiment: str
    name: str
    status: str
    started: int
    kind: Kind
    project: str
    ended: int | None = None
    deleted: bool = False
    user: str | None = None
    service: str | None = None
    refs: tuple[str, ...] = ()
    cut: bool = False
    notebook: str | None = None
    rows: int | None = None
    model: str | None = None
    version: str | None = None
    written: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VersionFact:
    """A registered model version. `refs` is None where only its run's are known."""

    name: str
    version: int
    run: str | None
    model_id: str | None
    stage: str | None
    created: int
    updated: int
    refs: tuple[str, ...] | None = None
    service: str | None = None
    contract: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RegisteredModel:
    """A model version as history knows it, with the run that it came from.

    `group` is the one that its run belongs to. `refs` are the model's `own` where its contract
    (kept at that address) tells them, else its run's.
    """

    name: str
    version: int
    run: str | None
    model_id: str | None
    stage: str | None
    created: int
    aliases: tuple[str, ...]
    refs: tuple[str, ...]
    service: str | None
    group: int | None = None
    own: bool = False
    contract: str | None = None
    predictions: int = 0
    last_prediction: int | None = None

    @property
    def shown(self) -> str:
        """`driver_model/3`."""
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class RunGroup:
    """Runs that asked for the same references through the same service, counted together.

    `number` is the same for groups that differ only in their kind or the order of references.
    `spread` counts the runs in each stretch of time since 1970, as long as was asked for; `cut`
    those of which only a part of the references is known.
    """

    number: int
    refs: tuple[str, ...]
    service: str | None
    kind: Kind
    runs: int
    first: int
    last: int
    cut: int = 0
    users: tuple[str, ...] = ()
    spread: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RegistryView:
    """A feature view as the registry has it today. `reads` are an on-demand view's references.

    `dtypes` are those of its features, `ttl` is in seconds (None: values never age);
    `materialized` is the end of what the online store was filled with last, in milliseconds since
    1970. `unavailable` is why Feast does not serve it now; `earlier` are features that only
    versions before this one have.
    """

    name: str
    kind: ViewKind
    features: tuple[str, ...]
    sources: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    description: str = ""
    owner: str = ""
    dtypes: tuple[str, ...] = ()
    ttl: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    online: bool = False
    materialized: int | None = None
    unavailable: str | None = None
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegistryService:
    """A feature service as the registry has it today; `renamed` maps its names to views."""

    name: str
    refs: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    owner: str = ""


@dataclass(frozen=True)
class SourceOrigin:
    """What of MLflow's a data source is made of: a dataset, or a run's `artifact`."""

    kind: Literal["run", "dataset"]
    name: str
    artifact: str = ""


@dataclass(frozen=True)
class Registry:
    """What a project's registry holds today; `origins` are those of sources that MLflow feeds."""

    project: str
    sources: Mapping[str, str] = field(default_factory=dict)
    entities: Mapping[str, str] = field(default_factory=dict)
    views: Mapping[str, RegistryView] = field(default_factory=dict)
    services: Mapping[str, RegistryService] = field(default_factory=dict)
    origins: Mapping[str, SourceOrigin] = field(default_factory=dict)

    def behind(self, refs: Iterable[str]) -> dict[str, str]:
        """References that on-demand views among `refs` compute from → the view that reads them."""
        found: dict[str, str] = {}
        waiting = list(refs)
        while waiting:
            view = self.views.get(waiting.pop().partition(":")[0])
            for ref in view.reads if view else ():
                if ref not in found:
                    found[ref] = view.name if view else ""
                    waiting.append(ref)
        return found

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Other names that services give to views → the views."""
        return {a: v for s in self.services.values() for a, v in s.renamed.items()}


class Reader(Protocol):
    """How MLflow is read: each call is one request, and one more for each further page.

    `at_once` is how many readers at a time are quicker than one.
    """

    at_once: int

    def experiments(self) -> Mapping[str, tuple[str, bool, int]]:
        """Id → name, whether it is deleted, and when it was made."""
        ...

    def runs(
        self,
        where: str = "",
        *,
        deleted: bool = False,
        most: int | None = None,
        newest: bool = False,
        experiments: Collection[str] | None = None,
    ) -> Iterator[list[RunFact]]:
        """The project's runs that a filter of MLflow's finds, page by page, oldest first."""
        ...

    def whole(self, run: RunFact) -> RunFact:
        """A run whose references are too many for a tag, with all of them, where they are kept."""
        ...

    def run(self, id: str) -> RunFact | None:
        """One run; None where it is gone or not the project's."""
        ...

    def versions(self) -> Iterable[VersionFact]:
        """Every registered model version."""
        ...

    def aliases(self) -> Mapping[str, Mapping[str, int]]:
        """Registered model → alias → version."""
        ...

    def contracts(
        self, wanted: Iterable[VersionFact]
    ) -> Mapping[str, tuple[tuple[str, ...] | None, str | None]]:
        """Address of a kept contract → its features and service; None for one that says nothing.

        Those that cannot be had now, the store of artifacts being away, are left out.
        """
        ...
