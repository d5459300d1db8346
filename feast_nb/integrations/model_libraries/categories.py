"""The categories of a model's inputs: boosted trees take a value by its place among them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ... import frames
from .fitted_state import is_fitted
from .flavors import flavor_of

if TYPE_CHECKING:
    import lightgbm as lgb
    import xgboost as xgb

MOST = 10_000  # categories of an input that a contract keeps


def categories_of(model: object, names: Sequence[str] | None) -> dict[str, tuple[object, ...]]:
    """Input → its categories in their order, as far as the model itself keeps them."""
    own = _OWN.get(flavor_of(model) or "")
    return _kept(own(model, names)) if own is not None and names else {}


def categories_in(fitted_on: Iterable[Any]) -> dict[str, tuple[object, ...]]:
    """Column → its categories in their order, of pandas frames that have some."""
    found: dict[str, tuple[object, ...]] = {}
    for frame in fitted_on:
        for name in frame.columns if frames.is_pandas(frame) else ():
            kind = getattr(frame[name], "dtype", None)
            if str(kind) == "category":
                found[str(name)] = tuple(kind.categories.tolist())  # type: ignore[union-attr]
    return _kept(found)


def _kept(found: Mapping[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    return {name: values for name, values in found.items() if len(values) <= MOST}


def _of_lightgbm(
    model: lgb.LGBMModel | lgb.Booster, names: Sequence[str]
) -> Mapping[str, tuple[object, ...]]:
    """A booster keeps the categories of a frame's columns, in the columns' order."""
    if not is_fitted(model):
        return {}
    booster = getattr(model, "booster_", model)
    kept = getattr(booster, "pandas_categorical", None) or []
    places = sorted(getattr(booster, "params", {}).get("categorical_column") or [])
    if len(kept) != len(places) or any(p >= len(names) for p in places):
        return {}
    return {names[p]: tuple(values) for p, values in zip(places, kept, strict=True)}


def _of_xgboost(
    model: xgb.XGBModel | xgb.Booster, names: Sequence[str]
) -> Mapping[str, tuple[object, ...]]:
    """XGBoost keeps them from 3.1 on; it cuts those that are not ASCII (3.2), or breaks them."""
    if not is_fitted(model):
        return {}
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    if not hasattr(booster, "get_categories"):
        return {}
    told = booster.get_categories(export_to_arrow=True).to_arrow()
    found = {}
    for name, values in told or ():
        with contextlib.suppress(UnicodeDecodeError):
            kept = values.to_pylist() if values is not None else ()
            if kept and all(str(one).isascii() for one in kept):
                found[str(name)] = tuple(kept)
    return found


_OWN = {"lightgbm": _of_lightgbm, "xgboost": _of_xgboost}
