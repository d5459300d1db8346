"""The content of frames: what they hold, whether two hold the same, where each came from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from typing_extensions import TypeIs

    Tabular: TypeAlias = pd.DataFrame | pa.Table


def is_pandas(value: object) -> TypeIs[pd.DataFrame]:
    """Whether a value is a pandas frame, asked without importing pandas."""
    return is_of_pandas(value, "DataFrame")


def is_of_pandas(value: object, name: str) -> bool:
    """Whether a value is of a class of pandas, asked without importing pandas."""
    kind = getattr(sys.modules.get("pandas"), name, None)
    # The class itself is asked: some objects raise when asked what they say they are.
    return kind is not None and issubclass(type(value), kind)


def has_categories(frame: object) -> bool:
    """Whether a pandas frame has a column of categories."""
    return is_pandas(frame) and any(str(kind) == "category" for kind in frame.dtypes)


def has_zones(frame: object) -> bool:
    """Whether a pandas frame has a column of moments with a time zone."""
    zones = (getattr(kind, "tz", None) for kind in frame.dtypes) if is_pandas(frame) else ()
    return any(zone is not None for zone in zones)
