"""What a model expects: its inputs in order, and the definitions that they had."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from .document import SCHEMA_VERSION, Document
from .record import Record
from .retrieval import Cell, LinkedBy, ViewDefinition

Order = Literal["named", "signature", "frame", "array", "given", "assumed", "unknown"]


# What 0.1 wrote took the latest of equal retrievals, and the frame's order for a model's.
_EARLIER = (
    "it was recorded by an earlier version of feast_nb: which retrieval it was trained on, and the "
    "order of its inputs, were not always known for sure."
)


@dataclass(frozen=True)
class Input(Record):
    """One input of a model: its column, and the reference it came from if it is a feature.

    What is no feature came with the entity frame (`given`: request data, say) or was `made` by
    the cell. `dtype` is the Arrow type it had in training, `declared` what its view says;
    `nulls` is the share of values that were missing in training, `min` and `max` their range;
    `categories` are those of a column that had some, in the order by which the model knows them.
    """

    name: str
    ref: str | None = None
    dtype: str | None = None
    basis: Literal["feature", "given", "made", "unknown"] = "unknown"
    declared: str | None = None
    nulls: float | None = None
    min: float | None = None
    max: float | None = None
    categories: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class Contract(Document):
    """What a logged model expects: its inputs in order, and the retrievals it was trained on.

    `order` is `named` where the model itself knows its inputs' names, `signature` where MLflow
    does, `frame` or `array` where the cell says which columns its `fit` was given, `given` where
    the user said it; `assumed` where none of these is known and the frame's order was taken.
    `definitions` holds what the hashes of its views stand for, so that a later change can be
    shown; `unknown` says what could not be known of a model that was logged without us.
    """

    kind: ClassVar[str] = "contract"
    model_id: str
    run_id: str | None
    project: str
    name: str = "model"
    flavor: str | None = None
    inputs: tuple[Input, ...] = ()
    order: Literal["named", "signature", "frame", "array", "given", "assumed", "unknown"] = (
        "unknown"
    )
    retrievals: tuple[str, ...] = ()
    linked_by: LinkedBy | None = None
    service: str | None = None
    service_basis: Literal["given", "exact", "none"] = "none"
    refs: tuple[str, ...] = ()
    join_keys: tuple[str, ...] = ()
    full_feature_names: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    views: tuple[ViewDefinition, ...] = ()
    definitions: dict[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    cell: Cell | None = None

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """As for a document; one of shape 1.0 says that what it claims was not always known."""
        found = super().from_dict(data)
        if str(data.get("schema_version", SCHEMA_VERSION)) != "1.0":
            return found
        return replace(found, unknown=(*found.unknown, _EARLIER))

    @property
    def features(self) -> tuple[str, ...]:
        """The references of the inputs that are Feast features, in the model's order."""
        return tuple(i.ref for i in self.inputs if i.ref)

    @property
    def is_of_features(self) -> bool:
        """Whether its inputs can be counted as features: each is one, or came with the entities."""
        known = all(i.ref or i.basis == "given" for i in self.inputs)
        return bool(self.inputs and self.retrievals) and known

    @property
    def cautions(self) -> tuple[str, ...]:
        """What to know before its features are served."""
        said = [
            f"{i.name} is declared {i.declared} and was trained on {i.dtype}s: an online store "
            "rounds it."
            for i in self.inputs
            if i.declared == "float" and i.dtype == "double"
        ]
        if self.order == "assumed":
            said.append(
                "order assumed: nothing says what it was fitted on, and the frame's order is "
                "shown; to score it, name its own with --columns a,b,c."
            )
        return (*said, *self.unknown)


@dataclass(frozen=True)
class ModelVersion(Document):
    """A model that a run logged, and the version it was registered as, if it was."""

    kind: ClassVar[str] = "model_version"
    model_id: str
    run_id: str | None = None
    uri: str | None = None
    flavor: str | None = None
    name: str | None = None
    version: str | None = None
    aliases: tuple[str, ...] = ()
    variable: str | None = None
    contract: Contract | None = None
    url: str | None = None
