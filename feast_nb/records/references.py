"""What a reference (`view:feature`, `view@v1:feature`) names: a view, a version, a column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .retrieval import ViewDefinition

_PINNED = re.compile(r"@v(?:ersion)?(\d+)$", re.IGNORECASE)


def split_version(name: str) -> tuple[str, int | None]:
    """A view's name in a reference as (name, version); `latest` is no version (Feast's rule)."""
    if found := _PINNED.search(name):
        return name[: found.start()], int(found.group(1))
    return name.partition("@")[0], None


def column_names(ref: str, full_feature_names: bool) -> tuple[str, ...]:
    """What a store may call a reference's values in its result, the usual name first.

    With full names one of a pinned version is `stats__trips` in DuckDB's answers, and
    `stats@v1__trips` in dask's and those of online stores (Feast 0.67).
    """
    name, _, feature = ref.partition(":")
    if not full_feature_names:
        return (feature,)
    view, version = split_version(name)
    plain = f"{view}__{feature}"
    return (plain,) if version is None else (plain, f"{view}@v{version}__{feature}")


def canonical(refs: Iterable[str], views: Iterable[ViewDefinition]) -> tuple[str, ...]:
    """References by the views' registered names: a service may have renamed them."""
    renamed = {v.name: v.view for v in views}
    split = (ref.partition(":") for ref in refs)
    plain = ((view.partition("@")[0], colon + feature) for view, colon, feature in split)
    return tuple(renamed.get(view, view).partition("@")[0] + rest for view, rest in plain)
