"""What a training is asked to do, and what can be said of it before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import UsageError
from .. import models

if TYPE_CHECKING:
    from ...integrations.feast.calls import Entities


@dataclass(frozen=True)
class TrainingOptions:
    """What a training was asked to do; every field has the name of its option."""

    name: str | None = None
    service: str | None = None
    features: tuple[str, ...] = ()
    entity_df: Entities | None = None
    entity_name: str = "entity_df"
    start: str | None = None
    end: str | None = None
    full_feature_names: bool = False
    filter_by_created_timestamp: bool = False
    target: str | None = None
    flavor: str | None = None
    register: str | None = None
    aliases: tuple[str, ...] = ()
    experiment: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    archive: bool = True
    archive_rows: bool = False
    sources: tuple[object, ...] = ()

    @property
    def retrieves(self) -> bool:
        return bool(self.service or self.features)

    def check(self) -> None:
        """Raise `UsageError` for options that contradict each other."""
        if self.service and self.features:
            raise UsageError("--service and --features cannot be used together; choose one.")
        if self.aliases and not self.register:
            raise UsageError("--alias needs --register NAME: an alias points at a version.")
        ranged = bool(self.start or self.end)
        if self.retrieves and self.entity_df is None and not ranged:
            raise UsageError("--service and --features need --entity-df VAR, or --start and --end.")
        if not self.retrieves and (self.entity_df is not None or ranged):
            raise UsageError("--entity-df needs --service NAME or --features REF….")
        if self.filter_by_created_timestamp and not self.retrieves:
            raise UsageError(
                "--filter-by-created-timestamp needs --service NAME or --features REF…."
            )
        if self.register is not None:
            models.check_name(self.register)
        for alias in self.aliases:
            models.check_alias(alias)
        if self.entity_df is not None and ranged:
            raise UsageError("--entity-df and --start/--end cannot be used together; choose one.")
