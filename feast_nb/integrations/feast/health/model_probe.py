"""Whether what a model is served now is like what it was trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ....records.operation import HealthLine
from .. import registry
from ..servers import store_door
from . import distributions
from .online_sample import fetched
from .view_probes import latest_rows

if TYPE_CHECKING:
    import pandas as pd

    from ....records.operation import Light


@dataclass
class _Findings:
    """What was seen of a model's inputs, and how bad it is."""

    red: list[str] = field(default_factory=list)
    amber: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    looked: int = 0
    compared: int = 0
    without: list[str] = field(default_factory=list)


def model_line(
    store: Any, name: str, inputs: list[dict[str, Any]], sample: int
) -> list[HealthLine]:
    """Nulls, ranges and distributions of what a model is served, beside its training's.

    `inputs` are those of its contract; `training` of one says which column of which file has its
    values in training, where the run kept them.
    """
    known = registry.definitions_of(store)
    found = _Findings()
    by_view: dict[str, list[dict[str, Any]]] = {}
    for one in inputs:
        by_view.setdefault(str(one["ref"]).partition(":")[0], []).append(one)
    for view_name, wanted in by_view.items():
        view = known.views.get(view_name)
        if view is None or not view.is_timed:
            continue
        keys = view.join_keys(known.join_keys)
        with store_door.asking(store, "offline store"):
            latest = latest_rows(store, view, view.loaded_to)
        with store_door.asking(store, "online store"):
            seen = fetched(store, view, keys, latest, sample)
        for one in wanted:
            ref = str(one["ref"])
            values = seen.values.get(ref.partition(":")[2])
            if values is None or not len(values):
                found.without.append(ref)
                continue
            found.looked += 1
            _look_at(one, values, found)
    return [_line(name, found)]


def _line(name: str, found: _Findings) -> HealthLine:
    said, facts = [*found.red, *found.amber], found.facts
    light: Light = "red" if found.red else "amber" if found.amber else "green"
    if said and not found.without:
        return HealthLine("model", name, light, "; ".join(said),
                          "see whether it must be trained anew", facts)  # fmt: skip
    if found.without or not found.looked:
        none = "none of its inputs is read from an online store"
        if found.without:
            none = f"nothing is online of {', '.join(found.without)}"
        worst: Light = light if found.red else "unknown"
        return HealthLine("model", name, worst, "; ".join([*said, none]), facts=facts)
    how = "nulls, ranges and distributions" if found.compared else "nulls and ranges"
    whole = f"{found.looked} inputs lie within what it was trained on ({how}"
    if 0 < found.compared < found.looked:
        whole += f" of {found.compared}"
    return HealthLine("model", name, "green", f"{whole})", facts=facts)


def _look_at(one: dict[str, Any], values: pd.Series, found: _Findings) -> None:
    import pandas as pd

    ref = str(one["ref"])
    nulls = float(values.isna().mean())
    found.facts[f"{ref}.nulls"] = round(nulls, 4)
    before = one.get("nulls")
    if before is not None and nulls > before + 0.1:
        found.amber.append(f"{ref} is null in {nulls:.0%}, {before:.0%} in training")
    _compare(one, values, found)
    low, high = one.get("min"), one.get("max")
    numbers = pd.to_numeric(values, errors="coerce").dropna()
    if low is None or high is None or not len(numbers):
        return
    outside = float(((numbers < float(low)) | (numbers > float(high))).mean())
    found.facts[f"{ref}.outside"] = round(outside, 4)
    if outside > 0.1:
        found.amber.append(f"{ref} lies outside its range in training ({low:g} – {high:g}) "
                           f"in {outside:.0%}")  # fmt: skip


def _compare(one: dict[str, Any], values: pd.Series, found: _Findings) -> None:
    """Hold the served values against those of the training, where the run kept them."""
    kept, ref = one.get("training"), str(one["ref"])
    training = distributions.read_training(kept["path"], kept["column"]) if kept else None
    shift = None if training is None else distributions.shift(training, values)
    if shift is None:
        return
    found.compared += 1
    found.facts[f"{ref}.psi"] = round(shift.psi, 4)
    found.facts[f"{ref}.training"] = [round(share, 4) for share in shift.training]
    found.facts[f"{ref}.served"] = [round(share, 4) for share in shift.served]
    if shift.p is not None:
        found.facts[f"{ref}.p"] = float(f"{shift.p:.3g}")
    if shift.psi >= distributions.MOVED:
        p = "" if shift.p is None else f", p {shift.p:.2g}"
        much = shift.psi >= distributions.MOVED_MUCH
        said = f"{ref} has moved {'far ' if much else ''}from its training (PSI {shift.psi:.2f}{p})"
        (found.red if much else found.amber).append(said)
